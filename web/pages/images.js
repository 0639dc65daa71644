// What does this image show? Any number of pictures, a few at a time, each with its answer, its time and its evidence.

import { get, has, limits, reached, send, timings } from "../lib/api.js";
import { announce, h, icon, isolated, put } from "../lib/dom.js";
import { generate } from "../lib/generate.js";
import { isDicom } from "../lib/dicom.js";
import { abstention, bars, curl, MEANINGLESS, problem, select, times, title } from "../lib/parts.js";
import { picture } from "../lib/picture.js";
import { outcomes } from "../lib/seldom.js";
import { save, write } from "../lib/csv.js";
import { DRAWN_FOR, drawn, PICTURES } from "../lib/samples.js";
import { bytes, number, percent, t, told as named } from "../lib/words.js";

const AT_ONCE = 3;
const MOST = 500;
const TRIES = 4;
/** Milliseconds after which a slider of frames is taken to rest where it is. */
const REST = 400;

export async function open(place, _, kept = null) {
  const { models } = await get("/v1/models");
  const fitting = models.filter((model) => model.task === "image-classification");
  const segmenting = has("POST /v1/images/segment") ? models.filter((model) => model.task === "image-segmentation") : [];
  const making = has("POST /v1/images/generate") ? models.filter((model) => model.task === "image-generation") : [];
  const maker = making.length ? generate(making, kept?.made) : null;
  if (!fitting.length && !segmenting.length) {
    put(place, title("images"), h("div.notice", t("images.none")), maker?.element);
    return () => ({ made: maker?.kept() });
  }
  const state = { shots: [], chosen: 0, busy: 0, answered: 0, model: fitting.find((one) => one.name === DRAWN_FOR) ?? fitting[0] ?? segmenting[0], open: true };
  const all = [...fitting, ...segmenting];
  if (kept?.shots) {
    state.shots = kept.shots;
    state.chosen = kept.chosen;
    state.model = all.find((one) => one.name === kept.model) ?? state.model;
  }
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
  put(place, title("images"), h("div.below", h("div.row", h("span.label", { "aria-hidden": "true" }, t("model")), model), about), drop, h("div.shots", told, list, detail), maker?.element);

  function ask(name) {
    state.model = all.find((one) => one.name === name);
    put(about, isolated(state.model.description ?? ""));
  }

  /** A drawing, asked of the model that it is for where that is in service. */
  async function sample({ model: name, make }) {
    const file = await make();
    if (all.some((one) => one.name === name) && name !== state.model.name) {
      model.value = name;
      ask(name);
    }
    add([file]);
  }

  function add(files) {
    const room = MOST - state.shots.length;
    const first = state.shots.length;
    for (const file of files.slice(0, room)) state.shots.push({ file, model: state.model, frame: 1, status: "waiting" });
    put(told);
    if (files.length > room) {
      put(told, h("div.notice.warn", { role: "alert" }, icon("warning"), h("div", t("images.too-many", { count: number(MOST), left: number(files.length - Math.max(0, room)) }))));
    }
    if (room <= 0) return;
    state.chosen = first;
    draw();
    go();
  }

  /** Whatever is under way for a shot is stopped, and its answer is taken from the page: it was that of another model or frame. */
  function halt(shot, status) {
    shot.stop?.abort();
    clearTimeout(shot.soon);
    Object.assign(shot, { status, stop: null, answer: null, error: null, stages: null });
  }

  function again() {
    state.shots.forEach((shot) => { halt(shot, "waiting"); shot.model = state.model; });
    draw();
    go();
  }

  function clear() {
    state.shots.forEach((shot) => { halt(shot, "gone"); shot.picture?.close(); });
    Object.assign(state, { shots: [], chosen: 0, answered: 0 });
    put(told);
    draw();
  }

  /** Another frame of the shot is seen: nothing is said of it until it is answered, and it is asked about where the slider rests. */
  function moved(shot, frame) {
    halt(shot, "moving");
    shot.frame = frame;
    shot.soon = setTimeout(() => settled(shot), REST);
    drawSoon();
    if (state.shots[state.chosen] === shot) drawDetail();
  }

  function settled(shot) {
    clearTimeout(shot.soon);
    if (shot.status !== "moving") return;
    shot.status = "waiting";
    go();
  }

  /** Asks about what waits, that which is looked at first, never more at once than said, whatever was dropped or chosen meanwhile. */
  function go() {
    while (state.open && state.busy < AT_ONCE) {
      const looked = state.shots[state.chosen], shot = looked?.status === "waiting" ? looked : state.shots.find((one) => one.status === "waiting");
      if (!shot) break;
      state.busy += 1;
      question(shot).finally(() => { state.busy -= 1; go(); });
    }
    if (state.open && !state.busy && state.answered) {
      announce(t("images.done", { count: number(state.answered) }));
      state.answered = 0;
    }
  }

  async function question(shot) {
    const stop = new AbortController();
    Object.assign(shot, { status: "working", stop });
    let found;
    try {
      found = { status: "done", ...await classify(shot, stop.signal) };
    } catch (error) {
      found = { status: "refused", error };
    }
    // The answer of a model or frame that is no longer the shot's is nobody's.
    if (stop.signal.aborted) return;
    Object.assign(shot, found, { stop: null });
    state.answered += 1;
    if (state.open) { drawSoon(); if (state.shots[state.chosen] === shot) drawDetail(); }
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
        h("div.row", h("button", { type: "button", on: { click: exported } }, t("download.csv")), h("button.quiet", { type: "button", on: { click: clear } }, t("clear")))),
      done < state.shots.length ? h("div.below", h("div.meter", { role: "progressbar", "aria-label": t("progress"), "aria-valuemin": 0, "aria-valuemax": state.shots.length, "aria-valuenow": done }, h("i", { style: { width: `${done / state.shots.length * 100}%` } })), h("p.small.soft", t("progress.of", { done: number(done), all: number(state.shots.length) }))) : null,
      h("div.scroll", { style: { "max-height": "290px" }, tabindex: "0", role: "region", "aria-label": t("images.title") }, h("table", h("thead", h("tr", [t("file"), t("model"), t("answer"), t("probability")].map((head, at) => h(at === 3 ? "th.number" : "th", { scope: "col" }, head)))),
        h("tbody", state.shots.map((shot, index) => h(index === state.chosen ? "tr.chosen" : "tr",
          h("td", h("button.quiet", { type: "button", "aria-pressed": String(index === state.chosen), on: { click: () => { state.chosen = index; draw(); } } }, isolated(shot.file.name), shot.frame > 1 ? h("span.soft", ` · ${t("dicom.frame")} ${number(shot.frame)}`) : null)),
          h("td", by(shot)), h("td", short(shot)), h("td.number", own(shot.answer) === undefined ? "" : percent(own(shot.answer))))))))));
    const region = list.querySelector(".scroll");
    region.scrollTop = scroll;
    if (focused) list.querySelector('[aria-pressed="true"]')?.focus();
  }

  function exported() {
    const answers = state.shots.map((shot) => shot.answer).filter(Boolean);
    const labels = [...new Set(answers.flatMap((answer) => answer.regions ?? []).map((region) => region.label))];
    const numbers = answers.some((answer) => answer.number) ? ["value", "low", "high", "unit"] : [];
    const rows = [["file", "frame", "model", "version", "label", "probability", "abstained", "reason", "problem", ...numbers, ...labels.flatMap((label) => [`${label} objects`, `${label} share`])]];
    for (const { file, frame, answer, error, model: used, version } of state.shots) {
      const region = (label) => answer?.regions?.find((one) => one.label === label);
      rows.push([file.name, frame, used.name, answer ? version : null, answer?.labels?.join("; ") ?? answer?.label, own(answer), answer?.abstained, answer?.reason, error?.message,
        ...numbers.map((name) => answer?.number?.[name]), ...labels.flatMap((label) => [region(label)?.objects, region(label)?.fraction])]);
    }
    save("images.csv", write(rows));
  }

  /** The shot that is looked at. Its picture stays in place while its answer comes and goes, so that its sliders keep hand and focus. */
  let sheet = null;
  function drawDetail() {
    const shot = state.shots[state.chosen];
    if (!shot) { sheet = null; put(detail); return; }
    shot.picture ??= picture(shot, { moved: (frame) => moved(shot, frame), settled: () => settled(shot) });
    if (sheet?.shot !== shot) {
      const verdict = h("div");
      sheet = { shot, verdict, element: h("div.sheet.shot", { id: "shot" }, h("div", shot.picture.element), verdict) };
      put(detail, sheet.element);
    }
    sheet.element.dataset.status = shot.status;
    const { answer, error } = shot;
    put(sheet.verdict,
      h("p.soft.small", isolated(shot.file.name), ` · ${bytes(shot.file.size)}`),
      answer || error ? null : h("p.soft", t("working")),
      drawn.has(shot.file) ? h("p.small", h("span.tag", t("images.drawing"))) : null,
      error ? problem(error) : null,
      answer?.predictions ? verdictOf(shot) : null,
      answer?.regions ? regions(answer) : null,
      answer ? h("p.soft.small.gap-s", { id: "by" }, by(shot), shot.frame > 1 ? ` · ${t("dicom.frame")} ${number(shot.frame)}` : null) : null,
      answer ? h("div.gap", times(shot.stages, shot.whole)) : null,
      answer ? h("div.gap", curl("POST", shot.path, { contentType: shot.type, file: shot.file.name })) : null);
    shot.picture.explain();
  }

  if (state.shots.length) {
    draw();
    go();
  }

  return (keep) => {
    state.open = false;
    for (const shot of state.shots) {
      const again = shot.status !== "done" && !(shot.status === "refused" && shot.error.status >= 400 && ![401, 403].includes(shot.error.status));
      // What is answered stays; what waits, and what another key or language answers otherwise, is asked about anew.
      if (!keep || again) halt(shot, keep ? "waiting" : "gone");
      shot.picture?.close();
      shot.picture = null;
    }
    return keep ? { shots: state.shots, chosen: state.chosen, model: state.model.name, made: maker?.kept() } : null;
  };
}

