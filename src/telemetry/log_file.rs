//! The access log's file: appended to, and opened anew when whoever rotates it says so.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use thiserror::Error;

/// How the file is opened, the first time and each time after: only to append to it, never through a link, and
/// without waiting for whoever may read it.
const APPEND: OFlags = OFlags::WRONLY
    .union(OFlags::APPEND)
    .union(OFlags::CREATE)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// What a new file's permission bits are.
const MODE: u32 = 0o640;

/// A name in a directory that is held open, and the file that was last found there.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    file: File,
    /// Whether its last line is not whole.
    is_torn: bool,
}

/// Why the access log's file cannot be opened.
#[derive(Debug, Error)]
pub enum LogFileError {
    /// Its directory cannot be.
    #[error("access log {}: cannot open its directory: {error}", path.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file itself cannot be.
    #[error(
        "access log {}: cannot open it to append: {error}; it is opened by the user that the program runs as, \
         who needs to write its directory",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a device, a pipe, a directory or a link.
    #[error("access log {}: it is not a regular file; '-' is standard output", .0.display())]
    NotAFile(PathBuf),
}

/// Lines that could not be written.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// How many.
    pub lines: u64,
    /// Why.
    pub error: io::Error,
}

impl LogFile {
    /// Opens the directory; [`LogFile::open`] opens the file in it.
    ///
    /// # Errors
    /// [`LogFileError`] if there is no such directory, or the path names none.
    pub(super) fn prepare(path: &Path) -> Result<Self, LogFileError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(LogFileError::NotAFile(path));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, parent, flags, Mode::empty()) {
            Ok(directory) => {
                let name = name.to_owned();
                Ok(Self { path, directory, name, current: Mutex::default() })
            }
            Err(error) => Err(LogFileError::Directory { path, error: error.into() }),
        }
    }

    /// Opens the file that stands there now, or makes it.
    ///
    /// # Errors
    /// [`LogFileError`]; the one that was open before stays so.
    pub(super) fn open(&self) -> Result<(), LogFileError> {
        let fail =
            |error: rustix::io::Errno| LogFileError::File { path: self.path.clone(), error: error.into() };
        let not_a_file = || LogFileError::NotAFile(self.path.clone());
        let file = match openat(&self.directory, &self.name, APPEND, Mode::from_raw_mode(MODE)) {
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::ISDIR) => {
                return Err(not_a_file());
            }
            opened => opened.map_err(fail)?,
        };
        let kind = FileType::from_raw_mode(fstat(&file).map_err(fail)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(not_a_file());
        }
        *self.current() = Some(Current { file: File::from(file), is_torn: false });
        Ok(())
    }

    /// Where it stands.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines. A line of which only a part could be written, as on a disk that is full, ends
    /// before the next one.
    ///
    /// # Errors
    /// [`Unwritten`] with how many lines are not there, or not whole.
    pub(super) fn write(&self, lines: &[u8]) -> Result<(), Unwritten> {
        match &mut *self.current() {
            Some(current) => current.write(lines),
            None => Err(Unwritten { lines: count(lines), error: io::Error::other("it is not open") }),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    fn write(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let mut rest = lines;
        while !rest.is_empty() {
            let piece = if self.is_torn { b"\n" } else { rest };
            match self.file.write(piece) {
                Ok(_) if self.is_torn => self.is_torn = false,
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let before = &lines[..lines.len() - rest.len()];
                    self.is_torn |= before.last().is_some_and(|byte| *byte != b'\n');
                    return Err(Unwritten { lines: count(rest), error });
                }
            }
        }
        Ok(())
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn opened(path: &Path) -> Result<LogFile, LogFileError> {
        let file = LogFile::prepare(path)?;
        file.open().map(|()| file)
    }

    #[test]
    fn lines_are_appended_and_go_into_a_new_file_once_it_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        std::fs::write(&path, "old\n").unwrap();
        let file = opened(&path).unwrap();
        file.write(b"first\n").unwrap();
        let rotated = directory.path().join("access.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        file.write(b"second\n").unwrap();
        file.open().unwrap();
        file.write(b"third\n").unwrap();
        assert_eq!(std::fs::read_to_string(rotated).unwrap(), "old\nfirst\nsecond\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third\n");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o137, 0);
    }

    #[test]
    fn what_is_no_regular_file_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        symlink("file", at("link")).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        for path in [at("link"), at("directory"), "/dev/null".into(), "/".into()] {
            assert!(matches!(opened(&path), Err(LogFileError::NotAFile(_))), "{}", path.display());
        }
        assert!(matches!(opened(&at("missing/file")), Err(LogFileError::Directory { .. })));
    }

    #[test]
    fn a_line_that_was_torn_ends_before_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let file = opened(&path).unwrap();
        file.write(b"{\"half").unwrap();
        file.current().as_mut().unwrap().is_torn = true;
        file.write(b"whole\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\nwhole\n");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut current = Current { file: full, is_torn: false };
        assert_eq!(current.write(b"one\ntwo\n").unwrap_err().lines, 2);
    }
}
