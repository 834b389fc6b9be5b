//! Why settings have no meaning.

use std::fmt;

use thiserror::Error;

use super::settings::Setting;
use crate::admin::NotLocal;
use crate::net::{Address, AddressError, ListenAddress};
use crate::policy::clients::{InvalidCertificatePattern, InvalidNetwork};
use crate::policy::redaction::UnknownClass;
use crate::policy::version::InvalidVersion;
use crate::policy::visibility::InvalidSelector;
use crate::policy::{UnknownConsumer, UnknownName};

/// Why settings have no meaning. [`ConfigError::message`] says it in the words of their source.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No name was allowed.
    NothingAllowed,
    /// A name that the catalog does not have.
    Name(UnknownName),
    /// A consumer that has no row.
    Consumer(UnknownConsumer),
    /// A version of the API that cannot be read.
    Version(InvalidVersion),
    /// A class that there is not.
    Class(UnknownClass),
    /// A selector that cannot be read.
    Selector(InvalidSelector),
    /// An invalid address, and which setting gave it.
    Address(Setting, AddressError),
    /// A listener that is also the upstream, and which setting gave it.
    Loop(Setting, Address),
    /// The same listener twice, or one that is also the operator's.
    Duplicate(Setting, ListenAddress),
    /// A setting that hides something, without a value.
    Empty(Setting),
    /// The operator's listener can be reached from elsewhere.
    Admin(NotLocal),
    /// A group that does not exist.
    Group(String),
    /// The user to become, and why the process cannot become that.
    User(String, UserError),
    /// TLS that does not fit together, or is missing.
    Tls(TlsConfigError),
    /// A user that a rule is for, and that does not exist.
    ClientUser(String),
    /// A group that a rule is for, and that does not exist.
    ClientGroup(String),
    /// A pattern of certificates that cannot be read.
    ClientCertificate(InvalidCertificatePattern),
    /// A network that cannot be read.
    ClientNetwork(InvalidNetwork),
    /// A rule that is for nobody in particular.
    ClientForEveryone,
    /// A rule that no client of such a listener can match: what it asks for, and what shows that.
    ClientNeverMatches(Setting, &'static str),
}

/// What is wrong in which part of the settings.
#[derive(Debug)]
pub struct ConfigProblem {
    /// The part.
    pub scope: Scope,
    /// What is wrong.
    pub error: ConfigError,
}

/// A part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What is for the whole process.
    Global,
    /// Listeners, by their index in [`super::Settings::listeners`].
    Listener(usize),
    /// A rule of theirs, by its index.
    Client(usize, usize),
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
            Self::NothingAllowed => format!(
                "nothing is allowed: give {} NAME or {} CONSUMER at least once",
                spell(Setting::Allow),
                spell(Setting::For)
            ),
            Self::Name(error) => format!("{}: {error}", spell(Setting::Allow)),
            Self::Consumer(error) => format!("{}: {error}", spell(Setting::For)),
            Self::Version(error) => format!("{}: {error}", spell(Setting::MinApiVersion)),
            Self::Empty(setting) => format!(
                "{} is empty, which would show everything; leave it out if that is meant",
                spell(*setting)
            ),
            Self::Class(error) => format!("{}: {error}", spell(Setting::Redact)),
            Self::Selector(error) => format!("{}: {error}", spell(Setting::Only)),
            Self::Address(setting, error) => format!("{}: {error}", spell(*setting)),
            Self::Admin(error) => format!("{}: {error}", spell(Setting::Admin)),
            Self::Loop(setting, address) => format!(
                "{} {address} is the upstream itself; choose another path or set {}",
                spell(*setting),
                spell(Setting::Upstream)
            ),
            Self::Duplicate(setting, address) => {
                format!("{} {address} is given twice, or is another listener's as well", spell(*setting))
            }
            Self::Group(name) => format!(
                "{}: /etc/group has no group '{name}'; name one that it has, or give its number",
                spell(Setting::SocketGroup)
            ),
            Self::User(text, error) => format!("{} {text}: {error}", spell(Setting::User)),
            Self::Tls(error) => error.message(spell),
            Self::ClientUser(name) => format!(
                "{}: /etc/passwd has no user '{name}'; name one that it has, or give its number",
                spell(Setting::ClientUid)
            ),
            Self::ClientGroup(name) => format!(
                "{}: /etc/group has no group '{name}'; name one that it has, or give its number",
                spell(Setting::ClientGid)
            ),
            Self::ClientCertificate(error) => format!("{}: {error}", spell(Setting::ClientCertificate)),
            Self::ClientNetwork(error) => format!("{}: {error}", spell(Setting::ClientAddress)),
            Self::ClientForEveryone => format!(
                "a rule for clients says which: give it {}, {}, {} or {}",
                spell(Setting::ClientUid),
                spell(Setting::ClientGid),
                spell(Setting::ClientCertificate),
                spell(Setting::ClientAddress)
            ),
            Self::ClientNeverMatches(setting, why) => {
                format!("{}: no client of this listener can match, for {why}", spell(*setting))
            }
        }
    }

    /// The setting that is wrong, and its value where it is one of several.
    pub fn setting(&self) -> Option<(Setting, Option<&str>)> {
        Some(match self {
            Self::NothingAllowed => return None,
            Self::Name(error) => (Setting::Allow, Some(&error.given)),
            Self::Consumer(error) => (Setting::For, Some(&error.given)),
            Self::Version(_) => (Setting::MinApiVersion, None),
            Self::Class(error) => (Setting::Redact, Some(error.given())),
            Self::Selector(error) => (Setting::Only, Some(error.given())),
            Self::Address(setting, error) => (*setting, Some(error.given())),
            Self::Loop(setting, _) | Self::Duplicate(setting, _) => (*setting, None),
            Self::Admin(_) => (Setting::Admin, None),
            Self::Empty(setting) => (*setting, Some("")),
            Self::Group(_) => (Setting::SocketGroup, None),
            Self::User(..) => (Setting::User, None),
            Self::Tls(error) => (error.setting(), None),
            Self::ClientUser(name) => (Setting::ClientUid, Some(name)),
            Self::ClientGroup(name) => (Setting::ClientGid, Some(name)),
            Self::ClientCertificate(error) => (Setting::ClientCertificate, Some(error.given())),
            Self::ClientNetwork(error) => (Setting::ClientAddress, Some(error.given())),
            Self::ClientForEveryone => return None,
            Self::ClientNeverMatches(setting, _) => (*setting, None),
        })
    }
}

impl TlsConfigError {
    fn setting(&self) -> Setting {
        match self {
            Self::PlaintextBeyondLoopback(_) => Setting::Listen,
            Self::Contradiction => Setting::TlsVerify,
            Self::UnusedFlag(setting, _)
            | Self::NotTcp(setting, ..)
            | Self::NoDefault(setting)
            | Self::IncompleteKeyPair(setting) => *setting,
        }
    }

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
