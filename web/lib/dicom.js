// Reading a DICOM file for a preview: what its elements say, how its pixels lie, and whether the browser can show them as the
// server reads them. It is for the eye alone: the server reads the file itself, in every transfer syntax it knows.

const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const UNDEFINED = 0xffffffff, ITEM = 0xfffee000, ITEM_END = 0xfffee00d, SEQUENCE_END = 0xfffee0dd;
const IMPLICIT = "1.2.840.10008.1.2", EXPLICIT = "1.2.840.10008.1.2.1", BIG = "1.2.840.10008.1.2.2", DEFLATED = "1.2.840.10008.1.2.1.99", JPEG = "1.2.840.10008.1.2.4.50";

const PIXELS = 0x7fe00010, MODALITY_TABLES = 0x00283000, VOI_TABLES = 0x00283010, SHARED_GROUPS = 0x52009229, FRAME_GROUPS = 0x52009230,
  TRANSFORMATION = 0x00289145, FRAME_VOI = 0x00289132, MEASURES = 0x00289110, FRAME_PIXELS = 0x00289443;
/** What says how tall a pixel is and how wide: distances before their ratio. */
const SPACINGS = [0x00280030, 0x00181164, 0x00182010, 0x00280034];
/** Sequences that are read, for where no value representation says that they are sequences. */
const SEQUENCES = new Set([MODALITY_TABLES, VOI_TABLES, SHARED_GROUPS, FRAME_GROUPS, TRANSFORMATION, FRAME_VOI, MEASURES, FRAME_PIXELS]);

/** Whether these first bytes are those of a Part 10 file. */
export function isDicom(bytes) {
  return bytes.length >= 132 && String.fromCharCode(...bytes.subarray(128, 132)) === "DICM";
}

const letters = (view, from, length) => String.fromCharCode(...new Uint8Array(view.buffer, from, length));

/** The elements from `at` to `end`, or to the pixels: where each value lies, of a sequence the elements of each item.
 * `group` alone is read where it is given. Throws where these are no elements. */
function elements(view, at, end, form, group = null) {
  const { explicit, little } = form, set = new Map();
  const tagAt = (from) => view.getUint16(from, little) * 65536 + view.getUint16(from + 2, little);
  while (at + 8 <= end) {
    const tag = tagAt(at);
    if (group !== null && Math.floor(tag / 65536) !== group) break;
    if (tag === ITEM_END) return { set, at: at + 8 };
    const vr = explicit ? letters(view, at + 4, 2) : "";
    if (explicit && !/^[A-Z]{2}$/.test(vr)) throw new Error("no value representation");
    const long = LONG.has(vr), from = at + (long ? 12 : 8);
    const length = explicit && !long ? view.getUint16(at + 6, little) : view.getUint32(from - 4, little);
    const whole = length === UNDEFINED ? end : from + length;
    set.set(tag, { from, length });
    // The pixels are the last of a file; those of an icon, in a sequence, are passed over.
    if (tag === PIXELS && form.top) break;
    if (length !== UNDEFINED && vr !== "SQ" && !SEQUENCES.has(tag)) { at = whole; continue; }
    const items = [], within = vr === "UN" ? { explicit: false, little: true } : { explicit, little };
    for (at = from; at + 8 <= whole; ) {
      const mark = tagAt(at), size = view.getUint32(at + 4, little);
      at += 8;
      if (mark === SEQUENCE_END) break;
      if (mark !== ITEM) throw new Error("no item");
      if (tag === PIXELS) { at += size; continue; }
      const item = elements(view, at, size === UNDEFINED ? whole : at + size, within);
      items.push(item.set);
      at = size === UNDEFINED ? item.at : at + size;
    }
    set.set(tag, { from, length, items });
    if (length !== UNDEFINED) at = whole;
  }
  return { set, at };
}

/** A finite decimal number, also with a comma for the point or a unit behind it; of what is none, undefined. */
function decimal(text) {
  const plain = /^[-+.\deE]*/.exec(text.trim().replace(",", "."))[0].replace(/[eE]+$/, "");
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : undefined;
}

/** Elements with the means to read values: each is undefined where there is none. */
function values(view, set, little) {
  const words = (tag) => {
    const { from, length } = set.get(tag) ?? { length: 0 };
    return Array.from({ length: length >> 1 }, (_, index) => view.getUint16(from + index * 2, little));
  };
  const text = (tag) => {
    const { from, length } = set.get(tag) ?? { length: 0 };
    return length ? letters(view, from, length).replace(/^[\0 ]+|[\0 ]+$/g, "") : "";
  };
  return {
    words, text,
    word: (tag) => words(tag)[0],
    /** Letters and digits count, neither their case nor what is between. */
    name: (tag) => text(tag).replace(/[^a-z0-9]/gi, "").toUpperCase(),
    /** The first of several. An empty value is none, and no zero. */
    number: (tag) => decimal(text(tag).split("\\")[0]),
    numbers: (tag) => text(tag).split("\\").map(decimal),
    item: (tag, index = 0) => {
      const item = set.get(tag)?.items?.[index];
      return item && values(view, item, little);
    },
    has: (tag) => set.has(tag),
  };
}

/** What a preview needs of a file, or of its beginning: how many frames there are, and `shown`, whether the browser can show them
 * as the server reads them. Throws where nothing can be read. */
