//! Learning: what each client of a listener asks for, counted, so that the least that it needs can be named.
//!
//! A client cannot make it grow: so many clients are told apart, and so many different refused calls of each; what is
//! beyond that shares a count. Of a request that is let through only names of the catalog are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;

use crate::net::{ClientKey, ListenAddress, Peer};
use crate::policy::catalog::ENGINE;
use crate::policy::{Allowed, CanonicalPath};

/// Clients of a listener that are told apart.
const MAX_CLIENTS: usize = 128;
/// Different refused calls of one client that are told apart.
const MAX_REFUSED: usize = 32;
/// How much is kept of a method, and of a path or a reason, in characters.
const MAX_METHOD_LEN: usize = 16;
const MAX_TEXT_LEN: usize = 128;

/// Counts what the clients of a listener ask for.
#[derive(Debug, Default)]
pub struct Learning(Mutex<Clients>);

#[derive(Debug, Default)]
struct Clients {
    /// With a number each, by which they are in the order in which they came.
    told_apart: HashMap<ClientKey, (usize, Counts)>,
    /// All others together.
    others: Option<Counts>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    requests: u64,
    endpoints: BTreeMap<&'static str, EndpointCounts>,
    withheld: BTreeMap<&'static str, u64>,
    refused: BTreeMap<(String, String), (u64, String)>,
    refused_besides: u64,
}

#[derive(Debug, Clone, Default)]
struct EndpointCounts {
    requests: u64,
    parameters: BTreeSet<&'static str>,
}

/// What was learnt of a listener.
#[derive(Debug, Clone)]
pub struct LearntListener {
    /// Where it listens.
    pub address: ListenAddress,
    /// Its clients, in the order in which they came.
    pub clients: Vec<LearntClient>,
}

/// What was learnt of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearntClient {
    /// Which client; `None` is all those for which there was no room.
    pub client: Option<ClientKey>,
    /// How many requests it made.
    pub requests: u64,
    /// What it was let through to, in the order of the catalog.
    pub endpoints: Vec<LearntEndpoint>,
    /// Names that would be needed for more, and were not let through while learning, with how often they would have
    /// been.
    pub withheld: Vec<(&'static str, u64)>,
    /// Calls that nothing allows.
    pub refused: Vec<RefusedCall>,
    /// How many more calls were refused than there was room for.
    pub refused_besides: u64,
}

/// An endpoint that a client needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearntEndpoint {
    /// Its name in the catalog.
    pub name: &'static str,
    /// How often it was asked for; 0 if its name is needed for another, which in an old version of the API shows as much.
    pub requests: u64,
    /// The query parameters that were sent on.
    pub parameters: Vec<&'static str>,
}

/// A call that nothing allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// Its method; empty if no request could be read.
    pub method: String,
    /// Its path without the version, with `{id}` for what looks like an object's id.
    pub path: String,
    /// How often it was made.
    pub requests: u64,
    /// Why it was refused, at least once.
    pub why: String,
}

/// A request that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    /// Its method and path, if they could be read.
    pub call: Option<(&'a Method, &'a str)>,
    /// The endpoint that it names, if it names one.
    pub endpoint: Option<&'static str>,
    /// Whether the endpoint's name would have been enough.
    pub is_withheld: bool,
    /// Whether it was counted when it was let through, before a limit was reached.
    pub is_counted: bool,
    /// Why.
    pub why: &'a str,
}

impl Learning {
    /// Counts a request that is let through.
    pub(super) fn allowed(&self, peer: &Peer, allowed: &Allowed<'_>) {
        let mut clients = self.clients();
        let counts = clients.counts(peer);
        counts.requests += 1;
        for name in allowed.needed_names() {
            counts.endpoints.entry(name).or_default();
        }
        let endpoint = counts.endpoints.entry(allowed.endpoint.name).or_default();
        endpoint.requests += 1;
        let sent = allowed.endpoint.parameters.iter().filter(|parameter| allowed.query.has(parameter.name));
        endpoint.parameters.extend(sent.map(|parameter| parameter.name));
    }

