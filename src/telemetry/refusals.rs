//! How many lines of the access log one client gets: beyond them it gets one line with a count.
//!
//! Time is an argument here, and nothing is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::{Client, Outcome};
use crate::net::ClientKey;

/// Lines that one client gets in a [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);
/// Clients that are told apart at one time; those beyond share one count.
const MAX_CLIENTS: usize = 1024;

/// What was logged of each client lately, and what was only counted.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<Option<Source>, Window>);

/// A client at a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Source {
    client: ClientKey,
    listener: Arc<str>,
}

#[derive(Debug)]
struct Window {
    started_at: Instant,
    lines: u32,
    counted: Counts,
    /// The last of those that were only counted.
    client: Option<Client>,
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logged {
    /// It gets its line.
    InFull,
    /// It is part of a count, which [`Refusals::take_counted`] gives.
    Counted,
}

/// Entries that got no line, by their outcomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub denied: u64,
    pub rejected: u64,
    pub limited: u64,
    /// Allowed, and then the engine failed.
    pub failed: u64,
}

/// What is to be said of entries without a line: whose they are, `None` if of several clients.
#[derive(Debug)]
pub(super) struct Summary {
    pub client: Option<Client>,
    pub counts: Counts,
}

impl Refusals {
    /// Decides about an entry that is worth a warning.
    pub fn note(&mut self, client: &Client, outcome: Outcome, now: Instant) -> Logged {
        let key =
            Some(Source { client: client.peer.client_key(), listener: Arc::clone(client.listener.name()) });
        let key = if self.0.len() < MAX_CLIENTS || self.0.contains_key(&key) { key } else { None };
        let told_apart = key.is_some();
        let window = self.0.entry(key).or_insert_with(|| Window::new(now));
        if window.is_over(now) && window.counted.is_empty() {
            *window = Window::new(now);
        }
        if window.lines < LINES {
            window.lines += 1;
            return Logged::InFull;
        }
        window.counted.add(outcome);
        window.client = told_apart.then(|| client.clone());
        Logged::Counted
    }

    /// All that was only counted so far, and forgets clients that were quiet. To be called every second.
    pub fn take_counted(&mut self, now: Instant) -> Vec<Summary> {
        let counted = self.0.values_mut().filter(|window| !window.counted.is_empty());
        let summaries = counted
            .map(|window| Summary {
                client: window.client.take(),
                counts: std::mem::take(&mut window.counted),
            })
            .collect();
        self.0.retain(|_, window| !window.is_over(now));
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
        summaries
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { started_at: now, lines: 0, counted: Counts::default(), client: None }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started_at) >= WINDOW
    }
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Denied => &mut self.denied,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Limited => &mut self.limited,
            Outcome::Allowed => &mut self.failed,
        };
        *count += 1;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Peer;
    use crate::telemetry::listener::ListenerTelemetry;

    fn client(uid: u32, listener: &str) -> Client {
        let listener = ListenerTelemetry::new(listener.into(), None, None, None);
        Client { peer: Arc::new(Peer::process(uid, 1)), listener }
    }

    /// How many of so many entries get a line.
    fn lines(refusals: &mut Refusals, client: &Client, entries: usize, now: Instant) -> usize {
        let noted = (0..entries).map(|_| refusals.note(client, Outcome::Denied, now));
        noted.filter(|noted| *noted == Logged::InFull).count()
    }

    #[test]
    fn a_client_gets_twenty_lines_a_second_and_the_rest_is_one_count() {
        let (mut refusals, started_at) = (Refusals::default(), Instant::now());
        let alice = client(7, "/x");
        assert_eq!(lines(&mut refusals, &alice, 19, started_at), 19);
        assert!(refusals.take_counted(started_at).is_empty());
        assert_eq!(lines(&mut refusals, &alice, 1000, started_at), 1);
        assert_eq!(refusals.note(&alice, Outcome::Rejected, started_at), Logged::Counted);
        let summaries = refusals.take_counted(started_at);
        let [Summary { client: Some(client), counts }] = &summaries[..] else { panic!("{summaries:?}") };
        assert_eq!(client.peer.uid(), Some(7));
        assert_eq!(*counts, Counts { denied: 999, rejected: 1, ..Counts::default() });
        assert!(refusals.take_counted(started_at).is_empty());
        assert_eq!(lines(&mut refusals, &alice, 1000, started_at + WINDOW), 20);
    }

    #[test]
    fn clients_and_listeners_are_told_apart() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for client in [client(7, "/x"), client(8, "/x"), client(7, "/y")] {
            assert_eq!(lines(&mut refusals, &client, 50, now), 20);
        }
        assert_eq!(refusals.take_counted(now).len(), 3);
    }

    #[test]
    fn clients_without_number_share_one_count_and_take_no_room_once_they_are_quiet() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let written: usize = (0..10_000).map(|uid| lines(&mut refusals, &client(uid, "/x"), 1, now)).sum();
        assert_eq!(written, MAX_CLIENTS + LINES as usize);
        let summaries = refusals.take_counted(now);
        let [Summary { client: None, counts }] = &summaries[..] else { panic!("{summaries:?}") };
        assert_eq!(counts.denied as usize, 10_000 - written);
        assert_eq!(refusals.0.len(), MAX_CLIENTS + 1);
        refusals.take_counted(now + WINDOW);
        assert!(refusals.0.is_empty());
    }
}
