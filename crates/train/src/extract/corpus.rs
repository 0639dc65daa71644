//! Marked texts for a tagger: IOB files, JSON lines with places in characters, and event records.
//!
//! A folder holds `train`, `dev` (or `val`) and, if there is one, `test`, each `.tsv` or `.jsonl`:
//!
//! - IOB: a token, a tab and its tag (`B-`, `I-` and a label, or `O`) a line, a blank line between
//!   sentences. A name begins with `B-`; one that begins with `I-` is refused, since the two ways of
//!   writing IOB disagree on what it means.
//! - JSON lines: `{"text": "...", "entities": [{"id": "1", "start": 0, "end": 7, "label": "Drug"}],
//!   "relations": [{"from": "1", "to": "2", "label": "adverse_effect"}]}`, places in Unicode code points.
//! - Events of case reports as PHEE has them (`context` and `annotations`; Sun et al. 2022): drugs,
//!   effects and treated disorders become names; what an event ties becomes a relation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

/// A name in a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Its first code point.
    pub start: usize,
    /// The code point after its last.
    pub end: usize,
    /// Its label.
    pub label: String,
}

/// A marked text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The text.
    pub text: String,
    /// Its names, in order; none overlap.
    pub marks: Vec<Mark>,
    /// From one name to another, by their places in `marks`, and what ties them.
    pub relations: Vec<(usize, usize, String)>,
}

/// Texts of one source.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Name of its folder.
    pub name: String,
    /// Texts by split.
    pub splits: BTreeMap<String, Vec<Sample>>,
    /// Labels of the training texts: names of others are not marked here.
    pub labels: BTreeSet<String>,
    /// sha256 by file.
    pub sha256: BTreeMap<String, String>,
}

/// Splits and what their files may be called.
const SPLITS: [(&str, &[&str]); 3] = [("train", &["train"]), ("dev", &["dev", "val"]), ("test", &["test"])];

impl Corpus {
    /// Reads a folder.
    ///
    /// # Errors
    /// No training file; the first line that does not fit, with its file.
    pub fn read(folder: &Path) -> Result<Corpus> {
        let mut corpus = Corpus::splits(folder)?;
        let train = corpus
            .splits
            .get("train")
            .with_context(|| format!("{}: neither train.tsv nor train.jsonl is there", folder.display()))?;
        corpus.labels = labels(train);
        ensure!(!corpus.labels.is_empty(), "{}: no name is marked in the training texts", folder.display());
        Ok(corpus)
    }

    /// How many texts of a split are in training as well, a sentence a split.
    pub fn shared(&self) -> Vec<String> {
        let texts = |split: &str| self.splits.get(split).into_iter().flatten().map(|sample| &sample.text);
        let known: BTreeSet<&String> = texts("train").collect();
        let of = |split: &str| {
            let count = texts(split).filter(|text| known.contains(text)).count();
            (count > 0).then(|| format!("{}: {count} texts of {split} are in training as well", self.name))
        };
        ["dev", "test"].into_iter().filter_map(of).collect()
    }

    /// Reads a folder to measure on, which need not have training texts; its labels are those of all its texts.
    ///
    /// # Errors
    /// No file with a marked name; the first line that does not fit, with its file.
    pub fn read_to_measure(folder: &Path) -> Result<Corpus> {
        let mut corpus = Corpus::splits(folder)?;
        corpus.labels = corpus.splits.values().flat_map(|samples| labels(samples)).collect();
        ensure!(
            !corpus.labels.is_empty(),
            "{}: no dev.tsv, dev.jsonl or other split has a marked name",
            folder.display()
        );
        Ok(corpus)
    }

    fn splits(folder: &Path) -> Result<Corpus> {
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut corpus = Corpus { name, ..Corpus::default() };
        for (split, names) in SPLITS {
            let files = names.iter().flat_map(|name| [format!("{name}.tsv"), format!("{name}.jsonl")]);
            let there: Vec<PathBuf> =
                files.map(|file| folder.join(file)).filter(|file| file.exists()).collect();
            if let [first, second, ..] = &there[..] {
                bail!("{} and {} are both there; a split is one file", first.display(), second.display())
            }
            let Some(file) = there.first() else { continue };
            let (samples, digest) = read(file)?;
            let file = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            corpus.sha256.insert(format!("{}/{file}", corpus.name), digest);
            corpus.splits.insert(split.to_string(), samples);
        }
        Ok(corpus)
    }
}

