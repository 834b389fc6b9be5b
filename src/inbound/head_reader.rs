//! The reader between a client's connection and hyper: it passes on whole, well-formed heads, one at a
//! time, and nothing else.
//!
//! hyper sees no bodies. A small one that came with its head is skipped; behind any other the connection
//! ends, and the head that hyper gets says so.
//!
//! It keeps the time of heads and of idle connections, and while it waits it holds no buffer.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::arrival_budget::ArrivalShare;
use crate::http1::head::{
    After, ArrivedBody, Body, Head, HeadError, MAX_HEAD_LEN, ParseStatus, RequestLine, escape_target,
    has_blank_line, looks_like_http, parse, request_line, without_body,
};

/// How long a body may be to be skipped: what a call of the API sends in JSON is shorter.
const MAX_SKIPPED_BODY: usize = 16 * 1024;
/// In what steps room is made for a head: it holds no more than has come, but for a rest of this.
const STEP: usize = 1024;

/// A client's connection, read head by head.
#[derive(Debug)]
pub struct HeadReader<S> {
    stream: S,
    state: State,
    /// What was received and not yet passed on.
    received: BytesMut,
    /// What that takes of the memory for heads.
    share: ArrivalShare,
    /// How much of it was already searched for the end of a head.
    searched: usize,
    /// How much of it belongs to a whole head, to be passed on.
    head_remaining: usize,
    /// How long a head may take.
    header_timeout: Duration,
    /// When the head that is arriving must be whole; none while none is.
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head has begun yet on this connection; its time runs since the connection was made.
    New,
    /// The next head may come.
    KeepAlive,
    /// The head that is being handed on is the last.
    Close,
    Closed(CloseReason),
}

/// Why there will be no further head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client has said that it sends nothing more.
    EndOfInput,
    /// The last request was answered, or none came for too long.
    Done,
    /// The client sent what is not a request.
    HeadError(HeadError),
}

impl<S: AsyncRead + Unpin> HeadReader<S> {
    /// A reader of a connection that was just accepted.
    pub fn new(stream: S, header_timeout: Duration, share: ArrivalShare) -> Self {
        Self {
            stream,
            state: State::New,
            received: BytesMut::new(),
            share,
            searched: 0,
            head_remaining: 0,
            header_timeout,
            deadline: None,
        }
    }

    /// Waits for a whole head, for its first byte at most this long.
    ///
    /// # Errors
    /// The connection's [`CloseReason`] if there is no further head.
    pub async fn next_head(&mut self, timeout: Duration) -> Result<(), CloseReason> {
        // Not in a box: thousands of idle connections wait here, and a small box of each, strewn among
        // the buffers of busy ones, would keep the allocator from giving those back to the system.
        let mut timeout = pin!(tokio::time::sleep(timeout));
        poll_fn(|cx| {
            if let Poll::Ready(head) = self.poll_head(cx) {
                return Poll::Ready(head);
            }
            if self.received.is_empty() || self.state == State::New {
                ready!(timeout.as_mut().poll(cx));
                self.on_timeout();
            }
            self.poll_head(cx)
        })
        .await
    }

    /// Why there will be no further head, if that is so.
    pub fn close_reason(&self) -> Option<CloseReason> {
        match self.state {
            State::Closed(reason) => Some(reason),
            State::Close => Some(CloseReason::Done),
            State::New | State::KeepAlive => None,
        }
    }

