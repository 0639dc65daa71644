//! Rows of a data set of notes, and which of them training reads and which it holds out.
//!
//! How rows are parted is decided here alone, by the seed and what belongs together, so that a package can be measured
//! later on the very rows that its training held out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::seq::SliceRandom;

use super::examples::{SPLITS, file_name};
use super::note_fields::{FieldSpec, is_missing};
use super::notes::Columns;
use super::splits::check_apart;
use model::package::sha256;
use nn::random;
use text::record::is_blank;

/// Share of the training records that become `val` where there is none.
const HELD_OUT: f64 = 0.15;

/// One row of a file, as text.
pub struct Row {
    /// Its line.
    pub line: u64,
    /// What it belongs to; empty where that is not known.
    pub group: String,
    /// The note.
    pub note: String,
    /// The label; empty where it has none.
    pub label: String,
    /// In the order of the fields; empty for missing.
    pub fields: Vec<String>,
}

impl Row {
    /// What falls to one side with it where rows are held out: its group or, where it has none, rows with the same note.
    pub fn unit(&self) -> String {
        if self.group.is_empty() { self.note.clone() } else { self.group.clone() }
    }

    /// All that a model reads of it.
    pub fn content(&self) -> String {
        format!("{}\u{1f}{}", self.note, self.fields.join("\u{1f}"))
    }
}

/// The rows of a data set.
pub struct Rows {
    /// By split, "val" among them.
    pub splits: BTreeMap<String, Vec<Row>>,
    /// sha256 by file.
    pub sha256: BTreeMap<String, String>,
    /// Rows left out, as their note is blank.
    pub blank: usize,
    /// Rows left out, as they have no label.
    pub unlabelled: usize,
    /// Whether the validation rows were held out of the training file.
    pub held_out: bool,
}

impl Rows {
    /// Reads the folder, or the file, `path`, and holds validation rows out by `seed` where there are none.
    ///
    /// # Errors
    /// What is missing or cannot be read, with its file and line; a group in two splits.
    pub fn read(
        path: &Path,
        columns: Columns,
        specs: &[FieldSpec],
        labels: &[String],
        seed: u64,
    ) -> Result<Rows> {
        let (mut splits, mut digests) = (BTreeMap::new(), BTreeMap::new());
        let (mut blank, mut unlabelled) = (0, 0);
        for (split, file, name) in files(path) {
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            digests.insert(name, sha256(&bytes));
            let mut read =
                read_rows(&bytes, columns, specs, labels).with_context(|| file.display().to_string())?;
            let all = read.len();
            read.retain(|row| !is_blank(&row.note));
            blank += all - read.len();
            let all = read.len();
            if columns.skip_unlabelled {
                read.retain(|row| !row.label.is_empty());
            }
            unlabelled += all - read.len();
            if let Some(row) = read.iter().find(|row| row.label.is_empty()) {
                bail!("{}: line {}: no label", file.display(), row.line)
            }
            splits.insert(split.to_string(), read);
        }
        let held_out = !splits.contains_key("val");
        if let Some(column) = columns.group {
            let grouped =
                splits.iter().flat_map(|(split, rows)| rows.iter().map(move |row| (split.as_str(), row)));
            let grouped = grouped.filter(|(_, row)| !row.group.is_empty());
            check_apart(grouped.map(|(split, row)| (split, row.group.clone())))
                .with_context(|| format!("{}: --group-by {column}", path.display()))?;
        }
        match held_out {
            false => {}
            true if path.is_file() || columns.group.is_some() => hold_out_evenly(&mut splits, seed),
            true => hold_out(&mut splits, seed),
        }
        Ok(Rows { splits, sha256: digests, blank, unlabelled, held_out })
    }

    /// By split, a number a row: rows with the same one are held back together within training, as validation was held
    /// back from it. Rows of one group are one, and so are those with the same note where the program parted them. Where
    /// validation was given, rows with the same note and fields are one, unless validation shares such rows with training:
    /// then each stands alone, since the model will meet what it knows.
    pub fn units(&self) -> BTreeMap<String, Vec<usize>> {
        let apart = self.held_out || shared(&self.splits).is_empty();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut count = 0;
        let mut number = |row: &Row| {
            count += 1;
            let unit = match (row.group.is_empty(), self.held_out) {
                (false, _) | (true, true) => row.unit(),
                (true, false) => row.content(),
            };
            match row.group.is_empty() && !apart {
                true => count,
                false => *numbers.entry(unit).or_insert(count),
            }
        };
        let of =
            |(split, rows): (&String, &Vec<Row>)| (split.clone(), rows.iter().map(&mut number).collect());
        self.splits.iter().map(of).collect()
    }
}

/// How many records of a split are in training as well, note and fields.
pub fn shared(splits: &BTreeMap<String, Vec<Row>>) -> Vec<String> {
    let known: BTreeSet<String> = splits["train"].iter().map(Row::content).collect();
    let of = |(split, rows): (&String, &Vec<Row>)| {
        let count = rows.iter().filter(|row| known.contains(&row.content())).count();
        (split != "train" && count > 0).then(|| {
            format!(
                "{count} of the {} records of {split} are in training as well, note and fields",
                rows.len()
            )
        })
    };
    splits.iter().filter_map(of).collect()
}

/// Split, file and the name of each file of a data set; one file is "train".
fn files(path: &Path) -> Vec<(&'static str, PathBuf, String)> {
    let file = |split: &'static str| (split, file_of(path, split), format!("{split}.csv"));
    match path.is_file() {
        true => vec![("train", path.to_path_buf(), file_name(path))],
        false => {
            let there = |(split, file, _): &(&str, PathBuf, String)| *split == "train" || file.exists();
            SPLITS.into_iter().map(file).filter(there).collect()
        }
    }
}

