//! Memory that is used again, for kernels that would otherwise fetch and clear it at every step.
//!
//! A step of training asks for the same few dozen buffers each time. Taken anew they cost a fifth of
//! the step: an allocator gives large ones back to the system, which clears every page when it is
//! touched next. Here a thread keeps what it has dropped. A buffer comes as it was left, so whoever
//! takes one writes every value before it reads it; a debug build fills it with what is no number,
//! so that a test sees where that is not so.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::simd::Buffer;

/// Buffers that a thread keeps; the one that was dropped first goes when there are more.
const KEPT: usize = 256;

thread_local! {
    static FREE: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Floats of any value, which begin at a cache line.
#[derive(Debug)]
pub struct Scratch {
    buffer: Buffer,
    count: usize,
}

/// `count` floats of any value.
pub fn take(count: usize) -> Scratch {
    let kept = FREE.with_borrow_mut(|free| {
        let fits = |buffer: &Buffer| buffer.len() >= count && buffer.len() <= 2 * count + 1024;
        let best = free.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let best = best.min_by_key(|(_, buffer)| buffer.len()).map(|(place, _)| place);
        best.map(|place| free.remove(place))
    });
    let mut scratch = Scratch { buffer: kept.unwrap_or_else(|| Buffer::zeros(count)), count };
    if cfg!(debug_assertions) {
        scratch.fill(f32::NAN);
    }
    scratch
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        // A thread that is ending has no place for it any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() == KEPT {
                free.remove(0);
            }
            free.push(buffer);
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[..self.count]
    }
}

impl DerefMut for Scratch {
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
}
