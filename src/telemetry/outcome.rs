//! Whose a request is, and what was decided about it.

use std::sync::Arc;

use super::listener::ListenerTelemetry;
use crate::net::Peer;

/// Whose a connection is, and where it came in.
#[derive(Debug, Clone)]
pub struct Client {
    /// Who it is.
    pub peer: Arc<Peer>,
    /// The listener that it connected to.
    pub listener: Arc<ListenerTelemetry>,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The engine was asked.
    Allowed,
    /// Policy does not let it through.
    Denied,
    /// It is not a request that can be understood in just one way.
    Rejected,
    /// A limit was reached.
    Limited,
}

impl Outcome {
    /// As the log writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Limited => "limited",
        }
    }
}
