//! What makes files be read again, and what it is told to.

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
}
