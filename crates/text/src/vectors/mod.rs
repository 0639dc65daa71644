//! Vectors of words, and of texts from those of their words.
//!
//! A text's vector is the weighted sum of its words' vectors, less the directions that all texts share,
//! brought to length 1 (Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence
//! embeddings"). A word that is not known gets the mean of the vectors of its n-grams of characters
//! (Bojanowski et al. 2017, "Enriching word vectors with subword information"), so a misspelt or a new word
//! is near those that are written like it. Words are known by hashes: no package holds the words of
//! the texts that it was made from.

pub mod words;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use model::manifest::VectorsConfig;

use self::words::{Words, ngrams, word_hash};

/// The words of one text as rows of the table, with what each counts.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedRows {
    /// A row, that of a bucket counted on behind those of the words, and its weight.
    pub rows: Vec<(u32, f32)>,
    /// Words of the whole text.
    pub total: usize,
    /// Words that were read.
    pub read: usize,
}

/// See the module's introduction.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    /// Its sizes.
    pub config: VectorsConfig,
    /// What words are known by, rising.
    pub hashes: Vec<u32>,
    /// (words + buckets, dimensions), row after row.
    pub table: Vec<f32>,
    /// What each word counts, and last what an unknown one does.
    pub weights: Vec<f32>,
    /// (directions, dimensions), row after row.
    pub common: Vec<f32>,
}

