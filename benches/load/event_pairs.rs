//! What redaction adds to the way of an event: an engine, played here, tells each event first to one watcher and then
//! to another, who stand behind two proxies, one that redacts and one that does not. An event is told when the one
//! before it has come, so that none waits for another, and what disturbs the machine disturbs both alike.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Figures;
use crate::answers::{head_len, request};
use crate::events::{STREAM, event};

/// Events in pairs.
#[derive(clap::Args)]
pub struct Plan {
    /// Where the engine that is played here listens
    engine: PathBuf,
    /// Where the proxy listens that does not redact
    plain: PathBuf,
    /// Where the proxy listens that does
    redacted: PathBuf,
    /// How many events each gets
    #[arg(long, default_value_t = 1000)]
    events: u32,
}

/// The engine's end of a stream of events and the watcher's.
struct Way {
    engine: UnixStream,
    watcher: UnixStream,
}

/// Gives the medians of both ways and of what the one takes more in the pairs, in microseconds.
pub fn measure(plan: &Plan) -> Figures {
    let listener = UnixListener::bind(&plan.engine)?;
    let mut plain = Way::open(&listener, &plan.plain)?;
    let mut redacted = Way::open(&listener, &plan.redacted)?;
    let mut pairs = Vec::new();
    for number in 0..plan.events {
        // Each goes first in every other pair.
        let pair = if number % 2 == 0 {
            let first = plain.tell()?;
            (first, redacted.tell()?)
        } else {
            let first = redacted.tell()?;
            (plain.tell()?, first)
        };
        pairs.push(pair);
        thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_file(&plan.engine)?;
    Ok(json!({
        "plain": median(pairs.iter().map(|(plain, _)| *plain)),
        "redacted": median(pairs.iter().map(|(_, redacted)| *redacted)),
        "more": median(pairs.iter().map(|(plain, redacted)| redacted - plain)),
    }))
}

impl Way {
    /// Connects a watcher and waits until it has the head of its answer.
    fn open(listener: &UnixListener, socket: &PathBuf) -> io::Result<Self> {
        let mut watcher = UnixStream::connect(socket)?;
        watcher.write_all(&request("/events"))?;
        let engine = loop {
            let (mut engine, _) = listener.accept()?;
            // A proxy may look whether the engine is there, and go again.
            if read_until(&mut engine, |received| head_len(received).is_some()).is_ok() {
                engine.write_all(STREAM)?;
                break engine;
            }
        };
        read_until(&mut watcher, |received| head_len(received).is_some())?;
        Ok(Self { engine, watcher })
    }

    /// Tells an event and waits until it has come; in microseconds.
    fn tell(&mut self) -> io::Result<f64> {
        let chunk = event(Duration::ZERO);
        let begin = Instant::now();
        self.engine.write_all(&chunk)?;
        read_until(&mut self.watcher, |received| received.ends_with(b"}\n\r\n"))?;
        Ok(begin.elapsed().as_secs_f64() * 1e6)
    }
}

fn read_until(stream: &mut UnixStream, is_all: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    while !is_all(&received) {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
