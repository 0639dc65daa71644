// A picture as the Images page shows it: pixels, for DICOM with frame and window, over it the evidence or the outlines.

import { has, send } from "./api.js";
import * as dicom from "./dicom.js";
import { h, put } from "./dom.js";
import { outline } from "./rle.js";
import { number, t } from "./words.js";

const MOST_TO_SHOW = 48 << 20;
const COLOURS = [[111, 199, 194], [240, 192, 112], [201, 160, 240], [246, 160, 154], [150, 200, 110]];

/** The picture of a shot; `changed` is called where another frame is to be classified. */
export function picture(shot, changed) {
  const view = h("div.view"), controls = h("div.controls"), addresses = [];
  const made = { element: h("div", view, controls), close: () => addresses.forEach((one) => URL.revokeObjectURL(one)) };
  const address = (blob) => {
    const one = URL.createObjectURL(blob);
    addresses.push(one);
    return one;
  };
  const none = (words) => put(view, h("div.none", words));
  const explained = new Map();

  async function begin() {
    if (shot.file.size > MOST_TO_SHOW) return none(t("picture.large"));
    const first = new Uint8Array(await shot.file.slice(0, 132).arrayBuffer());
    if (!dicom.isDicom(first)) {
      const image = h("img", { src: address(shot.file), alt: t("picture.alt", { name: shot.file.name }), on: { error: () => none(t("picture.unreadable")) } });
      put(view, image);
      return undefined;
    }
    let read;
    try {
      read = dicom.read(await shot.file.arrayBuffer());
      const canvas = h("canvas", { role: "img", "aria-label": t("picture.alt", { name: shot.file.name }) });
      const window = dicom.windowOf(read, 0);
      const state = { frame: 0, ...window };
      const draw = () => dicom.draw(read, canvas, state.frame, state);
      await draw();
      put(view, canvas);
      const slide = (words, name, min, max, step, after) => {
        const output = h("output", number(state[name] + (name === "frame" ? 1 : 0)));
        const input = h("input", { type: "range", min, max, step, value: state[name], data: { slider: name }, on: {
          input: () => { state[name] = Number(input.value); output.textContent = number(state[name] + (name === "frame" ? 1 : 0)); draw(); },
          change: () => after?.(),
        } });
        return h("label", words, input, output);
      };
      const span = Math.max(window.width * 2, 2);
      put(controls,
        read.frames > 1 ? slide(t("dicom.frame"), "frame", 0, read.frames - 1, 1, () => { shot.frame = state.frame + 1; changed(); }) : null,
        dicom.isGray(read) ? [slide(t("dicom.center"), "center", Math.round(window.center - span), Math.round(window.center + span), 1), slide(t("dicom.width"), "width", 1, Math.round(span * 2), 1)] : null);
    } catch {
      none(t("picture.dicom"));
    }
    return undefined;
  }

  /** Puts over the picture what the answer has: evidence where the server explains, outlines where it segments. */
  made.explain = () => {
    view.querySelectorAll(".over").forEach((one) => one.remove());
    made.element.querySelector(".evidence")?.remove();
    const { answer, model } = shot;
    if (!answer) return;
    if (answer.regions) {
      const [height, width] = [answer.height, answer.width];
      const canvas = h("canvas.over", { width, height, "aria-hidden": "true" }), context = canvas.getContext("2d", { willReadFrequently: true });
      answer.regions.forEach((region, index) => region.rle && outline(context, region.rle, COLOURS[index % COLOURS.length]));
      over(canvas, t("outlines"), 1);
    } else if (has("POST /v1/images/explain") && answer.label !== null) {
      const query = new URLSearchParams({ model: model.name });
      if (shot.frame > 1) query.set("frame", shot.frame);
      const path = `/v1/images/explain?${query}`;
      if (!explained.has(path)) {
        explained.set(path, send("POST", path, { body: shot.file, headers: { "content-type": shot.type }, accept: "image/png" })
          .then((response) => response.blob()).then(address));
      }
      explained.get(path).then((source) => over(h("img.over", { src: source, alt: t("evidence") }), t("evidence"), 0.6), () => {});
    }
  };

  function over(element, words, opacity) {
    element.style.opacity = opacity;
    view.append(element);
    const output = h("output", `${Math.round(opacity * 100)} %`);
    const input = h("input", { type: "range", min: 0, max: 100, value: opacity * 100, data: { slider: "evidence" }, on: { input: () => {
      element.style.opacity = input.value / 100;
      output.textContent = `${input.value} %`;
    } } });
    made.element.append(h("div.controls.evidence", h("label", words, input, output)));
  }

  begin();
  return made;
}
