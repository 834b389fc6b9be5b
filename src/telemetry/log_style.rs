//! What a line of text has before its message, which depends on who reads it: a terminal, journald, or anyone.

use std::ffi::OsString;
use std::fmt::{self, Write};

use tracing::Level;

use super::log_stream::LogStream;

/// How a line of text says how important it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStyle {
    /// By a word.
    Plain,
    /// By a word in a colour.
    Coloured,
    /// By the number that journald sorts lines by, and a word (sd-daemon(3)).
    Prioritized,
}

impl LogStyle {
    /// The style for whoever reads a stream. There is no colour where the environment has `NO_COLOR`
    /// (<https://no-color.org>) or a terminal without; that journald reads is what `JOURNAL_STREAM` tells
    /// (systemd.exec(5)).
    pub fn for_stream(stream: LogStream, env: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| env(name).is_some_and(|value: OsString| !value.is_empty());
        let identity = stream.identity();
        if identity.is_some_and(|identity| env("JOURNAL_STREAM").is_some_and(|journal| journal == *identity))
        {
            Self::Prioritized
        } else if stream.is_terminal() && !set("NO_COLOR") && env("TERM").is_none_or(|term| term != "dumb") {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    /// Writes what stands before the message: nothing but the priority if the level is the ordinary one.
    pub(super) fn write_level(self, out: &mut impl Write, level: Level) -> fmt::Result {
        if self == Self::Prioritized {
            write!(out, "<{}>", priority(level))?;
        }
        match (self, level) {
            (_, Level::INFO) => Ok(()),
            (Self::Coloured, level) => write!(out, "\x1b[{}m{level}\x1b[0m ", colour(level)),
            (_, level) => write!(out, "{level} "),
        }
    }
}

/// The priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The code of ECMA-48's "select graphic rendition": red, yellow, or faint.
fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: LogStyle, level: Level) -> String {
        let mut out = String::new();
        style.write_level(&mut out, level).unwrap();
        out
    }

    #[test]
    fn a_line_begins_with_its_level_in_the_reader_s_own_form() {
        assert_eq!(written(LogStyle::Plain, Level::INFO), "");
        assert_eq!(written(LogStyle::Plain, Level::WARN), "WARN ");
        assert_eq!(written(LogStyle::Coloured, Level::INFO), "");
        assert_eq!(written(LogStyle::Coloured, Level::WARN), "\x1b[33mWARN\x1b[0m ");
        assert_eq!(written(LogStyle::Prioritized, Level::INFO), "<6>");
        assert_eq!(written(LogStyle::Prioritized, Level::WARN), "<4>WARN ");
        assert_eq!(written(LogStyle::Prioritized, Level::ERROR), "<3>ERROR ");
    }
}
