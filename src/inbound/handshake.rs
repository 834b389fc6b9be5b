//! A client's connection over TLS: the handshake, then the same as any other.

use std::sync::Arc;

use thiserror::Error;

use super::arrival_budget::ArrivalShare;
use super::connection::{ConnectionContext, lingering_close, serve_connection};
use crate::http1::head::looks_like_http;
use crate::http1::health_probe;
use crate::http1::synthetic::SyntheticResponse;
use crate::net::{Peer, Socket};
use crate::telemetry::access_log::{AccessLogEntry, Ended, Outcome};
use crate::telemetry::metrics::Limit;
use crate::tls::{FailedHandshake, HandshakeError, TlsAcceptor};

/// The first byte of TLS: a record of the type `handshake` (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// Why a client gets no further than its first bytes.
#[derive(Debug, Error)]
enum Rejection {
    /// It speaks HTTP without TLS.
    #[error("the client sent plain HTTP to a TLS listener")]
    PlainHttp,
    /// It speaks HTTP without TLS and is `docker-proxy-acl healthcheck`, for which any answer will do.
    #[error("health probe")]
    HealthProbe,
    /// What it speaks is neither.
    #[error("the client did not speak TLS")]
    NotTls,
    /// It closed the connection.
    #[error("the client left before its TLS handshake was done")]
    PeerClosed,
    /// The handshake failed.
    #[error(transparent)]
    Tls(HandshakeError),
    /// The handshake took too long.
    #[error("the client's TLS handshake took too long")]
    Timeout,
}

/// Serves a connection that begins with a handshake, which has the time of a head.
pub async fn serve_tls(socket: Socket, acceptor: &TlsAcceptor, mut context: ConnectionContext) {
    let header_timeout = context.session.limits().header_timeout;
    if let Some(rejection) = tokio::select! {
        rejection = tokio::time::timeout(header_timeout, peek(&socket)) => {
            rejection.unwrap_or(Some(Rejection::Timeout))
        }
        () = context.ended_unasked() => return,
    } {
        return reject(&rejection, Some(socket), &context).await;
    }
    let mut share = ArrivalShare::new(Arc::clone(&context.handshakes), Arc::clone(&context.client.peer));
    let has_room = Box::new(move |len| share.resize(len));
    let left = header_timeout.saturating_sub(context.accepted_at.elapsed());
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(left, acceptor.accept(socket, has_room)) => handshake,
        () = context.ended_unasked() => return,
    };
    match handshake {
        Ok(Ok((stream, identity))) => {
            context.client.listener.tls_handshake("ok");
            if let Some(identity) = identity {
                let peer = Peer::clone(&context.client.peer).with_identity(identity);
                context.client.peer = Arc::new(peer);
            }
            serve_connection(stream, context).await;
        }
        Ok(Err(FailedHandshake { error, socket })) => {
            reject(&Rejection::Tls(error), Some(socket), &context).await;
        }
        Err(_) => reject(&Rejection::Timeout, None, &context).await,
    }
}

/// Looks at the client's first bytes, which stay where they are: what is wrong with them, if anything.
async fn peek(socket: &Socket) -> Option<Rejection> {
    let mut space = [0; 128];
    match socket.peek(&mut space).await {
        Ok([HANDSHAKE_RECORD, ..]) => None,
        Ok(received) if received == health_probe::request().as_bytes() => Some(Rejection::HealthProbe),
        Ok([first, ..]) if looks_like_http(&[*first]) => Some(Rejection::PlainHttp),
        Ok([_, ..]) => Some(Rejection::NotTls),
        Ok([]) | Err(_) => Some(Rejection::PeerClosed),
    }
}

async fn reject(rejection: &Rejection, socket: Option<Socket>, context: &ConnectionContext) {
    let response = rejection.response();
    let listener = &context.client.listener;
    listener.tls_handshake(rejection.kind());
    let limit = rejection.limit();
    if let Some(limit) = limit {
        listener.limit_reached(limit);
    }
    let outcome = if limit == Some(Limit::Handshakes) { Outcome::Limited } else { Outcome::Rejected };
    let mut entry = AccessLogEntry::without_request(&context.client, outcome);
    entry.error = Some(rejection.to_string());
    entry.hint = rejection.hint().map(str::to_owned);
    entry.routine = rejection.is_routine();
    if let Some(response) = &response {
        entry.head(response.status());
        entry.ended = Ended::Complete;
        entry.bytes = response.body_len();
    }
    drop(entry);
    if let Some(mut socket) = socket {
        lingering_close(&mut socket, response, &context.drain).await;
    }
}

impl Rejection {
    /// An answer in HTTP, for a client that would understand it.
    fn response(&self) -> Option<SyntheticResponse> {
        match self {
            Self::PlainHttp | Self::HealthProbe => Some(SyntheticResponse::needs_tls()),
            Self::NotTls | Self::PeerClosed | Self::Tls(_) | Self::Timeout => None,
        }
    }

    /// Whether it is no more than a client that came and went, as port scanners and health checks do.
    fn is_routine(&self) -> bool {
        match self {
            Self::PeerClosed | Self::HealthProbe => true,
            Self::Tls(error) => error.is_peer_closed(),
            Self::PlainHttp | Self::NotTls | Self::Timeout => false,
        }
    }

    /// The limit that was reached, if it is one.
    fn limit(&self) -> Option<Limit> {
        match self {
            Self::Timeout => Some(Limit::HeaderTimeout),
            Self::Tls(error) if error.is_no_room() => Some(Limit::Handshakes),
            _ => None,
        }
    }

    /// The one word that the metrics have for it.
    fn kind(&self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::HealthProbe => "health_probe",
            Self::NotTls => "not_tls",
            Self::PeerClosed => "peer_closed",
            Self::Tls(error) => error.kind(),
            Self::Timeout => "timeout",
        }
    }

    /// What whoever runs the client can do about it.
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PlainHttp => Some("use https://, or tcp:// with the Docker CLI's own TLS verification"),
            Self::Tls(error) => error.hint(),
            Self::HealthProbe | Self::NotTls | Self::PeerClosed | Self::Timeout => None,
        }
    }
}
