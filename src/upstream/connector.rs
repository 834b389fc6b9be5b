//! Making a connection to the engine.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::connection::IoStream;
use super::error::{FileKind, UpstreamError};
use super::stale::{StaleCheck, StaleCheckedStream};
use crate::net::{Address, tcp};
use crate::tls::{CertError, ClientFiles, Reload, TlsConnector};

/// For resolving, connecting and the TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the engine.
pub(super) struct Connector {
    address: Address,
    /// TLS, if it is spoken to a TCP address.
    tls: Option<TlsConnector>,
    /// Whether the engine's socket was mounted as a file, which goes stale when the engine restarts.
    mounted_file: bool,
}

impl Connector {
    /// A connector to an address; nothing is connected yet.
    ///
    /// # Errors
    /// If there is to be TLS, and its files cannot be used.
    pub(super) fn new(address: &Address, tls: Option<&ClientFiles>) -> Result<Self, CertError> {
        let (mounted_file, tls) = match address {
            Address::Unix(path) => (is_mount_point(path), None),
            Address::Tcp { host, .. } => {
                (false, tls.map(|files| TlsConnector::load(files, host)).transpose()?)
            }
        };
        Ok(Self { address: address.clone(), tls, mounted_file })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn is_mounted_file(&self) -> bool {
        self.mounted_file
    }

    pub(super) fn reloadable(&self) -> Option<Arc<dyn Reload>> {
        self.tls.as_ref().map(TlsConnector::reloadable)
    }

    /// A new connection, its TLS handshake done.
    ///
    /// # Errors
    /// [`UpstreamError`] if there is none.
    pub(super) async fn connect(&self) -> Result<(Box<dyn IoStream>, StaleCheck), UpstreamError> {
        match &self.address {
            Address::Unix(path) => {
                let stream = connect_unix(path).await.map_err(|error| explained(path, error))?;
                let (stream, stale_check) = StaleCheckedStream::new(stream);
                Ok((Box::new(stream), stale_check))
            }
            Address::Tcp { host, port } => {
                let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect_tcp(host, *port));
                connected.await.unwrap_or_else(|_| {
                    let late =
                        format!("no connection within {}", humantime::format_duration(CONNECT_TIMEOUT));
                    Err(UpstreamError::Unreachable(io::Error::new(io::ErrorKind::TimedOut, late)))
                })
            }
        }
    }

    async fn connect_tcp(
        &self,
        host: &str,
        port: u16,
    ) -> Result<(Box<dyn IoStream>, StaleCheck), UpstreamError> {
        let stream = TcpStream::connect((host, port)).await.map_err(UpstreamError::Unreachable)?;
        tcp::set_tcp_options(&stream).map_err(UpstreamError::Unreachable)?;
        // Beneath TLS, because what matters is what has come, not what it says.
        let (stream, stale_check) = StaleCheckedStream::new(stream);
        let stream: Box<dyn IoStream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(stream).await.map_err(UpstreamError::Tls)?),
        };
        Ok((stream, stale_check))
    }
}

/// Connects to a socket whose queue may be full for a moment: connect(2) says so with `EAGAIN`, and
/// no event tells when there is room.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    const ATTEMPTS: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 1..ATTEMPTS {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            result => return result,
        }
    }
    UnixStream::connect(path).await
}

/// Connecting to a file that is not a socket is refused as by a socket that nobody listens on.
fn explained(path: &Path, error: io::Error) -> UpstreamError {
    match std::fs::metadata(path).map(|found| found.file_type()) {
        Ok(found) if !found.is_socket() => {
            let kind = if found.is_dir() { FileKind::Directory } else { FileKind::File };
            UpstreamError::NotASocket { path: path.to_owned(), kind }
        }
        _ => UpstreamError::Unreachable(error),
    }
}

/// Whether something is mounted right at this path, by proc_pid_mountinfo(5).
fn is_mount_point(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|mount| Path::new(mount) == real)
}
