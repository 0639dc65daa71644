// What does this image show? Any number of pictures, a few at a time, each with its answer, its time and its evidence.

import { get, has, limits, send, timings } from "../lib/api.js";
import { announce, h, icon, isolated, put } from "../lib/dom.js";
import { generate } from "../lib/generate.js";
import { isDicom } from "../lib/dicom.js";
import { abstention, bars, curl, problem, select, times, title } from "../lib/parts.js";
import { picture } from "../lib/picture.js";
import { each } from "../lib/queue.js";
import { save, write } from "../lib/csv.js";
import { DRAWN_FOR, drawn, PICTURES } from "../lib/samples.js";
import { bytes, number, percent, t } from "../lib/words.js";

const AT_ONCE = 3;
const MOST = 500;
const TRIES = 4;

export async function open(place) {
  const { models } = await get("/v1/models");
  const fitting = models.filter((model) => model.task === "image-classification");
  const segmenting = has("POST /v1/images/segment") ? models.filter((model) => model.task === "image-segmentation") : [];
  const making = has("POST /v1/images/generate") ? models.filter((model) => model.task === "image-generation") : [];
  const maker = making.length ? generate(making) : null;
  if (!fitting.length && !segmenting.length) {
    put(place, title("images"), h("div.notice", t("images.none")), maker);
    return undefined;
  }
  const state = { shots: [], chosen: 0, model: fitting.find((one) => one.name === DRAWN_FOR) ?? fitting[0] ?? segmenting[0], open: true };
  const all = [...fitting, ...segmenting];
  const list = h("div"), detail = h("div"), told = h("div"), about = h("p.soft.small.about");
  const input = h("input.unseen", { type: "file", multiple: true, id: "files", tabindex: "-1", "aria-hidden": "true", accept: ".png,.jpg,.jpeg,.dcm,.dicom,image/png,image/jpeg,application/dicom", on: { change: () => { add([...input.files]); input.value = ""; } } });
  const drop = h("div.drop", { on: {
    dragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    dragleave: () => drop.classList.remove("over"),
    drop: (event) => { event.preventDefault(); drop.classList.remove("over"); add([...event.dataTransfer.files]); },
  } },
  icon("upload"), h("strong", t("images.drop")), h("button.main", { type: "button", id: "choose", on: { click: () => input.click() } }, t("images.choose")), input,
  h("span.small", t("images.limits", { size: bytes(limits().max_body_bytes), count: number(MOST) })),
  h("div.samples", h("span.small", t("images.samples")), Object.entries(PICTURES).filter(([, one]) => one.model === DRAWN_FOR || all.some((served) => served.name === one.model)).map(([name, one]) => h("button.quiet", { type: "button", id: `sample-${name}`, on: { click: () => sample(one) } }, t(`images.sample.${name}`)))));
  const model = select(all.map((one) => [one.name, one.name]), state.model.name, (name) => { ask(name); again(); });
  model.setAttribute("aria-label", t("model"));
  model.classList.add("narrow");
  put(about, isolated(state.model.description ?? ""));
  put(place, title("images"), h("div.below", h("div.row", h("span.label", { "aria-hidden": "true" }, t("model")), model), about), drop, h("div.shots", told, list, detail), maker);

  function ask(name) {
    state.model = all.find((one) => one.name === name);
    put(about, isolated(state.model.description ?? ""));
  }

  /** A drawing, asked of the model that it is for where that is in service. */
  async function sample({ model: name, make }) {
    if (all.some((one) => one.name === name) && name !== state.model.name) {
      model.value = name;
      ask(name);
    }
    add([await make()]);
  }

  function add(files) {
    const room = MOST - state.shots.length;
    const first = state.shots.length;
    for (const file of files.slice(0, room)) state.shots.push({ file, status: "waiting" });
    put(told);
    if (files.length > room) {
      put(told, h("div.notice.warn", { role: "alert" }, icon("warning"), h("div", t("images.too-many", { count: number(MOST), left: number(files.length - Math.max(0, room)) }))));
    }
    if (room <= 0) return;
    state.chosen = first;
    run(state.shots.slice(first));
  }

  function again() {
    state.shots.forEach((shot) => Object.assign(shot, { status: "waiting", answer: null, error: null }));
    run(state.shots);
  }

  async function run(shots) {
    draw();
    await each(shots, AT_ONCE, async (shot) => {
      shot.status = "working";
      shot.model = state.model;
      try {
        await classify(shot);
        shot.status = "done";
      } catch (error) {
        Object.assign(shot, { status: "refused", error });
      }
      if (state.open) { drawSoon(); if (state.shots[state.chosen] === shot) drawDetail(); }
    }, () => !state.open);
    if (state.open && shots.length) announce(t("images.done", { count: shots.length }));
  }

  /** A list of hundreds is not drawn anew at each answer. */
  let soon = null;
  const drawSoon = () => {
    soon ??= setTimeout(() => {
      soon = null;
      if (state.open) drawList();
    }, state.shots.length < 20 ? 0 : 300);
  };
  const draw = () => { drop.classList.toggle("small", state.shots.length > 0); drawList(); drawDetail(); };

  function drawList() {
    if (state.shots.length < 2) { put(list); return; }
    const done = state.shots.filter((shot) => shot.status === "done" || shot.status === "refused").length;
    const focused = list.contains(document.activeElement);
    const scroll = list.querySelector(".scroll")?.scrollTop ?? 0;
    put(list, h("div.sheet",
      h("div.row.apart.below", h("h2", t("images.all", { count: number(state.shots.length) })),
        h("div.row", h("button", { type: "button", on: { click: exported } }, t("download.csv")), h("button.quiet", { type: "button", on: { click: () => { state.shots = []; put(told); draw(); } } }, t("clear")))),
      done < state.shots.length ? h("div.below", h("div.meter", { role: "progressbar", "aria-label": t("progress"), "aria-valuemin": 0, "aria-valuemax": state.shots.length, "aria-valuenow": done }, h("i", { style: { width: `${done / state.shots.length * 100}%` } })), h("p.small.soft", t("progress.of", { done: number(done), all: number(state.shots.length) }))) : null,
      h("div.scroll", { style: { "max-height": "290px" }, tabindex: "0", role: "region", "aria-label": t("images.title") }, h("table", h("thead", h("tr", [t("file"), t("answer"), t("probability")].map((head, at) => h(at === 2 ? "th.number" : "th", { scope: "col" }, head)))),
        h("tbody", state.shots.map((shot, index) => h(index === state.chosen ? "tr.chosen" : "tr",
          h("td", h("button.quiet", { type: "button", "aria-pressed": String(index === state.chosen), on: { click: () => { state.chosen = index; draw(); } } }, isolated(shot.file.name))),
          h("td", short(shot)), h("td.number", shot.answer?.label ? percent(shot.answer.predictions.find((one) => one.label === shot.answer.label)?.probability ?? 0) : ""))))))));
    const region = list.querySelector(".scroll");
    region.scrollTop = scroll;
    if (focused) list.querySelector('[aria-pressed="true"]')?.focus();
  }

  function exported() {
    const rows = [["file", "model", "version", "label", "probability", "abstained", "reason", "problem"]];
    for (const { file, answer, error, model: used, version } of state.shots) {
      rows.push([file.name, used?.name, version, answer?.label, answer?.predictions?.[0]?.probability, answer?.abstained, answer?.reason, error?.message]);
    }
    save("images.csv", write(rows));
  }

  function drawDetail() {
    const shot = state.shots[state.chosen];
    if (!shot) { put(detail); return; }
    shot.picture ??= picture(shot, () => rerun(shot));
    const { answer, error } = shot;
    const verdict = h("div",
      h("p.soft.small", isolated(shot.file.name), ` · ${bytes(shot.file.size)}`),
      shot.status === "waiting" || shot.status === "working" ? h("p.soft", t("working")) : null,
      drawn.has(shot.file) ? h("p.small", h("span.tag", t("images.drawing"))) : null,
      error ? problem(error) : null,
      answer?.predictions ? verdictOf(shot) : null,
      answer?.regions ? regions(answer) : null,
      shot.stages ? h("div.gap", times(shot.stages, shot.whole)) : null,
      answer ? h("div.gap", curl("POST", shot.path, { contentType: shot.type, file: shot.file.name })) : null);
    put(detail, h("div.sheet.shot", { id: "shot", data: { status: shot.status } }, h("div", shot.picture.element), verdict));
    shot.picture.explain?.();
  }

  async function rerun(shot) {
    try {
      await classify(shot);
      Object.assign(shot, { status: "done", error: null });
    } catch (error) {
      Object.assign(shot, { status: "refused", error, answer: null });
    }
    draw();
  }

  return () => {
    state.open = false;
    state.shots.forEach((shot) => shot.picture?.close?.());
  };
}

