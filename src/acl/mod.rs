//! The access control list: which endpoints a listener has enabled, and the decision on a request.
//!
//! Nothing here does I/O. A request's method and path go in, a [`Decision`] comes out.

pub mod catalog;
pub mod names;
pub mod path;
mod router;

use std::fmt;

use http::Method;

pub use catalog::{Answer, Endpoint, Refusal};
pub use names::UnknownName;
pub use path::{CanonicalPath, PathError};

use catalog::CATALOG;
use router::{Route, route};

/// The set of endpoints that a listener has enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acl {
    names: Vec<String>,
    open: [bool; CATALOG.len()],
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// An enabled endpoint: ask the engine for this path.
    Allow(&'static Endpoint, CanonicalPath<'a>),
    /// An enabled endpoint, but another method than `GET`.
    OnlyGet(&'static Endpoint),
    /// An endpoint that is not enabled.
    NotEnabled(&'static Endpoint),
    /// A path that no name opens.
    NeverEnabled(&'static Refusal),
    /// A path that is no endpoint.
    UnknownPath,
    /// A path that cannot be understood in just one way.
    Malformed(MalformedPath),
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MalformedPath {
    /// It has no canonical spelling.
    NotCanonical(PathError),
    /// It has `%2F` where a separator belongs.
    HiddenSeparator,
}

impl Acl {
    /// The ACL that opens what these names stand for.
    ///
    /// # Errors
    /// [`UnknownName`] for the first one that is no name.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, UnknownName> {
        let mut acl = Self { names: Vec::new(), open: [false; CATALOG.len()] };
        for name in names {
            acl.open(name.as_ref())?;
        }
        Ok(acl)
    }

    /// The names that it was made from, in their order, each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The enabled rows of the catalog.
    pub fn endpoints(&self) -> impl Iterator<Item = &'static Endpoint> {
        CATALOG.iter().zip(self.open).filter_map(|(row, open)| open.then_some(row))
    }

    /// What becomes of a request with this method and this path (without its query).
    pub fn decide<'a>(&self, method: &Method, raw_path: &'a str) -> Decision<'a> {
        let path = match CanonicalPath::parse(raw_path) {
            Ok(path) => path,
            Err(error) => return Decision::Malformed(MalformedPath::NotCanonical(error)),
        };
        match route(&path) {
            Route::Endpoint(endpoint) if !self.allows(endpoint) => Decision::NotEnabled(endpoint),
            Route::Endpoint(endpoint) if method != Method::GET => Decision::OnlyGet(endpoint),
            Route::Endpoint(endpoint) => Decision::Allow(endpoint, path),
            Route::Refused(refusal) => Decision::NeverEnabled(refusal),
            Route::Unknown => Decision::UnknownPath,
            Route::HiddenSeparator => Decision::Malformed(MalformedPath::HiddenSeparator),
        }
    }

    fn allows(&self, endpoint: &Endpoint) -> bool {
        self.endpoints().any(|open| std::ptr::eq(open, endpoint))
    }

    fn open(&mut self, name: &str) -> Result<(), UnknownName> {
        if names::opened_by(name).next().is_none() {
            return Err(names::unknown(name));
        }
        for (row, _) in names::opened_by(name) {
            self.open[row] = true;
        }
        if !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        Ok(())
    }
}

impl Decision<'_> {
    /// The `-a` that would allow a request with this method, or why none would.
    pub fn way_out(&self, method: &Method) -> String {
        match self {
            _ if method != Method::GET => "no -a allows another method than GET".to_owned(),
            Self::Allow(..) | Self::OnlyGet(_) => "it is allowed".to_owned(),
            Self::NotEnabled(Endpoint { name, group: Some(group), .. }) if group != name => {
                format!("-a {name} or -a {group} allows it")
            }
            Self::NotEnabled(endpoint) => format!("-a {} allows it", endpoint.name),
            Self::NeverEnabled(refusal) => format!("no -a allows it: {}", refusal.why),
            Self::UnknownPath => "no -a allows it: not in the catalog".to_owned(),
            Self::Malformed(_) => "no -a allows it".to_owned(),
        }
    }
}

impl fmt::Display for MalformedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCanonical(error) => error.fmt(f),
            Self::HiddenSeparator => write!(f, "the path hides a separator in a percent-escape"),
        }
    }
}
