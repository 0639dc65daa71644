// How the server is doing: readiness, load, latency, queues, refusals, memory, and whether answers drift from training.

import { get, limits, send } from "../lib/api.js";
import { shares, spark } from "../lib/charts.js";
import { h, icon, isolated, put } from "../lib/dom.js";
import { problem, route as spelled, table, title } from "../lib/parts.js";
import { buckets, of, parse, quantile, since, sum } from "../lib/metrics.js";
import { bytes, duration, has, number, percent, t } from "../lib/words.js";

const EVERY = 2000;
const KEPT = 90;
/** Answers before shares are worth comparing. */
const FEW = 30;

export async function open(place) {
  const out = h("div"), failed = h("div");
  put(place, title("operations"), failed, out);
  const { models } = await get("/v1/models").catch(() => ({ models: [] }));
  const past = [];
  let timer = null, open = true;
  async function look() {
    try {
      const [ready, text] = await Promise.all([
        fetch("/health/ready", { cache: "no-store" }).then((answer) => answer.ok, () => false),
        send("GET", "/metrics", { accept: "text/plain" }).then((answer) => answer.text()),
      ]);
      if (!open) return;
      past.push({ at: performance.now(), samples: parse(text) });
      if (past.length > KEPT) past.shift();
      put(failed);
      if (!out.contains(document.activeElement)) put(out, shown(ready, past, models));
    } catch (error) {
      if (open) put(failed, problem(error));
    }
    if (open) timer = setTimeout(look, EVERY);
  }
  await look();
  return () => {
    open = false;
    clearTimeout(timer);
  };
}

const counted = ({ samples }) => of(samples, "medserve_requests_total").filter((one) => !own(one.labels.route)).reduce((total, one) => total + one.value, 0);
const own = (route) => route === "/metrics" || route === "/" || route.startsWith("/health") || route.startsWith("/console") || route.startsWith("/docs") || route === "/openapi.json";

function shown(ready, past, models) {
  const now = past.at(-1), first = past[0];
  const seconds = (a, b) => Math.max(0.001, (b.at - a.at) / 1000);
  const rates = past.slice(1).map((one, at) => Math.max(0, counted(one) - counted(past[at])) / seconds(past[at], one));
  const rate = rates.length ? rates.slice(-5).reduce((a, b) => a + b, 0) / Math.min(5, rates.length) : 0;
  const routes = [...new Set(of(now.samples, "medserve_request_seconds_count").map((one) => one.labels.route))].filter((route) => !own(route)).sort();
  const memory = sum(now.samples, "process_resident_memory_bytes");
  const waiting = of(now.samples, "medserve_queue_length");
  const refused = of(now.samples, "medserve_rejected_total").filter((one) => one.value > 0);
  const errors = of(now.samples, "medserve_requests_total").filter((one) => one.labels.status.startsWith("5")).reduce((a, b) => a + b.value, 0);
  const figure = (words, value, more = null) => h("div.sheet", h("div.soft.small", words), h("div.figure", value), more);
  return h("div.stack",
    h("div.figures", { id: "figures" },
      figure(t("ops.ready"), ready ? h("span.tag.good", icon("check"), t("ops.yes")) : h("span.tag.bad", icon("warning"), t("ops.no")), h("div.soft.small.gap-s", t("ops.version", { version: limits().version }), " · ", t("ops.failed", { count: number(errors) }))),
      figure(t("ops.rate"), [number(rate, 1), h("small", ` ${t("ops.per-second")}`)], spark(rates, t("ops.rate"))),
      figure(t("ops.queue"), number(waiting.reduce((a, b) => a + b.value, 0)), h("div.soft.small.gap-s", waiting.filter((one) => one.value > 0).map((one) => `${one.labels.model} ${one.value}`).join(", ") || t("ops.idle"))),
      figure(t("ops.memory"), memory ? bytes(memory) : "–", h("div.soft.small.gap-s", t("ops.connections", { busy: number(sum(now.samples, "medserve_database_connections", { state: "busy" })), most: number(sum(now.samples, "medserve_database_connections_max")) })))),
    h("div.two",
      h("div.sheet", h("h2", t("ops.latency")), routes.length ? table([t("route"), t("ops.requests"), "p50", "p99"], routes.map((route) => {
        const list = buckets(now.samples, "medserve_request_seconds", { route });
        return [spelled(route), number(sum(now.samples, "medserve_requests_total", { route })), duration(quantile(list, 0.5)), duration(quantile(list, 0.99))];
      }), { numbers: [1, 2, 3], caption: t("ops.latency") }) : h("p.soft", t("ops.nothing"))),
      h("div.stack", h("div.sheet", h("h2", t("ops.stages")), stages(now.samples)),
        h("div.sheet", h("h2", t("ops.refused")), refused.length ? table([t("reason"), t("ops.requests")], refused.map((one) => [has(`rejected.${one.labels.reason}`) ? t(`rejected.${one.labels.reason}`) : one.labels.reason, number(one.value)]), { numbers: [1], caption: t("ops.refused") }) : h("p.soft", t("ops.none-refused"))))),
    h("div.sheet", { id: "drift" }, h("h2", t("drift")), h("p.soft.small", t("drift.lead")), h("div.grid.gap", models.map((model) => drift(model, now.samples)))),
    h("p.soft.small", t("ops.window", { seconds: number(seconds(first, now)) })));
}

