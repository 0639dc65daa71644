//! From marked texts to a tagger: features, the fit of the chain, the fit of the relations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::progress;
use super::corpus::{Corpus, Sample};
use super::objective::{Objective, Sentence};
use super::owlqn::{Penalty, least};
use text::tagger::chain::{Allowed, Span, Tags};
use text::tagger::lexicon::Lexicons;
use text::tagger::relations::{HARM, Relation, pair};
use text::tagger::{Document, Tagger};

/// Tokens of a text that is learned from.
const MOST: usize = 1 << 16;
/// The penalty on the weights of relations.
const RELATION_L2: f64 = 0.5;
const RELATION_L1: f64 = 0.05;

/// How a tagger is fitted.
#[derive(Debug, Clone)]
pub struct Fitting {
    /// The penalty on the weights of the chain.
    pub penalty: Penalty,
    /// Features of fewer training tokens are left out.
    pub least: u32,
    /// Names of a probability above this may be chosen.
    pub threshold: f32,
}

/// A text with its names as spans of tokens.
pub struct Marked {
    /// The text, described by hashes.
    pub document: Document,
    /// Its names, in order.
    pub spans: Vec<Span>,
    /// From one name to another, by their places in `spans`, and what ties them.
    pub relations: Vec<(usize, usize, String)>,
    /// Which labels its source marks, by place.
    pub known: Vec<bool>,
}

/// The texts of some splits of all corpora. A name that begins or ends within a token takes the whole
/// token; of names that then share one, the first stays.
pub fn marked(corpora: &[Corpus], splits: &[&str], labels: &[String], lexicons: &Lexicons) -> Vec<Marked> {
    let mut all = Vec::new();
    for corpus in corpora {
        let known: Vec<bool> = labels.iter().map(|label| corpus.labels.contains(label)).collect();
        let samples = splits.iter().filter_map(|split| corpus.splits.get(*split)).flatten();
        all.extend(samples.map(|sample| one(sample, labels, known.clone(), lexicons)));
    }
    all
}

fn one(sample: &Sample, labels: &[String], known: Vec<bool>, lexicons: &Lexicons) -> Marked {
    described(sample, Document::new(&sample.text, lexicons, MOST), labels, known)
}

/// A text that was cut and described before, with its names as spans of its tokens.
pub fn described(sample: &Sample, document: Document, labels: &[String], known: Vec<bool>) -> Marked {
    let mut spans: Vec<Span> = Vec::new();
    let mut places = vec![None; sample.marks.len()];
    for (number, mark) in sample.marks.iter().enumerate() {
        let covers =
            |at: &usize| document.tokens[*at].start < mark.end && mark.start < document.tokens[*at].end;
        let mut tokens = (0..document.tokens.len()).filter(covers);
        let Some(start) = tokens.next() else { continue };
        let end = tokens.next_back().unwrap_or(start) + 1;
        let Some(label) = labels.iter().position(|label| *label == mark.label) else { continue };
        if spans.last().is_none_or(|last| last.end <= start) {
            places[number] = Some(spans.len());
            spans.push(Span { start, end, label });
        }
    }
    let relation =
        |(from, to, label): &(usize, usize, String)| Some((places[*from]?, places[*to]?, label.clone()));
    let relations = sample.relations.iter().filter_map(relation).collect();
    Marked { document, spans, relations, known }
}

/// Fits a tagger. `relations` are the names of the relations, in order; of each the kinds of names are
/// those that the first marked pair has.
pub fn fit(
    texts: &[Marked],
    labels: &[String],
    relations: &[String],
    lexicons: &Lexicons,
    fitting: &Fitting,
    stop: &AtomicBool,
) -> Tagger {
    let tags = Tags { labels: labels.len() };
    let mut counts: HashMap<u32, u32> = HashMap::new();
    texts.iter().flat_map(|text| text.document.features.iter().flatten()).for_each(|hash| {
        *counts.entry(*hash).or_default() += 1;
    });
    let mut hashes: Vec<u32> =
        counts.into_iter().filter(|(_, count)| *count >= fitting.least).map(|(hash, _)| hash).collect();
    hashes.sort_unstable();
    let columns: HashMap<u32, u32> = hashes.iter().enumerate().map(|(at, hash)| (*hash, at as u32)).collect();
    let mut sentences = Vec::new();
    for text in texts {
        let allowed = allowed(text, tags);
        for sentence in &text.document.sentences {
            let features = text.document.features[sentence.clone()].iter();
            let place =
                |features: &Vec<u32>| features.iter().filter_map(|hash| columns.get(hash).copied()).collect();
            let features = features.map(place).collect();
            sentences.push(Sentence { features, allowed: allowed[sentence.clone()].to_vec() });
        }
    }
    // Sentences of all sources in every part of the sum, so that the parts take equally long.
    let mut spread: Vec<Sentence> = Vec::with_capacity(sentences.len());
    for start in 0..7 {
        spread.extend(sentences.iter_mut().skip(start).step_by(7).map(std::mem::take));
    }
    let objective = Objective { tags, columns: hashes.len(), sentences: &spread };
    let bar = progress::bar(fitting.penalty.iterations, "iterations");
    bar.set_prefix("fitting the chain");
    let seen = |iteration: usize, value: f64| {
        bar.set_position(iteration as u64);
        bar.set_message(format!("{value:.1}"));
        !stop.load(Ordering::Relaxed)
    };
    let weights =
        least(vec![0.0; objective.size()], fitting.penalty, |point| objective.evaluate(point), seen);
    bar.finish_and_clear();
    let (weights, transition) = weights.split_at(hashes.len() * tags.count());
    let relations = relations.iter().filter_map(|label| relation(texts, label)).collect();
    let (threshold, transition) = (fitting.threshold, transition.to_vec());
    Tagger::new(labels.len(), &hashes, weights, transition, lexicons.clone(), relations, threshold)
}

