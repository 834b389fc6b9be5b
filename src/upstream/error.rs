//! Why there is no answer from the engine, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::connection::root_cause;
use crate::tls::ConnectError;

/// Why there is no answer from the engine.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("the engine is out of reach: {0}")]
    Unreachable(io::Error),
    /// What is at its address is not a socket.
    #[error("the engine is out of reach: {} is {kind}, not a socket", path.display())]
    NotASocket {
        /// The address.
        path: PathBuf,
        /// What is there.
        kind: FileKind,
    },
    /// No TLS over it, or the two cannot agree.
    #[error(transparent)]
    Tls(ConnectError),
    /// The connection ended before the answer's head, or that was not HTTP.
    #[error("the engine broke off before its answer: {}", root_cause(.0))]
    Broken(hyper::Error),
    /// The head did not come in time.
    #[error("the engine did not begin to answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It answered with 101, which only a tunnel could carry on.
    #[error("the engine wanted to switch protocols, which is never relayed")]
    SwitchingProtocols,
}

/// What may be where the engine's socket should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A file, a device, a pipe.
    File,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::File => "a file",
        })
    }
}

impl FileKind {
    fn hint(self) -> &'static str {
        match self {
            Self::Directory => {
                "Docker makes a directory where the source of a bind mount is missing: start the engine, \
                 remove the directory on the host and make this container anew; or upstream names a \
                 directory, and not the socket in it"
            }
            Self::File => {
                "upstream names another path than its socket's; an empty file is what a mount of a socket \
                 leaves behind"
            }
        }
    }
}

impl UpstreamError {
    /// The connection broke; perhaps because TLS ended it.
    pub(super) fn from_hyper(error: hyper::Error) -> Self {
        match ConnectError::from_source(&error) {
            Some(tls) => Self::Tls(tls),
            None => Self::Broken(error),
        }
    }

    /// What a client is told: what exactly is wrong between the proxy and the engine is the operator's
    /// matter.
    pub fn public_message(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::NotASocket { .. } => "the engine is out of reach",
            Self::Tls(_) => "TLS to the engine failed",
            Self::Broken(_) => "the engine broke off before its answer",
            Self::SwitchingProtocols => "the engine wanted to switch protocols",
            Self::Timeout(_) => "the engine did not begin to answer in time",
        }
    }

    pub(super) fn hint(&self, mounted_file: bool) -> Option<&'static str> {
        let error = match self {
            Self::Unreachable(error) => error,
            Self::NotASocket { kind, .. } => return Some(kind.hint()),
            Self::Tls(error) => return error.hint(),
            Self::Broken(_) | Self::Timeout(_) | Self::SwitchingProtocols => return None,
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused if mounted_file => Some(
                "the engine has replaced its socket, and a socket that is mounted as a file stays the old one; \
                 mount its directory instead, or restart this container",
            ),
            io::ErrorKind::ConnectionRefused => Some("the engine does not run"),
            io::ErrorKind::NotFound => {
                Some("the engine does not run, or upstream names another path than its socket's")
            }
            io::ErrorKind::PermissionDenied => {
                Some("run as root or in the group that owns the engine's socket")
            }
            _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                Some("raise the limit of open files (ulimit -n), or lower max-connections")
            }
            _ => None,
        }
    }
}
