//! Latency at a fixed rate. A request's time runs from when it was due, not from when it was sent: a
//! stall that holds back later requests counts for each of them (no coordinated omission).

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::set_current_timer_slack;
use serde_json::json;

use crate::Figures;
use crate::answers::Client;

/// Requests at a fixed rate.
#[derive(clap::Args)]
pub struct Plan {
    /// The socket to ask
    socket: PathBuf,
    /// The path to ask for
    path: String,
    /// Requests per second, over all connections
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Connections, each kept alive and with its share of the rate
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// For how long, in seconds
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Keeps the rate and gives quantiles in microseconds.
pub fn measure(plan: &Plan) -> Figures {
    let interval = Duration::from_secs(1) / plan.rate;
    let start = Instant::now() + Duration::from_millis(50);
    let each = (plan.seconds * f64::from(plan.rate) / f64::from(plan.connections)) as u32;
    let clients = (0..plan.connections).map(|nth| {
        let client = Client::connect(&plan.socket, &plan.path);
        let due = start + interval * nth;
        let step = interval * plan.connections;
        thread::spawn(move || keep_rate(client?, due, step, each))
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.extend(client.join().expect("a client does not panic")?);
    }
    Ok(quantiles(times))
}

fn keep_rate(mut client: Client, first: Instant, step: Duration, count: u32) -> io::Result<Vec<Duration>> {
    // Else the kernel may wake a sleeper 50 us late.
    set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    let mut times = Vec::with_capacity(count as usize);
    for nth in 0..count {
        let due = first + step * nth;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        client.ask()?;
        times.push(due.elapsed());
    }
    Ok(times)
}

/// The middle and the tail of times, in microseconds.
pub fn quantiles(mut times: Vec<Duration>) -> serde_json::Value {
    times.sort_unstable();
    let at = |quantile: f64| {
        let nth = (times.len() as f64 * quantile) as usize;
        times.get(nth.min(times.len().saturating_sub(1))).map(|time| time.as_nanos() as f64 / 1e3)
    };
    json!({ "count": times.len(), "p50": at(0.5), "p99": at(0.99), "p99.9": at(0.999), "max": at(1.0) })
}
