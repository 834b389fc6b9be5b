//! How many connections a listener takes, in all and from one user.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::peer::Peer;

/// The caps of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Connections at one time.
    pub connections: usize,
    /// Connections at one time from one user of a Unix socket.
    pub connections_per_uid: usize,
}

/// Counts the connections of a listener and turns away what is over its caps.
#[derive(Debug)]
pub struct Admission {
    caps: Caps,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_uid: HashMap<u32, usize>,
}

/// A place taken; dropping it gives it back.
#[derive(Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    uid: Option<u32>,
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The listener has as many connections as it takes.
    Listener(usize),
    /// The client's user has as many connections as one user gets.
    User(usize),
}

impl Admission {
    /// Nobody in yet.
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self { caps, counts: Mutex::default() })
    }

    /// Takes a place for a client.
    ///
    /// # Errors
    /// [`Full`] if there is none for it.
    pub fn admit(self: &Arc<Self>, peer: &Peer) -> Result<Ticket, Full> {
        let uid = peer.uid();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.caps.connections {
            return Err(Full::Listener(self.caps.connections));
        }
        if let Some(uid) = uid {
            let of_user = counts.by_uid.entry(uid).or_default();
            if *of_user >= self.caps.connections_per_uid {
                return Err(Full::User(self.caps.connections_per_uid));
            }
            *of_user += 1;
        }
        counts.all += 1;
        Ok(Ticket { admission: Arc::clone(self), uid })
    }

    fn leave(&self, uid: Option<u32>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(uid) = uid
            && let Some(of_user) = counts.by_uid.get_mut(&uid)
        {
            *of_user -= 1;
            if *of_user == 0 {
                counts.by_uid.remove(&uid);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.leave(self.uid);
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(cap) => write!(f, "all {cap} connections are taken (--max-connections)"),
            Self::User(cap) => {
                write!(f, "this user has all {cap} connections that one may have (--max-connections-per-uid)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(uid: u32) -> Peer {
        Peer::Process { uid, pid: 1 }
    }

    #[test]
    fn one_user_cannot_take_every_place() {
        let admission = Admission::new(Caps { connections: 3, connections_per_uid: 2 });
        let first = admission.admit(&process(7)).unwrap();
        let _second = admission.admit(&process(7)).unwrap();
        assert_eq!(admission.admit(&process(7)).unwrap_err(), Full::User(2));
        let _other = admission.admit(&process(8)).unwrap();
        assert_eq!(admission.admit(&process(9)).unwrap_err(), Full::Listener(3));
        drop(first);
        assert!(admission.admit(&process(7)).is_ok());
    }

    #[test]
    fn a_user_without_connections_leaves_no_trace() {
        let admission = Admission::new(Caps { connections: 3, connections_per_uid: 2 });
        for uid in 0..1000 {
            drop(admission.admit(&process(uid)));
        }
        assert!(admission.counts.lock().unwrap().by_uid.is_empty());
    }
}
