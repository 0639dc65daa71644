//! The tokenizer: trained on the training notes alone, kept in `tokenizer.json`.
//!
//! Traditional Chinese characters are read as simplified ones (`simplified`). Normalisation (NFKC, lower case, control characters to blanks) is part of that file. Tokens
//! are byte pairs (Sennrich et al. 2016) over the bytes of UTF-8, so any text, in any script,
//! has tokens and nothing is lost to an unknown one; what was frequent in training has short
//! codes, what was not has long ones. Id 0 is kept for padding.

use std::ops::Range;
use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFKC, NormalizerWrapper, Replace, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::normalizer;
use tokenizers::{AddedToken, NormalizedString, Normalizer, TokenizerBuilder, TokenizerImpl};

use super::simplified::Simplifier;
use model::manifest::Architecture;
use model::{PackageError, package};

/// The padding token, which no note can write: its text is never looked for.
const PADDING: &str = "<pad>";

type Inner = TokenizerImpl<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>;

/// A trained tokenizer. See the module's introduction.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    simplifier: Simplifier,
}

/// A note as the network reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Ids in order; at most as many as the model reads.
    pub ids: Vec<u32>,
    /// Tokens of the whole note.
    pub total: usize,
}

impl Tokens {
    /// True where the note is longer than the model reads.
    pub fn truncated(&self) -> bool {
        self.total > self.ids.len()
    }
}

impl Tokenizer {
    /// Learns at most `vocabulary` tokens from `notes`.
    ///
    /// # Errors
    /// What the library reports.
    pub fn train<'a>(
        notes: impl Iterator<Item = &'a str> + Send,
        vocabulary: usize,
    ) -> tokenizers::Result<Tokenizer> {
        let byte_level = ByteLevel::new(false, false, true);
        let mut inner: Inner = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(Some(normalizer()?))
            .with_pre_tokenizer(Some(byte_level))
            .with_post_processor(Some(byte_level))
            .with_decoder(Some(byte_level))
            .build()?;
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(vec![AddedToken::from(PADDING, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            // Longer ones are whole phrases of single patients.
            .max_token_length(Some(24))
            .build();
        inner.train(&mut trainer, notes)?;
        // Saved and read again, so that training works with the very thing serving loads.
        let json = inner.to_string(false)?;
        Tokenizer::parse(json.as_bytes())
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> tokenizers::Result<Tokenizer> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json)?;
        // Both are the server's, by the manifest: one of the file's own could make any note any length.
        if inner.get_padding().is_some() || inner.get_truncation().is_some() {
            return Err("it pads or truncates; its \"padding\" and \"truncation\" must be null".into());
        }
        inner.set_encode_special_tokens(true);
        Ok(Tokenizer { inner, simplifier: Simplifier::new() })
    }

    /// Reads the `tokenizer.json` of the package in `folder`, whose network is `architecture`.
    ///
    /// # Errors
    /// The file, and what is wrong with it; tokens that are not those the network has values for.
    pub fn read(folder: &Path, architecture: &Architecture) -> Result<Tokenizer, PackageError> {
        let file = folder.join(package::TOKENIZER);
        let bytes = package::read(&file)?;
        let tokenizer = Tokenizer::parse(&bytes).map_err(|e| PackageError::new(&file, e))?;
        let known = match architecture {
            Architecture::Lstm(config) => config.vocabulary,
            Architecture::Transformer(config) => config.vocabulary,
            _ => return Ok(tokenizer),
        };
        match tokenizer.ids() == known {
            true => Ok(tokenizer),
            false => {
                let reason = format!("it has {} tokens; the network was made for {known}", tokenizer.ids());
                Err(PackageError::new(&file, reason))
            }
        }
    }

    /// The content of `tokenizer.json`.
    ///
    /// # Errors
    /// What the library reports.
    pub fn to_json(&self) -> tokenizers::Result<String> {
        self.inner.to_string(false)
    }

    /// Number of tokens, padding included.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The text of a token, blanks around it with it; none where there is no such token, or where it is not whole
    /// characters.
    pub fn text_of(&self, id: u32) -> Option<String> {
        let text = self.inner.decode(&[id], false).ok()?;
        if text.is_empty() || text.contains('\u{fffd}') { None } else { Some(text) }
    }

    /// The library's tokenizer.
    pub(crate) fn into_inner(self) -> tokenizers::Tokenizer {
        self.inner
    }

    /// One more than the highest id.
    fn ids(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The note as it is before it is cut into tokens.
    ///
    /// # Errors
    /// What the library reports.
    pub fn normalise(&self, note: &str) -> tokenizers::Result<String> {
        normalise(&self.simplifier, self.inner.get_normalizer(), note)
    }

    /// Where stretches of the normalised note, in bytes, stand in the note, in Unicode code points.
    ///
    /// # Errors
    /// What the library reports.
    pub fn places(&self, note: &str, stretches: &[Range<usize>]) -> tokenizers::Result<Vec<Range<usize>>> {
        // One character for one: places in code points are the note's own.
        let simple = self.simplifier.simplify(note);
        let mut text = NormalizedString::from(simple.as_ref());
        if let Some(normalizer) = self.inner.get_normalizer() {
            normalizer.normalize(&mut text)?;
        }
        let mut points = vec![0; simple.len() + 1];
        for (number, (at, _)) in simple.char_indices().enumerate() {
            points[at] = number;
        }
        points[simple.len()] = simple.chars().count();
        let place = |stretch: &Range<usize>| {
            let bytes = text.convert_offsets(normalizer::Range::Normalized(stretch.clone())).unwrap_or(0..0);
            points[bytes.start.min(simple.len())]..points[bytes.end.min(simple.len())]
        };
        Ok(stretches.iter().map(place).collect())
    }

    /// The note's tokens; of more than `limit`, the first three quarters of `limit` and the last
    /// quarter, as a note's beginning says why someone came and its end what was concluded.
    ///
    /// # Errors
    /// What the library reports.
    pub fn encode(&self, note: &str, limit: usize) -> tokenizers::Result<Tokens> {
        let encoding = self.inner.encode_fast(self.simplifier.simplify(note).as_ref(), false)?;
        let ids = encoding.get_ids();
        let total = ids.len();
        if total <= limit {
            return Ok(Tokens { ids: ids.to_vec(), total });
        }
        let tail = limit / 4;
        let ids = [&ids[..limit - tail], &ids[total - tail..]].concat();
        Ok(Tokens { ids, total })
    }
}

/// A note as it is before it is cut into tokens: simplified, and what `normalizer` makes of that.
pub(crate) fn normalise(
    simplifier: &Simplifier,
    normalizer: Option<&NormalizerWrapper>,
    note: &str,
) -> tokenizers::Result<String> {
    let mut text = NormalizedString::from(simplifier.simplify(note).as_ref());
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut text)?;
    }
    Ok(text.get().to_string())
}