    /// Counts a request that was not let through, or not to its answer.
    pub(super) fn refused(&self, peer: &Peer, refused: Refused<'_>) {
        let mut clients = self.clients();
        let counts = clients.counts(peer);
        counts.requests += u64::from(!refused.is_counted);
        match refused.endpoint {
            Some(name) if refused.is_withheld => *counts.withheld.entry(name).or_default() += 1,
            _ => counts.add_refused(refused),
        }
    }

    /// What was learnt so far of each client, in the order in which they came.
    pub fn learnt(&self) -> Vec<LearntClient> {
        let clients = self.clients();
        let mut told_apart: Vec<_> = clients.told_apart.iter().collect();
        told_apart.sort_by_key(|(_, (number, _))| *number);
        let told_apart = told_apart.into_iter().map(|(key, (_, counts))| counts.learnt(Some(key.clone())));
        told_apart.chain(clients.others.iter().map(|counts| counts.learnt(None))).collect()
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    fn counts(&mut self, peer: &Peer) -> &mut Counts {
        let key = peer.client_key();
        let number = self.told_apart.len();
        if number >= MAX_CLIENTS && !self.told_apart.contains_key(&key) {
            return self.others.get_or_insert_default();
        }
        &mut self.told_apart.entry(key).or_insert_with(|| (number, Counts::default())).1
    }
}

impl Counts {
    fn add_refused(&mut self, refused: Refused<'_>) {
        let (method, path) = match refused.call {
            Some((method, path)) => (beginning(method.as_str(), MAX_METHOD_LEN), shape(path)),
            None => Default::default(),
        };
        let call = (method, path);
        if self.refused.len() >= MAX_REFUSED && !self.refused.contains_key(&call) {
            self.refused_besides += 1;
            return;
        }
        let why = || (0, beginning(refused.why, MAX_TEXT_LEN));
        self.refused.entry(call).or_insert_with(why).0 += 1;
    }

    fn learnt(&self, client: Option<ClientKey>) -> LearntClient {
        let refused = self.refused.iter().map(|((method, path), (requests, why))| RefusedCall {
            method: method.clone(),
            path: path.clone(),
            requests: *requests,
            why: why.clone(),
        });
        LearntClient {
            client,
            requests: self.requests,
            endpoints: self.learnt_endpoints(),
            withheld: self.withheld.iter().map(|(name, requests)| (*name, *requests)).collect(),
            refused: refused.collect(),
            refused_besides: self.refused_besides,
        }
    }

    /// In the order of the catalog, in which a name can have several rows.
    fn learnt_endpoints(&self) -> Vec<LearntEndpoint> {
        let mut endpoints: Vec<LearntEndpoint> = Vec::new();
        for name in ENGINE.endpoints().iter().map(|row| row.name) {
            let Some(counts) = self.endpoints.get(name) else { continue };
            if endpoints.last().is_none_or(|last| last.name != name) {
                let parameters = counts.parameters.iter().copied().collect();
                endpoints.push(LearntEndpoint { name, requests: counts.requests, parameters });
            }
        }
        endpoints
    }
}

/// A path without its version, with `{id}` for each segment that looks like an object's id, so that a call that is
/// made for many objects is one.
fn shape(path: &str) -> String {
    /// How many digits of an id the engine's own tools show.
    const SHORT_ID_LEN: usize = 12;
    let canonical = CanonicalPath::parse(path);
    let path = canonical.as_ref().map_or(path, |canonical| canonical.endpoint());
    let is_id =
        |segment: &str| segment.len() >= SHORT_ID_LEN && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    let segments = path.split('/').map(|segment| if is_id(segment) { "{id}" } else { segment });
    beginning(&segments.collect::<Vec<_>>().join("/"), MAX_TEXT_LEN)
}

/// A text, or as much of it as there is room for.
fn beginning(text: &str, len: usize) -> String {
    match text.char_indices().nth(len) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Acl, Verdict, names};

    fn user(uid: u32) -> Peer {
        Peer::process(uid, 1)
    }

