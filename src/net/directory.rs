//! A directory that is reached step by step, so that no other user can have led the way to it.
//!
//! A path that is judged and then used is two paths when a link in it turns in between. Here each step is
//! one descriptor: what it is and whose it is are asked of that, and the next step begins there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use thiserror::Error;

/// Whose files and links on the way are believed: root's, this process's, and those of the user that it
/// becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trusted {
    euid: u32,
    /// The user that this process becomes.
    target_uid: u32,
}

/// Why a directory is not used.
#[derive(Debug, Error)]
pub(super) enum DirectoryError {
    /// Someone else could swap what stands in a directory on the way.
    #[error("the directory {} {}", .0.display(), .1)]
    Directory(PathBuf, &'static str),
    /// Someone else could turn a link on the way.
    #[error(
        "the link {} belongs to another user, who could turn it; name the directory that it leads to",
        .0.display()
    )]
    Link(PathBuf),
    /// Links lead to links, without end.
    #[error("there are too many links on the way to {}", .0.display())]
    TooManyLinks(PathBuf),
    /// Something else stands where a directory should.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The system refuses.
    #[error("cannot {0} {path}: {2}", path = .1.display())]
    Io(&'static str, PathBuf, #[source] io::Error),
}

/// Opens a directory, by `O_PATH` of open(2). Where there is none it is made, and given to the user that
/// this process becomes.
///
/// # Errors
/// [`DirectoryError`] if another user could change a part of the way, or the system refuses.
pub(super) fn open(path: &Path, trusted: Trusted) -> Result<OwnedFd, DirectoryError> {
    let mut walk = Walk { trusted, directory: root()?, reached: "/".into(), ahead: steps(path), links: 0 };
    walk.enter_root()?;
    while let Some(name) = walk.ahead.pop_front() {
        walk.step(&name)?;
    }
    Ok(walk.directory)
}

/// A file that is open by `O_PATH`, which neither fchmod(2) nor a path that may turn serves.
pub(super) fn set_mode(file: &OwnedFd, mode: u32) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?)
}

/// As [`set_mode`]; `None` leaves a part as it is.
pub(super) fn set_owner(file: &OwnedFd, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    let (owner, group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
    Ok(rustix::fs::chownat(file, c"", owner, group, AtFlags::EMPTY_PATH)?)
}

impl Trusted {
    /// `target_uid` is the user that this process becomes, if it does.
    pub(super) fn new(target_uid: Option<u32>) -> Self {
        let euid = rustix::process::geteuid().as_raw();
        Self { euid, target_uid: target_uid.unwrap_or(euid) }
    }

    fn includes(self, uid: u32) -> bool {
        [0, self.euid, self.target_uid].contains(&uid)
    }

    /// How others could swap what stands in a directory of this mode and owner.
    fn risk(self, mode: u32, owner: u32) -> Option<&'static str> {
        const WRITABLE_BY_OTHERS: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        if !self.includes(owner) {
            return Some(
                "belongs to another user, who could swap the socket; choose a directory of root's or your own",
            );
        }
        (mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0)
            .then_some("is writable by everyone, who could swap the socket; 'chmod o-w' it or choose another")
    }
}

/// The way to a directory, so far and from here.
struct Walk {
    trusted: Trusted,
    /// Where it is.
    directory: OwnedFd,
    /// The same as a path without links, for errors.
    reached: PathBuf,
    /// The names that follow.
    ahead: VecDeque<OsString>,
    /// How many links were followed.
    links: u32,
}

