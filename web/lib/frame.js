// Drawing one frame of a DICOM file as the server reads it: stored values become a quantity by slope and intercept, the quantity
// a brightness by the window, and MONOCHROME1 is inverted (PS3.3 sections C.7.6.3, C.11.1 and C.11.2).

import { asked, rescale, squareSize } from "./dicom.js";

/** The values of a frame, counted from 0: the quantities of a grey one, the colours of another. Throws where there are none. */
export async function load(image, frame) {
  const { rows, columns, samples, jpeg, gray, photometric } = image;
  const pixels = jpeg ? await decoded(image, frame) : null;
  if (pixels && samples === 3) return { frame, data: pixels };
  const stored = values(image, frame, pixels);
  if (gray) return { frame, ...quantities(image, frame, stored) };
  const out = new Uint8ClampedArray(rows * columns * 4).fill(255);
  if (photometric === "PALETTECOLOR") palette(image, stored, out);
  else colour(image, stored, out);
  return { frame, data: out };
}

/** The window of a frame: that which the file asks for, or from its least to its greatest value. */
export function windowOf(image, { frame, low, high }) {
  return asked(image, frame) ?? { center: (low + high) / 2, width: high - low, shape: "LINEAREXACT" };
}

/** Most pixels of a canvas that every browser draws. */
const MOST_PIXELS = 64 << 20;

/** Draws a frame that is loaded, in square pixels. */
export function paint(image, { frame, quantities: all, shown, data }, canvas, window) {
  const { rows, columns, file } = image, [width, height] = squareSize(image, frame);
  const square = (width === columns && height === rows) || width * height > MOST_PIXELS;
  const own = square ? canvas : document.createElement("canvas");
  Object.assign(own, { width: columns, height: rows });
  const context = own.getContext("2d"), out = context.createImageData(columns, rows);
  if (data) out.data.set(data);
  else {
    const shape = file.name(0x20500020), inverse = shape === "INVERSE" || (shape !== "IDENTITY" && image.photometric === "MONOCHROME1");
    for (let index = 0, at = 0; index < all.length; index += 1, at += 4) {
      const bright = Math.max(0, Math.min(1, brightness(all[index], window)));
      const grey = shown && !shown[index] ? 0 : (inverse ? 1 - bright : bright) * 255;
      out.data[at] = out.data[at + 1] = out.data[at + 2] = grey;
      out.data[at + 3] = 255;
    }
  }
  context.putImageData(out, 0, 0);
  if (square) return;
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").drawImage(own, 0, 0, width, height);
}

function brightness(value, { center, width, shape }) {
  if (shape === "SIGMOID") return 1 / (1 + Math.exp(-4 * (value - center) / width));
  if (shape === "LINEAREXACT") return width > 0 ? (value - center) / width + 0.5 : value > center ? 1 : 0;
  const middle = center - 0.5, span = width - 1;
  if (value <= middle - span / 2) return 0;
  return value > middle + span / 2 ? 1 : (value - middle) / span + 0.5;
}

/** Stored values, sample by sample: the bits up to the highest one, with their sign where they have one. */
function values({ view, rows, columns, samples, allocated, stored, high, signed, pixels }, frame, bytes) {
  const count = rows * columns * samples, step = allocated / 8, out = allocated === 32 ? new Float64Array(count) : new Int32Array(count);
  const start = bytes ? 0 : pixels.from + frame * count * step;
  if (!bytes && (frame + 1) * count * step > pixels.length) throw new Error("too few pixels");
  const raw = bytes ? (index) => bytes[index * 4] : step === 1 ? (index) => view.getUint8(start + index) : step === 2 ? (index) => view.getUint16(start + index * 2, true) : (index) => view.getUint32(start + index * 4, true);
  const up = 31 - high, down = 32 - stored;
  for (let index = 0; index < count; index += 1) {
    const shifted = raw(index) << up;
    out[index] = signed ? shifted >> down : shifted >>> down;
  }
  return out;
}

