// What suits this person, why, and why not; and what one more interaction changes.

import { get, has, path, post } from "../lib/api.js";
import { announce, h, icon, isolated, put } from "../lib/dom.js";
import { map } from "../lib/map.js";
import { attempt, confirmed, curl, field, problem, select, table, tabs, title } from "../lib/parts.js";
import { number, percent, sentence, t, told, when } from "../lib/words.js";
import { limits } from "../lib/api.js";

/** Things ruled out that are not folded. */
const FOLDED = 12;
const KINDS = ["hospital", "doctor", "pharmacy", "drug", "advice"];
const EVENTS = { hospital: "visit", doctor: "visit", pharmacy: "dispense", drug: "prescription", advice: "follow" };
const SAMPLES = ["u1", "u17", "u42", "u250", "u1999"];

export async function open(place, [id = "", kind = "drug"], kept = {}) {
  const input = h("input", { id: "person", value: kept.typed ?? id, autocomplete: "off", spellcheck: "false", placeholder: "u1", dir: "auto" });
  const body = h("div.gap"), measured = { by: kept.similarity ?? "cosine" };
  const go = (user, what = kind) => { location.hash = `#/people/${encodeURIComponent(user)}/${what}`; };
  put(place, title("people"),
    h("form.sheet", { role: "search", on: { submit: (event) => { event.preventDefault(); if (input.value.trim()) go(input.value.trim()); } } },
      h("div.row.top", h("div", { style: { flex: "1", "min-width": "200px" } }, field(t("people.id"), input, t("people.id.hint"))), h("button.main", { id: "open", style: { "margin-top": "25px" } }, t("people.open"))),
      limits().demo ? h("div.row", h("span.small.soft", t("samples")), SAMPLES.map((one) => h("button.quiet", { type: "button", on: { click: () => go(one) } }, one))) : null), body);
  if (id) {
    put(body, h("p.soft", t("working")));
    await attempt(body, () => person(body, id, KINDS.includes(kind) ? kind : "drug", (what) => history.replaceState(null, "", `#/people/${encodeURIComponent(id)}/${what}`), measured));
  }
  return () => ({ typed: input.value, similarity: measured.by });
}

