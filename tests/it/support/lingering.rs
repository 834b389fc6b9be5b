//! A socket whose last close sleeps in the kernel, and how a client passes a descriptor along.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg, sockopt};

/// A socket whose last close sleeps, and who keeps it so.
pub struct Lingering {
    socket: TcpStream,
    never_reads: TcpListener,
}

impl Lingering {
    /// The last close sleeps for this long.
    pub fn new(linger: Duration) -> Self {
        let never_reads = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = TcpStream::connect(never_reads.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        while socket.write(&[0; 65536]).is_ok() {}
        sockopt::set_socket_linger(&socket, Some(linger)).unwrap();
        Self { socket, never_reads }
    }

    /// Passes it with these bytes, and closes the own copy; what is returned still makes it linger.
    pub fn pass(
        self,
        to: &UnixStream,
        bytes: &[u8],
        flags: SendFlags,
    ) -> (rustix::io::Result<usize>, TcpListener) {
        let sent = pass(to, bytes, self.socket.as_fd(), flags);
        if sent.is_err() {
            // This is the last close then.
            sockopt::set_socket_linger(&self.socket, None).unwrap();
        }
        (sent, self.never_reads)
    }
}

/// Sends these bytes, and with them a descriptor.
pub fn pass(
    to: &UnixStream,
    bytes: &[u8],
    descriptor: BorrowedFd<'_>,
    flags: SendFlags,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(to, &[IoSlice::new(bytes)], &mut control, flags | SendFlags::NOSIGNAL)
}
