//! The way of an event: an engine, played here, sends each to everyone who watches; the watchers, also
//! here and therefore on the same clock, note when it came.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime;

use crate::Figures;
use crate::answers::{read_head, receive, request};
use crate::latency::quantiles;

/// Events to many watchers.
#[derive(clap::Args)]
pub struct Plan {
    /// Where the engine that is played here listens
    engine: PathBuf,
    /// Where the watchers connect: the proxy's socket, or the engine's for the time without one
    socket: PathBuf,
    /// How many watch
    #[arg(long, default_value_t = 1)]
    watchers: usize,
    /// How many events each gets
    #[arg(long, default_value_t = 200)]
    events: u32,
    /// Milliseconds from one event to the next
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Stay connected afterwards until standard input ends
    #[arg(long)]
    hold: bool,
}

/// The size of an event; one of a health check has about that.
const EVENT_LEN: usize = 500;
/// The head of an engine's answer that is a stream.
pub const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Everything is there by then, or lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gives quantiles of the delay from the moment that an event happened, in microseconds, and how many
/// events did not arrive.
pub fn measure(plan: &Plan) -> Figures {
    let clock = Instant::now();
    let (seen, sightings) = mpsc::channel();
    let (joined, joins) = mpsc::channel();
    let listener = std::os::unix::net::UnixListener::bind(&plan.engine)?;
    let (watchers, events, every) = (plan.watchers, plan.events, Duration::from_millis(plan.every));
    thread::spawn(move || on_own_runtime(play_engine(listener, joins, clock, watchers, events, every)));
    let socket = plan.socket.clone();
    thread::spawn(move || on_own_runtime(watch(socket, watchers, joined, seen, clock)));
    let figures = collect(&sightings, watchers * events as usize);
    if plan.hold {
        println!("{figures}");
        io::stdin().read_line(&mut String::new())?;
    }
    std::fs::remove_file(&plan.engine)?;
    Ok(figures)
}

fn collect(sightings: &Receiver<Duration>, expected: usize) -> Value {
    let mut delays = Vec::with_capacity(expected);
    let end = Instant::now() + PATIENCE;
    while delays.len() < expected {
        match sightings.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(delay) => delays.push(delay),
            Err(_) => break,
        }
    }
    let lost = expected - delays.len();
    let mut figures = quantiles(delays);
    figures["lost"] = json!(lost);
    figures
}

fn on_own_runtime(work: impl Future<Output = io::Result<()>>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if let Err(error) = runtime.block_on(work) {
        eprintln!("events: {error}");
    }
}

/// Takes every watcher in, tells all of each event, then holds the connections.
async fn play_engine(
    listener: std::os::unix::net::UnixListener,
    joins: Receiver<()>,
    clock: Instant,
    watchers: usize,
    events: u32,
    every: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let mut streams = Vec::new();
    while streams.len() < watchers {
        let mut stream = listener.accept().await?.0;
        // A proxy may look whether the engine is there, and go again.
        if read_head(&mut stream, &mut Vec::new()).await.is_ok() {
            stream.write_all(STREAM).await?;
            streams.push(stream);
        }
    }
    for _ in 0..watchers {
        joins.recv().map_err(io::Error::other)?;
    }
    let mut ticks = tokio::time::interval(every);
    for _ in 0..events {
        ticks.tick().await;
        let chunk = event(clock.elapsed());
        for stream in &mut streams {
            stream.write_all(&chunk).await?;
        }
    }
    std::future::pending().await
}

/// A chunk with one line that says when it happened, as Docker tells of a health check.
pub fn event(now: Duration) -> Vec<u8> {
    let attributes = json!({
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "execID": "7d5f0c8d1b6e4a2f9c3e",
        "image": "registry.example/shop/web:1.0",
        "name": "shop-web-1",
        "traefik.http.routers.web.rule": "Host(`shop.example`)",
    });
    let line = format!(
        concat!(
            r#"{{"Type":"container","Action":"exec_start: /bin/sh -c wget -q http://127.0.0.1/","#,
            r#""Actor":{{"ID":"3f4e8d6b1c0a3f4e8d6b1c0a","Attributes":{}}},"scope":"local","timeNano":{}"#
        ),
        attributes,
        now.as_nanos()
    );
    let line = format!("{line:EVENT_LEN$}}}\n");
    format!("{:x}\r\n{line}\r\n", line.len()).into_bytes()
}

async fn watch(
    socket: PathBuf,
    watchers: usize,
    joined: Sender<()>,
    seen: Sender<Duration>,
    clock: Instant,
) -> io::Result<()> {
    for _ in 0..watchers {
        let mut stream = connect(&socket).await?;
        stream.write_all(&request("/events")).await?;
        let (joined, seen) = (joined.clone(), seen.clone());
        tokio::spawn(async move {
            if let Err(error) = note(stream, &joined, &seen, clock).await {
                eprintln!("a watcher: {error}");
            }
        });
    }
    std::future::pending().await
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            result => return result,
        }
    }
}

/// Reports the head of the answer and then each event's delay.
async fn note(
    mut stream: UnixStream,
    joined: &Sender<()>,
    seen: &Sender<Duration>,
    clock: Instant,
) -> io::Result<()> {
    let mut received = Vec::new();
    read_head(&mut stream, &mut received).await?;
    joined.send(()).map_err(io::Error::other)?;
    loop {
        let now = clock.elapsed();
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            if let Some(happened) = happened(&received[..end]) {
                seen.send(now.saturating_sub(happened)).map_err(io::Error::other)?;
            }
            received.drain(..=end);
        }
        receive(&mut stream, &mut received).await?;
    }
}

/// When the event of this line happened; none if the line is of the framing.
fn happened(line: &[u8]) -> Option<Duration> {
    let (_, nanos) = std::str::from_utf8(line).ok()?.rsplit_once("\"timeNano\":")?;
    nanos.trim_end_matches('}').trim().parse().ok().map(Duration::from_nanos)
}
