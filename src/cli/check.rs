//! `check`: what a request would be answered with, decided without an engine.

use http::Method;

use super::settings::describe;
use super::{CommandError, CommandOutcome};
use crate::config::{self, ViewSettings};
use crate::http1::target;
use crate::policy::{Allowed, Policy, Reason, Verdict};

/// The verdict on a request with these names allowed and this view of the answers, in one line.
pub fn run(
    allow: &[String],
    view: &ViewSettings,
    method: &str,
    path: &str,
) -> Result<(CommandOutcome, String), CommandError> {
    let usage = |error| CommandError::Usage(describe(&error));
    let policy = Policy { acl: config::acl(allow).map_err(usage)?, view: config::view(view).map_err(usage)? };
    let (outcome, line) = explain(&policy, method, path);
    Ok((outcome, format!("{line}\n")))
}

fn explain(policy: &Policy, method: &str, path: &str) -> (CommandOutcome, String) {
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return (CommandOutcome::Failure, format!("400: invalid method '{}'", method.escape_debug()));
    };
    let target = match target::parse(path) {
        Ok(target) => target,
        Err(error) => return (CommandOutcome::Failure, format!("400: {error}")),
    };
    let denied = match policy.acl.judge(&method, target.path(), target.query()) {
        Verdict::Allowed(allowed) => return (CommandOutcome::Success, explain_allowed(policy, &allowed)),
        Verdict::Denied(denied) => denied,
    };
    let (status, hint) = (denied.status().as_u16(), denied.hint(&method));
    let line = match (denied.reason, denied.endpoint) {
        (Reason::DeniedPath(_) | Reason::UnknownPath, _) => format!("{status}: {hint}"),
        (Reason::MethodNotAllowed, Some(endpoint)) => {
            format!("{status}: {} is enabled for GET alone; {hint}", endpoint.name)
        }
        (reason, _) => format!("{status}: {reason}; {hint}"),
    };
    (CommandOutcome::Failure, line)
}

fn explain_allowed(policy: &Policy, allowed: &Allowed<'_>) -> String {
    let omission = policy.view.omission(allowed.endpoint).map(|what| format!(", {what}"));
    let (path, name) = (allowed.path.as_str(), allowed.endpoint.name);
    format!("allowed: {path} is {name}; the engine answers{}", omission.unwrap_or_default())
}
