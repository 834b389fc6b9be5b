//! The gate between a client's connection and hyper: it lets whole, well-formed heads through, one at
//! a time, and nothing else.
//!
//! It keeps the time of heads and of idle connections, and while it waits it holds no buffer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::head::{Body, Examined, MAX_HEAD_LEN, Malformed, examine, may_be_a_beginning, may_be_whole};

/// A client's connection, read head by head.
#[derive(Debug)]
pub struct Gate<S> {
    stream: S,
    state: State,
    /// What was received and not yet handed on.
    received: BytesMut,
    /// How much of it was already searched for the end of a head.
    searched: usize,
    /// How much of it is a whole head, to be handed on.
    released: usize,
    /// How long a head may take.
    header_timeout: Duration,
    /// When the head that is arriving must be whole; none while none is.
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head has begun yet on this connection; its time runs since the connection was made.
    Fresh,
    /// The next head may come.
    Open,
    /// The head that is being handed on is the last.
    Last,
    Ended(Ending),
}

/// How a connection came to its end, as far as its client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The client sent all that it wanted, or nothing for too long.
    Done,
    /// The client sent what is no request.
    Malformed(Malformed),
}

impl<S: AsyncRead + Unpin> Gate<S> {
    /// A gate before a connection that was just made.
    pub fn new(stream: S, header_timeout: Duration) -> Self {
        Self {
            stream,
            state: State::Fresh,
            received: BytesMut::new(),
            searched: 0,
            released: 0,
            header_timeout,
            deadline: None,
        }
    }

    /// Waits for a whole head, for its first byte at most this long.
    ///
    /// # Errors
    /// The connection's [`Ending`] if there is no further head.
    pub async fn next_head(&mut self, patience: Duration) -> Result<(), Ending> {
        // Not in a box: thousands of idle connections wait here, and a small box of each, strewn among
        // the buffers of busy ones, would keep the allocator from giving those back to the system.
        let mut patience = pin!(tokio::time::sleep(patience));
        poll_fn(|cx| {
            if let Poll::Ready(head) = self.poll_head(cx) {
                return Poll::Ready(head);
            }
            if self.received.is_empty() || self.state == State::Fresh {
                ready!(patience.as_mut().poll(cx));
                self.run_out_of_time();
            }
            self.poll_head(cx)
        })
        .await
    }

    /// How the connection ended, if it did.
    pub fn ending(&self) -> Option<Ending> {
        match self.state {
            State::Ended(ending) => Some(ending),
            State::Last => Some(Ending::Done),
            State::Fresh | State::Open => None,
        }
    }

    /// The connection itself.
    pub fn into_stream(self) -> S {
        self.stream
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        loop {
            if self.released > 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(ending) = self.ending() {
                self.state = State::Ended(ending);
                return Poll::Ready(Err(ending));
            }
            if self.judge_received() {
                continue;
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(0)) if self.received.is_empty() => self.end(Ending::Done),
                Poll::Ready(Ok(0)) => self.end(Ending::Malformed(Malformed::Incomplete)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => self.end(Ending::Done),
                Poll::Pending => ready!(self.poll_deadline(cx)),
            }
        }
    }

    /// Looks at what has come; whether there was something to decide.
    fn judge_received(&mut self) -> bool {
        let from = std::mem::replace(&mut self.searched, self.received.len());
        let overlong = self.received.len() > MAX_HEAD_LEN;
        if from == self.received.len() {
            return false;
        }
        if !may_be_a_beginning(&self.received) {
            self.end(Ending::Malformed(Malformed::Syntax("a method")));
            return true;
        }
        if !overlong && !may_be_whole(&self.received, from) {
            return false;
        }
        match examine(&self.received) {
            Examined::Partial => return false,
            Examined::Malformed(malformed) => self.end(Ending::Malformed(malformed)),
            Examined::Whole(head) => {
                self.released = head.len;
                self.deadline = None;
                self.state = match head.body {
                    Body::None => State::Open,
                    // What follows is a body: it must never be taken for a head.
                    Body::Declared => State::Last,
                };
            }
        }
        true
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [MaybeUninit::uninit(); 2048];
        let mut space = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let filled = space.filled();
        self.received.extend_from_slice(filled);
        Poll::Ready(Ok(filled.len()))
    }

    /// Ready when time ran out and the connection has therefore ended.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.is_none() && !self.received.is_empty() && self.state != State::Fresh {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.header_timeout)));
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(cx));
        self.run_out_of_time();
        Poll::Ready(())
    }

    fn run_out_of_time(&mut self) {
        let late = !self.received.is_empty();
        self.end(if late { Ending::Malformed(Malformed::Late) } else { Ending::Done });
    }

    fn end(&mut self, ending: Ending) {
        self.state = State::Ended(ending);
        self.deadline = None;
    }

    fn hand_on(&mut self, most: usize) -> bytes::buf::Take<&mut BytesMut> {
        let part = most.min(self.released);
        self.released -= part;
        self.searched = 0;
        (&mut self.received).take(part)
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_head(cx)).is_err() {
            // To hyper the client has finished; what is to be said, the connection says.
            return Poll::Ready(Ok(()));
        }
        let mut part = self.hand_on(buf.remaining());
        while part.has_remaining() {
            let chunk = part.chunk();
            let len = chunk.len();
            buf.put_slice(chunk);
            part.advance(len);
        }
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Gate<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Just a flush: hyper may go and come back while the connection stays.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}