    fn ask(learning: &Learning, uid: u32, target: &str) {
        let acl = Acl::from_names(&ENGINE, names::all(&ENGINE)).unwrap();
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        match acl.authorize(&Method::GET, path, query) {
            Verdict::Allowed(allowed) => learning.allowed(&user(uid), &allowed),
            Verdict::Denied(denied) => panic!("{target}: {denied:?}"),
        }
    }

    fn refuse(learning: &Learning, uid: u32, method: &Method, path: &str) {
        let call = Some((method, path));
        learning.refused(
            &user(uid),
            Refused { call, endpoint: None, is_withheld: false, is_counted: false, why: "no" },
        );
    }

    #[test]
    fn clients_are_told_apart_with_endpoints_parameters_and_refusals() {
        let learning = Learning::default();
        ask(&learning, 7, "/v1.41/containers/json?all=1&xyz=1");
        ask(&learning, 7, "/containers/json?limit=3");
        ask(&learning, 8, "/_ping");
        refuse(&learning, 8, &Method::POST, "/v1.41/containers/create");
        refuse(&learning, 8, &Method::POST, "/v1.43/containers/create");
        let learnt = learning.learnt();
        let [first, second] = &learnt[..] else { panic!("{learnt:?}") };
        assert_eq!((first.client.clone(), first.requests), (Some(ClientKey::User(7)), 2));
        let list = LearntEndpoint { name: "containers:list", requests: 2, parameters: vec!["all", "limit"] };
        assert_eq!(first.endpoints, [list]);
        assert_eq!((second.requests, second.refused.len(), second.refused[0].requests), (3, 1, 2));
        assert_eq!((&*second.refused[0].method, &*second.refused[0].path), ("POST", "/containers/create"));
    }

    #[test]
    fn a_version_that_shows_more_needs_the_name_of_that_too() {
        let names = |target| {
            let learning = Learning::default();
            ask(&learning, 7, target);
            let endpoints = learning.learnt().remove(0).endpoints;
            endpoints.into_iter().map(|one| (one.name, one.requests)).collect::<Vec<_>>()
        };
        assert_eq!(names("/v1.27/networks"), [("networks:list", 1), ("networks:inspect", 0)]);
        assert_eq!(names("/v1.28/networks"), [("networks:list", 1)]);
        assert_eq!(names("/networks"), [("networks:list", 1)]);
    }

    #[test]
    fn clients_and_refused_calls_without_number_take_no_more_room() {
        let learning = Learning::default();
        for uid in 0..10_000 {
            ask(&learning, uid, "/info");
        }
        for call in 0..10_000 {
            refuse(&learning, 7, &Method::POST, &format!("/x{call}/{}", "y".repeat(4000)));
        }
        let learnt = learning.learnt();
        assert_eq!(learnt.len(), MAX_CLIENTS + 1);
        assert_eq!(learnt.last().map(|rest| (rest.client.clone(), rest.requests)), Some((None, 9872)));
        let client = &learnt[7];
        assert_eq!(client.refused.len(), MAX_REFUSED);
        assert_eq!(client.refused_besides as usize, 10_000 - MAX_REFUSED);
        assert!(client.refused.iter().all(|call| call.path.len() <= MAX_TEXT_LEN + 3));
    }

    #[test]
    fn a_call_for_many_objects_is_one() {
        let id = "4c01db0b339c".to_owned();
        assert_eq!(shape(&format!("/v1.41/containers/{id}/start")), "/containers/{id}/start");
        assert_eq!(shape(&format!("/containers/{}/json", id.repeat(5))), "/containers/{id}/json");
        assert_eq!(shape("/containers/web/start"), "/containers/web/start");
        assert_eq!(shape("/containers/../x"), "/containers/../x");
    }

    #[test]
    fn what_is_withheld_is_counted_by_its_name() {
        let learning = Learning::default();
        let why = "swarm:inspect is not allowed here";
        let call = Some((&Method::GET, "/swarm"));
        let refused =
            Refused { call, endpoint: Some("swarm:inspect"), is_withheld: true, is_counted: false, why };
        (0..3).for_each(|_| learning.refused(&user(7), refused));
        let learnt = learning.learnt().remove(0);
        assert_eq!((learnt.withheld, learnt.refused), (vec![("swarm:inspect", 3)], vec![]));
    }
}
