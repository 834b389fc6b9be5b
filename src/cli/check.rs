//! `check`: what a request would be answered with, decided without an engine.

use std::path::Path;
use std::sync::Arc;

use http::Method;

use super::args::{AllowArgs, ClientArgs, ConfigArgs, ViewArgs};
use super::settings::{describe, describe_each, rights};
use super::{CommandError, CommandOutcome, source};
use crate::config::{self, Config, ListenerConfig};
use crate::http1::target;
use crate::net::ListenAddress;
use crate::policy::clients::{Certificate, CertificatePattern, Identity};
use crate::policy::{Allowed, Origin, Policy, Reason, Verdict};

/// What counts: what the flags say, or for this client the file.
///
/// # Errors
/// If they mean nothing, or the file has no such listener.
pub fn policy(
    config: &ConfigArgs,
    client: &ClientArgs,
    allow: &AllowArgs,
    view: &ViewArgs,
) -> Result<Arc<Policy>, CommandError> {
    match &config.config {
        None => match config::policy(&rights(allow, view)) {
            Ok(policy) => Ok(Arc::new(policy)),
            Err(errors) => Err(CommandError::Usage(describe_each(&errors))),
        },
        Some(_) if rights(allow, view) != rights(&AllowArgs::default(), &ViewArgs::default()) => {
            let error = "with --config, what is allowed and shown is said in the file: leave -a, --for, \
                         --min-api-version, --redact, --keep-env, --keep-label and --only out";
            Err(CommandError::Usage(error.to_owned()))
        }
        Some(file) => policy_in_file(file, client).map_err(CommandError::Usage),
    }
}

fn policy_in_file(file: &Path, client: &ClientArgs) -> Result<Arc<Policy>, String> {
    let config = source::config_of_file(file, None)?;
    let listener = listener(&config, client.listener.as_deref())?;
    let uid = client.uid.as_deref().map(config::uid).transpose().map_err(|error| describe(&error))?;
    let groups = client.gid.iter().map(|name| config::gid(name)).collect::<Result<Vec<u32>, _>>();
    let groups = groups.map_err(|error| describe(&error))?;
    let digest = match client.certificate.as_deref().map(str::parse) {
        Some(Ok(CertificatePattern::Sha256(digest))) => Some(digest),
        Some(Err(error)) => return Err(format!("--certificate: {error}")),
        Some(Ok(CertificatePattern::Name(_))) | None => None,
    };
    let certificate = client.certificate.as_deref().map(|name| Certificate {
        common_name: Some(name).filter(|_| digest.is_none()),
        alternative_names: &[],
        sha256: digest.as_ref(),
    });
    let identity = Identity { uid, groups: &groups, certificate, ip: client.ip };
    Ok(Arc::clone(listener.policy.policy_of(&identity)))
}

/// The listener that is meant: the one at an address, or the only one.
fn listener<'a>(config: &'a Config, address: Option<&str>) -> Result<&'a ListenerConfig, String> {
    let found = match (address, &config.listeners[..]) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(text), all) => {
            let address: ListenAddress = text.parse().map_err(|error| format!("--listener: {error}"))?;
            all.iter().find(|listener| listener.addr.address() == address)
        }
    };
    found.ok_or_else(|| {
        let all = config.listeners.iter().map(|listener| listener.addr.address().to_string());
        format!("--listener names one of {}", all.collect::<Vec<_>>().join(", "))
    })
}

/// The verdict on a request, in one line.
pub fn run(policy: &Policy, method: &str, path: &str) -> (CommandOutcome, String) {
    let (outcome, line) = explain(policy, method, path);
    let by = match &policy.origin {
        Origin::File(place) if !line.contains(&**place) => format!(" (by {place})"),
        Origin::File(_) | Origin::Flags | Origin::Learning => String::new(),
    };
    (outcome, format!("{line}{by}\n"))
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
    let (status, hint) = (denied.status().as_u16(), denied.hint(&method, &policy.origin));
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
