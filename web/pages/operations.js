// How the server is doing: readiness, load, latency, queues, refusals, memory, and whether answers drift from training
// (lib/drift.js).

import { get, has as offers, limits, send } from "../lib/api.js";
import { spark } from "../lib/charts.js";
import { h, icon, isolated, put } from "../lib/dom.js";
import { drift } from "../lib/drift.js";
import { problem, route as spelled, table, title } from "../lib/parts.js";
import { below, buckets, of, parse, quantile, sum } from "../lib/metrics.js";
import { bytes, duration, has, number, t } from "../lib/words.js";

const EVERY = 2000;
const KEPT = 90;
const REASONED = ["401", "403", "429"];

export async function open(place) {
  const out = h("div"), failed = h("div");
  const { models } = await get("/v1/models").catch(() => ({ models: [] }));
  const drifting = offers("GET /v1/models/{name}/drift") ? drift(models) : null;
  put(place, title("operations"), failed, out, drifting?.element);
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
      if (!out.contains(document.activeElement)) put(out, shown(ready, past));
      drifting?.look(past.at(-1).samples);
    } catch (error) {
      if (open) put(failed, problem(error));
    }
    if (open) timer = setTimeout(look, EVERY);
  }
  await look();
  return () => {
    open = false;
    drifting?.close();
    clearTimeout(timer);
  };
}

const counted = ({ samples }) => of(samples, "medserve_requests_total").filter((one) => !own(one.labels.route)).reduce((total, one) => total + one.value, 0);
const own = (route) => route === "/metrics" || route === "/" || route.startsWith("/health") || route.startsWith("/console") || route.startsWith("/docs") || route === "/openapi.json";

function shown(ready, past) {
  const now = past.at(-1), first = past[0];
  const seconds = (a, b) => Math.max(0.001, (b.at - a.at) / 1000);
  const rates = past.slice(1).map((one, at) => Math.max(0, counted(one) - counted(past[at])) / seconds(past[at], one));
  const rate = rates.length ? rates.slice(-5).reduce((a, b) => a + b, 0) / Math.min(5, rates.length) : 0;
  const routes = [...new Set(of(now.samples, "medserve_request_seconds_count").map((one) => one.labels.route))].filter((route) => !own(route)).sort();
  const memory = sum(now.samples, "process_resident_memory_bytes");
  const waiting = of(now.samples, "medserve_queue_length");
  const refused = of(now.samples, "medserve_rejected_total").filter((one) => one.value > 0);
  // Refusals of load and identity have reasons of their own; these are what was wrong with requests.
  const wrong = new Map();
  for (const { labels, value } of of(now.samples, "medserve_requests_total")) {
    if (value > 0 && /^4/.test(labels.status) && !REASONED.includes(labels.status)) wrong.set(labels.status, (wrong.get(labels.status) ?? 0) + value);
  }
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
        return [spelled(route), number(sum(now.samples, "medserve_requests_total", { route })), timed(list, 0.5), timed(list, 0.99)];
      }), { numbers: [1, 2, 3], caption: t("ops.latency") }) : h("p.soft", t("ops.nothing"))),
      h("div.stack", h("div.sheet", h("h2", t("ops.stages")), stages(now.samples)),
        h("div.sheet", h("h2", t("ops.refused")), refused.length || wrong.size ? table([t("reason"), t("ops.requests")], [...refused.map((one) => [has(`rejected.${one.labels.reason}`) ? t(`rejected.${one.labels.reason}`) : one.labels.reason, number(one.value)]),
          ...[...wrong].sort().map(([status, count]) => [t("ops.answered", { status }), number(count)])], { numbers: [1], caption: t("ops.refused") }) : h("p.soft", t("ops.none-refused"))))),
    h("p.soft.small", t("ops.window", { seconds: number(Math.max(1, seconds(first, now))) })));
}

/** A quantile in words; of one within the first bucket only that it is. */
function timed(list, q) {
  const least = below(list, q);
  return least === null ? duration(quantile(list, q)) : `< ${duration(least)}`;
}

function stages(samples) {
  const rows = [];
  for (const model of [...new Set(of(samples, "medserve_stage_seconds_count").filter((one) => one.value > 0).map((one) => one.labels.model))].sort()) {
    const cell = (stage) => timed(buckets(samples, "medserve_stage_seconds", { model, stage }), 0.5);
    rows.push([isolated(model), ...["decode", "preprocess", "queue", "inference"].map(cell)]);
  }
  return rows.length ? table([t("model"), t("stage.decode"), t("stage.preprocess"), t("stage.queue"), t("stage.inference")], rows, { numbers: [1, 2, 3, 4], caption: t("ops.stages") }) : h("p.soft", t("ops.nothing"));
}
