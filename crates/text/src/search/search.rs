//! The answer to a question: the words of it that cases share, and vectors that are near, together.
//!
//! *Words.* BM25 (Robertson and Sparck Jones; "Okapi at TREC-3", 1994): a term counts by how rare it is and
//! by how often a case has it, with less and less for each time more ([`Ranking::k1`]), and less in long cases ([`Ranking::b`]).
//! Every case's score is the exact sum over the question's terms; terms that cannot bring a new case among
//! the best are looked up in those that are there alone (Turtle and Flood's MaxScore, 1995).
//!
//! *Vectors.* Cosines over all cases, exact ([`nn::coded_rows`]).
//!
//! *Together.* See [`super::fusion`].
//!
//! [`Ranking::k1`]: super::Ranking::k1
//! [`Ranking::b`]: super::Ranking::b

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use nn::coded_rows::CodedQuestion;
use rayon::prelude::*;

use super::analysis;
use super::attributes::Filter;
use super::english;
use super::fusion::{Found, fuse};
use super::index::{Index, unit};
use super::lists::Posting;
use super::ranking::Norm;
use super::segment::{Segment, bit, set};
use super::top::{Scored, Top};

/// Most different terms of a question that are looked for: the rarest.
const MOST_TERMS: usize = 256;
/// Lists shorter than this are read through without asking whether they have to be.
const SHORT: usize = 1024;
/// Steps of looking up one case in a list, in cases read one after another.
const LOOK_UP: usize = 16;
/// Words named in an answer.
const MOST_WORDS: usize = 32;

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// What is asked, in words.
    pub text: &'a str,
    /// The same as a vector of the model that the cases' vectors are of.
    pub vector: Option<&'a [f32]>,
    /// Which cases may be found.
    pub filter: &'a Filter,
    /// Most cases found.
    pub limit: usize,
}

/// A case that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its identifier.
    pub id: String,
    /// Its attributes as a JSON object.
    pub attributes: String,
    /// How well it fits, from 0 to 1, in comparison with the others of the answer.
    pub score: f32,
    /// Words of the question that it has, in some form; those that count most first.
    pub words: Vec<String>,
    /// Cosine of its vector and the question's; nothing where either has none.
    pub similarity: Option<f32>,
}

/// A term of a question.
#[derive(Debug, Clone)]
struct Asked {
    term: u32,
    /// What it counts, before what the case adds.
    weight: f32,
    /// The question's word for it.
    word: String,
}

/// Scores that nothing below matters to any more; rises as segments are searched side by side.
struct Floor(AtomicU32);

impl Floor {
    fn new() -> Floor {
        Floor(AtomicU32::new(0))
    }

    /// Bits in the order of the numbers.
    fn rank(score: f32) -> u32 {
        let bits = score.to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    }

    fn raise(&self, score: f32) {
        self.0.fetch_max(Floor::rank(score), Ordering::Relaxed);
    }

    /// Whether a score at most this high does not matter.
    fn excludes(&self, score: f32) -> bool {
        Floor::rank(score) < self.0.load(Ordering::Relaxed)
    }
}

impl Index {
    /// The cases that fit best. Ties go to the smaller identifier.
    pub fn search(&self, query: &Query) -> Vec<Hit> {
        if query.limit == 0 || self.cases == 0 {
            return Vec::new();
        }
        let allowed: Vec<Option<Vec<u64>>> =
            self.segments.iter().map(|segment| self.allowed(segment, query.filter)).collect();
        let asked = self.asked(query.text);
        let question = query.vector.and_then(unit).map(|vector| CodedQuestion::new(&vector));
        let question = question.filter(|question| self.dimensions() == Some(question.columns()));
        let depth = depth(query.limit);
        let (words, vectors) = rayon::join(
            || self.by_words(&asked, &allowed, depth),
            || question.as_ref().map_or_else(Vec::new, |question| self.by_vectors(question, &allowed, depth)),
        );
        let mut found: HashMap<(usize, usize), Found> = HashMap::new();
        for one in words.iter().chain(&vectors) {
            found.entry((one.segment, one.place)).or_insert_with(|| {
                let segment = &self.segments[one.segment];
                let rows = segment.vectors().filter(|_| segment.has_vector(one.place));
                Found {
                    place: *one,
                    words: self.score(&asked, segment, one.place),
                    similarity: rows
                        .zip(question.as_ref())
                        .map(|(rows, question)| rows.dot(one.place, question)),
                }
            });
        }
        let found = fuse(found.into_values().collect(), query.limit, self.ranking.words);
        found.into_iter().map(|(score, found)| self.hit(&asked, score, &found)).collect()
    }

