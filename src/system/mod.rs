//! The process and its host: the runtime and its watchdog, signals, the end, limits, users, systemd.

pub mod drain;
mod polls;
pub mod rlimit;
pub mod runtime;
pub mod signals;
pub mod systemd;
pub mod usage;
pub mod users;
pub mod watchdog;
