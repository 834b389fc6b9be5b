//! Whose connection it is, as log lines name it.

use std::sync::Arc;

use crate::listener::peer::Peer;

/// The client of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// Who it is.
    pub peer: Arc<Peer>,
    /// The listener that it came to.
    pub listener: Arc<str>,
}
