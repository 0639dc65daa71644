// Numbers as people type them. A browser's own field for numbers drops what it does not read, a comma among it, and says
// that what is left is what was typed: "3,5" becomes 35. So numbers are typed into fields of text and read here alone.

import { h } from "./dom.js";

const NUMBER = /^[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)$/;
/** A comma before three digits may set thousands apart as well as decimals: a thousand times as much. */
const EITHER = /^[+-]?[1-9]\d{0,2},\d{3}$/;

/** The number that a text holds, with a point or a comma before its decimals; NaN where it holds none, or may hold two. */
export function numeral(text) {
  // Chinese keyboards write digits and signs as wide as their characters.
  const plain = text.trim().normalize("NFKC");
  return NUMBER.test(plain) && !EITHER.test(plain) ? Number(plain.replace(",", ".")) : NaN;
}

/** Whether a text is nothing, or what `numeral` reads. */
export const readable = (text) => text.trim() === "" || !Number.isNaN(numeral(text));

/** A field for a number. */
export const numeralInput = (given = {}) => h("input", { type: "text", inputmode: "decimal", autocomplete: "off", ...given });
