//! Whether a client takes its answer at a pace that may go on.
//!
//! While an answer is given the engine holds what it needs for it: a lock, a file, a process. So a client
//! must take what waits for it. A stream that is quiet has nothing waiting, and lives on.

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::net::{WriteProgress, WriteSize};
use crate::proxy::state::Phase;

/// How fast a client has to take an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// How long it may take nothing while bytes wait for it; `None` is for ever.
    pub stall_timeout: Option<Duration>,
    /// What it must take on average of an answer of which bytes have waited for it for more than a minute,
    /// in bytes a second; 0 is nothing.
    pub min_rate: u64,
}

/// Why a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TooSlow {
    /// It takes nothing.
    #[error("the client took nothing for {} (stall-timeout)", humantime::format_duration(*.0))]
    Stalled(Duration),
    /// It takes too little.
    #[error("the client took less than {0} bytes a second (min-rate)")]
    BelowMinRate(u64),
}

/// Watches the pace of a connection, by looks at it from time to time.
#[derive(Debug)]
pub struct Pace {
    limits: PaceLimits,
    last: Look,
    /// Where the time began in which it is counted what the client takes, of any answers.
    stretch: Look,
    /// Whether it took much in the last such time.
    is_fast: bool,
    /// Since when bytes wait and none was taken.
    stalled_since: Option<Instant>,
    answer: AnswerPace,
}

/// What a look at a connection shows.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// When.
    pub at: Instant,
    /// How far its bytes have come.
    pub progress: WriteProgress,
    /// What it is doing.
    pub phase: Phase,
    /// How many answers have begun on it.
    pub answers: u64,
}

/// The pace of one answer.
#[derive(Debug, Clone, Copy)]
struct AnswerPace {
    number: u64,
    sent_before: u64,
    /// How long bytes of it waited for the client.
    waited: Duration,
}

impl Pace {
    /// How long an answer may keep bytes waiting before its rate counts.
    const RATE_GRACE: Duration = Duration::from_secs(60);

    /// The pace from this look on.
    pub fn new(limits: PaceLimits, first: Look) -> Self {
        let answer =
            AnswerPace { number: first.answers, sent_before: first.progress.sent, waited: Duration::ZERO };
        Self { limits, last: first, stretch: first, is_fast: false, stalled_since: None, answer }
    }

    /// How often to look, so that a client is cut off when it is time, give or take a quarter.
    pub fn look_interval(&self) -> Duration {
        self.limits.stall_timeout.map_or(Duration::MAX, |timeout| timeout / 4)
    }

    /// How much to write at once.
    pub fn write_size(&self) -> WriteSize {
        if self.is_fast { WriteSize::Large } else { WriteSize::Small }
    }

    /// Takes in what another look shows.
    ///
    /// # Errors
    /// [`TooSlow`] if the client is to be cut off.
    pub fn observe(&mut self, look: Look) -> Result<(), TooSlow> {
        self.observe_stall(&look)?;
        self.observe_rate(&look)?;
        self.observe_speed(&look);
        self.last = look;
        Ok(())
    }

    /// However often it is looked: between two looks at a client that asks for one short answer after the other
    /// there is only little.
    fn observe_speed(&mut self, look: &Look) {
        /// What a client takes in a stretch who reads fast; several times of what the kernel holds for one that
        /// does not read.
        const MUCH: u64 = 1024 * 1024;
        const STRETCH: Duration = Duration::from_millis(500);
        let took_much = look.progress.sent - self.stretch.progress.sent >= MUCH;
        if took_much || look.at - self.stretch.at >= STRETCH {
            self.is_fast = took_much;
            self.stretch = *look;
        }
    }

    fn observe_stall(&mut self, look: &Look) -> Result<(), TooSlow> {
        if !look.progress.waiting {
            self.stalled_since = None;
            return Ok(());
        }
        let moved = look.progress.sent != self.last.progress.sent;
        let since = *self.stalled_since.get_or_insert(look.at);
        if moved {
            self.stalled_since = Some(look.at);
            return Ok(());
        }
        match self.limits.stall_timeout {
            Some(timeout) if look.at - since >= timeout => Err(TooSlow::Stalled(timeout)),
            _ => Ok(()),
        }
    }

