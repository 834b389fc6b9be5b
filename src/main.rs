//! The program: reads its command line, does what it says, and exits. Nothing else exits, but
//! for the watchdog, which aborts a process that is stuck.

use std::process::ExitCode;

use docker_proxy_acl::cli::{self, Cli, CommandError, CommandOutcome};
use docker_proxy_acl::server;

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
    match &cli.command {
        None => serve(cli),
        Some(command) => match cli::run(command) {
            Ok((outcome, text)) => {
                print(&text);
                match outcome {
                    CommandOutcome::Success => ExitCode::SUCCESS,
                    CommandOutcome::Failure => ExitCode::FAILURE,
                }
            }
            Err(CommandError::Usage(message)) => fail(&message, ExitCode::from(USAGE)),
            Err(CommandError::Failed(message)) => fail(&message, ExitCode::FAILURE),
        },
    }
}

fn serve(cli: Cli) -> ExitCode {
    // Before anything else opens descriptors.
    let inherited = match server::InheritedSockets::take() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&error.to_string(), ExitCode::FAILURE),
    };
    let signals = match server::InstalledSignals::install() {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot start: {error}"), ExitCode::FAILURE),
    };
    let config = match cli.serve.config() {
        Ok(config) => config,
        Err(message) => return fail(&message, ExitCode::from(USAGE)),
    };
    let serve = cli.serve;
    let again = Box::new(move || serve.config());
    match server::run(config, again, inherited, signals) {
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
