// What each model answered over time against its held-out data: one line a model, and of the chosen one its labels,
// abstentions and certainty by hour or day.

import { get, path } from "./api.js";
import { columns, shares } from "./charts.js";
import { h, icon, isolated, put } from "./dom.js";
import { problem, table, tabs } from "./parts.js";
import { of, sum } from "./metrics.js";
import { fixed, number, percent, t, told as named, when } from "./words.js";

/** Each reading is a row of the audit for every model. */
const AGAIN = 300_000;
const HOUR = 3_600_000;
/** Days that can be looked at; up to two by the hour. */
const WINDOWS = [2, 7, 30, 90];
/** Labels of a model that are drawn. */
const LABELS = 12;
const TONES = { stable: "good", moved: "warn", shifted: "bad" };

/** The part of the page. `look(samples)` is told what the metrics say, for callers who may not read counts over time. */
export function drift(models) {
  const classifying = models.filter((one) => /-classification$/.test(one.task));
  const out = h("div.gap");
  const element = h("div.sheet.gap", { id: "drift" },
    h("div.row.apart", h("h2", t("drift")), tabs(WINDOWS.map((days) => [days, t(days === 2 ? "drift.hours" : "drift.days", { count: days === 2 ? 48 : days })]), 7, (days) => { window = days; put(out, h("p.soft", t("working"))); load(); }, t("drift.window"))),
    h("p.soft.small.gap-s", t("drift.lead")), out);
  let window = 7, chosen = "", given = [], closed = false, open = true, timer = null, turn = 0;

  async function load() {
    clearTimeout(timer);
    const mine = ++turn;
    const since = new Date(Date.now() - (window === 2 ? 48 * HOUR - HOUR : (window - 1) * 24 * HOUR));
    try {
      // Who may not read the first may read none.
      const asked = (one) => get(path`/v1/models/${one.name}/drift?since=${since.toISOString()}&by=${window === 2 ? "hour" : "day"}`, { quiet: true });
      const [first, ...others] = classifying;
      const all = first ? [await asked(first), ...await Promise.all(others.map(asked))] : [];
      if (!open || mine !== turn) return;
      given = all;
      closed = false;
      if (!out.contains(document.activeElement) || document.activeElement.dataset.model) draw();
    } catch (error) {
      if (!open || mine !== turn) return;
      closed = error.status === 401 || error.status === 403;
      if (!closed) put(out, problem(error));
    }
    if (!closed) timer = setTimeout(load, AGAIN);
  }

  function draw() {
    const focused = document.activeElement?.dataset?.model;
    const answered = given.filter((one) => one.whole.verdict !== "no-answers"), silent = given.filter((one) => !answered.includes(one));
    const rank = ["shifted", "moved", "stable", "few", "unknown"];
    answered.sort((a, b) => rank.indexOf(a.whole.verdict) - rank.indexOf(b.whole.verdict) || a.model.localeCompare(b.model));
    const shown = answered.find((one) => one.model === chosen) ?? answered[0];
    put(out,
      answered.length ? table([t("model"), t("drift.verdict"), t("drift.answers"), t("abstained"), t("drift.certainty"), t("drift.index")], answered.map((one) => line(one, one === shown, () => { chosen = one.model; draw(); })), { numbers: [2, 3, 4, 5], caption: t("drift") }) : h("p.soft", t("drift.none")),
      answered.length && silent.length ? h("p.small.soft.gap-s", t("drift.silent"), " ", silent.map((one, at) => [at ? ", " : "", isolated(one.model)])) : null,
      shown ? detail(shown, models.find((one) => one.name === shown.model)) : null,
      h("p.small.soft.gap", t("drift.measure")));
    if (focused) out.querySelector(`button[data-model="${CSS.escape(focused)}"]`)?.focus();
  }

  load();
  return {
    element,
    look: (samples) => { if (closed) put(out, h("p.soft.small", t("drift.closed")), h("div.grid.gap", classifying.map((model) => sinceStart(model, samples)))); },
    close: () => { open = false; clearTimeout(timer); },
  };
}

const count = (one) => one.answered + one.abstained;
const share = (one, label) => (label === null ? one.abstained / count(one) : (one.labels[label] ?? 0) / count(one));
/** Shares of the answers, those withheld among them, as the index has it. */
const then = (expected, label) => (!expected ? null : label === null ? expected.abstained : expected.shares[label] * (1 - expected.abstained));

function line({ model, expected, whole }, current, choose) {
  const beside = (value, other) => [value, other === null ? null : h("div.small.soft", other)];
  return [h("button.quiet", { type: "button", data: { model }, "aria-pressed": String(current), on: { click: choose } }, isolated(model)),
    h(TONES[whole.verdict] ? `span.tag.nowrap.${TONES[whole.verdict]}` : "span.tag.nowrap", whole.verdict === "stable" ? icon("check") : TONES[whole.verdict] ? icon("warning") : null, t(`drift.is.${whole.verdict}`)),
    number(count(whole)),
    beside(percent(share(whole, null)), expected ? percent(expected.abstained) : null),
    beside(percent(whole.confidence, 0), expected?.confidence ? `${percent(expected.confidence[0], 0)} – ${percent(expected.confidence[1], 0)}` : null),
    whole.stability_index === null ? "–" : beside(fixed(whole.stability_index, 2), t("drift.chance", { value: fixed(whole.chance, 2) }))];
}

