// The report of a training as a part of the page. What is shown is made anew from the text, tables, plots and pictures of the
// page that `train --report` writes: no part of it reaches the browser as markup, so a report does no more than a note.

import { h } from "./dom.js";
import { send } from "./api.js";
import { t } from "./words.js";

const SAME = ["p", "div", "figure", "figcaption", "small", "table", "tr", "th", "td"];
const CLASSES = ["plots", "wrong", "warn"];
const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
// A drawing whole; what has no text to show, whole; a tag with its attributes; text.
const PARTS = /<svg\b[^]*?<\/svg>|<(head|style|script|title|iframe)\b[^]*?<\/\1>|<(\/?)(\w+)((?:\s+[\w-]+(?:="[^"]*")?)*)\s*\/?>|<!?[^<]*>|[^<]+/gi;

/** The report at a path: `{element, addresses}`; the addresses are of its plots, for whoever takes the page away. */
export async function report(path) {
  const text = await (await send("GET", path, { accept: "text/html" })).text(), addresses = [];
  const whole = h("div.sheet.report", { id: "report-page", lang: "en", dir: "ltr" }), open = [whole];
  for (const [part, , closes, tag, rest] of text.matchAll(PARTS)) {
    const name = tag?.toLowerCase(), here = open.at(-1);
    if (/^<svg/i.test(part)) here.append(plot(part, addresses));
    else if (!part.startsWith("<")) here.append(plain(part));
    else if (name === "img") here.append(picture(attribute(rest, "src")));
    else if (SAME.includes(name) || /^h[1-4]$/.test(name)) {
      if (closes) {
        if (open.length > 1 && here.dataset.tag === name) open.pop();
      } else open.push(added(here, name, rest));
    }
  }
  return { element: whole, addresses };
}

function added(place, name, rest) {
  const made = h(name === "h1" ? "h2" : /^h/.test(name) ? "h3" : name, { data: { tag: name } });
  made.classList.add(...CLASSES.filter((one) => one === attribute(rest, "class")));
  // How dark a cell of the confusion matrix is.
  const tone = /^background:(rgba\([\d.,]+\))$/.exec(attribute(rest, "style"));
  if (tone) made.style.background = tone[1];
  place.append(name === "table" ? h("div.scroll", { tabindex: "0", role: "region", "aria-label": t("model.report.table") }, made) : made);
  return made;
}

function plot(drawing, addresses) {
  const address = URL.createObjectURL(new Blob([drawing], { type: "image/svg+xml" })), name = /<title>([^<]*)<\/title>/.exec(drawing)?.[1];
  addresses.push(address);
  return h("img.plot", { src: address, alt: name ? plain(name) : t("model.report.plot") });
}

const picture = (source) => (/^data:image\/png;base64,[\w+/=]+$/.test(source) ? h("img", { src: source, alt: "" }) : "");

const attribute = (rest, name) => new RegExp(`\\s${name}="([^"]*)"`).exec(rest)?.[1] ?? "";

const plain = (text) => text.replace(/&(#39|\w+);/g, (whole, name) => ENTITIES[name] ?? whole);
