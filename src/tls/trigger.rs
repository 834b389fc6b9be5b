//! What makes files be read again, and what it is told to.

use std::path::PathBuf;

/// Why files are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadTrigger {
    /// Time has passed.
    Tick,
    /// Someone sent SIGHUP and reads the log.
    Signal,
}

/// What can be reloaded from its files; in a build without TLS there is nothing.
pub trait Reload: Send + Sync {
    /// Reads the files, uses what is new, and logs the result. It blocks for as long as they take.
    fn reload(&self, trigger: ReloadTrigger);

    /// When the certificates that are in use expire.
    fn expiries(&self) -> Vec<Expiry>;
}

/// When the certificates of a file expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The file.
    pub path: PathBuf,
    /// When the first of them does, in seconds since 1970.
    pub at: i64,
}