    fn observe_rate(&mut self, look: &Look) -> Result<(), TooSlow> {
        if look.answers != self.answer.number {
            let sent_before = self.last.progress.sent;
            self.answer = AnswerPace { number: look.answers, sent_before, waited: Duration::ZERO };
        }
        if look.progress.waiting {
            self.answer.waited += look.at - self.last.at;
        }
        let waited = self.answer.waited;
        let due = self.limits.min_rate as f64 * waited.as_secs_f64();
        let sent = look.progress.sent - self.answer.sent_before;
        if waited > Self::RATE_GRACE && (sent as f64) < due {
            return Err(TooSlow::BelowMinRate(self.limits.min_rate));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const LIMITS: PaceLimits = PaceLimits { stall_timeout: Some(TIMEOUT), min_rate: 1024 };

    /// Looks at a connection once a second, and says after how many seconds it is cut off.
    fn cut_after(
        limits: PaceLimits,
        phase: Phase,
        seconds: u64,
        progress: impl Fn(u64) -> WriteProgress,
    ) -> Option<(u64, TooSlow)> {
        let start = Instant::now();
        let look = |second| Look {
            at: start + Duration::from_secs(second),
            progress: progress(second),
            phase,
            answers: 1,
        };
        let mut pace = Pace::new(limits, look(0));
        (1..=seconds).find_map(|second| Some((second, pace.observe(look(second)).err()?)))
    }

    fn waiting(sent: u64) -> WriteProgress {
        WriteProgress { sent, waiting: true }
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_off_when_the_time_is_over() {
        for phase in [Phase::Idle, Phase::Responding, Phase::Streaming] {
            let cut = cut_after(LIMITS, phase, 100, |_| waiting(7));
            assert_eq!(cut, Some((31, TooSlow::Stalled(TIMEOUT))), "{phase:?}");
        }
        let patient = PaceLimits { stall_timeout: None, min_rate: 0 };
        assert_eq!(cut_after(patient, Phase::Streaming, 100_000, |_| waiting(7)), None);
    }

    #[test]
    fn a_client_that_has_nothing_waiting_may_be_quiet_for_hours() {
        for phase in [Phase::Idle, Phase::Responding, Phase::Streaming] {
            let quiet = |_| WriteProgress { sent: 7, waiting: false };
            assert_eq!(cut_after(LIMITS, phase, 100_000, quiet), None);
        }
    }

    #[test]
    fn a_byte_now_and_then_keeps_no_answer_alive() {
        for phase in [Phase::Responding, Phase::Streaming] {
            let cut = cut_after(LIMITS, phase, 10_000, |second| waiting(second / 29));
            assert_eq!(cut, Some((61, TooSlow::BelowMinRate(1024))), "{phase:?}");
        }
        let no_rate = PaceLimits { min_rate: 0, ..LIMITS };
        assert_eq!(cut_after(no_rate, Phase::Streaming, 10_000, |second| waiting(second / 29)), None);
    }

    #[test]
    fn an_answer_has_to_be_taken_at_the_least_rate_after_a_minute() {
        let cut = cut_after(LIMITS, Phase::Responding, 1000, |second| waiting(second * 1000));
        assert_eq!(cut, Some((61, TooSlow::BelowMinRate(1024))));
        assert_eq!(cut_after(LIMITS, Phase::Responding, 10_000, |second| waiting(second * 1024)), None);
        let no_rate = PaceLimits { min_rate: 0, ..LIMITS };
        assert_eq!(cut_after(no_rate, Phase::Responding, 10_000, waiting), None);
    }

    #[test]
    fn time_in_which_the_engine_is_awaited_does_not_count_against_the_client() {
        let slow_engine = |second| WriteProgress { sent: second, waiting: false };
        assert_eq!(cut_after(LIMITS, Phase::Responding, 10_000, slow_engine), None);
    }

    #[test]
    fn little_is_written_at_once_to_whoever_reads_slowly() {
        let start = Instant::now();
        let look = |second, sent| Look {
            at: start + Duration::from_secs(second),
            progress: waiting(sent),
            phase: Phase::Responding,
            answers: 1,
        };
        let mut pace = Pace::new(LIMITS, look(0, 0));
        assert_eq!(pace.write_size(), WriteSize::Small);
        for (second, sent, size) in [
            (1, 1 << 20, WriteSize::Large),
            (2, 3 << 20, WriteSize::Large),
            (3, (3 << 20) + 4096, WriteSize::Small),
        ] {
            pace.observe(look(second, sent)).unwrap();
            assert_eq!(pace.write_size(), size);
        }
    }

    #[test]
    fn much_is_written_at_once_to_whoever_reads_fast_also_if_it_is_looked_often() {
        let start = Instant::now();
        let write_size_of_one_that_takes_each_time = |bytes: u64| {
            let look = |number: u32| Look {
                at: start + number * Duration::from_millis(4),
                progress: WriteProgress { sent: u64::from(number) * bytes, waiting: false },
                phase: Phase::Idle,
                answers: number.into(),
            };
            let mut pace = Pace::new(LIMITS, look(0));
            (1..=200).for_each(|number| pace.observe(look(number)).unwrap());
            pace.write_size()
        };
        assert_eq!(write_size_of_one_that_takes_each_time(50_000), WriteSize::Large);
        assert_eq!(write_size_of_one_that_takes_each_time(2_000), WriteSize::Small);
    }

    #[test]
    fn each_answer_has_a_minute_of_its_own() {
        let start = Instant::now();
        let look = |second| Look {
            at: start + Duration::from_secs(second),
            progress: waiting(second),
            phase: Phase::Responding,
            answers: second / 50,
        };
        let mut pace = Pace::new(LIMITS, look(0));
        assert!((1..1000).all(|second| pace.observe(look(second)).is_ok()));
    }
}
