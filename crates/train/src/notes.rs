//! Data sets of notes: a folder with `train.csv`, `val.csv` and, if there is one, `test.csv`; or one
//! file, of which a part is held out for validation.
//!
//! One column is the note, one the label, the others are fields. What a field is (numeric or
//! categorical, its mean and quantiles, its values) is learned from the training records alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rand::seq::SliceRandom;

use super::examples::SPLITS;
use model::manifest::{Field, FieldKind};
use model::package::sha256;
use nn::random;
use text::record::{FieldValue, Record, is_blank};

/// Share of the training records that become `val` where there is none.
const HELD_OUT: f64 = 0.15;
/// Shares of the training values that lie below the knots of a numeric field.
const QUANTILES: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
/// Most values of a categorical field.
const MAX_VALUES: usize = 100;
/// With at least so many rows, a column of whole numbers or words that differ in all of them numbers
/// or names the rows.
const MANY_ROWS: usize = 50;

/// A data set as found.
pub struct NoteSource {
    /// Label names in order: by number where all are numbers, else by name.
    pub labels: Vec<String>,
    /// What the fields are.
    pub fields: Vec<Field>,
    /// Records and label indices by split.
    pub splits: BTreeMap<String, Vec<(Record, usize)>>,
    /// sha256 by file.
    pub sha256: BTreeMap<String, String>,
    /// Rows left out, as their note is blank.
    pub blank: usize,
    /// Rows left out, as they have no label.
    pub unlabelled: usize,
    /// Why columns that nobody named are no fields, a sentence each.
    pub left_out: Vec<String>,
}

/// Which columns of the files hold what.
#[derive(Debug, Clone, Copy)]
pub struct Columns<'a> {
    /// The note.
    pub note: &'a str,
    /// The label.
    pub label: &'a str,
    /// The fields, each perhaps with a range, a unit and a normal range ("sbp:0..300:mmHg:110..130"); without any, all
    /// other columns that can be one; "none" for none.
    pub fields: &'a [String],
    /// What is the same in rows that are held out together, such as a patient or a hospital.
    pub group: Option<&'a str>,
    /// Leave out rows without a label, where they would otherwise be refused.
    pub skip_unlabelled: bool,
}

/// One row of a file, as text.
struct Row {
    line: u64,
    group: String,
    note: String,
    label: String,
    /// In the order of the fields; empty for missing.
    fields: Vec<String>,
}

impl NoteSource {
    /// Reads the folder, or the file, `path`. `labels` are the labels in order; without any they are those of
    /// the training records. A label that no training record has is refused: nothing could be
    /// learned of it.
    ///
    /// # Errors
    /// What is missing or cannot be read, with its file and line.
    pub fn read(path: &Path, columns: Columns, labels: &[String], seed: u64) -> Result<NoteSource> {
        let mut left_out = Vec::new();
        let specs: Vec<FieldSpec> = match columns.fields {
            [] => other_columns(&file_of(path, "train"), columns, &mut left_out)?,
            [none] if none == "none" => Vec::new(),
            named => named.iter().map(|text| FieldSpec::parse(text)).collect::<Result<_>>()?,
        };
        let mut rows: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        let mut digests = BTreeMap::new();
        let (mut blank, mut unlabelled) = (0, 0);
        let one_file = path.is_file();
        for split in SPLITS {
            let file = file_of(path, split);
            if split != "train" && (one_file || !file.exists()) {
                continue;
            }
            let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
            let name = if one_file { file.file_name() } else { None };
            let name =
                name.map_or_else(|| format!("{split}.csv"), |name| name.to_string_lossy().into_owned());
            digests.insert(name, sha256(&bytes));
            let mut read = read_rows(&bytes, columns.note, columns.label, columns.group, &specs)
                .with_context(|| file.display().to_string())?;
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
            rows.insert(split.to_string(), read);
        }
        match rows.contains_key("val") {
            true => {}
            false if one_file || columns.group.is_some() => {
                hold_out_evenly(&mut rows, columns.group.is_some(), seed)
            }
            false => hold_out(&mut rows, seed),
        }
        let train = &rows["train"];
        ensure!(!train.is_empty(), "{}: no training records", path.display());
        ensure!(!rows["val"].is_empty(), "{}: no validation records", path.display());
        let found = label_names(train);
        let label = columns.label;
        ensure!(found.len() >= 2, "{}: fewer than two labels in the column \"{label}\"", path.display());
        if let Some(absent) = labels.iter().find(|label| !found.contains(label)) {
            bail!("--labels: no training record has the label \"{absent}\"; there are {}", found.join(", "));
        }
        let labels = if labels.is_empty() { found } else { labels.to_vec() };
        let (mut fields, mut places) = (Vec::new(), Vec::new());
        for (place, spec) in specs.iter().enumerate() {
            match spec.learn(train.iter().map(|row| row.fields[place].as_str())) {
                Ok(field) => {
                    fields.push(field);
                    places.push(place);
                }
                Err(reason) if columns.fields.is_empty() => left_out.push(reason.to_string()),
                Err(reason) => return Err(reason.context("--fields")),
            }
        }
        let mut splits = BTreeMap::new();
        for (split, mut rows) in rows {
            for row in &mut rows {
                row.fields = places.iter().map(|place| std::mem::take(&mut row.fields[*place])).collect();
            }
            let own = format!("{split}.csv");
            // Records held out for validation are rows of the training file.
            let file = if digests.contains_key(&own) { split.as_str() } else { "train" };
            let records = records(rows, &fields, &labels).with_context(|| {
                format!("{} (labels are those of the training records)", file_of(path, file).display())
            })?;
            if !records.is_empty() {
                splits.insert(split, records);
            }
        }
        Ok(NoteSource { labels, fields, splits, sha256: digests, blank, unlabelled, left_out })
    }

