//! A tokenizer that others have trained, as its `tokenizer.json` has it: its tokens are those that its encoder was
//! trained on, whatever ours would have been.

use std::ops::Range;
use std::path::Path;

use tokenizers::normalizers::NormalizerWrapper;

use super::simplified::Simplifier;
use super::tokenizer::{Tokenizer, Tokens, normalise, normalizer};
use model::{PackageError, package};

/// See the module's introduction.
#[derive(Clone)]
pub struct AdoptedTokenizer {
    inner: tokenizers::Tokenizer,
    before: Vec<u32>,
    behind: Vec<u32>,
    normalizer: NormalizerWrapper,
    simplifier: Simplifier,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub id: u32,
    /// Its bytes of the text.
    pub bytes: Range<usize>,
}

impl AdoptedTokenizer {
    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> tokenizers::Result<AdoptedTokenizer> {
        let inner = Tokenizer::parse(json)?.into_inner();
        let bare = inner.encode_fast("a", false)?.get_ids().to_vec();
        let whole = inner.encode_fast("a", true)?.get_ids().to_vec();
        let at = (0..=whole.len().saturating_sub(bare.len())).find(|at| whole[*at..].starts_with(&bare));
        let Some(at) = at.filter(|_| !bare.is_empty()) else {
            return Err("it has no token for the letter \"a\"".into());
        };
        let (before, behind) = (whole[..at].to_vec(), whole[at + bare.len()..].to_vec());
        let (normalizer, simplifier) = (normalizer()?, Simplifier::new());
        Ok(AdoptedTokenizer { inner, before, behind, normalizer, simplifier })
    }

    /// Reads the `tokenizer.json` of the package in `folder`, whose network knows so many tokens.
    ///
    /// # Errors
    /// The file, and what is wrong with it; a token that the network has no values for.
    pub fn read(folder: &Path, known: usize) -> Result<AdoptedTokenizer, PackageError> {
        let file = folder.join(package::TOKENIZER);
        let tokenizer =
            AdoptedTokenizer::parse(&package::read(&file)?).map_err(|e| PackageError::new(&file, e))?;
        match tokenizer.ids() <= known {
            true => Ok(tokenizer),
            false => {
                let reason = format!("it has {} tokens; the network was made for {known}", tokenizer.ids());
                Err(PackageError::new(&file, reason))
            }
        }
    }

    /// One more than the highest id.
    pub fn ids(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Tokens that it sets before a text.
    pub fn before(&self) -> &[u32] {
        &self.before
    }

    /// Tokens that it sets behind a text.
    pub fn behind(&self) -> &[u32] {
        &self.behind
    }

    /// The tokens of a text, at most `most` with those before and behind it: of a longer text the first ones.
    ///
    /// # Errors
    /// What the library reports.
    pub fn encode(&self, text: &str, most: usize) -> tokenizers::Result<Tokens> {
        self.cut(text, most, 0)
    }

    /// As [`AdoptedTokenizer::encode`]; of a longer text three quarters are its first tokens and the others its last, as
    /// our own tokenizer cuts a note.
    ///
    /// # Errors
    /// What the library reports.
    pub fn encode_ends(&self, text: &str, most: usize) -> tokenizers::Result<Tokens> {
        self.cut(text, most, 4)
    }

    /// At most `most` tokens; of those that are read of a longer text, one in `tail` is of its end.
    fn cut(&self, text: &str, most: usize, tail: usize) -> tokenizers::Result<Tokens> {
        let encoding = self.inner.encode_fast(text, false)?;
        let ids = encoding.get_ids();
        let around = self.before.len() + self.behind.len();
        let room = ids.len().min(most.saturating_sub(around));
        let end = if room < ids.len() { room.checked_div(tail).unwrap_or(0) } else { 0 };
        let all = [&self.before[..], &ids[..room - end], &ids[ids.len() - end..], &self.behind].concat();
        Ok(Tokens { ids: all, total: ids.len() + around })
    }

    /// The tokens of a text with their places, without those before and behind it.
    ///
    /// # Errors
    /// What the library reports.
    pub fn pieces(&self, text: &str) -> tokenizers::Result<Vec<Piece>> {
        let encoding = self.inner.encode(text, false)?;
        let places = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(places.map(|(id, (start, end))| Piece { id: *id, bytes: *start..*end }).collect())
    }

    /// A note as our own tokenizers have it before it is cut, for what reads words beside the network.
    ///
    /// # Errors
    /// What the library reports.
    pub fn normalise(&self, note: &str) -> tokenizers::Result<String> {
        normalise(&self.simplifier, Some(&self.normalizer), note)
    }
}
