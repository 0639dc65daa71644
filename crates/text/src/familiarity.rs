//! Is a note like those that a bag was trained on?
//!
//! Measured by the share of its n-grams that training had seen. Of characters those of three and
//! more count: shorter ones are in any text of the same script. Where a bag reads words alone, their
//! n-grams count. Chosen by measurement: known words alone tell a misspelt complaint from nonsense
//! no better than the network does.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::terms::{self, Term};
use model::Manifest;
use model::manifest::{Architecture, BagConfig, Likeness, NGrams};

/// The least length of an n-gram of characters that counts.
const LEAST: usize = 3;

/// The n-grams of a bag, and the share of a note's that makes it familiar.
#[derive(Debug, Clone)]
pub struct Familiarity {
    config: BagConfig,
    /// Rising.
    hashes: Vec<u32>,
    at_least: f32,
}

impl Familiarity {
    /// That of a package; none where its manifest does not ask for it.
    ///
    /// # Errors
    /// N-grams that are absent.
    pub fn read(
        manifest: &Manifest,
        weights: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<Option<Familiarity>> {
        let (Some(Likeness::KnownNgrams { at_least, .. }), Architecture::Bag(config)) =
            (&manifest.likeness, &manifest.architecture)
        else {
            return Ok(None);
        };
        let Some(hashes) = weights.get("ngrams") else {
            candle_core::bail!("the tensor \"ngrams\" is absent")
        };
        Ok(Some(Familiarity { config: config.clone(), hashes: hashes.to_vec1()?, at_least: *at_least }))
    }

    /// That of a bag with the n-grams `hashes`, in rising order.
    pub fn new(config: BagConfig, hashes: Vec<u32>) -> Familiarity {
        Familiarity { config, hashes, at_least: 0.0 }
    }

    /// Whether a normalised note is like those of training.
    pub fn knows(&self, text: &str) -> bool {
        self.share(text) >= self.at_least
    }

    /// The share of a normalised note's n-grams that training had seen.
    pub fn share(&self, text: &str) -> f32 {
        let terms = ngrams(&self.config, text);
        let known = terms.iter().filter(|term| self.hashes.binary_search(&term.hash).is_ok()).count();
        known as f32 / terms.len().max(1) as f32
    }
}

/// The n-grams of a normalised note that count.
fn ngrams(config: &BagConfig, text: &str) -> Vec<Term> {
    let NGrams { min, max, .. } = config.characters;
    match max >= LEAST {
        true => terms::characters(text, NGrams { min: min.max(LEAST), ..config.characters }),
        false => terms::words(text, config.words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_training_had_is_familiar_and_a_shuffled_note_is_not() {
        let none = NGrams { min: 1, max: 0, scale: 1.0 };
        let characters = NGrams { min: 2, max: 4, scale: 1.0 };
        for (words, characters, note, stranger) in [
            (none, characters, "abdominal pain", "nimbdaloa niap"),
            (NGrams { min: 1, max: 2, scale: 1.0 }, none, "胸痛两小时", "时上而天下"),
        ] {
            let config = BagConfig {
                words,
                characters,
                ngrams: 0,
                inverse_document_frequency: false,
                field_scale: 1.0,
                trees: None,
            };
            let mut hashes: Vec<u32> = ngrams(&config, note).iter().map(|term| term.hash).collect();
            hashes.sort_unstable();
            let known = Familiarity { at_least: 0.5, ..Familiarity::new(config, hashes) };
            assert_eq!(known.share(note), 1.0);
            assert!(known.knows(note) && !known.knows(stranger), "{}", known.share(stranger));
            assert!(!known.knows("x"));
        }
    }
}
