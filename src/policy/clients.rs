//! Which policy counts for a client: a listener's rules by who the client is, and what counts for the rest.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use super::Policy;
use super::redaction::Glob;

/// What is known of a client when its connection is there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity<'a> {
    /// Its user, on a Unix socket.
    pub uid: Option<u32>,
    /// Its groups, on a Unix socket.
    pub groups: &'a [u32],
    /// Its verified certificate.
    pub certificate: Option<Certificate<'a>>,
    /// Where it connects from, over TCP.
    pub ip: Option<IpAddr>,
}

/// A client's certificate.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// The subject's common name.
    pub common_name: Option<&'a str>,
    /// Its other names.
    pub alternative_names: &'a [String],
    /// The SHA-256 digest of its DER form; `None` if it is not known.
    pub sha256: Option<&'a [u8; 32]>,
}

/// What a rule asks of a client: everything that it sets, and of several values one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientPattern {
    /// Users.
    pub uids: Vec<u32>,
    /// Groups, primary or other.
    pub gids: Vec<u32>,
    /// Certificates.
    pub certificates: Vec<CertificatePattern>,
    /// Networks.
    pub networks: Vec<IpNet>,
}

/// Which certificates a rule is for.
#[derive(Debug, Clone, PartialEq)]
pub enum CertificatePattern {
    /// Those with such a common name or alternative name.
    Name(Glob),
    /// The one with this SHA-256 digest.
    Sha256([u8; 32]),
}

/// A pattern of certificates that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid certificate '{0}': write a name, a glob of names, or sha256: and 64 hexadecimal digits")]
pub struct InvalidCertificatePattern(String);

impl InvalidCertificatePattern {
    /// The text as it was given.
    pub fn given(&self) -> &str {
        &self.0
    }
}

/// A network that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "invalid address '{0}': write an IP address, or a network such as 10.1.0.0/16 or fd00::/8 with no bit set beyond its prefix"
)]
pub struct InvalidNetwork(String);

impl InvalidNetwork {
    /// The text as it was given.
    pub fn given(&self) -> &str {
        &self.0
    }
}

/// What counts for some clients of a listener.
#[derive(Debug, Clone)]
pub struct ClientRule {
    /// Which clients.
    pub client: ClientPattern,
    /// What counts for them.
    pub policy: Arc<Policy>,
}

/// What counts for the clients of a listener.
#[derive(Debug, Clone)]
pub struct ListenerPolicy {
    /// The first that matches counts.
    pub rules: Vec<ClientRule>,
    /// What counts for clients that no rule is for.
    pub default: Arc<Policy>,
}

impl ListenerPolicy {
    /// The same for all clients.
    pub fn for_everyone(policy: Arc<Policy>) -> Self {
        Self { rules: Vec::new(), default: policy }
    }

    /// The index of the rule that counts for a client; `None` if the default does.
    pub fn rule_of(&self, client: &Identity<'_>) -> Option<usize> {
        self.rules.iter().position(|rule| rule.client.matches(client))
    }

    /// What counts for a client.
    pub fn policy_of(&self, client: &Identity<'_>) -> &Arc<Policy> {
        self.rule_of(client).map_or(&self.default, |rule| &self.rules[rule].policy)
    }

    /// Whether a rule asks for a client's groups.
    pub fn asks_for_groups(&self) -> bool {
        self.rules.iter().any(|rule| !rule.client.gids.is_empty())
    }

    /// Every policy, the default last.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.rules.iter().map(|rule| &rule.policy).chain([&self.default])
    }
}

impl ClientPattern {
    /// Whether it asks for nothing, and so would match every client.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a client is one of these.
    pub fn matches(&self, client: &Identity<'_>) -> bool {
        let one_of = |wanted: &[u32], had: &[u32]| wanted.iter().any(|id| had.contains(id));
        (self.uids.is_empty() || one_of(&self.uids, client.uid.as_slice()))
            && (self.gids.is_empty() || one_of(&self.gids, client.groups))
            && (self.certificates.is_empty() || self.matches_certificate(client))
            && (self.networks.is_empty() || self.matches_network(client))
    }

    fn matches_certificate(&self, client: &Identity<'_>) -> bool {
        let Some(certificate) = &client.certificate else { return false };
        self.certificates.iter().any(|pattern| pattern.matches(certificate))
    }

    fn matches_network(&self, client: &Identity<'_>) -> bool {
        // An IPv4 client of an IPv6 socket has an IPv4 address too.
        let Some(ip) = client.ip.map(|ip| ip.to_canonical()) else { return false };
        self.networks.iter().any(|network| network.contains(&ip))
    }
}

/// As the log names a rule, such as `uid=1001` or `certificate=prometheus`.
impl fmt::Display for ClientPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |name, values: Vec<String>| (!values.is_empty()).then(|| (name, values.join(",")));
        let parts = [
            joined("uid", self.uids.iter().map(ToString::to_string).collect()),
            joined("gid", self.gids.iter().map(ToString::to_string).collect()),
            joined("certificate", self.certificates.iter().map(ToString::to_string).collect()),
            joined("address", self.networks.iter().map(ToString::to_string).collect()),
        ];
        for (index, (name, values)) in parts.into_iter().flatten().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{name}={values}")?;
        }
        Ok(())
    }
}