    fn hit(&self, asked: &[Asked], score: f32, found: &Found) -> Hit {
        let (segment, place) = (&self.segments[found.place.segment], found.place.place);
        let has = |asked: &&Asked| segment.terms.count(asked.term, place as u16).is_some();
        Hit {
            id: segment.id(place).to_string(),
            attributes: segment.attributes(place).to_string(),
            score,
            words: asked.iter().filter(has).take(MOST_WORDS).map(|asked| asked.word.clone()).collect(),
            similarity: found.similarity,
        }
    }

    /// The terms of a question that any case has, those that count most first.
    fn asked(&self, text: &str) -> Vec<Asked> {
        let normal = analysis::normal(text);
        let mut terms: HashMap<String, (u32, &str)> = HashMap::new();
        analysis::for_each_term(&normal, |term, word| match terms.get_mut(term) {
            Some((count, _)) => *count += 1,
            None => {
                terms.insert(term.to_string(), (1, word));
            }
        });
        // A question of nothing else is about these words.
        if terms.keys().any(|term| !english::says_nothing(term)) {
            terms.retain(|term, _| !english::says_nothing(term));
        }
        let mut asked: Vec<(Asked, String)> = terms
            .into_iter()
            .filter_map(|(text, (count, word))| {
                let term = self.terms.get(&text)?;
                let cases: usize = self.segments.iter().map(|s| s.living(s.terms.get(term))).sum();
                let weight = count as f32 * self.ranking.rarity(cases, self.cases);
                (cases > 0).then(|| (Asked { term, weight, word: word.to_string() }, text))
            })
            .collect();
        asked.sort_by(|(a, a_text), (b, b_text)| {
            b.weight.total_cmp(&a.weight).then_with(|| a_text.cmp(b_text))
        });
        asked.truncate(MOST_TERMS);
        asked.into_iter().map(|(asked, _)| asked).collect()
    }

    fn norm(&self) -> Norm {
        self.ranking.norm(self.total_length as f32 / self.cases as f32)
    }

    /// BM25 of one case.
    fn score(&self, asked: &[Asked], segment: &Segment, place: usize) -> f32 {
        let norm = self.norm().of(segment.length(place));
        let mut score = 0.0;
        for one in asked {
            if let Some(count) = segment.terms.count(one.term, place as u16) {
                score += one.weight * self.ranking.part(count, norm);
            }
        }
        score
    }

