//! Names by an encoder that others have trained to tag tokens.
//!
//! Its tags are those of words: what the first piece of a word says holds for the word, as it was trained (Devlin et al.
//! 2019, section 5.3). Words are ours (`tokens`), so that places and measures are those of every other tagger. The tags of
//! a text are read as a chain in which nothing says anything of neighbors, save that the inside of a name follows its
//! beginning: every name then has its exact probability, and those are chosen as for any chain (`model`). A text that is
//! longer than the encoder reads is cut into parts at the ends of sentences.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::super::adopted_tokenizer::{AdoptedTokenizer, Piece};
use super::super::network::numbers;
use super::super::pretrained;
use super::chain::{Chain, Span, Tags, select};
use super::document::{Document, Said, Window, sentences};
use super::model::{Entity, Found};
use super::tokens::{Token, tokens};
use model::manifest::{EncoderConfig, EncoderHead, Precision};
use nn::{Params, SequenceInput, SequenceNetwork, SequencePlan};

/// Names less probable than this are not looked at.
const LEAST: f64 = 0.05;

/// See the module's introduction. Clones share the weights; each has memory of its own.
#[derive(Clone)]
pub struct EncoderTagger {
    tokenizer: Arc<AdoptedTokenizer>,
    plan: Box<SequencePlan>,
    chain: Arc<Chain>,
    positions: usize,
    temperature: f32,
    threshold: f64,
}

impl EncoderTagger {
    /// One of `labels` labels, its dense layers computed in `precision`; scores are as they are ([`EncoderTagger::at`]).
    ///
    /// # Errors
    /// Weights that do not fit the sizes; fewer places than a word needs.
    pub fn new(
        config: &EncoderConfig,
        labels: usize,
        weights: BTreeMap<String, Tensor>,
        tokenizer: AdoptedTokenizer,
        precision: Precision,
    ) -> Result<EncoderTagger> {
        let Some(EncoderHead::Tags { threshold }) = config.head else { bail!("the encoder tags no tokens") };
        if config.positions <= tokenizer.before().len() + tokenizer.behind().len() {
            bail!("the encoder knows {} places, which are too few for a word", config.positions)
        }
        let tags = Tags { labels };
        let mut params = Params::frozen(weights);
        let network = SequenceNetwork::new(pretrained::tagger(config, tags.count())?, &mut params)?;
        params.finish()?;
        let chain = Chain::new(tags, &vec![0.0; tags.count() * tags.count()]);
        Ok(EncoderTagger {
            tokenizer: Arc::new(tokenizer),
            plan: Box::new(network.plan_as(numbers(precision))?),
            chain: Arc::new(chain),
            positions: config.positions,
            temperature: 1.0,
            threshold: f64::from(threshold),
        })
    }

    /// The same, whose scores are divided by `temperature`.
    #[must_use]
    pub fn at(self, temperature: f32) -> EncoderTagger {
        EncoderTagger { temperature, ..self }
    }

    /// The text as the encoder reads it, at most `most` words of it.
    ///
    /// # Errors
    /// What the tokenizer reports.
    pub fn read_text(&self, text: &str, most: usize) -> tokenizers::Result<Document> {
        let mut cut = tokens(text);
        let unread = cut.len().saturating_sub(most);
        cut.truncate(most);
        let read = cut.last().map_or("", |last| &text[..last.bytes.end]);
        let pieces = self.tokenizer.pieces(read)?;
        let (tokens, firsts) = words(cut, &pieces);
        let lowers: Vec<String> =
            tokens.iter().map(|token| text[token.bytes.clone()].to_lowercase()).collect();
        let sentences = sentences(text, &tokens, &lowers);
        let windows = self.windows(&pieces, &firsts, &sentences);
        // A word without pieces, such as a mark of direction alone, is none to the encoder; what was cut off was not read.
        let total = tokens.len() + unread;
        let said = Said::read(text, &tokens, &lowers, &sentences);
        Ok(Document { tokens, lowers, sentences, said, features: Vec::new(), total, windows })
    }

    /// The parts of a text: as many whole sentences as there is room for, or of a longer one as many words.
    fn windows(&self, pieces: &[Piece], firsts: &[usize], sentences: &[Range<usize>]) -> Vec<Window> {
        let (before, behind) = (self.tokenizer.before(), self.tokenizer.behind());
        let room = self.positions - before.len() - behind.len();
        // What stands before the first word is read with it, unless that leaves no room for the word.
        let first = |word: usize| match firsts.get(word) {
            Some(piece) if word == 0 && *piece < room => 0,
            Some(piece) => *piece,
            None => pieces.len(),
        };
        let ends: Vec<usize> = sentences.iter().map(|sentence| sentence.end).collect();
        let mut windows = Vec::new();
        let mut start = 0;
        while start < firsts.len() {
            let from = first(start);
            let mut end = start + 1;
            while end < firsts.len() && first(end + 1) <= from + room {
                end += 1;
            }
            if end < firsts.len() {
                let whole = ends.partition_point(|place| *place <= end);
                end = ends[..whole].last().copied().filter(|place| *place > start).unwrap_or(end);
            }
            let own = &pieces[from..first(end).min(from + room)];
            let ids = before.iter().copied().chain(own.iter().map(|piece| piece.id));
            windows.push(Window {
                tokens: start..end,
                ids: ids.chain(behind.iter().copied()).collect(),
                firsts: firsts[start..end].iter().map(|piece| before.len() + piece - from).collect(),
            });
            start = end;
        }
        windows
    }

