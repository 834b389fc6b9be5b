//! The command line: what may be written, and what the program does besides proxying.
//!
//! Alone in knowing how a flag is spelled. What the flags mean is the configuration's matter.

mod args;
#[cfg(feature = "tls")]
mod cert_names;
#[cfg(feature = "tls")]
mod certs;
mod check;
mod configuration;
mod consumers;
mod endpoints;
mod healthcheck;
mod help;
mod learn;
mod settings;
mod source;
mod table;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use args::ConfigCommand;
pub use args::{Cli, Command, LearnArgs, ServeArgs, ToolCommand};
use source::Given;

/// How a command went, for the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOutcome {
    /// Exit code 0.
    Success,
    /// Exit code 1.
    Failure,
}

/// Why a command did nothing.
#[derive(Debug)]
pub enum CommandError {
    /// The command line was wrong: exit code 2.
    Usage(String),
    /// The command failed: exit code 1.
    Failed(String),
}

impl Cli {
    /// Reads a command line, the program's own name first.
    ///
    /// # Errors
    /// clap's error, which may also be a request for `--help` or `--version`.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args.into_iter().map(normalize_legacy_flag))?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let serve = match &mut cli.command {
            Some(Command::Tool(ToolCommand::Config { command: ConfigCommand::Show { serve } })) => serve,
            _ => &mut cli.serve,
        };
        serve.given = Given::of(&matches);
        Ok(cli)
    }

    /// The flags that it serves with, if it is to serve.
    fn into_serving(self) -> Option<ServeArgs> {
        match self.command {
            None => Some(self.serve),
            Some(Command::Learn(learn)) => Some(learn.serve()),
            Some(Command::Tool(_)) => None,
        }
    }
}

/// Runs a command; how it went, and what to print.
///
/// # Errors
/// [`CommandError`] with what to print to standard error.
pub fn run(command: &ToolCommand) -> Result<(CommandOutcome, String), CommandError> {
    match command {
        ToolCommand::Endpoints { format } => Ok((CommandOutcome::Success, endpoints::listing(*format))),
        ToolCommand::Consumers { format } => Ok((CommandOutcome::Success, consumers::listing(*format))),
        ToolCommand::Check { config, client, allow, view, method, path } => {
            let policy = check::policy(config, client, allow, view)?;
            Ok(check::run(&policy, method, path))
        }
        ToolCommand::Healthcheck { config, listen, upstream } => {
            healthcheck::run(config, listen, upstream, env)
        }
        ToolCommand::Config { command } => configuration::run(command),
        #[cfg(feature = "tls")]
        ToolCommand::Certs { command } => {
            certs::run(command).map_err(|error| CommandError::Failed(error.to_string()))
        }
    }
}

/// An environment variable that is UTF-8.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// docker-proxy-acl was a Go program, which takes `-filename` for `--filename`.
fn normalize_legacy_flag(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text == "-filename" || text.starts_with("-filename=") => format!("-{text}").into(),
        _ => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        Cli::read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn old_command_lines_are_understood() {
        for line in [
            "x -a version -filename /run/d.sock",
            "x -a=version -filename=/run/d.sock",
            "x --a version --filename /run/d.sock",
        ] {
            let cli = read(line).unwrap();
            assert_eq!(cli.serve.allow.allow, ["version"], "{line}");
            assert_eq!(cli.serve.listen.filename.as_deref(), Some("/run/d.sock"), "{line}");
        }
    }

    #[test]
    fn names_are_repeated_or_separated_by_commas() {
        assert_eq!(
            read("x -a containers,info -a version").unwrap().serve.allow.allow,
            ["containers", "info", "version"]
        );
    }
}