function short(shot) {
  if (shot.status === "refused") return h("span.tag.bad", t("refused"));
  if (shot.status !== "done") return h("span.soft", t(shot.status === "working" ? "working" : "waiting"));
  if (shot.answer.abstained) return h("span.tag.warn", t("abstained"));
  return isolated(shot.answer.regions ? outlined(shot.answer.regions) : said(shot.answer));
}

/** The model that a shot is asked of, with the version that answered. */
const by = ({ model, answer, version }) => [isolated(model.name), answer ? h("span.soft", ` · ${t("version")} ${version}`) : null];

/** The probability of the label answered, where one is. */
const own = (answer) => answer?.predictions?.find((one) => one.label === answer.label)?.probability;

/** What an answer says: its label, of several labels at once those that hold, or a number with its interval. */
const said = ({ label, labels, number: one }) => {
  if (one) return `${number(one.value, 1)}${one.unit ? ` ${one.unit}` : ""} (${number(one.low, 1)} – ${number(one.high, 1)})`;
  return labels ? labels.join(", ") || "–" : label;
};

function verdictOf({ answer, model }) {
  const names = model.label_descriptions ?? {};
  const probable = h("div.gap-s", bars(answer.predictions, { names, threshold: model.abstain_below, first: answer.label ?? "" }), h("p.soft.small.gap-s", t("bars.note", { value: percent(model.abstain_below) })));
  const rare = MEANINGLESS.includes(answer.reason) ? null : outcomes(model, answer);
  return h("div",
    rare, answer.abstained ? abstention(answer.reason) : rare ? null : h("div.below", h("div.verdict", isolated(said(answer)), !answer.labels && names[answer.label] ? ` · ${named(names[answer.label])}` : ""), answer.labels || answer.number ? null : h("div.soft", t("images.certainty", { value: percent(own(answer) ?? 0) }))),
    MEANINGLESS.includes(answer.reason) ? h("details", h("summary", t("bars.anyway")), probable) : probable);
}

