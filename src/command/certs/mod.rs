//! `certs`: a small CA in a directory, for a listener and the clients that it lets in.
//!
//! ```text
//! DIR/ca.pem  DIR/ca-key.pem                  the CA; its key makes certificates and is needed for nothing else
//! DIR/server/{ca,cert,key}.pem                for the listener
//! DIR/clients/NAME/{ca,cert,key}.pem          for a client: a DOCKER_CERT_PATH
//! ```

mod make;
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

/// A host that a certificate can be for: an IP address, a name, or a name with a `*` for its first part.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn host(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let starred = name.len() < text.len();
    match rustls::pki_types::ServerName::try_from(name) {
        Ok(rustls::pki_types::ServerName::IpAddress(_)) if starred => Err("an address has no '*'".to_owned()),
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a host's name or IP address, without port or brackets".to_owned()),
    }
}

/// The longest common name: `ub-common-name` of RFC 5280 appendix A.1.
const LONGEST_NAME: usize = 64;

/// A client's name: it becomes its certificate's common name, and a directory's.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn client_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
    if text.is_empty()
        || text.len() > LONGEST_NAME
        || text.starts_with(['.', '-'])
        || !text.chars().all(plain)
    {
        return Err("write a name of up to 64 letters, digits, '.', '_', '-' and '@'".to_owned());
    }
    Ok(text.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses() {
        for good in ["engine", "engine.example", "*.example.org", "192.0.2.1", "::1", "under_score"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in
            ["", "[::1]", "host:2376", "tcp://host", "a b", "*", "*.", "a.*.b", "*.127.0.0.1", "*.192.0.2.1"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_client_s_name_is_a_directory_s_name() {
        for good in ["alice", "alice@example.org", "ci-runner_3.prod"] {
            assert!(client_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-x", "a/b", "a\nb", "a b", "\u{e9}", &"x".repeat(65)] {
            assert!(client_name(bad).is_err(), "{bad}");
        }
    }
}
