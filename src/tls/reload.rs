//! Rotation: what was made of files is made again when they change, without a restart.
//!
//! Files are compared by content, so that it does not matter how they are replaced: written over,
//! renamed, or behind a symbolic link that turns (as in a Kubernetes secret). Connections keep what
//! they were opened with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::material::MaterialError;

/// What was made of files, and is made again when they change.
pub struct Rotating<T> {
    paths: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, MaterialError> + Send + Sync>,
    now: Mutex<Now<T>>,
}

struct Now<T> {
    made: Arc<T>,
    /// The contents that were last looked at, also when nothing could be made of them: what is broken
    /// is reported once.
    seen: Contents,
}

/// A hash of the contents of files: it is compared within this process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contents(u64);

/// Why files are looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Time has passed.
    Tick,
    /// Someone sent SIGHUP and reads the log.
    Signal,
}

/// What can be made afresh from its files.
pub trait Refresh: Send + Sync {
    /// Looks at the files, takes up what is new, and logs what came of it.
    fn refresh(&self, occasion: Occasion);
}

impl<T> Rotating<T> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        paths: Vec<&Path>,
        make: impl Fn() -> Result<T, MaterialError> + Send + Sync + 'static,
    ) -> Result<Self, MaterialError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        // Before it is made: a change in between is seen at the next look.
        let seen = Contents::of(&paths);
        let now = Mutex::new(Now { made: Arc::new(make()?), seen });
        Ok(Self { paths, make: Box::new(make), now })
    }

    /// What was made last.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.lock().made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now<T>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn described(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl<T: Send + Sync> Refresh for Rotating<T> {
    fn refresh(&self, occasion: Occasion) {
        let contents = Contents::of(&self.paths);
        let mut now = self.lock();
        let changed = contents != now.seen;
        if !changed && occasion == Occasion::Tick {
            return;
        }
        now.seen = contents;
        match (self.make)() {
            Ok(made) => {
                now.made = Arc::new(made);
                let outcome = if changed { "new certificates taken up" } else { "certificates read again" };
                tracing::info!(files = self.described(), "{outcome}");
            }
            Err(error) => tracing::error!("{error}; the certificates from before stay in use"),
        }
    }
}

impl Contents {
    fn of(paths: &[PathBuf]) -> Self {
        let mut hasher = DefaultHasher::new();
        for path in paths {
            std::fs::read(path).map_err(|error| error.kind()).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// Keeps everything fresh from now on: on SIGHUP, and by itself within a minute. Needs tokio's runtime.
pub fn keep_fresh(everything: Vec<Arc<dyn Refresh>>) {
    if everything.is_empty() {
        return;
    }
    // Caught before anyone is told that the proxy listens: uncaught, it ends a process.
    match signal(SignalKind::hangup()) {
        Ok(hangup) => drop(tokio::spawn(look_now_and_then(everything, hangup))),
        Err(error) => tracing::error!("SIGHUP cannot be caught; certificates stay as they are: {error}"),
    }
}

async fn look_now_and_then(everything: Vec<Arc<dyn Refresh>>, mut hangup: Signal) {
    const OFTEN: Duration = Duration::from_secs(15);
    let mut ticks = tokio::time::interval_at(Instant::now() + OFTEN, OFTEN);
    loop {
        let occasion = tokio::select! {
            _ = hangup.recv() => Occasion::Signal,
            _ = ticks.tick() => Occasion::Tick,
        };
        everything.iter().for_each(|material| material.refresh(occasion));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotating(path: &Path) -> Rotating<String> {
        let file = path.to_owned();
        let make = move || match std::fs::read_to_string(&file).unwrap().as_str() {
            "broken" => Err(MaterialError::not_a_name(&file, "broken")),
            text => Ok(text.to_owned()),
        };
        Rotating::new(vec![path], make).unwrap()
    }

    #[test]
    fn what_is_new_is_taken_up_and_what_is_broken_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "old").unwrap();
        let rotating = rotating(&file);
        std::fs::write(&file, "new").unwrap();
        assert_eq!(*rotating.current(), "old");
        rotating.refresh(Occasion::Tick);
        assert_eq!(*rotating.current(), "new");
        std::fs::write(&file, "broken").unwrap();
        rotating.refresh(Occasion::Tick);
        rotating.refresh(Occasion::Signal);
        assert_eq!(*rotating.current(), "new");
        std::fs::write(&file, "newest").unwrap();
        rotating.refresh(Occasion::Tick);
        assert_eq!(*rotating.current(), "newest");
    }

    #[test]
    fn what_did_not_change_is_left_alone_until_somebody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "same").unwrap();
        let rotating = rotating(&file);
        let first = rotating.current();
        rotating.refresh(Occasion::Tick);
        assert!(Arc::ptr_eq(&first, &rotating.current()));
        rotating.refresh(Occasion::Signal);
        assert!(!Arc::ptr_eq(&first, &rotating.current()));
    }
}
