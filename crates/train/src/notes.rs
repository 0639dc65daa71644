//! Data sets of notes: a folder with `train.csv`, `val.csv` and, if there is one, `test.csv`; or one
//! file, of which a part is held out for validation.
//!
//! One column is the note, one the label, the others are fields. What a field is (numeric or
//! categorical, its mean and quantiles, its values) is learned from the training records alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::examples::{SPLITS, children, file_name};
use super::label_names;
use super::note_fields::{FieldSpec, number, value};
use super::note_rows::{Row, Rows, check_text, digests, file_of, plain_header, read_rows, shared};
use model::Manifest;
use model::manifest::{Field, FieldKind};
use serde_json::Value;
use text::record::{FieldValue, Record, is_blank};

/// Fewest rows of which it can be said that one column alone tells the label.
const MANY_ROWS: usize = 50;
/// Rows for each value of such a column at the least.
const ROWS_A_VALUE: usize = 5;

/// A data set as found.
pub struct NoteSource {
    /// Label names in order: by number where all are numbers, else by name.
    pub labels: Vec<String>,
    /// What the fields are.
    pub fields: Vec<Field>,
    /// Records and label indices by split.
    pub splits: BTreeMap<String, Vec<(Record, usize)>>,
    /// By split, a number a record: those that are held out together have the same one.
    pub units: BTreeMap<String, Vec<usize>>,
    /// sha256 by file.
    pub sha256: BTreeMap<String, String>,
    /// Rows left out, as their note is blank.
    pub blank: usize,
    /// Rows left out, as they have no label.
    pub unlabelled: usize,
    /// Why columns that nobody named are no fields, a sentence each.
    pub left_out: Vec<String>,
    /// What whoever trains on it should know before trusting what is measured, a sentence each.
    pub warnings: Vec<String>,
}

/// Records, each with the place of its label.
type Records = Vec<(Record, usize)>;

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
        for (what, column) in [("note", columns.note), ("label", columns.label)] {
            let is_field = specs.iter().any(|spec| spec.name == column);
            ensure!(!is_field, "--fields: \"{column}\" is the column of the {what}, which is no field");
        }
        check_files(path)?;
        let rows = Rows::read(path, columns, &specs, labels, seed)?;
        let train = &rows.splits["train"];
        ensure!(!train.is_empty(), "{}: no training records", path.display());
        let why = match rows.held_out {
            true => {
                ", as too few can be held out: rows with the same note, or of one group, stay together; bring more, or a val.csv"
            }
            false => "",
        };
        ensure!(!rows.splits["val"].is_empty(), "{}: no validation records{why}", path.display());
        if let Some(group) = columns.group {
            let first = train[0].unit();
            let several = train.iter().any(|row| row.unit() != first);
            ensure!(several, "--group-by {group}: all training records are of one group");
        }
        let found = label_names::ordered(train.iter().map(|row| row.label.as_str()));
        let label = columns.label;
        ensure!(found.len() >= 2, "{}: fewer than two labels in the column \"{label}\"", path.display());
        label_names::check_distinct(&found).with_context(|| path.display().to_string())?;
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
        let units = rows.units();
        let mut warnings = shared(&rows.splits);
        warnings.extend(telling(train, &fields, &places));
        let mut splits = BTreeMap::new();
        for (split, mut own) in rows.splits {
            for row in &mut own {
                row.fields = places.iter().map(|place| std::mem::take(&mut row.fields[*place])).collect();
            }
            // Records held out for validation are rows of the training file.
            let file = if split == "val" && rows.held_out { "train" } else { split.as_str() };
            let read = check_numbers(&own, &fields).and_then(|()| records(own, &fields, &labels));
            let (records, missing) = read.with_context(|| {
                format!("{} (labels are those of the training records)", file_of(path, file).display())
            })?;
            warnings.extend(missing.into_iter().map(|sentence| format!("{split}: {sentence}")));
            if !records.is_empty() {
                splits.insert(split, records);
            }
        }
        let Rows { sha256, blank, unlabelled, .. } = rows;
        Ok(NoteSource { labels, fields, splits, units, sha256, blank, unlabelled, left_out, warnings })
    }

    /// Reads one split as a package with `fields` would be sent it. Of the data that it was trained on, what training held
    /// out is held out again; of another single file, all of it is "test".
    ///
    /// # Errors
    /// As [`NoteSource::read`]; a label that the model does not know; a split that the data does not have.
    pub fn read_split(
        path: &Path,
        split: &str,
        manifest: &Manifest,
        fields: &[Field],
    ) -> Result<Vec<(Record, usize)>> {
        let (name, file) = (&manifest.name, file_of(path, split));
        if is_own(manifest, path)? {
            let mut own = OwnRecords::read(path, manifest, fields)?;
            return own.splits.remove(split).with_context(|| {
                format!("{} is what \"{name}\" was trained on; it has no split \"{split}\"", path.display())
            });
        }
        ensure!(
            split == "test" || !path.is_file(),
            "{} is not the file that \"{name}\" was trained on, so nobody knows which of its rows are \"{split}\"; \
             --split test measures all of it",
            path.display()
        );
        let bytes = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let columns = Columns { group: None, ..Columns::of(manifest) };
        let mut rows = read_rows(&bytes, columns, &named(fields), &manifest.labels)
            .with_context(|| file.display().to_string())?;
        rows.retain(|row| !is_blank(&row.note) && !row.label.is_empty());
        let (records, missing) =
            records(rows, fields, &manifest.labels).with_context(|| file.display().to_string())?;
        missing.iter().for_each(|sentence| eprintln!("{split}: {sentence}"));
        Ok(records)
    }
}

