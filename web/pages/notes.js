// How urgent is this note, or where does it belong? A form made from the fields that the model names, and a batch from CSV.

import { get, has, parameters, send, timings } from "../lib/api.js";
import { h, icon, isolated, put } from "../lib/dom.js";
import { abstention, bars, clear, curl, field, MEANINGLESS, problem, raisedByRule, select, tabs, times, title, wrong } from "../lib/parts.js";
import { marked } from "../lib/marked.js";
import { numeral, numeralInput, readable as numeric } from "../lib/numerals.js";
import { NOTES } from "../lib/samples.js";
import { outcomes } from "../lib/seldom.js";
import { number, percent, sentence, t, told } from "../lib/words.js";
import { batch } from "../lib/batch.js";
import { save, write } from "../lib/csv.js";

/** Of the strongest word or field, the share below which one is not shown. */
const LEAST = 0.12;

export async function open(place, _, kept = {}) {
  const { models } = await get("/v1/models");
  const extracts = has("POST /v1/notes/extract");
  const fitting = models.filter((model) => model.task === "note-classification" || (extracts && model.task === "note-extraction"));
  if (!fitting.length) {
    put(place, title("notes"), h("div.notice", t("notes.none")));
    return undefined;
  }
  let model = fitting.find((one) => one.name === (kept.model ?? "triage")) ?? fitting[0];
  let mode = kept.mode ?? "one", part = null;
  const body = h("div"), modes = h("div"), about = h("p.soft.small.about");
  const choice = select(fitting.map((one) => [one.name, one.name]), model.name, (name) => { model = fitting.find((one) => one.name === name); draw(); });
  choice.setAttribute("aria-label", t("model"));
  choice.id = "model";
  choice.classList.add("narrow");
  put(place, title("notes"),
    h("div.below", h("div.row.apart", h("div.row", h("span.label", { "aria-hidden": "true" }, t("model")), choice),
      modes), about), body);
  // Entities of many notes are not asked for here.
  function draw() {
    const many = model.task === "note-classification";
    if (!many) mode = "one";
    put(modes, many ? tabs([["one", t("notes.one")], ["batch", t("notes.batch")]], mode, (value) => { mode = value; show(); }, t("notes.title")) : null);
    show();
  }
  function show() {
    put(about, isolated(model.description ?? ""));
    part = mode === "one" ? form(model, left) : batch(model, left);
    put(body, part.element);
    left = undefined;
  }
  // What the part was left with, if it is the same.
  let left = kept.model === model.name ? kept.part : undefined;
  draw();
  return (keep) => (keep ? { model: model.name, mode, part: part.kept() } : null);
}

