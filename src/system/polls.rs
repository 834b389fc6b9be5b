//! Polls of tasks, counted by thread: so a thread that never comes back from one can be told, also while
//! others go on.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// A task whose polls are counted.
pub(super) struct Counted(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Counted {
    pub(super) fn new(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(task))
    }
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _poll = Polling::begin();
        self.0.as_mut().poll(cx)
    }
}

/// For as long as a poll takes, also when it ends by a panic.
struct Polling;

impl Polling {
    fn begin() -> Self {
        COUNT.with(|count| count.0.fetch_add(1, Ordering::Relaxed));
        Self
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        COUNT.with(|count| count.0.fetch_add(1, Ordering::Relaxed));
    }
}

/// Counts the beginnings and ends of polls: it is odd within one.
struct Count(Arc<AtomicU64>);

thread_local! {
    static COUNT: Count = Count::register();
}

static ALL: Mutex<Vec<Arc<AtomicU64>>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<Arc<AtomicU64>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Count {
    fn register() -> Self {
        let count = Arc::default();
        all().push(Arc::clone(&count));
        Self(count)
    }
}

impl Drop for Count {
    /// The thread ends.
    fn drop(&mut self) {
        all().retain(|count| !Arc::ptr_eq(count, &self.0));
    }
}

/// The count of every thread that ever polled such a task and still runs.
pub(super) fn of_all_threads() -> Vec<u64> {
    all().iter().map(|count| count.load(Ordering::Relaxed)).collect()
}

/// Whether a thread with this count is within a poll.
pub(super) fn is_polling(count: u64) -> bool {
    count % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_odd_within_a_poll_and_even_after_it_also_if_that_panics() {
        let own = || COUNT.with(|count| count.0.load(Ordering::Relaxed));
        let (tell, told) = std::sync::mpsc::channel();
        let mut task = Counted::new(async move {
            tell.send(own()).expect("the test listens");
            panic!("as a bug would");
        });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let polled =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Pin::new(&mut task).poll(&mut cx)));
        assert!(polled.is_err());
        assert!(is_polling(told.recv().unwrap()));
        assert!(!is_polling(own()));
    }
}
