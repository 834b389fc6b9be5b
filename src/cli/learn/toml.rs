//! What was learnt as a configuration file: a table for each listener, with rules if several clients use it.

use super::super::env;
use super::client;
use crate::config::file::show_rights;
use crate::config::settings::{DockerEnv, TlsSettings};
use crate::config::{
    ClientSettings, LearntClient, LearntListener, ListenSetting, ListenerSettings, RightsSettings, Setting,
};
use crate::net::{Address, ClientKey, ListenAddress, TlsIdentity};
use crate::policy::Origin;

/// The file. `settings` are those that all listeners had while it was learnt.
pub fn report(listeners: &[LearntListener], settings: &ListenerSettings) -> String {
    let tables: Vec<String> = listeners.iter().map(|listener| of_listener(listener, settings)).collect();
    tables.join("\n")
}

fn of_listener(listener: &LearntListener, settings: &ListenerSettings) -> String {
    if listener.clients.is_empty() {
        return client::nobody(listener);
    }
    let mut text = String::new();
    for client in &listener.clients {
        text.push_str(&client::title(listener, client));
        text.push_str(&client::notes(client));
    }
    let needy: Vec<&LearntClient> =
        listener.clients.iter().filter(|client| !client.endpoints.is_empty()).collect();
    if needy.is_empty() {
        return text + "# nothing that can be allowed\n";
    }
    let (rights, clients) = match needy[..] {
        [only] => (rights(only), Vec::new()),
        _ => rules(&needy),
    };
    let table = ListenerSettings {
        addresses: vec![ListenSetting { address: listener.address.to_string(), setting: Setting::Listen }],
        rights,
        clients,
        tls: match listener.address {
            ListenAddress::Bind(Address::Unix(_)) => TlsSettings::default(),
            ListenAddress::Bind(Address::Tcp { .. }) | ListenAddress::Inherited(_) => settings.tls.clone(),
        },
        ..settings.clone()
    };
    text + &show_rights(&table, &DockerEnv::read(env))
}

/// What counts for clients that cannot be told apart, and a rule for each that can.
fn rules(clients: &[&LearntClient]) -> (RightsSettings, Vec<ClientSettings>) {
    let further = clients.iter().find(|client| client.client.is_none());
    let default = further.map_or_else(|| allowing(None), |client| rights(client));
    let rule = |client: &&LearntClient| {
        let mut rule = ClientSettings {
            uids: Vec::new(),
            gids: Vec::new(),
            certificates: Vec::new(),
            networks: Vec::new(),
            rights: rights(client),
        };
        match client.client.as_ref()? {
            ClientKey::User(uid) => rule.uids.push(uid.to_string()),
            ClientKey::Certificate(identity) => rule.certificates.push(certificate(identity)),
            ClientKey::Address(address) if address.is_ipv6() => rule.networks.push(format!("{address}/64")),
            ClientKey::Address(address) => rule.networks.push(address.to_string()),
        }
        Some(rule)
    };
    (default, clients.iter().filter_map(rule).collect())
}

/// By its digest: names may be those of several certificates, or hold what a pattern gives a meaning.
fn certificate(identity: &TlsIdentity) -> String {
    let digits = identity.sha256.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256:{}", digits.collect::<String>())
}

fn rights(client: &LearntClient) -> RightsSettings {
    allowing(Some(client::names(&client.endpoints).into_iter().map(str::to_owned).collect()))
}

fn allowing(allow: Option<Vec<String>>) -> RightsSettings {
    RightsSettings::of_names(allow, Origin::Learning)
}