async function person(body, id, first, chosen, measured) {
  const user = await get(path`/v1/users/${id}`).catch((error) => (error.status === 403 ? null : Promise.reject(error)));
  let kind = first;
  const answer = h("div"), past = h("div");
  const measure = select([["cosine", t("similarity.cosine")], ["pearson", t("similarity.pearson")], ["euclidean", t("similarity.euclidean")]], measured.by, (value) => { measured.by = value; ask(); });
  measure.classList.add("narrow");
  measure.setAttribute("aria-label", t("similarity"));
  put(body, h("div.stack", user ? profile(user) : null,
    h("div.row.apart", tabs(KINDS.map((one) => [one, t(`kind.${one}`)]), kind, (value) => { kind = value; chosen(value); ask(); }, t("kind")), measure), answer, past));
  let turn = 0, recording = false;
  async function ask(before = null) {
    const mine = ++turn, asked = kind;
    // What is listed is of another kind or measure by now, but for what was just recorded.
    if (!before) put(answer, h("p.soft", t("working")));
    const address = path`/v1/users/${id}/recommendations?kind=${kind}&limit=${10}&similarity=${measured.by}`;
    try {
      const given = await get(address);
      const things = await ofKind(asked, given.items);
      if (mine === turn) draw(asked, given, things, address, before);
    } catch (error) {
      if (mine === turn) put(answer, problem(error));
    }
  }

  function draw(kind, given, things, address, before) {
    const home = user && hasPlace(user.profile) ? user.profile : null;
    const drawn = kind === "drug" || kind === "advice" ? null : map(home,
      given.items.map((item, index) => ({ ...things.get(item.item_id), name: item.name, rank: index + 1 })).filter(hasPlace), [...things.values()].filter(hasPlace));
    const names = new Map([...things].map(([item, one]) => [item, one.name]));
    put(answer, h("div.two",
      h("div.sheet", { id: "recommended" },
        h("div.row.apart.below", h("h2", t("people.recommended")), h("span.tag.accent", { title: t(`strategy.${given.strategy}.why`) }, t(`strategy.${given.strategy}`))),
        before ? h("div.notice.below", { id: "recorded" }, icon("check"), h("div", t("people.recorded", { name: before.of.name, event: told(before.event) }))) : null,
        given.abstained ? h("div.notice.warn", icon("warning"), h("div", isolated(sentence(given.abstained)))) : null,
        (given.flags ?? []).map((flag) => h("div.notice.warn.below", icon("warning"), h("div", isolated(sentence(flag))))),
        given.items.length ? h("ol.recs", given.items.map((item, index) => recommended(item, index, names, before, () => record(kind, item)))) : given.abstained ? null : h("p.soft", t("people.nothing"))),
      h("div", drawn ? h("div.sheet", drawn) : null,
        h("div.sheet", { id: "excluded" }, h("h2", t("people.excluded")), given.excluded.length
          ? ruledOut(given.excluded, names)
          : h("p.soft", t("people.none-excluded"))),
        h("div.sheet", h("p.soft.small", t("people.as-of", { time: when(given.as_of) })), curl("GET", address)))));
  }

  async function record(kind, item) {
    // Once for one press: each is an interaction of its own.
    if (recording) return;
    recording = true;
    if (!await confirmed(t("people.record.sure", { event: told(EVENTS[kind]), name: item.name, person: id }), t("people.record"))) {
      recording = false;
      return;
    }
    const mine = turn, shown = answer.querySelectorAll(".recs .title");
    const before = [...answer.querySelectorAll("#recommended .title")].map((one) => one.dataset.id);
    try {
      await post("/v1/interactions", [{ user_id: id, item_id: item.item_id, event: EVENTS[kind], time: new Date().toISOString() }]);
      announce(t("people.recorded", { name: item.name, event: told(EVENTS[kind]) }));
      if (mine === turn) {
        await ask({ order: before, of: item, event: EVENTS[kind] });
        // The pressed button is gone.
        const told = document.getElementById("recorded");
        told?.setAttribute("tabindex", "-1");
        told?.focus();
      }
      await showHistory();
    } catch (error) {
      shown[0]?.closest(".sheet").prepend(problem(error));
    } finally {
      recording = false;
    }
  }

  async function showHistory() {
    const list = await get(path`/v1/users/${id}/interactions?limit=${12}`).catch(() => null);
    if (!list) return;
    put(past, h("div.sheet", h("h2", t("people.history")), list.interactions.length ? table([t("time"), t("item"), t("event"), t("weight")],
      list.interactions.map((one) => [when(one.time), isolated(one.item_id), isolated(told(one.event)), number(one.weight, 2)]), { numbers: [3], caption: t("people.history") }) : h("p.soft", t("people.no-history")),
    list.more ? h("p.soft.small.gap-s", t("people.history.more")) : null));
  }

  await Promise.all([ask(), showHistory()]);
  if (has("GET /v1/users/{user_id}/neighbors")) past.after(neighbors(id, () => kind));
}

/** What was ruled out, allergies and named interactions first: of a long list the rest is folded. */
function ruledOut(list, names) {
  const urgency = (one) => (one.reason.startsWith("allergy") ? 0 : one.severity ? 1 : 2);
  const rows = [...list].sort((a, b) => urgency(a) - urgency(b)).map((one) => h("li", h("span.rank", icon("close")), h("span.title", isolated(names.get(one.item_id) ?? one.item_id)), one.severity ? h("span.tag.bad", t(`severity.${one.severity}`)) : h("span"), h("div.why", isolated(sentence(one.reason)), one.note ? h("div", isolated(one.note)) : null)));
  const rest = rows.splice(FOLDED);
  return [h("ul.recs", rows), rest.length ? h("details.gap-s", h("summary", t("people.more-excluded", { count: rest.length })), h("ul.recs", rest)) : null];
}

