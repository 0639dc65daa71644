// The parts that several pages show: probabilities, times, problems, the curl line.

import { announce, h, icon, isolated, put } from "./dom.js";
import { duration, has, number, percent, t, told } from "./words.js";
import { Failure, key } from "./api.js";

/** A page's title and what it is for. */
export function title(name) {
  return [h("h1", t(`${name}.title`)), h("p.lead", t(`${name}.lead`))];
}

/** Probabilities as bars, the answered label first in weight. `names` gives labels their words. */
export function bars(predictions, { names = {}, threshold = null, limit = 6, first = null } = {}) {
  const shown = predictions.slice(0, limit);
  const answered = first ?? predictions[0]?.label;
  return h("ul.bars", shown.map(({ label, probability }) => {
    const line = threshold === null ? null : h("b", { style: { left: `${threshold * 100}%` }, title: t("bars.threshold", { value: percent(threshold) }) });
    return h(label === answered ? "li.first" : "li",
      h("span.name", isolated(label), names[label] ? h("span.soft.small", " ", told(names[label])) : null),
      h("span.bar", { "aria-hidden": "true" }, h("i", { style: { width: `${Math.max(0, Math.min(1, probability)) * 100}%` } }), line),
      h("span.much", percent(probability)));
  }), predictions.length > limit ? h("li", h("span.name.soft", t("bars.more", { count: predictions.length - limit }))) : null);
}

/** Abstentions after which a probability would be believed that means nothing: it is shown to who asks for it. */
export const MEANINGLESS = ["unlike_training", "blank", "wrong_modality"];

/** Whether the answer is the least that a red flag asks for, and not what the model finds most probable. */
export const raisedByRule = ({ label, predictions, red_flags: flags = [] }) => predictions?.[0]?.label !== label && flags.some((flag) => flag.at_least === label);

/** An abstention in words; where `of` has words of its own for a reason, in those. */
export function abstention(reason, of = "") {
  const special = `reason.${reason}.${of}`;
  if (has(special)) reason = `${reason}.${of}`;
  const known = has(`reason.${reason}`);
  return h("div.notice.warn", { role: "note" }, icon("warning"), h("div",
    h("p", h("strong", t("abstained"))), h("p", known ? t(`reason.${reason}`) : reason ?? t("reason.none"))));
}

/** Time by stage, and the whole as the browser saw it. */
export function times(stages, whole) {
  const total = stages.reduce((sum, [, ms]) => sum + ms, 0);
  return h("div",
    total > 0 ? h("div.times", { "aria-hidden": "true" }, stages.map(([, ms]) => h("i", { style: { "flex-grow": Math.max(ms, total / 200) } }))) : null,
    h("div.keyed", stages.map(([name, ms]) => h("span", `${has(`stage.${name}`) ? t(`stage.${name}`) : name} ${number(ms, ms < 10 ? 2 : 0)} ms`)),
      h("span.none", t("stage.whole", { time: duration(whole / 1000) }))));
}

/** What went wrong, for whoever has to put it right. */
export function problem(error) {
  // What was refused in the browser has no status, and no advice beside its own words.
  const failure = error instanceof Failure ? error : new Failure(null, String(error?.message ?? error));
  announce(failure.message);
  return h("div.notice.bad", { role: "alert" }, icon("warning"), h("div",
    h("p", isolated(failure.message)),
    failure.errors.length && !(failure.errors.length === 1 && failure.message.includes(failure.errors[0].detail))
      ? h("ul", failure.errors.slice(0, 12).map((one) => h("li", h("code", one.pointer), " ", isolated(one.detail)))) : null,
    failure.advice ? h("p", failure.advice) : null,
    failure.requestId ? h("p.small", t("request-id"), " ", h("code", failure.requestId)) : null));
}

