//! The watchdog: a thread that ends the process when its event loop is stuck, and tells systemd as long as
//! it is not.
//!
//! It counts how often it looked and saw nothing happen, never the time on a clock: while the process is
//! stopped or the machine suspended it does not look either, so neither counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::polls;
use super::systemd::Notifier;

/// The event loop's sign of life.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeat {
    /// How often the loop is to give it.
    pub const INTERVAL: Duration = Duration::from_millis(500);

    /// Gives it; to be called from a task of the loop's.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A watchdog that runs until this is dropped.
#[derive(Debug)]
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    /// Starts to watch. When nothing has happened for `limit`, calls `end`, which is to end the process;
    /// without a limit systemd alone decides. With neither there is nothing to do, and no thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        limit: Option<Duration>,
        systemd: Option<Notifier>,
        heartbeat: Heartbeat,
        end: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let systemd = systemd.filter(|systemd| systemd.watchdog().is_some());
        let Some(tick) = tick(limit, systemd.as_ref().and_then(Notifier::watchdog)) else {
            return Ok(Self(stopped));
        };
        let ticks = limit.map(|limit| limit.as_millis().div_ceil(tick.as_millis()) as u32);
        let watch = Watch { ticks, ..Watch::default() };
        let until = Arc::clone(&stopped);
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            if watch.run(tick, &heartbeat, systemd.as_ref(), &until) == Observed::Stuck {
                end();
            }
        })?;
        Ok(Self(stopped))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often to look.
fn tick(limit: Option<Duration>, systemd: Option<Duration>) -> Option<Duration> {
    const RARELY: Duration = Duration::from_secs(1);
    let often = [limit.map(|limit| limit / 8), systemd.map(|interval| interval / 4)];
    let most = often.into_iter().flatten().min()?;
    Some(most.clamp(Duration::from_millis(10), RARELY))
}

/// What was seen the last time, and for how many times in a row it was the same.
#[derive(Debug, Default)]
struct Watch {
    /// How often nothing may have happened.
    ticks: Option<u32>,
    heartbeat: Unchanged,
    /// By thread.
    polls: Vec<Unchanged>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unchanged {
    value: u64,
    times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observed {
    /// The loop runs.
    Alive,
    /// Since the last look nothing happened.
    Silent,
    /// Nothing has happened for as long as that may be.
    Stuck,
}

impl Watch {
    fn run(
        mut self,
        tick: Duration,
        heartbeat: &Heartbeat,
        systemd: Option<&Notifier>,
        until: &AtomicBool,
    ) -> Observed {
        loop {
            thread::sleep(tick);
            let observed = self.look(heartbeat.0.load(Ordering::Relaxed), &polls::of_all_threads());
            match (observed, systemd) {
                (Observed::Alive, Some(systemd)) => systemd.alive(),
                (Observed::Stuck, _) => return observed,
                _ => {}
            }
            if until.load(Ordering::Relaxed) {
                return Observed::Alive;
            }
        }
    }

    /// The loop gives signs of life, and no thread of it is in the poll that it was in: with several
    /// threads one may be stuck while another gives the signs.
    fn look(&mut self, heartbeat: u64, polls: &[u64]) -> Observed {
        let mut most = self.heartbeat.look(heartbeat);
        self.polls.resize(polls.len(), Unchanged::default());
        for (of_thread, count) in self.polls.iter_mut().zip(polls) {
            let times = of_thread.look(*count);
            if polls::is_polling(*count) {
                most = most.max(times);
            }
        }
        match self.ticks {
            Some(limit) if most >= limit => Observed::Stuck,
            _ if most > 0 => Observed::Silent,
            _ => Observed::Alive,
        }
    }
}

impl Unchanged {
    /// How often it has been the same.
    fn look(&mut self, value: u64) -> u32 {
        self.times = if value == self.value { self.times + 1 } else { 0 };
        self.value = value;
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(ticks: u32) -> Watch {
        Watch { ticks: Some(ticks), ..Watch::default() }
    }

    #[test]
    fn a_loop_without_a_sign_of_life_for_as_long_as_that_may_be_is_stuck() {
        let mut watch = watch(3);
        let seen = [1, 2, 2, 2, 3, 3, 3, 3].map(|heartbeat| watch.look(heartbeat, &[]));
        use Observed::{Alive, Silent, Stuck};
        assert_eq!(seen, [Alive, Alive, Silent, Silent, Alive, Silent, Silent, Stuck]);
    }

    #[test]
    fn a_thread_in_one_poll_is_stuck_though_another_gives_signs_of_life() {
        let mut watch = watch(3);
        let seen = [1, 2, 3, 4].map(|heartbeat| watch.look(heartbeat, &[9, 4 + heartbeat]));
        assert_eq!(seen, [Observed::Alive, Observed::Silent, Observed::Silent, Observed::Stuck]);
    }

    #[test]
    fn a_thread_that_has_nothing_to_do_is_not_stuck() {
        let mut watch = watch(3);
        let seen = [1, 2, 3, 4, 5].map(|heartbeat| watch.look(heartbeat, &[8]));
        assert_eq!(seen, [Observed::Alive; 5]);
    }

    #[test]
    fn without_a_limit_nothing_is_ever_stuck() {
        let mut watch = Watch::default();
        assert!((0..1000).all(|_| watch.look(1, &[1]) != Observed::Stuck));
    }

    #[test]
    fn it_looks_often_enough_for_both() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(tick(None, None), None);
        assert_eq!(tick(seconds(60), None), seconds(1));
        assert_eq!(tick(seconds(2), None), Some(Duration::from_millis(250)));
        assert_eq!(tick(seconds(60), seconds(2)), Some(Duration::from_millis(500)));
    }
}
