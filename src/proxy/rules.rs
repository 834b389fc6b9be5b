//! What counts for a listener's clients, with all that is needed to carry it out.

use std::sync::Arc;

use crate::filter::response::Filter;
use crate::filter::stats::Stats;
use crate::net::Peer;
use crate::policy::clients::{Certificate, ClientRule, Identity};
use crate::policy::{ListenerPolicy, Policy, View};
use crate::upstream::Upstream;

/// What counts for one client, or for all that the same rule is for.
pub struct ClientPolicy {
    /// What it is let through to, and what it is shown of the answers.
    pub policy: Arc<Policy>,
    /// What its view makes of answers; `None` if they are shown as they come.
    pub filter: Option<Arc<Filter>>,
    /// The rule that is for it, as the log names it; `None` if none is.
    pub rule: Option<Arc<str>>,
}

/// What counts for the clients of a listener.
pub struct Rules {
    listener: Arc<ListenerPolicy>,
    /// One for each rule.
    clients: Vec<Arc<ClientPolicy>>,
    default: Arc<ClientPolicy>,
    /// For clients whose groups are not known, where a rule asks for them: whatever it would take away is taken away.
    nothing: Option<Arc<ClientPolicy>>,
}

impl Rules {
    /// Makes a listener's policy ready; its views ask `upstream` what objects are called, and count in `stats`
    /// what filtering comes to.
    pub fn new(listener: Arc<ListenerPolicy>, upstream: &Arc<Upstream>, stats: &Arc<Stats>) -> Self {
        let mut filters = Filters { upstream, stats, made: Vec::new() };
        let mut ready = |policy: &Arc<Policy>, rule| {
            let filter = filters.of(&policy.view);
            Arc::new(ClientPolicy { policy: Arc::clone(policy), filter, rule })
        };
        let mut of_rule = |rule: &ClientRule| ready(&rule.policy, Some(rule.client.to_string().into()));
        let clients = listener.rules.iter().map(&mut of_rule).collect();
        let default = ready(&listener.default, None);
        let nothing = || {
            let policy = Policy::nothing(listener.default.origin.clone());
            ready(&Arc::new(policy), Some("unknown groups".into()))
        };
        let nothing = listener.asks_for_groups().then(nothing);
        Self { listener, clients, default, nothing }
    }

    /// What counts for a client.
    pub fn of(&self, peer: &Peer) -> &Arc<ClientPolicy> {
        if let (Some(nothing), None) = (&self.nothing, peer.groups()) {
            return nothing;
        }
        self.listener.rule_of(&identity(peer)).map_or(&self.default, |rule| &self.clients[rule])
    }
}

/// The filters of a listener: clients with one view share one.
struct Filters<'a> {
    upstream: &'a Arc<Upstream>,
    stats: &'a Arc<Stats>,
    made: Vec<(View, Option<Arc<Filter>>)>,
}

impl Filters<'_> {
    fn of(&mut self, view: &View) -> Option<Arc<Filter>> {
        if let Some((_, filter)) = self.made.iter().find(|(known, _)| known == view) {
            return filter.clone();
        }
        let filter = Filter::new(view, self.upstream, self.stats).map(Arc::new);
        self.made.push((view.clone(), filter.clone()));
        filter
    }
}

/// What policy knows of a client.
fn identity(peer: &Peer) -> Identity<'_> {
    let certificate = peer.identity().map(|identity| Certificate {
        common_name: identity.common_name.as_deref(),
        alternative_names: &identity.alternative_names,
        sha256: Some(&identity.sha256),
    });
    Identity {
        uid: peer.uid(),
        groups: peer.groups().unwrap_or_default(),
        certificate,
        ip: peer.addr().map(|address| address.ip()),
    }
}
