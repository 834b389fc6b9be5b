//! The body of the engine's answer, as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::{Connection, PendingResponse};
use super::pool::Pool;

/// Reads an answer from its connection. Read to its end it gives the connection to the pool; dropped
/// before, it takes the connection with it.
pub struct UpstreamBody {
    incoming: Incoming,
    /// Given away when this is dropped.
    connection: Option<Connection>,
    pool: Arc<Pool>,
}

impl UpstreamBody {
    /// The answer that comes over a connection which `pool` gets afterwards.
    pub(super) fn response(pending: PendingResponse, pool: &Arc<Pool>) -> Response<Self> {
        let PendingResponse { response, connection } = pending;
        response.map(|incoming| Self { incoming, connection: Some(connection), pool: Arc::clone(pool) })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let connection = this.connection.as_mut().expect("it is given away only when this is dropped");
        connection.poll_frame(cx, &mut this.incoming)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.checkin(connection);
        }
    }
}
