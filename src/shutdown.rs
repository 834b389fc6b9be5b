//! The end of the program: told to everyone, waited for by the server.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// What a task holds that should end with the program: it hears of the end, and the end waits for it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    begun: watch::Receiver<bool>,
    /// Never used to send: the channel closes when the last one is dropped.
    _alive: mpsc::Sender<()>,
}

/// What the server holds: it begins the end and waits until everyone is done.
#[derive(Debug)]
pub struct Conductor {
    begun: watch::Sender<bool>,
    everyone: mpsc::Receiver<()>,
}

/// How the end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Everyone was done in time.
    Clean,
    /// Time ran out.
    Forced,
}

/// A conductor and the first handle.
pub fn shutdown() -> (Conductor, Shutdown) {
    let (begin, begun) = watch::channel(false);
    let (alive, everyone) = mpsc::channel(1);
    (Conductor { begun: begin, everyone }, Shutdown { begun, _alive: alive })
}

impl Shutdown {
    /// Waits until the end begins.
    pub async fn begun(&mut self) {
        // An error means that the conductor is gone, which is an end too.
        let _ = self.begun.wait_for(|begun| *begun).await;
    }

    /// Whether the end has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }
}

impl Conductor {
    /// Begins the end and waits for every [`Shutdown`] to be dropped, at most this long.
    pub async fn finish(mut self, limit: Duration) -> Finish {
        self.begun.send_replace(true);
        match tokio::time::timeout(limit, self.everyone.recv()).await {
            Ok(_) => Finish::Clean,
            Err(_) => Finish::Forced,
        }
    }
}
