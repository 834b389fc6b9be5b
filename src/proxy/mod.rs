//! From a client's bytes to the engine and back.
//!
//! A connection reads heads through its gate, hyper makes requests of them, the service decides and
//! asks the upstream, and the body carries the answer home.

pub mod activity;
pub mod answer;
pub mod body;
pub mod client;
pub mod connection;
pub mod exchange;
pub mod gate;
pub mod head;
pub mod headers;
pub mod pool;
pub mod replies;
pub mod secured;
pub mod service;
pub mod upstream;
