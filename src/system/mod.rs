//! The process and its host: signals, the end, limits, users.

pub mod drain;
pub mod rlimit;
pub mod signals;
pub mod users;
