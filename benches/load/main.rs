//! Load that no packaged tool makes over Unix sockets, for `benches/run`: a fixed rate, one large
//! answer, a connection per request, thousands of connections, events to many watchers or in pairs, the first
//! answer after a start.
//!
//! Each prints one JSON object. Connections are HTTP/1.1 and written by hand, so that as little as
//! possible of what is measured is the measuring.

mod answers;
mod crowd;
mod event_pairs;
mod events;
mod latency;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

#[derive(Parser)]
enum Load {
    /// Requests at a fixed rate; how long each took since it was due
    Latency(latency::Plan),
    /// One answer, however large; how long it took
    Download {
        /// The socket to ask
        socket: PathBuf,
        /// The path to ask for
        path: String,
    },
    /// Requests one after the other, each on its own connection
    Fresh(answers::Plan),
    /// Requests on many connections that are all there from the beginning
    Crowd(crowd::Plan),
    /// Events from an engine that this plays itself to watchers that it is too
    Events(events::Plan),
    /// What redaction adds to the time of an event, in pairs of events with it and without
    EventPairs(event_pairs::Plan),
    /// The time from the start of a program to its first answer
    Start(start::Plan),
}

fn main() -> ExitCode {
    let result = match Load::parse() {
        Load::Latency(plan) => latency::measure(&plan),
        Load::Download { socket, path } => answers::download(&socket, &path),
        Load::Fresh(plan) => answers::fresh(&plan),
        Load::Crowd(plan) => crowd::measure(&plan),
        Load::Events(plan) => events::measure(&plan),
        Load::EventPairs(plan) => event_pairs::measure(&plan),
        Load::Start(plan) => start::measure(&plan),
    };
    match result {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a measurement gives: one object of figures.
type Figures = std::io::Result<Value>;