impl<'a> Columns<'a> {
    /// Those that a package was trained on, but for the fields. What has no label cannot be measured on.
    fn of(manifest: &'a Manifest) -> Columns<'a> {
        let setting = |name: &str| manifest.training.settings.get(name).and_then(Value::as_str);
        Columns {
            note: setting("note_column").unwrap_or("note"),
            label: setting("label_column").unwrap_or("label"),
            fields: &[],
            group: setting("group_by"),
            skip_unlabelled: true,
        }
    }
}

/// The data that a package was trained on, read again and parted as it was.
pub struct OwnRecords {
    /// Records by split.
    pub splits: BTreeMap<String, Vec<(Record, usize)>>,
    /// As [`NoteSource::units`].
    pub units: BTreeMap<String, Vec<usize>>,
}

impl OwnRecords {
    /// Reads `path` as the package that has `fields` was trained on it.
    ///
    /// # Errors
    /// Other data; rows that cannot be parted as they were, since the package does not say by what they were grouped.
    pub fn read(path: &Path, manifest: &Manifest, fields: &[Field]) -> Result<OwnRecords> {
        ensure!(
            is_own(manifest, path)?,
            "{} is not the data that the model \"{}\" was trained on",
            path.display(),
            manifest.name
        );
        let (columns, seed) = (Columns::of(manifest), manifest.training.seed);
        let rows = Rows::read(path, columns, &named(fields), &manifest.labels, seed)?;
        let same = |(split, own): (&String, &Vec<Row>)| {
            own.len() == manifest.data.examples.get(split).copied().unwrap_or(0)
        };
        ensure!(
            !rows.held_out || rows.splits.iter().all(same),
            "{}: its rows cannot be parted as they were when \"{}\" was trained",
            path.display(),
            manifest.name
        );
        let units = rows.units();
        let mut splits = BTreeMap::new();
        for (split, own) in rows.splits {
            let (records, _) = records(own, fields, &manifest.labels)
                .with_context(|| format!("{}, {split}", path.display()))?;
            if !records.is_empty() {
                splits.insert(split, records);
            }
        }
        Ok(OwnRecords { splits, units })
    }
}

/// Columns of the fields of a package.
fn named(fields: &[Field]) -> Vec<FieldSpec> {
    fields.iter().map(|field| FieldSpec::named(&field.name)).collect()
}

/// Whether a data set is the one that a package was trained on. A single file may have been given another name.
///
/// # Errors
/// A file that cannot be read.
pub fn is_own(manifest: &Manifest, path: &Path) -> Result<bool> {
    let (found, own) = (digests(path)?, &manifest.data.sha256);
    Ok(if path.is_file() { found.values().eq(own.values()) } else { found == *own })
}

/// All columns that are neither note nor label and can be told apart by name.
fn other_columns(file: &Path, columns: Columns, left_out: &mut Vec<String>) -> Result<Vec<FieldSpec>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    check_text(&bytes).with_context(|| file.display().to_string())?;
    let mut reader = csv::Reader::from_reader(&bytes[..]);
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

/// Refuses a table beside those of the splits, which somebody may take for one of them (`dev.csv`).
fn check_files(path: &Path) -> Result<()> {
    if path.is_dir() {
        for file in children(path)? {
            let name = file_name(&file);
            ensure!(
                !name.ends_with(".csv") || SPLITS.iter().any(|split| name == format!("{split}.csv")),
                "{} is none of train.csv, val.csv and test.csv, and nothing else is read",
                file.display()
            );
        }
    }
    Ok(())
}

/// Fields of which one alone tells the label of every record: what is written down after the label is known.
fn telling(train: &[Row], fields: &[Field], places: &[usize]) -> Vec<String> {
    let tells = |place: usize| {
        let known = || train.iter().filter(|row| !row.fields[place].is_empty());
        let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
        let mut alone = true;
        for row in known() {
            alone &= *labels.entry(&row.fields[place]).or_insert(&row.label) == row.label;
        }
        let known = known().count();
        let different: BTreeSet<&&str> = labels.values().collect();
        alone && different.len() >= 2 && known >= MANY_ROWS && known >= ROWS_A_VALUE * labels.len()
    };
    let fields = fields.iter().zip(places).filter(|(_, place)| tells(**place));
    let sentence = |(field, _): (&Field, _)| {
        format!(
            "the column \"{}\" alone tells the label of every training record; leave it out (--fields) unless it is known \
             when the note is",
            field.name
        )
    };
    fields.map(sentence).collect()
}

/// Refuses what is no number in a column of numbers.
fn check_numbers(rows: &[Row], fields: &[Field]) -> Result<()> {
    for (place, field) in fields.iter().enumerate() {
        let FieldKind::Numeric { .. } = field.kind else { continue };
        let stray = |row: &&Row| !row.fields[place].is_empty() && number(&row.fields[place]).is_none();
        if let Some(row) = rows.iter().find(stray) {
            bail!(
                "line {}: the column \"{}\" holds numbers, and \"{}\" is none; a cell without a number is empty or NA",
                row.line,
                field.name,
                row.fields[place]
            )
        }
    }
    Ok(())
}

/// The records, and how many values of each field became missing, a sentence each.
fn records(rows: Vec<Row>, fields: &[Field], labels: &[String]) -> Result<(Records, Vec<String>)> {
    let mut out = Vec::with_capacity(rows.len());
    let mut missing = vec![0; fields.len()];
    for row in rows {
        let Some(label) = labels.iter().position(|name| *name == row.label) else {
            bail!("line {}: the label \"{}\" is none of {}", row.line, row.label, labels.join(", "))
        };
        let values: Vec<FieldValue> =
            fields.iter().zip(&row.fields).map(|(field, text)| value(field, text)).collect();
        for ((count, value), text) in missing.iter_mut().zip(&values).zip(&row.fields) {
            *count += usize::from(*value == FieldValue::Missing && !text.is_empty());
        }
        out.push((Record { note: row.note, fields: values }, label));
    }
    let of = |(field, count): (&Field, usize)| {
        let why = match field.kind {
            FieldKind::Numeric { .. } => "out of range",
            FieldKind::Categorical { .. } => "none that training has",
        };
        format!("{count} values of \"{}\" are {why} and taken as missing", field.name)
    };
    let missing = fields.iter().zip(missing).filter(|(_, count)| *count > 0).map(of).collect();
    Ok((out, missing))
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

    /// The error of reading `train` beside a validation file of two rows.
    fn refusal(train: &str, val: &str, columns: Columns) -> String {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "train.csv", train);
        write(folder.path(), "val.csv", val);
        format!("{:#}", NoteSource::read(folder.path(), columns, &[], 0).err().expect("refused"))
    }

