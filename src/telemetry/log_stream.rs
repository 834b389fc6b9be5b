//! Where the log goes: standard output, or standard error.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// Writes lines. In one write, so that they stay whole whoever else writes there. Where they cannot be written,
    /// there is nobody to tell.
    pub(super) fn write(self, lines: &[u8]) {
        let _ = match self {
            Self::Stdout => io::stdout().write_all(lines),
            Self::Stderr => io::stderr().write_all(lines),
        };
    }

    /// Whether a person reads it.
    pub(super) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Its device and inode, as `JOURNAL_STREAM` has them.
    pub(super) fn identity(self) -> Option<String> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let descriptor = match self {
            Self::Stdout => stdout.as_fd(),
            Self::Stderr => stderr.as_fd(),
        };
        rustix::fs::fstat(descriptor).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino))
    }
}
