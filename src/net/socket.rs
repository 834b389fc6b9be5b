//! A client's connection: one type for Unix and TCP stream sockets, with a handle beside it that
//! notices when the client is gone while nobody reads.
//!
//! tokio's own streams cannot be watched while hyper owns them, so the stream is shared through an
//! `Arc` here, and read and written through its `&self` methods.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use super::passing::{Closer, UnixClient};

/// A connected stream socket.
#[derive(Debug)]
pub struct Socket(Arc<Inner>);

/// Notices when the client at the other end of a [`Socket`] has closed it, or takes nothing of what waits
/// for it.
#[derive(Debug, Clone)]
pub struct DisconnectWatcher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    /// How many bytes the kernel took for the client, so that it is seen whether any still move.
    sent: AtomicU64,
    /// Whether the kernel took none of those that were last to be written.
    waiting: AtomicBool,
    /// Whether the next write is to be tried although no event said that there is room.
    retry: AtomicBool,
    /// Whether writes may be as long as they are.
    large_writes: AtomicBool,
}

/// How much is written at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteSize {
    /// Little, so that it is seen soon whether a client takes anything: a Unix socket has room again for each
    /// piece that its client has read to the end, and nothing else tells that it reads.
    Small,
    /// All that there is, which costs a client that reads fast the least.
    Large,
}

/// How far what is written to a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteProgress {
    /// How many bytes the kernel took for the client since it connected.
    pub sent: u64,
    /// Whether further ones wait for it to take them.
    pub waiting: bool,
}

#[derive(Debug)]
enum Kind {
    Unix(UnixClient),
    Tcp(TcpStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Inner::new(Kind::Tcp(stream))))
    }
}

impl Socket {
    /// A Unix socket; `closer` closes it if its client can pass descriptors.
    pub fn unix(stream: UnixStream, closer: Option<Closer>) -> Self {
        let kind = Kind::Unix(UnixClient::new(stream, closer));
        Self(Arc::new(Inner::new(kind)))
    }

    /// A handle that notices when the client is gone.
    pub fn disconnect_watcher(&self) -> DisconnectWatcher {
        DisconnectWatcher(Arc::clone(&self.0))
    }

