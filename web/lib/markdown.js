// Markdown of model cards as elements. A small part of it, made by elements and text alone: markup in a card stays text.

import { h } from "./dom.js";

/** The elements of a text. `picture(address, alt)` makes an element of an image, or nothing. */
export function markdown(text, picture = () => null) {
  const lines = text.replaceAll("\r", "").split("\n"), out = [];
  let at = 0;
  const inline = (words) => spans(words);
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    const image = /^!\[([^\]]*)\]\(([^)\s]+)\)\s*$/.exec(line);
    if (!line.trim()) at += 1;
    else if (heading) {
      // A level down: the page has its own first heading.
      out.push(h(`h${Math.min(6, heading[1].length + 1)}`, inline(heading[2])));
      at += 1;
    } else if (/^```/.test(line)) {
      const code = [];
      for (at += 1; at < lines.length && !/^```/.test(lines[at]); at += 1) code.push(lines[at]);
      at += 1;
      out.push(h("pre", { tabindex: "0" }, code.join("\n")));
    } else if (image) {
      const figures = [];
      for (; at < lines.length; at += 1) {
        const found = /^!\[([^\]]*)\]\(([^)\s]+)\)\s*$/.exec(lines[at]);
        if (found) figures.push(picture(found[2], found[1]));
        else if (lines[at].trim()) break;
      }
      out.push(h("div.plots", figures));
    } else if (/^\s*\|/.test(line)) {
      const rows = [];
      for (; at < lines.length && /^\s*\|/.test(lines[at]); at += 1) rows.push(cells(lines[at]));
      out.push(table(rows, inline));
    } else if (/^\s*[-*+]\s+/.test(line) || /^\s*\d+[.)]\s+/.test(line)) {
      const ordered = /^\s*\d/.test(line), items = [];
      for (; at < lines.length && lines[at].trim(); at += 1) {
        const item = /^\s*(?:[-*+]|\d+[.)])\s+(.*)$/.exec(lines[at]);
        if (item) items.push(item[1]);
        else items[items.length - 1] += ` ${lines[at].trim()}`;
      }
      out.push(h(ordered ? "ol" : "ul", items.map((item) => h("li", inline(item)))));
    } else {
      const words = [];
      for (; at < lines.length && lines[at].trim() && !/^(#{1,6}\s|```|\s*\||!\[)/.test(lines[at]); at += 1) words.push(lines[at].trim());
      if (!words.length) { words.push(lines[at]); at += 1; }
      out.push(h("p", inline(words.join(" "))));
    }
  }
  return out;
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

function table(rows, inline) {
  const [head, ...rest] = rows;
  const body = rest.filter((row) => !row.every((cell) => /^:?-*:?$/.test(cell)));
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": head.join(", ") }, h("table",
    h("thead", h("tr", head.map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", body.map((row) => h("tr", row.map((cell) => h("td", { class: /^[\d.,% -]+$/.test(cell) ? "number" : null }, inline(cell))))))));
}

/** Code, strong, emphasis and links; a link leads only to where http leads. */
function spans(text) {
  const parts = [];
  const pattern = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;
  let at = 0;
  for (const found of text.matchAll(pattern)) {
    parts.push(text.slice(at, found.index));
    const [whole, code, strong, emphasis, words, address] = found;
    if (code) parts.push(h("code", code));
    else if (strong) parts.push(h("strong", strong));
    else if (emphasis) parts.push(h("em", emphasis));
    else if (/^https?:\/\//.test(address)) parts.push(h("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, words));
    else parts.push(words);
    at = found.index + whole.length;
  }
  parts.push(text.slice(at));
  return parts;
}