impl WordVectors {
    /// From the tensors of a package.
    ///
    /// # Errors
    /// The tensor that is missing or does not fit, and why.
    pub fn read(
        config: &VectorsConfig,
        mut tensors: BTreeMap<String, Tensor>,
    ) -> Result<WordVectors, String> {
        let dimensions = config.dimensions;
        let mut take = |name: &str, shape: &[usize]| -> Result<Tensor, String> {
            let tensor = tensors.remove(name).ok_or_else(|| format!("there is no tensor \"{name}\""))?;
            match tensor.dims() == shape {
                true => tensor.flatten_all().map_err(|e| e.to_string()),
                false => Err(format!(
                    "the tensor \"{name}\" has shape {:?}, the manifest asks for {shape:?}",
                    tensor.dims()
                )),
            }
        };
        let hashes = take("hashes", &[config.words])?.to_vec1::<u32>().map_err(|e| e.to_string())?;
        if hashes.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("the tensor \"hashes\" does not rise".to_string());
        }
        let mut floats = |name: &str, shape: &[usize]| {
            take(name, shape)?.to_vec1::<f32>().map_err(|e| format!("the tensor \"{name}\": {e}"))
        };
        let mut table = floats("words", &[config.words, dimensions])?;
        if config.subwords > 0 {
            table.extend(floats("subwords", &[config.subwords, dimensions])?);
        }
        let weights = floats("weights", &[config.words + 1])?;
        if weights.iter().any(|weight| *weight < 0.0) {
            return Err("the tensor \"weights\" holds a value below 0".to_string());
        }
        let common = match config.common {
            0 => Vec::new(),
            count => floats("common", &[count, dimensions])?,
        };
        if let Some(name) = tensors.keys().next() {
            return Err(format!("the manifest asks for no tensor \"{name}\""));
        }
        Ok(WordVectors { config: config.clone(), hashes, table, weights, common })
    }

    /// The tensors of a package, vectors in 16 bits.
    ///
    /// # Errors
    /// What the library reports.
    pub fn tensors(&self) -> candle_core::Result<BTreeMap<String, Tensor>> {
        let VectorsConfig { dimensions, words, subwords, common, .. } = self.config;
        let cpu = &Device::Cpu;
        let (known, buckets) = self.table.split_at(words * dimensions);
        let half = |values: &[f32], rows: usize| {
            Tensor::from_slice(values, (rows, dimensions), cpu)?.to_dtype(DType::F16)
        };
        let mut tensors = BTreeMap::from([
            ("hashes".to_string(), Tensor::from_slice(&self.hashes, words, cpu)?),
            ("words".to_string(), half(known, words)?),
            ("weights".to_string(), Tensor::from_slice(&self.weights, words + 1, cpu)?),
        ]);
        if subwords > 0 {
            tensors.insert("subwords".to_string(), half(buckets, subwords)?);
        }
        if common > 0 {
            let directions = Tensor::from_slice(&self.common, (common, dimensions), cpu)?;
            tensors.insert("common".to_string(), directions);
        }
        Ok(tensors)
    }

    /// The words of a text, of which at most `most` are read.
    pub fn rows(&self, text: &str, most: usize) -> WeightedRows {
        let words = Words::of(text);
        let mut all: Vec<&str> = words.iter().take(most).collect();
        let read = all.len();
        all.sort_unstable();
        let mut rows = Vec::new();
        for same in all.chunk_by(|a, b| a == b) {
            let count = if self.config.damped { damped(same.len()) } else { same.len() as f32 };
            match self.place(same[0]) {
                Some(place) => rows.push((place as u32, count * self.weights[place])),
                None => self.unknown(same[0], count * self.weights[self.config.words], &mut rows),
            }
        }
        WeightedRows { rows, total: words.len(), read }
    }

    /// The row of a known word, in lower case.
    pub fn place(&self, word: &str) -> Option<usize> {
        self.hashes.binary_search(&word_hash(word)).ok()
    }

    /// The vector of a word in lower case, known or made of its n-grams; none where it has none.
    pub fn word(&self, word: &str) -> Option<Vec<f32>> {
        let mut rows = Vec::new();
        match self.place(word) {
            Some(place) => rows.push((place as u32, 1.0)),
            None => self.unknown(word, 1.0, &mut rows),
        }
        let vector = self.sum(&rows);
        vector.iter().any(|value| *value != 0.0).then_some(vector)
    }

    /// Adds the n-grams of a word, which together count `weight`.
    fn unknown(&self, word: &str, weight: f32, rows: &mut Vec<(u32, f32)>) {
        let VectorsConfig { words, subwords, min_characters, max_characters, .. } = self.config;
        if subwords == 0 {
            return;
        }
        let first = rows.len();
        ngrams(word, min_characters, max_characters, |hash| {
            rows.push(((words + (hash % subwords as u64) as usize) as u32, 0.0));
        });
        let share = weight / (rows.len() - first).max(1) as f32;
        rows[first..].iter_mut().for_each(|(_, weight)| *weight = share);
    }

    fn sum(&self, rows: &[(u32, f32)]) -> Vec<f32> {
        let dimensions = self.config.dimensions;
        let mut sum = vec![0.0f32; dimensions];
        for (row, weight) in rows {
            let row = &self.table[*row as usize * dimensions..][..dimensions];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        sum
    }

    /// The vector of a text, of length 1; of a text that no word is known of all zeros.
    pub fn vector(&self, text: &WeightedRows) -> Vec<f32> {
        let mut vector = self.sum(&text.rows);
        for direction in self.common.chunks_exact(self.config.dimensions) {
            let share: f32 = vector.iter().zip(direction).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(direction).for_each(|(value, part)| *value -= share * part);
        }
        to_unit(&mut vector);
        vector
    }
}

/// What a word counts that comes so many times, where that is damped: 1 + ln n.
pub fn damped(times: usize) -> f32 {
    1.0 + (times.max(1) as f32).ln()
}

