// A preview of DICOM files in the browser: uncompressed little endian pixels and JPEG baseline frames. It is for the
// eye alone: the server reads the file itself, in every transfer syntax it knows, and refuses it in its own words.

const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const UNDEFINED = 0xffffffff;
const IMPLICIT = "1.2.840.10008.1.2", EXPLICIT = "1.2.840.10008.1.2.1", JPEG = "1.2.840.10008.1.2.4.50";

/** Whether these first bytes are those of a Part 10 file. */
export function isDicom(bytes) {
  return bytes.length >= 132 && String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";
}

/** What a preview needs of a file; throws where the browser cannot show it. */
export function read(buffer) {
  const view = new DataView(buffer);
  const wanted = { "0028,0002": "samples", "0028,0004": "photometric", "0028,0006": "planar", "0028,0008": "frames",
    "0028,0010": "rows", "0028,0011": "columns", "0028,0100": "allocated", "0028,0101": "stored", "0028,0103": "signed",
    "0028,1050": "center", "0028,1051": "width", "0028,1052": "intercept", "0028,1053": "slope" };
  const found = { samples: 1, photometric: "MONOCHROME2", planar: 0, frames: 1, signed: 0, intercept: 0, slope: 1 };
  let syntax = EXPLICIT, at = 132, depth = 0;
  const text = (from, length) => String.fromCharCode(...new Uint8Array(buffer, from, length)).replace(/[\0 ]+$/, "");
  while (at + 8 <= view.byteLength) {
    const group = view.getUint16(at, true), element = view.getUint16(at + 2, true);
    const tag = `${group.toString(16).padStart(4, "0")},${element.toString(16).padStart(4, "0")}`;
    let length, vr = "", head = 8;
    if (group === 0xfffe || (syntax === IMPLICIT && group !== 2)) length = view.getUint32(at + 4, true);
    else {
      vr = text(at + 4, 2);
      if (LONG.has(vr)) { length = view.getUint32(at + 8, true); head = 12; } else length = view.getUint16(at + 6, true);
    }
    const from = at + head;
    if (group === 0xfffe) {
      if (element === 0xe000 && length !== UNDEFINED) at = from + length;
      else { depth += element === 0xe000 ? 1 : -1; at = from; }
      continue;
    }
    if (tag === "7fe0,0010" && depth === 0) return { ...found, syntax, pixels: pixels(view, from, length, syntax), buffer };
    if (length === UNDEFINED) { depth += 1; at = from; continue; }
    if (depth === 0) {
      if (tag === "0002,0010") syntax = text(from, length);
      const name = wanted[tag];
      if (name === "photometric") found[name] = text(from, length);
      else if (["frames", "center", "width", "intercept", "slope"].includes(name)) found[name] = Number(text(from, length).split("\\")[0]);
      else if (name) found[name] = view.getUint16(from, true);
    }
    if (group > 2 && ![IMPLICIT, EXPLICIT, JPEG].includes(syntax)) throw new Error(syntax);
    at = from + length;
  }
  throw new Error("no pixels");
}

function pixels(view, from, length, syntax) {
  if (syntax !== JPEG) return [{ from, length }];
  const fragments = [];
  for (let at = from; at + 8 <= view.byteLength; ) {
    const element = view.getUint16(at + 2, true), size = view.getUint32(at + 4, true);
    if (element === 0xe0dd) break;
    fragments.push({ from: at + 8, length: size });
    at += 8 + size;
  }
  return fragments.slice(1);
}

/** The window that the file asks for, or the whole range of the frame. */
export function windowOf(image, frame) {
  if (Number.isFinite(image.center) && image.width > 0) return { center: image.center, width: image.width };
  let low = Infinity, high = -Infinity;
  for (const value of values(image, frame)) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { center: (low + high) / 2, width: Math.max(1, high - low) };
}

function* values(image, frame) {
  const { rows, columns, samples, allocated, stored, signed, slope, intercept, buffer } = image;
  const count = rows * columns * samples, step = allocated / 8, view = new DataView(buffer);
  const start = image.pixels[0].from + frame * count * step;
  const shift = 32 - stored;
  for (let index = 0, at = start; index < count; index += 1, at += step) {
    let value = step === 1 ? view.getUint8(at) : view.getUint16(at, true);
    if (signed) value = (value << shift) >> shift; else value = (value << shift) >>> shift;
    yield samples === 1 ? value * slope + intercept : value;
  }
}

/** Whether frame and window can be chosen in the browser. */
export function isGray(image) {
  return image.samples === 1 && image.syntax !== JPEG && image.photometric.startsWith("MONOCHROME");
}

/** Draws a frame on a canvas. */
export async function draw(image, canvas, frame, { center, width }) {
  const { rows, columns } = image;
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (image.syntax === JPEG) {
    const { from, length } = image.pixels[Math.min(frame, image.pixels.length - 1)];
    const picture = await createImageBitmap(new Blob([new Uint8Array(image.buffer, from, length)], { type: "image/jpeg" }));
    context.drawImage(picture, 0, 0);
    return;
  }
  const out = context.createImageData(columns, rows), data = out.data;
  if (image.samples === 1) {
    const inverse = image.photometric === "MONOCHROME1";
    let at = 0;
    for (const value of values(image, frame)) {
      let grey = ((value - (center - 0.5)) / Math.max(1, width - 1) + 0.5) * 255;
      grey = Math.max(0, Math.min(255, grey));
      if (inverse) grey = 255 - grey;
      data[at] = data[at + 1] = data[at + 2] = grey;
      data[at + 3] = 255;
      at += 4;
    }
  } else {
    const plane = rows * columns, all = [...values(image, frame)];
    for (let index = 0; index < plane; index += 1) {
      for (let sample = 0; sample < 3; sample += 1) data[index * 4 + sample] = image.planar ? all[sample * plane + index] : all[index * 3 + sample];
      data[index * 4 + 3] = 255;
    }
  }
  context.putImageData(out, 0, 0);
}
