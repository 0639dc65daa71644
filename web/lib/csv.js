// CSV as RFC 4180 has it: quotes, doubled quotes, line breaks within quotes.

/** A quotation mark that is never closed, or text after the one that closes a cell: cells and rows would run together. */
export class BrokenQuotes extends Error {
  constructor(line) {
    super(`line ${line}: a quotation mark is not closed, or text follows it`);
    this.line = line;
  }
}

/** The rows of a text, each a list of cells. A byte order mark and blank lines are passed over. */
export function parse(text) {
  const rows = [];
  // The line of the file on which the row begins.
  let line = 1, began = 1, closed = false;
  let row = [], cell = "", quoted = false, at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0].trim() !== "") rows.push(row);
    row = [];
    cell = "";
    closed = false;
    began = line;
  };
  for (; at < text.length; at += 1) {
    const character = text[at];
    if (character === "\n") line += 1;
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; }
      else { quoted = false; closed = true; }
    } else if (character === ",") { row.push(cell); cell = ""; closed = false; }
    else if (character === "\n") endRow();
    else if (character === "\r") continue;
    else if (closed) {
      if (character.trim() !== "") throw new BrokenQuotes(began);
    }
    else if (character === '"' && cell === "") quoted = true;
    else cell += character;
  }
  if (quoted) throw new BrokenQuotes(began);
  if (cell !== "" || row.length) endRow();
  return rows;
}

/** Rows as text. A cell that a spreadsheet would take for a formula is kept from being one. */
export function write(rows) {
  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (/^[=+@\t\r]/.test(text) || (/^-/.test(text) && Number.isNaN(Number(text)))) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Has the browser save a text as a file. */
export function save(name, text, type = "text/csv;charset=utf-8") {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
