//! Is a note like those that a bag was trained on, or that an adopted encoder was measured on?
//!
//! Measured by the share of its n-grams that training had seen. Of characters those of three and
//! more count: shorter ones are in any text of the same script. Where a bag reads words alone, their
//! n-grams count. Chosen by measurement: known words alone tell a misspelt complaint from nonsense
//! no better than the network does.
//!
//! A sentence about other things is made of known n-grams too, in an order that no complaint has. So a package may
//! also keep a model of its notes' characters ([`Language`]), and a note that it finds too unlikely is unlike. So is one with a
//! word in a script of which that model has no letter.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, safetensors};

use super::language::Language;
use super::scripts::Scripts;
use super::terms::{self, Term};
use model::Manifest;
use model::manifest::{Architecture, BagConfig, Likeness, NGrams};
use model::package::LIKENESS;

/// The least length of an n-gram of characters that counts.
const LEAST: usize = 3;

/// Name of the tensor in `likeness.safetensors` that holds the n-grams known to a model that has none of its own.
pub const KNOWN: &str = "ngrams";

/// The n-grams by which notes are told for a model that has none of its own: of characters, within words.
pub fn adopted_ngrams() -> BagConfig {
    BagConfig {
        words: NGrams { min: 1, max: 0, scale: 1.0 },
        characters: NGrams { min: LEAST, max: LEAST + 2, scale: 1.0 },
        ngrams: 0,
        inverse_document_frequency: false,
        field_scale: 1.0,
        trees: None,
    }
}

/// What a bag's training notes are like.
#[derive(Debug, Clone)]
pub struct Familiarity {
    config: BagConfig,
    /// Rising.
    hashes: Vec<u32>,
    at_least: f32,
    order: Option<Order>,
    /// What can be read at all; everything where the package does not say.
    scripts: Option<Scripts>,
}

/// How likely the characters of a note have to be after one another.
#[derive(Debug, Clone)]
pub struct Order {
    /// What says it.
    pub language: Language,
    /// Mean logarithm of the probability of a character over unseen notes.
    pub mean: f64,
    /// Power of the length that the distance from the mean is multiplied with.
    pub exponent: f64,
    /// Least distance.
    pub least: f64,
}

impl Order {
    /// How far a normalised note is from the mean, downwards below 0.
    pub fn distance(&self, text: &str) -> f64 {
        let (own, characters) = self.language.mean_log_probability(text);
        distance((own, characters), self.mean, self.exponent)
    }
}

/// The distance from the mean of all of a note whose mean logarithm, over so many characters, is `own`.
pub fn distance((own, characters): (f64, usize), mean: f64, exponent: f64) -> f64 {
    (own - mean) * (characters as f64).powf(exponent)
}

impl Familiarity {
    /// That of the package in `folder`; none where its manifest does not ask for it.
    ///
    /// # Errors
    /// N-grams or counts that are absent or have another form.
    pub fn read(
        folder: &Path,
        manifest: &Manifest,
        weights: &BTreeMap<String, Tensor>,
    ) -> candle_core::Result<Option<Familiarity>> {
        let config = match &manifest.architecture {
            Architecture::Bag(config) => config.clone(),
            Architecture::Encoder(_) => adopted_ngrams(),
            _ => return Ok(None),
        };
        let mut known = weights.get("ngrams").cloned();
        let (at_least, order) = match &manifest.likeness {
            Some(Likeness::KnownNgrams { at_least, .. }) => (*at_least, None),
            Some(Likeness::Characters { at_least, order, mean, exponent, least, .. }) => {
                let tensors = safetensors::load(folder.join(LIKENESS), &Device::Cpu)?;
                known = known.or_else(|| tensors.get(KNOWN).cloned());
                let language = Language::read(*order, &tensors.into_iter().collect())?;
                (*at_least, Some(Order { language, mean: *mean, exponent: *exponent, least: *least }))
            }
            _ => return Ok(None),
        };
        let Some(hashes) = known else { candle_core::bail!("the tensor \"{KNOWN}\" is absent") };
        let scripts = order.as_ref().map(|order| Scripts::of(&order.language));
        Ok(Some(Familiarity { config, hashes: hashes.to_vec1()?, at_least, order, scripts }))
    }

    /// That of a bag with the n-grams `hashes`, in rising order.
    pub fn new(config: BagConfig, hashes: Vec<u32>) -> Familiarity {
        Familiarity { config, hashes, at_least: 0.0, order: None, scripts: None }
    }

    /// The n-grams that it knows, rising.
    pub fn hashes(&self) -> &[u32] {
        &self.hashes
    }

    /// Whether a normalised note is like those of training.
    pub fn knows(&self, text: &str) -> bool {
        self.has_seen(text, self.at_least)
            && self.scripts.as_ref().is_none_or(|scripts| scripts.know(text))
            && self.order.as_ref().is_none_or(|order| order.distance(text) >= order.least)
    }

    /// Whether training had seen at least this share of a normalised note's n-grams. Of a note without a letter it has to
    /// be all: marks and numbers say nothing, unless training has the very same (complaints that came as "??").
    pub fn has_seen(&self, text: &str, at_least: f32) -> bool {
        let says = text.chars().any(char::is_alphabetic);
        self.share(text) >= if says { at_least } else { 1.0 }
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
            assert!(!known.knows("x") && !known.knows("???"));
            let lenient = Familiarity { at_least: 0.0, ..known.clone() };
            assert!(lenient.knows("x") && !lenient.knows("???"));

            // Told by the order of its characters alone.
            let language = Language::learn(3, [note].into_iter());
            let own = language.mean_log_probability(note);
            let order = Order { language, mean: own.0, exponent: 0.5, least: -0.5 };
            assert!(order.distance(note) == 0.0 && order.distance(stranger) < -0.5);
            let strict = Familiarity { order: Some(order), at_least: 0.0, ..known };
            assert!(strict.knows(note) && !strict.knows(stranger));
        }
    }

    /// That of a shipped package.
    fn shipped(model: &str) -> Familiarity {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(model).join("1");
        let manifest: Manifest =
            serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let weights = safetensors::load(folder.join(&manifest.weights.file), &Device::Cpu).unwrap();
        Familiarity::read(&folder, &manifest, &weights.into_iter().collect()).unwrap().unwrap()
    }

    #[test]
    fn one_word_in_another_script_is_unlike_however_many_others_are_known() {
        let triage = shipped("triage");
        for known in ["ankle pain", "general weakness, fever", "abdominal pain"] {
            assert!(triage.knows(known), "{known}");
            for strange in ["昏迷", "의식", "боль", "ألم", "痛い"] {
                let note = format!("{known}, {known}, {known} {strange}");
                assert!(!triage.knows(&note), "{note}");
            }
            for sign in ["β", "°c", "😀", "—", "ménière"] {
                assert!(triage.scripts.as_ref().unwrap().know(&format!("{known} {sign}")), "{sign}");
            }
        }
        let chinese = shipped("department-zh");
        let note = "我有糖尿病十年了,一直吃药,现在血糖控制得不好,应该怎么办?";
        for known in ["", "做了ct检查", "吃metformin", "β受体阻滞剂", "hbv-dna正常"] {
            assert!(chinese.knows(&format!("{note}{known}")), "{known}");
        }
        assert!(!chinese.knows(&format!("{note}숨이 차다")));
    }
}
