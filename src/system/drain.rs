//! Draining: everything that runs hears of the end, and the end waits for everything.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::polls;

/// What runs until the program ends.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    token: CancellationToken,
    tasks: TaskTracker,
}

/// How draining went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every task was done in time.
    Drained,
    /// Time ran out.
    TimedOut,
}

impl Drain {
    /// Starts a task that draining waits for; it has to watch [`Drain::signaled`].
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Its handle is not needed: draining waits for all of them at once.
        drop(self.tasks.spawn(polls::Counted::new(task)));
    }

    /// Waits until draining begins.
    pub async fn signaled(&self) {
        self.token.cancelled().await;
    }

    /// Whether draining has begun.
    pub fn is_signaled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Begins to drain and waits for every task, at most this long.
    pub async fn drain(&self, limit: Duration) -> Drained {
        self.token.cancel();
        self.tasks.close();
        match tokio::time::timeout(limit, self.tasks.wait()).await {
            Ok(()) => Drained::Drained,
            Err(_) => Drained::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_waits_for_tasks_that_hear_of_it() {
        let drain = Drain::default();
        let watching = drain.clone();
        drain.spawn(async move { watching.signaled().await });
        assert!(!drain.is_signaled());
        assert_eq!(drain.drain(Duration::from_secs(30)).await, Drained::Drained);
        assert!(drain.is_signaled());
    }

    #[tokio::test]
    async fn draining_ends_without_a_task_that_does_not() {
        let drain = Drain::default();
        drain.spawn(std::future::pending());
        assert_eq!(drain.drain(Duration::from_millis(1)).await, Drained::TimedOut);
    }
}
