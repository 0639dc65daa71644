//! The description of a model that makes vectors of texts.
//!
//! Such a package has no labels. Its tensors are `hashes` (what the words known are known by, rising),
//! `words` (one row a word), `subwords` (one row a bucket of n-grams of characters, for words that are not
//! known), `weights` (what each word counts, and last what an unknown one does) and, where there are any,
//! `common` (directions that say nothing, one row each, of length 1 and at right angles).

use serde::{Deserialize, Serialize};

/// Most words, and most buckets, that a package may have.
const MAX_ROWS: usize = 1 << 24;
/// Most values of a vector.
const MAX_DIMENSIONS: usize = 1 << 12;
/// Most values of all vectors: 4 GiB.
const MAX_VALUES: usize = 1 << 30;
/// Longest n-gram of characters.
const MAX_CHARACTERS: usize = 16;
/// Most directions that are taken away.
const MAX_COMMON: usize = 16;

/// Vectors of words (Mikolov et al. 2013, "Distributed representations of words and phrases and their
/// compositionality"), of unknown words from their n-grams (Bojanowski et al. 2017, "Enriching word vectors
/// with subword information"), and of a text as the weighted sum over its words less what all texts share
/// (Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorsConfig {
    /// Values of a vector.
    pub dimensions: usize,
    /// Words known.
    pub words: usize,
    /// Buckets of n-grams of characters; 0 where an unknown word counts for nothing.
    pub subwords: usize,
    /// Shortest n-gram of characters.
    pub min_characters: usize,
    /// Longest n-gram of characters.
    pub max_characters: usize,
    /// Directions taken away from a text's vector.
    pub common: usize,
    /// A word that comes n times counts 1 + ln n times, not n.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub damped: bool,
}

impl VectorsConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        let within =
            |what: &str, value: usize, least: usize, most: usize| match (least..=most).contains(&value) {
                true => Ok(()),
                false => Err(format!("architecture: {what} is {value}, not between {least} and {most}")),
            };
        within("dimensions", self.dimensions, 1, MAX_DIMENSIONS)?;
        within("words", self.words, 1, MAX_ROWS)?;
        within("subwords", self.subwords, 0, MAX_ROWS)?;
        within("common", self.common, 0, MAX_COMMON.min(self.dimensions))?;
        if self.dimensions * (self.words + self.subwords) > MAX_VALUES {
            return Err(format!("architecture: more than {MAX_VALUES} values in all vectors"));
        }
        if self.subwords > 0 {
            within("max_characters", self.max_characters, 1, MAX_CHARACTERS)?;
            within("min_characters", self.min_characters, 1, self.max_characters)?;
        }
        Ok(())
    }
}

/// An encoder that others have trained, taken over from a directory of Hugging Face's form: BERT (Devlin et al.
/// 2019) and its kin. Layer normalisation comes after each part, its way around it added; positions are learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// The family, as its `config.json` names it.
    pub family: String,
    /// Tokens known.
    pub vocabulary: usize,
    /// Values a token, and of a text's vector.
    pub width: usize,
    /// Attention heads; they divide the width.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// Values inside a layer's feed-forward part.
    pub feed_forward: usize,
    /// Places that are known.
    pub positions: usize,
    /// How the rows of a text become one vector.
    pub pooling: TextPooling,
    /// How places are told apart where they are not learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary: Option<RotaryConfig>,
    /// How distances between tokens are told apart, where attention reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative: Option<RelativeConfig>,
    /// What reads the rows; nothing where the text's vector is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<EncoderHead>,
}

/// What makes an answer of an encoder's rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum EncoderHead {
    /// One label a text: a dense layer over its vector, a function of that, and a dense layer to the labels.
    Labels {
        /// The function.
        activation: HeadActivation,
    },
    /// One label a text: a dense layer over its vector.
    Linear,
    /// One tag a token, of which names are made: a dense layer to the tags. They are none, and for each label the
    /// first token of a name and a later one.
    Tags {
        /// Names of a probability above this may be chosen.
        threshold: f32,
    },
}

/// A function between the two dense layers of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadActivation {
    /// The hyperbolic tangent.
    Tanh,
    /// The larger of 0 and x.
    Relu,
    /// The Gaussian error linear unit, normalised behind it.
    Gelu,
    /// The same without a normalisation.
    #[serde(rename = "gelu-alone")]
    GeluAlone,
}

