//! `check`: what a request would be answered with, decided without an engine.

use http::Method;

use super::settings::describe;
use super::{CommandError, CommandOutcome};
use crate::config;
use crate::http1::head::parse_target;
use crate::policy::{Acl, Reason, Verdict};

/// The verdict on a request with these names allowed, in one line.
pub fn run(allow: &[String], method: &str, path: &str) -> Result<(CommandOutcome, String), CommandError> {
    let acl = config::acl(allow).map_err(|error| CommandError::Usage(describe(&error)))?;
    let (outcome, line) = explain(&acl, method, path);
    Ok((outcome, format!("{line}\n")))
}

fn explain(acl: &Acl, method: &str, path: &str) -> (CommandOutcome, String) {
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return (CommandOutcome::Failure, format!("400: invalid method '{}'", method.escape_debug()));
    };
    let target = match parse_target(path) {
        Ok(target) => target,
        Err(error) => return (CommandOutcome::Failure, format!("400: {error}")),
    };
    let denied = match acl.judge(&method, target.path(), target.query()) {
        Verdict::Allowed(allowed) => {
            let (path, name) = (allowed.path.as_str(), allowed.endpoint.name);
            return (CommandOutcome::Success, format!("allowed: {path} is {name}; the engine answers"));
        }
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