/** One model over time, in a sentence and drawn. */
function detail(given, model) {
  const { whole, expected } = given, labels = model?.labels ?? Object.keys(whole.labels), names = model?.label_descriptions ?? {};
  const told = { index: fixed(whole.stability_index ?? 0, 2), chance: fixed(whole.chance ?? 0, 2), count: number(count(whole)), split: expected?.split ?? "", examples: number(expected?.examples ?? 0) };
  const far = (label) => Math.abs(share(whole, label) - (then(expected, label) ?? 0));
  const changed = ["moved", "shifted"].includes(whole.verdict) ? [...labels, null].sort((a, b) => far(b) - far(a)).slice(0, 2).filter((label) => far(label) >= 0.02) : [];
  const least = expected?.confidence;
  const certainty = !least ? null : whole.confidence < least[0] ? "drift.less" : whole.confidence > least[1] ? "drift.more" : null;
  const shown = labels.length <= LABELS ? labels : [...labels].sort((a, b) => Math.max(share(whole, b), then(expected, b) ?? 0) - Math.max(share(whole, a), then(expected, a) ?? 0)).slice(0, LABELS);
  const drawn = (words, value, line, most) => columns(slots(given, value, most === 1 ? (one) => percent(one, 0) : (one) => fixed(one, 2)), { most, line, words });
  const tall = Math.min(1, Math.max(0.02, ...shown.flatMap((label) => [then(expected, label) ?? 0, ...given.periods.map((one) => share(one, label))])) * 1.1);
  const row = (name, value, now, before, most, mark) => [name, columns(slots(given, value, percent), { most, line: mark, words: t("drift.over-time") }), now, before];
  const labelled = (label) => row([isolated(label), names[label] ? h("span.soft.small", " ", named(names[label])) : null], (one) => share(one, label), percent(share(whole, label)), expected ? percent(then(expected, label)) : "–", tall, then(expected, label));
  return h("div.gap", { id: "drift-model", data: { model: given.model, verdict: whole.verdict } },
    h("h3", isolated(given.model), h("span.soft", ` ${given.version}`)),
    h("p", t(`drift.says.${whole.verdict}`, told),
      changed.length ? [" ", t("drift.changed"), " ", changed.map((label, at) => [at ? ", " : "", label === null ? t("abstained") : isolated(label), ` (${percent(then(expected, label), 0)} → ${percent(share(whole, label), 0)})`]), "."] : null,
      certainty ? ` ${t(certainty, { now: percent(whole.confidence, 0), low: percent(least[0], 0), high: percent(least[1], 0) })}` : null),
    expected ? h("div.below", h("div.label", t("drift.index.over-time")), drawn(t("drift.index.over-time"), (one) => one.stability_index, 0.25, Math.max(0.5, ...given.periods.filter((one) => one.verdict !== "few").map((one) => one.stability_index ?? 0)))) : null,
    table([t("label"), t("drift.over-time"), t("drift.now"), t("drift.held-out")], [
      ...shown.map(labelled),
      row(h("em", t("abstained")), (one) => share(one, null), percent(share(whole, null)), expected ? percent(expected.abstained) : "–", Math.max(0.1, ...given.periods.map((one) => share(one, null))) * 1.1, expected?.abstained ?? null),
      row(h("em", t("drift.certainty")), (one) => one.confidence, percent(whole.confidence), least ? `${percent(least[0], 0)} – ${percent(least[1], 0)}` : "–", 1, least ? (least[0] + least[1]) / 2 : null),
    ], { numbers: [2, 3], caption: t("drift") }),
    labels.length > shown.length ? h("p.small.soft", t("bars.more", { count: labels.length - shown.length })) : null,
    expected ? h("p.small.soft.gap-s", t("drift.split", told)) : null);
}

/** Where each period lies between the beginning and now, with its value and words for it. */
function slots({ since, by, periods }, value, worded) {
  const width = by === "hour" ? HOUR : 24 * HOUR, begin = Date.parse(since);
  const all = Math.max(1, Math.ceil((Date.now() - begin) / width));
  return periods.map((one) => {
    const found = value(one);
    return { at: Math.round((Date.parse(one.from) - begin) / width) / all, width: 1 / all, value: found, tone: one.verdict === "few" ? "few" : "", words: found === null ? "" : `${when(one.from)}: ${worded(found)} (${t("drift.of", { count: number(count(one)) })})` };
  });
}

/** Shares since this process started, from the metrics that everybody may read. */
function sinceStart(model, samples) {
  const wanted = { model: model.name, version: model.version };
  const answers = new Map(of(samples, "medserve_answers_total", wanted).map((one) => [one.labels.label, one.value]));
  const total = [...answers.values()].reduce((a, b) => a + b, 0), withheld = sum(samples, "medserve_abstentions_total", wanted);
  return h("div", h("h3", isolated(model.name)), total + withheld < 1 ? h("p.soft.small", t("drift.none")) : [
    shares(model.labels.map((label) => [label, (answers.get(label) ?? 0) / Math.max(1, total)]), model.label_descriptions),
    h("p.small.soft.gap-s", t("drift.of", { count: number(total + withheld) }), " · ", t("abstained"), ` ${percent(withheld / (total + withheld))}`)]);
}
