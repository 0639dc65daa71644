//! Builds the index over cases of files and times its answers, for comparison with other software:
//! `search TEXTS VECTORS DIMENSIONS QUERIES QUERY_VECTORS [ROUNDS]`. TEXTS and QUERIES have a text a line,
//! VECTORS and QUERY_VECTORS its vector as 32-bit floats in little endian. Writes one JSON object: seconds to
//! build, bytes of memory, milliseconds a question by words, by vectors and by both, and for each question
//! the ten best lines of either. `RAYON_NUM_THREADS` says on how many threads.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::time::Instant;

use rayon::prelude::*;
use serde_json::{Value, json};
use text::search::{Attributes, Filter, Index, Prepared, Query};

/// Cases read at once.
const BATCH: usize = 8192;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [texts, vectors, dimensions, queries, query_vectors, rest @ ..] = arguments.as_slice() else {
        return Err("usage: search TEXTS VECTORS DIMENSIONS QUERIES QUERY_VECTORS [ROUNDS]".into());
    };
    let dimensions: usize = dimensions.parse()?;
    let rounds: usize = rest.first().map_or(Ok(3), |rounds| rounds.parse())?;
    let start = Instant::now();
    let index = build(texts, vectors, dimensions)?;
    let build = start.elapsed().as_secs_f64();
    let queries: Vec<String> = BufReader::new(File::open(queries)?).lines().collect::<Result<_, _>>()?;
    let asked = floats(&std::fs::read(query_vectors)?);
    let asked: Vec<&[f32]> = asked.chunks_exact(dimensions).collect();

    let filter = Filter::default();
    let ask = |at: usize, words: bool, vector: bool| {
        let text = if words { queries[at].as_str() } else { "" };
        index.search(&Query { text, vector: vector.then_some(asked[at]), filter: &filter, limit: 10 })
    };
    let mut answer = json!({});
    for (name, words, vector) in [("words", true, false), ("vectors", false, true), ("both", true, true)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            for at in 0..queries.len() {
                let start = Instant::now();
                std::hint::black_box(ask(at, words, vector));
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        let share = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let best: Vec<Vec<u64>> = (0..queries.len())
            .map(|at| ask(at, words, vector).iter().filter_map(|hit| hit.id.parse().ok()).collect())
            .collect();
        answer[name] =
            json!({"median_ms": share(0.5), "p95_ms": share(0.95), "worst_ms": share(1.0), "best": best});
    }
    let sizes = index.sizes();
    let floats = sizes.with_vector * dimensions * 4;
    answer["cases"] = json!(sizes.cases);
    answer["build_s"] = json!(build);
    answer["threads"] = json!(rayon::current_num_threads());
    answer["vector_bytes_of_floats"] = json!(floats);
    answer["vector_bytes"] = json!(sizes.vector_bytes);
    answer["other_bytes"] = json!(sizes.other_bytes);
    answer["resident_bytes"] = resident();
    println!("{answer}");
    Ok(())
}

fn build(texts: &str, vectors: &str, dimensions: usize) -> Result<Index, Box<dyn Error>> {
    let mut lines = BufReader::new(File::open(texts)?).lines();
    let mut vectors = BufReader::new(File::open(vectors)?);
    let mut index = Index::new();
    let mut number = 0;
    loop {
        let batch: Vec<String> = lines.by_ref().take(BATCH).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            return Ok(index);
        }
        let first = number;
        number += batch.len();
        let prepared: Vec<Prepared> = batch
            .par_iter()
            .enumerate()
            .map(|(at, text)| Prepared::new(&(first + at).to_string(), text, &Attributes::new()))
            .collect();
        let mut bytes = vec![0; batch.len() * dimensions * 4];
        vectors.read_exact(&mut bytes)?;
        for (prepared, vector) in prepared.iter().zip(floats(&bytes).chunks_exact(dimensions)) {
            index.put(prepared, Some(vector));
        }
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

/// What the process has in memory, on Linux.
fn resident() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|text| text.trim().parse::<u64>().ok())
        .map_or(Value::Null, |kilobytes| json!(kilobytes * 1024))
}
