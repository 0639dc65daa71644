//! Timing a model as engines run it: each on its own thread, with its own copy.

use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use medserve::inference::engine::Model;
use serde_json::{Value, json};

/// A package that answers a peer's requests.
pub trait Measured {
    /// Median seconds from one finished batch to the next and the batch's logits, as JSON.
    fn measure(&mut self, inputs: &Path, threads: usize, rounds: usize) -> Value;
}

/// Copies of one model, as many as were ever asked for.
pub struct Engines<M: Model, B, R> {
    models: Vec<M>,
    build: B,
    read: R,
}

impl<M, B, R> Engines<M, B, R>
where
    M: Model,
    M::Input: Sync,
    B: Fn() -> M,
    R: Fn(&Path) -> Vec<M::Input>,
{
    /// Engines of the model that `build` makes, over batches that `read` takes from a file.
    pub fn new(build: B, read: R) -> Engines<M, B, R> {
        Engines { models: Vec::new(), build, read }
    }
}

impl<M, B, R> Measured for Engines<M, B, R>
where
    M: Model,
    M::Input: Sync,
    B: Fn() -> M,
    R: Fn(&Path) -> Vec<M::Input>,
{
    fn measure(&mut self, inputs: &Path, threads: usize, rounds: usize) -> Value {
        while self.models.len() < threads {
            self.models.push((self.build)());
        }
        let batch = (self.read)(inputs);
        let logits = self.models[0].logits(&batch).expect("logits");
        let start = Barrier::new(threads);
        let work = |model: &mut M| -> Vec<f64> {
            // The first batch after a pause finds cold caches.
            black_box(model.logits(&batch).expect("logits"));
            start.wait();
            let round = |_| {
                let start = Instant::now();
                black_box(model.logits(black_box(&batch)).expect("logits"));
                start.elapsed().as_secs_f64()
            };
            (0..rounds).map(round).collect()
        };
        let seconds: Vec<f64> = thread::scope(|scope| {
            let work = &work;
            let (first, others) = self.models[..threads].split_first_mut().expect("at least one thread");
            let others: Vec<_> = others.iter_mut().map(|model| scope.spawn(move || work(model))).collect();
            let mut seconds = work(first);
            seconds.extend(others.into_iter().flat_map(|other| other.join().expect("an engine")));
            seconds
        });
        json!({ "seconds": median(seconds) / threads as f64, "logits": logits })
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A file of numbers in single precision.
pub fn floats(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
