//! Names in a text: drugs, diseases, effects, what is said of them, and which belong together.
//!
//! [`tokens`] cuts a text, [`features`] describes every token by sparse features, [`lexicon`] adds
//! lists of names and classes of words, [`chain`] sums over all sequences of tags exactly,
//! [`assertion`] tells what is denied, supposed, history or somebody else's, of each of the text's [`clauses`], by [`statement`],
//! [`cues`] and how far they [`reach`], marks ([`signs`]) and [`answers`]; [`parts`] frees names of cues. [`limits`] says where a denial
//! is only of the time before, [`uses`] what one of a drug's use leaves of its harm, [`edges`] trims names. [`relations`] tells which
//! names belong together, [`ties`] where that is denied.
//! [`model`] is all of it as a package has it. `train::extract` fits it. [`encoder`] finds names by an encoder that others have
//! trained.

pub mod answers;
pub mod assertion;
pub mod chain;
mod clauses;
pub mod cues;
pub mod document;
mod edges;
pub mod encoder;
pub mod features;
pub mod lexicon;
mod limits;
pub mod model;
pub mod parts;
pub mod reach;
pub mod relations;
mod signs;
pub mod statement;
mod tells;
pub mod ties;
pub mod tokens;
mod uses;
mod words;

pub use document::Document;
pub use encoder::EncoderTagger;
pub use model::{Entity, Found, Link, Tagger};
