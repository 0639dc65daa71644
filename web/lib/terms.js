// Where a question's words are in a text, by the server's rules (crates/text/src/search): without case, accents and
// plural endings; ideographs in pairs. It marks what made a case found; what is found is the server's to say.

/** A word without accents and plural ending. */
function term(word) {
  const plain = word.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  if (plain.length > 4 && /[^ea]ies$/.test(plain)) return `${plain.slice(0, -3)}y`;
  return plain.length > 3 && /[^us]s$/.test(plain) ? plain.slice(0, -1) : plain;
}

/** `[{start, end}]` in code points, in order. */
export function places(text, words) {
  const terms = new Set(words.map(term)), pairs = words.filter((word) => /\p{Script=Han}/u.test(word));
  const found = [];
  for (const { 0: word, index } of text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)) {
    if (terms.has(term(word))) found.push([index, index + word.length]);
  }
  for (const pair of pairs) {
    for (let at = text.indexOf(pair); at >= 0; at = text.indexOf(pair, at + 1)) found.push([at, at + pair.length]);
  }
  // Pairs that share a character are one mark.
  const joined = [];
  for (const [start, end] of found.sort((a, b) => a[0] - b[0] || b[1] - a[1])) {
    const last = joined.at(-1);
    if (last && start < last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  // From units of UTF-16 to code points, in one walk.
  let units = 0, count = 0;
  const points = (upto) => {
    for (; units < upto; count += 1) units += text.codePointAt(units) > 0xffff ? 2 : 1;
    return count;
  };
  return joined.map(([start, end]) => ({ start: points(start), end: points(end) }));
}