/** The form for one record, and its answer beside it: `{element, kept}`; what `kept()` says draws it again as it was. */
function form(model, left = null) {
  const fields = model.input?.fields ?? [];
  const inputs = new Map(fields.map((one) => [one.name, input(one)]));
  const note = h("textarea", { id: "note", rows: 5, required: true, dir: "auto", "aria-label": t("notes.note") });
  const answer = h("div", { "aria-live": "polite" });
  // What is under way is stopped by another question, and its answer is not shown: the note may be another by then.
  let stop = new AbortController(), last = null;
  const halt = () => { stop.abort(); stop = new AbortController(); return stop.signal; };
  const fill = (sample) => {
    note.value = sample.note;
    for (const [name, element] of inputs) element.value = sample.fields[name] ?? "";
    go.requestSubmit();
  };
  const samples = NOTES.filter((one) => one.model === model.name);
  const offered = samples.length ? samples : NOTES.filter((one) => one.model === "*");
  const go = h("form", { novalidate: true, on: { submit: (event) => { event.preventDefault(); ask(); } } },
    field(t("notes.note"), note),
    fields.length ? h("fieldset", { style: { border: "0", padding: "0", margin: "16px 0 0" } }, h("legend.label", { style: { padding: "0" } }, t("notes.fields")), h("p.small.soft", t("notes.fields.lead")),
      h("div.note-fields", fields.map((one) => field(one.label ?? readable(one.name), withUnit(one, inputs.get(one.name)), hint(one))))) : null,
    h("div.row.gap", h("button.main", { id: "ask" }, t("notes.ask")), h("button", { type: "button", on: { click: () => { halt(); go.reset(); last = null; put(nothing, t("notes.empty")); put(answer, nothing); inputs.forEach(clear); } } }, t("clear"))),
    h("div.row.gap-s", h("span.small.soft", t("samples")), offered.map((one, index) => h("button.quiet", { type: "button", id: `sample-${index}`, on: { click: () => fill(one) } }, h("bdi", one.note.length > 28 ? `${one.note.slice(0, 27)}…` : one.note)))));
  const nothing = h("div.sheet.soft", t("notes.empty"));
  put(answer, nothing);
  // An answer beside another note or other values than it was given would be taken for theirs.
  go.addEventListener("input", () => {
    if (answer.contains(nothing)) return;
    halt();
    last = null;
    put(nothing, t("notes.changed"));
    put(answer, nothing);
  });

  async function ask() {
    const signal = halt();
    last = null;
    [...inputs.values(), note].forEach(clear);
    // What is no number is not left out of the question, nor read as another.
    const odd = fields.filter((one) => one.type === "numeric" && !numeric(inputs.get(one.name).value));
    odd.forEach((one) => wrong(inputs.get(one.name), t("no-number")));
    if (odd.length) {
      put(answer, h("div.sheet", problem(new Error(t("notes.not-asked", { fields: odd.map((one) => one.label ?? readable(one.name)).join(", ") })))));
      return;
    }
    put(answer, h("div.sheet.soft", t("working")));
    const values = {};
    for (const one of fields) {
      const text = inputs.get(one.name).value.trim();
      if (text !== "") values[one.name] = one.type === "numeric" ? numeral(text) : text;
    }
    const record = model.task === "note-extraction" ? { note: note.value } : { note: note.value, fields: values };
    const request = { model: model.name, records: [record] };
    const explain = parameters("POST /v1/notes/classify").includes("explain");
    let path = model.task === "note-extraction" ? "/v1/notes/extract" : `/v1/notes/classify${explain ? "?explain=true" : ""}`;
    const began = performance.now();
    try {
      const response = await send("POST", path, { body: request, signal }).catch((error) => {
        // Not every model can say what its answer rests on.
        if (!error.errors?.some((one) => one.pointer === "explain")) throw error;
        path = "/v1/notes/classify";
        return send("POST", path, { body: request, signal });
      });
      const { results: [result], version } = await response.json();
      signal.throwIfAborted();
      last = { record, result, version, stages: timings(response), took: performance.now() - began, path, request };
      answered();
    } catch (error) {
      if (signal.aborted) return;
      let elsewhere = error.errors?.length ? 0 : 1;
      for (const { pointer, detail } of error.errors ?? []) {
        const name = /^\/records\/0\/(?:fields\/)?(.+)$/.exec(pointer)?.[1];
        const element = name === "note" ? note : inputs.get(name);
        if (element) wrong(element, sentence(detail));
        else elsewhere += 1;
      }
      put(answer, h("div.sheet", problem(elsewhere ? error : new Error(t("notes.beside")))));
    }
  }
  const answered = () => put(answer, shown(model, last.record, last.result), h("div.sheet", h("p.soft.small.below", { id: "by" }, isolated(model.name), ` · ${t("version")} ${last.version}`), times(last.stages, last.took), h("div.gap-s", curl("POST", last.path, { contentType: "application/json", body: JSON.stringify(last.request) }))));
  if (left) {
    note.value = left.note;
    for (const [name, value] of left.values) inputs.get(name).value = value;
    if (left.last) {
      last = left.last;
      answered();
    } else if (left.open) ask();
  }
  return {
    element: h("div.two", h("div.sheet", go), answer),
    // What was asked and not answered is asked about again: the key may have been the reason.
    kept: () => ({ note: note.value, values: [...inputs].map(([name, one]) => [name, one.value]), last, open: !last && !answer.contains(nothing) }),
  };
}

function input(one) {
  if (one.type === "categorical") return select([["", t("unknown")], ...one.values.map((value) => [value, told(value)])], "");
  if (one.type === "numeric") return numeralInput();
  return h("input", { type: "text", dir: "auto" });
}

function withUnit(one, element) {
  element.dataset.field = one.name;
  return one.unit ? h("div.with-unit", element, h("span", told(one.unit))) : element;
}

const readable = (name) => {
  const words = t(`field.${name}`);
  return words === `field.${name}` ? name.replaceAll("_", " ") : words;
};

function hint(one) {
  if (one.type !== "numeric") return null;
  const range = t("range", { low: number(one.min, 1), high: number(one.max, 1) });
  return one.normal ? t("range.usual", { range, usual: t("usual", { low: number(one.normal[0], 1), high: number(one.normal[1], 1) }) }) : range;
}

