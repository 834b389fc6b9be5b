//! The names that `-a` takes and the endpoints that each enables.

use thiserror::Error;

use super::catalog::Catalog;
use super::endpoint::Endpoint;

/// A name that is in no row of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown name '{given}'; {}", advice("names", .suggestions, .known))]
pub struct UnknownName {
    /// The name as it was given.
    pub given: String,
    /// Names that are spelled similarly, the nearest first.
    pub suggestions: Vec<&'static str>,
    /// All names.
    pub known: Vec<&'static str>,
}

/// The way out: what is spelled similarly, else all `things` that there are.
pub fn advice(things: &str, suggestions: &[&str], known: &[&str]) -> String {
    match suggestions {
        [] => format!("the {things} are: {}", known.join(", ")),
        suggestions => format!("did you mean {}?", suggestions.join(" or ")),
    }
}

/// Every name: groups where they stand first in the catalog, then the endpoints, in its order.
pub fn all(catalog: &'static Catalog) -> Vec<&'static str> {
    let mut names = Vec::new();
    for endpoint in catalog.endpoints() {
        for name in endpoint.group.into_iter().chain([endpoint.name]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The rows of the catalog that a name enables, with their indices; none if there is no such name.
pub fn matching(catalog: &'static Catalog, name: &str) -> impl Iterator<Item = (usize, &'static Endpoint)> {
    catalog.endpoints().iter().enumerate().filter(move |(_, row)| row.name == name || row.group == Some(name))
}

/// The error for a name that enables nothing.
pub fn unknown(catalog: &'static Catalog, given: &str) -> UnknownName {
    let known = all(catalog);
    UnknownName { given: given.to_owned(), suggestions: similar(given, &known), known }
}

/// Those that are spelled similarly, the nearest first.
pub fn similar(given: &str, known: &[&'static str]) -> Vec<&'static str> {
    /// Below this two names have little in common.
    const SIMILAR: f64 = 0.8;
    const MAX_SUGGESTIONS: usize = 3;
    let similarity = |name: &str| {
        let score = strsim::jaro_winkler(given, name);
        if name.contains(given) && given.len() > 2 { score.max(0.9) } else { score }
    };
    let mut similar: Vec<_> =
        known.iter().map(|name| (similarity(name), *name)).filter(|(score, _)| *score > SIMILAR).collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0));
    similar.into_iter().take(MAX_SUGGESTIONS).map(|(_, name)| name).collect()
}
