//! How much memory heads, and TLS handshakes before them, may take that are not whole yet, all clients of a listener
//! together.
//!
//! The first few kilobytes of each are free, so that whoever takes all that there is keeps nobody from
//! asking as one usually does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::{ClientKey, Peer};

/// What each head may take without counting, in bytes.
const FREE_HEAD: usize = 2 * 1024;
/// What each handshake may: a ClientHello and a chain of usual certificates.
const FREE_HANDSHAKE: usize = 8 * 1024;
/// What a listener's clients may take beyond that, together.
const TOTAL: usize = 8 * 1024 * 1024;
/// What one client's may.
const PER_CLIENT: usize = TOTAL / 2;

/// The memory for what arrives at a listener: its heads, or its handshakes.
#[derive(Debug)]
pub struct ArrivalBudget {
    /// What each may take without counting.
    free: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// What one head or handshake has taken; dropping it gives that back.
#[derive(Debug)]
pub(super) struct ArrivalShare {
    budget: Arc<ArrivalBudget>,
    peer: Arc<Peer>,
    taken: usize,
}

impl ArrivalShare {
    /// Nothing yet, for what this client sends.
    pub fn new(budget: Arc<ArrivalBudget>, peer: Arc<Peer>) -> Self {
        Self { budget, peer, taken: 0 }
    }

    /// Takes or gives back what so many bytes need; whether there is that much.
    pub fn resize(&mut self, len: usize) -> bool {
        let wanted = len.saturating_sub(self.budget.free);
        if wanted == self.taken {
            return true;
        }
        let resized = self.budget.lock().resize(self.peer.client_key(), self.taken, wanted);
        if resized {
            self.taken = wanted;
        }
        resized
    }
}

impl Drop for ArrivalShare {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl ArrivalBudget {
    /// For heads.
    pub fn of_heads() -> Self {
        Self { free: FREE_HEAD, taken: Mutex::default() }
    }

    /// For TLS handshakes.
    pub fn of_handshakes() -> Self {
        Self { free: FREE_HANDSHAKE, taken: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn resize(&mut self, client: ClientKey, from: usize, to: usize) -> bool {
        let of_client = self.by_client.get(&client).copied().unwrap_or_default();
        let (all, of_client) = (self.all - from + to, of_client - from + to);
        if to > from && (all > TOTAL || of_client > PER_CLIENT) {
            return false;
        }
        self.all = all;
        if of_client == 0 {
            self.by_client.remove(&client);
        } else {
            self.by_client.insert(client, of_client);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: usize = 64 * 1024;

    fn share(budget: &Arc<ArrivalBudget>, uid: u32) -> ArrivalShare {
        ArrivalShare::new(Arc::clone(budget), Arc::new(Peer::process(uid, 1)))
    }

    /// How many long heads there is room for, of so many clients, one after the other.
    fn room(budget: &Arc<ArrivalBudget>, clients: u32) -> Vec<ArrivalShare> {
        let shares = (0..1000).map(|head| share(budget, head % clients));
        shares.filter_map(|mut share| share.resize(HEAD).then_some(share)).collect()
    }

    #[test]
    fn all_heads_together_and_those_of_one_client_have_a_most() {
        let budget = Arc::new(ArrivalBudget::of_heads());
        assert_eq!(room(&budget, 1).len(), PER_CLIENT / (HEAD - FREE_HEAD));
        assert_eq!(room(&budget, 7).len(), TOTAL / (HEAD - FREE_HEAD));
    }

    #[test]
    fn where_there_is_no_room_short_heads_still_have_theirs() {
        let budget = Arc::new(ArrivalBudget::of_heads());
        let _heads = room(&budget, 2);
        let mut other = share(&budget, 1);
        assert!(!other.resize(HEAD));
        assert!(other.resize(FREE_HEAD));
    }

    #[test]
    fn what_a_head_took_is_given_back() {
        let budget = Arc::new(ArrivalBudget::of_heads());
        let mut head = share(&budget, 1);
        assert!(head.resize(HEAD) && head.resize(HEAD / 2));
        assert_eq!(budget.lock().all, HEAD / 2 - FREE_HEAD);
        drop((head, room(&budget, 2)));
        assert_eq!(budget.lock().all, 0);
        assert!(budget.lock().by_client.is_empty());
    }
}
