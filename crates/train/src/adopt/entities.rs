//! A token classifier becomes a package of task `note-extraction`.
//!
//! No weight changes. The temperature comes from the hospital's development texts, word by word; how many of their names
//! are found is then measured on them, and on test texts where there are any.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;

use super::directory::Directory;
use super::labels::{self, TagOutputs};
use super::names::NEVER;
use super::{AdoptOptions, FEWEST, describe, names, tokenizer, write_origin};
use crate::about::meanings;
use crate::extract::confidence;
use crate::extract::corpus::{Corpus, Sample};
use crate::extract::fitting::{Marked, described};
use crate::extract::measure::{measure, write_splits};
use model::calibration::fit_temperature;
use model::manifest::Precision::F32;
use model::manifest::{Architecture, EncoderHead, Input, Manifest, Metrics, Precision, TextInput};
use model::package::TOKENIZER;
use model::{Package, package};
use text::Extractor;
use text::tagger::chain::Tags;
use text::tagger::{Document, EncoderTagger, Found};

/// Words of a text that are read, unless another number is given.
const MOST_WORDS: usize = 16_384;
/// Texts that go through the network together.
const TOGETHER: usize = 32;

/// Measures, calibrates and writes the package. Returns its folder and manifest.
///
/// # Errors
/// Weights that do not fit, data that cannot be read, labels that the head does not know.
pub fn adopt(
    options: &AdoptOptions,
    directory: &Directory,
    tags: &TagOutputs,
) -> Result<(PathBuf, Manifest)> {
    let threshold = options.head.threshold;
    let corpus = Corpus::read_to_measure(&options.data)?;
    let theirs: Vec<String> = corpus.labels.iter().cloned().collect();
    let (labels, _) = labels::matched(&tags.labels, &theirs)?;
    let own = ["dev", "train"].into_iter().find(|split| corpus.splits.contains_key(*split));
    let own = own.with_context(|| format!("{}: no development texts", options.data.display()))?;
    let count = corpus.splits[own].len();
    ensure!(
        count >= FEWEST,
        "{count} development texts are too few to measure a model by; at least {FEWEST} are asked for"
    );
    let mut config = directory.config.clone();
    config.head = Some(EncoderHead::Tags { threshold });
    let mut manifest = describe(options, directory)?;
    manifest.description =
        options.about.description_or(format!("Finds names in notes: {}.", labels.join(", ")));
    manifest.label_descriptions = meanings(&options.head.label_descriptions)?;
    manifest.labels.clone_from(&labels);
    manifest.input = Input::Text(TextInput { max_tokens: options.max_tokens.unwrap_or(MOST_WORDS) });
    manifest.architecture = Architecture::Encoder(config.clone());
    let measured = |(split, _): &(&String, &Vec<Sample>)| split.as_str() == own || split.as_str() == "test";
    let counts = corpus.splits.iter().filter(measured).map(|(split, samples)| (split.clone(), samples.len()));
    manifest.data = options.about.data(Some(corpus.name.clone()), corpus.sha256.clone(), counts.collect());
    manifest.check().map_err(anyhow::Error::msg)?;

    let (weights, digest) = names::weights(directory)?;
    manifest.training.settings.insert("model.safetensors sha256".to_string(), json!(digest));
    let mut tagger = EncoderTagger::new(&config, labels.len(), weights.clone(), tokenizer(directory)?, F32)
        .with_context(|| format!("{}/model.safetensors", options.directory.display()))?;
    eprintln!("measuring on {count} texts ({own})");
    let read = |tagger: &EncoderTagger, sample: &Sample| {
        tagger.read_text(&sample.text, usize::MAX).map_err(|e| anyhow!(e))
    };
    let texts = marked(&corpus, own, &labels, |sample| read(&tagger, sample))?;
    let scores = of_all(&texts, |part| tagger.scores(part))?;
    let temperature = temperature(Tags { labels: labels.len() }, &texts, &scores);
    manifest.calibration.temperature = temperature;
    tagger = tagger.at(temperature);
    let named = texts.iter().zip(&scores);
    let found: Vec<Found> = named.map(|(text, scores)| tagger.names(&text.document, scores)).collect();
    let pairs = || texts.iter().zip(&found);
    manifest.calibration.names = confidence::fit(labels.len(), pairs());
    let crossed = confidence::crossed(labels.len(), &texts, &found);
    manifest.metrics.insert(own.to_string(), measure(&labels, &[], &texts, &crossed));
    if corpus.splits.contains_key("test") {
        let texts = marked(&corpus, "test", &labels, |sample| read(&tagger, sample))?;
        let found = of_all(&texts, |part| tagger.find(part))?;
        let found = confidence::corrected(&found, &manifest.calibration.names);
        manifest.metrics.insert("test".to_string(), measure(&labels, &[], &texts, &found));
    }
    manifest.weights.parameters = package::values(&weights);
    let mut card = String::new();
    // Writing to a string cannot fail.
    let _ = write_card(&mut card, &manifest, own, threshold);
    let extra = [(TOKENIZER, directory.tokenizer.clone())];
    let folder = Package::write(&options.out, &mut manifest, &weights, &card, &extra)?;
    Ok((folder, manifest))
}

