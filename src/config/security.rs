//! What the TLS flags mean, with the names and the defaults that dockerd and the Docker CLI have.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::address::Address;
use crate::cli::{TlsArgs, UpstreamTlsArgs};
use crate::tls::files::{ClientFiles, Clients, IdentityFiles, ServerFiles};

/// How a TCP listener is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS.
    Tls(ServerFiles),
}

/// What the flags ask for, before it is known on which address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing was said.
    None,
    /// `--tls=false`.
    PlainOnPurpose,
    /// `--tls` or `--tlsverify`.
    Tls(ServerFiles),
}

/// Why the flags mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityError {
    /// Whoever reaches the address could use it.
    PlainBeyondLoopback(Address),
    /// `--tlsverify` with `--tls=false`.
    Contradiction,
    /// A file's flag, without the flag that makes it count; which one that is.
    Idle(&'static str, &'static str),
    /// TLS where there is no TCP: the flag, and the address.
    NoTcp(&'static str, String),
    /// The flag of a file that has no default, because there is no home.
    NoDefault(&'static str),
    /// A certificate without its key, or a key without its certificate: the flag that is missing.
    HalfIdentity(&'static str),
}

/// What the listeners' flags ask for.
pub(super) fn wish(args: &TlsArgs, env: impl Fn(&str) -> Option<String>) -> Result<Wish, SecurityError> {
    let verify = match (args.tls, args.tlsverify) {
        (Some(false), Some(true)) => return Err(SecurityError::Contradiction),
        (_, Some(true)) => true,
        // dockerd takes --tlsverify=false for --tls.
        (Some(true), _) | (None, Some(false)) => false,
        (tls, _) => {
            refuse_idle(args)?;
            return Ok(if tls == Some(false) { Wish::PlainOnPurpose } else { Wish::None });
        }
    };
    if !verify && args.tlscacert.is_some() {
        return Err(SecurityError::Idle("--tlscacert", "--tlsverify"));
    }
    let file = |given: &Option<PathBuf>, name, flag| {
        given.clone().or_else(|| default(name, &env)).ok_or(SecurityError::NoDefault(flag))
    };
    let identity = IdentityFiles {
        cert: file(&args.tlscert, "cert.pem", "--tlscert")?,
        key: file(&args.tlskey, "key.pem", "--tlskey")?,
    };
    let clients = match verify {
        true => Clients::SignedBy(file(&args.tlscacert, "ca.pem", "--tlscacert")?),
        false => Clients::Anyone,
    };
    Ok(Wish::Tls(ServerFiles { identity, clients }))
}

fn refuse_idle(args: &TlsArgs) -> Result<(), SecurityError> {
    let files = [("--tlscert", &args.tlscert), ("--tlskey", &args.tlskey), ("--tlscacert", &args.tlscacert)];
    match files.iter().find(|(_, file)| file.is_some()) {
        Some((flag, _)) => Err(SecurityError::Idle(flag, "--tls or --tlsverify")),
        None => Ok(()),
    }
}

impl Wish {
    /// How this address is secured.
    pub(super) fn at(&self, host: &str, port: u16) -> Result<Security, SecurityError> {
        match self {
            Self::Tls(files) => Ok(Security::Tls(files.clone())),
            Self::None if !is_loopback(host) => {
                Err(SecurityError::PlainBeyondLoopback(Address::Tcp { host: host.to_owned(), port }))
            }
            Self::None | Self::PlainOnPurpose => Ok(Security::Plain),
        }
    }

    /// Refuses TLS for listeners of which none is TCP: whoever asked for it would take it for given.
    pub(super) fn needs_tcp(&self, addresses: &[Address]) -> Result<(), SecurityError> {
        let Self::Tls(_) = self else { return Ok(()) };
        match addresses {
            [first, ..] if addresses.iter().all(|address| matches!(address, Address::Unix(_))) => {
                Err(SecurityError::NoTcp("--tls and --tlsverify", format!("--listen {first}")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether only this machine reaches a host. Of names only `localhost` is sure to be so (RFC 6761
/// section 6.3).
fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// TLS to the engine, where the flags or `DOCKER_TLS_VERIFY` ask for it, as the Docker CLI has it.
pub(super) fn of_upstream(
    args: &UpstreamTlsArgs,
    address: &Address,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<ClientFiles>, SecurityError> {
    let flags = [&args.upstream_tlscacert, &args.upstream_tlscert, &args.upstream_tlskey];
    let by_flag = flags.iter().any(|flag| flag.is_some());
    let by_env = env("DOCKER_TLS_VERIFY").is_some_and(|value| !value.is_empty());
    match address {
        Address::Unix(_) if by_flag => {
            Err(SecurityError::NoTcp("--upstream-tls*", format!("--upstream {address}")))
        }
        Address::Tcp { .. } if by_flag || by_env => {
            let ca = args.upstream_tlscacert.clone().or_else(|| default("ca.pem", &env));
            Ok(Some(ClientFiles {
                ca: ca.ok_or(SecurityError::NoDefault("--upstream-tlscacert"))?,
                identity: client_identity(args, env)?,
            }))
        }
        Address::Unix(_) | Address::Tcp { .. } => Ok(None),
    }
}

/// Flags must name files that are there; the defaults count if they are.
fn client_identity(
    args: &UpstreamTlsArgs,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<IdentityFiles>, SecurityError> {
    let file = |given: &Option<PathBuf>, name| {
        given.clone().or_else(|| default(name, &env).filter(|path| path.exists()))
    };
    match (file(&args.upstream_tlscert, "cert.pem"), file(&args.upstream_tlskey, "key.pem")) {
        (Some(cert), Some(key)) => Ok(Some(IdentityFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(SecurityError::HalfIdentity("--upstream-tlskey")),
        (None, Some(_)) => Err(SecurityError::HalfIdentity("--upstream-tlscert")),
    }
}

/// Where Docker looks for a file of TLS.
fn default(name: &str, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CERT_PATH").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(directory.join(name))
}

impl fmt::Display for SecurityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainBeyondLoopback(address) => write!(
                f,
                "--listen {address}: whoever reaches this address could use it, and read along; give \
                 --tlsverify (and see 'docker-proxy-acl certs'), or say --tls=false if that is meant"
            ),
            Self::Contradiction => write!(f, "--tlsverify is TLS, and --tls=false is none; give one of them"),
            Self::Idle(flag, needs) => write!(f, "{flag} does nothing without {needs}; add that"),
            Self::NoTcp(flag, address) => {
                write!(f, "{flag}: TLS is for tcp://HOST:PORT, and {address} is a Unix socket")
            }
            Self::NoDefault(flag) => {
                write!(f, "{flag} is not given, and neither DOCKER_CERT_PATH nor HOME says where to look")
            }
            Self::HalfIdentity(missing) => {
                write!(
                    f,
                    "a client certificate needs its key, and a key its certificate: {missing} is missing"
                )
            }
        }
    }
}

impl std::error::Error for SecurityError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> TlsArgs {
        TlsArgs { tls: None, tlsverify: None, tlscacert: None, tlscert: None, tlskey: None }
    }

    fn env(name: &str) -> Option<String> {
        (name == "DOCKER_CERT_PATH").then(|| "/certs".to_owned())
    }

    fn asked(tls: Option<bool>, tlsverify: Option<bool>) -> Result<Wish, SecurityError> {
        wish(&TlsArgs { tls, tlsverify, ..args() }, env)
    }

    fn files(clients: Clients) -> ServerFiles {
        let identity = IdentityFiles { cert: "/certs/cert.pem".into(), key: "/certs/key.pem".into() };
        ServerFiles { identity, clients }
    }

    #[test]
    fn the_two_flags_make_three_modes() {
        let anyone = || Ok(Wish::Tls(files(Clients::Anyone)));
        let signed = || Ok(Wish::Tls(files(Clients::SignedBy("/certs/ca.pem".into()))));
        assert_eq!(asked(None, None), Ok(Wish::None));
        assert_eq!(asked(Some(false), None), Ok(Wish::PlainOnPurpose));
        assert_eq!(asked(Some(true), None), anyone());
        assert_eq!(asked(None, Some(false)), anyone());
        assert_eq!(asked(None, Some(true)), signed());
        assert_eq!(asked(Some(true), Some(true)), signed());
        assert_eq!(asked(Some(false), Some(true)), Err(SecurityError::Contradiction));
    }

    #[test]
    fn a_file_that_would_do_nothing_is_an_error() {
        let ca = TlsArgs { tlscacert: Some("/ca.pem".into()), ..args() };
        assert!(matches!(wish(&ca, env), Err(SecurityError::Idle("--tlscacert", _))));
        let encrypting = TlsArgs { tls: Some(true), ..ca };
        assert_eq!(wish(&encrypting, env), Err(SecurityError::Idle("--tlscacert", "--tlsverify")));
        let cert = TlsArgs { tlscert: Some("/cert.pem".into()), ..args() };
        assert!(matches!(wish(&cert, env), Err(SecurityError::Idle("--tlscert", _))));
    }

    #[test]
    fn plain_tcp_stays_on_this_machine_unless_that_is_said() {
        for host in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost"] {
            assert_eq!(Wish::None.at(host, 1), Ok(Security::Plain), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "localhost.example", "build-host"] {
            assert!(Wish::None.at(host, 1).is_err(), "{host}");
            assert_eq!(Wish::PlainOnPurpose.at(host, 1), Ok(Security::Plain), "{host}");
        }
    }

    #[test]
    fn tls_on_unix_sockets_alone_is_an_error() {
        let unix = Address::Unix("/run/x.sock".into());
        let tcp = Address::Tcp { host: "::1".to_owned(), port: 1 };
        let wish = Wish::Tls(files(Clients::Anyone));
        assert!(wish.needs_tcp(std::slice::from_ref(&unix)).is_err());
        assert!(wish.needs_tcp(&[unix.clone(), tcp]).is_ok());
        assert!(Wish::PlainOnPurpose.needs_tcp(&[unix]).is_ok());
    }

    #[test]
    fn the_upstream_has_tls_as_the_docker_cli_has_it() {
        let none =
            UpstreamTlsArgs { upstream_tlscacert: None, upstream_tlscert: None, upstream_tlskey: None };
        let tcp = Address::Tcp { host: "engine".to_owned(), port: 2376 };
        let unix = Address::Unix("/run/docker.sock".into());
        let verify = |name: &str| (name == "DOCKER_TLS_VERIFY").then(|| "1".to_owned()).or_else(|| env(name));
        let with_ca = Some(ClientFiles { ca: "/certs/ca.pem".into(), identity: None });
        assert_eq!(of_upstream(&none, &tcp, env), Ok(None));
        assert_eq!(of_upstream(&none, &tcp, verify), Ok(with_ca));
        assert_eq!(of_upstream(&none, &unix, verify), Ok(None));
        let ca = UpstreamTlsArgs { upstream_tlscacert: Some("/x.pem".into()), ..none.clone() };
        let files = of_upstream(&ca, &tcp, env).unwrap().unwrap();
        assert_eq!(files, ClientFiles { ca: "/x.pem".into(), identity: None });
        assert!(of_upstream(&ca, &unix, env).is_err());
        let half = UpstreamTlsArgs { upstream_tlscert: Some("/cert.pem".into()), ..none };
        assert_eq!(of_upstream(&half, &tcp, env), Err(SecurityError::HalfIdentity("--upstream-tlskey")));
    }
}