/** Asks before something that others notice; whether it is to be done. */
export function confirmed(question, yes) {
  return new Promise((done) => {
    const dialog = h("dialog", { role: "alertdialog", "aria-labelledby": "confirm-title" }, h("form", { method: "dialog" },
      h("p", { id: "confirm-title" }, isolated(question)),
      h("div.row.end.gap", h("button", { value: "", id: "confirm-no", autofocus: true }, t("cancel")), h("button.main", { value: "yes", id: "confirm-yes" }, yes))));
    dialog.addEventListener("close", () => { dialog.remove(); done(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Runs `work`; what goes wrong is shown in `place`. */
export async function attempt(place, work) {
  try {
    return await work();
  } catch (error) {
    if (error?.name !== "AbortError") put(place, problem(error));
    return undefined;
  }
}

/** Marks that turn the direction of what follows them: a name with one would shuffle the line that it stands in. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** The same call for a terminal. The key is not in it: it would end in a history. */
export function curl(method, path, { contentType, body, file } = {}) {
  const quoted = (text) => (TURNING.test(text) ? `$'${text.replace(/[\\']/g, "\\$&").replace(new RegExp(TURNING, "g"), (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`)}'` : `'${text.replaceAll("'", "'\\''")}'`);
  const words = ["curl -s"];
  if (method !== "GET" && method !== "POST") words.push(`-X ${method}`);
  if (key()) words.push('-H "authorization: Bearer $MEDSERVE_KEY"');
  if (contentType) words.push(`-H 'content-type: ${contentType}'`);
  if (file) words.push(`--data-binary ${quoted(`@${file}`)}`);
  if (body) words.push(`-d ${quoted(body)}`);
  words.push(quoted(location.origin + path));
  const text = words.join(" \\\n  ");
  return h("details", h("summary", t("curl")), h("div.curl", h("pre", { tabindex: "0" }, text), copy(text)));
}

function copy(text) {
  const button = h("button.quiet", { type: "button", title: t("copy"), "aria-label": t("copy"), on: { click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      put(button, icon("check"));
      announce(t("copied"));
    } catch {
      announce(t("copy.failed"));
    }
  } } }, icon("copy"));
  return button;
}

/** A table; the cells of `number` columns are set to the right. */
export function table(heads, rows, { numbers = [], caption = null } = {}) {
  const place = (index) => (numbers.includes(index) ? "number" : null);
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption ?? heads.filter((one) => typeof one === "string").join(", ") }, h("table", caption ? h("caption.unseen", caption) : null,
    h("thead", h("tr", heads.map((head, index) => h("th", { scope: "col", class: place(index) }, head)))),
    h("tbody", rows.map((row) => h("tr", row.map((cell, index) => h("td", { class: place(index) }, cell)))))));
}

/** One choice of several, as buttons. */
export function tabs(options, chosen, choose, label) {
  const group = h("div.tabs", { role: "group", "aria-label": label });
  const draw = (current) => put(group, options.map(([value, words]) => h("button", {
    type: "button", "aria-pressed": String(value === current), data: { value }, on: { click: () => { draw(value); choose(value); } },
  }, words)));
  draw(chosen);
  return group;
}

/** A labelled field. */
export function field(words, input, hint = null) {
  const id = input.id || `f${Math.random().toString(36).slice(2, 9)}`;
  const target = input.matches("input,select,textarea") ? input : input.querySelector("input,select,textarea");
  target.id = id;
  if (hint) target.setAttribute("aria-describedby", `${id}-hint`);
  return h("div.field", h("label", { for: id }, words), input, hint ? h("p.hint", { id: `${id}-hint` }, hint) : null);
}

/** Says beside a field what is wrong with it. */
export function wrong(element, detail) {
  clear(element);
  element.setAttribute("aria-invalid", "true");
  element.closest(".field").append(h("p.wrong", isolated(detail)));
}

/** Takes back what `wrong` said. */
export function clear(element) {
  element.removeAttribute("aria-invalid");
  element.closest(".field")?.querySelector(".wrong")?.remove();
}

/** A path as code that may break after its slashes. */
export function route(text) {
  return h("code", text.split("/").map((part, at) => [at ? "/" : "", at ? h("wbr") : null, part]));
}

/** A select. */
export function select(options, chosen, on) {
  return h("select", { on: { change: (event) => on?.(event.target.value) } },
    options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));
}
