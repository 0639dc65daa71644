//! A model's queue: bounded, taken from in batches, without a timer.
//!
//! An idle engine takes what is there at once, so a lone request never waits for company; while
//! all engines are busy, requests gather and the next free engine takes them together. Work
//! whose client has gone or whose deadline has passed is dropped before it costs anything.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::engine::InferenceError;

/// The queue cannot take the inputs of a request: the caller should come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the model's queue is full")]
pub struct QueueFull;

/// What an engine says of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// One value a label.
    pub logits: Vec<f32>,
    /// Time between joining the queue and being taken.
    pub queued: Duration,
    /// Time the engine took for the batch.
    pub inference: Duration,
    /// Number of inputs in that batch.
    pub batch: usize,
}

/// The receiving end of an input's answer.
pub type Reply = oneshot::Receiver<Result<Answer, InferenceError>>;

/// One input on its way.
pub(super) struct Job<I> {
    pub input: I,
    pub since: Instant,
    deadline: Instant,
    pub reply: oneshot::Sender<Result<Answer, InferenceError>>,
}

/// The queue of one model.
pub struct Batcher<I> {
    capacity: usize,
    state: Mutex<State<I>>,
    filled: Condvar,
}

struct State<I> {
    waiting: VecDeque<Job<I>>,
    closed: bool,
}

impl<I> Batcher<I> {
    /// A queue that holds at most `capacity` inputs.
    pub fn new(capacity: usize) -> Batcher<I> {
        let state = State { waiting: VecDeque::new(), closed: false };
        Batcher { capacity, state: Mutex::new(state), filled: Condvar::new() }
    }

    /// Queues all inputs of a request, or none. The answers come in the order of the inputs.
    ///
    /// # Errors
    /// The queue has no room for all of them, or is closed.
    pub fn submit(&self, inputs: Vec<I>, deadline: Instant) -> Result<Vec<Reply>, QueueFull> {
        let mut state = self.lock();
        if state.closed || state.waiting.len() + inputs.len() > self.capacity {
            return Err(QueueFull);
        }
        let since = Instant::now();
        let replies = inputs.into_iter().map(|input| {
            let (reply, receiver) = oneshot::channel();
            state.waiting.push_back(Job { input, since, deadline, reply });
            receiver
        });
        let replies: Vec<Reply> = replies.collect();
        drop(state);
        match replies.len() {
            1 => self.filled.notify_one(),
            _ => self.filled.notify_all(),
        }
        Ok(replies)
    }

    /// Number of inputs that wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// True where nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the queue: nothing more is taken in, and engines stop once it is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Waits for work and takes up to `most` inputs that are still wanted. `None` once the queue
    /// is closed and empty.
    pub(super) fn take(&self, most: usize) -> Option<Vec<Job<I>>> {
        let mut state = self.lock();
        loop {
            let mut batch = Vec::new();
            while batch.len() < most
                && let Some(job) = state.waiting.pop_front()
            {
                if job.reply.is_closed() {
                    continue;
                }
                if job.deadline <= Instant::now() {
                    // The receiver may have gone since: then nobody needs to know.
                    let _ = job.reply.send(Err(InferenceError::DeadlinePassed));
                    continue;
                }
                batch.push(job);
            }
            if !batch.is_empty() {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No code panics while it holds the lock; were it to, the queue itself would still be whole.
    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_waits_is_taken_together_in_order_up_to_the_largest_batch() {
        let batcher = Batcher::new(10);
        let _replies = batcher.submit((0..5).collect(), later()).unwrap();
        let inputs = |batch: Vec<Job<i32>>| batch.into_iter().map(|job| job.input).collect::<Vec<_>>();
        assert_eq!(inputs(batcher.take(3).unwrap()), [0, 1, 2]);
        assert_eq!(inputs(batcher.take(3).unwrap()), [3, 4]);
    }

    #[test]
    fn a_full_queue_takes_all_of_a_request_or_nothing() {
        let batcher = Batcher::new(3);
        let _kept = batcher.submit(vec![1, 2], later()).unwrap();
        assert_eq!(batcher.submit(vec![3, 4], later()).unwrap_err(), QueueFull);
        assert_eq!(batcher.len(), 2);
    }

    #[test]
    fn work_that_nobody_waits_for_is_dropped() {
        let batcher = Batcher::new(10);
        drop(batcher.submit(vec![1], later()).unwrap());
        let mut late = batcher.submit(vec![2], Instant::now()).unwrap();
        let _kept = batcher.submit(vec![3], later()).unwrap();
        let batch = batcher.take(8).unwrap();
        assert_eq!(batch.len(), 1);
        assert_eq!(batch[0].input, 3);
        assert_eq!(late[0].try_recv().unwrap(), Err(InferenceError::DeadlinePassed));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_ends() {
        let batcher = Batcher::new(10);
        let _kept = batcher.submit(vec![1], later()).unwrap();
        batcher.close();
        assert!(batcher.submit(vec![2], later()).is_err());
        assert_eq!(batcher.take(8).unwrap().len(), 1);
        assert!(batcher.take(8).is_none());
    }
}
