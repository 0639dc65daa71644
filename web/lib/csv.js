// CSV as RFC 4180 has it: quotes, doubled quotes, line breaks within quotes. Where decimals have a comma, spreadsheets write
// semicolons between the cells: a file whose head has them and no comma is read so.

/** A quotation mark that is never closed, or closed within a cell: what follows would be taken for part of that cell. */
export class BrokenQuote extends Error {
  constructor(row) {
    super(`a quotation mark in row ${row}`);
    this.row = row;
  }
}

/** The rows of a text, each a list of cells. A byte order mark and blank lines are passed over. Throws BrokenQuote. */
export function parse(text) {
  const rows = [];
  let row = [], cell = "", quoted = false, closed = false, at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  const head = /^[^\r\n]*/.exec(text)[0], between = head.includes(";") && !head.includes(",") ? ";" : ",";
  const endCell = () => {
    row.push(cell);
    cell = "";
    closed = false;
  };
  const endRow = () => {
    endCell();
    if (row.length > 1 || row[0].trim() !== "") rows.push(row);
    row = [];
  };
  for (; at < text.length; at += 1) {
    const character = text[at];
    if (quoted) {
      if (character !== '"') cell += character;
      else if (text[at + 1] === '"') { cell += '"'; at += 1; }
      else { quoted = false; closed = true; }
    } else if (character === between) endCell();
    else if (character === "\n") endRow();
    else if (closed && character !== "\r" && character !== " ") throw new BrokenQuote(rows.length + 1);
    else if (character === '"' && cell === "") quoted = true;
    else if (character !== "\r" && !closed) cell += character;
  }
  if (quoted) throw new BrokenQuote(rows.length + 1);
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
