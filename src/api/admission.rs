//! Which work is let in: no more at a time than the machine can do in good time.
//!
//! A server that takes everything in answers everything late. So work in flight is counted and
//! bounded (how closely, [`Limit`] learns), what comes beyond is refused at once and told when to
//! come back: the time that the work before it will take, at the rate at which work was observed to
//! finish.
//!
//! Work is of three classes that are counted apart, so that a database that hangs, and with it all
//! that waits for it, keeps no image from being answered. And no caller keeps out the others: one that
//! has nothing in flight gets a place also where all are taken, and what the bodies of one may hold is at
//! most as much as is left for everybody else.

use std::collections::HashMap;
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

/// What a request's work is done by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The models.
    Compute,
    /// The recommender.
    Recommend,
    /// The database, and everything else.
    Data,
}

impl Class {
    const COUNT: usize = 3;
}

/// Counts what is in flight.
pub struct Admission {
    most_bytes: usize,
    /// Places beyond the limit for callers that have nothing in flight.
    spare: usize,
    state: Mutex<State>,
}

struct State {
    draining: bool,
    classes: [ClassState; Class::COUNT],
    bytes: usize,
    callers: HashMap<String, Held>,
}

struct ClassState {
    limit: Limit,
    in_flight: usize,
    rate: Rate,
}

/// What one caller has in flight.
#[derive(Default)]
struct Held {
    in_flight: [usize; Class::COUNT],
    bytes: usize,
}

impl State {
    fn admits(&mut self, class: Class, caller: &str, spare: usize) -> bool {
        let ClassState { limit, in_flight, .. } = &mut self.classes[class as usize];
        if limit.admits(*in_flight) {
            return true;
        }
        let held = self.callers.get(caller).map_or(0, |held| held.in_flight[class as usize]);
        held == 0 && *in_flight < limit.now() + spare
    }

    fn held(&mut self, caller: &str) -> &mut Held {
        if !self.callers.contains_key(caller) {
            self.callers.insert(caller.to_string(), Held::default());
        }
        self.callers.get_mut(caller).expect("it was inserted")
    }

    fn forget_idle(&mut self, caller: &str) {
        if self.callers.get(caller).is_some_and(|held| held.bytes == 0 && held.in_flight == [0; Class::COUNT])
        {
            self.callers.remove(caller);
        }
    }
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
    /// At most `most` requests of each class at a time, with bodies of at most `max_body_bytes`, for so
    /// many `engines`.
    pub fn new(most: usize, engines: usize, max_body_bytes: usize) -> Arc<Admission> {
        let most_bytes = max_body_bytes.saturating_mul(BODIES);
        let class =
            |least| ClassState { limit: Limit::new(least, most), in_flight: 0, rate: Rate::default() };
        // Only the first learns: others may wait for a database, which more room makes no slower.
        let classes = [class(LEAST.saturating_mul(engines)), class(most), class(most)];
        let state = State { draining: false, classes, bytes: 0, callers: HashMap::new() };
        Arc::new(Admission { most_bytes, spare: (most / 8).max(4), state: Mutex::new(state) })
    }

