//! What the TLS settings mean, with the names and the defaults that dockerd and the Docker CLI have.

use std::net::IpAddr;
use std::path::PathBuf;

use super::error::TlsConfigError;
use super::settings::{DockerEnv, Setting, TlsSettings, UpstreamTlsSettings};
use crate::net::{Address, ListenAddress, PlainTcp};
use crate::tls::{ClientAuth, ClientFiles, KeyPairPaths, ServerFiles};

/// What the settings ask for, before it is known on which address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TlsIntent {
    /// Nothing was said.
    Unspecified,
    /// No TLS, in so many words.
    ExplicitPlaintext,
    /// TLS, with or without client certificates.
    Tls(ServerFiles),
}

impl TlsIntent {
    /// What the listeners' settings ask for.
    pub(super) fn of(settings: &TlsSettings, docker: &DockerEnv) -> Result<Self, TlsConfigError> {
        let verify = match (settings.tls, settings.verify) {
            (Some(false), Some(true)) => return Err(TlsConfigError::Contradiction),
            (_, Some(true)) => true,
            // dockerd takes tlsverify=false for tls.
            (Some(true), _) | (None, Some(false)) => false,
            (tls, _) => {
                reject_unused_files(settings)?;
                return Ok(if tls == Some(false) { Self::ExplicitPlaintext } else { Self::Unspecified });
            }
        };
        if !verify && settings.ca_cert.is_some() {
            return Err(TlsConfigError::UnusedFlag(Setting::TlsCaCert, Setting::TlsVerify));
        }
        let file = |given: &Option<PathBuf>, name, setting| {
            given.clone().or_else(|| docker.default_cert_file(name)).ok_or(TlsConfigError::NoDefault(setting))
        };
        let key_pair = KeyPairPaths {
            cert: file(&settings.cert, "cert.pem", Setting::TlsCert)?,
            key: file(&settings.key, "key.pem", Setting::TlsKey)?,
        };
        let client_auth = match verify {
            true => ClientAuth::Required(file(&settings.ca_cert, "ca.pem", Setting::TlsCaCert)?),
            false => ClientAuth::None,
        };
        Ok(Self::Tls(ServerFiles { key_pair, client_auth }))
    }

    /// How this address is secured; `None` is plain.
    pub(super) fn at(&self, host: &str, port: u16) -> Result<Option<ServerFiles>, TlsConfigError> {
        match self {
            Self::Tls(files) => Ok(Some(files.clone())),
            Self::Unspecified if !is_loopback(host) => {
                let address = Address::Tcp { host: host.to_owned(), port };
                Err(TlsConfigError::PlaintextBeyondLoopback(address))
            }
            Self::Unspecified | Self::ExplicitPlaintext => Ok(None),
        }
    }

    /// The files of TLS on sockets that were passed, those over TCP.
    pub(super) fn files(&self) -> Option<ServerFiles> {
        match self {
            Self::Tls(files) => Some(files.clone()),
            Self::Unspecified | Self::ExplicitPlaintext => None,
        }
    }

    /// Where a socket that was passed may be without TLS.
    pub(super) fn plain_tcp(&self) -> PlainTcp {
        match self {
            Self::ExplicitPlaintext => PlainTcp::Anywhere,
            Self::Unspecified | Self::Tls(_) => PlainTcp::Loopback,
        }
    }

    /// Rejects TLS for listeners of which none can be TCP: whoever asked for it would rely on it.
    pub(super) fn require_tcp(&self, addresses: &[ListenAddress]) -> Result<(), TlsConfigError> {
        let Self::Tls(_) = self else { return Ok(()) };
        let unix = |address: &ListenAddress| match address {
            ListenAddress::Bind(unix @ Address::Unix(_)) => Some(unix.clone()),
            ListenAddress::Bind(Address::Tcp { .. }) | ListenAddress::Inherited(_) => None,
        };
        match addresses.iter().map(unix).collect::<Option<Vec<Address>>>().as_deref() {
            Some([first, ..]) => Err(TlsConfigError::NotTcp(Setting::Tls, Setting::Listen, first.clone())),
            Some([]) | None => Ok(()),
        }
    }
}

