//! Listeners, as settings say them: where they listen, what counts there, and what their clients may take.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, ConfigProblem, Scope};
use super::rights::{all, policy, policy_or_nothing};
use super::settings::{
    AdminSettings, ClientSettings, LimitSettings, ListenSetting, ListenerSettings, Setting,
};
use super::tls::TlsIntent;
use super::{DEFAULT_LISTEN, DockerEnv, ListenerConfig};
use crate::admin::AdminConfig;
use crate::inbound::{ConnectionLimits, Limits, PaceLimits};
use crate::net::unix::{SocketFile, SocketGroup};
use crate::net::{Address, ListenAddr, ListenAddress};
use crate::policy::clients::{ClientPattern, ClientRule, parse_network};
use crate::policy::{ListenerPolicy, Policy};
use crate::proxy::limits::RequestLimits;
use crate::sandbox::privileges::RunAs;
use crate::system::users;
use crate::tls::ClientAuth;

/// What all listeners have in common.
pub(super) struct Common<'a> {
    /// Where the engine is.
    pub(super) upstream: &'a Address,
    /// Who the process becomes.
    pub(super) user: Option<RunAs>,
    /// Where Docker has its certificates.
    pub(super) docker: &'a DockerEnv,
}

/// What one table of settings means, a listener for each of its addresses. What is wrong is added to
/// `problems`.
pub(super) fn listeners(
    index: usize,
    settings: &ListenerSettings,
    common: &Common<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<ListenerConfig> {
    let policy = listener_policy(index, settings, problems);
    let mut note = |error| problems.push(ConfigProblem { scope: Scope::Listener(index), error });
    let group = socket_group(settings.socket_group.as_deref(), common.upstream).map_err(&mut note);
    let intent = TlsIntent::of(&settings.tls, common.docker).map_err(|error| note(error.into()));
    let addresses =
        listen_addresses(&settings.addresses).map_err(|errors| errors.into_iter().for_each(&mut note));
    let (Ok(group), Ok(intent), Ok(addresses)) = (group, intent, addresses) else { return Vec::new() };
    if let Err(error) = intent.require_tcp(&addresses) {
        note(error.into());
    }
    let place = Place { settings, common, group: &group, intent: &intent };
    let listeners: Vec<ListenerConfig> = addresses
        .into_iter()
        .filter_map(|address| place.listener(address, &policy).map_err(&mut note).ok())
        .collect();
    problems.extend(rules_without_clients(index, settings, &listeners));
    listeners
}

/// What the listeners of one table of settings share.
struct Place<'a> {
    settings: &'a ListenerSettings,
    common: &'a Common<'a>,
    group: &'a SocketGroup,
    intent: &'a TlsIntent,
}

impl Place<'_> {
    fn listener(
        &self,
        address: ListenAddress,
        policy: &Arc<ListenerPolicy>,
    ) -> Result<ListenerConfig, ConfigError> {
        let (addr, tls) = match address {
            ListenAddress::Bind(address) if would_loop(self.common.upstream, &address) => {
                return Err(ConfigError::Loop(Setting::Listen, address));
            }
            ListenAddress::Inherited(name) => {
                (ListenAddr::Inherited { name, plain_tcp: self.intent.plain_tcp() }, self.intent.files())
            }
            ListenAddress::Bind(Address::Unix(path)) => {
                let owner = self.common.user.map(|user| user.uid);
                let mode = self.settings.socket_mode;
                (ListenAddr::Unix(SocketFile { path, mode, group: self.group.clone(), owner }), None)
            }
            ListenAddress::Bind(Address::Tcp { host, port }) => {
                let tls = self.intent.at(&host, port)?;
                (ListenAddr::Tcp { host, port }, tls)
            }
        };
        Ok(ListenerConfig {
            addr,
            tls,
            policy: Arc::clone(policy),
            limits: limits(&self.settings.limits),
            requests: request_limits(&self.settings.limits),
            errors: self.settings.errors,
        })
    }
}

/// What counts for the clients of a listener. Without rules something has to be allowed, else there would be
/// no use for it.
fn listener_policy(
    index: usize,
    settings: &ListenerSettings,
    problems: &mut Vec<ConfigProblem>,
) -> Arc<ListenerPolicy> {
    let default = match settings.clients.is_empty() {
        true => policy(&settings.rights),
        false => policy_or_nothing(&settings.rights),
    };
    let mut note = |scope, errors: Vec<ConfigError>| {
        problems.extend(errors.into_iter().map(|error| ConfigProblem { scope, error }));
    };
    let mut rules = Vec::new();
    for (client, rule) in settings.clients.iter().enumerate() {
        match client_rule(rule) {
            Ok(rule) => rules.push(rule),
            Err(errors) => note(Scope::Client(index, client), errors),
        }
    }
    let default = default.unwrap_or_else(|errors| {
        note(Scope::Listener(index), errors);
        Policy::nothing(settings.rights.origin.clone())
    });
    Arc::new(ListenerPolicy { rules, default: Arc::new(default) })
}

