// Masks as the segmentation answers them: run lengths down the columns, in COCO's compressed string.

/** The lengths of the runs, background first. */
export function counts(text) {
  const runs = [];
  for (let at = 0; at < text.length; ) {
    let value = 0, shift = 0, more = true;
    while (more && at < text.length) {
      const byte = text.charCodeAt(at++) - 48;
      value |= (byte & 31) << shift;
      shift += 5;
      more = (byte & 32) !== 0;
      if (!more && byte & 16) value |= -1 << shift;
    }
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
  }
  return runs;
}

/** Whether each pixel belongs to the region, row by row. */
export function mask({ size: [height, width], counts: runs }) {
  const inside = new Uint8Array(height * width);
  let at = 0, on = false;
  for (const run of typeof runs === "string" ? counts(runs) : runs) {
    if (on) {
      for (let index = at; index < Math.min(at + run, inside.length); index += 1) {
        inside[(index % height) * width + Math.floor(index / height)] = 1;
      }
    }
    at += run;
    on = !on;
  }
  return inside;
}

/** Draws the outline of a region, with a faint fill, on a canvas of the region's size. */
export function outline(context, rle, [red, green, blue]) {
  const [height, width] = rle.size, inside = mask(rle), picture = context.getImageData(0, 0, width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x;
      if (!inside[at]) continue;
      const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1 ||
        !inside[at - 1] || !inside[at + 1] || !inside[at - width] || !inside[at + width];
      picture.data.set([red, green, blue, edge ? 255 : 60], at * 4);
    }
  }
  context.putImageData(picture, 0, 0);
}
