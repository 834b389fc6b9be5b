//! How many bytes a peer may send before it is known: a handshake is short, and there is little room for those of all.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HasRoom;

/// Six certificates, each of several kilobytes, and the rest of a handshake fit in it.
const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;

/// A stream from which only so much can be read until its handshake is done.
pub struct HandshakeLimited<S> {
    stream: S,
    /// `None` once the handshake is done.
    unfinished: Option<Unfinished>,
}

/// A handshake that goes on.
struct Unfinished {
    /// How many bytes have come.
    received: usize,
    /// Whether there is room for them.
    has_room: HasRoom,
}

/// The handshake did not end within what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HandshakeLimitExceeded {
    /// By itself.
    #[error("the TLS handshake took more than {MAX_HANDSHAKE_BYTES} bytes")]
    TooLong,
    /// With the others.
    #[error("too many long TLS handshakes are arriving at the same time")]
    NoRoom,
}

impl HandshakeLimitExceeded {
    /// Whether this is what went wrong with a handshake. rustls has a limit of its own, of 64 KiB for a
    /// message that comes in parts, and says so with an error of the kind `InvalidData`.
    pub fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref();
        let own = inner.and_then(|inner| inner.downcast_ref::<Self>()).copied();
        let is_tls = inner.is_some_and(|inner| inner.is::<rustls::Error>());
        let of_rustls = error.kind() == io::ErrorKind::InvalidData && !is_tls;
        own.or(of_rustls.then_some(Self::TooLong))
    }
}

impl<S> HandshakeLimited<S> {
    /// A stream whose handshake is yet to come.
    pub fn new(stream: S, has_room: HasRoom) -> Self {
        Self { stream, unfinished: Some(Unfinished { received: 0, has_room }) }
    }

    /// The handshake is done.
    pub fn lift(&mut self) {
        self.unfinished = None;
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl Unfinished {
    fn receive(&mut self, len: usize) -> Result<(), HandshakeLimitExceeded> {
        self.received += len;
        if (self.has_room)(self.received) { Ok(()) } else { Err(HandshakeLimitExceeded::NoRoom) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HandshakeLimited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, unfinished } = &mut *self;
        let Some(unfinished) = unfinished else { return Pin::new(stream).poll_read(cx, buf) };
        if unfinished.received >= MAX_HANDSHAKE_BYTES {
            return Poll::Ready(Err(io::Error::other(HandshakeLimitExceeded::TooLong)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        let received = unfinished.receive(buf.filled().len() - before);
        if received.is_err() {
            // With an error there are no bytes.
            buf.set_filled(before);
        }
        Poll::Ready(received.map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HandshakeLimited<S> {
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

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn only_a_handshake_is_limited() {
        let endless = || HandshakeLimited::new(tokio::io::repeat(7), Box::new(|_| true));
        let mut read = Vec::new();
        let error = endless().read_to_end(&mut read).await.unwrap_err();
        assert_eq!(HandshakeLimitExceeded::of(&error), Some(HandshakeLimitExceeded::TooLong), "{error}");
        assert!((MAX_HANDSHAKE_BYTES..2 * MAX_HANDSHAKE_BYTES).contains(&read.len()), "{}", read.len());
        let mut done = endless();
        done.lift();
        assert_eq!(done.take(1 << 20).read_to_end(&mut Vec::new()).await.unwrap(), 1 << 20);
    }

    #[tokio::test]
    async fn it_ends_where_there_is_no_room_for_more() {
        let mut limited = HandshakeLimited::new(tokio::io::repeat(7), Box::new(|len| len <= 10_000));
        let error = limited.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(HandshakeLimitExceeded::of(&error), Some(HandshakeLimitExceeded::NoRoom), "{error}");
    }
}
