//! Which words and fields a bag's answer is made of, exactly.
//!
//! What is explained is the logit of one label less the mean over the labels. Of the linear model it
//! is a sum already, a part a column. Of the trees it is the change of the logarithm of their mean
//! share on the way from the roots to the leaves, shared out by the inputs that decided on the way
//! (Saabas 2014, "Interpreting random forests"); where a linear logit decided, by what that logit is
//! made of. So the parts and the base, which no word or field has a part in, sum to the logit. An
//! n-gram's part goes to its words in equal shares.

use std::collections::HashMap;
use std::ops::Range;

use super::bag::{Bag, beyond};
use super::encoder::Encoded;
use super::fields;
use super::terms;
use model::manifest::Field;

/// The parts of one label's logit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// What no word and no field has a part in.
    pub base: f64,
    /// Words, as bytes of the normalised note, in its order, with their parts.
    pub words: Vec<(Range<usize>, f64)>,
    /// Fields by their place among the manifest's, with their parts.
    pub fields: Vec<(usize, f64)>,
}

impl Evidence {
    /// The parts and the base together.
    pub fn sum(&self) -> f64 {
        let words: f64 = self.words.iter().map(|(_, part)| part).sum();
        self.base + words + self.fields.iter().map(|(_, part)| part).sum::<f64>()
    }
}

impl Bag {
    /// The parts of the logit of `label`, less the mean over the labels, for a record of the fields
    /// `of` whose normalised note is `text`.
    pub fn evidence(&self, record: &Encoded, text: &str, of: &[Field], label: usize) -> Evidence {
        let ngrams = self.table().hashes().len();
        let outside = beyond(of, ngrams);
        let row = self.table().vector(record);
        let labels = self.labels();
        let centred = |column: u32, value: f32, label: usize| {
            let weights = self.weights(column);
            let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / labels as f64;
            f64::from(value) * (f64::from(weights[label]) - mean)
        };
        let bias = |label: usize| {
            let mean = self.bias().iter().map(|b| f64::from(*b)).sum::<f64>() / labels as f64;
            f64::from(self.bias()[label]) - mean
        };
        let (part, forest) = match self.trees() {
            Some(forest) => (1.0 - super::trees::PART, Some(forest)),
            None => (1.0, None),
        };
        let mut base = part * bias(label);
        let mut columns: HashMap<u32, f64> = HashMap::new();
        for (column, value) in &row {
            let factor = if outside.binary_search(column).is_ok() { 1.0 } else { part };
            *columns.entry(*column).or_default() += factor * centred(*column, *value, label);
        }
        let mut of_fields = vec![0.0; of.len()];
        let places = fields::places(of);
        let field_of = |input: usize| places.iter().position(|place| place.contains(&input));
        if let Some(forest) = forest {
            let within: Vec<(u32, f32)> =
                row.iter().filter(|(column, _)| outside.binary_search(column).is_err()).copied().collect();
            let mut logits = self.bias().to_vec();
            for (column, value) in &within {
                logits.iter_mut().zip(self.weights(*column)).for_each(|(sum, weight)| *sum += value * weight);
            }
            let (root, parts) = forest.parts(&record.fields, &logits, label);
            base += root;
            for (input, part) in parts.into_iter().enumerate() {
                match forest.plain(input) {
                    Some(plain) => {
                        if let Some(field) = field_of(plain) {
                            of_fields[field] += part;
                        }
                    }
                    None => {
                        let other = input - forest.width();
                        let shares: Vec<f64> =
                            within.iter().map(|(column, value)| centred(*column, *value, other)).collect();
                        let total = bias(other) + shares.iter().sum::<f64>();
                        let size = bias(other).abs() + shares.iter().map(|share| share.abs()).sum::<f64>();
                        // Parts that all but cancel would blow up: then their sizes decide.
                        let share = |of: f64| match (total.abs() > 0.1 * size, size > 0.0) {
                            (true, _) => of / total,
                            (false, true) => of.abs() / size,
                            (false, false) => 0.0,
                        };
                        base += part * if size > 0.0 { share(bias(other)) } else { 1.0 };
                        for ((column, _), of) in within.iter().zip(shares) {
                            *columns.entry(*column).or_default() += part * share(of);
                        }
                    }
                }
            }
        }
        let mut by_hash: HashMap<u32, f64> = HashMap::new();
        for (column, part) in columns {
            match (column as usize).checked_sub(ngrams) {
                Some(input) => {
                    if let Some(field) = field_of(input) {
                        of_fields[field] += part;
                    }
                }
                None => *by_hash.entry(self.table().hashes()[column as usize]).or_default() += part,
            }
        }
        let config = self.table().config();
        let mut found: HashMap<u32, Vec<Range<usize>>> = HashMap::new();
        let words = terms::word_places(text, config.words);
        for (hash, place) in words.into_iter().chain(terms::character_places(text, config.characters)) {
            found.entry(hash).or_default().push(place);
        }
        let spans = terms::word_spans(text);
        let mut of_words = vec![0.0; spans.len()];
        for (hash, part) in by_hash {
            let occurrences = found.get(&hash).map_or(&[][..], Vec::as_slice);
            let touched = |place: &Range<usize>| -> Vec<usize> {
                // Words stand in order and apart: those of a place are neighbours.
                let first = spans.partition_point(|span| span.1 <= place.start);
                (first..spans.len()).take_while(|at| spans[*at].0 < place.end).collect()
            };
            let touched: Vec<Vec<usize>> =
                occurrences.iter().map(touched).filter(|words| !words.is_empty()).collect();
            if touched.is_empty() {
                base += part; // signs alone, of no word
            }
            for words in &touched {
                let each = part / (touched.len() * words.len()) as f64;
                words.iter().for_each(|word| of_words[*word] += each);
            }
        }
        let words = spans.into_iter().zip(of_words).map(|((start, end), part)| (start..end, part)).collect();
        Evidence { base, words, fields: of_fields.into_iter().enumerate().collect() }
    }
}
