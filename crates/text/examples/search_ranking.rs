//! Tries weights of the ranking: `search_ranking CASES.jsonl QUESTIONS.jsonl [MODEL]`. A case is
//! `{"id": "...", "text": "..."}`, a question `{"kind": "long", "query": "...", "gains": {"id": 2}}`; MODEL is the
//! folder of a package that makes vectors of texts. Writes a line for each choice of weights: nDCG@10 by
//! kind of question, by words alone and together with vectors. `benches/peers/search_quality.py --write`
//! makes both files.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use serde::Deserialize;
use text::Embedder;
use text::search::{Attributes, Filter, Index, Prepared, Query, Ranking};

#[derive(Deserialize)]
struct Case {
    id: String,
    text: String,
}

#[derive(Deserialize)]
struct Question {
    kind: String,
    query: String,
    gains: BTreeMap<String, u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cases, questions, rest @ ..] = arguments.as_slice() else {
        return Err("usage: search_ranking CASES.jsonl QUESTIONS.jsonl [MODEL]".into());
    };
    let read = |path: &String| std::fs::read_to_string(path);
    let cases: Vec<Case> = read(cases)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let questions: Vec<Question> =
        read(questions)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut embedder = match rest.first() {
        Some(folder) => Some(Embedder::read(&model::Package::read(Path::new(folder))?)?),
        None => None,
    };
    let mut index = Index::new();
    for case in &cases {
        let vector = vector(&mut embedder, &case.text)?;
        index.put(&Prepared::new(&case.id, &case.text, &Attributes::new()), vector.as_deref());
    }
    let asked: Vec<Option<Vec<f32>>> =
        questions.iter().map(|one| vector(&mut embedder, &one.query)).collect::<Result<_, _>>()?;
    for (k1, b) in [(1.2, 0.75), (1.5, 0.75), (2.0, 0.75), (3.0, 0.75), (2.0, 0.5)] {
        for rarity in [1.0, 1.25, 1.5, 2.0] {
            let weights = Ranking { k1, b, rarity, words: 0.5 };
            index.set_ranking(weights);
            println!("k1 {k1} b {b} rarity {rarity}: words {}", measured(&index, &questions, None));
            if embedder.is_some() && b == 0.75 && rarity <= 1.5 {
                for words in [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8] {
                    index.set_ranking(Ranking { words, ..weights });
                    println!("  with vectors, words {words}: {}", measured(&index, &questions, Some(&asked)));
                }
            }
        }
    }
    Ok(())
}

fn vector(embedder: &mut Option<Embedder>, text: &str) -> Result<Option<Vec<f32>>, Box<dyn Error>> {
    let Some(embedder) = embedder else { return Ok(None) };
    let encoded = embedder.encode(text).map_err(|error| error.to_string())?;
    Ok(embedder.vectors(&[Arc::new(encoded)])?.pop())
}

/// Mean nDCG@10 of each kind of question.
fn measured(index: &Index, questions: &[Question], vectors: Option<&[Option<Vec<f32>>]>) -> String {
    let filter = Filter::default();
    let scores: Vec<(&str, f64)> = (0..questions.len())
        .into_par_iter()
        .map(|at| {
            let one = &questions[at];
            let vector = vectors.and_then(|vectors| vectors[at].as_deref());
            let hits = index.search(&Query { text: &one.query, vector, filter: &filter, limit: 10 });
            let found = hits.iter().map(|hit| one.gains.get(&hit.id).copied().unwrap_or(0));
            let mut best: Vec<u32> = one.gains.values().copied().collect();
            best.sort_unstable_by(|a, b| b.cmp(a));
            (one.kind.as_str(), dcg(found) / dcg(best.into_iter().take(10)))
        })
        .collect();
    let mut kinds: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (kind, score) in scores {
        let (sum, count) = kinds.entry(kind).or_default();
        *sum += score;
        *count += 1.0;
    }
    let told: Vec<String> =
        kinds.iter().map(|(kind, (sum, count))| format!("{kind} {:.4}", sum / count)).collect();
    told.join(", ")
}

fn dcg(gains: impl Iterator<Item = u32>) -> f64 {
    gains.enumerate().map(|(at, gain)| (f64::from(2u32.pow(gain)) - 1.0) / (at as f64 + 2.0).log2()).sum()
}
