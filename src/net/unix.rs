//! A Unix listener's socket file: created safely, replaced when stale, removed when done.
//!
//! Everything happens in one directory that is held open, whatever the path to it may come to mean.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, statat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use thiserror::Error;

use super::directory::{self, DirectoryError, PATH_ONLY, Trusted};
use super::passing::{self, DescriptorPassing};

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
    /// That of this socket, where it exists and the group can be set.
    SameAs(PathBuf),
    /// Whatever the kernel gives it.
    Default,
}

/// A socket file that this process created; [`SocketPath::remove`] removes it again.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    place: Place,
    device: u64,
    inode: u64,
}

/// A name in a directory that is held open.
#[derive(Debug)]
struct Place {
    directory: OwnedFd,
    name: OsString,
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
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
    #[error("another docker-proxy-acl is listening there")]
    InUse,
    #[error("what is there is not a socket; remove it or choose another path")]
    NotASocket,
    #[error("another user replaced it in that moment; choose a directory that only you may write")]
    Replaced,
}

/// A socket that clients connect to while nobody accepts them yet.
#[derive(Debug)]
pub struct BoundSocket {
    /// The socket itself.
    pub listener: UnixListener,
    /// Its file.
    pub path: SocketPath,
    /// What happens to descriptors that clients pass.
    pub passing: DescriptorPassing,
}

/// Binds the socket. To do so it changes the working directory and the umask for a moment: it is for the
/// time before other threads are started.
///
/// # Errors
/// [`UnixBindError`] if its directory is not safe, something else stands at its path, or the system
/// refuses.
pub fn bind(file: &SocketFile) -> Result<BoundSocket, UnixBindError> {
    let fail = |source| UnixBindError { path: file.path.clone(), source };
    let place = Place::open(file).map_err(fail)?;
    // Two instances that start at once must not both find the path free: the second waits here.
    let _lock = place.lock().map_err(fail)?;
    place.remove_stale_socket().map_err(fail)?;
    let listener = place.bind_mode_0().map_err(|e| fail(UnixBindErrorKind::Io("the system refuses", e)))?;
    let created = place.open_created().map_err(fail)?;
    let path = SocketPath {
        path: file.path.clone(),
        place,
        device: created.stat.st_dev,
        inode: created.stat.st_ino,
    };
    let passing = passing::refuse(&listener);
    let ready = set_permissions(&created.file, file).and_then(|()| {
        rustix::net::listen(&listener, BACKLOG)
            .map_err(|e| UnixBindErrorKind::Io("the system refuses", e.into()))
    });
    if let Err(error) = ready {
        // It was created a moment ago; without its permissions it is of no use to anyone.
        let _ = path.remove();
        return Err(fail(error));
    }
    Ok(BoundSocket { listener: UnixListener::from(listener), path, passing })
}

/// Clients that wait to be accepted: as many as net.core.somaxconn says.
const BACKLOG: i32 = -1;

impl SocketFile {
    /// The directory that it stands in.
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }
}

