//! What operators see of the proxy while it runs: its log, an entry for each request, the access log that is made of
//! them, and metrics.

pub mod access_log;
pub mod access_log_writer;
pub mod in_flight;
pub mod listener;
pub mod log;
mod log_file;
mod log_queue;
mod log_style;
pub mod metrics;
mod outcome;
mod refusals;
