//! Engine threads: each owns a copy of a model and works alone.
//!
//! An engine computes on the one thread it is; N engines use N cores without ever waiting for
//! each other. A panic inside a model fails the batch it was at, is counted, and the engine
//! goes on with a model built anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use metrics::Histogram;

use super::batcher::{Answer, Batcher, Job};

/// Why an input got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InferenceError {
    /// Its deadline passed while it waited.
    #[error("the deadline passed before the model was free")]
    DeadlinePassed,
    /// The model failed on its batch.
    #[error("the model failed")]
    Failed,
}

/// A model as an engine sees it.
pub trait Model: Send {
    /// One preprocessed input.
    type Input: Send + 'static;

    /// One row of logits an input, in order.
    ///
    /// # Errors
    /// What the numerical library reports.
    fn logits(&mut self, inputs: &[Self::Input]) -> candle_core::Result<Vec<Vec<f32>>>;
}

/// Starts an engine thread that serves `batcher` until it is closed. `build` makes the model:
/// once now, and again after a panic.
///
/// # Errors
/// The thread could not be started.
pub fn spawn<M, F>(
    name: &str,
    batcher: Arc<Batcher<M::Input>>,
    max_batch: usize,
    first: M,
    build: F,
) -> std::io::Result<()>
where
    M: Model + 'static,
    F: Fn() -> candle_core::Result<M> + Send + 'static,
{
    let label = name.to_string();
    let sizes = metrics::histogram!("medserve_batch_size", "model" => label.clone());
    let work = move || {
        let mut model = first;
        while let Some(jobs) = batcher.take(max_batch) {
            if run(&mut model, jobs, &label, &sizes) {
                continue;
            }
            match build() {
                Ok(fresh) => model = fresh,
                Err(error) => {
                    tracing::error!(model = label, %error, "an engine could not be started again");
                    return;
                }
            }
        }
    };
    // A pool of one thread: whatever the numerical library spreads over "all cores" stays here.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).thread_name({
        let name = name.to_string();
        move |_| format!("engine-{name}")
    });
    let pool = pool.build().map_err(std::io::Error::other)?;
    pool.spawn(work);
    Ok(())
}

/// Computes and answers one batch; false where the model panicked.
fn run<M: Model>(model: &mut M, jobs: Vec<Job<M::Input>>, name: &str, sizes: &Histogram) -> bool {
    let start = Instant::now();
    let mut inputs = Vec::with_capacity(jobs.len());
    let mut waiting = Vec::with_capacity(jobs.len());
    for job in jobs {
        inputs.push(job.input);
        waiting.push((job.since, job.reply));
    }
    // The model is thrown away after a panic, so nothing half-changed is seen.
    let result = catch_unwind(AssertUnwindSafe(|| model.logits(&inputs)));
    let inference = start.elapsed();
    let batch = inputs.len();
    sizes.record(batch as f64);
    match result {
        Ok(Ok(rows)) if rows.len() == batch => {
            for ((since, reply), logits) in waiting.into_iter().zip(rows) {
                let queued = start.saturating_duration_since(since);
                // A client that has gone needs no answer.
                let _ = reply.send(Ok(Answer { logits, queued, inference, batch }));
            }
            true
        }
        other => {
            let panicked = other.is_err();
            if let Ok(Err(error)) = other {
                tracing::error!(model = name, %error, "a batch failed");
            }
            metrics::counter!("medserve_batches_failed_total", "model" => name.to_string()).increment(1);
            for (_, reply) in waiting {
                let _ = reply.send(Err(InferenceError::Failed));
            }
            !panicked
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    struct Doubler;

    impl Model for Doubler {
        type Input = f32;

        fn logits(&mut self, inputs: &[f32]) -> candle_core::Result<Vec<Vec<f32>>> {
            assert!(inputs.iter().all(|x| *x >= 0.0), "a negative input");
            Ok(inputs.iter().map(|x| vec![2.0 * x]).collect())
        }
    }

    #[test]
    fn a_panic_fails_its_batch_and_the_engine_goes_on() {
        let batcher = Arc::new(Batcher::new(8));
        spawn("test", batcher.clone(), 1, Doubler, || Ok(Doubler)).unwrap();
        let ask = |x: f32| {
            let deadline = Instant::now() + Duration::from_secs(30);
            batcher.submit(vec![x], deadline).unwrap().remove(0).blocking_recv().unwrap()
        };
        assert_eq!(ask(3.0).unwrap().logits, [6.0]);
        assert_eq!(ask(-1.0), Err(InferenceError::Failed));
        assert_eq!(ask(4.0).unwrap().logits, [8.0]);
        batcher.close();
    }

    /// Says what it was given, and answers when it is told to.
    struct Gate {
        given: Sender<Vec<u32>>,
        open: Receiver<()>,
    }

    impl Model for Gate {
        type Input = u32;

        fn logits(&mut self, inputs: &[u32]) -> candle_core::Result<Vec<Vec<f32>>> {
            self.given.send(inputs.to_vec()).unwrap();
            self.open.recv().unwrap();
            Ok(inputs.iter().map(|x| vec![*x as f32]).collect())
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_never_reaches_the_model() {
        let ((given, batches), (opener, open)) = (channel(), channel());
        let batcher = Arc::new(Batcher::new(8));
        spawn("test", batcher.clone(), 8, Gate { given, open }, || candle_core::bail!("it did not panic"))
            .unwrap();
        let now = Instant::now();
        let submit = |x: u32, deadline: Instant| batcher.submit(vec![x], deadline).unwrap().remove(0);

        let first = submit(1, now + Duration::from_secs(60));
        assert_eq!(batches.recv().unwrap(), [1]);
        // The engine is busy: these wait. One client leaves, the time of another runs out.
        drop(submit(2, now + Duration::from_secs(60)));
        let late = submit(3, Instant::now());
        let last = submit(4, now + Duration::from_secs(60));
        opener.send(()).unwrap();
        opener.send(()).unwrap();

        assert_eq!(first.blocking_recv().unwrap().unwrap().logits, [1.0]);
        assert_eq!(late.blocking_recv().unwrap(), Err(InferenceError::DeadlinePassed));
        let answer = last.blocking_recv().unwrap().unwrap();
        assert_eq!((answer.logits, answer.batch), (vec![4.0], 1));
        assert_eq!(batches.recv().unwrap(), [4]);
        batcher.close();
        assert!(batches.recv().is_err());
    }
}
