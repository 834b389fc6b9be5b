//! A client's connection over TLS: the handshake, then the same as any other.

use std::sync::Arc;

use super::client::Client;
use super::connection::{self, Context, linger};
use super::replies::Reply;
use crate::listener::peer::Peer;
use crate::listener::socket::Socket;
use crate::tls::{Acceptor, Refused};

/// Serves a connection that begins with a handshake.
pub async fn serve(socket: Socket, acceptor: &Acceptor, mut context: Context) {
    let handshake = tokio::select! {
        handshake = acceptor.accept(socket, context.limits.header_timeout) => handshake,
        () = context.shutdown.begun() => return,
    };
    match handshake {
        Ok((stream, identity)) => {
            if let Some(identity) = identity {
                let peer = Peer::clone(&context.client.peer).identified(identity);
                context.client.peer = Arc::new(peer);
            }
            connection::serve(stream, context).await;
        }
        Err(refused) => turn_away(refused, &context.client).await,
    }
}

async fn turn_away(refused: Refused, client: &Client) {
    let Refused { why, socket } = refused;
    let way_out = why.way_out();
    if why.is_worth_a_warning() {
        tracing::warn!(client = %client.peer, listener = %client.listener, way_out, "refused: {why}");
    } else {
        tracing::debug!(client = %client.peer, listener = %client.listener, "{why}");
    }
    if let Some(mut socket) = socket {
        linger(&mut socket, why.is_plain_http().then(Reply::needs_tls)).await;
    }
}