/// sha256 by file of a data set as far as it is there, without reading its rows.
///
/// # Errors
/// A file that cannot be read.
pub fn digests(path: &Path) -> Result<BTreeMap<String, String>> {
    let digest = |(_, file, name): (&str, PathBuf, String)| {
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        Ok((name, sha256(&bytes)))
    };
    files(path).into_iter().filter(|(_, file, _)| file.exists()).map(digest).collect()
}

/// Refuses what is no text in UTF-8, by what it is.
///
/// # Errors
/// The form that the file seems to have.
pub fn check_text(bytes: &[u8]) -> Result<()> {
    let advice = "save it as CSV in UTF-8";
    ensure!(
        !bytes.starts_with(b"PK\x03\x04"),
        "the file is a spreadsheet or another archive, no CSV; {advice}"
    );
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    ensure!(!wide, "the file is text in UTF-16; {advice}");
    if let Err(error) = std::str::from_utf8(bytes) {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        bail!("line {line}: the file is not text in UTF-8 (perhaps in GBK or Latin-1); {advice}")
    }
    Ok(())
}

/// A column's name without the byte order mark that some programs put before the first.
pub fn plain_header(name: &str) -> &str {
    name.trim_start_matches('\u{feff}')
}

/// The file of a split; of a data set that is one file, that file.
pub fn file_of(path: &Path, split: &str) -> PathBuf {
    if path.is_file() { path.to_path_buf() } else { path.join(format!("{split}.csv")) }
}

/// The rows of a file. A word for a missing value is one, and as a label unless it is one of `labels`.
///
/// # Errors
/// What is no table of these columns, by its line.
pub fn read_rows(bytes: &[u8], columns: Columns, specs: &[FieldSpec], labels: &[String]) -> Result<Vec<Row>> {
    check_text(bytes)?;
    let mut reader = csv::Reader::from_reader(bytes);
    let headers = reader.headers()?.clone();
    ensure!(
        !headers.get(0).is_some_and(|first| plain_header(first).starts_with("sep=")),
        "the first line, \"sep=\", is a spreadsheet's and no header; take it out"
    );
    let column = |name: &str| {
        let found = headers.iter().position(|header| plain_header(header) == name);
        found.with_context(|| {
            let there = headers.iter().map(plain_header).collect::<Vec<_>>().join(", ");
            // One column in whose name others stand: it is parted by something else.
            let other =
                [(';', "semicolons"), ('\t', "tabs")].into_iter().find(|(sign, _)| there.contains(*sign));
            let why = other.map_or_else(String::new, |(_, what)| {
                format!("; the file parts its columns by {what}, where a CSV has commas")
            });
            format!("no column \"{name}\"; there are {there}{why}")
        })
    };
    let (note, label) = (column(columns.note)?, column(columns.label)?);
    let group = columns.group.map(column).transpose()?;
    let fields: Vec<usize> = specs.iter().map(|spec| column(&spec.name)).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |column: usize| row.get(column).unwrap_or_default();
        let label = cell(label).trim();
        let has_none = is_missing(label) && !labels.iter().any(|known| known == label);
        let label = if has_none { String::new() } else { label.to_string() };
        let value = |column: &usize| Some(cell(*column).trim()).filter(|text| !is_missing(text));
        let fields = fields.iter().map(|column| value(column).unwrap_or_default().to_string()).collect();
        let group = group.map(|group| cell(group).trim()).filter(|text| !is_missing(text));
        let group = group.unwrap_or_default().to_string();
        rows.push(Row { line, group, note: cell(note).to_string(), label, fields });
    }
    Ok(rows)
}

/// Moves a part of the training rows to validation, by `seed`; the same note falls to one side,
/// and a label that would be left without a training record keeps its notes.
fn hold_out(rows: &mut BTreeMap<String, Vec<Row>>, seed: u64) {
    let train = rows.remove("train").unwrap_or_default();
    let mut notes: Vec<String> =
        train.iter().map(|row| row.note.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    notes.shuffle(&mut random::stream(seed, "split"));
    let count = ((notes.len() as f64 * HELD_OUT) as usize).max(1);
    let mut held: BTreeSet<&String> = notes.iter().take(count).collect();
    let known: BTreeSet<&String> =
        train.iter().filter(|row| !held.contains(&row.note)).map(|row| &row.label).collect();
    for row in train.iter().filter(|row| !known.contains(&row.label)) {
        held.remove(&row.note);
    }
    let (val, train) = train.into_iter().partition(|row| held.contains(&row.note));
    rows.insert("val".to_string(), val);
    rows.insert("train".to_string(), train);
}

/// As [`hold_out`], of each label the same share: rows of one group, or with the same note, fall to
/// one side, and count for the label that the first of them has.
fn hold_out_evenly(rows: &mut BTreeMap<String, Vec<Row>>, seed: u64) {
    let train = rows.remove("train").unwrap_or_default();
    let mut sizes: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for row in &train {
        sizes.entry(row.unit()).or_insert_with(|| (row.label.clone(), 0)).1 += 1;
    }
    let mut of_label: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for (unit, (label, size)) in sizes {
        of_label.entry(label).or_default().push((unit, size));
    }
    let mut held: BTreeSet<String> = BTreeSet::new();
    for (label, mut units) in of_label {
        units.shuffle(&mut random::stream(seed, &format!("split of {label}")));
        let total: usize = units.iter().map(|(_, size)| size).sum();
        let mut left = (total as f64 * HELD_OUT) as usize;
        for (unit, size) in units {
            if size <= left {
                left -= size;
                held.insert(unit);
            }
        }
    }
    let (val, train) = train.into_iter().partition(|row| held.contains(&row.unit()));
    rows.insert("val".to_string(), val);
    rows.insert("train".to_string(), train);
}
