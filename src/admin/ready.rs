//! Whether the program is ready: its listeners are bound, it is not about to stop, and the engine answers.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Asks the engine whether it answers; if not, why.
pub type EngineCheck =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// How long an answer of the engine counts, so that it is not asked more often than this.
const FRESH: Duration = Duration::from_secs(1);

/// Whether the program is ready.
pub struct Readiness {
    check: EngineCheck,
    stopping: AtomicBool,
    /// What the engine said last, and when. It is locked while the engine is being asked, so that all who want to
    /// know meanwhile wait for that one answer.
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Readiness {
    /// Ready as long as `check` finds that the engine answers.
    pub fn new(check: EngineCheck) -> Self {
        Self { check, stopping: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// From now on it is not ready.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// The reason why it is not ready.
    pub(super) async fn check(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("the program is stopping".to_owned());
        }
        let mut last = self.last.lock().await;
        if let Some((at, found)) = &*last
            && at.elapsed() < FRESH
        {
            return found.clone();
        }
        let found = (self.check)().await.map_err(|why| format!("the engine does not answer: {why}"));
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("stopping", &self.stopping).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn readiness(answer: Result<(), String>) -> (Arc<Readiness>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let check: EngineCheck = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = answer.clone();
            Box::pin(async move { answer })
        });
        (Arc::new(Readiness::new(check)), asked)
    }

    #[tokio::test]
    async fn the_engine_is_asked_once_for_all_who_want_to_know() {
        let (readiness, asked) = readiness(Err("no".to_owned()));
        for _ in 0..100 {
            assert_eq!(readiness.check().await, Err("the engine does not answer: no".to_owned()));
        }
        assert!(asked.load(Ordering::Relaxed) < 100);
    }

    #[tokio::test]
    async fn a_program_that_stops_is_not_ready_whatever_the_engine_says() {
        let (readiness, _) = readiness(Ok(()));
        assert_eq!(readiness.check().await, Ok(()));
        readiness.stop();
        assert_eq!(readiness.check().await, Err("the program is stopping".to_owned()));
    }
}
