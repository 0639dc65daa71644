//! Settings of `train embed`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::corpus::{Members, Row};
use super::formats::Given;
use super::lines;
use super::pairs::Fitting;
use super::parts::Buckets;
use super::skipgram::Learning;
use super::weights::Weighting;
use crate::about::AboutOptions;

/// How vectors of words are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Method {
    /// Each word tells those near it
    Skipgram,
    /// Those near a word tell it together
    Cbow,
    /// As skipgram, words being made of their n-grams of characters
    Subword,
}

impl Method {
    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Skipgram => "skipgram",
            Method::Cbow => "cbow",
            Method::Subword => "subword",
        }
    }
}

/// See the module's introduction.
#[derive(Debug, Clone, clap::Args)]
pub struct EmbedOptions {
    /// Texts: a .jsonl of objects, or a .txt with a text a line
    #[arg(long, env = "MEDSERVE_DATA")]
    pub data: PathBuf,
    /// Members of a line of .jsonl whose texts are learned from, with commas between them; default: those of --pairs, or text
    #[arg(long, env = "MEDSERVE_TEXT_FIELD", value_delimiter = ',')]
    pub text_field: Vec<String>,
    /// Name the model is served under
    #[arg(long, env = "MEDSERVE_NAME")]
    pub name: String,
    /// Version of the package; default: one above the highest there is
    #[arg(long, env = "MEDSERVE_VERSION")]
    pub version: Option<u64>,
    /// Folder the package is written under
    #[arg(long, env = "MEDSERVE_OUT", default_value = "models")]
    pub out: PathBuf,
    /// How vectors of words are learned
    #[arg(long, env = "MEDSERVE_ARCH", value_enum, default_value = "skipgram")]
    pub arch: Method,
    /// Vectors to begin with, in the text format of word2vec, fastText or GloVe
    #[arg(long, env = "MEDSERVE_FROM")]
    pub from: Option<PathBuf>,
    /// Values of a vector; default: those of --from, or 128
    #[arg(long, env = "MEDSERVE_DIMENSIONS")]
    pub dimensions: Option<usize>,
    /// Most words before and after one that count as near
    #[arg(long, env = "MEDSERVE_WINDOW", default_value_t = 5)]
    pub window: usize,
    /// Words drawn against each near one
    #[arg(long, env = "MEDSERVE_NEGATIVES", default_value_t = 5)]
    pub negatives: usize,
    /// Times over the texts; 0 to take the vectors of --from as they are
    #[arg(long, env = "MEDSERVE_EPOCHS", default_value_t = 5)]
    pub epochs: usize,
    /// Size of a step at the beginning
    #[arg(long, env = "MEDSERVE_LR", default_value_t = 0.05)]
    pub lr: f32,
    /// Words more frequent than this share are left out now and then; 0 for never
    #[arg(long, env = "MEDSERVE_SUBSAMPLE", default_value_t = 1e-4)]
    pub subsample: f64,
    /// Words that come less often are unknown
    #[arg(long, env = "MEDSERVE_MIN_COUNT", default_value_t = 3)]
    pub min_count: u64,
    /// Most words known, the most frequent; what is said of memory goes by it
    #[arg(long, env = "MEDSERVE_VOCABULARY", default_value_t = 200_000)]
    pub vocabulary: usize,
    /// Buckets of n-grams of characters, of which unknown words are made; 0 for none
    #[arg(long, env = "MEDSERVE_SUBWORDS", default_value_t = 10_000)]
    pub subwords: usize,
    /// Shortest n-gram of characters
    #[arg(long, env = "MEDSERVE_MIN_CHARACTERS", default_value_t = 3)]
    pub min_characters: usize,
    /// Longest n-gram of characters
    #[arg(long, env = "MEDSERVE_MAX_CHARACTERS", default_value_t = 6)]
    pub max_characters: usize,
    /// What words count in a text; default: sif, and idf to begin with where --pairs are given
    #[arg(long, env = "MEDSERVE_WEIGHTS", value_enum)]
    pub weights: Option<Weighting>,
    /// The a of sif
    #[arg(long, env = "MEDSERVE_SIF", default_value_t = 1e-4)]
    pub sif: f64,
    /// Directions that all texts share and that are taken away; default: 1, and 0 where --pairs are given
    #[arg(long, env = "MEDSERVE_COMMON")]
    pub common: Option<usize>,
    /// What a word that is not known counts, beside one that is rare
    #[arg(long, env = "MEDSERVE_UNKNOWN", default_value_t = 1.0)]
    pub unknown: f32,
    /// Two members of a line of .jsonl, QUESTION,ANSWER: questions shall find their answers
    #[arg(long, env = "MEDSERVE_PAIRS")]
    pub pairs: Option<String>,
    /// A member of a line of .jsonl: lines of one value are held out together
    #[arg(long, env = "MEDSERVE_GROUP_BY")]
    pub group_by: Option<String>,
    /// Share of the groups, or of the lines, that are held out to measure
    #[arg(long, env = "MEDSERVE_HOLDOUT", default_value_t = 0.1)]
    pub holdout: f64,
    /// Times over the pairs
    #[arg(long, env = "MEDSERVE_PAIR_EPOCHS", default_value_t = 30)]
    pub pair_epochs: usize,
    /// Size of a step over the pairs at the beginning
    #[arg(long, env = "MEDSERVE_PAIR_LR", default_value_t = 0.02)]
    pub pair_lr: f32,
    /// Pairs that are told apart at a time
    #[arg(long, env = "MEDSERVE_BATCH_SIZE", default_value_t = 256)]
    pub batch_size: usize,
    /// What products of vectors are divided by while pairs are told apart
    #[arg(long, env = "MEDSERVE_TEMPERATURE", default_value_t = 0.05)]
    pub temperature: f32,
    /// Share of the questions that are replaced by a stretch of their answer
    #[arg(long, env = "MEDSERVE_STRETCHES", default_value_t = 0.2)]
    pub stretches: f32,
    /// Sentences a line, .txt, that people write around a question and that say nothing of the matter; every other one is
    /// kept to measure by
    #[arg(long, env = "MEDSERVE_ASIDES")]
    pub asides: Option<PathBuf>,
    /// Share of the questions that are set among asides
    #[arg(long, env = "MEDSERVE_ASIDE_SHARE", default_value_t = 0.4)]
    pub aside_share: f32,
    /// Share of a question's words that are left out
    #[arg(long, env = "MEDSERVE_WORD_DROPOUT", default_value_t = 0.0)]
    pub word_dropout: f32,
    /// After measuring, learn once more with the same settings from all texts, those held out too
    #[arg(long, env = "MEDSERVE_REFIT")]
    pub refit: bool,
    /// Most words of a text that are read
    #[arg(long, env = "MEDSERVE_MAX_TOKENS", default_value_t = 16_384)]
    pub max_tokens: usize,
    /// Threads; with one the same seed gives the same vectors
    #[arg(long, env = "MEDSERVE_THREADS", default_value_t = 1)]
    pub threads: usize,
    /// Seed of everything random
    #[arg(long, env = "MEDSERVE_SEED", default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub about: AboutOptions,
}

