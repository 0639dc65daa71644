//! Threads for what comes before a batch: images are decoded and long notes encoded on them.
//!
//! There are as many as cores, and they take the work in the order in which it came. One goes from
//! one piece to the next by itself; were it the runtime that handed out the cores, every piece would
//! wait for it to come round, which takes long just when there is much to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::InferenceError;

type Work = Box<dyn FnOnce() + Send>;

/// The threads, which end when this is dropped and the work is done.
pub struct Cores {
    queue: Sender<Work>,
}

impl Cores {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// What the system reports.
    pub fn start(count: usize) -> std::io::Result<Cores> {
        let (queue, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..count {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || serve(&waiting))?;
        }
        Ok(Cores { queue })
    }

    /// Does `work` when a thread is free for it, and says how long it waited for that. Where nobody
    /// waits for the answer any more it is not begun.
    ///
    /// # Errors
    /// The deadline passed before it began; it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), InferenceError> {
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let work = move || {
            let start = Instant::now();
            if answer.is_closed() {
                return;
            }
            let outcome = match deadline <= start {
                true => Err(InferenceError::DeadlinePassed),
                false => match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(done) => Ok((done, start - since)),
                    Err(_) => Err(InferenceError::Failed),
                },
            };
            // A client that has gone needs no answer.
            let _ = answer.send(outcome);
        };
        self.queue.send(Box::new(work)).map_err(|_| InferenceError::Failed)?;
        answered.await.map_err(|_| InferenceError::Failed)?
    }
}

fn serve(waiting: &Mutex<Receiver<Work>>) {
    loop {
        // Nothing panics while the lock is held.
        let work = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match work {
            Ok(work) => work(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn work_is_done_in_the_order_in_which_it_came() {
        let cores = Cores::start(1).unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let piece = |number| {
            let done = done.clone();
            cores.run(later(), move || {
                thread::sleep(Duration::from_millis(2));
                done.lock().unwrap().push(number);
            })
        };
        let all = futures::future::join_all((0..20).map(piece)).await;
        assert_eq!(*done.lock().unwrap(), (0..20).collect::<Vec<_>>());
        let waited: Vec<Duration> = all.into_iter().map(|one| one.unwrap().1).collect();
        assert!(waited[19] >= Duration::from_millis(38), "{waited:?}");
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_work_alone() {
        let cores = Cores::start(1).unwrap();
        let failed = cores.run(later(), || panic!("a defect")).await;
        assert_eq!(failed.map(|((), _)| ()), Err(InferenceError::Failed));
        assert_eq!(cores.run(later(), || 7).await.unwrap().0, 7);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_begun() {
        let cores = Cores::start(1).unwrap();
        let (release, held) = channel();
        let first = cores.run(later(), move || held.recv());
        let begun = Arc::new(Mutex::new(false));
        let note = begun.clone();
        let given_up = cores.run(later(), move || *note.lock().unwrap() = true);
        let late = cores.run(Instant::now(), || ());
        let releasing = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            release.send(()).unwrap();
        };
        let given_up = tokio::time::timeout(Duration::from_millis(20), given_up);
        let (first, given_up, late, ()) = tokio::join!(first, given_up, late, releasing);
        assert!(given_up.is_err() && first.is_ok());
        assert_eq!(late.map(|((), _)| ()), Err(InferenceError::DeadlinePassed));
        assert!(!*begun.lock().unwrap());
    }
}
