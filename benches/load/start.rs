//! From exec to the first answer.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::Figures;
use crate::answers::Client;

/// Starts a program and asks until it answers.
#[derive(clap::Args)]
pub struct Plan {
    /// The socket that the program will listen on
    socket: PathBuf,
    /// The path to ask for
    path: String,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Ends the program whatever happens; by SIGTERM, because nginx killed otherwise leaves its worker.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// Gives the time in milliseconds.
pub fn measure(plan: &Plan) -> Figures {
    const PATIENCE: Duration = Duration::from_secs(10);
    const PAUSE: Duration = Duration::from_micros(100);
    let started_at = Instant::now();
    let mut command = Command::new(&plan.command[0]);
    command.args(&plan.command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn()?);
    loop {
        match Client::connect(&plan.socket, &plan.path).and_then(|mut client| client.ask()) {
            Ok(_) => return Ok(json!({ "ms": started_at.elapsed().as_secs_f64() * 1e3 })),
            Err(error) if started_at.elapsed() > PATIENCE => return Err(error),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}
