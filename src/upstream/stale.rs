//! The last look at a kept connection: if the engine has said anything unasked, nothing is sent any more.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustix::net::RecvFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream to the engine whose next write can be made to fail if anything waits to be read.
///
/// tokio knows what has come only as of its last look at all sockets. Whatever came since would be taken
/// for the answer to the request that is about to be sent, so this asks the kernel right before that.
pub(super) struct StaleCheckedStream<S> {
    stream: S,
    armed: Arc<AtomicBool>,
}

/// Arms the check of a stream.
pub struct StaleCheck(Arc<AtomicBool>);

impl<S: AsFd> StaleCheckedStream<S> {
    /// A stream that is not checked until it is told to be.
    pub(super) fn new(stream: S) -> (Self, StaleCheck) {
        let armed = Arc::new(AtomicBool::new(false));
        (Self { stream, armed: Arc::clone(&armed) }, StaleCheck(armed))
    }

    /// # Errors
    /// If the check is armed, and anything has come or the engine has closed the connection.
    fn check(&self) -> io::Result<()> {
        if !self.armed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let fd = self.stream.as_fd();
        match rustix::net::recv(fd, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(rustix::io::Errno::AGAIN) => Ok(()),
            Ok(_) => Err(io::Error::new(ErrorKind::ConnectionAborted, "the engine spoke unasked, or closed")),
            Err(error) => Err(error.into()),
        }
    }
}

impl StaleCheck {
    /// Has the next write fail if anything has come before it.
    pub(super) fn arm(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StaleCheckedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for StaleCheckedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
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
