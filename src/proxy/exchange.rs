//! One connection to the engine and the exchange that goes over it.
//!
//! The connection is driven by whoever waits for its answer, in the same task: an answer that is
//! dropped takes its connection with it at once, and an idle connection costs nothing.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

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
    /// Boxed, because it is large and moves from the pool to an answer and back.
    driver: Box<http1::Connection<TokioIo<Box<dyn Stream>>, NoBody>>,
}

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The next request.
    Ready,
    /// Nothing: closed, or in the middle of an answer.
    Spent,
}

/// An answer whose head is there, with the connection that its body still comes over, if it does.
pub struct Exchange {
    /// The answer; its body comes only as long as the connection is driven.
    pub answer: Response<Incoming>,
    /// The connection; none if it has ended with the answer.
    pub connection: Option<Connection>,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream.
    ///
    /// # Errors
    /// If hyper cannot.
    pub async fn over(stream: Box<dyn Stream>) -> hyper::Result<Self> {
        let (sender, driver) =
            http1::Builder::new().max_buf_size(MAX_BUFFERED).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, driver: Box::new(driver) })
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// If the connection breaks before, or the engine answers what is not HTTP.
    pub async fn exchange(mut self, request: Request<NoBody>) -> hyper::Result<Exchange> {
        let mut answer = pin!(self.sender.send_request(request));
        let mut driver = Some(&mut self.driver);
        let answer = std::future::poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let Some(running) = &mut driver else { return Poll::Pending };
            // Its own error, if any, also reaches the answer.
            if Pin::new(running).poll(cx).is_ready() {
                driver = None;
            }
            answer.as_mut().poll(cx)
        })
        .await?;
        let over = driver.is_none();
        Ok(Exchange { answer, connection: (!over).then_some(self) })
    }

    /// Moves bytes for whoever reads an answer's body; ready when the connection has ended.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Its error, if any, also reaches the body.
        Pin::new(&mut self.driver).poll(cx).map(|_| ())
    }

    /// What the connection is good for, as far as it knows.
    pub fn condition(&self) -> Condition {
        if self.sender.is_ready() { Condition::Ready } else { Condition::Spent }
    }

    /// Lets the connection see to what has come meanwhile, such as its end, and says what it is good for.
    pub fn settle(&mut self) -> Condition {
        let mut cx = Context::from_waker(Waker::noop());
        match self.poll_drive(&mut cx) {
            Poll::Pending => self.condition(),
            Poll::Ready(()) => Condition::Spent,
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
