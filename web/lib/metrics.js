// Reading what GET /metrics says in the Prometheus text format.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of a text: `{name, labels, value}`. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) {
      labels[name] = value.replace(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one));
    }
    samples.push({ name: found[1], labels, value: Number(found[3].replace("+Inf", "Infinity")) });
  }
  return samples;
}

/** The samples of a name whose labels are as wanted. */
export function of(samples, name, wanted = {}) {
  return samples.filter((one) => one.name === name &&
    Object.entries(wanted).every(([label, value]) => one.labels[label] === value));
}

/** Their sum. */
export function sum(samples, name, wanted) {
  return of(samples, name, wanted).reduce((total, one) => total + one.value, 0);
}

/** The buckets of a histogram, series of the same bound added up: `[[bound, count up to it], ...]`, ascending. */
export function buckets(samples, name, wanted) {
  const bounds = new Map();
  for (const one of of(samples, `${name}_bucket`, wanted)) {
    const bound = one.labels.le === "+Inf" ? Infinity : Number(one.labels.le);
    bounds.set(bound, (bounds.get(bound) ?? 0) + one.value);
  }
  return [...bounds].sort(([a], [b]) => a - b);
}

/** The bound below which a quantile lies of which no more is known: all of the first bucket may be far below it. */
export function below(list, q) {
  const total = list.length ? list[list.length - 1][1] : 0;
  return total && list[0][1] >= q * total ? list[0][0] : null;
}

/** A quantile of a histogram, as Prometheus' `histogram_quantile` has it; NaN where nothing was counted. */
export function quantile(list, q) {
  const total = list.length ? list[list.length - 1][1] : 0;
  if (!total) return NaN;
  let [below, before] = [0, 0];
  for (const [bound, count] of list) {
    if (count >= q * total) {
      if (bound === Infinity) return below;
      return count === before ? bound : below + (bound - below) * (q * total - before) / (count - before);
    }
    [below, before] = [bound, count];
  }
  return below;
}
