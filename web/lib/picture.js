// A picture as the Images page shows it: pixels, for DICOM with frame and window, over it the evidence or the outlines. Nothing
// lies over what is not shown, and no evidence of one frame or model over another. Evidence is drawn here from its numbers, so that
// the pixels under it follow level and window.

import { parameters, post } from "./api.js";
import * as dicom from "./dicom.js";
import { load, paint, windowOf } from "./frame.js";
import { h, isolated, put } from "./dom.js";
import { outline } from "./rle.js";
import { number, t } from "./words.js";

const MOST_TO_SHOW = 48 << 20;
/** Of a file too large to be shown, what its beginning says is read. */
const BEGINNING = 4 << 20;
/** What an answer's log odds lose where a part is covered that is drawn in full; a picture of weaker evidence is paler. */
const STRONG = 1;
const FOR = [226, 52, 42], AGAINST = [48, 96, 232];
const COLOURS = [[111, 199, 194], [240, 192, 112], [201, 160, 240], [246, 160, 154], [150, 200, 110]];

/** The picture of a shot. `moved(frame)` is called as soon as another frame is chosen, counted from 1, and `settled` when the choice
 * is made. */
export function picture(shot, { moved, settled }) {
  const view = h("div.view"), frames = h("div.controls"), levels = h("div.controls"), strength = h("div.controls.evidence"), addresses = [];
  const closed = new AbortController(), explained = new Map();
  // Columns and rows of a DICOM file, whose picture may be drawn longer or broader than they are.
  let shown = false, opacity = null, turn = 0, stored = null;
  const made = { element: h("div", view, frames, levels, strength), close: () => { closed.abort(); addresses.forEach((one) => URL.revokeObjectURL(one)); } };
  const address = (blob) => {
    const one = URL.createObjectURL(blob);
    addresses.push(one);
    return one;
  };
  const none = (words) => {
    shown = false;
    put(view, h("div.none", words));
    put(levels);
    put(strength);
  };
  let painted = begin();

  async function begin() {
    const { file } = shot, large = file.size > MOST_TO_SHOW;
    if (!dicom.isDicom(new Uint8Array(await file.slice(0, 132).arrayBuffer()))) {
      if (large) return none(t("picture.large"));
      const image = h("img", { alt: t("picture.alt", { name: file.name }) });
      put(view, image);
      shown = await new Promise((done) => {
        image.onload = () => done(true);
        image.onerror = () => done(false);
        image.src = address(file);
      });
      return shown || none(t("picture.unreadable"));
    }
    let read;
    try {
      read = dicom.read(await (large ? file.slice(0, BEGINNING) : file).arrayBuffer());
    } catch {
      return none(t(large ? "picture.large" : "picture.dicom"));
    }
    stored = [read.columns, read.rows];
    const canvas = h("canvas", { role: "img", "aria-label": t("picture.alt", { name: file.name }) });
    const state = { frame: shot.frame - 1, window: null, touched: false, loaded: null };
    const draw = async () => {
      const { frame } = state;
      try {
        const loaded = state.loaded?.frame === frame ? state.loaded : await load(read, frame);
        // Another frame may have been chosen while this one was decoded.
        if (frame !== state.frame) return;
        if (read.gray && !state.touched && loaded !== state.loaded) {
          state.window = windowOf(read, loaded);
          put(levels, sliders(state, draw));
        }
        state.loaded = loaded;
        paint(read, loaded, canvas, state.window);
        if (canvas.parentNode !== view) put(view, canvas);
        shown = true;
      } catch {
        if (frame === state.frame) none(t("picture.dicom"));
      }
    };
    // The frame can be chosen where it cannot be seen: the server reads it all the same.
    if (read.frames > 1) {
      put(frames, slide(t("dicom.frame"), "frame", { min: 0, max: read.frames - 1, step: 1, value: state.frame }, (value) => number(value + 1), (value) => {
        if (value === state.frame) return;
        state.frame = value;
        if (read.shown && !large) painted = draw();
        moved(value + 1);
      }, settled));
    }
    if (large) return none(t("picture.large"));
    return read.shown ? draw() : none(t("picture.dicom"));
  }

  /** Puts over the picture what the answer has: evidence where the server explains, outlines where it segments. */
  made.explain = async () => {
    turn += 1;
    const mine = turn, { answer, model } = shot;
    view.querySelectorAll(".over").forEach((one) => one.remove());
    put(strength);
    if (!answer) return;
    await painted;
    if (mine !== turn || !shown) return;
    const under = view.querySelector("img, canvas"), size = [under.naturalWidth || under.width, under.naturalHeight || under.height];
    if (answer.regions) {
      if (answer.abstained || !answer.regions.length) return;
      const [height, width] = [answer.height, answer.width];
      const canvas = h("canvas.over", { width, height, "aria-hidden": "true" }), context = canvas.getContext("2d", { willReadFrequently: true });
      answer.regions.forEach((region, index) => region.rle && outline(context, region.rle, COLOURS[index % COLOURS.length]));
      over(fitted(size, canvas), t("outlines"), 1);
    } else if (parameters("POST /v1/images/classify").includes("explain") && answer.label !== null) {
      const query = new URLSearchParams({ model: model.name, explain: "true" });
      if (shot.frame > 1) query.set("frame", shot.frame);
      const path = `/v1/images/classify?${query}`;
      if (!explained.has(path)) {
        explained.set(path, post(path, shot.file, { headers: { "content-type": shot.type }, signal: closed.signal }).then(({ results }) => results[0].evidence));
      }
      const evidence = await explained.get(path).catch(() => explained.delete(path) && null);
      if (!evidence || mine !== turn || !shown) return;
      const heat = heated(evidence, size, stored ?? size);
      over(heat, t("evidence"), 0.6, h("p.small.soft", { id: "legend" }, h("b.for", t("evidence.red")), " ", t("evidence.for"), " ", h("strong", isolated(evidence.label)), ", ",
        h("b.against", t("evidence.blue")), " ", t("evidence.against")));
    }
  };

  function over(element, words, usual, legend = null) {
    element.style.opacity = opacity ?? usual;
    view.append(element);
    put(strength, slide(words, "evidence", { min: 0, max: 100, step: 1, value: Math.round((opacity ?? usual) * 100) }, (value) => `${value} %`, (value) => {
      opacity = value / 100;
      element.style.opacity = opacity;
    }), legend);
  }

  return made;
}

