//! The limit of open files (`RLIMIT_NOFILE` of getrlimit(2)), which follows the limits on connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// What is open besides connections: standard streams, the runtime's own, the listeners.
const RESERVE: u64 = 64;

/// The hard limit, which only root may raise, is below what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "RLIMIT_NOFILE is {hard}; the configured limits need {needed}: raise the hard limit (ulimit -Hn, \
     docker run --ulimit, LimitNOFILE=) or lower max-connections"
)]
pub struct Insufficient {
    /// How many descriptors the limits on connections may come to.
    needed: u64,
    /// How many there can be.
    hard: u64,
}

/// Raises the soft limit to what so many client connections need, as far as the hard limit goes.
///
/// # Errors
/// [`Insufficient`] if that is not far enough; the limit is then as high as it can be.
pub fn raise(client_connections: u64) -> Result<(), Insufficient> {
    // Each client may have a connection to the engine behind its own.
    let needed = client_connections.saturating_mul(2).saturating_add(RESERVE);
    let current = getrlimit(Resource::Nofile);
    let (soft, result) = decide(needed, current);
    if soft != current.current {
        // Up to the hard limit everyone may.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: soft, ..current });
    }
    result
}

/// The soft limit to set; `None` is no limit.
fn decide(needed: u64, now: Rlimit) -> (Option<u64>, Result<(), Insufficient>) {
    let suffices = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    match now.maximum {
        _ if suffices(now.current) => (now.current, Ok(())),
        Some(hard) if hard < needed => (Some(hard), Err(Insufficient { needed, hard })),
        _ => (Some(needed), Ok(())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(current: u64, maximum: Option<u64>) -> (Option<u64>, Result<(), Insufficient>) {
        decide(1000, Rlimit { current: Some(current), maximum })
    }

    #[test]
    fn the_soft_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(decided(100, Some(5000)), (Some(1000), Ok(())));
        assert_eq!(decided(100, None), (Some(1000), Ok(())));
        assert_eq!(decided(2000, Some(5000)), (Some(2000), Ok(())));
        let unlimited = Rlimit { current: None, maximum: None };
        assert_eq!(decide(1000, unlimited), (None, Ok(())));
    }

    #[test]
    fn a_hard_limit_that_is_too_low_is_used_whole_and_reported() {
        assert_eq!(decided(100, Some(500)), (Some(500), Err(Insufficient { needed: 1000, hard: 500 })));
    }
}
