//! `config`: checks a configuration, or shows it as a file.

use std::path::Path;

use super::args::ConfigCommand;
use super::{CommandError, CommandOutcome, source};
use crate::config::file;

/// What is wrong with a configuration, or all of it.
pub fn run(command: &ConfigCommand) -> Result<(CommandOutcome, String), CommandError> {
    match command {
        ConfigCommand::Check { file } => check(file),
        ConfigCommand::Show { serve } => {
            // What is wrong would be wrong in the file that is printed too.
            let settings = serve.valid_settings().map_err(CommandError::Usage)?;
            Ok((CommandOutcome::Success, file::show(&settings)))
        }
    }
}

fn check(path: &Path) -> Result<(CommandOutcome, String), CommandError> {
    let config = source::config_of_file(path, None).map_err(CommandError::Usage)?;
    let clients: usize = config.listeners.iter().map(|listener| listener.policy.rules.len()).sum();
    let listeners = config.listeners.len();
    let text = format!("{}: {listeners} listener(s), {clients} rule(s) for clients\n", path.display());
    Ok((CommandOutcome::Success, text))
}