/// The tags that each token may have: its own, and where it is in no name, those of labels that the
/// text's source does not mark.
fn allowed(text: &Marked, tags: Tags) -> Vec<Allowed> {
    let bit = |tag: usize| 1 << tag;
    let unmarked = (0..tags.labels).filter(|label| !text.known[*label]);
    let open =
        unmarked.fold(bit(Tags::OUT), |sum, label| sum | bit(tags.begin(label)) | bit(tags.inside(label)));
    let mut allowed = vec![open; text.document.tokens.len()];
    for span in &text.spans {
        allowed[span.start] = bit(tags.begin(span.label));
        allowed[span.start + 1..span.end].fill(bit(tags.inside(span.label)));
    }
    // A name over the end of a sentence goes on in the next as one that begins there.
    for sentence in &text.document.sentences {
        if let Some(span) =
            text.spans.iter().find(|span| span.start < sentence.start && sentence.start < span.end)
        {
            allowed[sentence.start] = bit(tags.begin(span.label));
        }
    }
    allowed
}

/// The names of the relations that are marked anywhere, in order.
pub fn relation_names(corpora: &[Corpus]) -> Vec<String> {
    let samples = corpora.iter().flat_map(|corpus| corpus.splits.values().flatten());
    let names: BTreeSet<&String> =
        samples.flat_map(|sample| sample.relations.iter().map(|(_, _, label)| label)).collect();
    names.into_iter().cloned().collect()
}

/// Fits one relation on the marked names.
fn relation(texts: &[Marked], label: &String) -> Option<Relation> {
    let kinds = |text: &Marked| {
        let (from, to, _) = text.relations.iter().find(|(_, _, of)| of == label)?;
        Some((text.spans[*from].label, text.spans[*to].label))
    };
    let (from, to) = texts.iter().find_map(kinds)?;
    let mut rows: Vec<(Vec<u32>, bool)> = Vec::new();
    for text in texts {
        for sentence in &text.document.sentences {
            let inside = |span: &&Span| sentence.start <= span.start && span.end <= sentence.end;
            let names: Vec<Span> = text.spans.iter().filter(inside).copied().collect();
            let moved = |span: &Span| Span {
                start: span.start - sentence.start,
                end: span.end - sentence.start,
                ..*span
            };
            let local: Vec<Span> = names.iter().map(moved).collect();
            for (a, first) in local.iter().enumerate().filter(|(_, span)| span.label == from) {
                for (b, second) in local.iter().enumerate().filter(|(_, span)| span.label == to) {
                    let tied = text.relations.iter().any(|(from, to, of)| {
                        of == label && text.spans[*from] == names[a] && text.spans[*to] == names[b]
                    });
                    rows.push((pair(&text.document.lowers[sentence.clone()], &local, *first, *second), tied));
                }
            }
        }
    }
    let known: BTreeMap<u32, u32> = {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        rows.iter().flat_map(|(row, _)| row).for_each(|hash| *counts.entry(*hash).or_default() += 1);
        let kept = counts.into_iter().filter(|(_, count)| *count > 1).map(|(hash, _)| hash);
        kept.enumerate().map(|(at, hash)| (hash, at as u32)).collect()
    };
    let place = |row: &Vec<u32>| row.iter().filter_map(|hash| known.get(hash).copied()).collect::<Vec<u32>>();
    let rows: Vec<(Vec<u32>, bool)> = rows.iter().map(|(row, tied)| (place(row), *tied)).collect();
    let function = |weights: &[f32]| {
        let mut gradient = vec![0.0f32; weights.len()];
        let mut loss = 0.0;
        for (row, tied) in &rows {
            let score: f64 = row.iter().map(|at| f64::from(weights[*at as usize])).sum();
            let signed = if *tied { score } else { -score };
            // ln(1 + exp(-signed)), without overflow.
            loss += (-signed.abs()).exp().ln_1p() + (-signed).max(0.0);
            let wrong = 1.0 / (1.0 + (-score).exp()) - f64::from(u8::from(*tied));
            row.iter().for_each(|at| gradient[*at as usize] += wrong as f32);
        }
        (loss, gradient)
    };
    let penalty = Penalty { l1: RELATION_L1, l2: RELATION_L2, iterations: 100, tolerance: 1e-4 };
    let weights = least(vec![0.0; known.len()], penalty, function, |_, _| true);
    let kept = known.keys().zip(weights).filter(|(_, weight)| *weight != 0.0);
    let (features, weights) = kept.map(|(hash, weight)| (*hash, weight)).unzip();
    Some(Relation { from, to, harm: label == HARM, features, weights })
}
