//! What the tests share: a proxy to start, an engine or a mock to put behind it, and a way to ask.
#![allow(dead_code)] // each test file uses its own part of this

pub mod attack;
pub mod engine;
pub mod hostile;
pub mod http;
pub mod mock;
pub mod proxy;
pub mod rng;
pub mod routes;
#[cfg(feature = "tls")]
pub mod tls;

use std::time::{Duration, Instant};

/// How long anything that is waited for may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a condition holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// What a field of a process's status says: proc_pid_status(5).
pub fn status(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
