//! `check`: what a request would be answered with, decided without an engine.

use http::Method;

use super::args::{AllowArgs, ViewArgs};
use super::settings::describe;
use super::{CommandError, CommandOutcome};
use crate::config;
use crate::http1::target;
use crate::policy::{Allowed, Policy, Reason, Verdict};

/// The verdict on a request with these names allowed and this view of the answers, in one line.
pub fn run(
    allow: &AllowArgs,
    view: &ViewArgs,
    method: &str,
    path: &str,
) -> Result<(CommandOutcome, String), CommandError> {
    let policy = config::policy(&allow.allow, allow.min_api_version.as_deref(), &view.settings())
        .map_err(|error| CommandError::Usage(describe(&error)))?;
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
    let denied = match policy.acl.authorize(&method, target.path(), target.query()) {
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
    let left_out = match allowed.query.left_out.as_slice() {
        [] => String::new(),
        names => format!(" without the parameters {}", names.join(", ")),
    };
    let (path, name) = (allowed.path.as_str(), allowed.endpoint.name);
    format!("allowed: {path} is {name}{left_out}; the engine answers{}", omission.unwrap_or_default())
}