    /// The best by BM25.
    fn by_words<'a>(
        &'a self,
        asked: &[Asked],
        allowed: &[Option<Vec<u64>>],
        depth: usize,
    ) -> Vec<Scored<'a>> {
        // The most that a term and those behind it can add, with room for rounding.
        let mut rest: Vec<f32> = asked.iter().map(|asked| asked.weight * self.ranking.most()).collect();
        for at in (0..rest.len().saturating_sub(1)).rev() {
            rest[at] += rest[at + 1];
        }
        rest.iter_mut().for_each(|most| *most *= 1.0001);
        let floor = Floor::new();
        self.in_segments(allowed, depth, |number, allowed| {
            self.words_in(number, asked, &rest, allowed, depth, &floor)
        })
    }

    fn words_in<'a>(
        &'a self,
        number: usize,
        asked: &[Asked],
        rest: &[f32],
        allowed: Option<&[u64]>,
        depth: usize,
        floor: &Floor,
    ) -> Top<'a> {
        let segment = &self.segments[number];
        let passes = |place: usize| segment.lives(place) && allowed.is_none_or(|bits| bit(bits, place));
        let norm = self.norm();
        let mut scores = vec![0.0f32; segment.len()];
        // Those that can still be among the best, once no others can.
        let mut left: Option<Vec<u16>> = None;
        for (at, one) in asked.iter().enumerate() {
            let list = segment.terms.get(one.term);
            if list.len() >= SHORT && left.is_none() && at > 0 {
                if let Some(score) =
                    kth(scores.iter().enumerate().filter(|(p, _)| passes(*p)).map(|(_, s)| *s), depth)
                {
                    floor.raise(score);
                }
                if floor.excludes(rest[at]) {
                    let can =
                        |(_, score): &(usize, &f32)| **score > 0.0 && !floor.excludes(**score + rest[at]);
                    let places = scores.iter().enumerate().filter(can).map(|(place, _)| place as u16);
                    left = Some(places.collect());
                }
            }
            match &left {
                Some(left) if left.len() * LOOK_UP < list.len() => {
                    for place in left {
                        if let Ok(found) = list.binary_search_by_key(place, |posting| posting.place()) {
                            let place = usize::from(*place);
                            scores[place] += one.weight
                                * self.ranking.part(list[found].count(), norm.of(segment.length(place)));
                        }
                    }
                }
                _ => {
                    for posting in list {
                        let place = usize::from(posting.place());
                        scores[place] +=
                            one.weight * self.ranking.part(posting.count(), norm.of(segment.length(place)));
                    }
                }
            }
        }
        let mut top = Top::new(depth);
        let mut offer = |place: usize| {
            let score = scores[place];
            if score > 0.0 && top.floor().is_none_or(|floor| score >= floor) && passes(place) {
                top.offer(Scored { score, id: segment.id(place), segment: number, place });
            }
        };
        match left {
            Some(left) => left.into_iter().for_each(|place| offer(usize::from(place))),
            None => (0..segment.len()).for_each(offer),
        }
        if let Some(score) = top.floor() {
            floor.raise(score);
        }
        top
    }

    /// The nearest by their vectors.
    fn by_vectors<'a>(
        &'a self,
        question: &CodedQuestion,
        allowed: &[Option<Vec<u64>>],
        depth: usize,
    ) -> Vec<Scored<'a>> {
        let floor = Floor::new();
        self.in_segments(allowed, depth, |number, allowed| {
            let segment = &self.segments[number];
            let mut top = Top::new(depth);
            let Some(rows) = segment.vectors() else { return top };
            let mut estimates = Vec::new();
            rows.estimate(question, &mut estimates);
            for (place, estimate) in estimates.into_iter().enumerate() {
                if floor.excludes(estimate + rows.bound(place, question)) {
                    continue;
                }
                let there = segment.has_vector(place) && segment.lives(place);
                if there && allowed.is_none_or(|bits| bit(bits, place)) {
                    let score = rows.dot(place, question);
                    top.offer(Scored { score, id: segment.id(place), segment: number, place });
                    if let Some(score) = top.floor() {
                        floor.raise(score);
                    }
                }
            }
            top
        })
    }

    /// The best of what is found in each segment, side by side.
    fn in_segments<'a>(
        &'a self,
        allowed: &[Option<Vec<u64>>],
        depth: usize,
        search: impl Fn(usize, Option<&[u64]>) -> Top<'a> + Sync,
    ) -> Vec<Scored<'a>> {
        let found = (0..self.segments.len())
            .into_par_iter()
            .map(|number| search(number, allowed[number].as_deref()))
            .reduce(|| Top::new(depth), Top::merge);
        found.into_sorted()
    }

    /// A bit for each case of a segment that passes the filter; nothing where all do.
    fn allowed(&self, segment: &Segment, filter: &Filter) -> Option<Vec<u64>> {
        if filter.is_empty() {
            return None;
        }
        let mut all = vec![u64::MAX; segment.len().div_ceil(64)];
        for (_, keys) in filter.conditions() {
            let mut any = vec![0; all.len()];
            for value in keys.iter().filter_map(|key| self.values.get(key)) {
                let places = segment.values.get(value).iter().map(|posting: &Posting| posting.place());
                places.for_each(|place| set(&mut any, usize::from(place)));
            }
            all.iter_mut().zip(any).for_each(|(all, any)| *all &= any);
        }
        Some(all)
    }
}

/// How many of the best by words and by vectors are looked at together.
pub(super) fn depth(limit: usize) -> usize {
    (3 * limit).max(100)
}

/// The `depth`-th highest of these scores, if there are so many above 0.
fn kth(scores: impl Iterator<Item = f32>, depth: usize) -> Option<f32> {
    let mut scores: Vec<f32> = scores.filter(|score| *score > 0.0).collect();
    if scores.len() < depth {
        return None;
    }
    let (_, kth, _) = scores.select_nth_unstable_by(depth - 1, |a, b| b.total_cmp(a));
    Some(*kth)
}
