// Making elements. Text goes in as text and never as markup, so that nothing a server or a file says is run;
// the page's policy (trusted types) has the browser refuse any other way.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML: `h("p.note", {id: "x"}, "text", child)`. Classes follow the name after dots. */
export function h(name, properties, ...children) {
  if (properties instanceof Node || typeof properties !== "object" || Array.isArray(properties)) {
    children.unshift(properties);
    properties = null;
  }
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, properties, children);
}

/** An element of SVG, with attributes. */
export function svg(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElementNS(SVG, tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, properties, children);
}

/** Replaces what is in an element. */
export function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

/** Text of unknown direction, such as a name, that must not turn the text around it. */
export function isolated(text) {
  return h("bdi", String(text));
}

/** Says something to a screen reader, in place of what was about to be said, which may be in a language no longer in use. */
let announcing = null;
export function announce(text) {
  const region = document.getElementById("announce");
  clearTimeout(announcing);
  region.textContent = "";
  announcing = setTimeout(() => { region.textContent = text; }, 50);
}

const ICONS = {
  images: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  notes: "M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h7",
  people: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-4 3.6-6 8-6s8 2 8 6",
  cases: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 21 21",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  operations: "M3 12h4l3-8 4 16 3-8h4",
  audit: "M9 4h6v3H9zM7 5H5v16h14V5h-2M9 12h6M9 16h4",
  key: "M15 14a5 5 0 1 0-4.6-3L4 17.4V20h3v-2h2v-2h2l1-1",
  theme: "M12 4v16a8 8 0 0 0 0-16zM12 4a8 8 0 0 0 0 16",
  upload: "M12 16V5M7 10l5-5 5 5M5 19h14",
  flag: "M6 21V4h11l-2 4 2 4H6",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  check: "M5 12.5l4.5 4.5L19 7.5",
  copy: "M9 9h10v11H9zM5 15V4h10",
  close: "M6 6l12 12M18 6L6 18",
};

/** A drawing from the list above; it says nothing to a screen reader. */
export function icon(name) {
  return svg("svg.icon", { viewBox: "0 0 24 24", "aria-hidden": "true", width: 20, height: 20 }, svg("path", { d: ICONS[name] }));
}