function recommended(item, index, names, before, record) {
  const { because } = item;
  const reasons = [
    because.supporting_neighbors === "few" ? t("because.few") : because.supporting_neighbors > 0 ? t("because.neighbors", { count: number(because.supporting_neighbors) }) : null,
    because.shared_items?.length ? [t("because.shared"), " ", because.shared_items.map((one, at) => [at ? ", " : "", isolated(names.get(one) ?? one)])] : null,
    because.context?.length ? [t("because.context"), " ", because.context.map((one, at) => [at ? ", " : "", isolated(sentence(one))])] : null,
  ].filter(Boolean);
  return h("li", h("span.rank", `${index + 1}.`),
    h("span.title", { data: { id: item.item_id } }, isolated(item.name), item.distance_km !== undefined ? h("span.soft.small.nowrap", ` · ${number(item.distance_km, 1)} km`) : null),
    h("span.row", before ? moved(item, index, before) : null, h("button.small", { type: "button", "aria-label": t("people.record.of", { name: item.name }), on: { click: record } }, t("people.record"))),
    h("div.why", (item.cautions ?? []).map((one) => h("div", h("span.tag.warn", icon("warning"), isolated(sentence(one))))), reasons.length ? h("ul", reasons.map((one) => h("li", one))) : null));
}

/** How a place in the list changed by what was recorded. */
function moved(item, index, { order }) {
  const was = order.indexOf(item.item_id);
  if (was < 0) return h("span.tag.good", t("moved.new"));
  if (was === index) return null;
  return h("span.tag.accent", was > index ? `▲ ${was - index}` : `▼ ${index - was}`);
}

const hasPlace = (one) => Number.isFinite(one?.latitude) && Number.isFinite(one?.longitude);

const catalogues = new Map();

/** The things of a kind by their ids: one page of them, asked for once, and those of the answer that are not on it. */
async function ofKind(kind, answered) {
  if (!catalogues.has(kind)) {
    const page = await get(path`/v1/items?kind=${kind}&limit=${1000}`).catch(() => ({ items: [] }));
    catalogues.set(kind, new Map(page.items.map((one) => [one.item_id, one])));
  }
  const things = catalogues.get(kind);
  await Promise.all(answered.filter((one) => !things.has(one.item_id)).map(async ({ item_id }) => {
    const one = await get(path`/v1/items/${item_id}`).catch(() => null);
    if (one) things.set(item_id, one);
  }));
  return things;
}

function profile({ user_id, profile: known }) {
  const list = (values) => (values === undefined ? h("span.soft", t("profile.unknown")) : values.length ? h("span.chips", values.map((one) => h("span.tag", isolated(one)))) : t("profile.no"));
  const fact = (name, value) => [h("dt", t(`profile.${name}`)), h("dd", value)];
  return h("div.sheet", { id: "profile" }, h("h2", isolated(user_id)), h("dl.facts.wide",
    fact("birth_year", known.birth_year ?? h("span.soft", t("profile.unknown"))),
    fact("sex", known.sex ? t(`sex.${known.sex}`) : h("span.soft", t("profile.unknown"))),
    fact("conditions", list(known.conditions)), fact("allergies", list(known.allergies)), fact("medications", list(known.medications)),
    known.pregnant ? fact("pregnant", h("span.tag.warn", t("yes"))) : null,
    known.lifestyle?.length ? fact("lifestyle", list(known.lifestyle)) : null));
}

/** Who is like this person; asked for when it is opened, since only administrators may know. */
function neighbors(id, kind) {
  const out = h("div");
  return h("details.sheet", { on: { toggle: (event) => event.target.open && attempt(out, async () => {
    const found = await get(path`/v1/users/${id}/neighbors?kind=${kind()}&limit=${10}`);
    put(out, table([t("people.id"), t("similarity")], found.neighbors.map((one) => [h("a", { href: `#/people/${encodeURIComponent(one.user_id)}/${kind()}` }, isolated(one.user_id)), percent(one.similarity)]), { numbers: [1], caption: t("people.neighbors") }));
  }) } }, h("summary", t("people.neighbors")), out);
}
