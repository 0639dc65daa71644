//! From a record to what the networks read.

use std::sync::Arc;

use super::fields;
use super::record::Record;
use super::terms::{self, Term};
use super::tokenizer::{Tokenizer, Tokens};
use crate::model::manifest::{Architecture, BagConfig, RecordInput};

/// One record, ready for a network. Cheap to clone and to send between threads.
pub type Example = Arc<Encoded>;

/// What the networks read of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// The note's tokens, never empty.
    pub tokens: Tokens,
    /// Word n-grams, for a bag.
    pub words: Vec<Term>,
    /// Character n-grams, for a bag.
    pub characters: Vec<Term>,
    /// The fields' inputs.
    pub fields: Vec<f32>,
}

/// Makes records into [`Encoded`]: by the server for requests and by training for its examples.
#[derive(Clone)]
pub struct Encoder {
    input: RecordInput,
    tokenizer: Tokenizer,
    bag: Option<BagConfig>,
}

impl Encoder {
    /// For the model that `input` and `architecture` describe.
    pub fn new(input: RecordInput, architecture: &Architecture, tokenizer: Tokenizer) -> Encoder {
        let bag = match architecture {
            Architecture::Bag(config) => Some(config.clone()),
            _ => None,
        };
        Encoder { input, tokenizer, bag }
    }

    /// What the manifest says of the input.
    pub fn input(&self) -> &RecordInput {
        &self.input
    }

    /// Encodes a record that was parsed for this model.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn encode(&self, record: &Record) -> tokenizers::Result<Encoded> {
        // Far beyond what any model reads; keeps the work on one note within bounds.
        let note = head(&record.note, self.input.max_tokens.saturating_mul(64).max(1 << 16));
        let mut tokens = self.tokenizer.encode(note, self.input.max_tokens)?;
        if note.len() < record.note.len() {
            // Not counted to the end: the estimate keeps `truncated` true and `tokens` fair.
            let share = record.note.len() as f64 / note.len().max(1) as f64;
            tokens.total = ((tokens.total as f64 * share) as usize).max(tokens.ids.len() + 1);
        }
        if tokens.ids.is_empty() {
            // Only what normalisation removes: one padding token stands for it.
            tokens = Tokens { ids: vec![0], total: 1 };
        }
        let (words, characters) = match &self.bag {
            Some(bag) => {
                let text = self.tokenizer.normalise(note)?;
                (terms::words(&text, bag.words), terms::characters(&text, bag.characters))
            }
            None => (Vec::new(), Vec::new()),
        };
        let fields = fields::encode(&self.input.fields, &record.fields);
        Ok(Encoded { tokens, words, characters, fields })
    }
}

/// The longest beginning of `note` within `limit` bytes.
fn head(note: &str, limit: usize) -> &str {
    if note.len() <= limit {
        return note;
    }
    let end = (0..=limit).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    &note[..end]
}
