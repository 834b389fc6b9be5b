//! Many kept-alive connections, all there before the first is timed, each asking again as soon as it has
//! its answer. h2load opens connections while the others already ask, and then a crowd finds no room in
//! the socket's queue.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::Figures;
use crate::answers::{content_length, read_head, receive, request};

/// Requests on many connections at the same time.
#[derive(clap::Args)]
pub struct Plan {
    /// The socket to ask
    socket: PathBuf,
    /// The path to ask for
    path: String,
    /// How many connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// For how long they ask, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Opens all connections, then has each ask again and again; one that breaks, or gets something else than
/// its answer, counts as failed with all that it asked.
pub fn measure(plan: &Plan) -> Figures {
    // connect(2) waits while the queue is full.
    let streams: Vec<_> =
        (0..plan.connections).map(|_| UnixStream::connect(&plan.socket)).collect::<io::Result<_>>()?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let started_at = Instant::now();
        let end = started_at + Duration::from_secs_f64(plan.seconds);
        let mut clients = JoinSet::new();
        for stream in streams {
            clients.spawn(keep_asking(stream, request(&plan.path), end));
        }
        let (mut asked, mut failed) = (0, 0);
        while let Some(client) = clients.join_next().await {
            match client.expect("a client does not panic") {
                Ok(answers) => asked += answers,
                Err(_) => failed += 1,
            }
        }
        let seconds = started_at.elapsed().as_secs_f64();
        let rate = asked as f64 / seconds;
        Ok(json!({ "requests": asked, "failed": failed, "seconds": seconds, "rate": rate }))
    })
}

async fn keep_asking(stream: UnixStream, request: Vec<u8>, end: Instant) -> io::Result<u64> {
    stream.set_nonblocking(true)?;
    let mut stream = tokio::net::UnixStream::from_std(stream)?;
    let mut received = Vec::with_capacity(2048);
    let mut asked = 0;
    while asked == 0 || Instant::now() < end {
        stream.write_all(&request).await?;
        received.clear();
        let head = read_head(&mut stream, &mut received).await?;
        let len = head + content_length(&received[..head])? as usize;
        while received.len() < len {
            receive(&mut stream, &mut received).await?;
        }
        asked += 1;
    }
    Ok(asked)
}