/** Quantities of a grey frame and their ends. Padding around the picture (C.7.5.1.1.2) is no part of those. */
function quantities(image, frame, stored) {
  const { file, signed } = image, { slope, intercept } = rescale(image, frame), out = new Float64Array(stored.length);
  const said = [0x00280120, 0x00280121].map((tag) => file.word(tag)).filter((word) => word !== undefined).map((word) => (signed ? (word << 16) >> 16 : word));
  const padded = file.has(0x00280120) && said.length > 0, first = Math.min(...said), last = Math.max(...said);
  const shown = padded ? Uint8Array.from(stored, (value) => (value < first || value > last ? 1 : 0)) : null;
  let low = Infinity, high = -Infinity;
  for (let index = 0; index < stored.length; index += 1) {
    const value = out[index] = stored[index] * slope + intercept;
    if (shown && !shown[index]) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  // Beside a window that the file asks for, padding is as bright as its value.
  const found = { quantities: out, shown: asked(image, frame) ? null : shown };
  return low <= high ? { ...found, low, high } : { ...found, low: 0, high: 0 };
}

/** Red, green and blue, or luma and two differences of colour over the full range (ITU-R BT.601). */
function colour({ rows, columns, stored, planar, photometric }, all, out) {
  const plane = rows * columns, full = 2 ** stored - 1, zero = 2 ** (stored - 1);
  for (let index = 0; index < plane; index += 1) {
    const [a, b, c] = planar ? [all[index], all[plane + index], all[2 * plane + index]] : [all[index * 3], all[index * 3 + 1], all[index * 3 + 2]];
    const blue = b - zero, red = c - zero;
    const rgb = photometric === "RGB" ? [a, b, c] : [a + 1.402 * red, a - 0.344136 * blue - 0.714136 * red, a + 1.772 * blue];
    for (let channel = 0; channel < 3; channel += 1) out[index * 4 + channel] = rgb[channel] / full * 255;
  }
}

/** Three tables from a stored value to a colour (C.7.6.3.1.5); values beyond their ends take the ends' colours. */
function palette({ file, signed }, all, out) {
  const tables = [1, 2, 3].map((channel) => {
    const [count, start, bits] = file.words(0x00281100 + channel), length = count || 65536;
    let entries = file.words(0x00281200 + channel);
    // Entries of eight bits may come two in a word, the first one low.
    if (bits <= 8 && length > 1 && entries.length === Math.ceil(length / 2)) entries = entries.flatMap((pair) => [pair & 255, pair >> 8]);
    if (entries.length < length) throw new Error("a short palette");
    return { entries: entries.slice(0, length), first: signed ? (start << 16) >> 16 : start, full: 2 ** (bits >= 1 && bits <= 16 ? bits : 16) - 1 };
  });
  // Writers of palettes of eight bits leave the 16 bits of the descriptor as they were.
  const small = tables.every(({ entries }) => entries.every((entry) => entry <= 255));
  tables.forEach(({ entries, first, full }, channel) => {
    const most = small ? Math.min(255, full) : full;
    for (let index = 0; index < all.length; index += 1) {
      out[index * 4 + channel] = entries[Math.max(0, Math.min(entries.length - 1, all[index] - first))] / most * 255;
    }
  });
}

/** The pixels of a JPEG frame as the browser decodes them. Throws where it would turn them, or take them for another colour than the
 * server does. */
async function decoded({ rows, columns, samples, photometric, pixels }, frame) {
  const { components, jfif, adobe, exif } = header(new Uint8Array(await new Blob(pixels[frame]).arrayBuffer()));
  if (components !== samples) throw new Error("other samples");
  if (exif) throw new Error("may be turned");
  if (samples === 3 && ((photometric === "RGB" && !jfif && adobe === null) || (jfif && adobe === 0))) throw new Error("other colours");
  const picture = await createImageBitmap(new Blob(pixels[frame], { type: "image/jpeg" }), { colorSpaceConversion: "none" });
  if (picture.width !== columns || picture.height !== rows) throw new Error("another size");
  const context = Object.assign(document.createElement("canvas"), { width: columns, height: rows }).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, columns, rows).data;
}

/** What the markers of a JPEG say of its colours: components, whether it is JFIF, and Adobe's transform; and whether there is Exif
 * data, which may say how it is to be turned. */
function header(bytes) {
  const found = { components: 0, jfif: false, adobe: null, exif: false };
  for (let at = 2; at + 4 <= bytes.length && !found.components; at += 2 + bytes[at + 2] * 256 + bytes[at + 3]) {
    while (bytes[at + 1] === 0xff) at += 1;
    const marker = bytes[at + 1], word = String.fromCharCode(...bytes.subarray(at + 4, at + 9));
    if (marker === 0xe0 && word === "JFIF\0") found.jfif = true;
    if (marker === 0xe1 && word.startsWith("Exif")) found.exif = true;
    if (marker === 0xee && word === "Adobe") found.adobe = bytes[at + 15];
    if (marker >= 0xc0 && marker <= 0xc2) found.components = bytes[at + 9];
    if (marker === 0xda) break;
  }
  return found;
}
