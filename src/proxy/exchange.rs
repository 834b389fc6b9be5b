//! One connection to the engine and the exchange that goes over it.
//!
//! The connection is driven by whoever waits for its answer, in the same task: an answer that is
//! dropped takes its connection with it at once, and an idle connection costs nothing.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::unconstrained;

/// Anything that bytes go through to the engine and back.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The engine never gets a body: there is no type here that could carry one.
type NoBody = Empty<Bytes>;

/// The longest head of an answer, and the most of its body that waits here for a client that reads
/// slowly, in bytes.
const MAX_BUFFERED: usize = 64 * 1024;

/// An open connection to the engine.
pub struct Connection {
    sender: SendRequest<NoBody>,
    driver: Driver,
}

/// hyper's part in a connection.
type Hyper = http1::Connection<TokioIo<Box<dyn Stream>>, NoBody>;

/// What moves a connection's bytes, both ways, while it is polled; empty once the connection has ended.
/// Boxed, because it is large and moves from the pool to an answer and back.
struct Driver(Option<Box<Hyper>>);

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The next request.
    Ready,
    /// Nothing: closed, or in the middle of an answer.
    Spent,
}

/// An answer whose head is there, with the connection that its body comes over.
pub struct Exchange {
    /// The answer; its body comes only as long as the connection is driven.
    pub answer: Response<Incoming>,
    /// The connection.
    pub connection: Connection,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream.
    ///
    /// # Errors
    /// If hyper cannot.
    pub async fn over(stream: Box<dyn Stream>) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new()
            // A request is one piece, for which send(2) takes less time than writev(2).
            .writev(false)
            .max_buf_size(MAX_BUFFERED)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, driver: Driver(Some(Box::new(driver))) })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// If the connection breaks before, or the engine answers what is not HTTP.
    pub async fn exchange(mut self, request: Request<NoBody>) -> hyper::Result<Exchange> {
        // Without tokio's budget: who exceeds that is woken to try again, and here nobody is.
        let mut answer = pin!(unconstrained(self.sender.send_request(request)));
        let answer = poll_fn(|cx| self.driver.poll_until(cx, |cx| answer.as_mut().poll(cx))).await?;
        Ok(Exchange { answer, connection: self })
    }

    /// The next frame of the answer that is being given.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.driver.poll_until(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }

    /// What the connection is good for, as far as it knows.
    pub fn condition(&self) -> Condition {
        if self.sender.is_ready() { Condition::Ready } else { Condition::Spent }
    }

    /// Lets the connection see to what has come meanwhile, such as its end, and says what it is good for.
    pub fn settle(&mut self) -> Condition {
        self.driver.drive(&mut Context::from_waker(Waker::noop()));
        self.condition()
    }
}

impl Driver {
    /// Works until `look` finds what only this work brings about.
    ///
    /// hyper is made for two tasks and wakes the one when the other has done something. Here both are one,
    /// which would run again for nothing. So it works with nobody to wake first, and only if that has not
    /// sufficed it leaves word with the stream.
    fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut look: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let nobody = &mut Context::from_waker(Waker::noop());
        if let found @ Poll::Ready(_) = look(nobody) {
            return found;
        }
        self.drive(nobody);
        if let found @ Poll::Ready(_) = look(nobody) {
            return found;
        }
        self.drive(cx);
        look(nobody)
    }

    /// Moves what can be moved now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        // An error also reaches the answer or its body.
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}

/// The broken stream or the broken answer behind hyper's error, for the log.
pub fn cause(error: &hyper::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<io::Error>() {
        Some(io) => io.to_string(),
        None => error.to_string(),
    }
}
