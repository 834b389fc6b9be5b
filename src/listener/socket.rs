//! A client's connection: one type for Unix and TCP stream sockets, with a handle beside it that
//! notices when the client is gone while nobody reads.
//!
//! tokio's own streams cannot be watched while hyper owns them, so the stream is shared through an
//! `Arc` here, and read and written through its `&self` methods.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

/// A connected stream socket.
#[derive(Debug)]
pub struct Socket(Arc<Stream>);

/// Sees whether the client at the other end of a [`Socket`] is still there.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Stream>);

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Arc::new(Stream::Unix(stream)))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Stream::Tcp(stream)))
    }
}

impl Socket {
    /// A handle that notices when the client is gone.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }

    /// The first byte that the client sent, left where it is; `None` if it sent none and is done.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn peek(&self) -> io::Result<Option<u8>> {
        let mut byte = [0; 1];
        loop {
            self.0.ready(Interest::READABLE).await?;
            match self
                .0
                .try_io(Interest::READABLE, |fd| Ok(rustix::net::recv(fd, &mut byte[..], RecvFlags::PEEK)?.0))
            {
                Ok(read) => return Ok((read > 0).then_some(byte[0])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what goes at once, if anything does.
    pub fn try_write(&self, bytes: &[u8]) {
        let _ = rustix::net::send(self.0.as_fd(), bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    fn poll_write_with<T>(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, |fd| Ok(write(fd)?)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl Watch {
    /// Waits until the client has closed its end whole. A client that has only stopped sending
    /// (`nc -N`) still waits for its answer and is not gone.
    pub async fn gone(&self) {
        /// How often a client that stopped sending is looked at again: no event tells when it goes.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);

        // A closed reading side shows under any interest in reading; under PRIORITY, unread bytes do not.
        if self.0.ready(Interest::PRIORITY).await.is_err() {
            return;
        }
        while !self.hung_up() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn hung_up(&self) -> bool {
        let mut look = [PollFd::new(&*self.0, PollFlags::empty())];
        match poll(&mut look, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => look[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
            Err(_) => true,
        }
    }
}

impl Stream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Unix(stream) => stream.ready(interest).await,
            Self::Tcp(stream) => stream.ready(interest).await,
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Unix(stream) => stream.poll_write_ready(cx),
            Self::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Runs a system call; if it finds nothing to do (`WouldBlock`) the socket counts as not ready.
    fn try_io<T>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Unix(stream) => stream.try_io(interest, || call(stream.as_fd())),
            Self::Tcp(stream) => stream.try_io(interest, || call(stream.as_fd())),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let space = buf.initialize_unfilled();
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut read = None;
            let result = self.0.try_io(Interest::READABLE, |fd| {
                let n = *read.insert(rustix::io::read(fd, &mut *space)?);
                // A short read has drained the socket: the next one would only find nothing.
                if n < space.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (read, result) {
                (Some(n), _) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                (None, Err(error)) if error.kind() != ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |fd| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |fd| rustix::io::writev(fd, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(self.0.as_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}
