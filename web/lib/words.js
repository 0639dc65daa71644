// The languages: one dictionary a language, English for what another does not have yet. Numbers and times are written
// as the language writes them.

import { en } from "../words/en.js";
import { zh } from "../words/zh.js";
import { sentences } from "../words/sentences.js";

const LANGUAGES = { en, zh };
const STORED = "medserve.language";

function first() {
  try {
    const stored = localStorage.getItem(STORED);
    if (stored in LANGUAGES) return stored;
  } catch {
    // Without storage the browser's language decides.
  }
  return navigator.languages.some((language) => language.toLowerCase().startsWith("zh")) &&
    !navigator.language.toLowerCase().startsWith("en") ? "zh" : "en";
}

let current = first();

/** The language in use, "en" or "zh". */
export function language() {
  return current;
}

/** Uses another language from now on. */
export function speak(name) {
  current = name in LANGUAGES ? name : "en";
  document.documentElement.lang = current === "zh" ? "zh-Hans" : "en";
  try {
    localStorage.setItem(STORED, current);
  } catch {
    // Then it is for this page alone.
  }
}

/** The words of a key, with `{name}` replaced by what is given. A key that no dictionary has stands for itself. */
export function t(key, given = {}) {
  const text = LANGUAGES[current][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in given ? String(given[name]) : whole));
}

/** What a package or a record says in a word or two, in the language in use where that knows it: a level, a unit, a value of a field. */
export function told(text) {
  return LANGUAGES[current][`as.${text}`] ?? String(text);
}

/** A sentence of the server's, in the language in use where that knows its form. */
export function sentence(text) {
  for (const [form, words] of sentences[current] ?? []) {
    const found = form.exec(text);
    if (found) return words(sentence, ...found.slice(1));
  }
  return told(text);
}

/** Whether a dictionary has words for the key. */
export function has(key) {
  return key in en;
}

/** A number as people write it, with so many digits after the point at most. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(current, { maximumFractionDigits: digits }).format(value);
}

/** A number with so many digits after the point exactly, for columns. */
export function fixed(value, digits) {
  return new Intl.NumberFormat(current, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A probability as a percentage. What is neither none nor all is never written as such. */
export function percent(value, digits = 1) {
  const least = 10 ** -(digits + 2);
  if (value > 0 && value < least) return `< ${number(least * 100, digits)} %`;
  if (value < 1 && value > 1 - least) return `> ${number(100 - least * 100, digits)} %`;
  return `${number(value * 100, digits)} %`;
}

/** Bytes as people write them. */
export function bytes(count) {
  const units = ["B", "KB", "MB", "GB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${number(count, count < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** A duration in seconds as people write it. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const ms = seconds * 1000;
  if (ms < 1) return `${number(ms, 2)} ms`;
  if (ms < 1000) return `${number(ms, ms < 10 ? 1 : 0)} ms`;
  return `${number(seconds, 1)} s`;
}

/** A time as people write it, to the second. */
export function when(text) {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? String(text)
    : new Intl.DateTimeFormat(current, { dateStyle: "medium", timeStyle: "medium" }).format(time);
}