impl Walk {
    fn step(&mut self, name: &OsStr) -> Result<(), DirectoryError> {
        let found = match self.look_up(name) {
            Err(Errno::NOENT) => self.make(name)?,
            found => found.map_err(|error| self.failed("open", name, error))?,
        };
        let stat = rustix::fs::fstat(&found).map_err(|error| self.failed("look at", name, error))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.enter(found, &stat, name),
            FileType::Symlink => self.follow(&found, &stat, name),
            _ => Err(DirectoryError::NotADirectory(self.reached.join(name))),
        }
    }

    fn look_up(&self, name: &OsStr) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(&self.directory, name, PATH_ONLY, Mode::empty())
    }

    fn make(&self, name: &OsStr) -> Result<OwnedFd, DirectoryError> {
        /// Clients of other users have to get through, whatever the umask is.
        const MODE: u32 = 0o755;
        let failed = |error| self.failed("make", name, error);
        match rustix::fs::mkdirat(&self.directory, name, Mode::from_raw_mode(MODE)) {
            // Another instance that starts was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let made = self.look_up(name).map_err(failed)?;
        let stat = rustix::fs::fstat(&made).map_err(failed)?;
        // Whatever replaced it meanwhile is judged like anything else on the way.
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && stat.st_uid == self.trusted.euid {
            set_mode(&made, MODE).map_err(|e| DirectoryError::Io("make", self.reached.join(name), e))?;
            if self.ahead.is_empty() {
                // Best effort: where root lacks CAP_CHOWN, its own it stays.
                let _ = set_owner(&made, Some(self.trusted.target_uid), None);
            }
        }
        Ok(made)
    }

    fn enter(&mut self, directory: OwnedFd, stat: &Stat, name: &OsStr) -> Result<(), DirectoryError> {
        if name == ".." {
            self.reached.pop();
        } else {
            self.reached.push(name);
        }
        if let Some(risk) = self.trusted.risk(stat.st_mode, stat.st_uid) {
            return Err(DirectoryError::Directory(self.reached.clone(), risk));
        }
        self.directory = directory;
        Ok(())
    }

    fn follow(&mut self, link: &OwnedFd, stat: &Stat, name: &OsStr) -> Result<(), DirectoryError> {
        /// As many as path_resolution(7) follows.
        const MAX_LINKS: u32 = 40;
        let path = self.reached.join(name);
        if !self.trusted.includes(stat.st_uid) {
            return Err(DirectoryError::Link(path));
        }
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(DirectoryError::TooManyLinks(path));
        }
        let target =
            rustix::fs::readlinkat(link, c"", []).map_err(|error| self.failed("read", name, error))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        let mut ahead = steps(&target);
        ahead.append(&mut self.ahead);
        self.ahead = ahead;
        if target.is_absolute() {
            self.directory = root()?;
            self.enter_root()?;
        }
        Ok(())
    }

    fn enter_root(&mut self) -> Result<(), DirectoryError> {
        self.reached = "/".into();
        let root = rustix::fs::fstat(&self.directory)
            .map_err(|error| DirectoryError::Io("look at", self.reached.clone(), error.into()))?;
        match self.trusted.risk(root.st_mode, root.st_uid) {
            Some(risk) => Err(DirectoryError::Directory(self.reached.clone(), risk)),
            None => Ok(()),
        }
    }

    fn failed(&self, what: &'static str, name: &OsStr, error: Errno) -> DirectoryError {
        DirectoryError::Io(what, self.reached.join(name), error.into())
    }
}

/// Opens what stands there itself, be it a link, and only to go on from it.
pub(super) const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn root() -> Result<OwnedFd, DirectoryError> {
    rustix::fs::openat(CWD, c"/", PATH_ONLY, Mode::empty())
        .map_err(|error| DirectoryError::Io("open", "/".into(), error.into()))
}

/// The names in a path; `..` is one, as what it leads to depends on the links before it.
fn steps(path: &Path) -> VecDeque<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    const TRUSTED: Trusted = Trusted { euid: 1000, target_uid: 1002 };

    #[test]
    fn a_directory_is_safe_when_only_root_and_this_user_and_its_target_user_can_change_it() {
        let risky = |mode, owner| TRUSTED.risk(mode, owner).is_some();
        assert!(!risky(0o40755, 0));
        assert!(!risky(0o40755, 1000));
        assert!(!risky(0o40755, 1002));
        assert!(!risky(0o41777, 0));
        assert!(!risky(0o40775, 0));
        assert!(risky(0o40777, 0));
        assert!(risky(0o40755, 1001));
        assert!(risky(0o41777, 1001));
    }

    /// The inode of the directory that a path leads to, step by step.
    fn walked(path: &Path) -> Result<u64, DirectoryError> {
        open(path, Trusted::new(None)).map(|directory| rustix::fs::fstat(directory).unwrap().st_ino)
    }

    #[test]
    fn it_leads_where_the_kernel_leads() {
        let here = tempfile::tempdir().unwrap();
        let at = |name: &str| here.path().join(name);
        std::fs::create_dir_all(at("a/b")).unwrap();
        symlink("a/b", at("relative")).unwrap();
        symlink(at("a"), at("absolute")).unwrap();
        symlink("relative/../b", at("through")).unwrap();
        for way in ["a/b", "relative", "absolute/b", "through", "relative/../../a/./b", "a//b"] {
            assert_eq!(walked(&at(way)).unwrap(), at("a/b").metadata().unwrap().ino(), "{way}");
        }
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_no_directory_is_an_error() {
        let here = tempfile::tempdir().unwrap();
        let at = |name: &str| here.path().join(name);
        assert_eq!(walked(&at("new/newer")).unwrap(), at("new/newer").metadata().unwrap().ino());
        std::fs::write(at("file"), "").unwrap();
        assert!(
            matches!(walked(&at("file/below")), Err(DirectoryError::NotADirectory(path)) if path == at("file"))
        );
        symlink("loop", at("loop")).unwrap();
        assert!(matches!(walked(&at("loop")), Err(DirectoryError::TooManyLinks(_))));
    }
}
