//! A client that means harm, and what its tests look at.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::http;
use super::mock::Mock;
use super::status;
use docker_proxy_acl::acl::names;

/// An engine that answers every head and keeps every byte that it got.
pub struct Recorder {
    mock: Mock,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// One that answers with a short text.
    pub fn new() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
    }

    /// One that gives this answer to every head.
    pub fn answering(answer: &'static str) -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = received.clone();
        let mock = Mock::new(move |mut visit| {
            let mut chunk = [0; 4096];
            let mut own = Vec::new();
            while let Ok(read @ 1..) = visit.stream.read(&mut chunk) {
                all.lock().unwrap().extend_from_slice(&chunk[..read]);
                own.extend_from_slice(&chunk[..read]);
                if own.ends_with(b"\r\n\r\n") {
                    own.clear();
                    visit.say(answer);
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

/// Every name, for proxies that allow all that can be allowed.
pub fn every_name() -> String {
    names::all().join(",")
}

/// Sends bytes, ends its sending side, and takes whatever comes; nothing that goes wrong surprises it.
pub fn talk(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = http::connect(socket);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    take_all(&mut stream)
}

/// Whatever comes until the other side closes.
pub fn take_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "after {} bytes", all.len());
    }
    all
}

/// The statuses of answers that came one after another.
pub fn statuses(answers: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answers);
    text.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
}

/// The memory of a process that is its own, in KiB.
pub fn memory(pid: u32) -> u64 {
    status(pid, "RssAnon").trim_end_matches(" kB").parse().unwrap()
}

/// A number from the environment, for tests that can be made longer.
pub fn figure(variable: &str, otherwise: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => otherwise,
    }
}
