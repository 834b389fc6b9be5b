//! Asking over a Unix socket and reading the answer; the plainest client there is.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::Figures;

/// Requests one after the other, each on its own connection.
#[derive(clap::Args)]
pub struct Plan {
    /// The socket to ask
    socket: PathBuf,
    /// The path to ask for
    path: String,
    /// How many ask at the same time
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// For how long, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// A kept-alive connection.
pub struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects, to ask for `path` again and again.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(socket: &Path, path: &str) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, request: request(path), buffer: vec![0; 256 * 1024] })
    }

    /// Asks and reads the whole answer; gives the length of its body.
    ///
    /// # Errors
    /// If the connection breaks, or the answer is not a 200 with a length or in chunks.
    pub fn ask(&mut self) -> io::Result<u64> {
        self.stream.write_all(&self.request)?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled)?;
            if let Some(head) = head_len(&self.buffer[..filled]) {
                break head;
            }
        };
        if is_chunked(&self.buffer[..head]) {
            return self.read_chunks(head, filled);
        }
        let body = content_length(&self.buffer[..head])?;
        let mut left = (head as u64 + body).saturating_sub(filled as u64);
        while left > 0 {
            left = left.saturating_sub(self.read(0)? as u64);
        }
        Ok(body)
    }

    /// Reads chunks to the last one; they have to fit the buffer, and to be text that cannot end as they do.
    fn read_chunks(&mut self, head: usize, mut filled: usize) -> io::Result<u64> {
        while !self.buffer[head..filled].ends_with(b"\r\n0\r\n\r\n") {
            filled += self.read(filled)?;
        }
        Ok((filled - head) as u64)
    }

    fn read(&mut self, from: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[from..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// Asks once for something large.
pub fn download(socket: &Path, path: &str) -> Figures {
    let started_at = Instant::now();
    let bytes = Client::connect(socket, path)?.ask()?;
    Ok(json!({ "bytes": bytes, "seconds": started_at.elapsed().as_secs_f64() }))
}

/// Asks again and again, each time on a new connection.
pub fn fresh(plan: &Plan) -> Figures {
    let started_at = Instant::now();
    let end = started_at + Duration::from_secs_f64(plan.seconds);
    let clients = (0..plan.clients).map(|_| {
        let (socket, path) = (plan.socket.clone(), plan.path.clone());
        thread::spawn(move || -> io::Result<u64> {
            let mut asked = 0;
            while Instant::now() < end {
                Client::connect(&socket, &path)?.ask()?;
                asked += 1;
            }
            Ok(asked)
        })
    });
    let mut asked = 0;
    for client in clients.collect::<Vec<_>>() {
        asked += client.join().expect("a client does not panic")?;
    }
    let seconds = started_at.elapsed().as_secs_f64();
    Ok(json!({ "requests": asked, "seconds": seconds, "rate": asked as f64 / seconds }))
}

/// A request as the Docker client writes it.
pub fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: docker\r\nUser-Agent: load\r\n\r\n").into_bytes()
}

/// Reads until a head is whole, a request's or an answer's, and gives its length; `received` may hold more.
///
/// # Errors
/// If the connection ends before.
pub async fn read_head(stream: &mut tokio::net::UnixStream, received: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        if let Some(head) = head_len(received) {
            return Ok(head);
        }
        receive(stream, received).await?;
    }
}

/// Reads what comes next.
///
/// # Errors
/// If nothing does.
pub async fn receive(stream: &mut tokio::net::UnixStream, received: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// The length of the head that has come; `None` if it has not come whole.
pub fn head_len(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Whether a 200 comes in chunks.
fn is_chunked(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.starts_with("http/1.1 200") && head.contains("\r\ntransfer-encoding: chunked\r\n")
}

/// The length of the body behind a head.
///
/// # Errors
/// If the answer is not a 200 with a length.
pub fn content_length(head: &[u8]) -> io::Result<u64> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let bad = || io::Error::other(format!("not a 200 with a length: {head}"));
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    if !head.starts_with("http/1.1 200") {
        return Err(bad());
    }
    length.and_then(|text| text.trim().parse().ok()).ok_or_else(bad)
}
