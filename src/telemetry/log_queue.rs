//! The queue of a log, and of the access log: lines wait here for a thread that writes them, so that nobody who
//! logs waits for whoever reads them.
//!
//! `tracing-appender` does nearly the same, but writes to standard output itself when its guard is dropped
//! while the queue is full, and so never ends before a pipe that nobody reads; it also counts lines
//! instead of bytes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::log_file::{LogFile, LogFileError, Unwritten};
use super::log_stream::LogStream;

/// How much may wait to be written, in bytes; as much again may be in the writing.
const MAX_QUEUED: usize = 1024 * 1024;
/// A buffer that has grown beyond this is given back once nothing has come for a while.
const KEPT_BUFFER: usize = 16 * 1024;
/// How long that is.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// How long lines of the access log wait for others, so that one write takes them all.
const GATHERING_TIME: Duration = Duration::from_millis(50);
/// How much of them is written at once, without waiting for more.
const GATHERED: usize = MAX_QUEUED / 4;

/// Lines on their way to where they are written. Until [`LogQueue::start_writer`] they are written at once: no
/// thread may exist before the sandbox is entered.
#[derive(Debug, Clone)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kind: LogKind,
    state: Mutex<State>,
    changed: Condvar,
    /// How many lines were lost since the start.
    dropped: AtomicU64,
}

/// Which log it is, which says how its lines are written.
#[derive(Debug)]
pub(super) enum LogKind {
    /// The log: a line is written as soon as it comes.
    Log(LogStream),
    /// The access log on standard output, whose lines are gathered for a moment.
    AccessLogOnStdout,
    /// The access log in a file of its own, likewise.
    AccessLog(LogFile),
}

#[derive(Debug, Default)]
struct State {
    waiting: Batch,
    /// The thread that writes, once there is one.
    writer: Option<ThreadId>,
    writing: bool,
    /// Whether somebody waits until all is written.
    flushing: bool,
    /// Whether the file is to be opened anew.
    reopening: bool,
}

/// Whole lines, and how many were dropped after them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Batch {
    lines: Vec<u8>,
    dropped: u64,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pushed {
    /// It is the first that waits.
    First,
    /// Others wait too.
    Another,
    /// With it there is enough to be written without waiting for more.
    Enough,
    /// There was no room for it.
    Dropped,
}

impl Batch {
    /// Adds a line if there is room for it. Once one was dropped all are, until the batch is taken: so the
    /// gap is in one place.
    fn push(&mut self, line: &[u8]) -> Pushed {
        if self.dropped > 0 || self.lines.len() + line.len() > MAX_QUEUED {
            self.dropped += 1;
            return Pushed::Dropped;
        }
        let before = self.lines.len();
        self.lines.extend_from_slice(line);
        match (before, self.lines.len()) {
            (0, _) => Pushed::First,
            (..GATHERED, GATHERED..) => Pushed::Enough,
            _ => Pushed::Another,
        }
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0
    }

    /// For the next lines, with the buffer of these if they needed much of it: as many are likely to come again.
    fn emptied(mut self) -> Self {
        let used = self.lines.len();
        self.lines.clear();
        if used < self.lines.capacity() / 4 {
            self.lines.shrink_to(KEPT_BUFFER.max(used));
        }
        Self { lines: self.lines, dropped: 0 }
    }

    fn is_large(&self) -> bool {
        self.lines.capacity() > KEPT_BUFFER
    }

    /// Gives back what it does not need now.
    fn shrink(&mut self) {
        self.lines.shrink_to(KEPT_BUFFER);
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.reopening
    }

    /// Whether lines that are gathered may wait for more.
    fn may_gather(&self) -> bool {
        self.waiting.lines.len() < GATHERED && !self.flushing && !self.reopening
    }
}

