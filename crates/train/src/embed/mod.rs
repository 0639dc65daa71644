//! `train embed`: texts in, a package out that makes vectors of texts.
//!
//! Vectors of words are learned from the texts, or read from a file that others have made, or both. Where
//! the data are pairs of a question and its answer they are then fitted so that questions find answers,
//! which is measured on groups that were held out.

pub mod corpus;
pub mod formats;
mod options;
mod package;
pub mod pairs;
pub mod parts;
pub mod retrieval;
pub mod shared;
pub mod skipgram;
pub mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;

use self::corpus::{Corpus, Members, Row, Vocabulary};
pub use self::options::{EmbedOptions, Method};
use self::package::{card, describe};
use self::pairs::Pairs;
use self::parts::Buckets;
use self::retrieval::{measure, table};
use self::weights::{Weighting, inverse_document_frequency, smooth_inverse_frequency};
use crate::evaluate::Evaluation;
use crate::finish::{STOPPED, version};
use model::manifest::{Manifest, Metrics, VectorsConfig};
use model::{Package, package as packages};
use nn::random;
use text::Embedder;
use text::vectors::words::word_hash;
use text::vectors::{WordVectors, to_unit};

/// Most texts that common directions and the order of values are found on.
const MOST_SAMPLED: usize = 20_000;
/// Most questions that are measured.
const MOST_ASKED: usize = 2_000;

/// Trains and writes a package. Returns its folder and manifest.
///
/// # Errors
/// Data that cannot be read, settings that do not fit.
pub fn train(options: &EmbedOptions, stop: &AtomicBool) -> Result<(PathBuf, Manifest)> {
    options.check()?;
    let members = options.members()?;
    let corpus = Corpus::read(&options.data, &members)?;
    let asides = options.asides()?;
    let version = version(options.version, &options.out, &options.name)?;
    let held: Vec<bool> = corpus.rows.iter().map(|row| options.holds_out(row)).collect();
    let (val, fitted): (Vec<&Row>, Vec<&Row>) = (
        corpus.rows.iter().zip(&held).filter(|(_, held)| **held).map(|(row, _)| row).collect(),
        corpus.rows.iter().zip(&held).filter(|(_, held)| !**held).map(|(row, _)| row).collect(),
    );
    ensure!(!fitted.is_empty(), "every text is held out; --holdout leaves none to learn from");
    let examples = BTreeMap::from([("train".to_string(), fitted.len()), ("val".to_string(), val.len())]);
    let mut vectors = learn(options, &fitted, &asides.train, stop)?;
    let mut metrics: BTreeMap<String, Metrics> = BTreeMap::new();
    let mut notes = String::new();
    if members.pair.is_some() && !val.is_empty() {
        metrics.insert("val".to_string(), found(&vectors, options, &val, &[])?);
        if !asides.val.is_empty() {
            metrics.insert("val, among asides".to_string(), found(&vectors, options, &val, &asides.val)?);
        }
        eprint!("{}", table(metrics.iter()));
    }
    if options.refit && !val.is_empty() && !stop.load(Ordering::Relaxed) {
        let all: Vec<&Row> = corpus.rows.iter().collect();
        let again = learn(options, &all, &asides.train, stop)?;
        if !stop.load(Ordering::Relaxed) {
            vectors = again;
            notes += "## Fitted twice\n\nThe figures above are of vectors that were fitted without the texts held out. Those \
                      in this package were then fitted once more, with the same settings, on all of them.\n\n";
        }
    }
    if stop.load(Ordering::Relaxed) {
        notes += STOPPED;
    }
    let mut manifest = describe(options, &corpus, &vectors.config, version, examples);
    manifest.metrics = metrics;
    manifest.check().map_err(anyhow::Error::msg)?;
    let tensors = vectors.tensors()?;
    manifest.weights.parameters = packages::values(&tensors);
    let card = card(&manifest, &notes);
    let folder = Package::write(&options.out, &mut manifest, &tensors, &card, &[])?;
    Ok((folder, manifest))
}

