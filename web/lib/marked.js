// A text with places of it marked. Offsets count Unicode code points, as the server counts them.

import { h } from "./dom.js";

/** The text with `[{start, end, note?, strength?, label?, denied?}]` marked; of places that overlap the first counts. */
export function marked(text, spans) {
  const points = [...text], parts = [];
  const most = Math.max(...spans.map((one) => Math.abs(one.strength ?? 1)), 1e-9);
  let at = 0;
  for (const one of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (one.start < at || one.end > points.length || one.end <= one.start) continue;
    parts.push(points.slice(at, one.start).join(""));
    const mark = h("mark", points.slice(one.start, one.end).join(""), one.note ? h("small", one.note) : null);
    if (one.label && /^[A-Za-z]+$/.test(one.label)) mark.classList.add(one.label);
    if (one.denied) mark.classList.add("denied");
    if (one.strength !== undefined) mark.style.opacity = 0.55 + 0.45 * Math.abs(one.strength) / most;
    parts.push(mark);
    at = one.end;
  }
  parts.push(points.slice(at).join(""));
  return h("p.marked", { dir: "auto" }, parts);
}
