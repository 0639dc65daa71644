//! Log lines on their way to standard error, written by a thread of their own.
//!
//! Whoever reads the log may be slow or gone, and the disk that it goes to full. A server that waited for that, or failed on it,
//! would answer nobody for the sake of its log; so lines queue here up to a bound, what is beyond it is dropped and counted, and
//! so is what cannot be written.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most bytes of lines that wait.
const BYTES: usize = 8 << 20;

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
}

impl Lines {
    /// None yet.
    pub const fn new() -> Lines {
        let state = State { lines: VecDeque::new(), bytes: 0, writing: false };
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Lines { state: Mutex::new(state), filled, emptied, started: Once::new() }
    }

    /// Has a thread write them to `out` from now on.
    pub fn write_to(&'static self, mut out: impl Write + Send + 'static) {
        self.started.call_once(|| {
            let write = move || {
                loop {
                    let lines = self.next();
                    let lost = lines.iter().filter(|line| out.write_all(line).is_err()).count();
                    let _ = out.flush();
                    dropped(lost);
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
        drop(state);
        self.filled.notify_one();
    }

    /// All lines that wait, once there are any.
    fn next(&self) -> VecDeque<Vec<u8>> {
        let empty = |state: &mut State| state.lines.is_empty();
        let waited = self.filled.wait_while(self.lock(), empty);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        state.bytes = 0;
        std::mem::take(&mut state.lines)
    }

    /// No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