/// What a package finds in a split, as the server would.
///
/// # Errors
/// A package that cannot be served; a text that cannot be cut into tokens.
pub fn measured_as_served(package: &Package, corpus: &Corpus, split: &str) -> Result<Metrics> {
    Ok(found_as_served(package, corpus, split, F32)?.0)
}

/// The same in some precision, with what was found in each text.
///
/// # Errors
/// As [`measured_as_served`].
pub fn found_as_served(
    package: &Package,
    corpus: &Corpus,
    split: &str,
    precision: Precision,
) -> Result<(Metrics, Vec<Found>)> {
    let mut extractor = Extractor::read_in(package, precision)?;
    let labels = &package.manifest.labels;
    let texts =
        marked(corpus, split, labels, |sample| extractor.read_text(&sample.text).map_err(|e| anyhow!(e)))?;
    let found = of_all(&texts, |part| extractor.find(part))?;
    Ok((measure(labels, extractor.relations(), &texts, &found), found))
}

/// The texts of a split, with their names as spans of the tokens that `read` cuts them into.
fn marked(
    corpus: &Corpus,
    split: &str,
    labels: &[String],
    read: impl Fn(&Sample) -> Result<Document>,
) -> Result<Vec<Marked>> {
    let known: Vec<bool> = labels.iter().map(|label| corpus.labels.contains(label)).collect();
    let samples = corpus.splits.get(split).map_or(&[][..], Vec::as_slice);
    samples.iter().map(|sample| Ok(described(sample, read(sample)?, labels, known.clone()))).collect()
}

/// What `answer` says of all texts, some at a time.
fn of_all<T>(
    texts: &[Marked],
    mut answer: impl FnMut(&[Arc<Document>]) -> candle_core::Result<Vec<T>>,
) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(texts.len());
    for part in texts.chunks(TOGETHER) {
        let part: Vec<Arc<Document>> = part.iter().map(|text| Arc::new(text.document.clone())).collect();
        all.extend(answer(&part)?);
    }
    Ok(all)
}

/// The temperature by which the tags of words are most likely. Words that are in no marked name count only where the data
/// marks every label that the head knows.
fn temperature(tags: Tags, texts: &[Marked], scores: &[Vec<f32>]) -> f32 {
    let (mut rows, mut truth) = (Vec::new(), Vec::new());
    for (text, scores) in texts.iter().zip(scores) {
        let mut own = vec![Tags::OUT; text.document.tokens.len()];
        for span in &text.spans {
            own[span.start..span.end].fill(tags.inside(span.label));
            own[span.start] = tags.begin(span.label);
        }
        let whole = text.known.iter().all(|known| *known);
        let each = scores.chunks(tags.count()).zip(own);
        // A tag that the head does not have says nothing of the others.
        let counts = |row: &[f32], tag: usize| (whole || tag != Tags::OUT) && row[tag] > NEVER;
        for (row, tag) in each.filter(|(row, tag)| counts(row, *tag)) {
            rows.push(row.to_vec());
            truth.push(tag);
        }
    }
    if rows.is_empty() { 1.0 } else { fit_temperature(&rows, &truth) as f32 }
}

fn write_card(out: &mut String, m: &Manifest, own: &str, threshold: f32) -> std::fmt::Result {
    writeln!(out, "# {}, version {}\n\n{}\n", m.name, m.version, m.description)?;
    writeln!(
        out,
        "This model is no medical device and what it finds is no diagnosis. It was measured on the texts named here and on \
         nothing else; on other texts it may miss more.\n\n## Answers\n"
    )?;
    for label in &m.labels {
        let meaning = m.label_descriptions.get(label).map_or(String::new(), |meaning| format!(": {meaning}"));
        writeln!(out, "- `{label}`{meaning}")?;
    }
    writeln!(
        out,
        "\nA word has the tag of its first piece. A name's probability is its exact one where the tags of words depend on \
         nothing but that the inside of a name follows its beginning; scores are divided by the temperature {:.4} before. Chosen \
         are the names, none over another, whose probabilities less {threshold} sum to the most. `negated`, \
         `speculated`, `historical` and `subject` come from rules over English cue phrases. A text that is longer than the encoder reads is read in parts, cut at the ends of \
         sentences.\n",
        m.calibration.temperature
    )?;
    out.push_str(&confidence::paragraph(m));
    crate::card::write_data(out, m, "Texts")?;
    writeln!(
        out,
        "\n## Metrics\n\nA name is right where its beginning, its end and its label are. The temperature was fitted on {own}, \
         which flatters the calibration measured there a little.\n"
    )?;
    write_splits(out, m)?;
    write_origin(out, m)
}