impl SocketPath {
    /// Removes the file if it is still the one that was created. Another at the same place stays.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(&self) -> io::Result<()> {
        let Place { directory, name } = &self.place;
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == (self.device, self.inode) => {
                Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Where it stands.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A socket's file, open only to be looked at and given away.
struct Created {
    file: OwnedFd,
    stat: rustix::fs::Stat,
}

impl Place {
    /// Opens the directory, or makes it.
    fn open(file: &SocketFile) -> Result<Self, UnixBindErrorKind> {
        let name = file.path.file_name().ok_or(UnixBindErrorKind::NotASocket)?.to_owned();
        let directory = directory::open(file.directory(), Trusted::new(file.owner))?;
        Ok(Self { directory, name })
    }

    /// Locks the directory, by flock(2); dropping the descriptor unlocks it. Goes on without after a while:
    /// whoever may open the directory, such as a client that has it mounted, could hold the lock for ever.
    fn lock(&self) -> Result<OwnedFd, UnixBindErrorKind> {
        const ATTEMPTS: u32 = 200;
        const PAUSE: Duration = Duration::from_millis(10);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = openat(&self.directory, c".", flags, Mode::empty())
            .map_err(|e| UnixBindErrorKind::Io("cannot open its directory", e.into()))?;
        for _ in 0..ATTEMPTS {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                result => {
                    return result
                        .map(|()| lock)
                        .map_err(|e| UnixBindErrorKind::Io("cannot lock its directory", e.into()));
                }
            }
        }
        Ok(lock)
    }

    /// Removes a stale socket; anything else in the way is an error.
    fn remove_stale_socket(&self) -> Result<(), UnixBindErrorKind> {
        let failed = |what| move |error: Errno| UnixBindErrorKind::Io(what, error.into());
        match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Socket => {
                return Err(UnixBindErrorKind::NotASocket);
            }
            found => found.map_err(failed("cannot look at it"))?,
        };
        match self.connect() {
            Err(Errno::CONNREFUSED) => rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty())
                .map_err(failed("cannot remove the stale socket")),
            Err(error @ Errno::ACCESS) => {
                Err(failed("cannot tell whether the socket there is in use")(error))
            }
            // Connected, or its queue is full: someone listens.
            _ => Err(UnixBindErrorKind::InUse),
        }
    }

    /// Connects without waiting: a queue that is full is `EAGAIN`, however long it stays so.
    fn connect(&self) -> rustix::io::Result<OwnedFd> {
        let socket = stream_socket()?;
        self.in_directory(|name| rustix::net::connect(&socket, &SocketAddrUnix::new(name)?))?;
        Ok(socket)
    }

    /// Binds with no permissions at all, so that nobody connects before the file is as it is to be.
    fn bind_mode_0(&self) -> io::Result<OwnedFd> {
        let socket = stream_socket()?;
        let before = rustix::process::umask(Mode::from_raw_mode(0o777));
        let bound = self.in_directory(|name| rustix::net::bind(&socket, &SocketAddrUnix::new(name)?));
        rustix::process::umask(before);
        Ok(bound.map(|()| socket)?)
    }

    /// Runs a call that knows a socket by its path alone, and by at most 107 bytes of it: with the name, in
    /// the directory.
    fn in_directory<T>(&self, call: impl FnOnce(&OsStr) -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        let before = openat(CWD, c".", PATH_ONLY, Mode::empty());
        rustix::process::fchdir(&self.directory)?;
        let result = call(&self.name);
        match before {
            Ok(before) => rustix::process::fchdir(before)?,
            // It could not be used before either.
            Err(_) => rustix::process::chdir(c"/")?,
        }
        result
    }

    /// The file that was just created.
    fn open_created(&self) -> Result<Created, UnixBindErrorKind> {
        let failed = |error: Errno| UnixBindErrorKind::Io("cannot open it once bound", error.into());
        let file = openat(&self.directory, &self.name, PATH_ONLY, Mode::empty()).map_err(failed)?;
        let stat = fstat(&file).map_err(failed)?;
        // A group that may write the directory could put a link there, or another name of a socket.
        let own = FileType::from_raw_mode(stat.st_mode) == FileType::Socket
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_nlink == 1;
        if own { Ok(Created { file, stat }) } else { Err(UnixBindErrorKind::Replaced) }
    }
}

fn stream_socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn set_permissions(socket: &OwnedFd, wanted: &SocketFile) -> Result<(), UnixBindErrorKind> {
    match &wanted.group {
        SocketGroup::Exactly(gid) => directory::set_owner(socket, None, Some(*gid))
            .map_err(|e| UnixBindErrorKind::Io("cannot set its group (socket-group)", e))?,
        SocketGroup::SameAs(other) => {
            // Where the source of a bind mount is missing, Docker makes a directory of root's group.
            if let Ok(other) = std::fs::metadata(other)
                && other.file_type().is_socket()
            {
                // Only root and members of the group may: best effort.
                let _ = directory::set_owner(socket, None, Some(other.gid()));
            }
        }
        SocketGroup::Default => {}
    }
    directory::set_mode(socket, wanted.mode).map_err(|e| UnixBindErrorKind::Io("cannot set its mode", e))?;
    if wanted.owner.is_some() {
        // Last: without CAP_FOWNER the mode of another user's file cannot be set. Best effort: where root
        // lacks CAP_CHOWN the file stays root's, and stays where it is at the end.
        let _ = directory::set_owner(socket, wanted.owner, None);
    }
    Ok(())
}
