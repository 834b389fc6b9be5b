//! The program: reads its command line, does what it says, and exits. Nothing else exits, but
//! for the watchdog, which aborts a process that is stuck.

use std::process::ExitCode;

use docker_proxy_acl::cli::{self, Cli, Command, CommandError, CommandOutcome, LearnArgs, ToolCommand};
use docker_proxy_acl::config::Config;
use docker_proxy_acl::server::{self, LearnMode, ReadConfig};

/// The command line was wrong, as with most programs.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Standard output or error is gone: there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match cli.command {
        None => {
            let (serve, again) = (cli.serve.clone(), cli.serve);
            start(|| serve.config_to_start(), Box::new(move || again.config()), None)
        }
        Some(Command::Learn(learn)) => learn_needs(learn),
        Some(Command::Tool(command)) => run(&command),
    }
}

/// Does what ends by itself.
fn run(command: &ToolCommand) -> ExitCode {
    match cli::run(command) {
        Ok((outcome, text)) => {
            print(&text);
            match outcome {
                CommandOutcome::Success => ExitCode::SUCCESS,
                CommandOutcome::Failure => ExitCode::FAILURE,
            }
        }
        Err(CommandError::Usage(message)) => fail(&message, ExitCode::from(USAGE)),
        Err(CommandError::Failed(message)) => fail(&message, ExitCode::FAILURE),
    }
}

fn learn_needs(learn: LearnArgs) -> ExitCode {
    let (printing, again) = (learn.clone(), learn.clone());
    let time = learn.time();
    let mode = LearnMode { time, report: Box::new(move |listeners| print(&printing.report(listeners))) };
    start(|| learn.config(), Box::new(move || again.config()), Some(mode))
}

/// Serves until a signal to end.
fn start(
    read: impl FnOnce() -> Result<Config, String>,
    again: ReadConfig,
    learn: Option<LearnMode>,
) -> ExitCode {
    // Before anything else opens descriptors.
    let inherited = match server::InheritedSockets::take() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&error.to_string(), ExitCode::FAILURE),
    };
    let signals = match server::InstalledSignals::install() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot start: {error}"), ExitCode::FAILURE),
    };
    let config = match read() {
        Ok(config) => config,
        Err(message) => return fail(&message, ExitCode::from(USAGE)),
    };
    match server::run(config, again, inherited, signals, learn) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), ExitCode::FAILURE),
    }
}

fn fail(message: &str, code: ExitCode) -> ExitCode {
    eprintln!("error: {message}");
    code
}

/// Unlike `print!`, does not panic when whoever reads has gone, as in `... | head -1`.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
