//! The program: reads its command line, does what it says, and exits. Nothing else exits.

use std::process::ExitCode;

use docker_proxy_acl::cli::{Cli, Command, ServeArgs};
#[cfg(feature = "tls")]
use docker_proxy_acl::command::certs;
use docker_proxy_acl::command::{Outcome, check, endpoints, healthcheck};
use docker_proxy_acl::config::{self, Config, ConfigError, LogConfig};
use docker_proxy_acl::{log, server};

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
    let done = match &cli.command {
        None => serve(&cli.serve),
        Some(Command::Endpoints { format }) => {
            print(&endpoints::listing(*format));
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Check { allow, method, path }) => config::acl(&allow.allow).map(|acl| {
            let (outcome, line) = check::verdict(&acl, method, path);
            report(outcome, &line)
        }),
        Some(Command::Healthcheck { listen, upstream }) => healthcheck::Subject::find(listen, upstream, env)
            .map(|subject| {
                let (outcome, line) = runtime().block_on(subject.check());
                report(outcome, &line)
            }),
        #[cfg(feature = "tls")]
        Some(Command::Certs { command }) => Ok(match certs::run(command) {
            Ok((outcome, text)) => report(outcome, text.trim_end()),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(USAGE)
    })
}

fn serve(args: &ServeArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::new(args, env)?;
    log::start(LogConfig::new(args));
    Ok(match runtime().block_on(server::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the kernel gives an epoll and a timer")
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn report(outcome: Outcome, line: &str) -> ExitCode {
    print(&format!("{line}\n"));
    match outcome {
        Outcome::Yes => ExitCode::SUCCESS,
        Outcome::No => ExitCode::FAILURE,
    }
}

/// Unlike `print!`, does not panic when whoever reads has gone, as in `... | head -1`.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
