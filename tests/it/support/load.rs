//! Clients that ask over and over, and count what was not answered.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::http::{End, GET_INFO_AND_CLOSE, contains, parse};
use super::until;

/// A client's stream, whatever it is made of.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Clients at work; they stop when this is asked for its [`Load::failures`].
pub struct Load {
    stopped: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// So many clients, each of which makes a connection for each request.
    pub fn start<S: Stream>(
        clients: usize,
        connect: impl Fn() -> io::Result<S> + Clone + Send + 'static,
    ) -> Self {
        let (stopped, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |_| {
            let (stopped, answers, connect) = (stopped.clone(), answers.clone(), connect.clone());
            std::thread::spawn(move || {
                let mut failures = vec![];
                while !stopped.load(Ordering::Relaxed) {
                    match ask(&connect) {
                        Ok(()) => drop(answers.fetch_add(1, Ordering::Relaxed)),
                        Err(failure) => failures.push(failure),
                    }
                }
                failures
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stopped, answers, clients }
    }

    /// How many requests were answered so far.
    pub fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered.
    pub fn until_answered(&self, more: usize) {
        let enough = self.answers() + more;
        until("the clients have their answers", || self.answers() >= enough);
    }

    /// Stops the clients; what went wrong for them.
    pub fn failures(self) -> Vec<String> {
        self.stopped.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// One request; what went wrong with it, unless it was answered whole and with 200.
fn ask<S: Stream>(connect: impl Fn() -> io::Result<S>) -> Result<(), String> {
    let mut stream = connect().map_err(|error| format!("cannot connect: {error}"))?;
    stream.write_all(GET_INFO_AND_CLOSE).map_err(|error| format!("cannot send: {error}"))?;
    let mut received = vec![];
    let ended = stream.read_to_end(&mut received);
    if !contains(&received, "\r\n\r\n") {
        return Err(format!("no answer: {ended:?} after {:?}", String::from_utf8_lossy(&received)));
    }
    let answer = parse(&received);
    match (answer.status(), answer.end) {
        (200, End::Complete) => Ok(()),
        _ => Err(format!("{answer:?}")),
    }
}