    /// The first line of what is no request, for the answer and the log.
    pub fn request_line(&self) -> Option<RequestLine<'_>> {
        request_line(&self.received)
    }

    /// The connection itself.
    pub fn into_stream(self) -> S {
        self.stream
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        loop {
            if self.head_remaining > 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(reason) = self.close_reason() {
                self.state = State::Closed(reason);
                return Poll::Ready(Err(reason));
            }
            if self.parse_buffered(cx) {
                continue;
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(0)) if self.received.is_empty() => self.close(CloseReason::EndOfInput),
                Poll::Ready(Ok(0)) => self.close(CloseReason::HeadError(HeadError::Incomplete)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) if self.close_reason().is_some() => {}
                Poll::Ready(Err(_)) => self.close(CloseReason::Done),
                Poll::Pending => ready!(self.poll_deadline(cx)),
            }
        }
    }

    /// Parses what has come; whether there was something to decide.
    fn parse_buffered(&mut self, cx: &mut Context<'_>) -> bool {
        let from = std::mem::replace(&mut self.searched, self.received.len());
        let overlong = self.received.len() > MAX_HEAD_LEN;
        if from == self.received.len() {
            return false;
        }
        if !looks_like_http(&self.received) {
            self.close(CloseReason::HeadError(HeadError::Syntax("a method")));
            return true;
        }
        if !overlong && !has_blank_line(&self.received, from) {
            return false;
        }
        let escaped = match escape_target(&self.received) {
            Cow::Borrowed(_) => None,
            Cow::Owned(escaped) => Some(BytesMut::from(&escaped[..])),
        };
        let parsed = parse(escaped.as_ref().unwrap_or(&self.received));
        match (parsed, escaped) {
            (ParseStatus::Partial, _) => return false,
            (ParseStatus::Invalid(HeadError::TooLong), Some(_)) if !overlong => {
                self.close(CloseReason::HeadError(HeadError::TargetTooLong));
            }
            (ParseStatus::Invalid(error), _) => self.close(CloseReason::HeadError(error)),
            (ParseStatus::Complete(head), escaped) => {
                self.received = escaped.unwrap_or_else(|| std::mem::take(&mut self.received));
                self.take_request(cx, head);
            }
        }
        true
    }

    /// Makes a whole head the one that is passed on.
    fn take_request(&mut self, cx: &mut Context<'_>, head: Head) {
        self.deadline = None;
        self.head_remaining = head.len;
        self.state = State::KeepAlive;
        if head.body == Body::None {
            return;
        }
        let (after, body_len) = match self.arrived_body(cx, head) {
            Some(len) => (After::KeepAlive, len),
            // What follows is a body, or the rest of one: it must never be taken for a head.
            None => (After::Close, 0),
        };
        let rest = self.received.split_off(head.len + body_len);
        self.received = BytesMut::from(&without_body(&self.received[..head.len], after)[..]);
        self.head_remaining = self.received.len();
        match after {
            After::KeepAlive => self.received.unsplit(rest),
            After::Close => self.state = State::Close,
        }
    }

    /// The length of the body that follows a head, if it is to be skipped and all of it is there already.
    fn arrived_body(&mut self, cx: &mut Context<'_>, head: Head) -> Option<usize> {
        if head.arrived_body == ArrivedBody::Close {
            return None;
        }
        loop {
            let behind = &self.received[head.len..];
            if let Some(len) = head.body.len_in(behind) {
                return Some(len);
            }
            if behind.len() >= MAX_SKIPPED_BODY {
                return None;
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(1..)) => {}
                _ => return None,
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [MaybeUninit::uninit(); 2048];
        let mut space = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let filled = space.filled();
        if self.share.resize(self.received.len() + filled.len()) {
            extend(&mut self.received, filled);
            return Poll::Ready(Ok(filled.len()));
        }
        self.close(CloseReason::HeadError(HeadError::NoRoom));
        Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
    }

    /// Ready when time ran out and the connection has therefore ended.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.is_none() && !self.received.is_empty() && self.state != State::New {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.header_timeout)));
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(cx));
        self.on_timeout();
        Poll::Ready(())
    }

    fn on_timeout(&mut self) {
        let in_head = !self.received.is_empty();
        self.close(if in_head { CloseReason::HeadError(HeadError::Timeout) } else { CloseReason::Done });
    }

    fn close(&mut self, reason: CloseReason) {
        self.state = State::Closed(reason);
        self.deadline = None;
    }

    fn take_head(&mut self, max: usize) -> bytes::buf::Take<&mut BytesMut> {
        let len = max.min(self.head_remaining);
        self.head_remaining -= len;
        self.searched = 0;
        (&mut self.received).take(len)
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for HeadReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if ready!(self.poll_head(cx)).is_err() {
            // To hyper the client has finished; what is to be said, the connection says.
            return Poll::Ready(Ok(()));
        }
        let mut head = self.take_head(buf.remaining());
        while head.has_remaining() {
            let chunk = head.chunk();
            let len = chunk.len();
            buf.put_slice(chunk);
            head.advance(len);
        }
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
        // Less than before, for which there is room.
        let len = self.received.len();
        self.share.resize(len);
        Poll::Ready(Ok(()))
    }
}

/// Adds bytes to a buffer without more room than they need: it would double by itself.
fn extend(buffer: &mut BytesMut, bytes: &[u8]) {
    let len = buffer.len() + bytes.len();
    if len > buffer.capacity() {
        let mut larger = BytesMut::with_capacity(len.next_multiple_of(STEP));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
    buffer.extend_from_slice(bytes);
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for HeadReader<S> {
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
