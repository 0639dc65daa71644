//! How much work may be in flight, learnt from how long it takes.
//!
//! No number suits all requests: two hundred notes are answered within a few milliseconds, two
//! hundred large images take a quarter of a second. So the limit is one of time. While work takes
//! longer than it should, which is mostly waiting for other work, the limit falls in proportion;
//! while it is reached and work is done in good time, it rises again. (Little's law: what is in
//! flight is the rate, which the machine sets, times the time, which the limit then does.)

use std::time::{Duration, Instant};

/// Time that work should take, from its admission to its answer, in the mean.
const GOOD: Duration = Duration::from_millis(25);
/// What a change is based on: at least so long a time and so many pieces of work.
const PERIOD: Duration = Duration::from_millis(100);
const PIECES: u32 = 10;
/// How much the limit falls at most at a time, and how much it rises: if work is done in half of
/// the good time, and if in all of it.
const FALL: f64 = 0.5;
const FAST_RISE: f64 = 2.0;
const RISE: f64 = 1.1;

/// The limit and what was observed since it was last changed.
pub struct Limit {
    least: f64,
    most: f64,
    now: f64,
    since: Option<Instant>,
    reached: bool,
    taken: Duration,
    pieces: u32,
}

impl Limit {
    /// A limit between `least` and `most`; it begins with `most`.
    pub fn new(least: usize, most: usize) -> Limit {
        let most = most as f64;
        let least = (least as f64).min(most);
        Limit { least, most, now: most, since: None, reached: false, taken: Duration::ZERO, pieces: 0 }
    }

    /// Whether one more may be added to so many in flight.
    pub fn admits(&mut self, in_flight: usize) -> bool {
        let admitted = in_flight < self.now as usize;
        self.reached |= !admitted;
        admitted
    }

    /// How many may be in flight now.
    pub fn now(&self) -> usize {
        self.now as usize
    }

    /// A piece of work was done that took so long.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        self.taken += took;
        self.pieces += 1;
        let since = *self.since.get_or_insert(now);
        if self.pieces < PIECES || now.saturating_duration_since(since) < PERIOD {
            return;
        }
        let mean = self.taken.as_secs_f64() / f64::from(self.pieces);
        let share = GOOD.as_secs_f64() / mean;
        let factor = match (share < 1.0, self.reached) {
            (true, _) => share.max(FALL),
            (false, true) if share > 2.0 => FAST_RISE,
            (false, true) => RISE,
            (false, false) => 1.0,
        };
        self.now = (self.now * factor).clamp(self.least, self.most);
        (self.since, self.reached, self.taken, self.pieces) = (Some(now), false, Duration::ZERO, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets more in than there is room for, for so many seconds, on a machine that does `rate`
    /// pieces a second one after another. Returns how many are in flight in the end.
    fn overload(limit: &mut Limit, start: Instant, rate: f64, seconds: f64) -> usize {
        let mut admitted = std::collections::VecDeque::new();
        for piece in 0..(rate * seconds) as u64 {
            let now = start + Duration::from_secs_f64(piece as f64 / rate);
            while limit.admits(admitted.len()) {
                admitted.push_back(now);
            }
            let since = admitted.pop_front().unwrap();
            limit.observe(now - since, now);
        }
        admitted.len()
    }

    #[test]
    fn what_is_in_flight_is_what_is_done_in_good_time() {
        for (rate, expected) in [(1000.0, 25), (5000.0, 125), (100.0, 8), (100_000.0, 256)] {
            let mut limit = Limit::new(8, 256);
            let found = overload(&mut limit, Instant::now(), rate, 10.0);
            let good = (found as f64 / expected as f64 - 1.0).abs() < 0.15;
            assert!(good, "{found} in flight at {rate} a second, not some {expected}");
        }
    }

    #[test]
    fn it_follows_when_the_work_changes() {
        let mut limit = Limit::new(8, 256);
        let mut start = Instant::now();
        for (rate, low, high) in [(10_000.0, 200, 256), (500.0, 8, 16), (10_000.0, 200, 256)] {
            let found = overload(&mut limit, start, rate, 4.0);
            assert!((low..=high).contains(&found), "{found} at {rate} a second");
            start += Duration::from_secs(4);
        }
    }

    #[test]
    fn slow_work_with_room_to_spare_is_still_let_in() {
        let mut limit = Limit::new(8, 256);
        let start = Instant::now();
        for second in 0..60 {
            limit.observe(Duration::from_secs(1), start + Duration::from_secs(second));
        }
        assert!(limit.admits(7) && !limit.admits(8));
        let mut strict = Limit::new(8, 1);
        assert!(strict.admits(0) && !strict.admits(1), "the bound that was asked for holds");
    }
}
