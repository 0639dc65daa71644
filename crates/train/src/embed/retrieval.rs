//! How well questions find their own answers among all answers: by vectors, by words (BM25), and by both.

use std::collections::HashMap;

use model::manifest::{Metrics, RetrievalMetrics};

use super::skipgram::dot;
use text::vectors::words::Words;

/// BM25's settings (Robertson and Zaragoza 2009, "The probabilistic relevance framework").
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// Metrics of questions whose answers are the `texts` at `right`; vectors are of length 1.
pub fn measure(
    questions: &[&str],
    texts: &[&str],
    right: &[usize],
    question_vectors: &[Vec<f32>],
    text_vectors: &[Vec<f32>],
) -> Metrics {
    let words = Bm25::new(texts);
    let (mut near, mut by_words, mut both) = (Sums::default(), Sums::default(), Sums::default());
    for ((question, vector), right) in questions.iter().zip(question_vectors).zip(right) {
        let products: Vec<f32> = text_vectors.iter().map(|text| dot(vector, text)).collect();
        let scores = words.scores(question);
        near.add(rank(&products, *right));
        by_words.add(rank(&scores, *right));
        both.add(rank(&fused(&scores, &products), *right));
    }
    let count = questions.len().max(1) as f64;
    let retrieval = RetrievalMetrics {
        questions: questions.len(),
        texts: texts.len(),
        ndcg_at_10: near.ndcg / count,
        mean_reciprocal_rank: near.reciprocal / count,
        recall_at_10: near.found / count,
        ndcg_at_10_of_words: by_words.ndcg / count,
        ndcg_at_10_fused: both.ndcg / count,
    };
    Metrics {
        examples: questions.len(),
        accuracy: near.first / count,
        auc: None,
        macro_f1: 0.0,
        ece: 0.0,
        abstained: 0.0,
        accuracy_answered: Some(near.first / count),
        sensitivity: Default::default(),
        specificity: Default::default(),
        confusion: Vec::new(),
        ordinal: None,
        extraction: None,
        retrieval: Some(retrieval),
    }
}

#[derive(Default)]
struct Sums {
    ndcg: f64,
    reciprocal: f64,
    found: f64,
    first: f64,
}

impl Sums {
    fn add(&mut self, rank: usize) {
        self.reciprocal += 1.0 / (rank + 1) as f64;
        self.first += f64::from(rank == 0);
        if rank < 10 {
            self.found += 1.0;
            self.ndcg += 1.0 / ((rank + 2) as f64).log2();
        }
    }
}

/// How many texts come before the one at `right`: those that score higher, and of equals half.
fn rank(scores: &[f32], right: usize) -> usize {
    let own = scores[right];
    let higher = scores.iter().filter(|score| **score > own).count();
    let equal = scores.iter().filter(|score| **score == own).count() - 1;
    higher + equal / 2
}

/// Both scores, each from 0 to 1 by its lowest and highest, added (Bruch, Gai and Ingber 2023): as cases are
/// searched.
fn fused(words: &[f32], near: &[f32]) -> Vec<f32> {
    let most = words.iter().copied().fold(1e-9, f32::max);
    let range =
        near.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    let wide = (range.1 - range.0).max(1e-9);
    words.iter().zip(near).map(|(words, near)| words / most + (near - range.0) / wide).collect()
}

/// Words of texts, and where each is.
struct Bm25 {
    texts: usize,
    postings: HashMap<String, Vec<(u32, f32)>>,
}

impl Bm25 {
    fn new(texts: &[&str]) -> Bm25 {
        let cut: Vec<Words> = texts.iter().map(|text| Words::of(text)).collect();
        let mean = cut.iter().map(Words::len).sum::<usize>() as f64 / texts.len().max(1) as f64;
        let mut postings: HashMap<String, Vec<(u32, f32)>> = HashMap::new();
        for (number, words) in cut.iter().enumerate() {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            words.iter().for_each(|word| *counts.entry(word).or_default() += 1);
            let length = K1 * (1.0 - B + B * words.len() as f64 / mean.max(1e-9));
            for (word, count) in counts {
                let weight = count as f64 * (K1 + 1.0) / (count as f64 + length);
                postings.entry(word.to_string()).or_default().push((number as u32, weight as f32));
            }
        }
        let total = texts.len() as f64;
        for texts in postings.values_mut() {
            let with = texts.len() as f64;
            let rarity = (1.0 + (total - with + 0.5) / (with + 0.5)).ln() as f32;
            texts.iter_mut().for_each(|(_, weight)| *weight *= rarity);
        }
        Bm25 { texts: texts.len(), postings }
    }

    fn scores(&self, question: &str) -> Vec<f32> {
        let mut scores = vec![0.0; self.texts];
        for word in Words::of(question).iter() {
            for (text, weight) in self.postings.get(word).into_iter().flatten() {
                scores[*text as usize] += weight;
            }
        }
        scores
    }
}

/// Metrics in rows, for people.
pub fn table<'a>(metrics: impl Iterator<Item = (&'a String, &'a Metrics)>) -> String {
    let mut table = "| | questions | texts | nDCG@10 | MRR | recall@10 | BM25 nDCG@10 | both nDCG@10 |\n\
                     |---|---|---|---|---|---|---|---|\n"
        .to_string();
    for (split, metrics) in metrics {
        if let Some(m) = &metrics.retrieval {
            table += &format!(
                "| {split} | {} | {} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |\n",
                m.questions,
                m.texts,
                m.ndcg_at_10,
                m.mean_reciprocal_rank,
                m.recall_at_10,
                m.ndcg_at_10_of_words,
                m.ndcg_at_10_fused
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_own_answer_is_what_counts() {
        let texts = ["fever and rash", "chest pain at night", "a broken leg"];
        let questions = ["pain in the chest", "leg"];
        let unit = |at: usize| (0..3).map(|d| if d == at { 1.0 } else { 0.0 }).collect::<Vec<f32>>();
        let text_vectors: Vec<Vec<f32>> = (0..3).map(unit).collect();
        let metrics = measure(&questions, &texts, &[1, 2], &[unit(1), unit(0)], &text_vectors);
        let m = metrics.retrieval.unwrap();
        // By vectors the first is right and the second has two equals before or behind it.
        assert_eq!(metrics.accuracy, 0.5);
        let second = 1.0 / 3f64.log2();
        assert!((m.ndcg_at_10 - (1.0 + 1.0 / 3f64.log2()) / 2.0).abs() < 1e-9, "{m:?} {second}");
        assert!((m.ndcg_at_10_of_words - 1.0).abs() < 1e-9 && m.recall_at_10 == 1.0);
        assert!(table([(&"val".to_string(), &metrics)].into_iter()).contains("| val | 2 | 3 |"));
    }

    #[test]
    fn bm25_is_the_formula() {
        let texts = ["a b a", "b c"];
        let scores = Bm25::new(&texts).scores("a a c");
        let idf = (1.0 + (2.0 - 1.0 + 0.5) / 1.5f64).ln();
        let weight = |count: f64, length: f64| count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / 2.5));
        assert!((f64::from(scores[0]) - 2.0 * idf * weight(2.0, 3.0)).abs() < 1e-5);
        assert!((f64::from(scores[1]) - idf * weight(1.0, 2.0)).abs() < 1e-5);
    }
}