/// The labels of some texts.
fn labels(samples: &[Sample]) -> BTreeSet<String> {
    samples.iter().flat_map(|sample| &sample.marks).map(|mark| mark.label.clone()).collect()
}

/// The texts of a file, and its digest.
///
/// # Errors
/// The first line that does not fit.
pub fn read(file: &PathBuf) -> Result<(Vec<Sample>, String)> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let digest = model::package::sha256(&bytes);
    let text = String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))?;
    let text = text.trim_start_matches('\u{feff}');
    let is_iob = file.extension().is_some_and(|ending| ending == "tsv");
    let samples = if is_iob { iob(text) } else { lines(text) };
    Ok((samples.with_context(|| file.display().to_string())?, digest))
}

/// Sentences in IOB form. The text of one is its tokens with blanks between them.
fn iob(text: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut sample = Sample::default();
    let mut place = 0;
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim_end())) {
        if line.is_empty() {
            if !sample.text.is_empty() {
                samples.push(std::mem::take(&mut sample));
            }
            place = 0;
            continue;
        }
        let (token, rest) = line
            .split_once('\t')
            .with_context(|| format!("line {number}: no tab between a token and its tag"))?;
        let tag = rest.rsplit('\t').next().unwrap_or_default();
        ensure!(!token.trim().is_empty(), "line {number}: the token is empty");
        if !sample.text.is_empty() {
            sample.text.push(' ');
            place += 1;
        }
        let end = place + token.chars().count();
        match tag.split_once('-') {
            None if tag == "O" => {}
            Some(("B", label)) if !label.is_empty() => {
                sample.marks.push(Mark { start: place, end, label: label.to_string() });
            }
            Some(("I", label)) if !label.is_empty() => match sample.marks.last_mut() {
                Some(last) if last.end + 1 == place && last.label == label => last.end = end,
                _ => bail!(
                    "line {number}: \"I-{label}\" follows no token of a name of that label; a name begins with \
                     \"B-{label}\""
                ),
            },
            _ => bail!("line {number}: the tag \"{tag}\" is not O, B- or I- and a label"),
        }
        sample.text.push_str(token);
        place = end;
    }
    if !sample.text.is_empty() {
        samples.push(sample);
    }
    Ok(samples)
}

fn lines(text: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        let sample = if value.get("annotations").is_some() { events(value) } else { marked(value) };
        samples.push(sample.with_context(|| format!("line {}", number + 1))?);
    }
    Ok(samples)
}

#[derive(Deserialize)]
struct Line {
    text: String,
    #[serde(default)]
    entities: Vec<LineEntity>,
    #[serde(default)]
    relations: Vec<LineRelation>,
}

#[derive(Deserialize)]
struct LineEntity {
    #[serde(default)]
    id: Option<String>,
    start: usize,
    end: usize,
    label: String,
}

#[derive(Deserialize)]
struct LineRelation {
    from: String,
    to: String,
    label: String,
}

fn marked(value: Value) -> Result<Sample> {
    let Line { text, mut entities, relations } = serde_json::from_value(value)?;
    let length = text.chars().count();
    entities.sort_by_key(|entity| (entity.start, entity.end));
    for entity in &entities {
        let LineEntity { start, end, label, .. } = entity;
        ensure!(start < end, "the entity \"{label}\" from {start} to {end} is empty");
        ensure!(
            *end <= length,
            "the entity \"{label}\" from {start} to {end} lies beyond the text, which has {length} characters"
        );
    }
    for pair in entities.windows(2) {
        ensure!(
            pair[0].end <= pair[1].start,
            "the entities from {} to {} and from {} to {} overlap; a text's names lie one after another",
            pair[0].start,
            pair[0].end,
            pair[1].start,
            pair[1].end
        );
    }
    let place = |id: &String| {
        let place = entities.iter().position(|entity| entity.id.as_ref() == Some(id));
        place.with_context(|| format!("a relation names the entity \"{id}\", which is not there"))
    };
    let relation = |r: &LineRelation| Ok((place(&r.from)?, place(&r.to)?, r.label.clone()));
    let relations = relations.iter().map(relation).collect::<Result<_>>()?;
    let marks = entities.into_iter().map(|e| Mark { start: e.start, end: e.end, label: e.label }).collect();
    Ok(Sample { text, marks, relations })
}