impl LogQueue {
    /// Nothing waits yet.
    pub(super) fn new(kind: LogKind) -> Self {
        Self(Arc::new(Shared {
            kind,
            state: Mutex::default(),
            changed: Condvar::new(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Starts the thread that writes. From here on nobody else waits for whoever reads the lines.
    pub(super) fn start_writer(&self) -> io::Result<()> {
        let queue = self.clone();
        let name = self.0.kind.thread_name().to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || queue.write_batches())?;
        self.state().writer = Some(thread.thread().id());
        Ok(())
    }

    /// Opens its file, if it has one.
    pub(super) fn open_file(&self) -> Result<(), LogFileError> {
        match &self.0.kind {
            LogKind::AccessLog(file) => file.open(),
            LogKind::Log(_) | LogKind::AccessLogOnStdout => Ok(()),
        }
    }

    /// Waits until all lines are written, at most this long.
    pub(super) fn flush(&self, limit: Duration) {
        let unwritten = |state: &mut State| state.writing || !state.waiting.is_empty();
        let mut state = self.state();
        state.flushing = true;
        self.0.changed.notify_all();
        // Whether time ran out makes no difference: there is no other way to say what is left.
        let _ = self.0.changed.wait_timeout_while(state, limit, unwritten);
    }

    /// Has the file opened anew once the lines that wait are written.
    pub(super) fn reopen(&self) {
        self.state().reopening = true;
        self.0.changed.notify_all();
    }

    /// How many lines were lost since the start, because there was no room for them or they could not be
    /// written.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Adds a line, or drops it if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        match state.writer {
            // What the writer has to say itself stands where it says it.
            Some(writer) if writer != thread::current().id() => {
                let pushed = state.waiting.push(line);
                drop(state);
                match (pushed, &self.0.kind) {
                    (Pushed::Dropped, _) => {
                        self.0.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    // To wake the writer costs more than all else that is done for a line.
                    (Pushed::Another, LogKind::AccessLogOnStdout | LogKind::AccessLog(_)) => {}
                    _ => self.0.changed.notify_all(),
                }
            }
            _ => {
                drop(state);
                self.0.kind.stream().write(line);
            }
        }
    }

    fn write_batches(&self) {
        let mut written = Batch::default();
        let mut fails = false;
        loop {
            let (batch, reopening) = self.exchange(written);
            let lost = self.write(&batch.lines, &mut fails);
            self.0.dropped.fetch_add(lost, Ordering::Relaxed);
            if batch.dropped > 0 {
                tracing::warn!(
                    lines = batch.dropped,
                    "lines of the {} were dropped: they came faster than they were read",
                    self.0.kind.name()
                );
            }
            if reopening {
                self.reopen_now();
            }
            written = batch.emptied();
        }
    }

    /// Writes lines; how many were lost. `fails` is whether the last ones could not be written, which is said
    /// once.
    fn write(&self, lines: &[u8], fails: &mut bool) -> u64 {
        match &self.0.kind {
            LogKind::Log(stream) => {
                lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| stream.write(line));
            }
            LogKind::AccessLogOnStdout => LogStream::Stdout.write(lines),
            LogKind::AccessLog(file) => {
                let written = file.write(lines);
                let failed_before = std::mem::replace(fails, written.is_err());
                if let Err(Unwritten { lines, error }) = written {
                    if !failed_before {
                        let path = file.path().display();
                        tracing::error!(%path, "the access log cannot be written, so its lines are lost: {error}");
                    }
                    return lines;
                }
            }
        }
        0
    }

    fn reopen_now(&self) {
        match self.open_file() {
            Ok(()) => tracing::info!("the access log was opened anew"),
            Err(error) => tracing::error!("{error}; its lines still go where they went"),
        }
    }

    /// Waits for lines and takes them, leaving an empty batch in their place; and whether the file is to be
    /// opened anew after them.
    fn exchange(&self, mut empty: Batch) -> (Batch, bool) {
        let changed = &self.0.changed;
        let is_idle = |state: &mut State| state.is_idle();
        let mut state = self.state();
        state.writing = false;
        changed.notify_all();
        if empty.is_large() || state.waiting.is_large() {
            let waited = changed.wait_timeout_while(state, KEPT_FOR, is_idle);
            let (waited, time) = waited.unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if time.timed_out() {
                empty.shrink();
                state.waiting.shrink();
            }
        }
        let mut state = changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner);
        if !matches!(self.0.kind, LogKind::Log(_)) {
            let more = |state: &mut State| state.may_gather();
            let gathered = changed.wait_timeout_while(state, GATHERING_TIME, more);
            state = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.writing = true;
        (std::mem::replace(&mut state.waiting, empty), std::mem::take(&mut state.reopening))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogKind {
    /// Where lines go that are written before there is a thread for them.
    fn stream(&self) -> LogStream {
        match self {
            Self::Log(stream) => *stream,
            Self::AccessLogOnStdout | Self::AccessLog(_) => LogStream::Stdout,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::AccessLogOnStdout | Self::AccessLog(_) => "access log",
        }
    }

    fn thread_name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::AccessLogOnStdout | Self::AccessLog(_) => "access-log",
        }
    }
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
        self.0.push(line);
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
        assert_eq!(batch.push(b"first\n"), Pushed::First);
        assert_eq!(batch.push(&[b'x'; MAX_QUEUED]), Pushed::Dropped);
        assert_eq!(batch.push(b"short\n"), Pushed::Dropped);
        assert_eq!(batch, Batch { lines: b"first\n".to_vec(), dropped: 2 });
        let mut next = batch.emptied();
        assert!(next.is_empty());
        assert_eq!(next.push(b"next\n"), Pushed::First);
        assert_eq!(next, Batch { lines: b"next\n".to_vec(), dropped: 0 });
    }

    #[test]
    fn the_writer_is_woken_for_the_first_line_and_when_there_is_enough() {
        let mut batch = Batch::default();
        let line = [b'x'; GATHERED / 4];
        let pushed: Vec<Pushed> = (0..6).map(|_| batch.push(&line)).collect();
        use Pushed::{Another, Enough, First};
        assert_eq!(pushed, [First, Another, Another, Enough, Another, Another]);
    }

    #[test]
    fn a_large_buffer_is_given_back() {
        let mut batch = Batch::default();
        for _ in 0..MAX_QUEUED / 2 {
            batch.push(b"\n");
        }
        let mut empty = batch.emptied();
        assert!(empty.is_empty() && empty.is_large(), "as many may come again");
        empty.push(b"\n");
        assert!(!empty.emptied().is_large(), "they did not");
    }
}