/// What our tokenizers do to a note first.
pub(crate) fn normalizer() -> tokenizers::Result<NormalizerWrapper> {
    let controls = Replace::new(ReplacePattern::Regex(r"\p{Cc}+".to_string()), " ")?;
    Ok(NormalizerWrapper::Sequence(Sequence::new(vec![
        NormalizerWrapper::NFKC(NFKC),
        NormalizerWrapper::Lowercase(Lowercase),
        NormalizerWrapper::Replace(controls),
    ])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOTES: [&str; 4] =
        ["chest pain for two days", "chest pain and dyspnea", "胸痛两天,呼吸困难", "胸痛"];

    fn tokenizer() -> Tokenizer {
        Tokenizer::train(NOTES.into_iter(), 400).unwrap()
    }

    #[test]
    fn training_is_deterministic() {
        assert_eq!(tokenizer().to_json().unwrap(), tokenizer().to_json().unwrap());
    }

    #[test]
    fn a_tokenizer_of_another_vocabulary_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = tokenizer();
        std::fs::write(folder.path().join(package::TOKENIZER), tokenizer.to_json().unwrap()).unwrap();
        let read = |vocabulary| {
            let lstm = json!({"kind": "lstm", "vocabulary": vocabulary, "embedding": 8, "hidden": 8,
                              "bidirectional": true, "token_dropout": 0.0, "dropout": 0.0, "recurrent_dropout": 0.0});
            Tokenizer::read(folder.path(), &serde_json::from_value(lstm).unwrap())
        };
        assert!(read(tokenizer.vocabulary()).is_ok());
        for other in [tokenizer.vocabulary() - 1, tokenizer.vocabulary() + 1] {
            let error = read(other).err().unwrap().to_string();
            assert!(error.contains("tokenizer.json") && error.contains(&other.to_string()), "{error}");
        }
    }

    #[test]
    fn frequent_text_is_short_and_case_and_width_do_not_matter() {
        let tokenizer = tokenizer();
        let encode = |note| tokenizer.encode(note, 1000).unwrap();
        assert!(encode("chest pain").total <= 3, "{:?}", encode("chest pain"));
        assert_eq!(encode("chest pain"), encode("CHEST ｐａｉｎ"));
        assert_eq!(tokenizer.normalise("Ⅳ\u{0}Lt\r\n").unwrap(), "iv lt ");
    }

    #[test]
    fn the_padding_token_cannot_be_written_by_a_note() {
        let tokens = tokenizer().encode("a <pad> b", 100).unwrap();
        assert!(!tokens.ids.contains(&0), "{tokens:?}");
    }

    #[test]
    fn a_long_note_keeps_head_and_tail_and_says_so() {
        let tokenizer = tokenizer();
        let note = format!("chest {} dyspnea", "x ".repeat(300));
        let all = tokenizer.encode(&note, 10_000).unwrap();
        let cut = tokenizer.encode(&note, 40).unwrap();
        assert!(!all.truncated() && cut.truncated());
        assert_eq!(cut.total, all.total);
        assert_eq!(cut.ids.len(), 40);
        assert_eq!(cut.ids[..30], all.ids[..30]);
        assert_eq!(cut.ids[30..], all.ids[all.total - 10..]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(note in "\\PC{0,40}") {
            // Decoding gives back the normalised note, whatever the script.
            let tokenizer = tokenizer();
            let tokens = tokenizer.encode(&note, usize::MAX).unwrap();
            let decoded = tokenizer.inner.decode(&tokens.ids, false).unwrap();
            prop_assert_eq!(decoded, tokenizer.normalise(&note).unwrap());
        }
    }
}
