//! What clients are let through to and shown, as settings say it.

use super::error::ConfigError;
use super::settings::{RightsSettings, Setting, ViewSettings};
use crate::policy::catalog::ENGINE;
use crate::policy::redaction::{Classes, Glob, Redaction};
use crate::policy::visibility::Visibility;
use crate::policy::{Acl, Consumer, Policy, View};

/// What is allowed and shown where names have to be allowed.
///
/// # Errors
/// If there is no name and no consumer, or settings cannot be read: each of them.
pub fn policy(settings: &RightsSettings) -> Result<Policy, Vec<ConfigError>> {
    let names = settings.allow.as_deref().unwrap_or_default();
    match given(names).next().is_none() && settings.consumers.is_empty() {
        true => Err(vec![ConfigError::NothingAllowed]),
        false => policy_or_nothing(settings),
    }
}

/// The same where it may be nothing.
///
/// # Errors
/// If settings cannot be read: each of them.
pub(super) fn policy_or_nothing(settings: &RightsSettings) -> Result<Policy, Vec<ConfigError>> {
    let ViewSettings { redact, keep_env, keep_labels, only } = &settings.view;
    let mut errors = Vec::new();
    let min_version = settings.min_api_version.iter().map(|text| text.parse().map_err(ConfigError::Version));
    let min_version = all(min_version, &mut errors).pop();
    let consumers = all(rows_of(&settings.consumers), &mut errors);
    let viewed_as = all(rows_of(&settings.viewed_as), &mut errors);
    let mut acl = Acl::empty(&ENGINE);
    let rows = consumers.iter().flat_map(|row| row.allow).copied();
    let names = given(settings.allow.as_deref().unwrap_or_default()).chain(rows);
    let enabled = names.map(|name| acl.enable(name).map_err(ConfigError::Name));
    all(enabled, &mut errors);
    let classes =
        stated(redact, Setting::Redact).map(|text| text?.parse::<Classes>().map_err(ConfigError::Class));
    let classes = all(classes, &mut errors).into_iter().fold(Classes::NONE, Classes::union);
    let keep_env = all(stated(keep_env, Setting::KeepEnv).map(|text| text.map(Glob::new)), &mut errors);
    let keep_labels = stated(keep_labels, Setting::KeepLabel).map(|text| text.map(Glob::new));
    let keep_labels = all(keep_labels, &mut errors);
    let only = stated(only, Setting::Only).map(|text| text?.parse().map_err(ConfigError::Selector));
    let only = all(only, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let viewers: Vec<&Consumer> = consumers.into_iter().chain(viewed_as).collect();
    let redaction = Redaction::new(classes, keep_env, keep_labels).and(Consumer::redaction(&viewers));
    Ok(Policy {
        acl: acl.with_min_version(min_version),
        view: View { redaction, visibility: Visibility::new(only) },
        origin: settings.origin.clone(),
    })
}

/// The rows of consumers. A name that is empty is an error: without the row's view more would be shown.
fn rows_of(names: &[String]) -> impl Iterator<Item = Result<&'static Consumer, ConfigError>> {
    stated(names, Setting::For).map(|name| Consumer::find(name?).map_err(ConfigError::Consumer))
}

/// What can be read of a list; what cannot is an error for each.
pub(super) fn all<T>(
    values: impl Iterator<Item = Result<T, ConfigError>>,
    errors: &mut Vec<ConfigError>,
) -> Vec<T> {
    values.filter_map(|value| value.map_err(|error| errors.push(error)).ok()).collect()
}

/// The values of a list, of which none may be empty: without it everything would be shown.
fn stated(list: &[String], setting: Setting) -> impl Iterator<Item = Result<&str, ConfigError>> {
    list.iter().map(move |one| match one.trim() {
        "" => Err(ConfigError::Empty(setting)),
        text => Ok(text),
    })
}

/// What is left of a list that may come from an environment variable, set to nothing or with spaces.
fn given(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(|one| one.trim()).filter(|one| !one.is_empty())
}
