//! Which names of a sentence belong together: a logistic model over pairs.
//!
//! For a drug and an effect in one sentence it looks at the words between them and beside them, how
//! far apart they are and in which order, and whether another of their kind stands nearer.

use super::super::terms::Hash;
use super::chain::Span;

/// Most words between two names that are looked at one by one.
const BETWEEN: usize = 24;

/// What is looked at of a pair, as hashes. `spans` are all names of the sentence, `lowers` its
/// tokens in lower case.
pub fn pair(lowers: &[String], spans: &[Span], from: Span, to: Span) -> Vec<u32> {
    let mut out = vec![hash("bias", "")];
    let forward = from.start < to.start;
    let (first, second) = if forward { (from, to) } else { (to, from) };
    let order = if forward { "f" } else { "b" };
    out.push(hash("order", order));
    let gap = second.start.saturating_sub(first.end);
    let far = match gap {
        0..=3 => gap,
        4..=6 => 4,
        7..=12 => 5,
        13..=24 => 6,
        _ => 7,
    };
    out.push(hash("far", &format!("{order}{far}")));
    let between = &lowers[first.end.min(second.start)..second.start];
    for word in between.iter().take(BETWEEN) {
        out.push(hash("between", word));
        out.push(hash("between in order", &format!("{order} {word}")));
    }
    for words in between.windows(2).take(BETWEEN) {
        out.push(hash("two between", &words.join(" ")));
    }
    if gap <= 4 {
        out.push(hash("all between", &format!("{order} {}", between.join(" "))));
    }
    let near = |at: Option<usize>| at.and_then(|at| lowers.get(at)).map_or("", String::as_str);
    for (name, at) in [
        ("before", first.start.checked_sub(1)),
        ("before that", first.start.checked_sub(2)),
        ("after", Some(second.end)),
        ("after that", Some(second.end + 1)),
    ] {
        out.push(hash(name, &format!("{order} {}", near(at))));
    }
    let nearer = |label: usize, of: Span, than: usize| {
        spans.iter().filter(|span| span.label == label && distance(**span, of) < than).count().min(3)
    };
    out.push(hash("nearer to the first", &nearer(to.label, from, distance(from, to)).to_string()));
    out.push(hash("nearer to the second", &nearer(from.label, to, distance(from, to)).to_string()));
    let inner = spans.iter().filter(|span| span.start >= first.end && span.end <= second.start);
    for span in inner.take(4) {
        out.push(hash("name between", &format!("{order} {}", span.label == from.label)));
    }
    let count = |label: usize| spans.iter().filter(|span| span.label == label).count().min(4);
    out.push(hash("how many", &format!("{} {}", count(from.label), count(to.label))));
    for word in lowers.iter().take(80) {
        out.push(hash("in the sentence", word));
    }
    for (name, span) in [("first", from), ("second", to)] {
        for word in &lowers[span.start..span.end] {
            out.push(hash(name, word));
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

fn distance(a: Span, b: Span) -> usize {
    if a.start < b.start { b.start.saturating_sub(a.end) } else { a.start.saturating_sub(b.end) }
}

fn hash(kind: &str, content: &str) -> u32 {
    let mut hash = Hash::new(10);
    hash.add(kind.as_bytes());
    hash.add(&[0]);
    hash.add(content.as_bytes());
    hash.value()
}

/// The relation from a drug to what it did.
pub const HARM: &str = "adverse_effect";

/// A fitted model of one kind of pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// Label of the name that it goes from.
    pub from: usize,
    /// Label of the name that it goes to.
    pub to: usize,
    /// Whether it is [`HARM`], which what relieves a complaint did not do.
    pub harm: bool,
    /// Hashes, rising.
    pub features: Vec<u32>,
    /// A weight each.
    pub weights: Vec<f32>,
}

impl Relation {
    /// Probability that the pair belongs together.
    pub fn probability(&self, pair: &[u32]) -> f64 {
        let weight =
            |hash: &u32| self.features.binary_search(hash).map_or(0.0, |at| f64::from(self.weights[at]));
        1.0 / (1.0 + (-pair.iter().map(weight).sum::<f64>()).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_the_words_between_tell_pairs_apart() {
        let lowers: Vec<String> = "rash after amoxicillin and fever".split(' ').map(str::to_string).collect();
        let (rash, drug, fever) = (
            Span { start: 0, end: 1, label: 1 },
            Span { start: 2, end: 3, label: 0 },
            Span { start: 4, end: 5, label: 1 },
        );
        let spans = [rash, drug, fever];
        let (a, b) = (pair(&lowers, &spans, drug, rash), pair(&lowers, &spans, drug, fever));
        assert_ne!(a, b);
        let features = vec![hash("between", "after")];
        let model = Relation { from: 0, to: 1, harm: true, features, weights: vec![2.0] };
        assert!((model.probability(&a) - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 1e-9);
        assert_eq!(model.probability(&b), 0.5);
    }
}