    /// What the network says of every word of each text that [`EncoderTagger::read_text`] has read: (words, tags), row after
    /// row.
    ///
    /// # Errors
    /// Texts that were read for another model; scores that are no numbers.
    pub fn scores(&mut self, documents: &[Arc<Document>]) -> Result<Vec<Vec<f32>>> {
        let windows = || documents.iter().flat_map(|document| &document.windows);
        let inputs: Vec<SequenceInput> =
            windows().map(|window| SequenceInput { tokens: &window.ids, values: &[] }).collect();
        let tags = self.chain.tags().count();
        let mut rows = self.plan.logits(&inputs)?.into_iter();
        let mut all = Vec::with_capacity(documents.len());
        for document in documents {
            let mut scores = Vec::with_capacity(document.tokens.len() * tags);
            for (window, rows) in document.windows.iter().zip(rows.by_ref()) {
                for place in &window.firsts {
                    scores.extend_from_slice(&rows[place * tags..][..tags]);
                }
            }
            if scores.iter().any(|score| !score.is_finite()) {
                bail!("a score of a token is no number")
            }
            all.push(scores);
        }
        Ok(all)
    }

    /// What is found in texts that [`EncoderTagger::read_text`] has read.
    ///
    /// # Errors
    /// As [`EncoderTagger::scores`].
    pub fn find(&mut self, documents: &[Arc<Document>]) -> Result<Vec<Found>> {
        let scores = self.scores(documents)?;
        Ok(documents.iter().zip(&scores).map(|(document, scores)| self.names(document, scores)).collect())
    }

    /// The names of a text by what is said of its words.
    pub fn names(&self, document: &Document, scores: &[f32]) -> Found {
        let tags = self.chain.tags().count();
        let mut found = Found::default();
        for window in &document.windows {
            let Range { start, end } = window.tokens;
            let own: Vec<f32> =
                scores[start * tags..end * tags].iter().map(|score| score / self.temperature).collect();
            let likely = document.freed(self.chain.likely(&self.chain.sums(&own, None), LEAST), start);
            let chosen = select(&likely, end - start, self.threshold);
            let placed = |span: Span| Span { start: start + span.start, end: start + span.end, ..span };
            let names: Vec<Span> = chosen.iter().map(|(span, _)| placed(*span)).collect();
            for (span, (_, probability)) in names.iter().zip(chosen) {
                found.entities.push(Entity {
                    span: *span,
                    probability: probability.min(1.0),
                    assertion: document.said(*span, &names, None),
                });
            }
        }
        found
    }
}

/// The words that have a piece of their own, and of each the first one. Words that share a piece are one; a word without
/// a piece, which the tokenizer does not see, is none.
fn words(cut: Vec<Token>, pieces: &[Piece]) -> (Vec<Token>, Vec<usize>) {
    let (mut words, mut firsts) = (Vec::new(), Vec::new());
    let mut cut = cut.into_iter().peekable();
    for (number, piece) in pieces.iter().enumerate() {
        while cut.next_if(|token| token.bytes.end <= piece.bytes.start).is_some() {}
        let Some(mut word) = cut.next_if(|token| token.bytes.start < piece.bytes.end) else { continue };
        while let Some(next) = cut.next_if(|token| token.bytes.start < piece.bytes.end) {
            (word.end, word.bytes.end) = (next.end, next.bytes.end);
        }
        words.push(word);
        firsts.push(number);
    }
    (words, firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start: usize, end: usize) -> Piece {
        Piece { id: 7, bytes: start..end }
    }

    #[test]
    fn words_take_their_first_piece_and_share_one_where_they_must() {
        // A blank before a piece, a piece of two words, a word of two pieces, a word that no piece shows.
        let text = "no 5-HT pain \u{fffd} x";
        let pieces = [piece(0, 2), piece(2, 5), piece(5, 7), piece(7, 10), piece(10, 12), piece(17, 18)];
        let (words, firsts) = words(tokens(text), &pieces);
        let read: Vec<&str> = words.iter().map(|word| &text[word.bytes.clone()]).collect();
        assert_eq!(read, ["no", "5-", "HT", "pain", "x"]);
        assert_eq!(firsts, [0, 1, 2, 3, 5]);
        let characters: Vec<char> = text.chars().collect();
        for word in &words {
            let told: String = characters[word.start..word.end].iter().collect();
            assert_eq!(told, text[word.bytes.clone()]);
        }
    }
}