function stages(samples) {
  const rows = [];
  for (const model of [...new Set(of(samples, "medserve_stage_seconds_count").map((one) => one.labels.model))].sort()) {
    const cell = (stage) => duration(quantile(buckets(samples, "medserve_stage_seconds", { model, stage }), 0.5));
    rows.push([isolated(model), ...["decode", "preprocess", "queue", "inference"].map(cell)]);
  }
  return rows.length ? table([t("model"), t("stage.decode"), t("stage.preprocess"), t("stage.queue"), t("stage.inference")], rows, { numbers: [1, 2, 3, 4], caption: t("ops.stages") }) : h("p.soft", t("ops.nothing"));
}

/** Shares of the labels answered beside those answered on the held-out records that the card measures. */
function drift(model, samples) {
  const wanted = { model: model.name, version: model.version };
  const answers = new Map(of(samples, "medserve_answers_total", wanted).map((one) => [one.labels.label, one.value]));
  const total = [...answers.values()].reduce((a, b) => a + b, 0), withheld = sum(samples, "medserve_abstentions_total", wanted);
  const split = ["test", "val, with red flags", "val"].find((name) => Array.isArray(model.metrics?.[name]?.confusion));
  const then = new Map();
  if (split) {
    const matrix = model.metrics[split].confusion, all = matrix.flat().reduce((a, b) => a + b, 0);
    model.labels.forEach((label, at) => then.set(label, matrix.reduce((a, row) => a + (row[at] ?? 0), 0) / (all || 1)));
  }
  const expected = model.metrics?.[split]?.abstained;
  const sure = quantile(since(buckets(samples, "medserve_confidence", wanted), []), 0.5);
  return h("div", h("h3", isolated(model.name)), total + withheld < 1 ? h("p.soft.small", t("drift.none")) : [
    shares(model.labels.map((label) => [label, (answers.get(label) ?? 0) / Math.max(1, total), then.has(label) ? then.get(label) : null]), model.label_descriptions),
    h("p.small.soft.gap-s", t("drift.answers", { count: number(total) }), " ", t("drift.withheld", { now: percent(withheld / (total + withheld)), then: typeof expected === "number" ? percent(expected) : "–" }), " ", Number.isFinite(sure) ? t("drift.sure", { value: percent(sure, 0) }) : "", " ", total < FEW ? t("drift.few", { count: FEW }) : "")]);
}
