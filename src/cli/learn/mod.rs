//! `learn`: the settings to learn with, and the text that is printed of what was learnt.

mod client;
mod flags;
mod toml;

use std::time::Duration;

use super::args::{AdminArgs, AllowArgs, ConfigArgs, LearnArgs, LearnOutput, ServeArgs, ViewArgs};
use super::env;
use super::source::{Given, config_of_flags};
use crate::config::{Config, LearntListener, RightsSettings, Settings};
use crate::policy::Origin;
use crate::policy::catalog::ENGINE;
use crate::policy::learning::{LearningScope, least_names};
use crate::policy::redaction::Class;

impl LearnArgs {
    /// The configuration to learn with.
    ///
    /// # Errors
    /// Everything that is wrong, in the words of the command line.
    pub fn config(&self) -> Result<Config, String> {
        config_of_flags(&self.settings())
    }

    /// How long to learn; `None` is until a signal to end.
    pub fn time(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// What is printed of what was learnt.
    pub fn report(&self, listeners: &[LearntListener]) -> String {
        match self.output {
            LearnOutput::Flags => flags::report(listeners),
            LearnOutput::Toml => toml::report(listeners, &self.settings().listeners[0]),
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = self.serve().settings(env);
        settings.listeners.iter_mut().for_each(|listener| listener.rights = self.rights());
        settings
    }

    /// What is let through and shown meanwhile. Tokens that stand in answers beside other things are taken out.
    fn rights(&self) -> RightsSettings {
        let (scope, redact) = match self.include_files {
            true => (LearningScope::WithFiles, Vec::new()),
            false => (LearningScope::WithoutFiles, vec![Class::Tokens.name().to_owned()]),
        };
        let names = least_names(&ENGINE, |row| scope.includes(row));
        let names = names.into_iter().map(str::to_owned).collect();
        let mut rights = RightsSettings::of_names(Some(names), Origin::Learning);
        rights.view.redact = redact;
        rights
    }

    /// The flags that it has in common with serving.
    pub(super) fn serve(&self) -> ServeArgs {
        ServeArgs {
            given: Given::default(),
            config: ConfigArgs::default(),
            allow: AllowArgs::default(),
            view: ViewArgs::default(),
            listen: self.listen.clone(),
            socket: self.socket.clone(),
            tls: self.tls.clone(),
            upstream: self.upstream.clone(),
            limits: self.limits.clone(),
            answers: self.answers.clone(),
            sandbox: self.sandbox.clone(),
            runtime: self.runtime.clone(),
            log: self.log.clone(),
            admin: AdminArgs::default(),
        }
    }
}
