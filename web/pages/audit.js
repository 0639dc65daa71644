// Who asked what, of which model, and what was answered: filtered here, exported as CSV or JSON.

import { get, has, parameters, path } from "../lib/api.js";
import { h, isolated, put } from "../lib/dom.js";
import { attempt, field, problem, route as spelled, select, title } from "../lib/parts.js";
import { save, write } from "../lib/csv.js";
import { duration, number, t, when } from "../lib/words.js";

const outcomes = {
  decisions: (row) => row.abstained || row.answers.length > 0,
  answered: (row) => row.answers.length > 0 && !row.abstained,
  abstained: (row) => row.abstained,
  refused: (row) => row.status >= 400,
};
const PAGE = 200;
/** Rows that the server gives on a page at most. */
const MOST = 1000;
/** Rows that are drawn; a download has all. */
const DRAWN = 400;
/** Pages read for one look at most: a filter that fits little should not read the whole audit. */
const PAGES = 10;
const COLUMNS = ["number", "time", "caller", "method", "route", "status", "model", "version", "answers", "abstained", "latency_ms", "request_id", "input_sha256"];

export async function open(place, _, kept = {}) {
  const filters = { text: "", route: "", outcome: "decisions", ...kept.filters };
  let { rows = [], next = null, done = false } = kept, turn = 0;
  const out = h("div.gap");
  const person = h("input", { id: "audit-person", autocomplete: "off", spellcheck: "false", dir: "auto", value: kept.person ?? "", on: { change: fresh } });
  const [from, to] = ["from", "to"].map((end) => h("input", { type: "datetime-local", id: `audit-${end}`, value: kept[end] ?? "", on: { change: fresh } }));
  const text = h("input", { type: "search", id: "filter", value: filters.text, on: { input: () => { filters.text = text.value.trim().toLowerCase(); draw(); } } });
  const route = h("div"), exporting = h("span.row"), said = h("p.soft.small.gap-s", { role: "status" });
  const outcome = select([["decisions", t("audit.decisions")], ["", t("audit.calls")], ["answered", t("audit.answered")], ["abstained", t("abstained")], ["refused", t("refused")]], filters.outcome, (value) => { filters.outcome = value; draw(); });
  put(place, title("audit"), h("div.sheet",
    h("div.note-fields.wide", parameters("GET /v1/audit").includes("user") ? field(t("audit.person"), person, t("audit.person.hint")) : null, field(t("audit.text"), text, t("audit.text.hint")),
      parameters("GET /v1/audit").includes("from") ? [field(t("audit.from"), from), field(t("audit.to"), to, t("audit.to.hint"))] : null,
      route, field(t("audit.outcome"), outcome)),
    h("div.row.gap", h("button", { type: "button", on: { click: fresh } }, t("audit.fresh")), h("button", { type: "button", id: "audit-csv", on: { click: () => exported("csv") } }, t("download.csv")), h("button", { type: "button", on: { click: () => exported("json") } }, t("download.json")), exporting), said), out);

  const fits = (row) => (!filters.route || row.route === filters.route) &&
    (!filters.outcome || (outcomes[filters.outcome](row))) &&
    (!filters.text || [row.caller, row.model, row.request_id, row.input_sha256, String(row.status), ...row.answers].some((one) => one?.toLowerCase().includes(filters.text)));
  const shown = () => rows.filter(fits);

  async function fresh() {
    put(exporting);
    rows = [];
    next = null;
    done = false;
    put(out, h("p.soft", t("working")));
    await more();
  }

  async function more() {
    // Whoever reads meanwhile, reads the same page: that one is not taken twice.
    const mine = ++turn;
    await attempt(out, async () => {
      const want = shown().length + 50;
      for (let page = 0; page < PAGES && !done && shown().length < want; page += 1) {
        if (!await read(PAGE, mine)) return;
      }
      draw();
    });
  }

  /** Reads the next page; false where it is of another person or time by now. */
  async function read(limit, mine) {
    const query = new URLSearchParams({ limit });
    if (next) query.set("before", next);
    if (person.value.trim()) query.set("user", person.value.trim());
    for (const [name, { value }] of [["from", from], ["to", to]]) if (value) query.set(name, new Date(value).toISOString());
    const answer = await get(`/v1/audit?${query}`).catch((error) => (mine === turn ? Promise.reject(error) : null));
    if (mine !== turn) return false;
    for (const row of answer.rows) rows.push(row);
    next = answer.next;
    done = !next;
    return true;
  }

  function draw() {
    const routes = [...new Set(rows.map((row) => row.route))].sort();
    put(route, field(t("route"), select([["", t("audit.all")], ...routes.map((one) => [one, one])], filters.route, (value) => { filters.route = value; draw(); })));
    const list = shown();
    said.textContent = t("audit.count", { shown: number(list.length), read: number(rows.length) });
    put(out, h("div.sheet", { id: "audit" }, h("div.scroll", { tabindex: "0", role: "region", "aria-label": t("audit.title") }, h("table",
      h("thead", h("tr", ["time", "caller", "call", "answer", "took", ""].map((head) => h("th", { scope: "col" }, head ? t(`audit.${head}`) : "")))),
      h("tbody", list.slice(0, DRAWN).map((row) => h("tr",
        h("td.nowrap", when(row.time)), h("td", isolated(row.caller)),
        h("td", spelled(`${row.method} ${row.route}`), row.model ? h("div.small.soft", isolated(row.model), ` ${row.version}`) : null),
        h("td", row.status >= 400 ? h("span.tag.bad", String(row.status)) : row.answers.length ? row.answers.slice(0, 5).map((one, at) => [at ? ", " : "", one === null ? h("span.tag.warn", t("abstained")) : isolated(one)]) : row.abstained ? h("span.tag.warn", t("abstained")) : h("span.soft", String(row.status)), row.answers.length > 5 ? " …" : ""),
        h("td.number.nowrap", duration(row.latency_ms / 1000)),
        h("td", whole(row))))))),
    list.length ? null : h("p.soft", t(done ? "audit.nothing" : "audit.nothing-yet")),
    list.length > DRAWN ? h("p.soft.small", t("batch.more", { count: number(list.length - DRAWN) })) : null,
    done ? null : h("div.row.gap", h("button", { type: "button", on: { click: more } }, t("audit.more")))));
  }

  /** Saves all that the filters hold, also what was not read yet: a file that ends where the page does would be taken for the whole. */
  async function exported(form) {
    const mine = ++turn;
    let stopped = false;
    const stop = h("button.quiet", { type: "button", id: "audit-stop", on: { click: () => { stopped = true; } } }, t("stop"));
    await attempt(exporting, async () => {
      while (!done && !stopped) {
        put(exporting, h("span.soft.small", t("audit.reading", { read: number(rows.length) })), stop);
        if (!await read(MOST, mine)) return;
      }
      put(exporting);
      draw();
      if (!stopped) written(form);
    });
  }

  function written(form) {
    const list = shown();
    if (form === "json") save("audit.json", JSON.stringify(list, null, 1), "application/json");
    else save("audit.csv", write([COLUMNS, ...list.map((row) => COLUMNS.map((name) => (name === "answers" ? row.answers.map((one) => one ?? "").join(" ") : row[name])))]));
  }

  if (rows.length || done) draw();
  else await fresh();
  return () => {
    turn += 1;
    return { filters, rows, next, done, person: person.value, from: from.value, to: to.value };
  };
}

/** One decision whole: what the row has, and what the server keeps beside it where it does. */
function whole(row) {
  const out = h("div");
  const facts = (all) => h("dl.facts.small", Object.entries(all).filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", h("code", name)), h("dd", typeof value === "object" ? h("code", JSON.stringify(value)) : isolated(value))]));
  return h("details", { on: { toggle: async (event) => {
    if (!event.target.open || out.firstChild) return;
    put(out, facts({ request_id: row.request_id, input_sha256: row.input_sha256 }));
    if (has("GET /v1/audit/{number}")) put(out, await get(path`/v1/audit/${row.number}`).then(facts, problem));
  } } }, h("summary", { "aria-label": t("audit.whole") }, t("audit.more-of")), out);
}
