//! How much memory heads may take that are not whole yet, all clients of a listener together.
//!
//! The first few kilobytes of a head are free, so that whoever takes all that there is keeps nobody from
//! asking as one usually does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::net::{ClientKey, Peer};

/// What each head may take without counting, in bytes.
const FREE: usize = 2 * 1024;
/// What the heads of a listener's clients may take beyond that, together.
const TOTAL: usize = 8 * 1024 * 1024;
/// What one client's may.
const PER_CLIENT: usize = TOTAL / 2;

/// The memory for heads of a listener.
#[derive(Debug, Default)]
pub struct HeadBudget(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// What one head has taken; dropping it gives that back.
#[derive(Debug)]
pub(super) struct HeadShare {
    budget: Arc<HeadBudget>,
    peer: Arc<Peer>,
    taken: usize,
}

impl HeadShare {
    /// Nothing yet, for the heads of this client.
    pub fn new(budget: Arc<HeadBudget>, peer: Arc<Peer>) -> Self {
        Self { budget, peer, taken: 0 }
    }

    /// Takes or gives back what a head of this length needs; whether there is that much.
    pub fn resize(&mut self, len: usize) -> bool {
        let wanted = len.saturating_sub(FREE);
        if wanted == self.taken {
            return true;
        }
        let resized = self.budget.taken().resize(self.peer.client_key(), self.taken, wanted);
        if resized {
            self.taken = wanted;
        }
        resized
    }
}

impl Drop for HeadShare {
    fn drop(&mut self) {
        self.resize(0);
    }
}

impl HeadBudget {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn share(budget: &Arc<HeadBudget>, uid: u32) -> HeadShare {
        HeadShare::new(Arc::clone(budget), Arc::new(Peer::process(uid, 1)))
    }

    /// How many long heads there is room for, of so many clients, one after the other.
    fn room(budget: &Arc<HeadBudget>, clients: u32) -> Vec<HeadShare> {
        let shares = (0..1000).map(|head| share(budget, head % clients));
        shares.filter_map(|mut share| share.resize(HEAD).then_some(share)).collect()
    }

    #[test]
    fn all_heads_together_and_those_of_one_client_have_a_most() {
        let budget = Arc::new(HeadBudget::default());
        assert_eq!(room(&budget, 1).len(), PER_CLIENT / (HEAD - FREE));
        assert_eq!(room(&budget, 7).len(), TOTAL / (HEAD - FREE));
    }

    #[test]
    fn where_there_is_no_room_short_heads_still_have_theirs() {
        let budget = Arc::new(HeadBudget::default());
        let _heads = room(&budget, 2);
        let mut other = share(&budget, 1);
        assert!(!other.resize(HEAD));
        assert!(other.resize(FREE));
    }

    #[test]
    fn what_a_head_took_is_given_back() {
        let budget = Arc::new(HeadBudget::default());
        let mut head = share(&budget, 1);
        assert!(head.resize(HEAD) && head.resize(HEAD / 2));
        assert_eq!(budget.taken().all, HEAD / 2 - FREE);
        drop((head, room(&budget, 2)));
        assert_eq!(budget.taken().all, 0);
        assert!(budget.taken().by_client.is_empty());
    }
}
