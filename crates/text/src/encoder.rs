//! From a record to what the networks read.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::adopted_tokenizer::AdoptedTokenizer;
use super::fields;
use super::record::Record;
use super::red_flags::laid_out;
use super::terms::{self, Term};
use super::tokenizer::{Tokenizer, Tokens};
use model::PackageError;
use model::manifest::{Architecture, BagConfig, RecordInput};

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
    tokenizer: Cutter,
    bag: Option<BagConfig>,
}

/// What cuts a note into tokens.
#[derive(Clone)]
enum Cutter {
    Own(Box<Tokenizer>),
    Adopted(Box<AdoptedTokenizer>),
}

impl Encoder {
    /// For the model that `input` and `architecture` describe.
    pub fn new(input: RecordInput, architecture: &Architecture, tokenizer: Tokenizer) -> Encoder {
        let bag = match architecture {
            Architecture::Bag(config) => Some(config.clone()),
            _ => None,
        };
        Encoder { input, tokenizer: Cutter::Own(Box::new(tokenizer)), bag }
    }

    /// For an encoder that others have trained, with its own tokenizer.
    pub fn adopted(input: RecordInput, tokenizer: AdoptedTokenizer) -> Encoder {
        Encoder { input, tokenizer: Cutter::Adopted(Box::new(tokenizer)), bag: None }
    }

    /// For the model that `input` and `architecture` describe, with the tokenizer of the package in `folder`.
    ///
    /// # Errors
    /// A tokenizer that does not fit.
    pub fn read(
        folder: &Path,
        input: RecordInput,
        architecture: &Architecture,
    ) -> Result<Encoder, PackageError> {
        match architecture {
            Architecture::Encoder(config) => {
                Ok(Encoder::adopted(input, AdoptedTokenizer::read(folder, config.vocabulary)?))
            }
            other => Ok(Encoder::new(input, other, Tokenizer::read(folder, other)?)),
        }
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
        let read = self.excerpt(record);
        let note = read.as_ref();
        // A bag reads n-grams, of all there are: its tokens are only counted.
        let most = if self.bag.is_some() { usize::MAX } else { self.input.max_tokens };
        let mut tokens = match &self.tokenizer {
            Cutter::Own(tokenizer) => tokenizer.encode(note, most)?,
            Cutter::Adopted(tokenizer) => tokenizer.encode_ends(note, most)?,
        };
        if note.len() < record.note.len() {
            // The middle was not counted: the estimate keeps `truncated` true and `tokens` fair.
            let share = record.note.len() as f64 / note.len().max(1) as f64;
            tokens.total = ((tokens.total as f64 * share) as usize).max(tokens.ids.len() + 1);
        }
        if tokens.ids.is_empty() {
            // Only what normalisation removes: one padding token stands for it.
            tokens = Tokens { ids: vec![0], total: 1 };
        }
        let (words, characters) = match &self.bag {
            Some(bag) => {
                let text = self.normalise(note)?;
                (terms::words(&text, bag.words), terms::characters(&text, bag.characters))
            }
            None => (Vec::new(), Vec::new()),
        };
        let fields = fields::encode(&self.input.fields, &record.fields);
        Ok(Encoded { tokens, words, characters, fields })
    }

