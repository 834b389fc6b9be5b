//! What the program does besides proxying: each command prints and says how it went.

#[cfg(feature = "tls")]
pub mod certs;
pub mod check;
pub mod endpoints;
pub mod healthcheck;

/// How a command went, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As hoped: exit code 0.
    Yes,
    /// Not so: exit code 1.
    No,
}
