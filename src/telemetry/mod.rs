//! What operators see of the proxy while it runs: its log, and an entry in it for each request.

pub mod access_log;
pub mod in_flight;
pub mod log;
mod log_queue;
mod outcome;
mod refusals;