/// Sentences that say nothing of the matter.
#[derive(Debug, Default)]
pub struct Asides {
    /// To learn with.
    pub train: Vec<String>,
    /// To measure with.
    pub val: Vec<String>,
}

impl EmbedOptions {
    /// Refuses settings that cannot be.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.window > 0 && self.negatives > 0, "--window and --negatives are 1 or more");
        ensure!(self.lr > 0.0 && self.pair_lr > 0.0, "--lr and --pair-lr are above 0");
        ensure!(self.temperature > 0.0, "--temperature is above 0");
        ensure!(self.sif > 0.0, "--sif is above 0");
        ensure!(self.unknown >= 0.0, "--unknown is not below 0");
        ensure!(self.vocabulary > 0 && self.threads > 0, "--vocabulary and --threads are 1 or more");
        ensure!((0.0..1.0).contains(&self.holdout), "--holdout is {}, not from 0 to below 1", self.holdout);
        ensure!((0.0..1.0).contains(&self.word_dropout), "--word-dropout is not from 0 to below 1");
        let shares = self.stretches >= 0.0 && self.aside_share >= 0.0;
        ensure!(
            shares && self.stretches + self.aside_share <= 1.0,
            "--stretches and --aside-share add up to 1 at the most"
        );
        ensure!(
            self.epochs > 0 || self.from.is_some() || (self.pairs.is_some() && self.pair_epochs > 0),
            "--epochs 0 learns nothing; give --from or --pairs"
        );
        let characters = 1 <= self.min_characters && self.min_characters <= self.max_characters;
        ensure!(
            self.subwords == 0 || characters,
            "n-grams of {} to {} characters are none",
            self.min_characters,
            self.max_characters
        );
        ensure!(self.arch != Method::Subword || self.subwords > 0, "--arch subword needs --subwords above 0");
        Ok(())
    }

    pub(super) fn members(&self) -> Result<Members> {
        let pair = match &self.pairs {
            None => None,
            Some(both) => {
                let (question, answer) = both
                    .split_once(',')
                    .with_context(|| format!("--pairs: \"{both}\" is not QUESTION,ANSWER"))?;
                Some((question.to_string(), answer.to_string()))
            }
        };
        let text = match (self.text_field.as_slice(), &pair) {
            ([], Some((question, answer))) => vec![question.clone(), answer.clone()],
            ([], None) => vec!["text".to_string()],
            (given, _) => given.to_vec(),
        };
        Ok(Members { text, pair, group: self.group_by.clone() })
    }

    pub(super) fn asides(&self) -> Result<Asides> {
        let Some(file) = &self.asides else { return Ok(Asides::default()) };
        let mut asides = Asides::default();
        for (number, line) in lines(file)?.into_iter().enumerate() {
            if number % 2 == 0 { asides.train.push(line) } else { asides.val.push(line) }
        }
        Ok(asides)
    }

    /// Whether a text is held out: by its group, or by itself where it has none. The same text always is or is not.
    pub(super) fn holds_out(&self, row: &Row) -> bool {
        if self.pairs.is_none() {
            return false;
        }
        let key = if row.group.is_empty() { &row.text } else { &row.group };
        let digest = model::package::sha256(format!("{}:{key}", self.seed).as_bytes());
        let share =
            u32::from_str_radix(&digest[..8], 16).map_or(0.0, |number| f64::from(number) / 2f64.powi(32));
        share < self.holdout
    }

    pub(super) fn dimensions_with(&self, given: Option<&Given>) -> Result<usize> {
        match (self.dimensions, given) {
            (Some(asked), Some(given)) if asked != given.dimensions => {
                anyhow::bail!(
                    "--dimensions is {asked}, and the vectors of --from have {} values",
                    given.dimensions
                )
            }
            (_, Some(given)) => Ok(given.dimensions),
            (asked, None) => Ok(asked.unwrap_or(128)),
        }
    }

    pub(super) fn buckets(&self) -> Buckets {
        Buckets { least: self.min_characters, most: self.max_characters, count: self.subwords }
    }

    pub(super) fn learning(&self, dimensions: usize) -> Learning {
        Learning {
            dimensions,
            window: self.window,
            negatives: self.negatives,
            epochs: self.epochs,
            rate: self.lr,
            subsample: self.subsample,
            cbow: self.arch == Method::Cbow,
            threads: self.threads,
            seed: self.seed,
        }
    }

    pub(super) fn fitting(&self) -> Fitting {
        Fitting {
            epochs: self.pair_epochs,
            batch: self.batch_size,
            rate: self.pair_lr,
            temperature: self.temperature,
            stretches: self.stretches,
            asides: self.aside_share,
            dropped: self.word_dropout,
            seed: self.seed,
        }
    }

    pub(super) fn weighting(&self) -> Weighting {
        self.weights.unwrap_or(if self.pairs.is_some() { Weighting::Idf } else { Weighting::Sif })
    }

    pub(super) fn common(&self) -> usize {
        self.common.unwrap_or(if self.pairs.is_some() { 0 } else { 1 })
    }

    /// Words that come again count less where they were fitted so.
    pub(super) fn damped(&self) -> bool {
        self.pairs.is_some()
    }
}
