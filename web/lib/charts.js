// Small drawings of numbers: a line over time, shares side by side, a confusion matrix.

import { h, isolated, svg } from "./dom.js";
import { number, percent, t, told } from "./words.js";

/** A line over time; `values` are as far apart as they were taken. */
export function spark(values, words) {
  const width = 300, height = 54, most = Math.max(...values, 1e-9);
  const x = (index) => (values.length < 2 ? width : index / (values.length - 1) * width);
  const y = (value) => height - 3 - value / most * (height - 8);
  const points = values.map((value, index) => `${x(index).toFixed(1)} ${y(value).toFixed(1)}`);
  const line = points.length > 1 ? `M${points.join("L")}` : `M0 ${height - 3}H${width}`;
  return svg("svg.spark", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    svg("path.area", { d: `${line}V${height}H0Z` }), svg("path", { d: line }));
}

/** Columns over time. Each of `slots` is `{at, width, value, words, tone}` with place and width as shares of the whole; `line` is
 * a value to compare with, drawn across. */
export function columns(slots, { most = 1, line = null, words }) {
  const width = 300, height = 40, y = (value) => height - Math.min(1, value / most) * (height - 2);
  return svg("svg.columns", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
    slots.filter((one) => one.value !== null).map((one) => svg(one.tone ? `rect.${one.tone}` : "rect", {
      x: (one.at * width + Math.min(1, one.width * width * 0.1)).toFixed(2), width: Math.max(1, one.width * width * 0.86).toFixed(2), y: Math.min(height - 1, y(one.value)).toFixed(2), height: Math.max(1, height - y(one.value)).toFixed(2),
    }, svg("title", {}, one.words))),
    line === null ? null : svg("path.line", { d: `M0 ${y(line).toFixed(2)}H${width}` }),
    svg("path.base", { d: `M0 ${height}H${width}` }));
}

/** Shares of labels. `rows` are `[label, share]`. */
export function shares(rows, names = {}) {
  return h("ul.bars", rows.map(([label, share]) => h("li",
    h("span.name", isolated(label), names[label] ? h("span.soft.small", " ", told(names[label])) : null),
    h("span.bar", { "aria-hidden": "true" }, h("i", { style: { width: `${share * 100}%` } })),
    h("span.much", percent(share, 0)))));
}

/** A confusion matrix: rows are the truth, columns the answers. */
export function confusion(labels, matrix) {
  const columns = matrix[0]?.length ?? 0;
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": t("confusion") }, h("table.confusion", h("caption.unseen", t("confusion")),
    h("thead", h("tr", h("td.soft.small", t("confusion.corner")), labels.slice(0, columns).map((label) => h("th", { scope: "col" }, isolated(label))), columns > labels.length ? h("th", { scope: "col" }, t("abstained")) : null)),
    h("tbody", matrix.map((row, at) => {
      const total = row.reduce((sum, one) => sum + one, 0) || 1;
      return h("tr", h("th", { scope: "row" }, isolated(labels[at] ?? at)), row.map((count, to) => {
        const share = Math.round(count / total * 70);
        return h(at === to ? "td.cell.right" : "td.cell", { style: { background: `color-mix(in srgb, var(${at === to ? "--good" : "--bad"}) ${count ? Math.max(6, Math.round(share * 0.5)) : 0}%, transparent)` } }, number(count));
      }));
    }))));
}