/// Measures a package on the pairs of a file, all of them; the members are those it was fitted to.
///
/// # Errors
/// Data that cannot be read; a package that was not fitted to pairs.
pub fn evaluate(package: Package, data: &Path, split: &str) -> Result<Evaluation> {
    let setting = package.manifest.training.settings.get("pairs").and_then(|value| value.as_str());
    let Some((question, answer)) = setting.and_then(|setting| setting.split_once(',')) else {
        bail!(
            "the model \"{}\" was not fitted to pairs, by which it could be measured",
            package.manifest.name
        )
    };
    let pair = Some((question.to_string(), answer.to_string()));
    let corpus = Corpus::read(data, &Members { pair, ..Members::default() })?;
    let mut embedder = Embedder::read(&package)?;
    let rows: Vec<&Row> = corpus.rows.iter().collect();
    let metrics = retrieval_of(&mut embedder, &rows, &[], package.manifest.training.seed)?;
    let Manifest { name: model, version, labels, .. } = package.manifest;
    Ok(Evaluation { model, version, split: split.to_string(), labels, metrics, with_red_flags: None })
}

/// How well the questions of `rows` find their answers by these vectors, each among some of `asides`.
fn found(vectors: &WordVectors, options: &EmbedOptions, rows: &[&Row], asides: &[String]) -> Result<Metrics> {
    let mut embedder = Embedder::of_words(Arc::new(vectors.clone()), options.max_tokens);
    retrieval_of(&mut embedder, rows, asides, options.seed)
}

/// How well the questions of `rows` find their answers among all answers of `rows`.
pub fn retrieval_of(embedder: &mut Embedder, rows: &[&Row], asides: &[String], seed: u64) -> Result<Metrics> {
    Ok(asked(embedder, rows, asides, seed)?.metrics)
}

/// How well questions found their answers, and by which vectors.
pub struct Asked {
    /// What was measured.
    pub metrics: Metrics,
    /// Vectors of the questions.
    pub questions: Vec<Vec<f32>>,
    /// Vectors of the texts that were looked among.
    pub texts: Vec<Vec<f32>>,
}

/// The same, with the vectors of the questions and those of the texts that were looked among.
pub fn asked(embedder: &mut Embedder, rows: &[&Row], asides: &[String], seed: u64) -> Result<Asked> {
    let mut rng = random::stream(seed, "questions");
    let pairs: Vec<&(String, String)> = rows.iter().filter_map(|row| row.pair.as_ref()).collect();
    ensure!(!pairs.is_empty(), "there are no pairs to measure by");
    let texts: Vec<&str> = pairs.iter().map(|(_, answer)| answer.as_str()).collect();
    let step = pairs.len().div_ceil(MOST_ASKED).max(1);
    let right: Vec<usize> = (0..pairs.len()).step_by(step).collect();
    let mut aside = || match asides.is_empty() {
        true => "",
        false => asides[rng.random_range(0..asides.len())].as_str(),
    };
    let questions: Vec<String> = right
        .iter()
        .map(|at| format!("{} {} {} {}", aside(), aside(), pairs[*at].0, aside()).trim().to_string())
        .collect();
    let questions: Vec<&str> = questions.iter().map(String::as_str).collect();
    let mut vectors = |texts: &[&str]| -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(texts.len());
        for part in texts.chunks(64) {
            let encode = |text: &&str| match embedder.encode(text) {
                Ok(encoded) => Ok(Arc::new(encoded)),
                Err(error) => bail!("a text could not be split into tokens: {error}"),
            };
            let encoded = part.iter().map(encode).collect::<Result<Vec<_>>>()?;
            all.extend(embedder.vectors(&encoded)?);
        }
        Ok(all)
    };
    let (asked, there) = (vectors(&questions)?, vectors(&texts)?);
    let metrics = measure(&questions, &texts, &right, &asked, &there);
    Ok(Asked { metrics, questions: asked, texts: there })
}

