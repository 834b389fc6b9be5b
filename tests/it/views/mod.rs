//! Promise: what a view hides is nowhere in what a client gets from a real engine, and the rest is there.

mod answers;
mod docker_gen;
mod filled;
mod oracle;
mod secrets;
mod tenants;

use std::sync::{Arc, Mutex, Weak};

/// What the tests that run at the same time share: it is made for the first of them, and ends with the last.
fn shared<T>(slot: &Mutex<Weak<T>>, make: impl FnOnce() -> T) -> Arc<T> {
    // A test that failed while it made it leaves the next one to try again.
    let mut slot = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    slot.upgrade().unwrap_or_else(|| {
        let made = Arc::new(make());
        *slot = Arc::downgrade(&made);
        made
    })
}
