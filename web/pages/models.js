// What is served: cards with their plots, measures by split, versions, and putting into and taking out of service.

import { get, has, path, post, send } from "../lib/api.js";
import { confusion } from "../lib/charts.js";
import { save } from "../lib/csv.js";
import { announce, h, icon, isolated, put } from "../lib/dom.js";
import { markdown } from "../lib/markdown.js";
import { attempt, confirmed, table, tabs, title } from "../lib/parts.js";
import { report as trained } from "../lib/report.js";
import { measured } from "../lib/seldom.js";
import { fixed, has as known, number, t, told } from "../lib/words.js";

const MEASURES = ["examples", "accuracy", "auc", "macro_f1", "ece", "abstained", "accuracy_answered", "under_triage", "over_triage", "quadratic_weighted_kappa", "dice", "iou", "f1"];

export async function open(place, [chosen = ""]) {
  const { models } = await get("/v1/models");
  const addresses = [];
  const detail = h("div.gap");
  // A bookmark of a model that is gone does not show another under its name.
  const model = chosen ? models.find((one) => one.name === chosen) : models[0];
  const versions = h("div.gap");
  put(place, title("models"),
    models.length ? h("div.pick", models.map((one) => h("a", { href: `#/models/${encodeURIComponent(one.name)}`, "aria-current": one === model ? "true" : null },
      h("strong", isolated(one.name)), h("span.soft.small", t(`task.${one.task}`), " · ", t("version"), ` ${one.version}`)))) : h("div.notice", t("models.none")),
    detail, versions);
  if (chosen && !model) put(detail, h("div.notice.warn", { role: "alert" }, icon("warning"), h("div", t("models.gone", { name: chosen }))));
  if (model) put(detail, shown(model, addresses));
  await repository(versions);
  return () => addresses.forEach((one) => URL.revokeObjectURL(one));
}

function shown(model, addresses) {
  const plot = (address, alt) => {
    const name = /^plots\/([\w-]+\.svg)$/.exec(address)?.[1];
    if (!name || !has("GET /v1/models/{name}/plots/{plot}")) return null;
    const image = h("img", { alt });
    const place = h("figure", image);
    send("GET", path`/v1/models/${model.name}/plots/${name}`, { accept: "image/svg+xml" }).then((answer) => answer.blob()).then((blob) => {
      addresses.push(image.src = URL.createObjectURL(blob));
    }).catch(() => place.remove());
    return place;
  };
  const splits = Object.entries(model.metrics ?? {}).filter(([, one]) => one && typeof one === "object");
  const flat = ([, one]) => ({ ...one, ...(one.ordinal ?? {}) });
  // Vectors of texts have no labels.
  const measures = model.task === "text-embedding" ? MEASURES.filter((name) => !["macro_f1", "ece"].includes(name)) : MEASURES;
  const measure = (name) => (name === "examples" && model.task === "image-segmentation" ? "measure.pixels" : `measure.${name}`);
  const names = measures.filter((name) => splits.some((split) => typeof flat(split)[name] === "number"));
  const matrices = splits.filter(([, one]) => one.confusion?.length);
  const matrix = h("div");
  const draw = (name) => put(matrix, confusion(model.labels, model.metrics[name].confusion));
  const last = matrices.at(-1)?.[0];
  const card = h("div.card", markdown(model.card ?? "", plot));
  return h("div.stack", h("div.sheet", { id: "model" },
    h("div.row.apart", h("h2", isolated(model.name)), h("span.tag.accent", t("version"), ` ${model.version}`)), h("p", isolated(model.description ?? "")),
    model.report ? report(model, addresses) : null,
    h("dl.facts.gap-s", fact("labels", h("span.chips", model.labels.map((label) => h("span.tag", isolated(label), model.label_descriptions?.[label] ? ` ${told(model.label_descriptions[label])}` : "")))),
      model.abstain_below > 0 ? fact("abstain", number(model.abstain_below, 3)) : null,
      model.data?.name ? fact("data", [isolated(model.data.name), model.data.licence ? ` (${model.data.licence})` : ""]) : null)),
  names.length ? h("div.sheet", h("h2", t("measures")), table([t("split"), ...names.map((name) => (known(measure(name)) ? t(measure(name)) : name))],
    splits.map((split) => [h("span.nowrap", told(split[0])), ...names.map((name) => (typeof flat(split)[name] === "number" ? fixed(flat(split)[name], name === "examples" ? 0 : 4) : "–"))]), { numbers: names.map((_, index) => index + 1), caption: t("measures") }), measured(model)) : null,
  matrices.length ? h("div.sheet", h("div.row.apart.below", h("h2", t("confusion")), tabs(matrices.map(([name]) => [name, told(name)]), last, draw, t("split"))), (draw(last), matrix)) : null,
  h("div.sheet", card));
}

/** The report of the training: shown here or saved as a file, since the key of this tab opens it and a new tab has none. */
function report(model, addresses) {
  const said = h("div"), address = path`/v1/models/${model.name}/report`;
  let shown = null;
  const toggle = () => attempt(said, async () => {
    if (shown) {
      shown.addresses.forEach((one) => URL.revokeObjectURL(one));
      shown = null;
      put(said);
    } else {
      put(said, h("p.soft", t("working")));
      shown = await trained(address);
      addresses.push(...shown.addresses);
      put(said, shown.element);
    }
    open.setAttribute("aria-expanded", String(shown !== null));
    put(open, t(shown ? "model.report.close" : "model.report.open"));
  });
  const open = h("button.main", { type: "button", id: "report-open", "aria-expanded": "false", on: { click: toggle } }, t("model.report.open"));
  const fetched = () => attempt(said, async () => {
    const answer = await send("GET", address, { accept: "text/html" });
    save(`${model.name}-${model.version}.html`, await answer.text(), "text/html;charset=utf-8");
  });
  return h("div.gap-s", h("div.row", open, h("button", { type: "button", id: "report", on: { click: fetched } }, t("model.report"))), h("p.soft.small.gap-s", t("model.report.what")), said);
}

const fact = (name, value) => [h("dt", t(`model.${name}`)), h("dd", value)];

/** Versions in the folder and what is in service; only administrators may ask. */
async function repository(place) {
  let entries;
  try {
    entries = await post("/v2/repository/index", {}, { quiet: true });
  } catch (error) {
    put(place, h("div.sheet", h("h2", t("repository")), h("p.soft", error.status === 401 || error.status === 403 ? t("repository.closed") : error.message)));
    return;
  }
  const said = h("div.gap-s");
  const act = (entry, what) => h("button", { type: "button", data: { act: what, model: entry.name }, on: { click: (event) => attempt(said, async () => {
    if (what === "unload" && !await confirmed(t("repository.unload.sure", { name: entry.name }), t("repository.unload"))) return;
    event.target.disabled = true;
    try {
      const body = what === "load" ? { parameters: { version: entry.version } } : {};
      await post(path`/v2/repository/models/${entry.name}/` + what, body);
      announce(t(`repository.${what}.done`, { name: entry.name }));
    } catch (error) {
      event.target.disabled = false;
      throw error;
    }
    await repository(place);
  }) } }, t(`repository.${what}`));
  put(place, h("div.sheet", { id: "repository" }, h("h2", t("repository")), table([t("model"), t("version"), t("state"), ""],
    entries.map((one) => [isolated(one.name), one.version, one.state === "READY" ? h("span.tag.good", t("state.ready")) : h("span", h("span.tag", t("state.away")), one.reason ? h("div.small.soft", isolated(one.reason)) : null),
      one.state === "READY" ? act(one, "unload") : act(one, "load")]), { caption: t("repository") }), said));
}

