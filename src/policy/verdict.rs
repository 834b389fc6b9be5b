//! The verdict on a request: all that is needed to act on it and to explain it.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use thiserror::Error;

use super::Origin;
use super::endpoint::{DeniedPath, Endpoint};
use super::load::Charge;
use super::path::{CanonicalPath, PathError};
use super::query::{Query, QueryError};
use super::version::ApiVersion;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Ask the engine.
    Allowed(Allowed<'a>),
    /// Answer without asking it.
    Denied(Denied),
}

/// A request that may reach the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed<'a> {
    /// The endpoint that it names.
    pub endpoint: &'static Endpoint,
    /// Its path in canonical form.
    pub path: CanonicalPath<'a>,
    /// The version of the API to ask with, if it is not the path's own.
    pub version: Option<ApiVersion>,
    /// What of its query is sent on.
    pub query: Query<'a>,
}

/// A request that may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The endpoint that it names, if it names one; of another method than `GET` only one that is enabled.
    pub endpoint: Option<&'static Endpoint>,
}

/// Why a request is denied. Its `Display` completes "denied because ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    /// Another method than `GET`, whatever the path.
    #[error("only GET allowed")]
    MethodNotAllowed,
    /// The endpoint is not enabled.
    #[error("{} is not allowed here", .0.name)]
    NotAllowed(&'static Endpoint),
    /// No name enables this path.
    #[error("this path is never allowed: {}", .0.why)]
    DeniedPath(&'static DeniedPath),
    /// The path is in no row of the catalog.
    #[error("this path is not in the catalog")]
    UnknownPath,
    /// A query that is not let through.
    #[error(transparent)]
    Query(QueryError),
    /// The path has no canonical form.
    #[error(transparent)]
    Malformed(PathError),
    /// The path has `%2F` where a separator belongs.
    #[error("the path has an encoded slash outside of a name")]
    EncodedSlash,
}

impl Allowed<'_> {
    /// What the engine is asked for: the canonical path and the query. `None` if that is longer than a
    /// request's target may be: a canonical path can be three times as long as the one received.
    pub fn target(&self) -> Option<Uri> {
        match self.version {
            Some(_) => uri(self.prefix() + self.path.endpoint(), self.query.text.as_deref()),
            None => uri(self.path.as_str().to_owned(), self.query.text.as_deref()),
        }
    }

    /// The names that have to be allowed for this request: the endpoint's, and below a version of the API another's.
    pub fn needed_names(&self) -> impl Iterator<Item = &'static str> {
        let also = self.endpoint.also_needed_at(self.version.or(self.path.version()));
        [self.endpoint.name].into_iter().chain(also)
    }

    /// What the answer counts for while it is in flight.
    pub fn charge(&self) -> Charge {
        self.endpoint.load.charge(self.query.text.as_deref())
    }

    /// The version prefix of what the engine is asked for, such as `/v1.41`; empty if there is none.
    pub fn prefix(&self) -> String {
        match self.version {
            Some(version) => format!("/v{version}"),
            None => self.path.prefix().to_owned(),
        }
    }

    /// The name of the object that the path names, as it is written there; `None` if it names none.
    pub fn object_name(&self) -> Option<&str> {
        let (before, after) = self.endpoint.around_name()?;
        self.path.endpoint().strip_prefix(before)?.strip_suffix(after)
    }

    /// The target with another name in its path.
    pub fn target_with_name(&self, name: &str) -> Option<Uri> {
        let (before, after) = self.endpoint.around_name()?;
        uri(format!("{}{before}{name}{after}", self.prefix()), self.query.text.as_deref())
    }

    /// How many items of a list the client asks for; `None` is all.
    pub fn most_items(&self) -> Option<usize> {
        self.query.values("limit").first()?.parse().ok().filter(|most| *most > 0)
    }

    /// The target with other values of some parameters.
    pub fn target_with_values(&self, parameters: &[(&str, &[String])]) -> Option<Uri> {
        let query = self.query.with_values(parameters);
        uri(self.prefix() + self.path.endpoint(), query.as_deref())
    }
}

fn uri(mut path: String, query: Option<&str>) -> Option<Uri> {
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(path)).ok().map(Uri::from)
}

impl Denied {
    pub(super) fn new(reason: Reason, endpoint: Option<&'static Endpoint>) -> Self {
        Self { reason, endpoint }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::NotAllowed(_) | Reason::DeniedPath(_) | Reason::UnknownPath => StatusCode::NOT_FOUND,
            Reason::MethodNotAllowed | Reason::Query(_) | Reason::Malformed(_) | Reason::EncodedSlash => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// What the client is told: the reason and the way out. It says nothing of the host, of other clients, or
    /// of what else is enabled.
    pub fn public_reason(&self) -> String {
        match self.reason {
            Reason::MethodNotAllowed => "docker-proxy-acl passes no other method on".to_owned(),
            Reason::NotAllowed(endpoint) => {
                format!("{} (docker-proxy-acl -a {})", self.reason, endpoint.name)
            }
            Reason::UnknownPath => "this is no endpoint that docker-proxy-acl knows".to_owned(),
            Reason::DeniedPath(_) | Reason::Query(_) | Reason::Malformed(_) | Reason::EncodedSlash => {
                self.reason.to_string()
            }
        }
    }

    /// What would allow a request with this method where this policy is written, or why nothing would.
    pub fn hint(&self, method: &Method, origin: &Origin) -> String {
        let nothing = match origin {
            Origin::Flags => "no -a allows",
            Origin::File(_) | Origin::Learning => "no name allows",
        };
        if method != Method::GET {
            return format!("{nothing} another method than GET");
        }
        match self.reason {
            Reason::NotAllowed(endpoint) => origin.allowing(endpoint),
            Reason::DeniedPath(denied) => format!("{nothing} it: {}", denied.why),
            Reason::UnknownPath => format!("{nothing} it: not in the catalog"),
            Reason::MethodNotAllowed | Reason::Query(_) | Reason::Malformed(_) | Reason::EncodedSlash => {
                format!("{nothing} it")
            }
        }
    }

    /// Whether every Docker client sends such a request at its start, so that it tells nothing of note:
    /// `HEAD /_ping` where `GET /_ping`, which the client falls back to, is allowed.
    pub fn is_version_negotiation(&self, method: &Method) -> bool {
        self.reason == Reason::MethodNotAllowed
            && method == Method::HEAD
            && self.endpoint.is_some_and(|endpoint| endpoint.name == "ping")
    }
}

impl Origin {
    /// What to write to allow an endpoint.
    fn allowing(&self, endpoint: &Endpoint) -> String {
        let group = endpoint.group.filter(|group| *group != endpoint.name);
        let names = [Some(endpoint.name), group].into_iter().flatten();
        match self {
            Self::Flags => {
                let flags: Vec<String> = names.map(|name| format!("-a {name}")).collect();
                format!("{} allows it", flags.join(" or "))
            }
            Self::File(place) => {
                let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
                format!("{} in 'allow' allows it: {place}", names.join(" or "))
            }
            Self::Learning => "the setting include-files lets it through while learning".to_owned(),
        }
    }
}
