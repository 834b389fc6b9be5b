//! The client's side: accepting connections, their limits, TLS handshakes, one head at a time, HTTP/1.

pub mod accept;
mod arrival_budget;
pub mod connection;
mod handshake;
mod head_reader;
pub mod limits;
pub mod pace;
pub mod session;

pub use accept::{ListenerSecurity, accept_loop};
pub use arrival_budget::ArrivalBudget;
pub use connection::{ConnectionContext, serve_connection};
pub use limits::{ConnectionLimits, Limits};
pub use pace::PaceLimits;
pub use session::{Serving, Session};
