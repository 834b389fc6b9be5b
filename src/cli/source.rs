//! Where the configuration comes from: flags and environment variables, or a file and what may be said
//! beside it.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::args::{Cli, ServeArgs};
use super::env;
use super::settings::{describe, describe_each};
use crate::config::file::ConfigFile;
use crate::config::settings::DockerEnv;
use crate::config::{Config, Setting, Settings};

/// Flags that are for the whole process, whose values win over the file's. All others are for listeners, of
/// which the file says which one.
const BESIDE_A_FILE: &[&str] = &[
    "config",
    "upstream",
    "upstream_timeout",
    "upstream_tlscacert",
    "upstream_tlscert",
    "upstream_tlskey",
    "user",
    "no_sandbox",
    "shutdown_timeout",
    "threads",
    "watchdog",
    "log_format",
    "log_level",
    "access_log",
    "admin",
];

/// The ids of the arguments that were given, as flags or as environment variables.
#[derive(Debug, Clone, Default)]
pub struct Given(Vec<String>);

impl Given {
    /// Those of a command line, whatever subcommand it has.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let innermost = std::iter::successors(Some(matches), |matches| Some(matches.subcommand()?.1)).last();
        let Some(matches) = innermost else { return Self::default() };
        let was_given = |id: &&clap::Id| {
            matches!(
                matches.value_source(id.as_str()),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            )
        };
        Self(matches.ids().filter(was_given).map(ToString::to_string).collect())
    }

    fn has(&self, id: &str) -> bool {
        self.0.iter().any(|given| given == id)
    }
}

impl ServeArgs {
    /// The configuration to start with, from the file if there is one: with certificates that can be used.
    ///
    /// # Errors
    /// Everything that is wrong, in the words of its source.
    pub fn config_to_start(&self) -> Result<Config, String> {
        match &self.config.config {
            None => self.config(),
            Some(path) => self.file(path)?.checked_config(describe).map_err(|error| error.to_string()),
        }
    }

    /// The configuration, from the file if there is one.
    ///
    /// # Errors
    /// Everything that is wrong, in the words of its source.
    pub fn config(&self) -> Result<Config, String> {
        match &self.config.config {
            None => config_of_flags(&self.settings(env)),
            Some(path) => self.file(path)?.config(describe).map_err(|error| error.to_string()),
        }
    }

    /// The settings, those of the file if there is one, of which nothing is wrong.
    ///
    /// # Errors
    /// As [`ServeArgs::config`].
    pub(super) fn valid_settings(&self) -> Result<Settings, String> {
        match &self.config.config {
            None => {
                let settings = self.settings(env);
                config_of_flags(&settings)?;
                Ok(settings)
            }
            Some(path) => {
                let file = self.file(path)?;
                file.config(describe).map_err(|error| error.to_string())?;
                Ok(file.settings)
            }
        }
    }

    /// The file, with what flags say beside it.
    fn file(&self, path: &Path) -> Result<ConfigFile, String> {
        self.reject_what_belongs_in_the_file()?;
        let flags = self.settings(env);
        let mut file =
            ConfigFile::read(path, &flags, DockerEnv::read(env)).map_err(|error| error.to_string())?;
        self.override_settings(&mut file.settings, flags);
        for (id, setting) in
            [("upstream", Setting::Upstream), ("user", Setting::User), ("admin", Setting::Admin)]
        {
            if self.given.has(id) {
                file.said_elsewhere(setting);
            }
        }
        Ok(file)
    }

    fn reject_what_belongs_in_the_file(&self) -> Result<(), String> {
        let misplaced = self.given.0.iter().filter(|id| !BESIDE_A_FILE.contains(&id.as_str()));
        let misplaced: Vec<String> = misplaced.filter_map(|id| spelled(id)).collect();
        match misplaced.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "with --config, what counts for listeners is said in the file: write there what {} says",
                misplaced.join(", ")
            )),
        }
    }

    fn override_settings(&self, settings: &mut Settings, flags: Settings) {
        let given = |id| self.given.has(id);
        if given("upstream") {
            settings.upstream.address = flags.upstream.address;
        }
        if given("upstream_timeout") {
            settings.upstream.response_header_timeout = flags.upstream.response_header_timeout;
        }
        let (tls, tls_flags) = (&mut settings.upstream.tls, flags.upstream.tls);
        tls.ca_cert = tls_flags.ca_cert.or(tls.ca_cert.take());
        tls.cert = tls_flags.cert.or(tls.cert.take());
        tls.key = tls_flags.key.or(tls.key.take());
        settings.user = flags.user.or(settings.user.take());
        if given("no_sandbox") {
            settings.sandbox = flags.sandbox;
        }
        if given("shutdown_timeout") {
            settings.shutdown_timeout = flags.shutdown_timeout;
        }
        if given("threads") {
            settings.threads = flags.threads;
        }
        if given("watchdog") {
            settings.watchdog = flags.watchdog;
        }
        settings.admin = flags.admin.or(settings.admin.take());
        settings.access_log = flags.access_log.or(settings.access_log.take());
        if given("log_format") {
            settings.log.format = flags.log.format;
        }
        if given("log_level") {
            settings.log.level = flags.log.level;
        }
    }
}

/// What the settings of flags mean.
///
/// # Errors
/// Everything that is wrong, in the words of the command line.
pub(super) fn config_of_flags(settings: &Settings) -> Result<Config, String> {
    Config::new(settings).map_err(|problems| describe_each(problems.iter().map(|problem| &problem.error)))
}

/// The configuration that a program started with this file has, perhaps for another engine.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn config_of_file(path: &Path, upstream: Option<&str>) -> Result<Config, String> {
    let file = ["docker-proxy-acl".into(), "--config".into(), path.as_os_str().to_owned()];
    let upstream = upstream.map(|address| ["--upstream".into(), address.into()]);
    let args = file.into_iter().chain(upstream.into_iter().flatten());
    Cli::read(args).map_err(|error| error.to_string())?.serve.config_to_start()
}

/// A flag as it is written, or the environment variable that gave it.
fn spelled(id: &str) -> Option<String> {
    let command = Cli::command();
    let argument = command.get_arguments().find(|argument| argument.get_id() == id)?;
    let flag = argument.get_long().map(|long| format!("--{long}"))?;
    let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
    let from_env = variable.filter(|name| std::env::var_os(name).is_some());
    Some(from_env.map_or(flag.clone(), |name| format!("{flag} ({name})")))
}
