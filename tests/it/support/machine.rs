//! Tests run at the same time, in one process and against one engine. Few of them notice each other; those
//! that do take a guard first.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Some tests have hundreds of clients, and the process is everyone's: lets it open as many files as it may.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
}

static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that measures times, or compares what the shared engine has twice: while it holds this, no
/// test runs that disturbs.
pub fn undisturbed() -> RwLockWriteGuard<'static, ()> {
    // A test that failed has left nothing behind that another could trip over.
    MACHINE.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// For a test that takes every processor for seconds, or changes what the shared engine has.
pub fn disturbing() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}
