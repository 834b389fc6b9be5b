//! Signals: installed before anything else, received in the runtime.
//!
//! A handler writes a byte into a socket, so that a signal that comes before the runtime exists is not
//! lost.

use std::io;
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::io::AsyncReadExt;

/// The signals that the program handles, before the runtime.
#[derive(Debug)]
pub struct InstalledSignals {
    shutdown: UnixStream,
    reload: UnixStream,
}

/// SIGTERM and SIGINT: the program is to end.
#[derive(Debug)]
pub struct ShutdownSignal(tokio::net::UnixStream);

/// SIGHUP: what can be reloaded is to be reloaded.
#[derive(Debug)]
pub struct ReloadSignal(tokio::net::UnixStream);

impl InstalledSignals {
    /// From here on none of these signals ends the process by itself.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn install() -> io::Result<Self> {
        Ok(Self { shutdown: receiver(&[SIGTERM, SIGINT])?, reload: receiver(&[SIGHUP])? })
    }

    /// Registers with the runtime that this is called in.
    ///
    /// # Errors
    /// If the runtime cannot take another descriptor.
    pub fn into_tokio(self) -> io::Result<(ShutdownSignal, ReloadSignal)> {
        let shutdown = tokio::net::UnixStream::from_std(self.shutdown)?;
        let reload = tokio::net::UnixStream::from_std(self.reload)?;
        Ok((ShutdownSignal(shutdown), ReloadSignal(reload)))
    }
}

impl ShutdownSignal {
    /// Waits for the signal.
    pub async fn recv(&mut self) {
        recv(&mut self.0).await;
    }
}

impl ReloadSignal {
    /// Waits for the signal. Several that came meanwhile may count as one.
    pub async fn recv(&mut self) {
        recv(&mut self.0).await;
    }
}

async fn recv(stream: &mut tokio::net::UnixStream) {
    const MAX_PENDING: usize = 64;
    if let Err(error) = stream.read(&mut [0; MAX_PENDING]).await {
        // It cannot fail as long as the handler holds its other end.
        tracing::error!("signals cannot be received: {error}");
        std::future::pending::<()>().await;
    }
}

fn receiver(signals: &[i32]) -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, sender.try_clone()?)?;
    }
    receiver.set_nonblocking(true)?;
    Ok(receiver)
}
