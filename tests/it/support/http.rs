//! A client that sends just the bytes it is told to and takes apart what comes back.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::PATIENCE;

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status line.
    pub status_line: String,
    /// The header lines, in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// The body, with its chunks joined.
    pub body: Vec<u8>,
    /// How the body ended.
    pub end: End,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After its length, or with its last chunk.
    Complete,
    /// With the connection, and nothing said how long it would be.
    WithConnection,
    /// With the connection, before its length or its last chunk.
    CutShort,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect(&self.status_line)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// A connection to a Unix socket.
pub fn connect(socket: &Path) -> UnixStream {
    let stream =
        UnixStream::connect(socket).unwrap_or_else(|e| panic!("cannot connect to {}: {e}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes and reads until the other side closes.
pub fn raw(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    // The answer may come, and the connection end, before all is sent.
    let _ = stream.write_all(bytes);
    read_all(&mut stream)
}

/// Sends bytes, closes the sending side as `nc -N` does, and reads until the other side closes.
pub fn raw_half_closed(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream)
}

/// One request with a connection of its own.
pub fn ask(socket: &Path, method: &str, target: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    parse(&raw(socket, request.as_bytes()))
}

/// A `GET` with a connection of its own.
pub fn get(socket: &Path, target: &str) -> Answer {
    ask(socket, "GET", target)
}

fn read_all(stream: &mut UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("after {} bytes: {error}", all.len()),
    }
    all
}

/// Reads from a stream until what came satisfies `enough`, and gives it.
pub fn read_until(stream: &mut UnixStream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    while !enough(&all) {
        let read = stream
            .read(&mut chunk)
            .unwrap_or_else(|e| panic!("after {:?}: {e}", String::from_utf8_lossy(&all)));
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&chunk[..read]);
    }
    all
}

/// Whether the bytes contain this text.
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Takes a whole answer apart.
pub fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect(line))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let mut answer =
        Answer { status_line, headers, body: bytes[end + 4..].to_vec(), end: End::WithConnection };
    if answer.header("transfer-encoding") == Some("chunked") {
        (answer.body, answer.end) = join_chunks(&answer.body);
    } else if let Some(length) = answer.header("content-length") {
        let complete = answer.body.len() == length.parse::<usize>().unwrap();
        answer.end = if complete { End::Complete } else { End::CutShort };
    }
    answer
}

fn join_chunks(mut rest: &[u8]) -> (Vec<u8>, End) {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, End::CutShort);
        };
        let size = std::str::from_utf8(&rest[..line_end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[line_end + 2..];
        if size == 0 {
            return (body, End::Complete);
        }
        if rest.len() < size + 2 {
            body.extend_from_slice(&rest[..rest.len().min(size)]);
            return (body, End::CutShort);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}