/// Learns vectors from the texts of `rows`, and fits them to their pairs where there are any.
fn learn(options: &EmbedOptions, rows: &[&Row], asides: &[String], stop: &AtomicBool) -> Result<WordVectors> {
    let given = options.from.as_deref().map(|file| formats::read(file, options.vocabulary)).transpose()?;
    let texts = || rows.iter().map(|row| row.text.as_str());
    let mut vocabulary = Vocabulary::count(texts(), options.min_count, options.vocabulary);
    if let Some(given) = &given {
        let room = options.vocabulary.saturating_sub(vocabulary.words.len());
        vocabulary.add(given.words.iter().filter(|word| !word.is_empty()).take(room).cloned());
    }
    ensure!(
        !vocabulary.words.is_empty(),
        "no word comes {} times or more; --min-count sets how often one must",
        options.min_count
    );
    let dimensions = options.dimensions_with(given.as_ref())?;
    let buckets = options.buckets();
    say(vocabulary.words.len(), buckets.count, dimensions, options);
    let encoded: Vec<Vec<u32>> =
        texts().map(|text| vocabulary.encode(text)).filter(|t| !t.is_empty()).collect();
    let joint = options.arch == Method::Subword && options.epochs > 0;
    let learning = options.learning(dimensions);
    let mut table = start(&vocabulary, given.as_ref(), dimensions, joint.then_some(buckets), options.seed);
    if learning.epochs > 0 {
        let parts = if joint { buckets.parts(&vocabulary.words) } else { Default::default() };
        table = skipgram::learn(&encoded, &vocabulary.counts, &parts, table, &learning, stop);
        if joint {
            // A known word's row is what its parts make of it.
            let known = vocabulary.words.len();
            let made: Vec<f32> = (0..known).flat_map(|word| mean(&table, &parts, word, dimensions)).collect();
            table[..known * dimensions].copy_from_slice(&made);
        }
    }
    let mut subwords = table.split_off(vocabulary.words.len() * dimensions);
    let paired: Vec<&(String, String)> = rows.iter().filter_map(|row| row.pair.as_ref()).collect();
    let mut weights = match options.weighting() {
        Weighting::Sif => smooth_inverse_frequency(&vocabulary.counts, options.sif),
        Weighting::Idf => inverse_document_frequency(&encoded, vocabulary.words.len()),
    };
    let fit_pairs = !paired.is_empty() && options.pair_epochs > 0;
    if fit_pairs {
        let side = |pick: &dyn Fn(&(String, String)) -> &str| -> Vec<Vec<u32>> {
            paired.iter().map(|pair| vocabulary.encode(pick(pair))).collect()
        };
        let (questions, answers) = (side(&|pair| &pair.0), side(&|pair| &pair.1));
        let asides: Vec<Vec<u32>> = asides.iter().map(|aside| vocabulary.encode(aside)).collect();
        let pairs = Pairs { questions: &questions, answers: &answers, asides: &asides };
        weigh(&mut table, &weights, dimensions);
        pairs::fit(&mut table, dimensions, &pairs, &options.fitting(), stop, |epoch, loss| {
            eprintln!("pairs, epoch {}: loss {loss:.4}", epoch + 1);
        });
        weights = vec![0.0; vocabulary.words.len() + 1];
        let lengths = table.chunks_exact(dimensions).map(|row| skipgram::dot(row, row).sqrt());
        weights.iter_mut().zip(lengths).for_each(|(weight, length)| *weight = length);
        weights[vocabulary.words.len()] = rare(&weights[..vocabulary.words.len()]);
    }
    table.chunks_exact_mut(dimensions).for_each(to_unit);
    if buckets.count > 0 && (fit_pairs || !joint) {
        subwords = vec![0.0; buckets.count * dimensions];
        buckets.fit(&vocabulary.words, &table, dimensions, &mut subwords, options.seed);
    } else {
        // Words have length 1 now; what their n-grams alone make of them has too, on the mean.
        let scale = 1.0 / buckets.mean_length(&vocabulary.words, &subwords, dimensions);
        subwords.iter_mut().for_each(|value| *value *= scale);
    }
    weights[vocabulary.words.len()] *= options.unknown;
    assemble(options, &vocabulary, table, subwords, weights, &paired, &encoded, dimensions)
}

