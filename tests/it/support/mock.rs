//! An engine that misbehaves to order, for what the real one cannot be made to do.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Small responses: one for tests that compare bodies, one that is a line, for programs that print it.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub const OK_LINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
/// A response that a view can be applied to.
pub const OK_JSON: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
/// The head of a response whose chunks follow.
pub const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A response with this body.
pub fn ok_with(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Begins a stream and keeps it quiet until the other side closes.
pub fn quiet_stream(mut connection: MockConnection) {
    if connection.read_head().is_some() {
        connection.send(CHUNKED);
        connection.wait_until_closed();
    }
}

/// Begins a stream and never ends it, nor pauses, until the other side closes.
pub fn endless_stream(mut connection: MockConnection) {
    connection.stream.set_write_timeout(None).unwrap();
    if connection.read_head().is_some() {
        connection.send(CHUNKED);
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        while connection.stream.write_all(chunk.as_bytes()).is_ok() {}
    }
}

/// Listens on a socket and hands every connection to a function, each in a thread of its own.
pub struct Mock {
    socket: PathBuf,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

/// A connection to the mock.
pub struct MockConnection {
    pub stream: UnixStream,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Mock {
    pub fn new(behave: impl Fn(MockConnection) + Send + Sync + 'static) -> Self {
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
                connections.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (connection, behave, open) =
                    (MockConnection { stream, heads: heads.clone() }, behave.clone(), open.clone());
                std::thread::spawn(move || {
                    behave(connection);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        mock
    }

    /// A mock that gives the same bytes to every request, on connections that stay open.
    pub fn answering(answer: &'static str) -> Self {
        Self::new(move |mut connection| {
            while connection.read_head().is_some() {
                if connection.stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    /// A mock that gives the same bytes to one request, and closes the connection.
    pub fn answering_once(answer: &'static str) -> Self {
        Self::new(move |mut connection| {
            connection.read_head();
            connection.send(answer);
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

impl MockConnection {
    /// The next request's head; none when the other side has closed.
    pub fn read_head(&mut self) -> Option<String> {
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

    pub fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Waits until the other side has closed.
    pub fn wait_until_closed(&mut self) {
        let mut rest = [0; 1024];
        while matches!(self.stream.read(&mut rest), Ok(read) if read > 0) {}
    }
}

/// An engine that answers every head and keeps every byte that it got.
pub struct Recorder {
    mock: Mock,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// One that answers with a short text.
    pub fn new() -> Self {
        Self::answering(OK_LINE)
    }

    /// One that gives this answer to every head.
    pub fn answering(answer: &'static str) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = received.clone();
        let mock = Mock::new(move |mut connection| {
            let mut chunk = [0; 4096];
            let mut own = Vec::new();
            while let Ok(read @ 1..) = connection.stream.read(&mut chunk) {
                all.lock().unwrap().extend_from_slice(&chunk[..read]);
                own.extend_from_slice(&chunk[..read]);
                if own.ends_with(b"\r\n\r\n") {
                    own.clear();
                    connection.send(answer);
                }
            }
        });
        Self { mock, received }
    }

    pub fn socket(&self) -> &Path {
        self.mock.socket()
    }

    pub fn mock(&self) -> &Mock {
        &self.mock
    }

    /// All that ever came.
    pub fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }

    /// The targets of the requests that came; fails if anything came that is no `GET` without a body.
    pub fn targets(&self) -> Vec<String> {
        let received = self.received();
        let heads = received.split_terminator("\r\n\r\n").map(|head| {
            let line = head.split("\r\n").next().unwrap();
            let target = line.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
            target.unwrap_or_else(|| panic!("the engine got {head:?}")).to_owned()
        });
        assert!(received.is_empty() || received.ends_with("\r\n\r\n"), "the engine got {received:?}");
        heads.collect()
    }
}