/** A region in words: how many objects, where the model tells them apart. */
const found = ({ label, objects }) => (Number.isInteger(objects) ? `${label} × ${number(objects)}` : label);

const outlined = (list) => list.map(found).join(", ") || t("regions.none");

function regions({ regions: list, abstained, reason }) {
  if (abstained) return abstention(reason, "regions");
  return h("div", h("div.below", h("div.verdict", isolated(outlined(list))), list.length ? h("div.soft", t("regions.share")) : null), h("ul.bars", list.map((region) => h("li", h("span.name", isolated(region.label)), h("span.bar", h("i", { style: { width: `${region.fraction * 100}%` } })), h("span.much", percent(region.fraction))))));
}

/** What the server says of a shot, asked again where it is busy. */
async function classify({ file, model, frame }, signal) {
  const most = limits().max_body_bytes;
  if (file.size > most) throw new Error(t("images.too-large", { size: bytes(file.size), most: bytes(most) }));
  if (file.size === 0) throw new Error(t("images.empty"));
  const type = await typeOf(file);
  const task = model.task === "image-segmentation" ? "segment" : "classify";
  const query = new URLSearchParams({ model: model.name });
  if (frame > 1) query.set("frame", frame);
  const path = `/v1/images/${task}?${query}`;
  for (let tries = 1; ; tries += 1) {
    const began = performance.now();
    try {
      const response = await send("POST", path, { body: file, headers: { "content-type": type }, signal });
      const answer = await response.json();
      return { answer: answer.results[0], version: answer.version, type, path, stages: timings(response), whole: performance.now() - began };
    } catch (error) {
      // A server that starts anew has not refused anything: what was on its way is asked again when it is there.
      if (error.status === 0) {
        await reached(signal);
        signal.throwIfAborted();
        tries -= 1;
        continue;
      }
      const busy = error.status === 429 || error.status === 503;
      if (!busy || tries === TRIES || signal.aborted) throw error;
      await new Promise((done) => {
        const rest = setTimeout(done, 1000 * Math.min(10, Number(error.retryAfter) || tries));
        signal.addEventListener("abort", () => { clearTimeout(rest); done(); });
      });
      signal.throwIfAborted();
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