/// Brings a vector to length 1; one of no length stays as it is, all zeros.
pub fn to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    match length > 1e-12 && length.is_finite() {
        true => vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32),
        false => vector.fill(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two dimensions, the words "pain" and "fever", four buckets.
    fn small() -> WordVectors {
        let config = VectorsConfig {
            dimensions: 2,
            words: 2,
            subwords: 4,
            min_characters: 3,
            max_characters: 4,
            common: 0,
            damped: false,
        };
        let mut known = [("pain", [1.0, 0.0], 2.0), ("fever", [0.0, 1.0], 1.0)];
        known.sort_by_key(|(word, ..)| word_hash(word));
        WordVectors {
            config,
            hashes: known.iter().map(|(word, ..)| word_hash(word)).collect(),
            table: known
                .iter()
                .flat_map(|(_, row, _)| *row)
                .chain([0.5, 0.5, -0.5, 0.5, 0.25, -1.0, 1.0, 1.0])
                .collect(),
            weights: known.iter().map(|(.., weight)| *weight).chain([3.0]).collect(),
            common: Vec::new(),
        }
    }

    #[test]
    fn a_text_is_the_weighted_sum_of_its_words_at_length_1() {
        let vectors = small();
        let rows = vectors.rows("PAIN, fever!", 10);
        assert_eq!((rows.total, rows.read), (2, 2));
        let root = 5f32.sqrt();
        let got = vectors.vector(&rows);
        assert!((got[0] - 2.0 / root).abs() < 1e-6 && (got[1] - 1.0 / root).abs() < 1e-6, "{got:?}");
        let cut = vectors.rows("pain fever", 1);
        assert_eq!((vectors.vector(&cut), cut.total, cut.read), (vec![1.0, 0.0], 2, 1));
    }

    #[test]
    fn an_unknown_word_is_the_mean_of_its_n_grams() {
        let vectors = small();
        // <ab> has "<ab", "ab>" and "<ab>".
        let rows = vectors.rows("ab", 10).rows;
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|(row, weight)| (2..6).contains(row) && *weight == 1.0), "{rows:?}");
        let mean: Vec<f32> = (0..2)
            .map(|at| rows.iter().map(|(row, _)| vectors.table[*row as usize * 2 + at]).sum::<f32>() / 3.0)
            .collect();
        let word = vectors.word("ab").unwrap();
        assert!(word.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-6), "{word:?} {mean:?}");
        let bare = WordVectors {
            config: VectorsConfig { subwords: 0, ..vectors.config.clone() },
            table: vectors.table[..4].to_vec(),
            ..vectors
        };
        assert_eq!(bare.vector(&bare.rows("ab 😷", 10)), [0.0, 0.0]);
    }

    #[test]
    fn a_word_that_comes_again_counts_less_where_that_is_damped() {
        let mut vectors = small();
        let share = |vectors: &WordVectors| {
            let vector = vectors.vector(&vectors.rows("fever fever fever pain", 10));
            vector[1] / vector[0]
        };
        assert!((share(&vectors) - 1.5).abs() < 1e-6);
        vectors.config.damped = true;
        assert!((share(&vectors) - (1.0 + 3f32.ln()) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn what_all_texts_share_is_taken_away() {
        let mut vectors = small();
        (vectors.config.common, vectors.common) = (1, vec![1.0, 0.0]);
        let both = vectors.vector(&vectors.rows("pain fever", 10));
        assert_eq!(both, [0.0, 1.0]);
        assert_eq!(vectors.vector(&vectors.rows("pain", 10)), [0.0, 0.0]);
    }

    #[test]
    fn a_package_holds_all_of_it_in_16_bits_and_refuses_what_does_not_fit() {
        let mut vectors = small();
        (vectors.config.common, vectors.common) = (1, vec![0.6, 0.8]);
        let full = |tensors: BTreeMap<String, Tensor>| -> BTreeMap<String, Tensor> {
            let widen = |tensor: Tensor| match tensor.dtype() {
                DType::F16 => tensor.to_dtype(DType::F32).unwrap(),
                _ => tensor,
            };
            tensors.into_iter().map(|(name, tensor)| (name, widen(tensor))).collect()
        };
        let tensors = full(vectors.tensors().unwrap());
        assert_eq!(WordVectors::read(&vectors.config, tensors.clone()).unwrap(), vectors);
        for missing in ["hashes", "words", "subwords", "weights", "common"] {
            let mut fewer = tensors.clone();
            fewer.remove(missing);
            let error = WordVectors::read(&vectors.config, fewer).unwrap_err();
            assert!(error.contains(missing), "{error}");
        }
        let other = VectorsConfig { words: 3, ..vectors.config.clone() };
        let error = WordVectors::read(&other, tensors.clone()).unwrap_err();
        assert!(error.contains("hashes") && error.contains("[3]"), "{error}");
        let none = VectorsConfig { common: 0, ..vectors.config.clone() };
        assert!(WordVectors::read(&none, tensors).unwrap_err().contains("common"));
    }
}
