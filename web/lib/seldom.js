// Outcomes that a model's label seldom tells, mostly rare ones. Of most that were so in the data that the model was measured on,
// another label was the most probable one: its "no" stands beside nearly all of them and is no all-clear. There the
// probability is shown before the label, beside how often the outcome is anyway.

import { h, isolated } from "./dom.js";
import { fixed, number, percent, t, told } from "./words.js";

const sum = (row) => row.reduce((total, one) => total + one, 0);
const byTruth = (model) => (model.metrics?.test ?? model.metrics?.val)?.confusion ?? [];

/** Labels of which less than half of the true ones are found: `{label, found, all, examples}`. None of a scale, on which the level beside is near. */
export function seldom(model) {
  const confusion = byTruth(model);
  if (model.scale || confusion.length !== model.labels.length) return [];
  const examples = sum(confusion.map(sum));
  return model.labels.map((label, at) => ({ label, found: confusion[at][at], all: sum(confusion[at]), examples }))
    .filter(({ found, all }) => found * 2 < all);
}

/** Of those, with their probabilities in an answer, what its label does not say; none of an answer with several labels or a number. */
export function unsaid(model, { label, labels, number: one, predictions = [] }) {
  return labels || one ? [] : seldom(model).filter((one) => one.label !== label)
    .map((one) => ({ ...one, probability: predictions.find((given) => given.label === one.label)?.probability }))
    .filter((one) => one.probability !== undefined);
}

/** Of a model with such outcomes, beside its accuracy: how many of them are found, and what always saying the commonest label would reach. */
export function measured(model) {
  const list = seldom(model), counts = byTruth(model).map(sum), most = Math.max(...counts);
  return list.length ? h("p.small", { id: "seldom" }, list.map(({ label, all, found }) => [t("seldom.of", { label: told(label), all: number(all), found: number(found) }), " "]),
    t("seldom.always", { label: told(model.labels[counts.indexOf(most)]), value: fixed(most / sum(counts), 4) })) : null;
}

/** What stands before an answer with such outcomes, or in place of its label; null where there are none. */
export function outcomes(model, result) {
  const list = unsaid(model, result);
  if (!list.length) return null;
  const name = (label) => told(model.label_descriptions?.[label] ?? label);
  return h("div.stack", { id: "outcomes" }, list.map(({ label, found, all, examples, probability }) => h("div",
    h("div.verdict", isolated(name(label)), ` · ${percent(probability)}`),
    h("p.small.soft", t("seldom.usual", { share: percent(all / examples), all: number(all), examples: number(examples) })),
    h("p.small", result.label === null ? null : t("seldom.label", { label: name(result.label) }), " ", t("seldom.found", { all: number(all), found: number(found) })))));
}
