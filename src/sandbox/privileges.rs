//! `--user`: from root to another user, once the listeners are bound, with no way back.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{Gid, Uid};
use rustix::process::getgroups;
use rustix::thread::{
    set_thread_gid, set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};

use super::only_thread;
use crate::address::Address;

/// Who the process becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user; never root.
    pub uid: u32,
    /// Its group.
    pub group: Group,
}

/// The group of a [`User`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Written after the colon.
    Given(u32),
    /// That of the user's entry in /etc/passwd, or of the user's own number.
    Own(u32),
}

/// Why the process cannot become that user.
#[derive(Debug)]
pub enum PrivilegeError {
    /// It has other threads, which would stay root; or that cannot be told.
    Threads(String),
    /// The group to keep is that of a socket which cannot be looked at.
    Upstream(PathBuf, io::Error),
    /// This system call was refused.
    Refused(&'static str, io::Error),
    /// It could become root again.
    Return,
}

/// To setresuid(2), "leave it as it is".
const NOBODY_AT_ALL: u32 = u32::MAX;

impl User {
    /// The user that `NAME|UID[:GID]` stands for, by the lines of passwd(5), read directly because a
    /// static binary has no other directory of users. `gid` finds the number of what is after the colon.
    ///
    /// # Errors
    /// What is wrong with it, and the way out.
    pub fn find(
        text: &str,
        passwd: &str,
        gid: impl FnOnce(&str) -> Option<u32>,
    ) -> Result<Self, &'static str> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let number: Option<u32> = user.parse().ok();
        let entry = passwd.lines().filter_map(entry).find(|(name, uid, _)| match number {
            Some(number) => *uid == number,
            None => *name == user,
        });
        let uid = number.or(entry.map(|(_, uid, _)| uid));
        let uid = uid.ok_or("/etc/passwd has no such user; give its number")?;
        match uid {
            0 => return Err("root is what it is to give up; name another user"),
            NOBODY_AT_ALL => return Err("this number stands for no user"),
            _ => {}
        }
        let group = match group {
            Some(group) => gid(group)
                .filter(|gid| *gid != NOBODY_AT_ALL)
                .map(Group::Given)
                .ok_or("/etc/group has no such group; give its number")?,
            None => Group::Own(entry.map_or(uid, |(_, _, gid)| gid)),
        };
        Ok(Self { uid, group })
    }
}

fn entry(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name, uid, gid))
}

impl Group {
    fn gid(self) -> Gid {
        match self {
            Self::Given(gid) | Self::Own(gid) => Gid::from_raw(gid),
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
pub fn become_user(user: User, upstream: &Address) -> Result<(), PrivilegeError> {
    only_thread().map_err(PrivilegeError::Threads)?;
    let groups = groups_to_keep(user, upstream)?;
    let (uid, gid) = (Uid::from_raw(user.uid), user.group.gid());
    // The user comes last: it takes the right to change the groups away.
    set_thread_groups(&groups).map_err(refused("setgroups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(refused("setresgid"))?;
    set_thread_res_uid(uid, uid, uid).map_err(refused("setresuid"))?;
    check_no_way_back(gid, &groups)
}

fn refused(call: &'static str) -> impl Fn(rustix::io::Errno) -> PrivilegeError {
    move |error| PrivilegeError::Refused(call, error.into())
}

fn groups_to_keep(user: User, upstream: &Address) -> Result<Vec<Gid>, PrivilegeError> {
    let Address::Unix(path) = upstream else { return Ok(vec![]) };
    match (std::fs::metadata(path), user.group) {
        (Ok(socket), _) => Ok(vec![Gid::from_raw(socket.gid())]),
        // The group that was written may well be the engine's, which is not there yet.
        (Err(_), Group::Given(_)) => Ok(vec![]),
        (Err(error), Group::Own(_)) => Err(PrivilegeError::Upstream(path.clone(), error)),
    }
}

fn check_no_way_back(gid: Gid, groups: &[Gid]) -> Result<(), PrivilegeError> {
    let root_user = set_thread_uid(Uid::ROOT).is_ok();
    let root_group = !gid.is_root() && !groups.contains(&Gid::ROOT) && set_thread_gid(Gid::ROOT).is_ok();
    let other_groups = getgroups().map_err(refused("getgroups"))? != groups;
    if root_user || root_group || other_groups { Err(PrivilegeError::Return) } else { Ok(()) }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={} gid={}", self.uid, self.group.gid().as_raw())
    }
}

impl fmt::Display for PrivilegeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--user: ")?;
        match self {
            Self::Threads(why) => write!(f, "cannot change the user: {why}"),
            Self::Upstream(path, error) => write!(
                f,
                "cannot tell which group may open {}: {error}; start the engine first, or give the group: \
                 --user USER:GROUP",
                path.display()
            ),
            Self::Refused(call, error) => write!(
                f,
                "{call}: {error}; only root can become another user, in a container also with the \
                 capabilities SETUID and SETGID. Start as root, or leave --user out"
            ),
            Self::Return => write!(f, "the process could become root again, so it does not go on"),
        }
    }
}

impl std::error::Error for PrivilegeError {}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          broken line\n\
                          toor:x:0:7::/:\n\
                          nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
                          1000:x:77:78::/:\n";

    fn find(text: &str) -> Result<User, &'static str> {
        User::find(text, PASSWD, |group| if group == "docker" { Some(999) } else { group.parse().ok() })
    }

    #[test]
    fn a_user_is_a_name_or_a_number_with_or_without_a_group() {
        let of = |uid, group| Ok(User { uid, group });
        assert_eq!(find("nobody"), of(65534, Group::Own(65533)));
        assert_eq!(find("65534"), of(65534, Group::Own(65533)));
        assert_eq!(find("4711"), of(4711, Group::Own(4711)));
        assert_eq!(find("nobody:docker"), of(65534, Group::Given(999)));
        assert_eq!(find("4711:12"), of(4711, Group::Given(12)));
        assert_eq!(find("1000"), of(1000, Group::Own(1000)), "a name of digits is a number");
    }

    #[test]
    fn root_and_strangers_are_no_users() {
        for wrong in ["root", "0", "toor", "0:12", "", ":12", "stranger", "nobody:", "nobody:strangers"] {
            assert!(find(wrong).is_err(), "{wrong}");
        }
        for wrong in ["-1", "4294967295", "7:4294967295"] {
            assert!(find(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_group_of_a_socket_that_is_not_there_has_to_be_given() {
        let nowhere = Address::Unix("/nonexistent/docker.sock".into());
        let user = |group| User { uid: 7, group };
        assert_eq!(groups_to_keep(user(Group::Given(8)), &nowhere).unwrap(), []);
        assert!(groups_to_keep(user(Group::Own(8)), &nowhere).is_err());
    }
}