    /// What is read of a record's note, normalised, for what reads words beside the network.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn text(&self, record: &Record) -> tokenizers::Result<String> {
        self.normalise(&self.excerpt(record))
    }

    /// A note as it is read beside the network.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn normalise(&self, note: &str) -> tokenizers::Result<String> {
        match &self.tokenizer {
            Cutter::Own(tokenizer) => tokenizer.normalise(note),
            Cutter::Adopted(tokenizer) => tokenizer.normalise(note),
        }
    }

    /// Where stretches of [`Encoder::text`], in bytes, stand in the record's note, in code points; nothing of an adopted
    /// encoder, which cannot say what its answer is made of.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn places(
        &self,
        record: &Record,
        stretches: &[Range<usize>],
    ) -> tokenizers::Result<Vec<Range<usize>>> {
        match &self.tokenizer {
            Cutter::Own(tokenizer) => tokenizer.places(&self.excerpt(record), stretches),
            Cutter::Adopted(_) => Ok(Vec::new()),
        }
    }

    /// As [`Encoder::text`], with marks for the layout of the note, where it has any ([`laid_out`]): rules read by lines and by
    /// cells.
    ///
    /// # Errors
    /// As [`Encoder::text`].
    pub fn layout(&self, record: &Record) -> tokenizers::Result<Option<String>> {
        laid_out(&self.excerpt(record)).map(|text| self.normalise(&text)).transpose()
    }

    /// Far beyond what any model reads; keeps the work on one note within bounds.
    fn excerpt<'a>(&self, record: &'a Record) -> Cow<'a, str> {
        excerpt(&record.note, self.input.max_tokens.saturating_mul(64).max(1 << 16))
    }
}

/// Of a note longer than `limit` bytes the first three quarters of `limit` and the last quarter,
/// a line break between them, as [`Tokenizer::encode`] takes tokens.
fn excerpt(note: &str, limit: usize) -> Cow<'_, str> {
    if note.len() <= limit {
        return Cow::Borrowed(note);
    }
    let tail = limit / 4;
    let head = &note[..note.floor_char_boundary(limit - tail)];
    // One byte less than a quarter, for the line break.
    let tail = &note[note.ceil_char_boundary(note.len() + 1 - tail)..];
    Cow::Owned(format!("{head}\n{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::manifest::NGrams;

    /// An encoder that reads at most eight tokens, of a bag or of a network over tokens.
    fn encoder(bag: bool) -> Encoder {
        let notes = ["chest pain", "and so on", "discharged home", "resuscitation failed"];
        let tokenizer = Tokenizer::train(notes.into_iter(), 400).unwrap();
        let words = NGrams { min: 1, max: 1, scale: 1.0 };
        let bag = bag.then_some(BagConfig {
            words,
            characters: NGrams { max: 0, ..words },
            ngrams: 0,
            inverse_document_frequency: false,
            field_scale: 1.0,
            trees: None,
        });
        Encoder {
            input: RecordInput { max_tokens: 8, fields: Vec::new() },
            tokenizer: Cutter::Own(Box::new(tokenizer)),
            bag,
        }
    }

    fn encode(bag: bool, note: String) -> Encoded {
        encoder(bag).encode(&Record { note, fields: Vec::new() }).unwrap()
    }

    /// Guards against reading the beginning alone: a long note's end says what was concluded.
    #[test]
    fn the_end_of_the_longest_note_is_read() {
        let note = |end: &str| format!("chest pain {}{end}", "and so on 好 ".repeat(20_000));
        for bag in [false, true] {
            let (home, dead) =
                (encode(bag, note("discharged home")), encode(bag, note("resuscitation failed")));
            assert!(home.tokens.truncated() && dead.tokens.truncated());
            let differs = if bag { home.words != dead.words } else { home.tokens.ids != dead.tokens.ids };
            assert!(differs, "bag: {bag}");
            // The estimate of the number of tokens is fair.
            let counted = encode(true, note("").chars().take(50_000).collect()).tokens.total;
            let ratio = home.tokens.total as f64 / counted as f64;
            assert!((ratio / (note("").chars().count() as f64 / 50_000.0) - 1.0).abs() < 0.1, "{ratio}");
        }
    }

    #[test]
    fn truncated_says_that_something_was_not_read() {
        let note = "and so on ".repeat(100);
        assert!(encode(false, note.clone()).tokens.truncated());
        // A bag reads the n-grams of all of it.
        assert!(!encode(true, note).tokens.truncated());
    }

    #[test]
    fn an_excerpt_fits_and_is_whole_characters() {
        let note = "好".repeat(50_000);
        for limit in 99_990..100_000 {
            let read = excerpt(&note, limit);
            assert!(read.len() <= limit && read.len() > limit - 8, "{} of {limit}", read.len());
        }
        assert_eq!(excerpt("short", 5), "short");
    }
}
