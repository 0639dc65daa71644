// Many notes from a CSV file: its columns are the note and the model's fields. Records that do not fit are named with
// what is wrong; the others are answered.

import { limits, reached, send } from "./api.js";
import { announce, h, icon, isolated, put } from "./dom.js";
import { BrokenQuote, parse, save, write } from "./csv.js";
import { numeral } from "./numerals.js";
import { problem, raisedByRule, table } from "./parts.js";
import { each } from "./queue.js";
import { BATCH } from "./samples.js";
import { seldom, unsaid } from "./seldom.js";
import { bytes, number, percent, t } from "./words.js";

const AT_ONCE = 2;
const SHOWN = 200;

/** The batch's part of the page: `{element, kept}`; what `kept()` says draws it again as it was, and goes on with what is left. */
export function batch(model, left = null) {
  let current = null;
  const out = h("div.gap", { "aria-live": "polite" });
  const input = h("input.unseen", { type: "file", id: "csv", accept: ".csv,text/csv", tabindex: "-1", "aria-hidden": "true", on: { change: async () => { await take(input.files[0]); input.value = ""; } } });
  const fields = model.input?.fields ?? [];
  const drop = h("div.drop", { on: {
    dragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    dragleave: () => drop.classList.remove("over"),
    drop: (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files[0]); },
  } }, icon("upload"), h("strong", t("batch.drop")), h("button.main", { type: "button", on: { click: () => input.click() } }, t("batch.choose")), input,
  h("span.small", t("batch.columns"), " ", h("code", ["note", ...fields.map((one) => one.name)].join(", "))),
  model.name === "triage" ? h("button.quiet", { type: "button", id: "batch-sample", on: { click: () => run(BATCH) } }, t("batch.sample")) : null);

  async function take(file) {
    if (!file) return;
    if (file.size > limits().max_body_bytes) {
      refuse(t("images.too-large", { size: bytes(file.size), most: bytes(limits().max_body_bytes) }));
      return;
    }
    const text = decoded(await file.arrayBuffer());
    if (text === null) return refuse(t("batch.encoding"));
    try {
      run(parse(text));
    } catch (error) {
      if (!(error instanceof BrokenQuote)) throw error;
      refuse(t("batch.quote", { row: number(error.row) }));
    }
  }

  function refuse(why) {
    current = null;
    put(out, h("div.notice.bad", { role: "alert" }, icon("warning"), h("div", why)));
  }

  async function run(sheet, given = {}) {
    const [head = [], ...rows] = sheet;
    current = null;
    // As the model spells it: a spreadsheet may have begun it with a capital.
    const spelled = ["note", ...fields.map((one) => one.name)];
    const names = head.map((name) => name.trim()).map((name) => spelled.find((one) => one === name) ?? spelled.find((one) => one.toLowerCase() === name.toLowerCase()) ?? name);
    const noteAt = names.indexOf("note");
    const numeric = new Set(fields.filter((one) => one.type === "numeric").map((one) => one.name));
    const known = names.filter((name) => fields.some((one) => one.name === name));
    const unknown = names.filter((name) => name !== "note" && !known.includes(name));
    if (noteAt < 0 || !rows.length) {
      refuse(noteAt < 0 ? t("batch.no-note", { found: names.filter(Boolean).slice(0, 12).join(", ") || "–" }) : t("batch.no-rows"));
      return;
    }
    // Which of the two is meant nobody can tell.
    const twice = names.filter((name, at) => (name === "note" || known.includes(name)) && names.indexOf(name) !== at);
    if (twice.length) {
      refuse(t("batch.twice", { columns: [...new Set(twice)].join(", ") }));
      return;
    }
    const records = rows.map((row) => {
      const given = {};
      for (const name of known) {
        const text = (row[names.indexOf(name)] ?? "").trim();
        // The server says what is wrong with what is no number.
        if (text !== "") given[name] = numeric.has(name) && !Number.isNaN(numeral(text)) ? numeral(text) : text;
      }
      return { note: row[noteAt] ?? "", fields: given };
    });
    // What is answered already, of the same sheet: what was wrong with a row is said anew.
    const results = records.map((_, index) => (given.results?.[index]?.version ? given.results[index] : undefined));
    // Cells beyond the head are part of something that has a comma and no quotes: a note of which the rest would be lost.
    rows.forEach((row, index) => { if (row.slice(names.length).some((cell) => cell.trim() !== "")) results[index] = { problem: t("batch.long", { cells: number(row.length), columns: number(names.length) }) }; });
    const fitting = [...records.entries()].filter(([index]) => !results[index]);
    let done = 0, stopped = given.stopped ?? false;
    current = { sheet, results, get stopped() { return stopped; } };
    const bar = h("i", { style: { width: "0" } });
    const meter = h("div.meter", { role: "progressbar", "aria-label": t("progress"), "aria-valuemin": 0, "aria-valuemax": records.length, "aria-valuenow": 0 }, bar);
    const said = h("p.small.soft.gap-s"), below = h("div.gap");
    const stop = h("button.quiet", { type: "button", on: { click: () => { stopped = true; } } }, t("stop"));
    const told = h("div");
    put(out, h("div.sheet", { id: "batch" }, unknown.length ? h("p.small", t("batch.unknown"), " ", h("code", unknown.join(", "))) : null, meter, h("div.row.apart", said, stop), told, below));
    const moved = () => {
      bar.style.width = `${done / records.length * 100}%`;
      meter.setAttribute("aria-valuenow", done);
      said.textContent = t("progress.of", { done: number(done), all: number(records.length) });
    };
    const size = Math.min(32, limits().max_records), parts = [];
    for (let at = 0; at < fitting.length; at += size) parts.push(fitting.slice(at, at + size));
    await each(parts, AT_ONCE, async (part) => {
      while (!stopped) {
        try {
          await answer(part);
          break;
        } catch (error) {
          // A server that starts anew has not refused anything.
          if (error.status === 0) {
            await reached();
            continue;
          }
          stopped = true;
          put(told, problem(error));
        }
      }
      done = results.filter(Boolean).length;
      moved();
    }, () => stopped || !below.isConnected);
    // Another file, model or page has taken its place.
    if (!below.isConnected) return;

    /** Answers these; where some do not fit, those are set aside with what is wrong and the others sent again. */
    async function answer(numbered) {
      try {
        const response = await send("POST", "/v1/notes/classify", { body: { model: model.name, records: numbered.map(([, record]) => record) } });
        const body = await response.json();
        numbered.forEach(([place], index) => { results[place] = { ...body.results[index], version: body.version }; });
      } catch (error) {
        const wrong = new Map();
        for (const { pointer, detail } of error.errors ?? []) {
          const found = /^\/records\/(\d+)\/?(.*)$/.exec(pointer);
          if (found) wrong.set(Number(found[1]), [...(wrong.get(Number(found[1])) ?? []), `${found[2]}: ${detail}`]);
        }
        if (!wrong.size) throw error;
        numbered.forEach(([place], index) => { if (wrong.has(index)) results[place] = { problem: wrong.get(index).join("; ") }; });
        const rest = numbered.filter((_, index) => !wrong.has(index));
        if (rest.length) await answer(rest);
      }
    }

    done = results.filter(Boolean).length;
    moved();
    stop.remove();
    announce(t("progress.of", { done: number(done), all: number(records.length) }));
    // Of a label that a rule raised, the model's probability says nothing.
    const probability = (one) => one && raisedByRule(one) ? undefined : one?.predictions?.find((p) => p.label === (one.label ?? one.predictions[0].label))?.probability;
    const rare = seldom(model).map((one) => one.label);
    const shown = (one) => {
      const instead = unsaid(model, one).map(({ label, probability }) => [isolated(label), ` ${percent(probability)} `]);
      return instead.length ? instead : percent(probability(one));
    };
    const columns = ["label", "probability", "abstained", "reason", "red_flags", "missing_fields", "model", "version", "problem", ...rare.map((label) => `probability of ${label}`)];
    const file = () => write([[...names, ...columns], ...rows.map((row, index) => {
      const one = results[index] ?? {};
      return [...names.map((_, place) => row[place]), one.label, probability(one), one.abstained, one.reason, one.red_flags?.map((flag) => `${flag.sign} ${flag.rule}`).join("; "), one.missing_fields?.join(" "), model.name, one.version, one.problem, ...rare.map((label) => one.predictions?.find((given) => given.label === label)?.probability)];
    })]);
    put(below,
      h("div.row.apart.below", h("h2", t("batch.done", { count: number(results.filter((one) => one?.version).length), all: number(records.length) })), h("button.main", { type: "button", id: "batch-save", on: { click: () => save(`${model.name}.csv`, file()) } }, t("download.csv"))),
      table(["#", t("notes.note"), t("answer"), t("probability"), t("flags")], records.slice(0, SHOWN).map((record, index) => {
        const one = results[index];
        return [number(index + 1), h("bdi", record.note.length > 90 ? `${record.note.slice(0, 89)}…` : record.note),
          !one ? "–" : one.problem ? h("span.tag.bad", isolated(one.problem)) : one.abstained ? h("span.tag.warn", t("abstained")) : h("strong", isolated(one.label)),
          one?.abstained || probability(one) === undefined ? "" : shown(one), one?.red_flags?.length ? h("span.tag.bad", icon("flag"), number(one.red_flags.length)) : ""];
      }), { numbers: [0, 3], caption: t("notes.batch") }),
      records.length > SHOWN ? h("p.small.soft", t("batch.more", { count: number(records.length - SHOWN) })) : null);
  }
  // Once it is on the page.
  if (left) queueMicrotask(() => run(left.sheet, left));
  return { element: h("div", drop, out), kept: () => current };
}

/** The text of a file in UTF-8, or in UTF-16 with its mark; null for another encoding, which would be read as other characters. */
function decoded(buffer) {
  const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  const encoding = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(buffer);
  } catch {
    return null;
  }
}