fn client_rule(settings: &ClientSettings) -> Result<ClientRule, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let certificates = settings.certificates.iter().map(|text| text.parse());
    let networks = settings.networks.iter().map(|text| parse_network(text));
    let client = ClientPattern {
        uids: all(settings.uids.iter().map(|name| uid(name)), &mut errors),
        gids: all(settings.gids.iter().map(|name| gid(name)), &mut errors),
        certificates: all(certificates.map(|one| one.map_err(ConfigError::ClientCertificate)), &mut errors),
        networks: all(networks.map(|one| one.map_err(ConfigError::ClientNetwork)), &mut errors),
    };
    if client.is_empty() && errors.is_empty() {
        errors.push(ConfigError::ClientForEveryone);
    }
    match policy_or_nothing(&settings.rights) {
        Ok(policy) if errors.is_empty() => Ok(ClientRule { client, policy: Arc::new(policy) }),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(more).collect()),
    }
}

/// The number of the user that a rule, or a question, names.
///
/// # Errors
/// If there is no such user.
pub fn uid(name: &str) -> Result<u32, ConfigError> {
    users::find_user(name).map(|user| user.uid).ok_or_else(|| ConfigError::ClientUser(name.to_owned()))
}

/// The number of the group that a rule, or a question, names.
///
/// # Errors
/// If there is no such group.
pub fn gid(name: &str) -> Result<u32, ConfigError> {
    users::find_group(name).ok_or_else(|| ConfigError::ClientGroup(name.to_owned()))
}

/// Rules that no client can match at the addresses that there are: whoever wrote them would rely on them.
fn rules_without_clients(
    index: usize,
    settings: &ListenerSettings,
    listeners: &[ListenerConfig],
) -> Vec<ConfigProblem> {
    // What was passed is known only at the start.
    let unix = listeners.iter().any(|one| !matches!(one.addr, ListenAddr::Tcp { .. }));
    let tcp = listeners.iter().any(|one| !matches!(one.addr, ListenAddr::Unix(_)));
    let verified = listeners
        .iter()
        .any(|one| one.tls.as_ref().is_some_and(|files| files.client_auth != ClientAuth::None));
    let unmatched = |rule: &ClientSettings| {
        let never = |setting, why| Some(ConfigError::ClientNeverMatches(setting, why));
        match rule {
            _ if listeners.is_empty() => None,
            ClientSettings { uids, .. } if !uids.is_empty() && !unix => {
                never(Setting::ClientUid, "users are known on Unix sockets alone")
            }
            ClientSettings { gids, .. } if !gids.is_empty() && !unix => {
                never(Setting::ClientGid, "groups are known on Unix sockets alone")
            }
            ClientSettings { certificates, .. } if !certificates.is_empty() && !verified => never(
                Setting::ClientCertificate,
                "certificates are verified over TLS alone, where clients have to show them",
            ),
            ClientSettings { networks, .. } if !networks.is_empty() && !tcp => {
                never(Setting::ClientAddress, "addresses are known over TCP alone")
            }
            _ => None,
        }
    };
    let rules = settings.clients.iter().enumerate();
    rules
        .filter_map(|(client, rule)| {
            Some(ConfigProblem { scope: Scope::Client(index, client), error: unmatched(rule)? })
        })
        .collect()
}

fn limits(settings: &LimitSettings) -> Limits {
    Limits {
        header_timeout: settings.header_timeout,
        idle_timeout: settings.idle_timeout,
        pace: PaceLimits {
            stall_timeout: Some(settings.stall_timeout).filter(|time| !time.is_zero()),
            min_rate: settings.min_rate,
        },
        connections: ConnectionLimits {
            total: settings.max_connections,
            per_uid: settings.max_connections_per_uid,
        },
    }
}

fn request_limits(settings: &LimitSettings) -> RequestLimits {
    RequestLimits {
        requests: settings.max_requests,
        load: settings.max_load,
        client_share: settings.client_share,
    }
}

