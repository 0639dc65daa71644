// Earlier cases that are like a text, with the words that made them found.

import { get, path, send, timings } from "../lib/api.js";
import { h, isolated, put } from "../lib/dom.js";
import { marked } from "../lib/marked.js";
import { attempt, curl, field, times, title } from "../lib/parts.js";
import { number, t } from "../lib/words.js";

export async function open(place) {
  const query = h("textarea", { id: "query", rows: 3, dir: "auto" });
  const out = h("div.gap", { "aria-live": "polite" });
  put(place, title("cases"), h("form.sheet", { role: "search", on: { submit: (event) => { event.preventDefault(); search(); } } },
    field(t("cases.query"), query), h("div.row.gap-s", h("button.main", { id: "search" }, t("cases.search")))), out);
  const search = () => attempt(out, async () => {
    const began = performance.now(), body = { query: query.value, limit: 10 };
    const response = await send("POST", "/v1/cases/search", { body });
    const { results } = await response.json();
    put(out, h("div.sheet", results.length ? h("ol.hits", results.map(hit)) : h("p.soft", t("cases.none")),
      h("div.gap", times(timings(response), performance.now() - began)), h("div.gap-s", curl("POST", "/v1/cases/search", { contentType: "application/json", body: JSON.stringify(body) }))));
  });
  return undefined;
}

function hit(found) {
  const text = h("div"), words = found.because?.words ?? [];
  const read = async () => {
    const { text: whole } = await get(path`/v1/cases/${found.case_id}`);
    put(text, marked(whole, places(whole, words)));
  };
  const attributes = Object.entries(found.attributes ?? {});
  return h("li", h("div.row.apart", h("strong", isolated(found.case_id)), h("span.tag.accent", number(found.score, 3))),
    found.text ? marked(found.text, places(found.text, words)) : null,
    attributes.length ? h("div.chips.gap-s", attributes.map(([name, value]) => h("span.tag", isolated(name), ": ", isolated(typeof value === "object" ? JSON.stringify(value) : value)))) : null,
    words.length ? h("p.small.soft.gap-s", t("cases.because"), " ", words.map((word, at) => [at ? ", " : "", isolated(word)])) : null,
    found.text ? null : h("details", { on: { toggle: (event) => event.target.open && attempt(text, read) } }, h("summary", t("cases.read")), text));
}

/** Where the words are in a text, in code points. */
function places(text, words) {
  const lower = text.toLowerCase(), found = [];
  if (lower.length !== text.length) return found;
  for (const word of words) {
    for (let at = lower.indexOf(word.toLowerCase()); word && at >= 0; at = lower.indexOf(word.toLowerCase(), at + 1)) {
      const start = [...text.slice(0, at)].length;
      found.push({ start, end: start + [...word].length });
    }
  }
  return found;
}
