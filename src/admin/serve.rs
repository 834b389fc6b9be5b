//! Accepting the operator's clients: so many at a time, each for one request and for so long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::routes::Routes;
use crate::net::{Listener, Socket};

/// Connections at one time; others wait to be accepted.
pub const MAX_CONNECTIONS: usize = 32;
/// For a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For a connection from its beginning to its end.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Serves until `stop` is ready, then closes the listener and what is open.
pub async fn serve(listener: Listener, routes: Routes, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        if let Some((socket, place)) = accepted {
            connections.spawn(serve_connection(socket, routes.clone(), place));
        }
    }
    listener.close();
}

/// The next client, once there is a place for it; `None` if it could not be accepted.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> Option<(Socket, OwnedSemaphorePermit)> {
    /// Running out of descriptors passes, and until then trying again at once would only burn time.
    const PAUSE: Duration = Duration::from_millis(100);
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((socket, _)) => Some((socket, place)),
        Err(error) => {
            tracing::debug!("a client of the operator's listener cannot be accepted: {error}");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

async fn serve_connection(socket: Socket, routes: Routes, place: OwnedSemaphorePermit) {
    let service = service_fn(|request: Request<Incoming>| {
        let routes = routes.clone();
        async move {
            let answer = routes.answer(request.method(), request.uri().path(), request.headers()).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    // What goes wrong with it is the client's matter.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
    drop(place);
}