/** A drawing over a picture of this size, as long and broad as that. */
function fitted([width, height], drawing) {
  if (drawing.width * height === drawing.height * width) return drawing;
  const canvas = h("canvas.over", { width, height, "aria-hidden": "true" });
  canvas.getContext("2d").drawImage(drawing, 0, 0, width, height);
  return canvas;
}

/** Evidence as a canvas of the picture's size: what speaks for the label in red, what speaks against it in blue, nothing elsewhere.
 * Its area is told in the pixels stored, of which there may be others than are drawn. */
function heated({ height, width, values, area }, [pictureWidth, pictureHeight], [columns, rows]) {
  const grid = h("canvas", { width, height }), pixels = grid.getContext("2d").createImageData(width, height);
  const most = Math.max(STRONG, ...values.map(Math.abs));
  values.forEach((value, at) => pixels.data.set([...(value > 0 ? FOR : AGAINST), Math.round(255 * Math.abs(value) / most)], at * 4));
  grid.getContext("2d").putImageData(pixels, 0, 0);
  // No larger than a screen: it has as many parts as the grid.
  const scale = Math.min(1, 1024 / Math.max(pictureWidth, pictureHeight));
  const canvas = h("canvas.over", { width: Math.max(1, Math.round(pictureWidth * scale)), height: Math.max(1, Math.round(pictureHeight * scale)), role: "img", "aria-label": t("evidence") });
  const across = scale * pictureWidth / columns, down = scale * pictureHeight / rows;
  canvas.getContext("2d").drawImage(grid, area.left * across, area.top * down, area.width * across, area.height * down);
  return canvas;
}

/** Level and width of the window, with steps that fit its width. */
function sliders(state, draw) {
  const { center, width } = state.window, span = Math.max(width * 2, Number.EPSILON), step = width >= 64 ? 1 : width / 64 || 1;
  const words = (value) => number(value, step < 1 ? 2 : 0);
  const choose = (name) => (value) => {
    state.window = { ...state.window, [name]: value };
    state.touched = true;
    draw();
  };
  const [low, high] = step < 1 ? [center - span, center + span] : [Math.round(center - span), Math.round(center + span)];
  return [slide(t("dicom.center"), "center", { min: low, max: high, step, value: center }, words, choose("center")),
    slide(t("dicom.width"), "width", { min: step, max: step < 1 ? span * 2 : Math.round(span * 2), step, value: width }, words, choose("width")),
    h("p.small.soft", t("dicom.seen"))];
}

/** A slider with its words and its value in words. */
function slide(label, name, { min, max, step, value }, words, changed, settled = null) {
  const output = h("output", words(value));
  const input = h("input", { type: "range", min, max, step, value, data: { slider: name }, on: {
    input: () => { output.textContent = words(Number(input.value)); changed(Number(input.value)); },
    change: () => settled?.(),
  } });
  return h("label", label, input, output);
}
