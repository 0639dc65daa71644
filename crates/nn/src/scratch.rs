//! Memory that is used again, for kernels that would otherwise fetch and clear it at every step.
//!
//! A step of training asks for the same buffers each time. An allocator gives large ones back to the
//! system, which clears every page when it is touched next. Here a thread keeps the small ones that
//! it has dropped, and all threads together the large ones, which may be dropped by another than
//! took them. A buffer comes as it was left, so whoever takes one writes every value before it reads
//! it; a debug build fills it with what is no number, so that a test sees where that is not so.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::simd::AlignedVec;

/// Buffers that are kept in one place; the one that was dropped first goes when there are more.
const KEPT: usize = 256;

/// Floats from which on a buffer is large.
const LARGE: usize = 1 << 16;

thread_local! {
    static SMALL: RefCell<Free> = const { RefCell::new(Free(Vec::new())) };
}

static SHARED: Mutex<Free> = Mutex::new(Free(Vec::new()));

/// Buffers that nobody uses.
struct Free(Vec<AlignedVec>);

impl Free {
    /// The smallest that holds `count` floats and not many more.
    fn take(&mut self, count: usize) -> Option<AlignedVec> {
        let fits = |buffer: &AlignedVec| buffer.len() >= count && buffer.len() <= 2 * count + 1024;
        let fitting = self.0.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let best = fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(place, _)| place);
        best.map(|place| self.0.remove(place))
    }

    fn keep(&mut self, buffer: AlignedVec) {
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push(buffer);
    }
}

/// What large buffers are kept in; a panic elsewhere leaves it whole.
fn shared() -> MutexGuard<'static, Free> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Floats of any value, which begin at a cache line.
#[derive(Debug)]
pub struct PooledVec {
    buffer: AlignedVec,
    count: usize,
}

/// `count` floats of any value.
pub fn take(count: usize) -> PooledVec {
    let kept = match count < LARGE {
        true => SMALL.with_borrow_mut(|free| free.take(count)),
        false => shared().take(count),
    };
    let mut scratch = PooledVec { buffer: kept.unwrap_or_else(|| AlignedVec::zeros(count)), count };
    if cfg!(debug_assertions) {
        scratch.fill(f32::NAN);
    }
    scratch
}

impl Drop for PooledVec {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        match buffer.len() < LARGE {
            // A thread that is ending has no place for it any more.
            true => SMALL.try_with(|free| free.borrow_mut().keep(buffer)).unwrap_or_default(),
            false => shared().keep(buffer),
        }
    }
}

impl Deref for PooledVec {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[..self.count]
    }
}

impl DerefMut for PooledVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_never_twice_at_a_time() {
        let mut first = take(1000);
        first.fill(1.0);
        let place = first.as_ptr();
        let mut second = take(1000);
        second.fill(2.0);
        assert!(first.iter().all(|value| *value == 1.0) && first.len() == 1000);
        drop(first);
        let third = take(900);
        assert!(third.as_ptr() == place && third.len() == 900);
        assert!(second.iter().all(|value| *value == 2.0));
        assert!(take(0).is_empty());
    }

    #[test]
    fn many_threads_take_and_drop_large_buffers() {
        let work = |seed: usize| {
            let mut all: Vec<PooledVec> = Vec::new();
            for round in 0..20 {
                let mut scratch = take(LARGE + (seed * 7 + round) % 5 * 1000);
                scratch.fill((seed * 100 + round) as f32);
                all.push(scratch);
                if round % 3 == 0 {
                    all.remove(0);
                }
                assert!(all.iter().all(|one| one.iter().all(|value| *value == one[0])));
            }
            all
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
            for thread in threads {
                assert!(!thread.join().unwrap().is_empty());
            }
        });
    }
}
