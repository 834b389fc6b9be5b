//! The log: one line an event on standard output, as text or as JSON; on standard error where a command's result is
//! what standard output is for.
//!
//! Lines of text carry no time: whoever collects them (journald, `docker logs`) adds it. On a terminal their levels
//! have colours, and where journald reads them a priority.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io;
use std::panic::PanicHookInfo;
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::log_queue::{LogKind, LogQueue};
pub use super::log_stream::LogStream;
pub use super::log_style::LogStyle;

/// How to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// For people or programs.
    pub format: LogFormat,
    /// The least important lines that are logged.
    pub level: LogLevel,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of words; whoever collects it adds the time.
    Text,
    /// A JSON object a line, with its time.
    Json,
}

/// The least important lines that are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Just what stops the program.
    Error,
    /// Also denied requests and trouble.
    Warn,
    /// Also start and stop.
    Info,
    /// Also allowed requests.
    Debug,
    /// Everything there is.
    Trace,
}

/// How long the program's end waits for lines to be written.
pub(super) const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// The process's log. Lines that still wait at the end need [`Log::flush`].
#[derive(Debug, Clone)]
pub struct Log(LogQueue);

impl Log {
    /// From here on nobody who logs waits for whoever reads the log: lines wait for a thread of their own,
    /// and those for which there is no room are dropped and counted.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start_writer(&self) -> io::Result<()> {
        self.0.start_writer()
    }

    /// Waits until every line is written, for a moment at most.
    pub fn flush(&self) {
        self.0.flush(FLUSH_LIMIT);
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

/// Starts to log there, once and for the whole process; lines of text have this style. Until [`Log::start_writer`]
/// each line is written at once.
pub fn init(config: LogConfig, stream: LogStream, style: LogStyle) -> Log {
    let queue = LogQueue::new(LogKind::Log(stream));
    let level = match config.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // Where the log cannot be written, standard error may be gone too, and complaining there would panic.
    let lines = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).log_internal_errors(false);
    let lines = lines.with_writer(queue.clone());
    match config.format {
        LogFormat::Text => lines.event_format(TextFormat(style)).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).init(),
    }
    std::panic::set_hook(Box::new(log_panic));
    Log(queue)
}

/// A panic ends one client's task. It goes where all else goes, because standard error may be as full as
/// standard output.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(backtrace, "{}", panic.to_string().replace('\n', " "));
}

/// `message field=value`, with the level before it unless it is the ordinary one.
struct TextFormat(LogStyle);

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        self.0.write_level(&mut out, *event.metadata().level())?;
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
