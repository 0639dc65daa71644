// Pictures that a model makes of a label. They show nobody, and the page says so beside each.

import { send, timings } from "./api.js";
import { save } from "./csv.js";
import { h, put } from "./dom.js";
import { numeral, numeralInput, readable } from "./numerals.js";
import { attempt, clear, curl, field, select, times, wrong } from "./parts.js";
import { number, t } from "./words.js";

const PATH = "/v1/images/generate";

/** The part of the page, for models that make pictures: `{element, kept}`; what `kept()` says draws it again as it was. */
export function generate(models, kept = null) {
  let model = models.find((one) => one.name === kept?.model) ?? models[0], last = kept?.last ?? null;
  const labels = h("div"), out = h("div", { "aria-live": "polite" });
  const count = numeralInput({ id: "generate-count", value: kept?.count ?? 4, inputmode: "numeric" });
  const seed = numeralInput({ id: "generate-seed", value: kept?.seed ?? "", inputmode: "numeric" });
  const go = h("button.main", { id: "generate-go" }, t("generate.go"));
  let label;
  const choose = () => put(labels, field(t("label"), label = select(model.labels.map((one) => [one, model.label_descriptions?.[one] ? `${one} · ${model.label_descriptions[one]}` : one]), model.labels[0])));
  choose();
  if (kept) label.value = kept.label;

  const ask = () => attempt(out, async () => {
    [count, seed].forEach(clear);
    const odd = [count, seed].filter((one) => !readable(one.value));
    odd.forEach((one) => wrong(one, t("no-number")));
    if (odd.length) return;
    const given = (name, text) => (text.trim() === "" ? {} : { [name]: numeral(text) });
    const body = { model: model.name, label: label.value, ...given("count", count.value), ...given("seed", seed.value) };
    put(out, h("p.soft.gap", t("generate.working")));
    go.disabled = true;
    try {
      const began = performance.now(), response = await send("POST", PATH, { body });
      const answer = await response.json();
      last = { answer, stages: timings(response), took: performance.now() - began, body: { ...body, seed: answer.seed } };
      draw();
    } finally {
      go.disabled = false;
    }
  });

  const draw = () => put(out, made(last.answer), h("div.gap", times(last.stages, last.took)), h("div.gap-s", curl("POST", PATH, { contentType: "application/json", body: JSON.stringify(last.body) })));
  if (last) draw();

  const element = h("section.sheet.gap", { id: "generate", "aria-labelledby": "generate-title" }, h("h2", { id: "generate-title" }, t("generate")), h("p.soft.small", t("generate.lead")),
    h("form", { novalidate: true, on: { submit: (event) => { event.preventDefault(); ask(); } } },
      h("div.note-fields", models.length > 1 ? field(t("model"), select(models.map((one) => [one.name, one.name]), model.name, (name) => { model = models.find((one) => one.name === name); choose(); })) : null,
        labels, field(t("generate.count"), count, t("generate.count.hint")), field(t("generate.seed"), seed, t("generate.seed.hint"))),
      h("div.row.gap", go)), out);
  return { element, kept: () => ({ model: model.name, label: label.value, count: count.value, seed: seed.value, last }) };
}

function made({ model, label, seed, results }) {
  return h("div.gap", h("p", t("generate.made", { count: number(results.length), label, seed })), h("div.made", results.map(({ number: place, png, width, height }) => {
    const bytes = Uint8Array.from(atob(png), (one) => one.charCodeAt(0));
    return h("figure", h("img", { src: `data:image/png;base64,${png}`, width, height, alt: t("generate.alt", { number: place, label }) }),
      h("figcaption", h("span.tag.warn", t("generate.synthetic")), h("button.quiet.small", { type: "button", "aria-label": t("generate.save.of", { number: place }), on: { click: () => save(`synthetic-${model}-${label}-${seed}-${place}.png`, bytes, "image/png") } }, t("generate.save"))));
  })));
}