    /// Reads one split as the model that has `labels` and `fields` would be sent it.
    ///
    /// # Errors
    /// As [`NoteSource::read`]; a label that the model does not know.
    pub fn read_split(
        path: &Path,
        split: &str,
        columns: (&str, &str),
        fields: &[Field],
        labels: &[String],
    ) -> Result<Vec<(Record, usize)>> {
        let file = file_of(path, split);
        let specs: Vec<FieldSpec> = fields.iter().map(|field| FieldSpec::named(&field.name)).collect();
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let mut rows = read_rows(&bytes, columns.0, columns.1, None, &specs)
            .with_context(|| file.display().to_string())?;
        // What has no label cannot be measured on.
        rows.retain(|row| !is_blank(&row.note) && !row.label.is_empty());
        records(rows, fields, labels).with_context(|| file.display().to_string())
    }
}

/// A field as named on the command line.
#[derive(Debug, Clone, PartialEq)]
struct FieldSpec {
    name: String,
    /// Least and greatest value, and the unit.
    range: Option<(f64, f64, String)>,
    /// Where a person is well.
    normal: Option<(f64, f64)>,
}

impl FieldSpec {
    fn named(name: &str) -> FieldSpec {
        FieldSpec { name: name.to_string(), range: None, normal: None }
    }

    fn parse(text: &str) -> Result<FieldSpec> {
        let mut parts = text.splitn(4, ':');
        let name = parts.next().unwrap_or_default().trim().to_string();
        ensure!(!name.is_empty(), "--fields: a name is empty");
        let Some(range) = parts.next() else { return Ok(FieldSpec::named(&name)) };
        let ends = |range: &str| {
            let ends = range.split_once("..").and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
            ends.filter(|(min, max): &(f64, f64)| min < max).with_context(|| {
                format!("--fields: \"{text}\" is not name, name:min..max, name:min..max:unit or name:min..max:unit:low..high")
            })
        };
        let (min, max) = ends(range)?;
        let unit = parts.next().unwrap_or_default().to_string();
        let normal = parts.next().map(ends).transpose()?;
        Ok(FieldSpec { name, range: Some((min, max, unit)), normal })
    }

