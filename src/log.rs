//! The log: one line an event on standard output, as words or as JSON.
//!
//! Lines of words carry no time: whoever collects them (journald, `docker logs`) adds it.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::{LogFormat, LogLevel};
use crate::config::LogConfig;

/// Starts to log, once and for the whole process.
pub fn start(config: LogConfig) {
    let level = match config.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // Where the log cannot be written, standard error may be gone too, and complaining there would panic.
    let lines = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).log_internal_errors(false);
    match config.format {
        LogFormat::Text => lines.event_format(Words).init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).init(),
    }
}

/// `message field=value`, with the level before it unless it is the ordinary one.
struct Words;

impl<S, N> FormatEvent<S, N> for Words
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
        let level = *event.metadata().level();
        if level != Level::INFO {
            write!(out, "{level} ")?;
        }
        ctx.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out)
    }
}
