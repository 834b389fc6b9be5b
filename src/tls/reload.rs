//! Reloading: what was made of files is made again when they change, without a restart.
//!
//! Files are compared by content, so that it does not matter how they are replaced: written over,
//! renamed, or behind a symbolic link that turns (as in a Kubernetes secret). Connections keep what
//! they were opened with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::cert::{self, CertError};
use super::trigger::{Expiry, Reload, ReloadTrigger};

/// What was made of files, and is made again when they change.
pub struct Reloadable<T> {
    paths: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T, CertError> + Send + Sync>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    made: Arc<T>,
    /// The contents that were last looked at, also when nothing could be made of them: what is broken
    /// is reported once.
    seen: Fingerprint,
    expiries: Vec<Expiry>,
}

/// A hash of the contents of files: it is compared within this process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint(u64);

impl<T> Reloadable<T> {
    /// Makes it for the first time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        paths: Vec<&Path>,
        make: impl Fn() -> Result<T, CertError> + Send + Sync + 'static,
    ) -> Result<Self, CertError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        // Before it is made: a change in between is seen at the next look.
        let seen = Fingerprint::of(&paths);
        let made = Arc::new(make()?);
        let current = Mutex::new(Current { made, seen, expiries: cert::expiries(&paths) });
        Ok(Self { paths, make: Box::new(make), current })
    }

    /// What was made last.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.lock().made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current<T>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn described(&self) -> String {
        self.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl<T: Send + Sync> Reload for Reloadable<T> {
    fn reload(&self, trigger: ReloadTrigger) {
        let fingerprint = Fingerprint::of(&self.paths);
        let changed = fingerprint != self.lock().seen;
        if !changed && trigger == ReloadTrigger::Tick {
            return;
        }
        // Not while the lock is held: handshakes go on, however long files take.
        let made = (self.make)();
        let expiries = cert::expiries(&self.paths);
        let mut current = self.lock();
        current.seen = fingerprint;
        match made {
            Ok(made) => {
                current.made = Arc::new(made);
                current.expiries = expiries;
                tracing::info!(files = self.described(), changed, "certificates reloaded");
            }
            Err(error) => tracing::error!("{error}; the previous certificates stay in use"),
        }
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.lock().expiries.clone()
    }
}

impl Fingerprint {
    fn of(paths: &[PathBuf]) -> Self {
        let mut hasher = DefaultHasher::new();
        for path in paths {
            std::fs::read(path).map_err(|error| error.kind()).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reloadable(path: &Path) -> Reloadable<String> {
        let file = path.to_owned();
        let make = move || match std::fs::read_to_string(&file).unwrap().as_str() {
            "broken" => Err(CertError::NoKey(file.clone())),
            text => Ok(text.to_owned()),
        };
        Reloadable::new(vec![path], make).unwrap()
    }

    #[test]
    fn what_is_new_is_taken_up_and_what_is_broken_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "old").unwrap();
        let reloadable = reloadable(&file);
        std::fs::write(&file, "new").unwrap();
        assert_eq!(*reloadable.current(), "old");
        reloadable.reload(ReloadTrigger::Tick);
        assert_eq!(*reloadable.current(), "new");
        std::fs::write(&file, "broken").unwrap();
        reloadable.reload(ReloadTrigger::Tick);
        reloadable.reload(ReloadTrigger::Signal);
        assert_eq!(*reloadable.current(), "new");
        std::fs::write(&file, "newest").unwrap();
        reloadable.reload(ReloadTrigger::Tick);
        assert_eq!(*reloadable.current(), "newest");
    }

    #[test]
    fn while_files_are_read_what_was_made_before_can_be_had() {
        let (reading, is_reading) = std::sync::mpsc::channel();
        let (read, is_read) = std::sync::mpsc::channel();
        let (reading, is_read) = (Mutex::new(reading), Mutex::new(is_read));
        read.send(()).unwrap();
        let make = move || {
            reading.lock().unwrap().send(()).unwrap();
            is_read.lock().unwrap().recv().unwrap();
            Ok("made")
        };
        let reloadable = Arc::new(Reloadable::new(vec![], make).unwrap());
        is_reading.recv().unwrap();
        let reloads = Arc::clone(&reloadable);
        let reload = std::thread::spawn(move || reloads.reload(ReloadTrigger::Signal));
        is_reading.recv().unwrap();
        assert_eq!(*reloadable.current(), "made");
        read.send(()).unwrap();
        reload.join().unwrap();
    }

    #[test]
    fn what_did_not_change_is_left_alone_until_somebody_asks() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "same").unwrap();
        let reloadable = reloadable(&file);
        let first = reloadable.current();
        reloadable.reload(ReloadTrigger::Tick);
        assert!(Arc::ptr_eq(&first, &reloadable.current()));
        reloadable.reload(ReloadTrigger::Signal);
        assert!(!Arc::ptr_eq(&first, &reloadable.current()));
    }
}