function shown(model, record, result) {
  if (result.entities) return extraction(record.note, result);
  const names = model.label_descriptions ?? {};
  const flags = result.red_flags ?? [];
  const strongest = Math.max(...(result.evidence ?? []).map((one) => Math.abs(one.weight)), 0);
  const telling = (result.evidence ?? []).filter((one) => Math.abs(one.weight) >= strongest * LEAST);
  const words = telling.filter((one) => Number.isInteger(one.start));
  const weighed = telling.filter((one) => one.field);
  // What is not known weighs by its absence, and is told from a value that was given.
  const weigh = (name) => (name in record.fields ? readable(name) : `${readable(name)} (${t("unknown")})`);
  const label = result.label;
  const raised = raisedByRule(result);
  const rare = MEANINGLESS.includes(result.reason) ? null : outcomes(model, result);
  const reasons = [
    h("div.gap", h("h3", t("probabilities")), bars(result.predictions, { names, threshold: model.abstain_below, first: raised ? null : label ?? "" }), h("p.soft.small.gap-s", t("bars.note", { value: percent(model.abstain_below) }))),
    telling.length ? h("h3.gap", t("evidence")) : null,
    words.length ? h("div", marked(record.note, words.map((one) => ({ ...one, strength: one.weight, against: one.weight < 0, note: one.weight < 0 ? "−" : "+" })))) : null,
    weighed.length ? h("div.chips.gap-s", weighed.map((one) => h(one.weight < 0 ? "span.tag.accent" : "span.tag.warn", weigh(one.field), ` ${one.weight < 0 ? "−" : "+"}${number(Math.abs(one.weight), 2)}`))) : null,
    telling.length ? h("p.soft.small.gap-s", t("evidence.note")) : null,
  ];
  return h("div.sheet", { id: "answer" },
    rare, result.abstained ? abstention(result.reason) : rare ? null : h("div", h("div.soft.small", model.scale ? t("notes.scale", { scale: model.scale }) : t("answer")), h("div.verdict", isolated(label), names[label] ? ` · ${told(names[label])}` : ""),
      raised ? h("div.notice.warn.gap-s", { id: "raised", role: "note" }, icon("flag"), h("div", t("notes.raised", { label: result.predictions[0].label }))) : null),
    flags.length ? h("div.gap", h("h3", t("flags")), h("ul.flags", flags.map((flag) => h("li", icon("flag"), h("div",
      h("strong", isolated(told(readable(flag.sign)))), ": ", isolated(told(flag.value)), " – ", isolated(sentence(flag.rule)), flag.at_least ? h("div.small", t("flags.least", { label: flag.at_least })) : null))))) : null,
    MEANINGLESS.includes(result.reason) ? h("details.gap-s", h("summary", t("bars.anyway")), reasons) : reasons,
    result.missing_fields?.length ? h("div.gap", h("h3", t("missing")), h("p.soft.small", t("missing.lead")), h("div.chips", result.missing_fields.map((name) => h("button.tag", { type: "button", on: { click: () => document.querySelector(`[data-field="${CSS.escape(name)}"]`)?.focus() } }, readable(name))))) : null,
    h("p.soft.small.gap", t("notes.read", { tokens: number(result.tokens) }), result.truncated ? ` ${t("notes.truncated")}` : ""));
}

const ENTITY = ["id", "label", "start", "end", "text", "probability", "negated", "speculated", "historical", "subject"];

function extraction(note, result) {
  const said = (one) => [one.speculated && "speculated", one.historical && "historical", one.subject !== "patient" && one.subject].filter(Boolean).map((name) => t(`said.${name}`));
  const spans = result.entities.map((one) => ({ ...one, note: [told(one.label), percent(one.probability), ...said(one)].join(" · "), denied: one.negated }));
  const text = new Map(result.entities.map((one) => [one.id, one.text]));
  return h("div.sheet", { id: "answer" }, h("h3", t("entities")), marked(note, spans), spans.length ? null : h("p.soft.small.gap-s", t("entities.none")),
    result.relations?.length ? h("div.gap", h("h3", t("relations")), h("ul", result.relations.map((one) => h("li", isolated(text.get(one.from) ?? one.from), ` – ${told(one.label.replaceAll("_", " "))} – `, isolated(text.get(one.to) ?? one.to), " ", h("span.soft", percent(one.probability)), one.negated ? [" ", h("span.tag.warn", t("denied"))] : null)))) : null,
    h("div.row.gap", h("button", { type: "button", on: { click: () => save("entities.csv", write([ENTITY, ...result.entities.map((one) => ENTITY.map((name) => one[name]))])) } }, t("download.csv"))));
}

