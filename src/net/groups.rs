//! The groups of the process at the other end of a Unix socket: `SO_PEERGROUPS` of socket(7), Linux 4.13.

use std::io;

use nix::errno::Errno;
use nix::getsockopt_impl;
use nix::sys::socket::GetSockOpt;
use nix::sys::socket::sockopt::GetStruct;
use tokio::net::UnixStream;

/// The macro brings the one `unsafe` call that this takes, for options of a fixed size alone. The kernel
/// says ERANGE to a size that is too small, so the first that it takes is the right one.
macro_rules! sizes {
    ($($option:ident $count:literal)*) => {
        $(
            #[derive(Clone, Copy)]
            struct $option;
            getsockopt_impl!(
                $option, libc::SOL_SOCKET, libc::SO_PEERGROUPS, [u32; $count], GetStruct<[u32; $count]>
            );
        )*

        /// The groups beside the primary one that the process had when it connected.
        ///
        /// # Errors
        /// If it has more than 32, or the kernel does not tell.
        pub(super) fn peer_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
            $(
                match $option.get(stream) {
                    Err(Errno::ERANGE) => {}
                    groups => return Ok(groups?.to_vec()),
                }
            )*
            Err(Errno::ERANGE.into())
        }
    };
}

sizes! {
    G0 0 G1 1 G2 2 G3 3 G4 4 G5 5 G6 6 G7 7 G8 8 G9 9 G10 10 G11 11 G12 12 G13 13 G14 14 G15 15 G16 16
    G17 17 G18 18 G19 19 G20 20 G21 21 G22 22 G23 23 G24 24 G25 25 G26 26 G27 27 G28 28 G29 29 G30 30
    G31 31 G32 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_at_the_other_end_has_the_groups_of_this_one() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut groups = peer_groups(&one).unwrap();
        let own = rustix::process::getgroups().unwrap();
        let mut own: Vec<u32> = own.into_iter().map(|group| group.as_raw()).collect();
        groups.sort_unstable();
        own.sort_unstable();
        assert_eq!(groups, own);
    }
}
