//! Threads for what comes before a batch: images are decoded and long notes encoded on them.
//!
//! There are as many as cores, and they take the work in the order in which it came. One goes from
//! one piece to the next by itself; were it the runtime that handed out the cores, every piece would
//! wait for it to come round, which takes long just when there is much to do.
//!
//! Work says how many bytes of memory it takes, and waits until so many are free: what limits the
//! memory of a server is not the number of requests, since a small file can hold a large image.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout_at;

use super::InferenceError;

type Work = Box<dyn FnOnce() + Send>;

/// Work until it is taken: by a thread that does it, or by its client in going away.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<Work>>>);

impl Slot {
    fn take(&self) -> Option<Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Who waits for work to be done. What it holds, a body of megabytes perhaps, does not outlive them
/// in the queue.
struct Waiting(Slot);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// The threads, which end when this is dropped and the work is done.
pub struct PreprocessPool {
    queue: Sender<Slot>,
    /// Units of memory that no work has taken.
    free: Arc<Semaphore>,
    limit: u64,
    /// Turns at reading texts.
    texts: Arc<Semaphore>,
}

/// Bytes that are counted as one.
const UNIT: u64 = 64 << 10;

impl PreprocessPool {
    /// Starts `count` threads, whose work takes at most `memory` bytes together.
    ///
    /// # Errors
    /// What the system reports.
    pub fn start(count: usize, memory: u64) -> std::io::Result<PreprocessPool> {
        let (queue, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..count {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("reader-{number}")).spawn(move || serve(&waiting))?;
        }
        let units = (memory / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize) as u64);
        let free = Arc::new(Semaphore::new(units as usize));
        let texts = Arc::new(Semaphore::new((count / 2).max(1)));
        Ok(PreprocessPool { queue, free, limit: units * UNIT, texts })
    }

    /// Most bytes that one piece of work may take.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// As [`PreprocessPool::run`], for work that takes `bytes` of memory, at most
    /// [`PreprocessPool::limit`]: it begins when so many are free.
    ///
    /// # Errors
    /// The deadline passed before it began; it panicked.
    pub async fn run_within<T: Send + 'static>(
        &self,
        bytes: u64,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), InferenceError> {
        let since = Instant::now();
        let units = bytes.min(self.limit).div_ceil(UNIT) as u32;
        let taking = self.free.clone().acquire_many_owned(units);
        let taken = timeout_at(deadline.into(), taking).await.map_err(|_| InferenceError::DeadlinePassed)?;
        let taken = taken.map_err(|_| InferenceError::Failed)?;
        let waited = since.elapsed();
        let work = move || {
            let done = work();
            drop(taken);
            done
        };
        let (done, queued) = self.run(deadline, work).await?;
        Ok((done, waited + queued))
    }

    /// As [`PreprocessPool::run`], for a piece of a long text. Texts take half of the threads, and
    /// stand in the queue one at a time for each of these: they are long work that costs its sender
    /// little, and images do not wait behind all of it.
    ///
    /// # Errors
    /// The deadline passed before it began; it panicked.
    pub async fn run_text<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Duration), InferenceError> {
        let since = Instant::now();
        let turn = timeout_at(deadline.into(), self.texts.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| InferenceError::DeadlinePassed)?.map_err(|_| InferenceError::Failed)?;
        let waited = since.elapsed();
        // The work has the turn, as it goes on where its client has gone.
        let work = move || {
            let done = work();
            drop(turn);
            done
        };
        let (done, queued) = self.run(deadline, work).await?;
        Ok((done, waited + queued))
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
        let slot = Slot(Arc::new(Mutex::new(Some(Box::new(work)))));
        let _waiting = Waiting(slot.clone());
        self.queue.send(slot).map_err(|_| InferenceError::Failed)?;
        answered.await.map_err(|_| InferenceError::Failed)?
    }
}

fn serve(waiting: &Mutex<Receiver<Slot>>) {
    loop {
        // Nothing panics while the lock is held.
        let slot = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match slot {
            Ok(slot) => {
                if let Some(work) = slot.take() {
                    work();
                }
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn work_is_done_in_the_order_in_which_it_came() {
        let pool = PreprocessPool::start(1, 1 << 20).unwrap();
        let done = Arc::new(Mutex::new(Vec::new()));
        let piece = |number| {
            let done = done.clone();
            pool.run(later(), move || {
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
        let pool = PreprocessPool::start(1, 1 << 20).unwrap();
        let failed = pool.run(later(), || panic!("a defect")).await;
        assert_eq!(failed.map(|((), _)| ()), Err(InferenceError::Failed));
        assert_eq!(pool.run(later(), || 7).await.unwrap().0, 7);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_let_go_at_once_and_not_begun() {
        let pool = PreprocessPool::start(1, 1 << 20).unwrap();
        let (release, held) = channel();
        let first = pool.run(later(), move || held.recv());
        let body = Arc::new(AtomicBool::new(false));
        let begun = body.clone();
        let given_up = pool.run(later(), move || begun.store(true, Relaxed));
        let late = pool.run(Instant::now(), || ());
        let giving_up = async {
            assert!(tokio::time::timeout(Duration::from_millis(20), given_up).await.is_err());
            // The first still has the only thread.
            assert_eq!(Arc::strong_count(&body), 1);
            release.send(()).unwrap();
        };
        let (first, late, ()) = tokio::join!(first, late, giving_up);
        assert!(first.is_ok() && !body.load(Relaxed));
        assert_eq!(late.map(|((), _)| ()), Err(InferenceError::DeadlinePassed));
    }

    #[tokio::test]
    async fn work_that_takes_more_memory_than_is_free_waits_until_it_is() {
        let pool = PreprocessPool::start(4, 1 << 20).unwrap();
        let (most, now) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let piece = || {
            let (most, now) = (most.clone(), now.clone());
            pool.run_within(600 << 10, later(), move || {
                *now.lock().unwrap() += 1;
                let held = *now.lock().unwrap();
                let mut most = most.lock().unwrap();
                *most = held.max(*most);
                drop(most);
                thread::sleep(Duration::from_millis(2));
                *now.lock().unwrap() -= 1;
            })
        };
        let all = futures::future::join_all((0..8).map(|_| piece())).await;
        assert!(all.into_iter().all(|one| one.is_ok()));
        assert_eq!(*most.lock().unwrap(), 1);
        let (release, held) = channel();
        let first = pool.run_within(1 << 20, later(), move || held.recv());
        let late = pool.run_within(1, Instant::now() + Duration::from_millis(20), || ());
        let (first, late) = tokio::join!(first, async {
            let late = late.await;
            release.send(()).unwrap();
            late
        });
        assert!(first.is_ok());
        assert_eq!(late.map(|((), _)| ()), Err(InferenceError::DeadlinePassed));
    }
}