fn reject_unused_files(settings: &TlsSettings) -> Result<(), TlsConfigError> {
    let files = [
        (Setting::TlsCert, &settings.cert),
        (Setting::TlsKey, &settings.key),
        (Setting::TlsCaCert, &settings.ca_cert),
    ];
    match files.iter().find(|(_, file)| file.is_some()) {
        Some((setting, _)) => Err(TlsConfigError::UnusedFlag(*setting, Setting::Tls)),
        None => Ok(()),
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

/// TLS to the engine, where the settings or `DOCKER_TLS_VERIFY` ask for it, as the Docker CLI has it.
pub(super) fn of_upstream(
    settings: &UpstreamTlsSettings,
    address: &Address,
    docker: &DockerEnv,
) -> Result<Option<ClientFiles>, TlsConfigError> {
    let files = [
        (Setting::UpstreamTlsCaCert, &settings.ca_cert),
        (Setting::UpstreamTlsCert, &settings.cert),
        (Setting::UpstreamTlsKey, &settings.key),
    ];
    let set = files.iter().find(|(_, file)| file.is_some());
    match (address, set) {
        (Address::Unix(_), Some((setting, _))) => {
            Err(TlsConfigError::NotTcp(*setting, Setting::Upstream, address.clone()))
        }
        (Address::Tcp { .. }, set) if set.is_some() || docker.tls_verify.is_some() => {
            let ca = settings.ca_cert.clone().or_else(|| docker.default_cert_file("ca.pem"));
            Ok(Some(ClientFiles {
                ca: ca.ok_or(TlsConfigError::NoDefault(Setting::UpstreamTlsCaCert))?,
                key_pair: client_key_pair(settings, docker)?,
            }))
        }
        (Address::Unix(_) | Address::Tcp { .. }, _) => Ok(None),
    }
}

/// Settings must name files that are there; the defaults count if they are.
fn client_key_pair(
    settings: &UpstreamTlsSettings,
    docker: &DockerEnv,
) -> Result<Option<KeyPairPaths>, TlsConfigError> {
    let file = |given: &Option<PathBuf>, name| {
        given.clone().or_else(|| docker.default_cert_file(name).filter(|path| path.exists()))
    };
    match (file(&settings.cert, "cert.pem"), file(&settings.key, "key.pem")) {
        (Some(cert), Some(key)) => Ok(Some(KeyPairPaths { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(TlsConfigError::IncompleteKeyPair(Setting::UpstreamTlsKey)),
        (None, Some(_)) => Err(TlsConfigError::IncompleteKeyPair(Setting::UpstreamTlsCert)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker() -> DockerEnv {
        DockerEnv { cert_path: Some("/certs".into()), ..DockerEnv::default() }
    }

    fn intent(settings: &TlsSettings) -> Result<TlsIntent, TlsConfigError> {
        TlsIntent::of(settings, &docker())
    }

    fn asked(tls: Option<bool>, verify: Option<bool>) -> Result<TlsIntent, TlsConfigError> {
        intent(&TlsSettings { tls, verify, ..TlsSettings::default() })
    }

    fn files(client_auth: ClientAuth) -> ServerFiles {
        let key_pair = KeyPairPaths { cert: "/certs/cert.pem".into(), key: "/certs/key.pem".into() };
        ServerFiles { key_pair, client_auth }
    }

    #[test]
    fn the_two_flags_make_three_modes() {
        let anyone = || Ok(TlsIntent::Tls(files(ClientAuth::None)));
        let signed = || Ok(TlsIntent::Tls(files(ClientAuth::Required("/certs/ca.pem".into()))));
        assert_eq!(asked(None, None), Ok(TlsIntent::Unspecified));
        assert_eq!(asked(Some(false), None), Ok(TlsIntent::ExplicitPlaintext));
        assert_eq!(asked(Some(true), None), anyone());
        assert_eq!(asked(None, Some(false)), anyone());
        assert_eq!(asked(None, Some(true)), signed());
        assert_eq!(asked(Some(true), Some(true)), signed());
        assert_eq!(asked(Some(false), Some(true)), Err(TlsConfigError::Contradiction));
    }

    #[test]
    fn a_file_that_would_do_nothing_is_an_error() {
        let ca = TlsSettings { ca_cert: Some("/ca.pem".into()), ..TlsSettings::default() };
        assert_eq!(intent(&ca), Err(TlsConfigError::UnusedFlag(Setting::TlsCaCert, Setting::Tls)));
        let encrypting = TlsSettings { tls: Some(true), ..ca };
        assert_eq!(
            intent(&encrypting),
            Err(TlsConfigError::UnusedFlag(Setting::TlsCaCert, Setting::TlsVerify))
        );
        let cert = TlsSettings { cert: Some("/cert.pem".into()), ..TlsSettings::default() };
        assert_eq!(intent(&cert), Err(TlsConfigError::UnusedFlag(Setting::TlsCert, Setting::Tls)));
    }

    #[test]
    fn plain_tcp_stays_on_this_machine_unless_that_is_said() {
        for host in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "localhost"] {
            assert_eq!(TlsIntent::Unspecified.at(host, 1), Ok(None), "{host}");
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "localhost.example", "build-host"] {
            assert!(TlsIntent::Unspecified.at(host, 1).is_err(), "{host}");
            assert_eq!(TlsIntent::ExplicitPlaintext.at(host, 1), Ok(None), "{host}");
        }
    }

    #[test]
    fn tls_on_unix_sockets_alone_is_an_error() {
        let listener = |text: &str| text.parse::<ListenAddress>().unwrap();
        let unix = listener("/run/x.sock");
        let tls = TlsIntent::Tls(files(ClientAuth::None));
        assert!(tls.require_tcp(std::slice::from_ref(&unix)).is_err());
        assert!(tls.require_tcp(&[unix.clone(), listener("tcp://[::1]:1")]).is_ok());
        assert!(tls.require_tcp(&[unix.clone(), listener("fd://")]).is_ok(), "it may be TCP");
        assert!(TlsIntent::ExplicitPlaintext.require_tcp(&[unix]).is_ok());
    }

    #[test]
    fn the_upstream_has_tls_as_the_docker_cli_has_it() {
        let none = UpstreamTlsSettings::default();
        let tcp = Address::Tcp { host: "engine".to_owned(), port: 2376 };
        let unix = Address::Unix("/run/docker.sock".into());
        let verify = DockerEnv { tls_verify: Some("1".to_owned()), ..docker() };
        let with_ca = Some(ClientFiles { ca: "/certs/ca.pem".into(), key_pair: None });
        assert_eq!(of_upstream(&none, &tcp, &docker()), Ok(None));
        assert_eq!(of_upstream(&none, &tcp, &verify), Ok(with_ca));
        assert_eq!(of_upstream(&none, &unix, &verify), Ok(None));
        let ca = UpstreamTlsSettings { ca_cert: Some("/x.pem".into()), ..none.clone() };
        let files = of_upstream(&ca, &tcp, &docker()).unwrap().unwrap();
        assert_eq!(files, ClientFiles { ca: "/x.pem".into(), key_pair: None });
        assert!(of_upstream(&ca, &unix, &docker()).is_err());
        let half = UpstreamTlsSettings { cert: Some("/cert.pem".into()), ..none };
        assert_eq!(
            of_upstream(&half, &tcp, &docker()),
            Err(TlsConfigError::IncompleteKeyPair(Setting::UpstreamTlsKey))
        );
    }
}
