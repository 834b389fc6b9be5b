//! A Unix listener's socket file: created safely, replaced when stale, removed when done.

use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, Uid, flock};
use thiserror::Error;

/// How the socket's file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    /// Where it stands; absolute.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The group that it belongs to.
    pub group: SocketGroup,
    /// The user that it belongs to, who removes it at the end (`--user`); `None` is who binds it.
    pub owner: Option<u32>,
}

/// The group of a socket's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketGroup {
    /// This one; not being able to set it is an error.
    Exactly(u32),
    /// That of this file, where it exists and the group can be set.
    SameAs(PathBuf),
    /// Whatever the kernel gives it.
    Default,
}

/// A socket file that this process created; [`SocketPath::remove`] removes it again.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Why a socket cannot be bound.
#[derive(Debug, Error)]
#[error("cannot bind {}: {source}", path.display())]
pub struct UnixBindError {
    path: PathBuf,
    source: UnixBindErrorKind,
}

#[derive(Debug, Error)]
enum UnixBindErrorKind {
    #[error("the directory {} {}", .0.display(), .1)]
    Directory(PathBuf, &'static str),
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
    #[error("another docker-proxy-acl is listening there")]
    InUse,
    #[error("what is there is not a socket; remove it or choose another path")]
    NotASocket,
}

/// Binds the socket.
///
/// # Errors
/// [`UnixBindError`] if its directory is not safe, something else stands at its path, or the system
/// refuses.
pub fn bind(file: &SocketFile) -> Result<(UnixListener, SocketPath), UnixBindError> {
    let fail = |source| UnixBindError { path: file.path.clone(), source };
    let directory = file.directory();
    make_directory(directory, file.owner).map_err(fail)?;
    // Two instances that start at once must not both find the path free: the second waits here.
    let _lock = lock(directory).map_err(fail)?;
    remove_stale_socket(&file.path).map_err(fail)?;
    let listener =
        bind_mode_0(&file.path).map_err(|e| fail(UnixBindErrorKind::Io("the system refuses", e)))?;
    let created = std::fs::symlink_metadata(&file.path)
        .map_err(|e| fail(UnixBindErrorKind::Io("cannot stat it once bound", e)))?;
    let path = SocketPath { path: file.path.clone(), device: created.dev(), inode: created.ino() };
    let ready = listener
        .set_nonblocking(true)
        .map_err(|e| UnixBindErrorKind::Io("the system refuses", e))
        .and_then(|()| set_permissions(file));
    if let Err(error) = ready {
        // It was created a moment ago; without its permissions it is of no use to anyone.
        let _ = path.remove();
        return Err(fail(error));
    }
    Ok((listener, path))
}

impl SocketFile {
    /// The directory that it stands in.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl SocketPath {
    /// Removes the file if it is still the one that was created. Another at the same path stays.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(now) if (now.dev(), now.ino()) == (self.device, self.inode) => {
                std::fs::remove_file(&self.path)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes the socket's directory where there is none, and gives it to the socket's owner.
fn make_directory(directory: &Path, owner: Option<u32>) -> Result<(), UnixBindErrorKind> {
    let making = |e| UnixBindErrorKind::Io("cannot make its directory", e);
    let mut maker = std::fs::DirBuilder::new();
    maker.mode(0o755);
    maker.recursive(true).create(directory.parent().unwrap_or(directory)).map_err(making)?;
    match maker.recursive(false).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_directory(directory, owner),
        Err(error) => Err(making(error)),
        Ok(()) => {
            // Whatever the umask is: clients of other users have to get through.
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).map_err(making)?;
            check_directory(directory, owner)?;
            chown(directory, owner);
            Ok(())
        }
    }
}

/// Sees that nobody else can swap the socket or the directories that lead to it.
fn check_directory(directory: &Path, owner: Option<u32>) -> Result<(), UnixBindErrorKind> {
    let real = directory.canonicalize().map_err(|e| UnixBindErrorKind::Io("cannot find its directory", e))?;
    for ancestor in real.ancestors() {
        let found = std::fs::metadata(ancestor)
            .map_err(|e| UnixBindErrorKind::Io("cannot look at its directory", e))?;
        let euid = rustix::process::geteuid().as_raw();
        let ownership =
            DirOwnership { mode: found.mode(), owner: found.uid(), euid, target_uid: owner.unwrap_or(euid) };
        if let Some(risk) = ownership.risk() {
            return Err(UnixBindErrorKind::Directory(ancestor.to_owned(), risk));
        }
    }
    Ok(())
}