    #[test]
    fn words_for_a_missing_value_are_missing_and_a_stray_among_numbers_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let words = ["NA", "N/A", "NaN", "null", "<NA>", "", " "];
        let rows: String = words.iter().map(|word| format!("pain,{word},{word},1\n")).collect();
        write(
            folder.path(),
            "train.csv",
            &format!("note,sbp,sex,label\n{rows}a,120,f,2\nb,90,m,2\n{}", "c,1,f,2\n".repeat(9)),
        );
        write(folder.path(), "val.csv", "note,sbp,sex,label\na,NA,divers,2\nb,900,f,1\n");
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        assert!(matches!(source.fields[0].kind, FieldKind::Numeric { min: 0.0, .. }), "{:?}", source.fields);
        let FieldKind::Categorical { values } = &source.fields[1].kind else { panic!() };
        assert_eq!(values, &["f", "m"]);
        for (record, _) in &source.splits["train"][..words.len()] {
            assert_eq!(record.fields, [FieldValue::Missing, FieldValue::Missing]);
        }
        let said = source.warnings.join("; ");
        assert!(said.contains("val: 1 values of \"sbp\" are out of range"), "{said}");
        assert!(said.contains("val: 1 values of \"sex\" are none that training has"), "{said}");

        let numbers = |stray: &str| format!("note,sbp,label\na,120,1\nb,{stray},2\nc,90,1\n");
        let sound = numbers("80");
        for stray in ["unknown", "-", "<1", "\"37,5\"", "120mmHg"] {
            for (train, val, file, line) in [
                (numbers(stray), sound.clone(), "train.csv", 3),
                (sound.clone(), numbers(stray), "val.csv", 3),
            ] {
                let error = refusal(&train, &val, columns("label", &[]));
                let place = format!("line {line}: the column \"sbp\" holds numbers");
                assert!(error.contains(file) && error.contains(&place), "{error}");
            }
        }
        // A range says that a column is of numbers, and a word among labels for none is no label.
        let error = refusal(
            "note,pain,label\na,mild,1\nb,bad,2\nc,3,2\n",
            &sound,
            columns("label", &["pain:0..10".to_string()]),
        );
        assert!(error.contains("pain"), "{error}");
        let error = refusal("note,label\na,x\nb,NA\nc,y\n", "note,label\na,x\n", columns("label", &[]));
        assert!(error.contains("line 3: no label"), "{error}");
    }

    #[test]
    fn a_group_in_two_given_splits_is_refused_and_rows_without_one_stand_alone() {
        let rows = |people: &[&str]| -> String {
            let row = |(i, person): (usize, &&str)| format!("note {person}{i},{person},{}\n", i % 2);
            format!("note,pid,label\n{}", people.iter().enumerate().map(row).collect::<String>())
        };
        let grouped = Columns { group: Some("pid"), ..columns("label", &[]) };
        let error = refusal(&rows(&["a", "b", "c"]), &rows(&["d", "c"]), grouped);
        assert!(
            error.contains("--group-by pid") && error.contains("\"c\" is in train and in val"),
            "{error}"
        );
        let error = refusal(&rows(&["a", "a"]), &rows(&["d"]), grouped);
        assert!(error.contains("all training records are of one group"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "train.csv", &rows(&["a", "a", "", "", "NA"]));
        write(folder.path(), "val.csv", &rows(&["", "b"]));
        let source = NoteSource::read(folder.path(), grouped, &[], 0).unwrap();
        let alike = |source: &NoteSource| -> Vec<usize> {
            let units = &source.units["train"];
            units.iter().filter_map(|unit| units.iter().position(|other| other == unit)).collect()
        };
        assert_eq!(alike(&source), [0, 0, 2, 3, 4]);
        // Without groups the same note with the same fields is one record, and with other fields another; unless
        // validation has records of training too.
        write(folder.path(), "train.csv", "note,age,label\na,1,x\na,1,y\na,2,x\nb,2,y\n");
        write(folder.path(), "val.csv", "note,age,label\na,1,x\na,3,x\n");
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        assert_eq!(alike(&source), [0, 1, 2, 3]);
        assert_eq!(source.warnings[0], "1 of the 2 records of val are in training as well, note and fields");
        write(folder.path(), "val.csv", "note,age,label\na,3,x\n");
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        assert_eq!(alike(&source), [0, 0, 2, 3]);
        assert!(source.warnings.is_empty(), "{:?}", source.warnings);
    }

    #[test]
    fn a_column_that_tells_the_label_is_told_and_the_label_is_no_field() {
        let folder = tempfile::tempdir().unwrap();
        let row =
            |i: usize| format!("note {i},{},{},{}\n", ["home", "ward"][i % 2], ["f", "m"][i / 2 % 2], i % 2);
        let rows: String = (0..60).map(row).collect();
        write(folder.path(), "train.csv", &format!("note,outcome,sex,label\n{rows}"));
        let source = NoteSource::read(folder.path(), columns("label", &[]), &[], 0).unwrap();
        assert_eq!(source.warnings.len(), 1, "{:?}", source.warnings);
        assert!(source.warnings[0].contains("\"outcome\" alone tells the label"), "{:?}", source.warnings);
        for column in ["label", "note"] {
            let named = NoteSource::read(folder.path(), columns("label", &[column.to_string()]), &[], 0);
            let error = format!("{:#}", named.err().unwrap());
            assert!(error.contains(&format!("\"{column}\" is the column of the {column}")), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_csv_in_utf_8_is_refused_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let utf_16: Vec<u8> =
            [0xfeff].into_iter().chain("note,label\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let cases: [(&[u8], &str); 6] = [
            (&utf_16, "UTF-16"),
            (b"note,label\n\xd0\xd8\xcd\xb4,1\n", "line 2: the file is not text in UTF-8"),
            (b"PK\x03\x04\x14", "a spreadsheet"),
            (b"note;label\na;1\n", "by semicolons"),
            (b"note\tlabel\na\t1\n", "by tabs"),
            (b"sep=,\nnote,label\na,1\n", "\"sep=\""),
        ];
        for fields in [&[][..], &["none".to_string()]] {
            for (bytes, want) in cases {
                std::fs::write(folder.path().join("train.csv"), bytes).unwrap();
                let read = NoteSource::read(folder.path(), columns("label", fields), &[], 0);
                let error = format!("{:#}", read.err().unwrap());
                assert!(error.contains(want) && error.contains("train.csv"), "{error}");
            }
        }
        // What nobody reads is no validation.
        write(folder.path(), "train.csv", "note,label\na,1\nb,2\n");
        write(folder.path(), "dev.csv", "note,label\na,1\n");
        let read = NoteSource::read(folder.path(), columns("label", &[]), &[], 0);
        let error = format!("{:#}", read.err().unwrap());
        assert!(error.contains("dev.csv is none of train.csv, val.csv and test.csv"), "{error}");
    }

    #[test]
    fn one_label_is_written_in_one_way() {
        let rows = |labels: [&str; 2]| format!("note,label\na,{}\nb,{}\nc,other\n", labels[0], labels[1]);
        for two in [["CARDIO", "cardio"], ["1", "1.0"]] {
            let error = refusal(&rows(two), &rows(two), columns("label", &[]));
            assert!(error.contains("one label written in two ways"), "{error}");
        }
    }
}
