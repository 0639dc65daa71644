//! Processor time of an encoder in each precision, by the clock of its own thread: what else runs on the machine does not
//! count, but for the caches.
//!
//!     cargo run --release -p text --example encoder_precision -- [ROUNDS]
//!
//! The sizes are those of all-MiniLM-L6-v2, the weights of chance. Prints the median and the quartiles of a text of 128
//! tokens and of 32 of them, the precisions taking turns. Linux alone keeps such a clock as a file.

use std::hint::black_box;

use candle_core::{Result, bail};
use model::manifest::{EncoderConfig, Precision, TextPooling};
use nn::{Params, SequenceInput, SequenceNetwork};
use text::{network, pretrained};

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(31);
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
                let start = processor_time()?;
                black_box(plan.logits(black_box(&batch))?);
                taken.push(processor_time()? - start);
            }
        }
        for (precision, _, mut taken) in plans {
            taken.sort_unstable();
            let at = |part: usize| taken[part * (taken.len() - 1) / 4] as f64 / 1e6;
            let (low, middle, high) = (at(1), at(2), at(3));
            println!(
                "{count} x 128 tokens, {:>4}: {middle:.2} ms ({low:.2} to {high:.2})",
                precision.as_str()
            );
        }
    }
    Ok(())
}

/// Nanoseconds that this thread has been on a processor.
fn processor_time() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    match text.split_whitespace().next().and_then(|first| first.parse().ok()) {
        Some(time) => Ok(time),
        None => bail!("/proc/thread-self/schedstat has no number"),
    }
}
