//! How long an encoder takes in each precision, on one thread.
//!
//!     cargo run --release -p text --example encoder_precision -- [ROUNDS]
//!
//! The sizes are those of all-MiniLM-L6-v2, the weights of chance. One JSON line for a text of 128 tokens and for 32 of
//! them in each precision, which take turns: the time of every run in milliseconds. `benches/peers/encoder.py` runs it
//! beside others.

use std::hint::black_box;
use std::time::Instant;

use candle_core::{Result, bail};
use model::manifest::{EncoderConfig, Precision, TextPooling};
use nn::{Params, SequenceInput, SequenceNetwork};
use text::{network, pretrained};

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(9);
    let config = EncoderConfig {
        family: "bert".to_string(),
        vocabulary: 8192,
        width: 384,
        heads: 12,
        layers: 6,
        feed_forward: 1536,
        positions: 512,
        pooling: TextPooling::Mean,
        rotary: None,
        relative: None,
        head: None,
    };
    let graph = match pretrained::encoder(&config) {
        Ok(graph) => graph,
        Err(error) => bail!("{error}"),
    };
    let network = SequenceNetwork::new(graph, &mut Params::fresh(0))?;
    let ids: Vec<u32> = (0..128).map(|i| (i * 7919) % 8192).collect();
    let precisions = [Precision::F32, Precision::Bf16, Precision::Int8];
    for count in [1, 32] {
        let batch = vec![SequenceInput { tokens: &ids, values: &[] }; count];
        let mut plans = Vec::new();
        for precision in precisions {
            let mut plan = network.plan_as(network::numbers(precision))?;
            black_box(plan.logits(&batch)?);
            plans.push((precision, plan, Vec::new()));
        }
        for _ in 0..rounds {
            for (_, plan, taken) in &mut plans {
                // A text alone is so quick that one run says little.
                for _ in 0..if count == 1 { 4 } else { 1 } {
                    let start = Instant::now();
                    black_box(plan.logits(black_box(&batch))?);
                    taken.push((start.elapsed().as_secs_f64() * 1e5).round() / 100.0);
                }
            }
        }
        for (precision, _, taken) in plans {
            let precision = precision.as_str();
            println!("{{\"texts\": {count}, \"precision\": \"{precision}\", \"milliseconds\": {taken:?}}}");
        }
    }
    Ok(())
}
