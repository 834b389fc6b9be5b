//! From root to another user, once the listeners are bound, with no way back.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use rustix::fs::{Gid, Uid};
use rustix::io::Errno;
use rustix::process::getgroups;
use rustix::thread::{
    CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set, set_thread_gid,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};
use thiserror::Error;

use super::ensure_single_threaded;
use crate::net::Address;

/// Who the process becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// The user; never root.
    pub uid: u32,
    /// Its group.
    pub group: RunAsGroup,
}

/// The group of a [`RunAs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAsGroup {
    /// The one that was named.
    Explicit(u32),
    /// That of the user's entry in /etc/passwd, or of the user's own number.
    Primary(u32),
}

/// The bounding set of capabilities(7): what a program that is executed could still get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundingSet {
    /// It is empty.
    Dropped,
    /// The process may not change it, because it has not got `CAP_SETPCAP`.
    Kept,
}

/// Why the process cannot become that user.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// It has other threads, which would stay root; or that cannot be told.
    #[error("cannot change the user: {0}")]
    Threads(String),
    /// The group to keep is that of a socket which cannot be looked at.
    #[error(
        "cannot change the user: cannot tell which group may open {}: {error}; start the engine first, or \
         name the group as USER:GROUP",
        path.display()
    )]
    UnknownGroup {
        /// The engine's socket.
        path: PathBuf,
        /// Why it cannot be looked at.
        error: io::Error,
    },
    /// This system call failed.
    #[error(
        "cannot change the user: {call}: {error}; only root can become another user, in a container also \
         with the capabilities SETUID and SETGID. Start as root, or as the user itself"
    )]
    System {
        /// Its name.
        call: &'static str,
        /// Why.
        error: io::Error,
    },
    /// It could become root again.
    #[error("cannot change the user: the process could become root again, so it does not go on")]
    NotDropped,
}

impl RunAsGroup {
    fn gid(self) -> Gid {
        match self {
            Self::Explicit(gid) | Self::Primary(gid) => Gid::from_raw(gid),
        }
    }
}

/// Becomes that user, with its group and that of the upstream socket and no other.
///
/// On Linux the ids belong to each thread; libc's setuid(2) only hides that. So this is for the time
/// when there is just one thread, and those that it starts later inherit.
///
/// # Errors
/// [`PrivilegeError`]; the process must not go on then.
pub fn drop_privileges(user: RunAs, upstream: &Address) -> Result<BoundingSet, PrivilegeError> {
    ensure_single_threaded().map_err(PrivilegeError::Threads)?;
    let groups = groups_to_keep(user, upstream)?;
    let (uid, gid) = (Uid::from_raw(user.uid), user.group.gid());
    // The user comes last: it takes the right to change the others away.
    let bounding_set = drop_bounding_set()?;
    set_thread_groups(&groups).map_err(failed("setgroups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(failed("setresgid"))?;
    set_thread_res_uid(uid, uid, uid).map_err(failed("setresuid"))?;
    verify_dropped(gid, &groups)?;
    Ok(bounding_set)
}

fn drop_bounding_set() -> Result<BoundingSet, PrivilegeError> {
    for capability in (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
        match capability_is_in_bounding_set(capability) {
            Ok(false) => {}
            Ok(true) => match remove_capability_from_bounding_set(capability) {
                Err(Errno::PERM) => return Ok(BoundingSet::Kept),
                removed => removed.map_err(failed("prctl(PR_CAPBSET_DROP)"))?,
            },
            // The kernel knows no further.
            Err(_) => break,
        }
    }
    Ok(BoundingSet::Dropped)
}

fn failed(call: &'static str) -> impl Fn(rustix::io::Errno) -> PrivilegeError {
    move |error| PrivilegeError::System { call, error: error.into() }
}

fn groups_to_keep(user: RunAs, upstream: &Address) -> Result<Vec<Gid>, PrivilegeError> {
    let Address::Unix(path) = upstream else { return Ok(vec![]) };
    // Where the source of a bind mount is missing, Docker makes a directory of root's group.
    let socket = std::fs::metadata(path).and_then(|found| match found.file_type().is_socket() {
        true => Ok(found),
        false => Err(io::Error::other("it is not a socket")),
    });
    match (socket, user.group) {
        (Ok(socket), _) => Ok(vec![Gid::from_raw(socket.gid())]),
        // The group that was named may well be the engine's, which is not there yet.
        (Err(_), RunAsGroup::Explicit(_)) => Ok(vec![]),
        (Err(error), RunAsGroup::Primary(_)) => {
            Err(PrivilegeError::UnknownGroup { path: path.clone(), error })
        }
    }
}

fn verify_dropped(gid: Gid, groups: &[Gid]) -> Result<(), PrivilegeError> {
    let root_user = set_thread_uid(Uid::ROOT).is_ok();
    let root_group = !gid.is_root() && !groups.contains(&Gid::ROOT) && set_thread_gid(Gid::ROOT).is_ok();
    let other_groups = getgroups().map_err(failed("getgroups"))? != groups;
    if root_user || root_group || other_groups { Err(PrivilegeError::NotDropped) } else { Ok(()) }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={} gid={}", self.uid, self.group.gid().as_raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_of_a_socket_that_is_not_there_has_to_be_given() {
        let nowhere = Address::Unix("/nonexistent/docker.sock".into());
        let user = |group| RunAs { uid: 7, group };
        assert_eq!(groups_to_keep(user(RunAsGroup::Explicit(8)), &nowhere).unwrap(), []);
        assert!(groups_to_keep(user(RunAsGroup::Primary(8)), &nowhere).is_err());
    }
}