/// Where to listen.
///
/// # Errors
/// For each address that is invalid, or stands there twice.
pub fn listen_addresses(listen: &[ListenSetting]) -> Result<Vec<ListenAddress>, Vec<ConfigError>> {
    let (mut addresses, mut places) = (Vec::new(), HashSet::new());
    let mut errors = Vec::new();
    for ListenSetting { address, setting } in listen {
        match address.parse() {
            Err(error) => errors.push(ConfigError::Address(*setting, error)),
            Ok(address) if !places.insert(place(&address)) => {
                errors.push(ConfigError::Duplicate(*setting, address));
            }
            Ok(address) => addresses.push(address),
        }
    }
    if listen.is_empty() {
        match DEFAULT_LISTEN.parse() {
            Ok(address) => addresses.push(address),
            Err(error) => errors.push(ConfigError::Address(Setting::Listen, error)),
        }
    }
    if errors.is_empty() { Ok(addresses) } else { Err(errors) }
}

fn socket_group(given: Option<&str>, upstream: &Address) -> Result<SocketGroup, ConfigError> {
    match (given, upstream) {
        (Some(name), _) => users::find_group(name)
            .map(SocketGroup::Exactly)
            .ok_or_else(|| ConfigError::Group(name.to_owned())),
        (None, Address::Unix(path)) => Ok(SocketGroup::SameAs(path.clone())),
        (None, Address::Tcp { .. }) => Ok(SocketGroup::Default),
    }
}

/// Where the operator's listener listens.
///
/// # Errors
/// If its address is invalid, is the engine's, or can be reached from other machines, or its group does not exist.
pub(super) fn admin(
    settings: &AdminSettings,
    upstream: &Address,
    user: Option<RunAs>,
) -> Result<AdminConfig, ConfigError> {
    let address: Address =
        settings.address.parse().map_err(|error| ConfigError::Address(Setting::Admin, error))?;
    if would_loop(upstream, &address) {
        return Err(ConfigError::Loop(Setting::Admin, address));
    }
    let group = socket_group(settings.socket_group.as_deref(), upstream)?;
    let owner = user.map(|user| user.uid);
    let file = |path| SocketFile { path, mode: settings.socket_mode, group, owner };
    AdminConfig::at(address, file).map_err(ConfigError::Admin)
}

/// Rejects listeners in one place, however it is written.
pub(super) fn duplicates(
    listeners: &[Vec<ListenerConfig>],
    admin: Option<&AdminConfig>,
) -> Vec<ConfigProblem> {
    // Each is resolved once: there may be many.
    let mut seen: HashSet<ListenAddress> = HashSet::new();
    let mut problems = Vec::new();
    for (index, listeners) in listeners.iter().enumerate() {
        for address in listeners.iter().map(|one| one.addr.address()) {
            if !seen.insert(place(&address)) {
                let error = ConfigError::Duplicate(Setting::Listen, address);
                problems.push(ConfigProblem { scope: Scope::Listener(index), error });
            }
        }
    }
    let admin = admin.map(|admin| admin.addr.address());
    if let Some(address) = admin.filter(|admin| seen.contains(&place(admin))) {
        let error = ConfigError::Duplicate(Setting::Admin, address);
        problems.push(ConfigProblem { scope: Scope::Global, error });
    }
    problems
}

/// A listener's place, however it is written: two with the same place are one.
fn place(listener: &ListenAddress) -> ListenAddress {
    match listener {
        ListenAddress::Bind(Address::Unix(path)) => ListenAddress::Bind(Address::Unix(resolved(path))),
        other => other.clone(),
    }
}

/// Whether whoever connects to `upstream` meets the listener.
pub(super) fn would_loop(upstream: &Address, listener: &Address) -> bool {
    let (Address::Tcp { host: to, port: to_port }, Address::Tcp { host: at, port: at_port }) =
        (upstream, listener)
    else {
        return place(&ListenAddress::Bind(upstream.clone()))
            == place(&ListenAddress::Bind(listener.clone()));
    };
    let local = |host: &str| host.eq_ignore_ascii_case("localhost");
    to_port == at_port
        && match (to.parse::<IpAddr>(), at.parse::<IpAddr>()) {
            (Ok(to), Ok(at)) => {
                let (to, at) = (to.to_canonical(), at.to_canonical());
                // To connect to the unspecified address is to connect to this machine.
                let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
                to == at || (here(to) && here(at) && to.is_ipv4() == at.is_ipv4())
            }
            (Ok(to), Err(_)) => local(at) && to.is_loopback(),
            (Err(_), Ok(at)) => local(to) && (at.is_loopback() || at.is_unspecified()),
            (Err(_), Err(_)) => to.eq_ignore_ascii_case(at),
        }
}

/// A path without symbolic links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}
