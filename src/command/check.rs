//! `check`: what a request would be answered with, decided without an engine.

use http::Method;

use super::Outcome;
use crate::acl::{Acl, Decision};
use crate::proxy::head::parse_target;

/// The verdict on a request in one line, without a line end.
pub fn verdict(acl: &Acl, method: &str, path: &str) -> (Outcome, String) {
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return (Outcome::No, format!("400: '{}' is no method", method.escape_debug()));
    };
    let target = match parse_target(path) {
        Ok(target) => target,
        Err(malformed) => return (Outcome::No, format!("400: {malformed}")),
    };
    let decision = acl.decide(&method, target.path());
    let way_out = decision.way_out(&method);
    match &decision {
        Decision::Allow(endpoint, path) => {
            (Outcome::Yes, format!("allowed: {} is {}; the engine answers", path.as_str(), endpoint.name))
        }
        Decision::OnlyGet(endpoint) => {
            (Outcome::No, format!("400: {} is enabled for GET alone; {way_out}", endpoint.name))
        }
        Decision::NotEnabled(endpoint) => {
            (Outcome::No, format!("404: {} is not enabled; {way_out}", endpoint.name))
        }
        Decision::NeverEnabled(_) | Decision::UnknownPath => (Outcome::No, format!("404: {way_out}")),
        Decision::Malformed(problem) => (Outcome::No, format!("400: {problem}; {way_out}")),
    }
}
