//! `certs`: a small CA in a directory, for a listener and the clients that it lets in.
//!
//! ```text
//! DIR/ca.pem  DIR/ca-key.pem                  the CA; its key makes certificates and is needed for nothing else
//! DIR/server/{ca,cert,key}.pem                for the listener
//! DIR/clients/NAME/{ca,cert,key}.pem          for a client: a DOCKER_CERT_PATH
//! ```

mod make;
pub mod names;
mod show;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::cli::CertsCommand;

/// Why nothing was made or shown.
#[derive(Debug)]
pub struct CertsError {
    path: PathBuf,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Exists,
    NoAuthority,
    Io(&'static str, io::Error),
    Make(rcgen::Error),
    AuthorityExpired,
    NothingToShow,
}

/// Does what the command says; what to print, lines ended.
///
/// # Errors
/// [`CertsError`], which names the file and the way out. What a failed command had made by then is gone.
pub fn run(command: &CertsCommand) -> Result<(Outcome, String), CertsError> {
    match command {
        CertsCommand::Init { dir, host, days } => make::init(dir, host, *days).map(done),
        CertsCommand::Client { name, dir, days } => make::client(dir, name, *days).map(done),
        CertsCommand::Show { dir } => show::show(dir),
    }
}

fn done(text: String) -> (Outcome, String) {
    (Outcome::Yes, text)
}

impl CertsError {
    fn new(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problem }
    }
}

impl fmt::Display for CertsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Exists => {
                write!(
                    f,
                    "{path} is there already, and nothing is ever overwritten; move it away to have a new one"
                )
            }
            Problem::NoAuthority => {
                write!(f, "{path} is not there; make a CA first, with 'docker-proxy-acl certs init'")
            }
            Problem::Io(what, error) => write!(f, "cannot {what} {path}: {error}"),
            Problem::Make(error) => write!(f, "cannot make a certificate with {path}: {error}"),
            Problem::AuthorityExpired => {
                write!(f, "the CA in {path} has expired; make another in a new directory")
            }
            Problem::NothingToShow => write!(f, "{path} holds no certificates"),
        }
    }
}

impl std::error::Error for CertsError {}
