//! What a listener does at the moment, and what of it counts for one connection.
//!
//! A reload puts something else in its place, which counts from a client's next request on, also on
//! connections that are open.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::limits::Limits;
use crate::net::Peer;
use crate::policy::Endpoint;
use crate::proxy::rules::ClientPolicy;
use crate::proxy::service::Service;

/// What a listener does.
pub struct Serving {
    /// What answers its requests.
    pub service: Arc<Service>,
    /// What its clients may take.
    pub limits: Limits,
}

/// What counts for one connection.
pub struct Session {
    serving: watch::Receiver<Arc<Serving>>,
    /// Who its client is, was decided for the first request, and is after each reload.
    decided: Mutex<Option<Decided>>,
}

#[derive(Clone)]
struct Decided {
    serving: Arc<Serving>,
    rights: Arc<ClientPolicy>,
}

impl Session {
    /// What counts for a new connection.
    pub fn new(serving: watch::Receiver<Arc<Serving>>) -> Self {
        Self { serving, decided: Mutex::default() }
    }

    /// What the listener does now.
    pub fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving.borrow())
    }

    /// What its clients may take now.
    pub fn limits(&self) -> Limits {
        self.serving.borrow().limits
    }

    /// What answers the client's next request, and what counts for it.
    pub fn decide(&self, peer: &Peer) -> (Arc<Service>, Arc<ClientPolicy>) {
        let serving = self.serving();
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let rights = match &*decided {
            Some(last) if Arc::ptr_eq(&last.serving, &serving) => Arc::clone(&last.rights),
            _ => {
                let rights = Arc::clone(serving.service.policy_of(peer));
                *decided = Some(Decided { serving: Arc::clone(&serving), rights: Arc::clone(&rights) });
                rights
            }
        };
        (Arc::clone(&serving.service), rights)
    }

    /// Waits until the listener does something else than what was `seen`, also if it does so already.
    pub async fn changed(&self, seen: Arc<Serving>) {
        let mut serving = self.serving.clone();
        if serving.wait_for(|now| !Arc::ptr_eq(now, &seen)).await.is_err() {
            // The program ends, and nothing will change.
            std::future::pending().await
        }
    }

    /// Whether the answer that the client is being given is still one that it may have: allowed, and shown
    /// as it was when it began.
    pub fn still_allows(&self, peer: &Peer, endpoint: &Endpoint) -> bool {
        let decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(began) = &*decided else { return true };
        let serving = self.serving();
        let now = &serving.service.policy_of(peer).policy;
        now.acl.allows(endpoint) && now.view == began.rights.policy.view
    }
}
