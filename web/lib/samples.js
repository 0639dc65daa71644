// Something to try the pages with. The pictures are drawn here and show nobody: what a model says of a drawing means
// nothing. The notes are made up.

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

/** Draws a chest as an X-ray would show it, roughly, as `medserve sample-image` does: what weakens X-rays is bright. `haze` clouds the lower
 * part of one lung, `turn` shifts it all for another frame. */
function chest(haze, turn = 0, size = 384) {
  const step = (distance, edge) => { const t = Math.min(1, Math.max(0, 0.5 + distance / edge)); return t * t * (3 - 2 * t); };
  const ellipse = (x, y, a, b, edge) => step(1 - Math.hypot(x / a, y / b), edge);
  const band = (distance, half) => { const t = Math.max(0, 1 - Math.abs(distance / half)); return t * t * (3 - 2 * t); };
  const bright = (x, y) => {
    const side = Math.abs(x), arc = 0.9 * (side - 0.17) ** 2, clouds = 1.5 * haze * (ellipse(x + 0.24, y - 0.6, 0.13, 0.13, 1.2) + 0.6 * ellipse(x + 0.2, y - 0.5, 0.08, 0.1, 1.2));
    const tissue = Math.max(ellipse(x, y - 0.62, 0.47, 0.6, 0.05), ellipse(x, y - 0.34, 0.52, 0.22, 0.08));
    const lungs = ellipse(side - 0.225, y - 0.46, 0.165, 0.31, 0.1) * (1 - step(y - 0.72 - 1.6 * (side - 0.21) ** 2, 0.015));
    const rib = Math.min(7, Math.max(0, Math.round((y - 0.17 - arc) / 0.078)));
    return 12 - 105 * lungs * (1 - Math.min(0.9, clouds)) + 70 * ellipse(x - 0.06, y - 0.6, 0.15, 0.15, 0.12) * (0.35 + 0.65 * lungs) + tissue * (150
      + 28 * ellipse(x, y - 0.38, 0.055, 0.2, 0.3) + 24 * step(0.036 - side, 0.012) * (0.8 + 0.2 * Math.sin(y * 90))
      + 30 * band(y - 0.185 + 0.25 * (side - 0.2), 0.011) * step(0.36 - side, 0.03) * step(side - 0.03, 0.02)
      + 20 * step(0.4 - side, 0.02) * step(side - 0.03, 0.02) * band(y - 0.17 - arc - rib * 0.078, 0.011));
  };
  const canvas = canvasOf(size, size), context = canvas.getContext("2d"), picture = context.createImageData(size, size);
  for (let at = 0; at < size * size; at += 1) {
    const value = bright((at % size + 0.5) / size - 0.5 - turn / 100, (Math.floor(at / size) + 0.5) / size) + 3 * (Math.random() - 0.5);
    picture.data.set([value, value, value, 255], at * 4);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Ellipses with soft edges on one colour: `[x, y, radius, height as a share of the width, colour]`. */
function discs(size, ground, list) {
  const canvas = canvasOf(size, size), context = canvas.getContext("2d");
  context.fillStyle = ground;
  context.fillRect(0, 0, size, size);
  context.filter = "blur(1.5px)";
  for (const [x, y, radius, flat, colour] of list) {
    context.fillStyle = colour;
    context.beginPath();
    context.ellipse(x, y, radius, radius * flat, x, 0, 7);
    context.fill();
  }
  return canvas;
}

/** Nuclei as a fluorescence microscope shows them, roughly. */
function nuclei() {
  const placed = [];
  for (let tries = 0; tries < 400 && placed.length < 26; tries += 1) {
    const [x, y, r] = [14 + Math.random() * 228, 14 + Math.random() * 228, 8 + Math.random() * 6], grey = 70 + Math.random() * 80;
    if (!placed.some(([a, b, c]) => Math.hypot(x - a, y - b) < r + c + 4)) placed.push([x, y, r, 0.75 + Math.random() / 4, `rgb(${grey} ${grey} ${grey})`]);
  }
  return discs(256, "#080808", placed);
}

/** A white blood cell among red ones, roughly. */
function cell() {
  const red = [[30, 40], [220, 50], [40, 200], [225, 215], [128, 8], [5, 120], [250, 130], [130, 250]].flatMap(([x, y]) => [[x, y, 34, 1, "rgb(222 160 165)"], [x, y, 12, 1, "rgb(235 190 190)"]]);
  return discs(256, "rgb(232 208 205)", [...red, [128, 128, 50, 1, "rgb(225 190 215)"], ...[[105, 110, 19], [125, 135, 17], [148, 120, 19], [150, 148, 14]].map(([x, y, r]) => [x, y, r, 1, "rgb(110 60 140)"])]);
}

const png = (canvas, name) => new Promise((done) => canvas.toBlob((blob) => done(new File([blob], name, { type: "image/png" })), "image/png"));

function blank() {
  return discs(128, "#808080", []);
}

/** Frames of 12 bits as a DICOM file, explicit little endian. */
function dicom(frames, name) {
  const size = frames[0].width, parts = [];
  const encode = (text) => new TextEncoder().encode(text);
  const element = (group, number, vr, value) => {
    const padded = value.length % 2 ? [...value, vr === "UI" || vr === "OB" ? 0 : 32] : value;
    const long = vr === "OW" || vr === "OB", head = new DataView(new ArrayBuffer(long ? 12 : 8));
    head.setUint16(0, group, true);
    head.setUint16(2, number, true);
    head.setUint8(4, vr.charCodeAt(0));
    head.setUint8(5, vr.charCodeAt(1));
    if (long) head.setUint32(8, padded.length, true); else head.setUint16(6, padded.length, true);
    return [new Uint8Array(head.buffer), Uint8Array.from(padded)];
  };
  const text = (group, number, vr, words) => parts.push(...element(group, number, vr, encode(words)));
  const short = (number, value) => parts.push(...element(0x28, number, "US", Uint8Array.of(value & 255, value >> 8)));
  const syntax = element(2, 0x10, "UI", encode("1.2.840.10008.1.2.1"));
  const length = syntax[0].length + syntax[1].length;
  parts.push(new Uint8Array(128), encode("DICM"), ...element(2, 0, "UL", Uint8Array.of(length, 0, 0, 0)), ...syntax);
  text(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.1.1");
  text(8, 0x18, "UI", "2.25.1");
  text(8, 0x60, "CS", "DX");
  text(0x10, 0x10, "PN", "Drawing^Nobody");
  short(2, 1);
  text(0x28, 4, "CS", "MONOCHROME2");
  text(0x28, 8, "IS", String(frames.length));
  short(0x10, size);
  short(0x11, size);
  short(0x100, 16);
  short(0x101, 12);
  short(0x102, 11);
  short(0x103, 0);
  text(0x28, 0x1050, "DS", "2048");
  text(0x28, 0x1051, "DS", "3600");
  const pixels = new Uint16Array(size * size * frames.length);
  frames.forEach((frame, index) => {
    const { data } = frame.getContext("2d").getImageData(0, 0, size, size);
    for (let at = 0; at < size * size; at += 1) pixels[index * size * size + at] = data[at * 4] << 4;
  });
  const bytes = new Uint8Array(pixels.buffer), [head] = element(0x7fe0, 0x10, "OW", []);
  new DataView(head.buffer).setUint32(8, bytes.length, true);
  parts.push(head, bytes);
  return new File(parts, name, { type: "application/dicom" });
}

/** The files drawn here, so that a page can say that they are drawings. */
export const drawn = new WeakSet();

const drawing = (make) => async () => {
  const file = await make();
  drawn.add(file);
  return file;
};

/** The model that most drawings are for. */
export const DRAWN_FOR = "pneumonia";

/** Pictures by name, each with the model that it is for; each is made when it is asked for. */
export const PICTURES = {
  clear: { model: DRAWN_FOR, make: drawing(() => png(chest(0), "drawing-clear.png")) },
  hazy: { model: DRAWN_FOR, make: drawing(() => png(chest(1), "drawing-hazy.png")) },
  dicom: { model: DRAWN_FOR, make: drawing(() => dicom([chest(0, -1, 256), chest(0.5, 0, 256), chest(1, 1, 256)], "drawing-3-frames.dcm")) },
  blank: { model: DRAWN_FOR, make: drawing(() => png(blank(), "blank.png")) },
  cell: { model: "blood-cells", make: drawing(() => png(cell(), "drawing-cell.png")) },
  nuclei: { model: "nuclei", make: drawing(() => png(nuclei(), "drawing-nuclei.png")) },
};

/** Visits as the models of emergency departments know them: coded complaints, one after another, and what was measured. */
const VISITS = [
  { note: "Ankle pain, swelling", fields: { age: 24, sex: "female", arrival: "other", pain: 5, temperature_c: 36.7, heart_rate: 78, respiratory_rate: 16, sbp: 122, dbp: 78, spo2: 99 } },
  { note: "Chest pain; Shortness of breath", fields: { age: 76, sex: "male", arrival: "ambulance", pain: 6, temperature_c: 36.8, heart_rate: 112, respiratory_rate: 26, sbp: 98, dbp: 60, spo2: 88 } },
];
const EFFECT = { note: "A 54-year-old woman developed a severe rash two days after starting amoxicillin for bronchitis.", fields: {} };

/** Notes for a model, by its name; for others those of "*". */
export const NOTES = [
  ...["ed-admission", "ed-critical", "triage-us"].flatMap((model) => VISITS.map((one) => ({ model, ...one }))),
  ...["adverse-drug-events", "biomedical-entities"].map((model) => ({ model, ...EFFECT })),
  { model: "triage", note: "chest pain, sweating", fields: { age: 67, sex: "male", arrival: "public ambulance", mental: "alert", pain: "yes", nrs_pain: 8, sbp: 91, heart_rate: 118, spo2: 92 } },
  { model: "triage", note: "sore throat since yesterday, no fever", fields: { age: 24, sex: "female", arrival: "walking", injury: "no", mental: "alert", temperature_c: 36.9, heart_rate: 74, spo2: 99 } },
  { model: "triage", note: "fell from a ladder, left wrist pain and swelling", fields: { age: 51, sex: "male", arrival: "private vehicle", injury: "yes", mental: "alert", nrs_pain: 6, sbp: 138, heart_rate: 88 } },
  { model: "department-zh", note: "孩子三岁，发烧咳嗽两天了，该怎么办？", fields: {} },
  { model: "department-zh", note: "饭后胃胀反酸一个月，需要做胃镜吗？", fields: {} },
  { model: "*", note: "chest pain since this morning, short of breath", fields: {} },
];

/** A file of notes for the model of triage, as its CSV batch reads it. */
export const BATCH = [
  ["note", "age", "sex", "sbp", "heart_rate", "spo2"],
  ["chest pain, sweating", "67", "male", "91", "118", "92"],
  ["ankle twisted playing football", "19", "female", "", "80", ""],
  ["fever and cough for three days", "45", "male", "126", "96", "95"],
  ["found unresponsive", "80", "female", "70", "130", "84"],
];