/// Names and relations of an event record. Arguments of several events may overlap or be the same:
/// each stretch of text counts once, of overlapping ones the first in the order of the labels here.
fn events(value: Value) -> Result<Sample> {
    let text = value["context"].as_str().context("no \"context\"")?.to_string();
    let length = text.chars().count();
    let mut found: Vec<Mark> = Vec::new();
    let mut ties: Vec<(Mark, Mark, &str)> = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for event in list(&value["annotations"]).iter().flat_map(|part| list(&part["events"])) {
        let is_adverse = event["event_type"] == "Adverse_event";
        let of = |argument: &Value, label: &str| spans(argument, label, length);
        let drugs = of(&event["Treatment"]["Drug"], "Drug")?;
        let effects = of(&event["Effect"], "Effect")?;
        let disorders = of(&event["Treatment"]["Disorder"], "Disorder")?;
        for drug in &drugs {
            for effect in effects.iter().filter(|_| is_adverse) {
                ties.push((drug.clone(), effect.clone(), "adverse_effect"));
            }
            for disorder in &disorders {
                ties.push((drug.clone(), disorder.clone(), "treated_disorder"));
            }
        }
        found.extend(drugs.into_iter().chain(effects).chain(disorders));
    }
    let order = |label: &str| ["Drug", "Effect", "Disorder"].iter().position(|known| *known == label);
    found.sort_by_key(|mark| (order(&mark.label), mark.start, mark.end));
    found.dedup();
    let mut marks: Vec<Mark> = Vec::new();
    for mark in found {
        if marks.iter().all(|taken| mark.end <= taken.start || taken.end <= mark.start) {
            marks.push(mark);
        }
    }
    marks.sort();
    let place = |mark: &Mark| marks.iter().position(|kept| kept == mark);
    let mut relations: Vec<(usize, usize, String)> = ties
        .iter()
        .filter_map(|(from, to, label)| Some((place(from)?, place(to)?, label.to_string())))
        .collect();
    relations.sort();
    relations.dedup();
    Ok(Sample { text, marks, relations })
}