    /// What the client sent first, as far as it is there and fits, left where it is; nothing if it sent
    /// nothing and is done.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn peek<'a>(&self, space: &'a mut [u8]) -> io::Result<&'a [u8]> {
        loop {
            self.0.ready(Interest::READABLE).await?;
            let receive = |fd: BorrowedFd<'_>| Ok(rustix::net::recv(fd, &mut *space, RecvFlags::PEEK)?.0);
            match self.0.try_io(Interest::READABLE, receive) {
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
            let result = match self.0.poll_write_ready(cx) {
                Poll::Ready(ready) => {
                    ready?;
                    self.0.try_io(Interest::WRITABLE, |fd| Ok(write(fd)?))
                }
                Poll::Pending if self.0.retry.swap(false, Ordering::Relaxed) => {
                    write(self.0.as_fd()).map_err(io::Error::from)
                }
                Poll::Pending => {
                    self.0.waiting.store(true, Ordering::Relaxed);
                    return Poll::Pending;
                }
            };
            match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => {
                    self.0.sent.fetch_add(*result.as_ref().unwrap_or(&0) as u64, Ordering::Relaxed);
                    self.0.waiting.store(false, Ordering::Relaxed);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl DisconnectWatcher {
    /// Waits until the client has closed the connection. A client that has only stopped sending (`nc -N`)
    /// still waits for its answer and has not.
    ///
    /// On a Unix socket the kernel tells the two apart. Over TCP both begin with a FIN, and a client that
    /// is gone shows only when something is sent to it (RFC 9293 section 3.6). So there, once a client has
    /// stopped sending, it depends on whether its answer is a stream: an answer that ends by itself shows
    /// at its end whether the client is there; a stream has lost its client when for a second nothing was
    /// sent and nothing waits to be.
    pub async fn closed(&self, streaming: impl Fn() -> bool) {
        /// How often a client that stopped sending is polled: no event tells when it closes.
        const POLL_INTERVAL: Duration = Duration::from_millis(250);
        /// How often in a row nothing may have moved before a TCP client counts as gone.
        const MAX_IDLE_POLLS: u32 = 4;

        // A closed reading side shows under any interest in reading; under PRIORITY, unread bytes do not.
        if self.0.ready(Interest::PRIORITY).await.is_err() {
            return;
        }
        let (mut idle, mut sent) = (0, None);
        while idle < MAX_IDLE_POLLS {
            let before = sent.replace(self.0.sent.load(Ordering::Relaxed));
            idle = match self.peer_state() {
                PeerState::Closed => return,
                PeerState::HalfClosed if sent == before && streaming() => idle + 1,
                PeerState::HalfClosed | PeerState::Open => 0,
            };
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// How far what is written has come.
    pub fn write_progress(&self) -> WriteProgress {
        WriteProgress {
            sent: self.0.sent.load(Ordering::Relaxed),
            waiting: self.0.waiting.load(Ordering::Relaxed),
        }
    }

    /// Has the next write tried even if there seems to be no room: the kernel tells of room on a Unix
    /// socket only when three quarters of it are free, which takes a client that reads slowly minutes.
    pub fn retry_write(&self) {
        self.0.retry.store(true, Ordering::Relaxed);
    }

    /// Sets how much is written at once from now on; at first it is little.
    pub fn set_write_size(&self, size: WriteSize) {
        self.0.large_writes.store(size == WriteSize::Large, Ordering::Relaxed);
    }

    /// Has what waits for the client thrown away when the connection is closed. Over TCP the kernel would
    /// go on trying to send it for minutes, and could not tell the client that it is not all.
    pub fn discard_on_close(&self) {
        if let Kind::Tcp(stream) = &self.0.kind {
            // If the connection is broken there is nothing left to throw away.
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }

    fn peer_state(&self) -> PeerState {
        let mut polled = [PollFd::new(&*self.0, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut polled, Some(&now)).is_err() {
            return PeerState::Closed;
        }
        let events = polled[0].revents();
        match &self.0.kind {
            _ if events.intersects(PollFlags::HUP | PollFlags::ERR) => PeerState::Closed,
            // Without room to send, bytes wait for the client: if it is gone, its silence ends them.
            Kind::Tcp(_) if events.contains(PollFlags::OUT) => PeerState::HalfClosed,
            Kind::Tcp(_) | Kind::Unix(_) => PeerState::Open,
        }
    }
}

/// The state of a client that stopped sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerState {
    Closed,
    Open,
    /// The client has stopped sending; whether it still reads is unknown.
    HalfClosed,
}

impl Inner {
    fn new(kind: Kind) -> Self {
        let flag = || AtomicBool::new(false);
        Self { kind, sent: AtomicU64::new(0), waiting: flag(), retry: flag(), large_writes: flag() }
    }

    /// The longest piece that is written at once, in bytes: even a client that takes but a kilobyte a second
    /// has to be told from one that takes nothing in half a minute.
    fn max_write(&self) -> usize {
        const SMALL: usize = 24 * 1024;
        match self.kind {
            Kind::Unix(_) if !self.large_writes.load(Ordering::Relaxed) => SMALL,
            Kind::Unix(_) | Kind::Tcp(_) => usize::MAX,
        }
    }

    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match &self.kind {
            Kind::Unix(stream) => stream.ready(interest).await,
            Kind::Tcp(stream) => stream.ready(interest).await,
        }
    }

    fn receive(&self, fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Unix(client) => client.receive(fd, space),
            Kind::Tcp(_) => Ok(rustix::net::recv(fd, space, RecvFlags::empty())?.0),
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

impl AsFd for Inner {
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
                let n = *read.insert(self.0.receive(fd, space)?);
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
const COALESCE_LIMIT: usize = 2048;

/// All slices as one, if they fit.
fn coalesce<'a>(slices: &[IoSlice<'_>], space: &'a mut [u8; COALESCE_LIMIT]) -> Option<&'a [u8]> {
    let mut len = 0;
    for slice in slices {
        space.get_mut(len..len + slice.len())?.copy_from_slice(slice);
        len += slice.len();
    }
    Some(&space[..len])
}

/// As many slices as are no longer than `max` together, the last cut where need be.
fn within<'a, const N: usize>(slices: &'a [IoSlice<'a>], max: usize) -> ([IoSlice<'a>; N], usize) {
    let mut within = std::array::from_fn(|_| IoSlice::new(&[]));
    let (mut count, mut left) = (0, max);
    for (slot, slice) in within.iter_mut().zip(slices) {
        if left == 0 {
            break;
        }
        *slot = IoSlice::new(&slice[..slice.len().min(left)]);
        left -= slot.len();
        count += 1;
    }
    (within, count)
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(self.0.max_write())];
        self.poll_write_with(cx, |fd| rustix::net::send(fd, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut coalesced = [0; COALESCE_LIMIT];
        match coalesce(slices, &mut coalesced) {
            Some(bytes) => self.poll_write(cx, bytes),
            None => {
                /// hyper's pieces are a head or a chunk's length, data, and a line's end.
                const MAX_SLICES: usize = 16;
                let (slices, count) = within::<MAX_SLICES>(slices, self.0.max_write());
                self.poll_write_with(cx, |fd| rustix::io::writev(fd, &slices[..count]))
            }
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
    fn slices_are_coalesced_if_all_of_them_fit() {
        let mut space = [0; COALESCE_LIMIT];
        let mut coalesced = |slices: &[&[u8]]| {
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            coalesce(&slices, &mut space).map(<[u8]>::to_vec)
        };
        let full = [7; COALESCE_LIMIT];
        assert_eq!(coalesced(&[]).unwrap(), b"");
        assert_eq!(coalesced(&[b"head", b"", b"body"]).unwrap(), b"headbody");
        assert_eq!(coalesced(&[&full]).unwrap(), full);
        assert_eq!(coalesced(&[&full[1..], b"b"]).unwrap()[COALESCE_LIMIT - 2..], [7, b'b']);
        assert_eq!(coalesced(&[&full, b"x"]), None);
        assert_eq!(coalesced(&[b"x", &full]), None);
    }

    #[test]
    fn a_write_is_cut_where_it_gets_too_long() {
        let cut = |slices: &[&[u8]], max| {
            let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
            let (within, count) = within::<3>(&slices, max);
            within[..count].iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>()
        };
        assert_eq!(cut(&[b"head", b"", b"body"], 100), b"headbody");
        assert_eq!(cut(&[b"head", b"body"], 6), b"headbo");
        assert_eq!(cut(&[b"head", b"body"], 4), b"head");
        assert_eq!(cut(&[b"a", b"b", b"c", b"d"], 100), b"abc");
        assert_eq!(cut(&[b"head"], usize::MAX), b"head");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_told_from_one_that_reads_slowly() {
        let (client, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut socket = Socket::unix(UnixStream::from_std(ours).unwrap(), None);
        let watcher = socket.disconnect_watcher();
        socket.0.ready(Interest::WRITABLE).await.unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut write = || Pin::new(&mut socket).poll_write(&mut cx, &[7; 1 << 20]);
        assert!(!watcher.write_progress().waiting);
        while let Poll::Ready(written) = write() {
            assert!(written.unwrap() > 0);
        }
        let full = watcher.write_progress();
        assert!(full.waiting && full.sent > 0, "{full:?}");
        watcher.retry_write();
        assert!(write().is_pending());
        assert_eq!(watcher.write_progress(), full);
        // One piece read makes room that no event tells of.
        std::io::Read::read_exact(&mut &client, &mut [0; 24 * 1024]).unwrap();
        assert!(write().is_pending());
        watcher.retry_write();
        assert!(write().is_ready());
        let after = watcher.write_progress();
        assert!(!after.waiting && after.sent > full.sent, "{after:?}");
    }
}
