//! Why settings have no meaning.

use std::fmt;

use thiserror::Error;

use super::settings::Setting;
use crate::net::{Address, AddressError};
use crate::policy::UnknownName;
use crate::policy::redaction::UnknownClass;
use crate::policy::version::InvalidVersion;
use crate::policy::visibility::InvalidSelector;

/// Why settings have no meaning. [`ConfigError::message`] says it in the words of their source.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No name was allowed.
    NothingAllowed,
    /// A name that the catalog does not have.
    Name(UnknownName),
    /// A version of the API that cannot be read.
    Version(InvalidVersion),
    /// A class that there is not.
    Class(UnknownClass),
    /// A selector that cannot be read.
    Selector(InvalidSelector),
    /// An invalid address, and which setting gave it.
    Address(Setting, AddressError),
    /// A listener that is also the upstream.
    Loop(Address),
    /// The same listener twice.
    Duplicate(Address),
    /// A setting that hides something, without a value.
    Empty(Setting),
    /// A group that does not exist.
    Group(String),
    /// The user to become, and why the process cannot become that.
    User(String, UserError),
    /// TLS that does not fit together, or is missing.
    Tls(TlsConfigError),
}

/// Why the process cannot become a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UserError {
    /// There is none.
    #[error("/etc/passwd has no such user; give its number")]
    UnknownUser,
    /// It is root.
    #[error("root's privileges are what it is to drop; name another user")]
    Root,
    /// There is no such group.
    #[error("/etc/group has no such group; give its number")]
    UnknownGroup,
}

/// Why TLS settings have no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsConfigError {
    /// Whoever reaches the address could use it.
    PlaintextBeyondLoopback(Address),
    /// TLS is to be off, and clients' certificates verified.
    Contradiction,
    /// A file, without the setting that makes it count: which one, and which is missing.
    UnusedFlag(Setting, Setting),
    /// TLS where there is no TCP: the setting, and that of the address.
    NotTcp(Setting, Setting, Address),
    /// A file that has no default, because there is no home.
    NoDefault(Setting),
    /// A certificate without its key, or a key without its certificate: the one that is missing.
    IncompleteKeyPair(Setting),
}

impl ConfigError {
    /// What is wrong and the way out, with settings written as `spell` does.
    pub fn message(&self, spell: impl Fn(Setting) -> String) -> String {
        match self {
            Self::NothingAllowed => {
                format!("nothing is allowed: give {} NAME at least once", spell(Setting::Allow))
            }
            Self::Name(error) => format!("{}: {error}", spell(Setting::Allow)),
            Self::Version(error) => format!("{}: {error}", spell(Setting::MinApiVersion)),
            Self::Empty(setting) => format!(
                "{} is empty, which would show everything; leave it out if that is meant",
                spell(*setting)
            ),
            Self::Class(error) => format!("{}: {error}", spell(Setting::Redact)),
            Self::Selector(error) => format!("{}: {error}", spell(Setting::Only)),
            Self::Address(setting, error) => format!("{}: {error}", spell(*setting)),
            Self::Loop(address) => format!(
                "{} {address} is the upstream itself; choose another path or set {}",
                spell(Setting::Listen),
                spell(Setting::Upstream)
            ),
            Self::Duplicate(address) => format!("{} {address} is given twice", spell(Setting::Listen)),
            Self::Group(name) => format!(
                "{}: /etc/group has no group '{name}'; name one that it has, or give its number",
                spell(Setting::SocketGroup)
            ),
            Self::User(text, error) => format!("{} {text}: {error}", spell(Setting::User)),
            Self::Tls(error) => error.message(spell),
        }
    }
}

impl TlsConfigError {
    fn message(&self, spell: impl Fn(Setting) -> String) -> String {
        let tls = || spell(Setting::Tls);
        let verify = || spell(Setting::TlsVerify);
        match self {
            Self::PlaintextBeyondLoopback(address) => format!(
                "{} {address}: whoever reaches this address could use it, and read along; give {} (and see \
                 'docker-proxy-acl certs'), or say {}=false if that is meant",
                spell(Setting::Listen),
                verify(),
                tls()
            ),
            Self::Contradiction => {
                format!("{} is TLS, and {}=false is none; give one of them", verify(), tls())
            }
            Self::UnusedFlag(file, Setting::TlsVerify) => {
                format!("{} does nothing without {}; add that", spell(*file), verify())
            }
            Self::UnusedFlag(file, _) => {
                format!("{} does nothing without {} or {}; add one", spell(*file), tls(), verify())
            }
            Self::NotTcp(setting, of, address) => format!(
                "{}: TLS is for tcp://HOST:PORT, and {} {address} is a Unix socket",
                spell(*setting),
                spell(*of)
            ),
            Self::NoDefault(file) => format!(
                "{} is not given, and neither DOCKER_CERT_PATH nor HOME says where to look",
                spell(*file)
            ),
            Self::IncompleteKeyPair(missing) => format!(
                "a client certificate needs its key, and a key its certificate: {} is missing",
                spell(*missing)
            ),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message(|setting| setting.to_string()))
    }
}

impl From<TlsConfigError> for ConfigError {
    fn from(error: TlsConfigError) -> Self {
        Self::Tls(error)
    }
}