    /// Whether a request that came now would be let in, before its body is read.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check(&self, class: Class, caller: &str) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.draining {
            return Err(Refused::Draining);
        }
        if state.admits(class, caller, self.spare) { Ok(()) } else { Err(Refused::Full) }
    }

    /// Lets a request in that has arrived whole, until its pass is dropped. One whose body was
    /// on its way when draining began is still finished.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn enter(self: &Arc<Self>, class: Class, caller: &str) -> Result<Pass, Refused> {
        let mut state = self.lock();
        if !state.admits(class, caller, self.spare) {
            return Err(Refused::Full);
        }
        let now = Instant::now();
        let counted = &mut state.classes[class as usize];
        if counted.in_flight == 0 {
            counted.rate.since = Some(now);
        }
        counted.in_flight += 1;
        state.held(caller).in_flight[class as usize] += 1;
        Ok(Pass { admission: self.clone(), class, caller: caller.to_string(), since: now })
    }

    /// Room for the bytes of a body.
    pub fn body(self: &Arc<Self>, caller: &str) -> Room {
        Room { admission: self.clone(), caller: caller.to_string(), bytes: 0 }
    }

    /// Lets nothing in any more.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Waits until nothing is in flight, also nothing whose client has gone.
    pub async fn until_idle(&self) {
        while self.lock().classes.iter().any(|class| class.in_flight > 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Seconds after which a refused request is worth another try: what is in flight, over the
    /// rate at which it finishes.
    pub fn retry_after(&self, class: Class) -> u64 {
        let state = self.lock();
        let ClassState { in_flight, rate, .. } = &state.classes[class as usize];
        let seconds = rate.per_second.map_or(1.0, |rate| *in_flight as f64 / rate);
        seconds.ceil().clamp(1.0, LONGEST) as u64
    }

    fn leave(&self, pass: &Pass) {
        let mut state = self.lock();
        let class = &mut state.classes[pass.class as usize];
        class.in_flight -= 1;
        let (still_busy, now) = (class.in_flight > 0, Instant::now());
        class.rate.finish(now, still_busy);
        if pass.class == Class::Compute {
            class.limit.observe(now.saturating_duration_since(pass.since), now);
        }
        state.held(&pass.caller).in_flight[pass.class as usize] -= 1;
        state.forget_idle(&pass.caller);
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
    class: Class,
    caller: String,
    since: Instant,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.admission.leave(self);
    }
}

/// The bytes that a body holds.
pub struct Room {
    admission: Arc<Admission>,
    caller: String,
    bytes: usize,
}

impl Room {
    /// Takes `more` bytes; false where all bodies together hold as much as they may, or those of this
    /// caller as much as would be left for all others.
    pub fn grow(&mut self, more: usize) -> bool {
        let most = self.admission.most_bytes;
        let mut state = self.admission.lock();
        let total = state.bytes.saturating_add(more);
        let own = state.held(&self.caller).bytes.saturating_add(more);
        if total > most || own > most - total {
            state.forget_idle(&self.caller);
            return false;
        }
        state.bytes = total;
        state.held(&self.caller).bytes = own;
        self.bytes += more;
        true
    }
}

impl Room {
    /// Whether `more` bytes beside those it has could ever be taken, were there no other body.
    pub fn could_grow(&self, more: usize) -> bool {
        self.bytes.saturating_add(more) <= self.admission.most_bytes / 2
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.admission.lock();
        state.bytes -= self.bytes;
        state.held(&self.caller).bytes -= self.bytes;
        state.forget_idle(&self.caller);
    }
}

#[cfg(test)]
mod tests {
    use super::Class::{Compute, Data};
    use super::*;

    #[test]
    fn what_leaves_makes_room() {
        let admission = Admission::new(2, 1, 10);
        let first = admission.enter(Compute, "a").ok().unwrap();
        let _second = admission.enter(Compute, "a").ok().unwrap();
        assert_eq!(admission.check(Compute, "a"), Err(Refused::Full));
        assert!(admission.enter(Compute, "a").is_err());
        drop(first);
        assert_eq!(admission.check(Compute, "a"), Ok(()));
        assert!(admission.enter(Compute, "a").is_ok());
    }

    #[test]
    fn one_class_takes_no_place_of_another_and_one_caller_none_of_the_others() {
        let admission = Admission::new(2, 1, 10);
        let hanging: Vec<Pass> = (0..2).map(|_| admission.enter(Data, "a").ok().unwrap()).collect();
        assert!(admission.enter(Data, "a").is_err());
        assert!(admission.enter(Compute, "a").is_ok());
        let other = admission.enter(Data, "b").ok().unwrap();
        assert!(admission.enter(Data, "b").is_err(), "one place, not any number");
        drop((hanging, other));
        assert!(admission.lock().callers.is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn who_was_on_the_way_when_draining_began_is_finished() {
        let admission = Admission::new(1, 1, 10);
        admission.drain();
        assert_eq!(admission.check(Compute, "a"), Err(Refused::Draining));
        assert!(admission.enter(Compute, "a").is_ok());
    }

    #[test]
    fn bodies_hold_a_bounded_number_of_bytes_and_leave_some_for_others() {
        let admission = Admission::new(1, 1, 10);
        let mut body = admission.body("a");
        assert!(body.grow(80) && !body.grow(1));
        let mut another = admission.body("b");
        assert!(another.grow(40) && !another.grow(1));
        let mut third = admission.body("c");
        assert!(third.grow(20));
        drop(body);
        assert!(another.grow(10));
        drop((another, third));
        assert!(admission.lock().callers.is_empty());
    }

    #[test]
    fn a_client_is_told_to_come_back_when_the_work_before_it_is_done() {
        let admission = Admission::new(100, 1, 10);
        assert_eq!(admission.retry_after(Compute), 1, "nothing was observed yet");
        let start = Instant::now();
        // Ten a second, without a pause.
        let mut rate = Rate { since: Some(start), ..Rate::default() };
        for tenth in 1..=40 {
            rate.finish(start + Duration::from_millis(100 * tenth), true);
        }
        let mut passes: Vec<Pass> = (0..45).map(|_| admission.enter(Compute, "a").ok().unwrap()).collect();
        admission.lock().classes[0].rate = rate;
        assert_eq!(admission.retry_after(Compute), 5);
        passes.clear();
        admission.lock().classes[0].rate.per_second = Some(0.001);
        let _pass = admission.enter(Compute, "a");
        assert_eq!(admission.retry_after(Compute), 60);
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
