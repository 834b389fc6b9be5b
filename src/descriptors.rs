//! The limit of open files (`RLIMIT_NOFILE` of getrlimit(2)), which follows the caps on connections.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What is open besides connections: standard streams, the runtime's own, the listeners.
const RESERVE: u64 = 64;

/// What became of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It lets every connection in that the caps do.
    Enough,
    /// The hard limit, which only root may raise, is below what the caps need.
    Short {
        /// How many descriptors the caps may come to.
        needed: u64,
        /// How many there are.
        hard: u64,
    },
}

/// Raises the soft limit to what the caps need, as far as the hard limit goes.
pub fn raise(config: &Config) -> Limit {
    let needed = needed(config);
    let now = getrlimit(Resource::Nofile);
    let (soft, limit) = decide(needed, now);
    if soft != now.current {
        // Up to the hard limit everyone may.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: soft, ..now });
    }
    limit
}

/// Each client may have a connection to the engine behind its own.
fn needed(config: &Config) -> u64 {
    let connections = config.listeners.len().saturating_mul(config.limits.caps.connections);
    (connections as u64).saturating_mul(2).saturating_add(RESERVE)
}

/// The soft limit to set; none is no limit.
fn decide(needed: u64, now: Rlimit) -> (Option<u64>, Limit) {
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    match now.maximum {
        _ if enough(now.current) => (now.current, Limit::Enough),
        Some(hard) if hard < needed => (Some(hard), Limit::Short { needed, hard }),
        _ => (Some(needed), Limit::Enough),
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enough => write!(f, "as many files can be open as the caps may come to"),
            Self::Short { needed, hard } => write!(
                f,
                "only {hard} files can be open, and the caps may come to {needed}; raise the hard limit \
                 (ulimit -Hn, docker run --ulimit, LimitNOFILE=) or lower --max-connections"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(current: u64, maximum: Option<u64>) -> (Option<u64>, Limit) {
        decide(1000, Rlimit { current: Some(current), maximum })
    }

    #[test]
    fn the_soft_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(decided(100, Some(5000)), (Some(1000), Limit::Enough));
        assert_eq!(decided(100, None), (Some(1000), Limit::Enough));
        assert_eq!(decided(2000, Some(5000)), (Some(2000), Limit::Enough));
        let unlimited = Rlimit { current: None, maximum: None };
        assert_eq!(decide(1000, unlimited), (None, Limit::Enough));
    }

    #[test]
    fn a_hard_limit_that_is_too_low_is_taken_whole_and_said() {
        assert_eq!(decided(100, Some(500)), (Some(500), Limit::Short { needed: 1000, hard: 500 }));
    }
}
