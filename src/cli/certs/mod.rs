//! `certs`: a small CA in a directory, for a listener and the clients that it lets in.
//!
//! ```text
//! DIR/ca.pem  DIR/ca-key.pem                  the CA; its key makes certificates and is needed for nothing else
//! DIR/server/{ca,cert,key}.pem                for the listener
//! DIR/clients/NAME/{ca,cert,key}.pem          for a client: a DOCKER_CERT_PATH
//! ```

mod make;
mod show;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::cli::CommandOutcome;
use crate::cli::args::CertsCommand;

/// Why nothing was issued or shown.
#[derive(Debug, Error)]
pub enum CertsError {
    /// A file is in the way.
    #[error("{} is there already, and nothing is ever overwritten; move it away to have a new one", .0.display())]
    Exists(PathBuf),
    /// There is no CA.
    #[error("{} is not there; make a CA first, with 'docker-proxy-acl certs init'", .0.display())]
    NoCa(PathBuf),
    /// The CA has expired.
    #[error("the CA in {} has expired; make another in a new directory", .0.display())]
    CaExpired(PathBuf),
    /// There are no certificates.
    #[error("{} has no certificates", .0.display())]
    NothingToShow(PathBuf),
    /// The system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate cannot be issued.
    #[error("cannot make a certificate with {}: {source}", path.display())]
    Issue {
        /// What with: a file, or a host's name.
        path: PathBuf,
        /// Why not.
        source: rcgen::Error,
    },
}

/// Does what the command says; what to print, lines ended.
///
/// # Errors
/// [`CertsError`], which names the file and the way out. What a failed command had made by then is gone.
pub fn run(command: &CertsCommand) -> Result<(CommandOutcome, String), CertsError> {
    match command {
        CertsCommand::Init { dir, host, days } => make::init(dir, host, *days).map(done),
        CertsCommand::Client { name, dir, days } => make::client(dir, name, *days).map(done),
        CertsCommand::Show { dir } => show::show(dir),
    }
}

fn done(text: String) -> (CommandOutcome, String) {
    (CommandOutcome::Success, text)
}

impl CertsError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    fn issue(path: &Path, source: rcgen::Error) -> Self {
        Self::Issue { path: path.to_owned(), source }
    }
}
