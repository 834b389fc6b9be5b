//! How many answers a listener has in flight, how much they may cost the engine, and a client's share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use crate::net::{ClientKey, Peer};
use crate::policy::Charge;

/// What the answers of a listener may come to at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// How many there are.
    pub requests: u32,
    /// What they cost the engine together, in the units of [`Charge`].
    pub load: u32,
    /// What of both one client may take, in percent.
    pub client_share: u8,
}

/// Counts the answers that a listener gives at one time.
#[derive(Debug)]
pub struct RequestLimiter {
    limits: Mutex<RequestLimits>,
    usage: Mutex<AllUsage>,
}

#[derive(Debug, Default)]
struct AllUsage {
    all: Usage,
    by_client: HashMap<ClientKey, Usage, foldhash::fast::RandomState>,
}

/// What is in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    requests: u32,
    load: u32,
}

/// An answer that counts; dropping it ends that.
#[derive(Debug)]
pub struct RequestPermit {
    limiter: Arc<RequestLimiter>,
    client: ClientKey,
    load: u32,
}

/// Why a request has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestLimitExceeded {
    /// The listener gives as many answers as it may.
    #[error("{0} answers are in flight, which is all that there may be (max-requests)")]
    Requests(u32),
    /// The client gets as many answers as one may.
    #[error("this client has {0} answers in flight, which is its share (max-requests, client-share)")]
    ClientRequests(u32),
    /// The listener's answers cost the engine as much as they may.
    #[error("answers in flight cost the engine as much as they may (max-load {0})")]
    Load(u32),
    /// The client's answers cost the engine as much as one's may.
    #[error("this client's answers in flight cost the engine its share of {0} (max-load, client-share)")]
    ClientLoad(u32),
}

impl RequestLimits {
    /// One client's part of a limit: at least 1.
    fn share(&self, limit: u32) -> u32 {
        let share = u64::from(limit) * u64::from(self.client_share) / 100;
        u32::try_from(share).unwrap_or(limit).max(1)
    }

    fn check(&self, all: Usage, own: Usage, load: u32) -> Result<(), RequestLimitExceeded> {
        let RequestLimits { requests, load: max_load, .. } = *self;
        let (own_requests, own_load) = (self.share(requests), self.share(max_load));
        if all.requests >= requests {
            return Err(RequestLimitExceeded::Requests(requests));
        }
        if own.requests >= own_requests {
            return Err(RequestLimitExceeded::ClientRequests(own_requests));
        }
        if all.is_overloaded_by(load, max_load) {
            return Err(RequestLimitExceeded::Load(max_load));
        }
        if own.is_overloaded_by(load, own_load) {
            return Err(RequestLimitExceeded::ClientLoad(own_load));
        }
        Ok(())
    }
}

impl RequestLimiter {
    /// Nothing is in flight yet.
    pub fn new(limits: RequestLimits) -> Arc<Self> {
        Arc::new(Self { limits: Mutex::new(limits), usage: Mutex::default() })
    }

    /// Other limits from now on; what is in flight goes on.
    pub fn set_limits(&self, limits: RequestLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Counts an answer, if it is one that counts.
    ///
    /// # Errors
    /// [`RequestLimitExceeded`] if it is beyond the limits.
    pub fn try_acquire(
        self: &Arc<Self>,
        peer: &Peer,
        charge: Charge,
    ) -> Result<Option<RequestPermit>, RequestLimitExceeded> {
        let Charge::Request { load } = charge else { return Ok(None) };
        let client = peer.client_key();
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let own = usage.by_client.get(&client).copied().unwrap_or_default();
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.check(usage.all, own, load)?;
        usage.all.add(load);
        usage.by_client.entry(client.clone()).or_default().add(load);
        Ok(Some(RequestPermit { limiter: Arc::clone(self), client, load }))
    }

    fn release(&self, client: &ClientKey, load: u32) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.all.subtract(load);
        if let Some(own) = usage.by_client.get_mut(client) {
            own.subtract(load);
            if *own == Usage::default() {
                usage.by_client.remove(client);
            }
        }
    }
}

impl Usage {
    fn add(&mut self, load: u32) {
        self.requests += 1;
        self.load += load;
    }

    fn subtract(&mut self, load: u32) {
        self.requests -= 1;
        self.load -= load;
    }

    /// Whether this much more is too much. What costs more than all that there may be is still let in
    /// alone, so that a low limit means one at a time.
    fn is_overloaded_by(&self, load: u32, max: u32) -> bool {
        load > 0 && self.load > 0 && self.load.saturating_add(load) > max
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.limiter.release(&self.client, self.load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDINARY: Charge = Charge::Request { load: 0 };

    fn user(uid: u32) -> Peer {
        Peer::process(uid, 1)
    }

    fn limiter(requests: u32, load: u32, client_share: u8) -> Arc<RequestLimiter> {
        RequestLimiter::new(RequestLimits { requests, load, client_share })
    }

    #[test]
    fn one_client_gets_its_share_and_all_together_no_more_than_there_is() {
        let limiter = limiter(4, 100, 50);
        let ask = |uid| limiter.try_acquire(&user(uid), ORDINARY);
        let first = ask(7).unwrap();
        let _second = ask(7).unwrap();
        assert_eq!(ask(7).unwrap_err(), RequestLimitExceeded::ClientRequests(2));
        let _others = (ask(8).unwrap(), ask(9).unwrap());
        assert_eq!(ask(9).unwrap_err(), RequestLimitExceeded::Requests(4));
        drop(first);
        assert!(ask(7).is_ok());
    }

    #[test]
    fn what_costs_the_engine_much_has_limits_of_its_own() {
        let limiter = limiter(100, 64, 50);
        let ask = |uid, load| limiter.try_acquire(&user(uid), Charge::Request { load });
        let _exports = (ask(7, 16).unwrap(), ask(7, 16).unwrap());
        assert_eq!(ask(7, 1).unwrap_err(), RequestLimitExceeded::ClientLoad(32));
        let _other = (ask(8, 16).unwrap(), ask(8, 15).unwrap());
        assert_eq!(ask(9, 2).unwrap_err(), RequestLimitExceeded::Load(64));
        assert!(ask(9, 1).is_ok());
        assert!(ask(7, 0).is_ok(), "an ordinary request is not held up by it");
    }

    #[test]
    fn a_limit_that_is_lower_than_the_price_lets_in_one_at_a_time() {
        let limiter = limiter(100, 1, 50);
        let export = || limiter.try_acquire(&user(7), Charge::Request { load: 16 });
        let first = export().unwrap();
        assert!(export().is_err());
        drop(first);
        assert!(export().is_ok());
    }

    #[test]
    fn what_does_not_count_is_let_in_also_beyond_the_limits() {
        let limiter = limiter(1, 1, 100);
        let _all = limiter.try_acquire(&user(7), ORDINARY).unwrap();
        assert!(limiter.try_acquire(&user(7), Charge::Nothing).unwrap().is_none());
    }

    #[test]
    fn a_client_with_nothing_in_flight_leaves_no_trace() {
        let limiter = limiter(10, 10, 50);
        for uid in 0..1000 {
            drop(limiter.try_acquire(&user(uid), Charge::Request { load: 1 }));
        }
        let usage = limiter.usage.lock().unwrap();
        assert!(usage.by_client.is_empty() && usage.all == Usage::default());
    }
}
