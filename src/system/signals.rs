//! Signals: installed before anything else, received in the runtime.
//!
//! A handler writes a byte into a socket, so that a signal that comes before the runtime exists is not
//! lost. Every signal whose default is to end the program is in one of the lists here, or means just that:
//! SIGKILL, SIGXCPU (`RLIMIT_CPU`), and those of a fault of the program itself, such as SIGSEGV.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXFSZ,
};
use signal_hook::flag;
use signal_hook::low_level::pipe;
use tokio::io::AsyncReadExt;

/// The program is to end.
const SHUTDOWN: [i32; 3] = [SIGTERM, SIGINT, SIGQUIT];
/// What can be reloaded is to be reloaded.
const RELOAD: [i32; 1] = [SIGHUP];
/// Nothing is to happen: sent to a program that knows them, they mean something, such as to open the log
/// anew; the timers' are nobody's here, and a file at its limit (SIGXFSZ) is an error of write(2). std
/// ignores SIGPIPE. Real-time signals are ignored as well.
const IGNORED: [i32; 9] =
    [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ, libc::SIGPWR, libc::SIGSTKFLT];

/// What was learnt is to be said, where something is learnt.
const REPORT: [i32; 1] = [SIGUSR1];

/// The signals that the program handles, before the runtime.
#[derive(Debug)]
pub struct InstalledSignals {
    shutdown: UnixStream,
    reload: UnixStream,
    report: Option<UnixStream>,
    /// Whether a signal to end is obeyed at once.
    exits_at_once: Arc<AtomicBool>,
}

/// Has signals to end obeyed at once again, when there is nothing left to tidy up.
#[derive(Debug)]
pub struct ImmediateExit(Arc<AtomicBool>);

/// SIGTERM, SIGINT and SIGQUIT: the program is to end.
#[derive(Debug)]
pub struct ShutdownSignal(tokio::net::UnixStream);

/// SIGHUP: what can be reloaded is to be reloaded.
#[derive(Debug)]
pub struct ReloadSignal(tokio::net::UnixStream);

/// SIGUSR1, where it has a meaning: what was learnt is to be said.
#[derive(Debug)]
pub struct ReportSignal(Option<tokio::net::UnixStream>);

/// All of them, in the runtime.
#[derive(Debug)]
pub struct Signals {
    /// The program is to end.
    pub shutdown: ShutdownSignal,
    /// What can be reloaded is to be reloaded.
    pub reload: ReloadSignal,
    /// What was learnt is to be said.
    pub report: ReportSignal,
}

impl InstalledSignals {
    /// From here on only the signals that mean it end the process, and those at once, with 128 and their
    /// number as its exit code: what has to be waited for at the start, such as a name server, may take long.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn install() -> io::Result<Self> {
        let exits_at_once = Arc::new(AtomicBool::new(true));
        for signal in SHUTDOWN {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&exits_at_once))?;
        }
        let (shutdown, reload) = (receiver(&SHUTDOWN)?, receiver(&RELOAD)?);
        let installed = Self { shutdown, reload, report: None, exits_at_once };
        let nobody = Arc::new(AtomicBool::new(false));
        for signal in IGNORED {
            flag::register(signal, Arc::clone(&nobody))?;
        }
        for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
            // An emulator keeps some of these for itself (QEMU, Valgrind) and refuses them.
            let _ = flag::register(signal, Arc::clone(&nobody));
        }
        Ok(installed)
    }

    /// From here on SIGUSR1 has a meaning.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub fn take_reports(&mut self) -> io::Result<()> {
        self.report = Some(receiver(&REPORT)?);
        Ok(())
    }

    /// From here on there is something to tidy up: a signal to end waits until the runtime receives it.
    pub fn defer_shutdown(&self) {
        self.exits_at_once.store(false, Ordering::SeqCst);
    }

    /// What undoes [`InstalledSignals::defer_shutdown`].
    pub fn immediate_exit(&self) -> ImmediateExit {
        ImmediateExit(Arc::clone(&self.exits_at_once))
    }

    /// Registers with the runtime that this is called in.
    ///
    /// # Errors
    /// If the runtime cannot take another descriptor.
    pub fn into_tokio(self) -> io::Result<Signals> {
        Ok(Signals {
            shutdown: ShutdownSignal(tokio::net::UnixStream::from_std(self.shutdown)?),
            reload: ReloadSignal(tokio::net::UnixStream::from_std(self.reload)?),
            report: ReportSignal(self.report.map(tokio::net::UnixStream::from_std).transpose()?),
        })
    }
}

impl ImmediateExit {
    /// From here on a signal to end is obeyed at once.
    pub fn allow(&self) {
        self.0.store(true, Ordering::SeqCst);
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

impl ReportSignal {
    /// Waits for the signal; for ever where it has no meaning.
    pub async fn recv(&mut self) {
        match &mut self.0 {
            Some(stream) => recv(stream).await,
            None => std::future::pending().await,
        }
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
