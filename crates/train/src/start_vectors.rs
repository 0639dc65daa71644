//! Networks over tokens that start from vectors of words: `train text --vectors`.
//!
//! Tokens are pieces of words, and of frequent words all of them. A token that is a known word starts as its vector,
//! scaled so that values are as large as they would have been by chance; any other token starts by chance.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};

use super::embed::formats::{self, Given};
use super::evaluate::read_package;
use model::manifest::Architecture;
use model::package::sha256;
use nn::Params;
use text::Tokenizer;
use text::vectors::WordVectors;

/// Most words that are read of a file.
const MOST: usize = 1 << 20;
/// Root of the mean square of what tokens start as by chance.
const SCALE: f64 = 0.1;
/// Name of the tokens' values in every network over tokens.
const EMBEDDING: &str = "embedding.weight";

/// Vectors of words to start from.
pub struct StartVectors {
    /// Where they are from, for the card: a name and a digest.
    pub described: String,
    kind: Kind,
    dimensions: usize,
}

enum Kind {
    Package(Box<WordVectors>),
    /// Rows by word, in the order of the words.
    File(std::collections::HashMap<String, usize>, Vec<f32>),
}

/// How many tokens start as the vector of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Those that do.
    pub tokens: usize,
    /// All.
    pub of: usize,
}

impl StartVectors {
    /// Reads a package that `train embed` has made (`models/<name>`, or one version's folder), or a file of word2vec's,
    /// fastText's or GloVe's text form.
    ///
    /// # Errors
    /// Something else, or a file whose lines do not fit, with the number of the first such line.
    pub fn read(path: &Path) -> Result<StartVectors> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            let package = read_package(path)?;
            let manifest = package.manifest;
            let Architecture::Vectors(config) = &manifest.architecture else {
                bail!("--vectors: the model \"{}\" has no vectors of words", manifest.name)
            };
            let vectors = WordVectors::read(config, package.weights).map_err(anyhow::Error::msg)?;
            let described =
                format!("{} {}, sha256 {}", manifest.name, manifest.version, manifest.weights.sha256);
            let dimensions = config.dimensions;
            return Ok(StartVectors { described, kind: Kind::Package(Box::new(vectors)), dimensions });
        }
        let Given { words, rows, dimensions, .. } = formats::read(path, MOST).context("--vectors")?;
        ensure!(!words.is_empty(), "--vectors: {} holds no word", path.display());
        let digest = sha256(&std::fs::read(path).with_context(|| path.display().to_string())?);
        let places = words.into_iter().enumerate().map(|(place, word)| (word, place)).collect();
        let described = format!("{name}, sha256 {digest}");
        Ok(StartVectors { described, kind: Kind::File(places, rows), dimensions })
    }

    /// Refuses tokens of more values than a vector has.
    ///
    /// # Errors
    /// The number that is accepted.
    pub fn check(&self, width: usize) -> Result<()> {
        ensure!(
            width <= self.dimensions,
            "--embedding is {width}, and the vectors of --vectors have {} values; at most as many are taken of each",
            self.dimensions
        );
        Ok(())
    }

    /// Sets what the tokens of a network start as; of a vector the first values are taken.
    ///
    /// # Errors
    /// A network without values of tokens.
    pub fn set(&self, params: &Params, tokenizer: &Tokenizer) -> Result<Known> {
        let embedding = params.trainable().get(EMBEDDING).context("the network has no values of tokens")?;
        let (of, width) = embedding.dims2()?;
        self.check(width)?;
        let rows: Vec<Option<Vec<f32>>> = (0..of)
            .map(|token| {
                let text = tokenizer.text_of(token as u32)?;
                let word = text.trim();
                let whole = word.chars().filter(|c| c.is_alphabetic()).count() > 1;
                if whole { self.word(&word.to_lowercase()) } else { None }
            })
            .collect();
        let squares = |row: &Vec<f32>| row[..width].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let tokens = rows.iter().flatten().count();
        let mean = rows.iter().flatten().map(squares).sum::<f64>() / (tokens * width).max(1) as f64;
        let factor = if mean > 0.0 { SCALE / mean.sqrt() } else { 0.0 };
        let mut values: Vec<f32> = embedding.flatten_all()?.to_vec1()?;
        for (values, row) in values.chunks_exact_mut(width).zip(&rows) {
            if let Some(row) = row {
                let scaled = row.iter().map(|x| (f64::from(*x) * factor) as f32);
                values.iter_mut().zip(scaled).for_each(|(value, start)| *value = start);
            }
        }
        embedding.set(&Tensor::from_vec(values, (of, width), &Device::Cpu)?)?;
        Ok(Known { tokens, of })
    }

    fn word(&self, word: &str) -> Option<Vec<f32>> {
        match &self.kind {
            Kind::Package(vectors) => vectors.place(word).and_then(|_| vectors.word(word)),
            Kind::File(places, rows) => {
                let place = *places.get(word)?;
                Some(rows[place * self.dimensions..][..self.dimensions].to_vec())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::Init;

    #[test]
    fn tokens_that_are_words_start_as_their_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vectors.txt");
        std::fs::write(&file, "pain 3 4 9\nfever 0 0 9\nunseen 1 1 1\n").unwrap();
        let vectors = StartVectors::read(&file).unwrap();
        assert!(vectors.described.starts_with("vectors.txt, sha256 "));
        let notes = ["pain and fever", "Fever, no pain", "pain fever pain fever"];
        let tokenizer = Tokenizer::train(notes.into_iter(), 300).unwrap();
        let count = tokenizer.vocabulary();
        let mut params = Params::fresh(1);
        params.get(EMBEDDING, (count, 2), Init::Normal(0.1)).unwrap();
        let before = params.trainable()[EMBEDDING].to_vec2::<f32>().unwrap();
        let known = vectors.set(&params, &tokenizer).unwrap();
        let after = params.trainable()[EMBEDDING].to_vec2::<f32>().unwrap();
        assert!(known.tokens >= 2 && known.of == count, "{known:?}");
        let mut seen = 0;
        for (token, (before, after)) in before.iter().zip(&after).enumerate() {
            match tokenizer.text_of(token as u32).unwrap_or_default().trim() {
                "pain" => {
                    seen += 1;
                    assert!((after[1] / after[0] - 4.0 / 3.0).abs() < 1e-5 && after[0] > 0.0, "{after:?}");
                }
                "fever" => assert_eq!(after, &[0.0, 0.0]),
                _ => assert_eq!(before, after),
            }
        }
        assert!(seen > 0);
        let error = vectors.check(4).unwrap_err().to_string();
        assert!(error.contains("--embedding is 4") && error.contains("3 values"), "{error}");
        std::fs::write(&file, "pain 3 4 9\nfever 0 0\n").unwrap();
        let error = format!("{:#}", StartVectors::read(&file).err().unwrap());
        assert!(error.contains("line 2"), "{error}");
    }
}
