// Something to try the pages with. The pictures are drawn here and show nobody: what a model says of a drawing means
// nothing. The notes are made up.

/** Draws a chest as an X-ray would show it, roughly; `haze` clouds one lung, `turn` shifts it for another frame. */
function chest(haze, turn = 0, size = 384) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d"), unit = size / 100;
  const at = (x, y) => [x * unit, y * unit];
  const blob = (x, y, rx, ry, inner, outer, angle = 0) => {
    context.save();
    context.translate(...at(x, y));
    context.rotate(angle);
    context.scale(rx * unit, ry * unit);
    const shade = context.createRadialGradient(0, 0, 0.2, 0, 0, 1);
    shade.addColorStop(0, inner);
    shade.addColorStop(1, outer);
    context.fillStyle = shade;
    context.beginPath();
    context.arc(0, 0, 1, 0, 7);
    context.fill();
    context.restore();
  };
  context.fillStyle = "#0a0a0a";
  context.fillRect(0, 0, size, size);
  blob(50, 62, 50, 66, "rgb(168 168 168)", "rgb(96 96 96 / 0%)");
  blob(50, 10, 15, 24, "rgb(170 170 170)", "rgb(120 120 120 / 0%)");
  blob(30 + turn, 50, 19, 35, "rgb(22 22 22)", "rgb(40 40 40 / 30%)", 0.1);
  blob(30 + turn, 50, 14, 29, "rgb(16 16 16)", "rgb(26 26 26 / 60%)", 0.1);
  blob(70 + turn, 50, 19, 35, "rgb(22 22 22)", "rgb(40 40 40 / 30%)", -0.1);
  blob(70 + turn, 50, 14, 29, "rgb(16 16 16)", "rgb(26 26 26 / 60%)", -0.1);
  blob(56 + turn, 62, 14, 16, "rgb(205 205 205)", "rgb(150 150 150 / 0%)", 0.5);
  context.strokeStyle = "rgb(210 210 210 / 15%)";
  context.lineWidth = 1.9 * unit;
  for (let rib = 0; rib < 8; rib += 1) {
    for (const side of [-1, 1]) {
      context.beginPath();
      context.ellipse(...at(50 + side * 19 + turn, 26 + rib * 7), 19 * unit, 6.5 * unit, side * 0.32, Math.PI, 2 * Math.PI);
      context.stroke();
    }
  }
  blob(50 + turn, 46, 5, 48, "rgb(222 222 222 / 85%)", "rgb(190 190 190 / 10%)");
  blob(28, 90, 27, 14, "rgb(206 206 206)", "rgb(160 160 160 / 0%)");
  blob(72, 92, 27, 13, "rgb(198 198 198)", "rgb(160 160 160 / 0%)");
  if (haze) for (const [x, y, r] of [[28, 60, 12], [34, 66, 10], [26, 68, 11], [33, 54, 8]]) blob(x, y, r, r, "rgb(225 225 225 / 70%)", "rgb(190 190 190 / 0%)");
  return canvas;
}

const png = (canvas, name) => new Promise((done) => canvas.toBlob((blob) => done(new File([blob], name, { type: "image/png" })), "image/png"));

function blank() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 128;
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, 128, 128);
  return canvas;
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

/** The model that the drawings are for; it is asked unless another is chosen. */
export const DRAWN_FOR = "pneumonia";

/** The files drawn here, so that a page can say that they are drawings. */
export const drawn = new WeakSet();

const drawing = (make) => async () => {
  const file = await make();
  drawn.add(file);
  return file;
};

/** Pictures by name; each is made when it is asked for. */
export const PICTURES = {
  clear: drawing(() => png(chest(false), "drawing-clear.png")),
  hazy: drawing(() => png(chest(true), "drawing-hazy.png")),
  dicom: drawing(() => dicom([chest(false, -2, 256), chest(true, 0, 256), chest(true, 2, 256)], "drawing-3-frames.dcm")),
  blank: drawing(() => png(blank(), "blank.png")),
};

/** Notes for a model, by its name or by what its labels are; the first that fits. */
export const NOTES = [
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