impl CertificatePattern {
    fn matches(&self, certificate: &Certificate<'_>) -> bool {
        match self {
            Self::Name(glob) => {
                let alternative = certificate.alternative_names.iter().map(String::as_str);
                certificate.common_name.into_iter().chain(alternative).any(|name| glob.matches(name))
            }
            Self::Sha256(digest) => certificate.sha256 == Some(digest),
        }
    }
}

impl FromStr for CertificatePattern {
    type Err = InvalidCertificatePattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidCertificatePattern(text.to_owned());
        match text.strip_prefix("sha256:") {
            Some(digits) => sha256_digest(digits).map(Self::Sha256).ok_or_else(invalid),
            None if text.trim().is_empty() => Err(invalid()),
            None => Ok(Self::Name(Glob::new(text))),
        }
    }
}

/// A digest as openssl and browsers write it: hexadecimal digits, with or without colons.
fn sha256_digest(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
            _ => None,
        })
        .collect();
    bytes?.try_into().ok()
}

impl fmt::Display for CertificatePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(glob) => glob.fmt(f),
            Self::Sha256(digest) => {
                f.write_str("sha256:")?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A network in CIDR notation, or one address.
///
/// # Errors
/// [`InvalidNetwork`] if it is neither.
pub fn parse_network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let address = text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical()));
    let network = address.or_else(|_| text.parse()).map_err(|_| InvalidNetwork(text.to_owned()))?;
    match network {
        // Bits beyond the network's are a slip, and an IPv4 client is never judged by an IPv6 address.
        _ if network.addr() != network.network() => Err(InvalidNetwork(text.to_owned())),
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err(InvalidNetwork(text.to_owned())),
        network => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(certificate: &str) -> ClientPattern {
        ClientPattern { certificates: vec![certificate.parse().unwrap()], ..ClientPattern::default() }
    }

    fn user(uid: u32, groups: &[u32]) -> Identity<'_> {
        Identity { uid: Some(uid), groups, ..Identity::default() }
    }

    #[test]
    fn all_that_a_rule_sets_must_match_and_of_several_values_one() {
        let rule = ClientPattern { uids: vec![7, 8], gids: vec![100], ..ClientPattern::default() };
        assert!(rule.matches(&user(7, &[5, 100])));
        assert!(rule.matches(&user(8, &[100])));
        assert!(!rule.matches(&user(9, &[100])));
        assert!(!rule.matches(&user(7, &[5])));
        assert!(!rule.matches(&Identity::default()), "a client without a user is none of these users");
    }

    #[test]
    fn certificates_match_by_any_of_their_names_or_by_their_digest() {
        let digest = [0xab; 32];
        let names = ["metrics.example".to_owned()];
        let certificate =
            Certificate { common_name: Some("prometheus"), alternative_names: &names, sha256: Some(&digest) };
        let client = Identity { certificate: Some(certificate), ..Identity::default() };
        let digits = "ab".repeat(32);
        let colons = "AB:".repeat(32).trim_end_matches(':').to_owned();
        for matching in
            ["prometheus", "prom*", "*.example", &format!("sha256:{digits}"), &format!("sha256:{colons}")]
        {
            assert!(pattern(matching).matches(&client), "{matching}");
        }
        for other in ["traefik", "prometheus2", &format!("sha256:{}", "ac".repeat(32))] {
            assert!(!pattern(other).matches(&client), "{other}");
        }
        assert!(!pattern("*").matches(&Identity::default()), "no certificate has no name");
        for wrong in ["", "sha256:ab", "sha256:zz", &format!("sha256:{digits}a")] {
            assert!(wrong.parse::<CertificatePattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn networks_hold_their_addresses_also_those_of_ipv4_in_ipv6() {
        let network = |text: &str| ClientPattern {
            networks: vec![parse_network(text).unwrap()],
            ..ClientPattern::default()
        };
        let from = |ip: &str| Identity { ip: Some(ip.parse().unwrap()), ..Identity::default() };
        assert!(network("10.1.0.0/16").matches(&from("10.1.2.3")));
        assert!(network("10.1.0.0/16").matches(&from("::ffff:10.1.2.3")));
        assert!(!network("10.1.0.0/16").matches(&from("10.2.0.1")));
        assert!(network("127.0.0.1").matches(&from("127.0.0.1")));
        assert!(network("fd00::/8").matches(&from("fd12::1")));
        assert!(!network("0.0.0.0/0").matches(&from("fd12::1")));
        for wrong in ["", "10.1", "10.1.0.0/33", "host", "10.1.2.3/8", "::ffff:10.0.0.0/104"] {
            assert!(parse_network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_is_named_by_what_it_asks_for() {
        let rule = ClientPattern {
            uids: vec![7, 8],
            networks: vec![parse_network("10.0.0.0/8").unwrap()],
            ..ClientPattern::default()
        };
        assert_eq!(rule.to_string(), "uid=7,8 address=10.0.0.0/8");
        assert_eq!(pattern("prom*").to_string(), "certificate=prom*");
    }
}
