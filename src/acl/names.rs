//! The names that `-a` takes and the endpoints that each opens.

use std::fmt;

use super::catalog::{CATALOG, Endpoint};

/// A name that `-a` does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// The name as it was given.
    pub given: String,
    /// Names that are spelled alike, the nearest first.
    pub near: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown name '{}' for --allow", self.given)?;
        match self.near.as_slice() {
            [] => write!(f, "; the names are: {}", all().join(", ")),
            near => write!(f, "; did you mean {}?", near.join(" or ")),
        }
    }
}

impl std::error::Error for UnknownName {}

/// Every name: groups where they stand first in the catalog, then the endpoints, in its order.
pub fn all() -> Vec<&'static str> {
    let mut names = Vec::new();
    for endpoint in CATALOG {
        for name in endpoint.group.into_iter().chain([endpoint.name]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The rows of the catalog that a name opens; none if there is no such name.
pub fn opened_by(name: &str) -> impl Iterator<Item = (usize, &'static Endpoint)> {
    CATALOG.iter().enumerate().filter(move |(_, row)| row.name == name || row.group == Some(name))
}

/// The error for a name that opens nothing.
pub fn unknown(given: &str) -> UnknownName {
    let alike = |name: &str| {
        let score = strsim::jaro_winkler(given, name);
        if name.contains(given) && given.len() > 2 { score.max(0.9) } else { score }
    };
    let mut near: Vec<_> =
        all().into_iter().map(|name| (alike(name), name)).filter(|(s, _)| *s > 0.8).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    UnknownName { given: given.to_owned(), near: near.into_iter().take(3).map(|(_, name)| name).collect() }
}
