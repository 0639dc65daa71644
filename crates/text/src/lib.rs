//! Text: from a record (a note and its fields) to the logits of a network.
//!
//! [`record`] checks what a client sends against what the manifest names. [`encoder`] makes it
//! into what the networks read: tokens, hashed n-grams, and the fields as numbers. [`network`]
//! builds the architecture that a manifest describes, to train and to serve. Training and serving
//! go through the very same functions.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod adopted_tokenizer;
pub mod bag;
pub mod embedder;
pub mod encoder;
pub mod evidence;
pub mod extractor;
pub mod familiarity;
pub mod fields;
#[cfg(test)]
mod golden;
pub mod language;
mod lstm;
pub mod network;
pub mod pretrained;
pub mod record;
pub mod red_flags;
mod scripts;
pub mod search;
mod simplified;
pub mod tagger;
pub mod terms;
pub mod tokenizer;
mod transformer;
pub mod trees;
pub mod vectors;

pub use embedder::Embedder;
pub use encoder::{Encoded, Encoder};
pub use evidence::Evidence;
pub use extractor::Extractor;
pub use familiarity::Familiarity;
pub use language::Language;
pub use record::{FieldError, FieldValue, Record};
pub use red_flags::{FlagValue, RedFlag, RedFlags};
pub use tagger::Tagger;
pub use tokenizer::Tokenizer;
