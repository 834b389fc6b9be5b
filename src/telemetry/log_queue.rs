//! The log's queue: lines wait here for a thread that writes them, so that nobody who logs waits for
//! whoever reads the log.
//!
//! `tracing-appender` does nearly the same, but writes to standard output itself when its guard is dropped
//! while the queue is full, and so never ends before a pipe that nobody reads; it also counts lines
//! instead of bytes.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How much may wait to be written, in bytes; as much again may be in the writing.
const MAX_QUEUED: usize = 1024 * 1024;
/// A buffer that has grown beyond this is given back once it is empty.
const KEPT_BUFFER: usize = 16 * 1024;

/// Lines on their way to standard output. Until [`LogQueue::start_writer`] they are written at once: no
/// thread may exist before the sandbox is entered.
#[derive(Debug, Clone, Default)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// The thread that writes, once there is one.
    writer: Option<ThreadId>,
    writing: bool,
}

/// Whole lines, and how many were dropped after them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Batch {
    lines: Vec<u8>,
    dropped: u64,
}

impl Batch {
    /// Adds a line if there is room for it. Once one was dropped all are, until the batch is taken: so the
    /// gap is in one place.
    fn push(&mut self, line: &[u8]) {
        if self.dropped > 0 || self.lines.len() + line.len() > MAX_QUEUED {
            self.dropped += 1;
        } else {
            self.lines.extend_from_slice(line);
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    /// For the next lines, with the buffer of these unless it has become large.
    fn emptied(mut self) -> Self {
        self.lines.clear();
        self.lines.shrink_to(KEPT_BUFFER);
        Self { lines: self.lines, dropped: 0 }
    }
}

impl LogQueue {
    /// Starts the thread that writes. From here on nobody else waits for standard output.
    pub(super) fn start_writer(&self) -> io::Result<()> {
        let queue = self.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || queue.write_batches())?;
        self.state().writer = Some(thread.thread().id());
        Ok(())
    }

    /// Waits until all lines are written, at most this long.
    pub(super) fn flush(&self, limit: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.waiting.is_empty();
        // Whether time ran out makes no difference: there is no other way to say what is left.
        let _ = self.0.changed.wait_timeout_while(self.state(), limit, unwritten);
    }

    fn write_batches(&self) {
        let mut written = Batch::default();
        loop {
            let batch = self.exchange(written);
            batch.lines.split_inclusive(|byte| *byte == b'\n').for_each(write_line);
            if batch.dropped > 0 {
                tracing::warn!(
                    lines = batch.dropped,
                    "lines of the log were dropped: they came faster than they were read"
                );
            }
            written = batch.emptied();
        }
    }

    /// Waits for lines and takes them, leaving an empty batch in their place.
    fn exchange(&self, empty: Batch) -> Batch {
        let mut state = self.state();
        state.writing = false;
        self.0.changed.notify_all();
        let waiting = |state: &mut State| state.waiting.is_empty();
        let mut state = self.0.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        std::mem::replace(&mut state.waiting, empty)
    }

    fn log(&self, line: &[u8]) {
        let mut state = self.state();
        match state.writer {
            // What the writer has to say itself stands where it says it.
            Some(writer) if writer != thread::current().id() => {
                state.waiting.push(line);
                drop(state);
                self.0.changed.notify_all();
            }
            _ => {
                drop(state);
                write_line(line);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In one write, so that it stays whole whoever else writes there. Where it cannot be written, there is
/// nobody to tell.
fn write_line(line: &[u8]) {
    let _ = io::stdout().write_all(line);
}

/// What tracing-subscriber writes a line into.
#[derive(Debug)]
pub(super) struct LogLine<'a>(&'a LogQueue);

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(self)
    }
}

impl Write for LogLine<'_> {
    /// tracing-subscriber hands over whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.log(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_counted_with_all_that_follows_until_the_batch_is_taken() {
        let mut batch = Batch::default();
        batch.push(b"first\n");
        batch.push(&[b'x'; MAX_QUEUED]);
        batch.push(b"short\n");
        assert_eq!(batch, Batch { lines: b"first\n".to_vec(), dropped: 2 });
        let mut next = batch.emptied();
        assert!(next.is_empty());
        next.push(b"next\n");
        assert_eq!(next, Batch { lines: b"next\n".to_vec(), dropped: 0 });
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut batch = Batch::default();
        (0..MAX_QUEUED / 2).for_each(|_| batch.push(b"\n"));
        assert!(batch.emptied().lines.capacity() <= KEPT_BUFFER);
    }
}
