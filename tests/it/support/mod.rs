//! What the tests share: a proxy to start, an engine or a mock to put behind it, and clients to send.
//!
//! Each file is one of these; `library` alone names the paths of the library under test.
#![cfg_attr(not(feature = "tls"), allow(dead_code))] // the tests of TLS use some of it alone

pub mod attack;
pub mod attempt;
pub mod builder;
#[cfg(feature = "tls")]
pub mod crafted;
pub mod engine;
pub mod engine_log;
pub mod files;
pub mod http;
pub mod library;
pub mod lingering;
pub mod load;
pub mod machine;
#[cfg(feature = "tls")]
pub mod machines;
pub mod metrics;
pub mod mock;
pub mod process;
pub mod proxy;
pub mod rng;
pub mod root_files;
pub mod routes;
pub mod systemd;
#[cfg(feature = "tls")]
pub mod tls;
pub mod tools;
pub mod transport;

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// How long a read or a write may take before the test fails.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How long anything else that is waited for may take: long, for a machine with much else to do, but not as long as an
/// idle client may stay (90 s), or it would be waited for that where a connection is to be closed at once.
pub const PATIENCE: Duration = Duration::from_secs(80);

/// Waits until `poll` finds something.
pub fn eventually<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, poll)
}

/// The same, of something that takes long by itself.
pub fn eventually_within<T>(limit: Duration, what: &str, poll: impl FnMut() -> Option<T>) -> T {
    within(limit, poll).unwrap_or_else(|| panic!("waited {limit:?} in vain until {what}"))
}

/// What `poll` finds in that time, for a test that says by itself what it saw instead.
pub fn within<T>(limit: Duration, mut poll: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = poll() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// The same, of one that takes long by itself.
pub fn until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    eventually_within(limit, what, || condition().then_some(()));
}

/// What the tests that run at the same time share: it is made for the first of them, and ends with the last.
pub fn shared<T>(slot: &Mutex<Weak<T>>, make: impl FnOnce() -> T) -> Arc<T> {
    // A test that failed while it made it leaves the next one to try again.
    let mut slot = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    slot.upgrade().unwrap_or_else(|| {
        let made = Arc::new(make());
        *slot = Arc::downgrade(&made);
        made
    })
}

/// A number from the environment, for tests that can be made longer.
pub fn env_usize(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")),
        Err(_) => default,
    }
}
