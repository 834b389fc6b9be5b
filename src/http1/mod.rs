//! HTTP/1 as values: heads, header rules, and the answers that the proxy makes up. Nothing here does I/O.

pub mod error;
pub mod head;
pub mod headers;
pub mod health_probe;
pub mod synthetic;
pub mod target;
