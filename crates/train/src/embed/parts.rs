//! Vectors of n-grams of characters.
//!
//! Where they are learned with the words ([`super::skipgram`]) each word is made of its n-grams from the
//! beginning. Where words have vectors already, those of n-grams are fitted to them, so that the mean over
//! a word's n-grams comes near the word's vector (Zhao, Mudgal and Liang 2018, "Generalizing word
//! embeddings using bag of subwords"): then a word that nobody has seen has a vector too.

use rand::seq::SliceRandom;

use super::skipgram::{Parts, dot};
use nn::random;
use text::vectors::words::ngrams;

/// Times over the words.
const ROUNDS: usize = 30;

/// Which n-grams: their lengths in characters and the number of buckets that they fall into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Shortest.
    pub least: usize,
    /// Longest.
    pub most: usize,
    /// Buckets.
    pub count: usize,
}

impl Buckets {
    /// The buckets of a word's n-grams.
    pub fn of(&self, word: &str) -> Vec<u32> {
        let mut buckets = Vec::new();
        if self.count > 0 {
            ngrams(word, self.least, self.most, |hash| buckets.push((hash % self.count as u64) as u32));
        }
        buckets
    }

    /// The rows of every word: its own, and behind those of all words those of its n-grams.
    pub fn parts(&self, words: &[String]) -> Parts {
        let mut parts = Parts { starts: vec![0], rows: Vec::new() };
        for (place, word) in words.iter().enumerate() {
            parts.rows.push(place as u32);
            parts.rows.extend(self.of(word).into_iter().map(|bucket| words.len() as u32 + bucket));
            parts.starts.push(parts.rows.len());
        }
        parts
    }

    /// The mean length of what the n-grams of words alone make of them; 1 where there are none.
    pub fn mean_length(&self, words: &[String], rows: &[f32], dimensions: usize) -> f32 {
        let (mut total, mut count) = (0.0, 0u32);
        let mut sum = vec![0.0f32; dimensions];
        for own in words.iter().map(|word| self.of(word)).filter(|own| !own.is_empty()) {
            sum.fill(0.0);
            for bucket in &own {
                let row = &rows[*bucket as usize * dimensions..][..dimensions];
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / own.len() as f32);
            }
            (total, count) = (total + dot(&sum, &sum).sqrt(), count + 1);
        }
        if total > 0.0 { total / count as f32 } else { 1.0 }
    }

    /// Fits `rows`, one a bucket, so that words have nearly the vectors `table`. Each word in turn takes its own
    /// n-grams a share of the way that is missing (Kaczmarz 1937).
    pub fn fit(&self, words: &[String], table: &[f32], dimensions: usize, rows: &mut [f32], seed: u64) {
        let all: Vec<Vec<u32>> = words.iter().map(|word| self.of(word)).collect();
        let mut order: Vec<usize> = (0..words.len()).filter(|place| !all[*place].is_empty()).collect();
        let mut rng = random::stream(seed, "n-grams");
        let mut missing = vec![0.0f32; dimensions];
        for round in 0..ROUNDS {
            order.shuffle(&mut rng);
            let step = 0.5 * (1.0 - round as f32 / ROUNDS as f32);
            for place in &order {
                let own = &all[*place];
                missing.copy_from_slice(&table[place * dimensions..][..dimensions]);
                let share = 1.0 / own.len() as f32;
                for bucket in own {
                    let row = &rows[*bucket as usize * dimensions..][..dimensions];
                    missing.iter_mut().zip(row).for_each(|(missing, value)| *missing -= share * value);
                }
                for bucket in own {
                    let row = &mut rows[*bucket as usize * dimensions..][..dimensions];
                    row.iter_mut().zip(&missing).for_each(|(value, missing)| *value += step * missing);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_nobody_has_seen_is_near_those_that_are_written_like_it() {
        let words: Vec<String> = ["hepatitis", "hepatic", "hepatoma", "dermatitis", "dermal", "dermis"]
            .map(str::to_string)
            .to_vec();
        let table: Vec<f32> =
            (0..6).flat_map(|word| if word < 3 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let buckets = Buckets { least: 3, most: 6, count: 500 };
        let mut rows = vec![0.0; 2 * buckets.count];
        buckets.fit(&words, &table, 2, &mut rows, 0);
        let mean = |word: &str| {
            let own = buckets.of(word);
            let at =
                |at: usize| own.iter().map(|b| rows[2 * *b as usize + at]).sum::<f32>() / own.len() as f32;
            [at(0), at(1)]
        };
        for (place, word) in words.iter().enumerate() {
            let got = mean(word);
            assert!((got[0] - table[2 * place]).abs() < 0.1 && (got[1] - table[2 * place + 1]).abs() < 0.1);
        }
        let [liver, skin] = mean("hepatocyte");
        assert!(liver > skin + 0.2, "{liver} {skin}");
        let [liver, skin] = mean("dermatology");
        assert!(skin > liver + 0.2, "{liver} {skin}");
    }

    #[test]
    fn words_come_before_n_grams() {
        let buckets = Buckets { least: 3, most: 3, count: 10 };
        let parts = buckets.parts(&["ab".to_string(), "abc".to_string()]);
        assert_eq!(parts.starts, [0, 3, 7]);
        assert_eq!((parts.rows[0], parts.rows[3]), (0, 1));
        assert!(parts.rows.iter().enumerate().all(|(at, row)| [0, 3].contains(&at) || (2..12).contains(row)));
        assert!(Buckets { count: 0, ..buckets }.of("abc").is_empty());
    }
}
