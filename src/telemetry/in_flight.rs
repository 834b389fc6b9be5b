//! What the engine is being asked for at this moment: what is told when the event loop is late.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A request whose answer has not ended; dropping it ends that.
#[derive(Debug)]
pub(super) struct InFlight(&'static str);

/// How many requests there are of each endpoint, and which began last.
#[derive(Debug, Clone, Default)]
pub struct InFlightRequests {
    counts: BTreeMap<&'static str, usize>,
    last: Option<&'static str>,
}

/// Those of the whole process.
static IN_FLIGHT: Mutex<InFlightRequests> =
    Mutex::new(InFlightRequests { counts: BTreeMap::new(), last: None });

fn in_flight() -> MutexGuard<'static, InFlightRequests> {
    IN_FLIGHT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InFlight {
    pub(super) fn begin(endpoint: &'static str) -> Self {
        in_flight().begin(endpoint);
        Self(endpoint)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        in_flight().end(self.0);
    }
}

impl InFlightRequests {
    /// Those at this moment.
    pub fn now() -> Self {
        in_flight().clone()
    }

    fn begin(&mut self, endpoint: &'static str) {
        *self.counts.entry(endpoint).or_default() += 1;
        self.last = Some(endpoint);
    }

    fn end(&mut self, endpoint: &'static str) {
        if let Some(count) = self.counts.get_mut(endpoint) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(endpoint);
            }
        }
    }
}

impl fmt::Display for InFlightRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 8;
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (endpoint, count) in counts.iter().take(MOST) {
            write!(f, "{endpoint}={count} ")?;
        }
        if counts.len() > MOST {
            write!(f, "and others, ")?;
        }
        write!(f, "last={}", self.last.unwrap_or("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_endpoint_while_they_last() {
        let mut requests = InFlightRequests::default();
        assert_eq!(requests.to_string(), "last=none");
        ["info", "events", "events", "version"].into_iter().for_each(|endpoint| requests.begin(endpoint));
        requests.end("info");
        assert_eq!(requests.to_string(), "events=2 version=1 last=version");
    }
}
