//! A client that sends the given bytes as they are, and a parser for what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::TIMEOUT;

/// Heads that many tests send.
pub const GET_INFO: &[u8] = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n";
pub const GET_INFO_AND_CLOSE: &[u8] = b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
pub const GET_EVENTS: &[u8] = b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n";

/// A response, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
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

impl Response {
    pub fn status(&self) -> u16 {
        self.status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect(&self.status_line)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The message of an error in the engine's own form.
    pub fn message(&self) -> String {
        assert_eq!(self.header("Content-Type"), Some("application/json"), "{self:?}");
        self.json()["message"].as_str().unwrap_or_else(|| panic!("no message: {}", self.text())).to_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// A connection to a Unix socket.
pub fn connect(socket: &Path) -> UnixStream {
    let stream =
        UnixStream::connect(socket).unwrap_or_else(|e| panic!("cannot connect to {}: {e}", socket.display()));
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// A connection to a port of loopback.
pub fn connect_tcp(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// The head of a `GET`, whose connection may go on after it.
pub fn get_head(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Sends bytes and reads until the other side closes.
pub fn raw(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    // The answer may come, and the connection end, before all is sent.
    let _ = stream.write_all(bytes);
    read_to_close(&mut stream)
}

/// Sends bytes, closes the sending side as `nc -N` does, and reads until the other side closes.
pub fn raw_half_closed(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = connect(socket);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read_to_close(&mut stream)
}

/// Whatever comes until the other side closes.
pub fn read_to_close(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "after {} bytes: {error}", all.len());
    }
    all
}

/// One request with a connection of its own.
pub fn request(socket: &Path, method: &str, target: &str) -> Response {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n");
    parse(&raw(socket, request.as_bytes()))
}

/// A `GET` with a connection of its own.
pub fn get(socket: &Path, target: &str) -> Response {
    request(socket, "GET", target)
}

/// A `POST` of a JSON body with a connection of its own: how a test makes things at an engine.
pub fn post(socket: &Path, target: &str, body: &serde_json::Value) -> Response {
    let body = body.to_string();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    parse(&raw(socket, (head + &body).as_bytes()))
}

/// Reads from a stream until what came satisfies `enough`, and gives it.
pub fn read_until(stream: &mut impl Read, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
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

/// Sends requests over one connection, which is read at the same time; the statuses of the answers.
pub fn pipelined(socket: &Path, requests: &str) -> Vec<u16> {
    let mut stream = connect(socket);
    let mut answers = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        answers.read_to_end(&mut all).map(|_| statuses(&all))
    });
    stream.write_all(requests.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    reader.join().unwrap().unwrap()
}

/// Whether the bytes contain this text.
pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether the bytes end with the end of a head.
pub fn ends_with_head(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n")
}

/// Whether the bytes are a response with as much of a body as its length says.
pub fn is_whole(bytes: &[u8]) -> bool {
    contains(bytes, "\r\n\r\n") && parse(bytes).end == End::Complete
}

/// The statuses of responses that came one after another.
pub fn statuses(responses: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(responses);
    text.split("HTTP/1.").skip(1).filter_map(|response| response.get(2..5)?.parse().ok()).collect()
}

/// Takes a whole response apart.
pub fn parse(bytes: &[u8]) -> Response {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").expect(line))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    let mut response =
        Response { status_line, headers, body: bytes[end + 4..].to_vec(), end: End::WithConnection };
    if response.header("transfer-encoding") == Some("chunked") {
        (response.body, response.end) = join_chunks(&response.body);
    } else if let Some(length) = response.header("content-length") {
        let complete = response.body.len() == length.parse::<usize>().unwrap();
        response.end = if complete { End::Complete } else { End::CutShort };
    }
    response
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