/// Locks a directory, by flock(2); dropping the file unlocks it. Goes on without after a while: whoever
/// may open the directory, such as a client that has it mounted, could hold the lock for ever.
fn lock(directory: &Path) -> Result<std::fs::File, UnixBindErrorKind> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    let file =
        std::fs::File::open(directory).map_err(|e| UnixBindErrorKind::Io("cannot open its directory", e))?;
    for _ in 0..ATTEMPTS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            result => {
                return result
                    .map(|()| file)
                    .map_err(|e| UnixBindErrorKind::Io("cannot lock its directory", e.into()));
            }
        }
    }
    Ok(file)
}

/// Who can change what stands in a directory.
struct DirOwnership {
    mode: u32,
    owner: u32,
    euid: u32,
    /// The user that this process becomes.
    target_uid: u32,
}

impl DirOwnership {
    /// How others could swap what stands in the directory.
    fn risk(&self) -> Option<&'static str> {
        const WRITABLE_BY_OTHERS: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        if ![0, self.euid, self.target_uid].contains(&self.owner) {
            return Some(
                "belongs to another user, who could swap the socket; choose a directory of root's or your own",
            );
        }
        (self.mode & WRITABLE_BY_OTHERS != 0 && self.mode & STICKY == 0)
            .then_some("is writable by everyone, who could swap the socket; 'chmod o-w' it or choose another")
    }
}

/// Removes a stale socket; anything else in the way is an error.
fn remove_stale_socket(path: &Path) -> Result<(), UnixBindErrorKind> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(UnixBindErrorKind::Io("cannot look at it", error)),
        Ok(found) if !found.file_type().is_socket() => return Err(UnixBindErrorKind::NotASocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|e| UnixBindErrorKind::Io("cannot remove the stale socket", e))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(UnixBindErrorKind::Io("cannot tell whether the socket there is in use", error))
        }
        // Connected, or its queue is full: someone listens.
        _ => Err(UnixBindErrorKind::InUse),
    }
}

/// Binds with no permissions at all, so that nobody connects before the file is as it is to be.
fn bind_mode_0(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o777));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

fn set_permissions(file: &SocketFile) -> Result<(), UnixBindErrorKind> {
    match &file.group {
        SocketGroup::Exactly(gid) => {
            set_group(&file.path, *gid)
                .map_err(|e| UnixBindErrorKind::Io("cannot set its group (socket-group)", e))?;
        }
        SocketGroup::SameAs(other) => {
            if let Ok(other) = std::fs::metadata(other) {
                // Only root and members of the group may: best effort.
                let _ = set_group(&file.path, other.gid());
            }
        }
        SocketGroup::Default => {}
    }
    std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(file.mode))
        .map_err(|e| UnixBindErrorKind::Io("cannot set its mode", e))?;
    // Last: without CAP_FOWNER the mode of another user's file cannot be set.
    chown(&file.path, file.owner);
    Ok(())
}

/// Best effort: where root lacks CAP_CHOWN the file stays root's, and stays where it is at the end.
fn chown(path: &Path, owner: Option<u32>) {
    if let Some(uid) = owner {
        let _ = rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW);
    }
}

fn set_group(path: &Path, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::chown(path, None, Some(Gid::from_raw(gid)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(mode: u32, owner: u32) -> bool {
        DirOwnership { mode, owner, euid: 1000, target_uid: 1002 }.risk().is_some()
    }

    #[test]
    fn a_directory_is_safe_when_only_root_and_this_user_and_its_target_user_can_change_it() {
        assert!(!risk(0o40755, 0));
        assert!(!risk(0o40755, 1000));
        assert!(!risk(0o40755, 1002));
        assert!(!risk(0o41777, 0));
        assert!(!risk(0o40775, 0));
        assert!(risk(0o40777, 0));
        assert!(risk(0o40755, 1001));
        assert!(risk(0o41777, 1001));
    }
}