/// The package's vectors: words in the order of their hashes, what all texts share, values in order.
#[allow(clippy::too_many_arguments)]
fn assemble(
    options: &EmbedOptions,
    vocabulary: &Vocabulary,
    table: Vec<f32>,
    subwords: Vec<f32>,
    weights: Vec<f32>,
    paired: &[&(String, String)],
    encoded: &[Vec<u32>],
    dimensions: usize,
) -> Result<WordVectors> {
    let mut by_hash: Vec<(u32, usize)> =
        vocabulary.words.iter().enumerate().map(|(place, word)| (word_hash(word), place)).collect();
    // Of two words with one hash the more frequent is meant.
    by_hash.sort_unstable();
    by_hash.dedup_by_key(|(hash, _)| *hash);
    let buckets = options.buckets();
    let mut vectors = WordVectors {
        config: VectorsConfig {
            dimensions,
            words: by_hash.len(),
            subwords: buckets.count,
            min_characters: buckets.least,
            max_characters: buckets.most,
            common: 0,
            damped: options.damped(),
        },
        hashes: by_hash.iter().map(|(hash, _)| *hash).collect(),
        table: by_hash
            .iter()
            .flat_map(|(_, place)| &table[place * dimensions..][..dimensions])
            .copied()
            .chain(subwords)
            .collect(),
        weights: by_hash
            .iter()
            .map(|(_, place)| weights[*place])
            .chain([weights[vocabulary.words.len()]])
            .collect(),
        common: Vec::new(),
    };
    // Pairs where there are any: a short text and a long one are both texts.
    let sample: Vec<Vec<f32>> = match paired.is_empty() {
        false => {
            let step = (2 * paired.len()).div_ceil(MOST_SAMPLED).max(1);
            let both = paired.iter().step_by(step).flat_map(|(question, answer)| [question, answer]);
            both.map(|text| vectors.vector(&vectors.rows(text, options.max_tokens))).collect()
        }
        true => {
            let step = encoded.len().div_ceil(MOST_SAMPLED).max(1);
            let text = |words: &Vec<u32>| {
                let words: Vec<&str> =
                    words.iter().map(|word| vocabulary.words[*word as usize].as_str()).collect();
                vectors.vector(&vectors.rows(&words.join(" "), options.max_tokens))
            };
            encoded.iter().step_by(step).map(text).collect()
        }
    };
    let common = options.common();
    vectors.common = weights::strongest(&sample, dimensions, common, options.seed);
    vectors.config.common = common;
    if dimensions <= weights::MOST_ORDERED {
        weights::order(&mut vectors.table, &mut vectors.common, &sample, dimensions)?;
    }
    Ok(vectors)
}

/// What will be held in memory, before it is.
fn say(words: usize, buckets: usize, dimensions: usize, options: &EmbedOptions) {
    let training = (2 * words + buckets) * dimensions * 4;
    let package = (words + buckets) * dimensions * 2 + words * 8;
    eprintln!(
        "{words} words and {buckets} buckets of n-grams with {dimensions} values each: {} MiB while training on {} thread(s), \
         {:.1} MB as a package",
        training >> 20,
        options.threads,
        package as f64 / 1e6
    );
}

/// The vectors that learning begins with: those given, and small ones of chance.
fn start(
    vocabulary: &Vocabulary,
    given: Option<&formats::Given>,
    dimensions: usize,
    buckets: Option<Buckets>,
    seed: u64,
) -> Vec<f32> {
    let mut rng = random::stream(seed, "vectors");
    let rows = vocabulary.words.len() + buckets.map_or(0, |buckets| buckets.count);
    let bound = 0.5 / dimensions as f32;
    let mut table: Vec<f32> =
        (0..rows * dimensions).map(|_| random::uniform(&mut rng, -bound, bound)).collect();
    if let Some(given) = given {
        for (word, row) in given.words.iter().zip(given.rows.chunks_exact(dimensions)) {
            if let Some(place) = vocabulary.places.get(word) {
                table[*place as usize * dimensions..][..dimensions].copy_from_slice(row);
            }
        }
    }
    table
}

/// The mean of the rows of a word.
fn mean(table: &[f32], parts: &skipgram::Parts, word: usize, dimensions: usize) -> Vec<f32> {
    let rows = &parts.rows[parts.starts[word]..parts.starts[word + 1]];
    let mut sum = vec![0.0f32; dimensions];
    for row in rows {
        let row = &table[*row as usize * dimensions..][..dimensions];
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / rows.len() as f32);
    }
    sum
}

/// Brings each word's vector to the length of what it counts, the mean over all being 1 a value.
fn weigh(table: &mut [f32], weights: &[f32], dimensions: usize) {
    let mean = weights.iter().sum::<f32>() / weights.len().max(1) as f32;
    for (row, weight) in table.chunks_exact_mut(dimensions).zip(weights) {
        to_unit(row);
        row.iter_mut().for_each(|value| *value *= weight / mean.max(1e-9));
    }
}

/// What the rarer half of the words count, on the mean: words come the most frequent first.
fn rare(weights: &[f32]) -> f32 {
    let half = &weights[weights.len() / 2..];
    half.iter().sum::<f32>() / half.len().max(1) as f32
}

/// A file's texts a line, blank ones left out.
pub(crate) fn lines(file: &Path) -> Result<Vec<String>> {
    let content = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(content.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect())
}
