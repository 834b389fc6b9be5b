//! A client's connection: one type for Unix and TCP stream sockets, with a handle beside it that
//! notices when the client is gone while nobody reads.
//!
//! tokio's own streams cannot be watched while hyper owns them, so the stream is shared through an
//! `Arc` here, and read and written through its `&self` methods.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use crate::acl::Answer;

/// A connected stream socket.
#[derive(Debug)]
pub struct Socket(Arc<Stream>);

/// Sees whether the client at the other end of a [`Socket`] is still there.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Stream>);

#[derive(Debug)]
struct Stream {
    kind: Kind,
    /// How many bytes the kernel took for the client, so that it is seen whether any still move.
    sent: AtomicU64,
}

#[derive(Debug)]
enum Kind {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Arc::new(Stream { kind: Kind::Unix(stream), sent: AtomicU64::new(0) }))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Stream { kind: Kind::Tcp(stream), sent: AtomicU64::new(0) }))
    }
}

impl Socket {
    /// A handle that notices when the client is gone.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.0))
    }

    /// What the client sent first, as far as it is there and fits, left where it is; nothing if it sent
    /// nothing and is done.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn peek<'a>(&self, space: &'a mut [u8]) -> io::Result<&'a [u8]> {
        loop {
            self.0.ready(Interest::READABLE).await?;
            let look = |fd: BorrowedFd<'_>| Ok(rustix::net::recv(fd, &mut *space, RecvFlags::PEEK)?.0);
            match self.0.try_io(Interest::READABLE, look) {
                Ok(len) => return Ok(&space[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what goes at once, if anything does.
    pub fn try_write(&self, bytes: &[u8]) {
        let _ = rustix::net::send(self.0.as_fd(), bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_io(Interest::WRITABLE, |fd| Ok(write(fd)?)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.0.sent.fetch_add(*result.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl Watch {
    /// Waits until the client is gone. A client that has only stopped sending (`nc -N`) still waits for
    /// its answer and is not.
    ///
    /// On a Unix socket the kernel tells the two apart. Over TCP both begin with a FIN, and a client
    /// that is gone shows only when something is sent to it (RFC 9293 section 3.6). So there, once a
    /// client has stopped sending, it depends on what it is given: a finite answer is its own end, and
    /// shows whether the client is there; an endless one has lost its client when for a second nothing
    /// was sent and nothing waits to be.
    pub async fn gone(&self, given: impl Fn() -> Answer) {
        /// How often a client that stopped sending is looked at again: no event tells when it goes.
        const LOOK_AGAIN: Duration = Duration::from_millis(250);
        /// Looks at a TCP client that find nothing moving, until it counts as gone.
        const QUIET_LOOKS: u32 = 4;

        // A closed reading side shows under any interest in reading; under PRIORITY, unread bytes do not.
        if self.0.ready(Interest::PRIORITY).await.is_err() {
            return;
        }
        let (mut quiet, mut sent) = (0, None);
        while quiet < QUIET_LOOKS {
            let before = sent.replace(self.0.sent.load(Ordering::Relaxed));
            quiet = match self.look() {
                Look::Gone => return,
                Look::Unsure if sent == before && given() == Answer::Endless => quiet + 1,
                Look::Unsure | Look::There => 0,
            };
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn look(&self) -> Look {
        let mut look = [PollFd::new(&*self.0, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut look, Some(&now)).is_err() {
            return Look::Gone;
        }
        let seen = look[0].revents();
        match &self.0.kind {
            _ if seen.intersects(PollFlags::HUP | PollFlags::ERR) => Look::Gone,
            // Without room to send, bytes wait for the client: if it is gone, its silence ends them.
            Kind::Tcp(_) if seen.contains(PollFlags::OUT) => Look::Unsure,
            Kind::Tcp(_) | Kind::Unix(_) => Look::There,
        }
    }
}

/// What a look at a client that stopped sending tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Gone,
    There,
    Unsure,
}

impl Stream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.kind {
            Kind::Unix(stream) => stream.ready(interest).await,
            Kind::Tcp(stream) => stream.ready(interest).await,
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.kind {
            Kind::Unix(stream) => stream.poll_read_ready(cx),
            Kind::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.kind {
            Kind::Unix(stream) => stream.poll_write_ready(cx),
            Kind::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Runs a system call; if it finds nothing to do (`WouldBlock`) the socket counts as not ready.
    fn try_io<T>(
        &self,
        interest: Interest,
        call: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match &self.kind {
            Kind::Unix(stream) => stream.try_io(interest, || call(stream.as_fd())),
            Kind::Tcp(stream) => stream.try_io(interest, || call(stream.as_fd())),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Unix(stream) => stream.as_fd(),
            Kind::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            let space = buf.initialize_unfilled();
            let mut read = None;
            let result = self.0.try_io(Interest::READABLE, |fd| {
                let n = *read.insert(rustix::net::recv(fd, &mut *space, RecvFlags::empty())?.0);
                // A short read has drained the socket, unless its client plays tricks (a descriptor sent
                // along, urgent data) and then waits for itself: the next would only find nothing.
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

/// Up to so many bytes a copy and send(2) together take less time than writev(2) (benches/README.md).
const GATHERED: usize = 2048;

/// All slices as one, if they fit.
fn gather<'a>(slices: &[IoSlice<'_>], space: &'a mut [u8; GATHERED]) -> Option<&'a [u8]> {
    let mut len = 0;
    for slice in slices {
        space.get_mut(len..len + slice.len())?.copy_from_slice(slice);
        len += slice.len();
    }
    Some(&space[..len])
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
        let mut gathered = [0; GATHERED];
        match gather(slices, &mut gathered) {
            Some(bytes) => self.poll_write(cx, bytes),
            None => self.poll_write_with(cx, |fd| rustix::io::writev(fd, slices)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_gathered_if_all_of_them_fit() {
        let mut space = [0; GATHERED];
        let mut gathered = |slices: &[&[u8]]| {
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            gather(&slices, &mut space).map(<[u8]>::to_vec)
        };
        let full = [7; GATHERED];
        assert_eq!(gathered(&[]).unwrap(), b"");
        assert_eq!(gathered(&[b"head", b"", b"body"]).unwrap(), b"headbody");
        assert_eq!(gathered(&[&full]).unwrap(), full);
        assert_eq!(gathered(&[&full[1..], b"b"]).unwrap()[GATHERED - 2..], [7, b'b']);
        assert_eq!(gathered(&[&full, b"x"]), None);
        assert_eq!(gathered(&[b"x", &full]), None);
    }
}