export function read(buffer) {
  const view = new DataView(buffer), plain = { explicit: true, little: true };
  const meta = elements(view, 132, view.byteLength, plain, 2);
  const syntax = values(view, meta.set, true).text(0x00020010) || EXPLICIT;
  if (syntax === DEFLATED) throw new Error("deflated");
  const form = { explicit: syntax !== IMPLICIT, little: syntax !== BIG, top: true };
  const { set } = elements(view, meta.at, view.byteLength, form), file = values(view, set, form.little);
  const allocated = file.word(0x00280100), stored = file.word(0x00280101) ?? allocated, samples = file.word(0x00280002) ?? 1;
  const said = file.word(0x00280102);
  const image = {
    view, file, jpeg: syntax === JPEG, samples, allocated, stored,
    frames: Math.max(1, Math.floor(file.number(0x00280008) ?? 1)), rows: file.word(0x00280010), columns: file.word(0x00280011),
    high: said < allocated && said + 1 >= stored ? said : stored - 1,
    signed: file.word(0x00280103) === 1, planar: samples === 3 && file.word(0x00280006) === 1,
    photometric: file.name(0x00280004) || (samples === 1 ? "MONOCHROME2" : "RGB"),
  };
  image.gray = /^MONOCHROME[12]$/.test(image.photometric);
  image.shown = [IMPLICIT, EXPLICIT, JPEG].includes(syntax) && known(image);
  if (image.shown) image.pixels = image.jpeg ? fragments(view, set.get(PIXELS).from, image.frames) : set.get(PIXELS);
  image.shown &&= image.pixels !== null;
  return image;
}

/** Whether pixels of this kind are drawn here. Tables of brightness, segmented palettes, colours at half width and floating point
 * are left to the server. */
function known({ file, jpeg, rows, columns, samples, allocated, stored, signed, photometric, gray }) {
  const colours = jpeg ? ["RGB", "YBRFULL", "YBRFULL422"] : ["RGB", "YBRFULL"];
  const kind = gray || photometric === "PALETTECOLOR" ? samples === 1 : colours.includes(photometric) && samples === 3 && !signed;
  const bits = (jpeg ? [8] : gray ? [8, 16, 32] : [8, 16]).includes(allocated) && stored >= 1 && stored <= allocated;
  const tables = [file, ...groups(file, TRANSFORMATION), ...groups(file, FRAME_VOI)].some((one) => one.has(MODALITY_TABLES) || one.has(VOI_TABLES));
  const palettes = photometric !== "PALETTECOLOR" || [1, 2, 3].every((channel) => file.has(0x00281200 + channel) && file.words(0x00281100 + channel).length === 3);
  return file.has(PIXELS) && rows > 0 && columns > 0 && kind && bits && palettes && !(gray && tables);
}

/** The items of a functional group, of all frames and of each (PS3.3 section C.7.6.16). */
function groups(file, tag) {
  const all = [file.item(SHARED_GROUPS)];
  for (let frame = 0, one; (one = file.item(FRAME_GROUPS, frame)); frame += 1) all.push(one);
  return all.map((one) => one?.item(tag)).filter(Boolean);
}

/** What is said of a frame in its group, in that of all frames, or for the whole file. */
const of = ({ file }, frame, tag) => file.item(FRAME_GROUPS, frame)?.item(tag) ?? file.item(SHARED_GROUPS)?.item(tag) ?? file;

/** From stored values to the device's quantity. A slope of 0 would make every picture blank, and is passed over as the server does. */
export function rescale(image, frame) {
  const from = of(image, frame, TRANSFORMATION), slope = from.number(0x00281053) ?? 1;
  return slope === 0 ? { slope: 1, intercept: 0 } : { slope, intercept: from.number(0x00281052) ?? 0 };
}

/** The groups of a frame and of all frames, as far as they are there, and the file itself. */
const sayers = ({ file }, frame, ...tags) =>
  [...[file.item(FRAME_GROUPS, frame), file.item(SHARED_GROUPS)].flatMap((one) => tags.map((tag) => one?.item(tag))), file].filter(Boolean);

/** The first window that the file asks for: numbers, and a width. None where it says nothing. */
export function asked(image, frame) {
  for (const from of sayers(image, frame, FRAME_VOI)) {
    const centers = from.numbers(0x00281050), widths = from.numbers(0x00281051);
    const at = centers.findIndex((center, place) => center !== undefined && widths[place] > 0);
    if (at < 0) continue;
    const name = from.name(0x00281056), center = centers[at], width = widths[at];
    return { center, width, shape: name === "SIGMOID" || name === "LINEAREXACT" ? name : width < 1 ? "LINEAREXACT" : "LINEAR" };
  }
  return null;
}

/** Width and height of a frame in square pixels, as it is shown: longer along the longer side of its pixels. What cannot be (more
 * than ten times as long one way as the other) says nothing, and what cannot be seen (less than a hundredth) is square. */
export function squareSize(image, frame) {
  const { columns, rows } = image;
  for (const from of sayers(image, frame, MEASURES, FRAME_PIXELS)) {
    for (const tag of SPACINGS) {
      const [tall, wide] = from.numbers(tag), ratio = tall / wide, more = Math.max(ratio, 1 / ratio);
      if (!(tall > 0 && wide > 0 && more <= 10 + 1e-9)) continue;
      if (more < 1.01) return [columns, rows];
      return ratio > 1 ? [columns, Math.round(rows * ratio)] : [Math.round(columns / ratio), rows];
    }
  }
  return [columns, rows];
}

/** Fragments of JPEG data, joined to frames: each frame begins with the marker that every JPEG begins with. What stands before the
 * first is the table of offsets. Null where there are not as many as the file says. */
function fragments(view, from, frames) {
  const found = [];
  for (let at = from; at + 8 <= view.byteLength; ) {
    if (view.getUint16(at + 2, true) === 0xe0dd) break;
    const size = view.getUint32(at + 4, true), start = at + 8;
    const part = new Uint8Array(view.buffer, start, size);
    if (size >= 2 && part[0] === 0xff && part[1] === 0xd8) found.push([part]);
    else found.at(-1)?.push(part);
    at = start + size;
  }
  return found.length === frames ? found : null;
}