function short(shot) {
  if (shot.status === "refused") return h("span.tag.bad", t("refused"));
  if (shot.status !== "done") return h("span.soft", t(shot.status === "waiting" ? "waiting" : "working"));
  if (shot.answer.regions) return isolated(shot.answer.regions.map(found).join(", "));
  return shot.answer.abstained ? h("span.tag.warn", t("abstained")) : isolated(said(shot.answer));
}

/** What an answer says: its label, of several labels at once those that hold, or a number with its interval. */
const said = ({ label, labels, number: one }) => {
  if (one) return `${number(one.value, 1)}${one.unit ? ` ${one.unit}` : ""} (${number(one.low, 1)} – ${number(one.high, 1)})`;
  return labels ? labels.join(", ") || "–" : label;
};

/** Abstentions after which a probability would be believed that means nothing: it is shown to who asks for it. */
const MEANINGLESS = ["unlike_training", "blank", "wrong_modality"];

function verdictOf({ answer, model }) {
  const names = model.label_descriptions ?? {};
  const probable = h("div.gap-s", bars(answer.predictions, { names, threshold: model.abstain_below, first: answer.label ?? "" }), h("p.soft.small.gap-s", t("bars.note", { value: percent(model.abstain_below) })));
  return h("div",
    answer.abstained ? abstention(answer.reason) : h("div.below", h("div.verdict", isolated(said(answer)), !answer.labels && names[answer.label] ? ` · ${names[answer.label]}` : ""), answer.labels || answer.number ? null : h("div.soft", t("images.certainty", { value: percent(answer.predictions.find((one) => one.label === answer.label)?.probability ?? 0) }))),
    MEANINGLESS.includes(answer.reason) ? h("details", h("summary", t("bars.anyway")), probable) : probable);
}

