//! File descriptors that clients of Unix sockets pass along (`SCM_RIGHTS` of unix(7)), which nobody here
//! wants.
//!
//! Whoever drops the last reference to such a descriptor closes what it stands for, and that may sleep in
//! the kernel for as long as the client chose: a TCP socket with `SO_LINGER`. So the thread that serves
//! everyone must never drop one. Kernels from 6.16 on refuse to pass descriptors to a socket that does not
//! want any. On others a client that passes one is cut off, and its socket, with what waits in it, is
//! closed by a thread that may sleep.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;

use nix::sys::socket::sockopt::{GetBool, SetBool};
use nix::sys::socket::{GetSockOpt, SetSockOpt};
use nix::{getsockopt_impl, setsockopt_impl};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, Shutdown, recv, recvmsg, sockopt,
};
use tokio::net::UnixStream;

/// What happens to a descriptor that a client passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptorPassing {
    /// The kernel refuses it: sendmsg(2) fails for the client.
    Refused,
    /// The kernel refuses it of clients that connect from now on; of those that connected before it arrives, so
    /// they are cut off.
    RefusedFromNow,
    /// It arrives, so the client is cut off.
    Possible,
}

/// `SO_PASSRIGHTS` of unix(7), Linux 6.16. The macros bring the `unsafe` calls that this takes.
#[derive(Clone, Copy)]
struct PassRights;
const SO_PASSRIGHTS: libc::c_int = 83;
setsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, SetBool);
getsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, GetBool);

/// Has the kernel refuse descriptors for a listener that nobody can connect to yet, and for all that it
/// accepts.
pub(super) fn refuse(listener: &OwnedFd) -> DescriptorPassing {
    match PassRights.set(listener, &false) {
        Ok(()) => DescriptorPassing::Refused,
        Err(_) => DescriptorPassing::Possible,
    }
}

/// Has the kernel refuse descriptors for a listener to which clients may have connected already.
pub(super) fn refuse_from_now(listener: &impl AsFd) -> DescriptorPassing {
    match PassRights.set(listener, &false) {
        Ok(()) => DescriptorPassing::RefusedFromNow,
        Err(_) => DescriptorPassing::Possible,
    }
}

/// What happens to descriptors that this client passes: its socket has the option as the listener had it when
/// the client connected.
pub(super) fn of_client(stream: &UnixStream) -> DescriptorPassing {
    match PassRights.get(stream) {
        Ok(false) => DescriptorPassing::Refused,
        Ok(true) | Err(_) => DescriptorPassing::Possible,
    }
}

impl fmt::Display for DescriptorPassing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused by the kernel",
            Self::RefusedFromNow => {
                "refused by the kernel; clients that connected before this start are cut off with theirs"
            }
            Self::Possible => "cut off, for this kernel cannot refuse them (Linux 6.16 can)",
        })
    }
}

/// Closes sockets that may hold descriptors, in a thread of its own.
#[derive(Debug, Clone)]
pub struct Closer(mpsc::Sender<OwnedFd>);

impl Closer {
    /// Starts the thread, and waits until it runs.
    ///
    /// # Errors
    /// If there can be no other thread.
    pub fn start() -> io::Result<Self> {
        let (sender, sockets) = mpsc::channel();
        let (running, runs) = mpsc::channel();
        std::thread::Builder::new().name("closer".to_owned()).spawn(move || {
            let _ = running.send(());
            sockets.into_iter().for_each(close);
        })?;
        runs.recv().map_err(io::Error::other)?;
        Ok(Self(sender))
    }

    /// Closes a socket at some time.
    pub(super) fn close(&self, socket: OwnedFd) {
        // The thread lives as long as there is a sender.
        let _ = self.0.send(socket);
    }
}

/// Closes a socket with what waits in it; sleeps, perhaps for long.
fn close(socket: OwnedFd) {
    /// As many descriptors as a message can have: `SCM_MAX_FD` of the kernel.
    const MAX: usize = 253;
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
        if !received.is_ok_and(|received| received.bytes > 0) {
            return;
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptors.for_each(close_without_lingering);
            }
        }
    }
}

fn close_without_lingering(descriptor: OwnedFd) {
    // Only a socket has it. Its sender could set it again in this moment, and this thread would sleep.
    let _ = sockopt::set_socket_linger(&descriptor, None);
}

/// A client's Unix socket.
#[derive(Debug)]
pub(super) struct UnixClient {
    /// Taken only when this is dropped.
    stream: Option<UnixStream>,
    /// What closes it if descriptors wait in it; none where the kernel refuses them.
    closer: Option<Closer>,
}

impl UnixClient {
    pub(super) fn new(stream: UnixStream, closer: Option<Closer>) -> Self {
        if closer.is_some() {
            // Urgent data would be dropped unseen, with its descriptors.
            let _ = sockopt::set_socket_oobinline(&stream, true);
        }
        Self { stream: Some(stream), closer }
    }

    /// As recv(2).
    ///
    /// # Errors
    /// Those of recv(2), and if the client passed descriptors; those stay where they are.
    pub(super) fn receive(&self, fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
        match self.closer {
            None => Ok(recv(fd, space, RecvFlags::empty())?.0),
            Some(_) => receive_bytes_only(fd, space),
        }
    }

    /// Whether descriptors wait in it, once no more can come.
    fn holds_descriptors(&self) -> bool {
        /// More than waits in a socket usually; what has more is not searched here.
        const MAX_READS: usize = 64;
        let fd = self.as_fd();
        if rustix::net::shutdown(fd, Shutdown::Both).is_err() {
            return true;
        }
        let mut bytes = [0; 4096];
        let mut reads = std::iter::repeat_with(|| receive_bytes_only(fd, &mut bytes)).take(MAX_READS);
        !matches!(reads.find(|read| !matches!(read, Ok(1..))), Some(Ok(0)))
    }
}

/// Looks at what has come before it takes it: with the bytes of a message its descriptors are taken as well,
/// and those that nobody has room for are dropped. To look at them drops none, and without room the kernel
/// only says that there are some.
fn receive_bytes_only(fd: BorrowedFd<'_>, space: &mut [u8]) -> io::Result<usize> {
    let no_room = &mut RecvAncillaryBuffer::default();
    let seen = recvmsg(fd, &mut [IoSliceMut::new(space)], no_room, RecvFlags::PEEK)?;
    if seen.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("the client passed a file descriptor"));
    }
    if seen.bytes == 0 {
        return Ok(0);
    }
    Ok(recv(fd, &mut space[..seen.bytes], RecvFlags::empty())?.0)
}

impl Deref for UnixClient {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        self.stream.as_ref().expect("it is taken only when this is dropped")
    }
}

impl Drop for UnixClient {
    fn drop(&mut self) {
        if let Some(closer) = &self.closer
            && self.holds_descriptors()
            && let Some(Ok(stream)) = self.stream.take().map(UnixStream::into_std)
        {
            tracing::debug!("a client passed file descriptors and was cut off");
            closer.close(stream.into());
        }
    }
}