/// The stretches of an argument: lists of texts and of where they begin.
fn spans(argument: &Value, label: &str, length: usize) -> Result<Vec<Mark>> {
    let groups = |name: &str| argument[name].as_array().cloned().unwrap_or_default();
    let mut marks = Vec::new();
    for (texts, starts) in groups("text").iter().zip(groups("start")) {
        let (texts, starts) = (texts.as_array().cloned(), starts.as_array().cloned());
        for (text, start) in texts.unwrap_or_default().iter().zip(starts.unwrap_or_default()) {
            let (Some(text), Some(start)) = (text.as_str(), start.as_u64()) else {
                bail!("the argument \"{label}\" has a text or a start of another type")
            };
            let start = usize::try_from(start)?;
            let end = start + text.chars().count();
            ensure!(
                end <= length,
                "the argument \"{label}\" ends at {end}, beyond the text's {length} characters"
            );
            marks.push(Mark { start, end, label: label.to_string() });
        }
    }
    Ok(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(start: usize, end: usize, label: &str) -> Mark {
        Mark { start, end, label: label.to_string() }
    }

    #[test]
    fn iob_becomes_places_in_its_tokens() {
        let samples =
            iob("Naïve\tO\nSelegiline\tB-Chemical\n-\tO\n\nA\tB-Disease\nB\tI-Disease\nC\tB-Disease\n")
                .unwrap();
        assert_eq!(samples[0].text, "Naïve Selegiline -");
        assert_eq!(samples[0].marks, [mark(6, 16, "Chemical")]);
        assert_eq!(samples[1].marks, [mark(0, 3, "Disease"), mark(4, 5, "Disease")]);
    }

    #[test]
    fn iob_that_cannot_be_is_refused_with_its_line() {
        for (text, want) in [
            ("a\tI-Disease\n", "line 1: \"I-Disease\" follows no token of a name"),
            ("a\tB-Drug\nb\tI-Disease\n", "line 2: \"I-Disease\" follows no token of a name"),
            ("a\tB-Drug\n\nb\tI-Drug\n", "line 3: \"I-Drug\" follows"),
            ("a\tB-Drug\nb\tO\nc\tI-Drug\n", "line 3: \"I-Drug\" follows"),
            ("a\n", "line 1: no tab"),
            ("a\tX\n", "line 1: the tag \"X\" is not O"),
            ("a\tB-\n", "the tag \"B-\""),
        ] {
            let error = iob(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    #[test]
    fn json_lines_that_cannot_be_are_refused_with_their_line() {
        let entity =
            |start: usize, end: usize| format!("{{\"start\":{start},\"end\":{end},\"label\":\"Drug\"}}");
        let line = |entities: &[String]| {
            format!("\n{{\"text\":\"é😷 two\",\"entities\":[{}]}}\n", entities.join(","))
        };
        assert_eq!(lines(&line(&[entity(3, 6), entity(0, 2)])).unwrap()[0].marks.len(), 2);
        for (entities, want) in [
            (
                vec![entity(3, 7)],
                "line 2: the entity \"Drug\" from 3 to 7 lies beyond the text, which has 6 characters",
            ),
            (vec![entity(0, 3), entity(2, 4)], "line 2: the entities from 0 to 3 and from 2 to 4 overlap"),
            (vec![entity(2, 2)], "from 2 to 2 is empty"),
        ] {
            let error = format!("{:#}", lines(&line(&entities)).unwrap_err());
            assert!(error.contains(want), "{error}");
        }
        let relation = "{\"text\":\"ab\",\"relations\":[{\"from\":\"1\",\"to\":\"2\",\"label\":\"x\"}]}";
        assert!(
            format!("{:#}", lines(relation).unwrap_err()).contains("the entity \"1\", which is not there")
        );
    }

    #[test]
    fn events_become_names_and_what_ties_them() {
        let record = serde_json::json!({"context": "Valproate for epilepsy caused rash and valproate stopped.",
            "annotations": [{"events": [
                {"event_type": "Adverse_event", "Effect": {"text": [["rash"]], "start": [[30]]},
                 "Treatment": {"text": [["Valproate for epilepsy"]], "start": [[0]],
                    "Drug": {"text": [["Valproate"]], "start": [[0]]},
                    "Disorder": {"text": [["epilepsy"]], "start": [[14]]}}},
                {"event_type": "Potential_therapeutic_event", "Effect": {"text": [["rash and"]], "start": [[30]]},
                 "Treatment": {"Drug": {"text": [["valproate"]], "start": [[39]]}}}]}]});
        let sample = events(record).unwrap();
        let expected =
            [mark(0, 9, "Drug"), mark(14, 22, "Disorder"), mark(30, 34, "Effect"), mark(39, 48, "Drug")];
        assert_eq!(sample.marks, expected);
        let ties = [(0, 1, "treated_disorder".to_string()), (0, 2, "adverse_effect".to_string())];
        assert_eq!(sample.relations, ties);
    }

    #[test]
    fn a_folder_without_training_texts_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("dev.tsv"), "a\tO\n").unwrap();
        let error = Corpus::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("neither train.tsv nor train.jsonl"), "{error}");
        let iob = |name: &str, tokens: &[&str]| {
            let lines: String = tokens.iter().map(|token| format!("{token}\tB-Drug\n\n")).collect();
            std::fs::write(folder.path().join(name), lines).unwrap();
        };
        iob("train.tsv", &["aspirin", "heparin"]);
        iob("dev.tsv", &["aspirin", "insulin"]);
        let said = Corpus::read(folder.path()).unwrap().shared();
        assert!(said[0].ends_with("1 texts of dev are in training as well") && said.len() == 1, "{said:?}");
        iob("val.tsv", &["warfarin"]);
        let error = Corpus::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("dev.tsv and") && error.contains("val.tsv are both there"), "{error}");
    }
}
