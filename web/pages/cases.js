// Earlier cases that are like a text, with the words that made them found. What is known of a hit narrows the search.

import { get, path, send, timings } from "../lib/api.js";
import { h, icon, isolated, put } from "../lib/dom.js";
import { marked } from "../lib/marked.js";
import { attempt, curl, field, times, title } from "../lib/parts.js";
import { places } from "../lib/terms.js";
import { number, t } from "../lib/words.js";

// Code points of a text that are shown around the first marks.
const BEFORE = 80, SHOWN = 420;

export async function open(place, _, kept = {}) {
  const query = h("textarea", { id: "query", rows: 3, dir: "auto", value: kept.query ?? "" });
  const chosen = h("div.chips.gap-s", { id: "filter" }), out = h("div.gap", { "aria-live": "polite" });
  const filter = new Map(kept.filter);
  put(place, title("cases"), h("form.sheet", { role: "search", on: { submit: (event) => { event.preventDefault(); search(); } } },
    field(t("cases.query"), query), chosen, h("div.row.gap-s", h("button.main", { id: "search" }, t("cases.search")))), out);

  function narrow(name, value) {
    if (value === undefined) filter.delete(name);
    else filter.set(name, value);
    narrowed();
    search();
  }

  const narrowed = () => put(chosen, filter.size ? h("span.small.soft", t("cases.filter")) : null, [...filter].map(([name, value]) => h("button.small", {
      type: "button", "aria-label": t("cases.unfilter", { name }), on: { click: () => narrow(name) },
    }, h("span", isolated(name), ": ", isolated(value)), icon("close"))));

  let turn = 0, found = kept.found ?? null;
  const search = () => attempt(out, async () => {
    const mine = ++turn;
    found = null;
    put(out, h("p.soft", t("working")));
    const began = performance.now(), body = { query: query.value, limit: 10, ...(filter.size ? { filter: Object.fromEntries(filter) } : {}) };
    const response = await send("POST", "/v1/cases/search", { body }).catch((error) => (mine === turn ? Promise.reject(error) : null));
    if (!response) return;
    const { results } = await response.json(), took = performance.now() - began;
    const texts = await Promise.all(results.map((one) => get(path`/v1/cases/${one.case_id}`).then((found) => found.text, () => null)));
    if (mine !== turn) return;
    found = { results, texts, stages: timings(response), took, body };
    draw();
  });

  function draw() {
    const { results, texts, stages, took, body } = found;
    put(out, h("div.sheet", results.length ? [h("p.soft.small.below", { id: "rank" }, t("cases.rank")), h("ol.hits", results.map((one, at) => hit(one, at, texts[at], narrow)))] : h("p.soft", t("cases.none")),
      h("div.gap", times(stages, took)), h("div.gap-s", curl("POST", "/v1/cases/search", { contentType: "application/json", body: JSON.stringify(body) }))));
  }

  narrowed();
  if (found) draw();
  return () => ({ query: query.value, filter: [...filter], found });
}

function hit(found, at, text, narrow) {
  const { words, similarity } = found.because, spans = text === null ? [] : places(text, words);
  return h("li", h("div.row.apart", h("strong", `${number(at + 1)}. `, isolated(found.case_id)), similarity === null ? null : h("span.tag.accent", t("cases.similarity", { value: number(similarity, 2) }))),
    text === null ? null : excerpt(text, spans),
    h("div.chips.gap-s", Object.entries(found.attributes).map(([name, value]) => known(name, value, narrow))),
    h("p.small.soft.gap-s", words.length ? [t("cases.because"), " ", words.map((word, at) => [at ? ", " : "", isolated(word)])] : t("cases.no-words")));
}

/** A value as a button that looks for it alone; a list as text. */
function known(name, value, narrow) {
  if (typeof value === "object") return h("span.tag", isolated(name), ": ", isolated(value.join(", ")));
  return h("button.small", { type: "button", data: { name }, title: t("cases.only", { name }), on: { click: () => narrow(name, value) } }, h("span", isolated(name), ": ", isolated(value)));
}

/** The text around the first marks, and the whole where that is more. */
function excerpt(text, spans) {
  const points = [...text];
  if (points.length <= SHOWN) return marked(text, spans);
  const start = Math.min(Math.max((spans[0]?.start ?? 0) - BEFORE, 0), points.length - SHOWN), end = start + SHOWN;
  const part = `${start ? "…" : ""}${points.slice(start, end).join("")}${end < points.length ? "…" : ""}`, shift = start ? start - 1 : 0;
  const within = spans.filter((one) => one.start >= start && one.end <= end).map((one) => ({ start: one.start - shift, end: one.end - shift }));
  return h("div", marked(part, within), h("details", h("summary", t("cases.whole")), marked(text, spans)));
}
