//! The runtime: one loop in the thread that starts it, or several threads that share the work.

use std::io;
use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};

/// Threads for what would block the loop: reading certificates, resolving the engine's name. Each takes
/// memory, and no more of either is worth doing at one time.
const MAX_BLOCKING_THREADS: usize = 16;

/// Starts a runtime with so many threads.
///
/// # Errors
/// If the system has no descriptors or threads left.
pub fn start(threads: NonZeroUsize) -> io::Result<Runtime> {
    let mut builder = match threads.get() {
        1 => Builder::new_current_thread(),
        several => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(several);
            builder
        }
    };
    builder.enable_all().max_blocking_threads(MAX_BLOCKING_THREADS).thread_name("worker").build()
}
