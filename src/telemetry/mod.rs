//! What operators see of the proxy while it runs: its log, an entry for each request, the access log that is made of
//! them, metrics, and what was learnt of clients.

pub mod access_log;
pub mod access_log_writer;
pub mod in_flight;
pub mod learning;
pub mod listener;
pub mod log;
mod log_file;
mod log_queue;
mod log_stream;
mod log_style;
pub mod metrics;
mod outcome;
mod refusals;