    /// What the field is, judged by the training values: numeric if all are numbers.
    fn learn<'a>(&self, values: impl Iterator<Item = &'a str>) -> Result<Field> {
        let all: Vec<&str> = values.collect();
        let rows = all.len();
        let known: Vec<&str> = all.into_iter().filter(|value| !value.is_empty()).collect();
        let distinct: BTreeSet<&str> = known.iter().copied().collect();
        let is_name = |value: &&str| value.parse::<f64>().map_or(true, |x| x.fract() == 0.0);
        let names_rows = rows >= MANY_ROWS && distinct.len() == rows && known.iter().all(is_name);
        let numbers: Option<Vec<f64>> = known.iter().map(|value| number(value)).collect();
        let name = self.name.clone();
        let kind = match numbers {
            Some(numbers) if !numbers.is_empty() => self.numeric(numbers)?,
            _ => {
                ensure!(self.range.is_none(), "the column \"{name}\" has values that are no numbers");
                let values: BTreeSet<&str> = known.into_iter().collect();
                ensure!(!values.is_empty(), "the column \"{name}\" has no value in any training record");
                ensure!(
                    values.len() <= MAX_VALUES,
                    "the column \"{name}\" has {} different values that are no numbers, more than {MAX_VALUES}",
                    values.len()
                );
                FieldKind::Categorical { values: values.into_iter().map(str::to_string).collect() }
            }
        };
        ensure!(
            !names_rows,
            "the column \"{name}\" is different in every row: it names the rows and says nothing of them"
        );
        Ok(Field { name, kind })
    }

    fn numeric(&self, mut numbers: Vec<f64>) -> Result<FieldKind> {
        numbers.sort_by(f64::total_cmp);
        let (least, greatest) = (numbers[0], numbers[numbers.len() - 1]);
        // Without a range, what is accepted goes half as far again as what was seen, and below
        // zero only where training did.
        let reach = ((greatest - least) / 2.0).max(1.0);
        let low = if least >= 0.0 { (least - reach).max(0.0) } else { least - reach };
        let (min, max, unit) = self.range.clone().unwrap_or((low, greatest + reach, String::new()));
        numbers.retain(|x| (min..=max).contains(x));
        ensure!(!numbers.is_empty(), "the column \"{}\" has no value from {min} to {max}", self.name);
        let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / numbers.len() as f64;
        let std = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let mut knots: Vec<f64> = QUANTILES.iter().map(|share| quantile(&numbers, *share)).collect();
        knots.dedup();
        Ok(FieldKind::Numeric { min, max, unit, mean, std, knots, normal: self.normal })
    }
}

/// The value that a share of the sorted `numbers` lie below, between two of them if need be.
fn quantile(numbers: &[f64], share: f64) -> f64 {
    let place = share * (numbers.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    numbers[low] + (numbers[high] - numbers[low]) * (place - low as f64)
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|x| x.is_finite())
}

/// All columns that are neither note nor label and can be told apart by name.
fn other_columns(file: &Path, columns: Columns, left_out: &mut Vec<String>) -> Result<Vec<FieldSpec>> {
    let mut reader = csv::Reader::from_path(file).with_context(|| file.display().to_string())?;
    let headers = reader.headers().with_context(|| file.display().to_string())?;
    let mut specs = Vec::new();
    let taken = |name: &&str| *name == columns.note || *name == columns.label || Some(*name) == columns.group;
    for name in headers.iter().map(plain_header).filter(|name| !taken(name)) {
        match name {
            "" => left_out.push("a column has no name".to_string()),
            "note" => {
                left_out.push("the column \"note\" is called what a request calls the text".to_string())
            }
            name => specs.push(FieldSpec::named(name)),
        }
    }
    Ok(specs)
}

/// A column's name without the byte order mark that some programs put before the first.
fn plain_header(name: &str) -> &str {
    name.trim_start_matches('\u{feff}')
}

/// The file of a split; of a data set that is one file, that file.
fn file_of(path: &Path, split: &str) -> PathBuf {
    if path.is_file() { path.to_path_buf() } else { path.join(format!("{split}.csv")) }
}

fn read_rows(
    bytes: &[u8],
    note: &str,
    label: &str,
    group: Option<&str>,
    specs: &[FieldSpec],
) -> Result<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let headers = reader.headers()?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| plain_header(header) == name);
        found.with_context(|| {
            format!("no column \"{name}\"; there are {}", headers.iter().collect::<Vec<_>>().join(", "))
        })
    };
    let (note, label, group) = (column(note)?, column(label)?, group.map(column).transpose()?);
    let fields: Vec<usize> = specs.iter().map(|spec| column(&spec.name)).collect::<Result<_>>()?;
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |column: usize| row.get(column).unwrap_or_default();
        let label = cell(label).trim().to_string();
        let fields = fields.iter().map(|column| cell(*column).trim().to_string()).collect();
        let group = group.map(|group| cell(group).trim().to_string()).unwrap_or_default();
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
fn hold_out_evenly(rows: &mut BTreeMap<String, Vec<Row>>, by_group: bool, seed: u64) {
    let train = rows.remove("train").unwrap_or_default();
    let unit = |row: &Row| if by_group { row.group.clone() } else { row.note.clone() };
    let mut sizes: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for row in &train {
        sizes.entry(unit(row)).or_insert_with(|| (row.label.clone(), 0)).1 += 1;
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
    let (val, train) = train.into_iter().partition(|row| held.contains(&unit(row)));
    rows.insert("val".to_string(), val);
    rows.insert("train".to_string(), train);
}

fn label_names(rows: &[Row]) -> Vec<String> {
    let names: BTreeSet<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    let mut names: Vec<String> = names.into_iter().map(str::to_string).collect();
    if names.iter().all(|name| name.parse::<i64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or_default());
    }
    names
}