/** A region in words: how many objects, where the model tells them apart. */
const found = ({ label, objects }) => (Number.isInteger(objects) ? `${label} × ${number(objects)}` : label);

function regions({ regions: list, abstained, reason }) {
  return h("div", abstained ? abstention(reason) : h("div.below", h("div.verdict", isolated(list.map(found).join(", "))), h("div.soft", t("regions.share"))), h("ul.bars", list.map((region) => h("li", h("span.name", isolated(region.label)), h("span.bar", h("i", { style: { width: `${region.fraction * 100}%` } })), h("span.much", percent(region.fraction))))));
}

/** Asks the server, again where it is busy. */
async function classify(shot) {
  const { file, model } = shot;
  const most = limits().max_body_bytes;
  if (file.size > most) throw new Error(t("images.too-large", { size: bytes(file.size), most: bytes(most) }));
  if (file.size === 0) throw new Error(t("images.empty"));
  shot.type = await typeOf(file);
  const task = model.task === "image-segmentation" ? "segment" : "classify";
  const query = new URLSearchParams({ model: model.name });
  if (shot.frame > 1) query.set("frame", shot.frame);
  shot.path = `/v1/images/${task}?${query}`;
  for (let tries = 1; ; tries += 1) {
    const began = performance.now();
    try {
      const response = await send("POST", shot.path, { body: file, headers: { "content-type": shot.type } });
      const answer = await response.json();
      Object.assign(shot, { answer: answer.results[0], version: answer.version, stages: timings(response), whole: performance.now() - began });
      return;
    } catch (error) {
      const busy = error.status === 429 || error.status === 503;
      if (!busy || tries === TRIES) throw error;
      await new Promise((done) => setTimeout(done, 1000 * Math.min(10, Number(error.retryAfter) || tries)));
    }
  }
}

/** What the first bytes say: a browser goes by the file's name. */
async function typeOf(file) {
  const first = new Uint8Array(await file.slice(0, 132).arrayBuffer());
  if (isDicom(first)) return "application/dicom";
  if (first[0] === 0x89 && first[1] === 0x50) return "image/png";
  if (first[0] === 0xff && first[1] === 0xd8) return "image/jpeg";
  return "application/octet-stream";
}
