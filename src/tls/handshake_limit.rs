//! How many bytes a peer may send before it is known: a handshake is short.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Six certificates, each of several kilobytes, and the rest of a handshake fit in it.
const MAX_HANDSHAKE_BYTES: usize = 64 * 1024;

/// A stream from which only so much can be read until its handshake is done.
#[derive(Debug)]
pub struct HandshakeLimited<S> {
    stream: S,
    /// How much may still come; `None` once the handshake is done.
    left: Option<usize>,
}

/// The handshake did not end within what it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the TLS handshake took more than {MAX_HANDSHAKE_BYTES} bytes")]
pub struct HandshakeTooLong;

impl HandshakeTooLong {
    /// Whether this is what went wrong with a handshake. rustls has a limit of its own, of 64 KiB for a
    /// message that comes in parts, and says so with an error of this kind.
    pub fn is(error: &io::Error) -> bool {
        let is_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
            || error.kind() == io::ErrorKind::InvalidData && !is_tls
    }
}

impl<S> HandshakeLimited<S> {
    /// A stream whose handshake is yet to come.
    pub fn new(stream: S) -> Self {
        Self { stream, left: Some(MAX_HANDSHAKE_BYTES) }
    }

    /// The handshake is done.
    pub fn lift(&mut self) {
        self.left = None;
    }

    /// The stream itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HandshakeLimited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.left else { return Pin::new(&mut self.stream).poll_read(cx, buf) };
        if left == 0 {
            return Poll::Ready(Err(io::Error::other(HandshakeTooLong)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.left = Some(left.saturating_sub(buf.filled().len() - before));
        Poll::Ready(Ok(()))
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
        let endless = || HandshakeLimited::new(tokio::io::repeat(7));
        let mut read = Vec::new();
        let error = endless().read_to_end(&mut read).await.unwrap_err();
        assert!(HandshakeTooLong::is(&error), "{error}");
        assert!((MAX_HANDSHAKE_BYTES..2 * MAX_HANDSHAKE_BYTES).contains(&read.len()), "{}", read.len());
        let mut done = endless();
        done.lift();
        assert_eq!(done.take(1 << 20).read_to_end(&mut Vec::new()).await.unwrap(), 1 << 20);
    }
}
