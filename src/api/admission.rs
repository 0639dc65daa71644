//! Which work is let in: no more at a time than the machine can do in good time.
//!
//! A server that takes everything in answers everything late. So work in flight is counted and
//! bounded (how closely, [`Limit`] learns), what comes beyond is refused at once and told when to
//! come back: the time that the work before it will take, at the rate at which work was observed to
//! finish.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::limit::Limit;

/// Requests in flight for each engine that are let in however long they take: a full batch for each.
const LEAST: usize = 32;

/// Bodies that arrive at a time may hold so many times the largest body together.
const BODIES: usize = 16;

/// Longest time a client is told to stay away, in seconds.
const LONGEST: f64 = 60.0;

/// Time over which the rate of finishing is taken.
const WINDOW: Duration = Duration::from_secs(1);

/// Counts what is in flight.
pub struct Admission {
    most_bytes: usize,
    state: Mutex<State>,
}

struct State {
    limit: Limit,
    draining: bool,
    in_flight: usize,
    bytes: usize,
    rate: Rate,
}

/// How many requests finish in a second in which there is something to do.
#[derive(Default)]
struct Rate {
    per_second: Option<f64>,
    finished: u32,
    busy: Duration,
    since: Option<Instant>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As much as is allowed is in flight.
    Full,
    /// The server is about to end.
    Draining,
}

impl Admission {
    /// At most `most` requests at a time, with bodies of at most `max_body_bytes`, for so many
    /// `engines`.
    pub fn new(most: usize, engines: usize, max_body_bytes: usize) -> Arc<Admission> {
        let most_bytes = max_body_bytes.saturating_mul(BODIES);
        let limit = Limit::new(LEAST.saturating_mul(engines), most);
        let state = State { limit, draining: false, in_flight: 0, bytes: 0, rate: Rate::default() };
        Arc::new(Admission { most_bytes, state: Mutex::new(state) })
    }

    /// Whether a request that came now would be let in, before its body is read.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(&self) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.draining {
            return Err(Refused::Draining);
        }
        let in_flight = state.in_flight;
        if state.limit.admits(in_flight) { Ok(()) } else { Err(Refused::Full) }
    }

    /// Lets a request in that has arrived whole, until its pass is dropped. One whose body was
    /// on its way when draining began is still finished. The limit learns from those that `compute`:
    /// others may wait for a database, which more room makes no slower.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn enter(self: &Arc<Self>, compute: bool) -> Result<Pass, Refused> {
        let mut state = self.lock();
        let in_flight = state.in_flight;
        if !state.limit.admits(in_flight) {
            return Err(Refused::Full);
        }
        let now = Instant::now();
        if in_flight == 0 {
            state.rate.since = Some(now);
        }
        state.in_flight += 1;
        Ok(Pass { admission: self.clone(), computing: compute.then_some(now) })
    }

    /// Room for the bytes of a body.
    pub fn body(self: &Arc<Self>) -> Room {
        Room { admission: self.clone(), bytes: 0 }
    }

    /// Lets nothing in any more.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Seconds after which a refused request is worth another try: what is in flight, over the
    /// rate at which it finishes.
    pub fn retry_after(&self) -> u64 {
        let state = self.lock();
        let seconds = state.rate.per_second.map_or(1.0, |rate| state.in_flight as f64 / rate);
        seconds.ceil().clamp(1.0, LONGEST) as u64
    }

    fn leave(&self, computing: Option<Instant>) {
        let mut state = self.lock();
        state.in_flight -= 1;
        let (still_busy, now) = (state.in_flight > 0, Instant::now());
        state.rate.finish(now, still_busy);
        if let Some(since) = computing {
            state.limit.observe(now.saturating_duration_since(since), now);
        }
    }

    /// No code panics while it holds the lock; were it to, the numbers would still be whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rate {
    fn finish(&mut self, now: Instant, still_busy: bool) {
        let since = self.since.unwrap_or(now);
        self.busy += now.saturating_duration_since(since);
        self.since = still_busy.then_some(now);
        self.finished += 1;
        if self.busy < WINDOW {
            return;
        }
        let observed = f64::from(self.finished) / self.busy.as_secs_f64();
        // Half of the new, half of the old: a change shows within seconds, a hiccup hardly does.
        self.per_second = Some(self.per_second.map_or(observed, |before| 0.5 * (before + observed)));
        (self.finished, self.busy) = (0, Duration::ZERO);
    }
}

/// A request that was let in.
pub struct Pass {
    admission: Arc<Admission>,
    /// Since when, where the limit learns from it.
    computing: Option<Instant>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.admission.leave(self.computing);
    }
}

/// The bytes that a body holds.
pub struct Room {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Room {
    /// Takes `more` bytes; false where all bodies together hold as much as they may.
    pub fn grow(&mut self, more: usize) -> bool {
        let mut state = self.admission.lock();
        if state.bytes + more > self.admission.most_bytes {
            return false;
        }
        state.bytes += more;
        self.bytes += more;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.admission.lock().bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_makes_room() {
        let admission = Admission::new(2, 1, 10);
        let first = admission.enter(true).ok().unwrap();
        let _second = admission.enter(true).ok().unwrap();
        assert_eq!(admission.check(), Err(Refused::Full));
        assert!(admission.enter(true).is_err());
        drop(first);
        assert_eq!(admission.check(), Ok(()));
        assert!(admission.enter(true).is_ok());
    }

    #[test]
    fn who_was_on_the_way_when_draining_began_is_finished() {
        let admission = Admission::new(1, 1, 10);
        admission.drain();
        assert_eq!(admission.check(), Err(Refused::Draining));
        assert!(admission.enter(true).is_ok());
    }

    #[test]
    fn bodies_hold_a_bounded_number_of_bytes() {
        let admission = Admission::new(1, 1, 10);
        let mut body = admission.body();
        assert!(body.grow(160));
        let mut another = admission.body();
        assert!(!another.grow(1));
        drop(body);
        assert!(another.grow(1));
    }

    #[test]
    fn a_client_is_told_to_come_back_when_the_work_before_it_is_done() {
        let admission = Admission::new(100, 1, 10);
        assert_eq!(admission.retry_after(), 1, "nothing was observed yet");
        let start = Instant::now();
        // Ten a second, without a pause.
        let mut rate = Rate { since: Some(start), ..Rate::default() };
        for tenth in 1..=40 {
            rate.finish(start + Duration::from_millis(100 * tenth), true);
        }
        let mut passes: Vec<Pass> = (0..45).map(|_| admission.enter(true).ok().unwrap()).collect();
        admission.lock().rate = rate;
        assert_eq!(admission.retry_after(), 5);
        passes.clear();
        admission.lock().rate.per_second = Some(0.001);
        let _pass = admission.enter(true);
        assert_eq!(admission.retry_after(), 60);
    }

    #[test]
    fn an_idle_hour_does_not_count_against_the_rate() {
        let start = Instant::now();
        let mut rate = Rate { since: Some(start), ..Rate::default() };
        rate.finish(start + Duration::from_millis(500), false);
        rate.since = Some(start + Duration::from_secs(3600));
        rate.finish(start + Duration::from_millis(3_600_500), false);
        assert!((rate.per_second.unwrap() - 2.0).abs() < 1e-9);
    }
}
