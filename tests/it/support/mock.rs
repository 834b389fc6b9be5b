//! An engine that misbehaves to order, for what the real one cannot be made to do.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::PATIENCE;

/// Listens on a socket and hands every connection to a function, each in a thread of its own.
pub struct Mock {
    socket: PathBuf,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

/// A connection to the mock.
pub struct Visit {
    pub stream: UnixStream,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Mock {
    pub fn new(behave: impl Fn(Visit) + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let mock = Self {
            socket,
            heads: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            _directory: directory,
        };
        let (heads, connections, open) = (mock.heads.clone(), mock.connections.clone(), mock.open.clone());
        let behave = Arc::new(behave);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (visit, behave, open) =
                    (Visit { stream, heads: heads.clone() }, behave.clone(), open.clone());
                std::thread::spawn(move || {
                    behave(visit);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        mock
    }

    /// A mock that gives the same bytes to every request, on connections that stay open.
    pub fn answering(answer: &'static str) -> Self {
        Self::new(move |mut visit| {
            while visit.head().is_some() {
                if visit.stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The heads of the requests that came, whole.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many connections are being served.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Visit {
    /// The next request's head; none when the other side has closed.
    pub fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub fn say(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Waits until the other side has closed.
    pub fn until_closed(&mut self) {
        let mut rest = [0; 1024];
        while matches!(self.stream.read(&mut rest), Ok(read) if read > 0) {}
    }
}