/// What cannot be (out of range, an unknown value) is missing here: a data set is history, and
/// its writer cannot be asked to mend it.
fn records(rows: Vec<Row>, fields: &[Field], labels: &[String]) -> Result<Vec<(Record, usize)>> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(label) = labels.iter().position(|name| *name == row.label) else {
            bail!("line {}: the label \"{}\" is none of {}", row.line, row.label, labels.join(", "))
        };
        let value = |(field, text): (&Field, &String)| match &field.kind {
            FieldKind::Numeric { min, max, .. } => match number(text) {
                Some(x) if (*min..=*max).contains(&x) => FieldValue::Number(x),
                _ => FieldValue::Missing,
            },
            FieldKind::Categorical { values } => match values.iter().position(|v| v == text) {
                Some(index) => FieldValue::Choice(index),
                None => FieldValue::Missing,
            },
        };
        let fields = fields.iter().zip(&row.fields).map(value).collect();
        out.push((Record { note: row.note, fields }, label));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, content: &str) {
        std::fs::write(folder.join(name), content).unwrap();
    }

    fn columns<'a>(label: &'a str, fields: &'a [String]) -> Columns<'a> {
        Columns { note: "note", label, fields, group: None, skip_unlabelled: false }
    }

    #[test]
    fn fields_are_learned_from_training_and_what_cannot_be_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let train = "note,age,sex,level\ncough,40,male,10\nfever,,female,2\n\" \",1,male,2\npain,60,male,2\n";
        write(folder.path(), "train.csv", train);
        write(folder.path(), "val.csv", "note,age,sex,level\nrash,900,other,2\n");
        let source = NoteSource::read(folder.path(), columns("level", &[]), &[], 0).unwrap();
        assert_eq!(source.labels, ["2", "10"]);
        assert_eq!(source.blank, 1);
        assert_eq!(source.splits["train"].len(), 3);
        let FieldKind::Numeric { mean, std, min, max, .. } = &source.fields[0].kind else { panic!() };
        assert_eq!((*mean, *std, *min, *max), (50.0, 10.0, 30.0, 70.0));
        assert_eq!(source.splits["val"][0].0.fields, [FieldValue::Missing, FieldValue::Missing]);
        assert_eq!(source.splits["train"][1].0.fields, [FieldValue::Missing, FieldValue::Choice(0)]);
    }

    #[test]
    fn ranges_and_units_come_from_the_command_line() {
        let spec = FieldSpec::parse("sbp:0..300:mmHg").unwrap();
        assert_eq!((spec.range, spec.normal), (Some((0.0, 300.0, "mmHg".to_string())), None));
        assert_eq!(FieldSpec::parse("sbp:0..300::110..130").unwrap().normal, Some((110.0, 130.0)));
        assert_eq!(FieldSpec::parse("sex").unwrap().range, None);
        for bad in ["", "a:b", "a:3..1", "a:1..x", "a:1..2::3..1"] {
            assert!(FieldSpec::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn validation_is_held_out_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..100).map(|i| format!("note {},{}\n", i % 50, i % 2)).collect();
        write(folder.path(), "train.csv", &format!("note,label\n{rows}"));
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 1).unwrap();
        let notes = |split: &str| -> BTreeSet<String> {
            source.splits[split].iter().map(|(record, _)| record.note.clone()).collect()
        };
        assert_eq!(source.splits["val"].len(), 14);
        assert!(notes("val").is_disjoint(&notes("train")));
    }

    #[test]
    fn one_file_is_split_by_label_and_groups_stay_together() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String =
            (0..400).map(|i| format!("note {i},{},{},{}\n", i % 40, i % 5, u8::from(i % 8 == 0))).collect();
        write(folder.path(), "all.csv", &format!("note,ward,pain,label\n{rows}x,1,1,\n"));
        let file = folder.path().join("all.csv");
        let fields = ["pain".to_string()];
        let read = |group, skip_unlabelled| {
            let columns = Columns { group, skip_unlabelled, ..columns("label", &fields) };
            NoteSource::read(&file, columns, &[], 3)
        };
        assert!(format!("{:#}", read(None, false).err().unwrap()).contains("line 402: no label"));
        let even = read(None, true).unwrap();
        let count =
            |source: &NoteSource, label| source.splits["val"].iter().filter(|(_, l)| *l == label).count();
        assert_eq!((count(&even, 0), count(&even, 1), even.unlabelled), (52, 7, 1));
        assert!(even.sha256.contains_key("all.csv"));
        let grouped = read(Some("ward"), true).unwrap();
        let ward = |(record, _): &(Record, usize)| record.note[5..].parse::<usize>().unwrap() % 40;
        let of = |split: &str| grouped.splits[split].iter().map(ward).collect::<BTreeSet<_>>();
        assert!(!of("val").is_empty() && of("val").is_disjoint(&of("train")));
    }

    #[test]
    fn a_column_that_names_the_rows_is_no_field() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..60).map(|i| format!("note {i},{i},{}.5,{}\n", i, i % 2)).collect();
        write(folder.path(), "train.csv", &format!("note,patient,weight,label\n{rows}"));
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        let names: Vec<&str> = source.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["weight"]);
        assert!(
            source.left_out[0].contains("\"patient\" is different in every row"),
            "{:?}",
            source.left_out
        );
        let named = NoteSource::read(folder.path(), columns("label", &["patient".to_string()]), &[], 0);
        assert!(format!("{:#}", named.err().unwrap()).contains("\"patient\" is different in every row"));
    }

    #[test]
    fn an_absent_column_is_named_with_those_there_are() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "train.csv", "text,label\nx,1\n");
        let error =
            NoteSource::read(folder.path(), columns("label", &["text".to_string()]), &[], 0).err().unwrap();
        assert!(format!("{error:#}").contains("no column \"note\"; there are text, label"), "{error:#}");
    }

    #[test]
    fn a_column_that_can_be_no_field_is_left_out_unless_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String =
            (0..150).map(|i| format!("{i},note {i},told {i},{},,{}\n", i % 7, i % 2)).collect();
        write(folder.path(), "train.csv", &format!(",note,story,pain,empty,label\n{rows}"));
        write(folder.path(), "val.csv", &format!(",note,story,pain,empty,label\n{rows}"));
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        let names: Vec<&str> = source.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!((names, source.left_out.len()), (vec!["pain"], 3));
        assert_eq!(source.splits["val"][8].0.fields, [FieldValue::Number(1.0)]);
        assert!(source.left_out[1].contains("\"story\" has 150 different values"), "{:?}", source.left_out);
        let none = NoteSource::read(folder.path(), columns("label", &["none".to_string()]), &[], 0).unwrap();
        assert!(none.fields.is_empty() && none.left_out.is_empty());
        let named = NoteSource::read(folder.path(), columns("label", &["story".to_string()]), &[], 0);
        assert!(format!("{:#}", named.err().unwrap()).contains("\"story\" has 150 different values"));
    }

    #[test]
    fn labels_keep_the_order_given_and_a_stranger_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "train.csv", "note,label\na,low\nb,high\nc,medium\n");
        write(folder.path(), "val.csv", "note,label\na,low\n");
        write(folder.path(), "test.csv", "note,label\n");
        let read = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|label| label.to_string()).collect();
            NoteSource::read(folder.path(), columns("label", &[]), &labels, 0)
        };
        let error = |labels: &[&str]| format!("{:#}", read(labels).err().unwrap());
        let source = read(&["low", "medium", "high"]).unwrap();
        assert_eq!((source.splits["val"][0].1, source.labels.len()), (0, 3));
        assert!(!source.splits.contains_key("test"), "an empty split is none");
        assert!(error(&["low", "medium"]).contains("line 3: the label \"high\" is none of low, medium"));
        assert!(
            error(&["low", "medium", "high", "none"]).contains("no training record has the label \"none\"")
        );
        write(folder.path(), "val.csv", "note,label\na,low\n\"b\nb\",odd\n");
        let error = error(&[]);
        assert!(error.contains("val.csv") && error.contains("line 3: the label \"odd\""), "{error}");
    }

    #[test]
    fn what_is_held_out_leaves_every_label_a_training_record() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..20).map(|i| format!("note {i},{}\n", i.min(10))).collect();
        write(folder.path(), "train.csv", &format!("note,label\n{rows}"));
        for seed in 0..5 {
            let source = NoteSource::read(folder.path(), columns("label", &[]), &[], seed);
            // With few notes there may be none to spare, which is said; it is no missing label.
            match source {
                Ok(source) => assert_eq!(source.labels.len(), 11),
                Err(error) => assert!(error.to_string().contains("no validation records"), "{error:#}"),
            }
        }
    }
}