/// Places as angles that queries and keys are turned by (ModernBERT, Warner et al. 2024): one layer in some sees the whole
/// text, the others what is near by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotaryConfig {
    /// What the angles of layers that see the whole text fall with.
    pub base: f32,
    /// What those of the others fall with.
    pub local_base: f32,
    /// Tokens on either side that those see.
    pub reach: usize,
    /// The first layer and every so many from it on see the whole text.
    pub every: usize,
}

/// Distances between tokens, of which attention has learned keys and queries (DeBERTa, He et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeConfig {
    /// Distances that are told apart on either side.
    pub span: usize,
    /// Distances up to half the span are each their own, larger ones up to this fall together by their logarithm; without it
    /// each is its own up to the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
    /// Whether there are keys of distances.
    pub keys: bool,
    /// Whether there are queries of distances.
    pub queries: bool,
    /// Whether tokens have learned values of their places besides.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub places: bool,
}

/// Most tokens of a text where distances are read: there is a value for each pair of tokens.
const MAX_RELATIVE: usize = 4096;

/// How the rows of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextPooling {
    /// Their mean.
    Mean,
    /// The first, which stands for all.
    Cls,
}

impl EncoderConfig {
    pub(crate) fn check(&self) -> Result<(), String> {
        let within = |what: &str, value: usize, most: usize| match (1..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("architecture: {what} is {value}, not between 1 and {most}")),
        };
        within("vocabulary", self.vocabulary, 1 << 20)?;
        within("width", self.width, MAX_DIMENSIONS)?;
        within("heads", self.heads, self.width)?;
        within("layers", self.layers, 128)?;
        within("feed_forward", self.feed_forward, 1 << 16)?;
        within("positions", self.positions, 1 << 16)?;
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!(
                "architecture: {} heads do not divide a width of {}",
                self.heads, self.width
            ));
        }
        if let Some(RotaryConfig { base, local_base, every, .. }) = self.rotary {
            within("rotary.every", every, 128)?;
            if ![base, local_base].iter().all(|base| base.is_finite() && *base >= 1.0) {
                return Err(
                    "architecture: rotary.base and rotary.local_base are not numbers from 1 on".to_string()
                );
            }
            if !self.width.is_multiple_of(2 * self.heads) {
                return Err(format!(
                    "architecture: a width of {} has no pairs in {} heads",
                    self.width, self.heads
                ));
            }
        }
        if let Some(RelativeConfig { span, most, .. }) = self.relative {
            within("relative.span", span, MAX_RELATIVE)?;
            within("positions", self.positions, MAX_RELATIVE)?;
            if self.rotary.is_some() {
                return Err("architecture: places are angles or distances, not both".to_string());
            }
            if most.is_some_and(|most| !(3.max(span / 2 + 2)..=1 << 16).contains(&most)) {
                return Err(format!(
                    "architecture: relative.most is not from half the span of {span} to 65536"
                ));
            }
        }
        if let Some(EncoderHead::Tags { threshold }) = self.head
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(format!("architecture: threshold is {threshold}, not between 0 and 1"));
        }
        let distances = self.relative.map_or(0, |relative| 4 * relative.span);
        let layer = self.width * (4 * self.width + 2 * self.feed_forward + distances);
        if self.width * (self.vocabulary + self.positions) + self.layers * layer > MAX_VALUES {
            return Err(format!("architecture: more than {MAX_VALUES} values"));
        }
        Ok(())
    }
}

/// How well questions find their answers among all answers of a split, by the vectors alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalMetrics {
    /// Questions asked.
    pub questions: usize,
    /// Texts that were looked among.
    pub texts: usize,
    /// Normalised discounted cumulative gain of the first ten, a question's own answer the only right one.
    pub ndcg_at_10: f64,
    /// Mean of one over the place of the own answer.
    pub mean_reciprocal_rank: f64,
    /// Share of the questions whose own answer is among the first ten.
    pub recall_at_10: f64,
    /// The same gain by words alone (BM25, Robertson and Zaragoza 2009).
    pub ndcg_at_10_of_words: f64,
    /// The same gain by both, their places fused (Cormack, Clarke and Buettcher 2009).
    pub ndcg_at_10_fused: f64,
}
