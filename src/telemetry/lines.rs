//! Log lines on their way to standard error, written by a thread of their own.
//!
//! Whoever reads the log may be slow or gone, and the disk that it goes to full. A server that waited for that, or failed on it,
//! would answer nobody for the sake of its log; so lines queue here up to a bound, what is beyond it is dropped and counted, and
//! so is what cannot be written. Those of a few milliseconds are written together: to wake the thread for each would cost a
//! request more than its line.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that wait.
const BYTES: usize = 8 << 20;

/// How long the first line waits for others.
const MOMENT: Duration = Duration::from_millis(5);

/// Bytes from which on lines are written apart: what a pipe takes whole, whoever else writes to it.
const TOGETHER: usize = 4096;

/// Lines that wait for their turn.
pub struct Lines {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    started: Once,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether some have been taken and are not written yet.
    writing: bool,
    /// Whether the thread sleeps until it is woken.
    idle: bool,
}

impl Lines {
    /// None yet.
    pub const fn new() -> Lines {
        let state = State { lines: VecDeque::new(), bytes: 0, writing: false, idle: false };
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Lines { state: Mutex::new(state), filled, emptied, started: Once::new() }
    }

    /// Has a thread write them to `out` from now on.
    pub fn write_to(&'static self, mut out: impl Write + Send + 'static) {
        self.started.call_once(|| {
            let write = move || {
                loop {
                    let lines = self.next();
                    let lost = parts(lines).filter(|(part, _)| out.write_all(part).is_err());
                    dropped(lost.map(|(_, lines)| lines).sum());
                    let _ = out.flush();
                    self.lock().writing = false;
                    self.emptied.notify_all();
                }
            };
            // Without the thread nothing is logged, and all else works.
            let _ = std::thread::Builder::new().name("log".to_string()).spawn(write);
        });
    }

    /// Waits until all lines are written, for no longer than this.
    pub fn settle(&self, patience: Duration) {
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        let _ = self.emptied.wait_timeout_while(self.lock(), patience, busy);
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.bytes + line.len() > BYTES {
            drop(state);
            dropped(1);
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// All lines that wait, a moment after the first.
    fn next(&self) -> VecDeque<Vec<u8>> {
        let empty = |state: &mut State| {
            state.idle = state.lines.is_empty();
            state.idle
        };
        drop(self.filled.wait_while(self.lock(), empty));
        std::thread::sleep(MOMENT);
        let mut state = self.lock();
        state.writing = true;
        state.bytes = 0;
        std::mem::take(&mut state.lines)
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same lines, in parts that are not long, each with the number of its lines.
fn parts(lines: VecDeque<Vec<u8>>) -> impl Iterator<Item = (Vec<u8>, usize)> {
    let mut lines = lines.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut part, mut count) = (lines.next()?, 1);
        while let Some(line) = lines.next_if(|line| part.len() + line.len() <= TOGETHER) {
            part.extend(line);
            count += 1;
        }
        Some((part, count))
    })
}

fn dropped(lines: usize) {
    if lines > 0 {
        metrics::counter!("medserve_log_lines_lost_total").increment(lines as u64);
    }
}

/// Takes the lines of one event; it never fails and never waits.
pub struct Line(&'static Lines);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for &'static Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    use super::*;

    /// Writes when it is let.
    struct Slow(Receiver<()>, Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::Error::other("nobody reads"))?;
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_together_in_their_order_and_none_is_cut() {
        let lines: Vec<Vec<u8>> = (0..2_000).map(|n| format!("{{\"line\": {n}}}\n").into_bytes()).collect();
        let long = vec![b'x'; 2 * TOGETHER];
        let all: VecDeque<_> = lines.iter().cloned().chain([long.clone()]).chain(lines.clone()).collect();
        let parts: Vec<_> = parts(all.clone()).collect();
        assert!(parts.iter().all(|(part, count)| *count == 1 || part.len() <= TOGETHER));
        assert!(parts.len() < 32, "{}", parts.len());
        assert_eq!(parts.iter().map(|(_, count)| count).sum::<usize>(), all.len());
        let written: Vec<u8> = parts.into_iter().flat_map(|(part, _)| part).collect();
        assert_eq!(written, Vec::from(all).concat());
    }

    #[test]
    fn who_logs_waits_for_nobody_and_memory_is_bounded() {
        static LINES: Lines = Lines::new();
        let (reader, reads) = channel();
        LINES.write_to(Slow(reads, Vec::new()));
        let begun = Instant::now();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..100 {
            Line(&LINES).write_all(&line).unwrap();
        }
        LINES.settle(Duration::from_millis(10));
        assert!(begun.elapsed() < Duration::from_secs(30), "somebody waited");
        assert!(LINES.lock().bytes <= BYTES);
        // Once nobody will ever read, every line fails, and the end comes.
        drop(reader);
        LINES.settle(Duration::from_secs(60));
        assert!(LINES.lock().lines.is_empty());
    }
}
