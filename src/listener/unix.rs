//! A Unix listener's socket file: made safely, replaced when stale, removed when done.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, Uid, flock};

/// How the socket's file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    /// Where it stands; absolute.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The group that it belongs to.
    pub group: Group,
    /// The user that it belongs to, who removes it at the end (`--user`); `None` is who binds it.
    pub owner: Option<u32>,
}

/// The group of a socket's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// This one; not being able to set it is an error.
    Exactly(u32),
    /// That of this file, where it exists and the group can be set.
    SameAs(PathBuf),
    /// Whatever the kernel gives it.
    Default,
}

/// A socket file that this process made; [`BoundFile::remove`] takes it away again.
#[derive(Debug)]
pub struct BoundFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Why a socket cannot be bound.
#[derive(Debug)]
pub struct BindError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Directory(PathBuf, &'static str),
    Io(&'static str, io::Error),
    Live,
    NotASocket,
}

/// Binds the socket.
///
/// # Errors
/// [`BindError`] if its directory is not safe, something else stands at its path, or the system
/// refuses.
pub fn bind(file: &SocketFile) -> Result<(UnixListener, BoundFile), BindError> {
    let fail = |problem| BindError { path: file.path.clone(), problem };
    let directory = file.path.parent().unwrap_or(Path::new("/"));
    make_directory(directory, file.owner).map_err(fail)?;
    // Two instances that start at once must not both find the path free: the second waits here.
    let _lock = lock(directory).map_err(fail)?;
    clear_the_way(&file.path).map_err(fail)?;
    let listener = bind_closed(&file.path).map_err(|e| fail(Problem::Io("cannot bind it", e)))?;
    let made = std::fs::symlink_metadata(&file.path)
        .map_err(|e| fail(Problem::Io("cannot look at it once bound", e)))?;
    let bound = BoundFile { path: file.path.clone(), device: made.dev(), inode: made.ino() };
    if let Err(problem) = open_up(file) {
        // It was made a moment ago; what cannot be opened up is of no use to anyone.
        let _ = bound.remove();
        return Err(fail(problem));
    }
    Ok((listener, bound))
}

impl BoundFile {
    /// Removes the file if it is still the one that was made. Someone else's at the same path stays.
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
fn make_directory(directory: &Path, owner: Option<u32>) -> Result<(), Problem> {
    let making = |e| Problem::Io("cannot make its directory", e);
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
            hand_over(directory, owner);
            Ok(())
        }
    }
}

/// Sees that nobody else can swap the socket or the directories that lead to it.
fn check_directory(directory: &Path, owner: Option<u32>) -> Result<(), Problem> {
    let real = directory.canonicalize().map_err(|e| Problem::Io("cannot find its directory", e))?;
    for ancestor in real.ancestors() {
        let found =
            std::fs::metadata(ancestor).map_err(|e| Problem::Io("cannot look at its directory", e))?;
        let me = rustix::process::geteuid().as_raw();
        let hand = Hand { mode: found.mode(), owner: found.uid(), me, heir: owner.unwrap_or(me) };
        if let Some(danger) = hand.danger() {
            return Err(Problem::Directory(ancestor.to_owned(), danger));
        }
    }
    Ok(())
}

/// Locks a directory, by flock(2); dropping the file unlocks it. Goes on without after a while: whoever
/// may open the directory, such as a client that has it mounted, could hold the lock for ever.
fn lock(directory: &Path) -> Result<std::fs::File, Problem> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    let file = std::fs::File::open(directory).map_err(|e| Problem::Io("cannot open its directory", e))?;
    for _ in 0..ATTEMPTS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            result => {
                return result.map(|()| file).map_err(|e| Problem::Io("cannot lock its directory", e.into()));
            }
        }
    }
    Ok(file)
}

/// Who can change what stands in a directory.
struct Hand {
    mode: u32,
    owner: u32,
    me: u32,
    /// Whom this process becomes.
    heir: u32,
}

impl Hand {
    /// How others could swap what stands in the directory.
    fn danger(&self) -> Option<&'static str> {
        const WRITABLE_BY_OTHERS: u32 = 0o002;
        const STICKY: u32 = 0o1000;
        if ![0, self.me, self.heir].contains(&self.owner) {
            return Some(
                "belongs to another user, who could swap the socket; choose a directory of root's or your own",
            );
        }
        (self.mode & WRITABLE_BY_OTHERS != 0 && self.mode & STICKY == 0)
            .then_some("is writable by everyone, who could swap the socket; 'chmod o-w' it or choose another")
    }
}

/// Removes a stale socket; anything else in the way is an error.
fn clear_the_way(path: &Path) -> Result<(), Problem> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Problem::Io("cannot look at it", error)),
        Ok(found) if !found.file_type().is_socket() => return Err(Problem::NotASocket),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|e| Problem::Io("cannot remove the stale socket", e))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Problem::Io("cannot tell whether the socket there is in use", error))
        }
        // Connected, or its queue is full: someone listens.
        _ => Err(Problem::Live),
    }
}

/// Binds with no permissions at all, so that nobody connects before the file is as it is to be.
fn bind_closed(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o777));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

fn open_up(file: &SocketFile) -> Result<(), Problem> {
    match &file.group {
        Group::Exactly(gid) => {
            set_group(&file.path, *gid)
                .map_err(|e| Problem::Io("cannot set its group (--socket-group)", e))?;
        }
        Group::SameAs(other) => {
            if let Ok(other) = std::fs::metadata(other) {
                // Only root and members of the group may: best effort.
                let _ = set_group(&file.path, other.gid());
            }
        }
        Group::Default => {}
    }
    std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(file.mode))
        .map_err(|e| Problem::Io("cannot set its mode", e))?;
    // Last: without CAP_FOWNER the mode of another user's file cannot be set.
    hand_over(&file.path, file.owner);
    Ok(())
}

/// Best effort: where root lacks CAP_CHOWN the file stays root's, and stays where it is at the end.
fn hand_over(path: &Path, owner: Option<u32>) {
    if let Some(uid) = owner {
        let _ = rustix::fs::chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW);
    }
}

fn set_group(path: &Path, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::chown(path, None, Some(Gid::from_raw(gid)))?)
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Directory(directory, danger) => {
                write!(f, "cannot bind {path}: the directory {} {danger}", directory.display())
            }
            Problem::Io(what, error) => write!(f, "cannot bind {path}: {what}: {error}"),
            Problem::Live => write!(f, "cannot bind {path}: another docker-proxy-acl is listening there"),
            Problem::NotASocket => {
                write!(
                    f,
                    "cannot bind {path}: what stands there is no socket; remove it or choose another path"
                )
            }
        }
    }
}

impl BindError {
    /// The system refused something that has no better explanation.
    pub fn system(path: &Path, error: io::Error) -> Self {
        Self { path: path.to_owned(), problem: Problem::Io("the system refuses", error) }
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn danger(mode: u32, owner: u32) -> bool {
        Hand { mode, owner, me: 1000, heir: 1002 }.danger().is_some()
    }

    #[test]
    fn a_directory_is_safe_when_only_root_and_this_user_and_its_heir_can_change_it() {
        assert!(!danger(0o40755, 0));
        assert!(!danger(0o40755, 1000));
        assert!(!danger(0o40755, 1002));
        assert!(!danger(0o41777, 0));
        assert!(!danger(0o40775, 0));
        assert!(danger(0o40777, 0));
        assert!(danger(0o40755, 1001));
        assert!(danger(0o41777, 1001));
    }
}
