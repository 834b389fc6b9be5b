//! From a canonical path to the row of the catalog that it belongs to.
//!
//! A path of the catalog is a prefix, perhaps a name, and a suffix. No path matches two of them, so their
//! order does not matter; `tests/it/properties.rs` compares with the engine's own routes.

use std::ops::Range;

use super::endpoint::{DeniedPath, Endpoint};
use super::path::CanonicalPath;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The row of the catalog with this index.
    Endpoint(usize),
    /// A path that no name enables.
    Denied(&'static DeniedPath),
    /// No path of the catalog.
    Unknown,
    /// A path with `%2F` where the engine would see a separator and a reader would not.
    EncodedSlash,
}

/// The paths of a catalog.
#[derive(Debug)]
pub struct Router(Vec<(Pattern, Route)>);

/// A path of the catalog, taken apart.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    prefix: &'static str,
    name: Name,
    suffix: &'static str,
}

/// What may stand between a prefix and a suffix.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// Nothing: the prefix is the whole path.
    None,
    /// One segment, as in the engine's `{id}`.
    Segment,
    /// Anything, slashes included, as in the engine's `{name:.*}`.
    Any,
}

impl Router {
    /// The router of a catalog's rows.
    pub fn new(endpoints: &'static [Endpoint], denied: &'static [DeniedPath]) -> Self {
        let denied = denied.iter().map(|denied| (Pattern::new(denied.path), Route::Denied(denied)));
        let endpoints = endpoints.iter().enumerate().flat_map(|(row, endpoint)| {
            let paths = [endpoint.path].into_iter().chain(endpoint.alias);
            paths.map(move |path| (Pattern::new(path), Route::Endpoint(row)))
        });
        Self(denied.chain(endpoints).collect())
    }

    /// Finds where a path leads.
    pub fn route(&self, path: &CanonicalPath<'_>) -> Route {
        let endpoint = path.endpoint();
        let found = self.0.iter().find_map(|(pattern, route)| Some((*route, pattern.find_name(endpoint)?)));
        let (route, name) = found.unwrap_or((Route::Unknown, 0..0));
        if path.has_encoded_slash_outside(&name) { Route::EncodedSlash } else { route }
    }
}

impl Pattern {
    fn new(path: &'static str) -> Self {
        let Some((prefix, (name, suffix))) =
            path.split_once('{').and_then(|(prefix, rest)| Some((prefix, rest.split_once('}')?)))
        else {
            return Self { prefix: path, name: Name::None, suffix: "" };
        };
        Self { prefix, name: if name.starts_with('*') { Name::Any } else { Name::Segment }, suffix }
    }

    /// Where in a path the name is that may hold slashes (nowhere, if it has none); `None` if the path is
    /// another one.
    fn find_name(&self, path: &str) -> Option<Range<usize>> {
        let name = path.strip_prefix(self.prefix)?.strip_suffix(self.suffix)?;
        match self.name {
            Name::None => name.is_empty().then_some(0..0),
            Name::Segment => (!name.is_empty() && !name.contains('/')).then_some(0..0),
            Name::Any => Some(self.prefix.len()..self.prefix.len() + name.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::ENGINE;
    use super::*;

    fn name_of(path: &str) -> &'static str {
        match ENGINE.route(&CanonicalPath::parse(path).unwrap()) {
            Route::Endpoint(row) => ENGINE.endpoints()[row].name,
            Route::Denied(_) => "denied",
            Route::Unknown => "unknown",
            Route::EncodedSlash => "encoded slash",
        }
    }

    #[test]
    fn names_that_look_like_routes_are_names() {
        for (path, name) in [
            ("/containers/json/json", "containers:inspect"),
            ("/containers/export/json", "containers:inspect"),
            ("/containers/export/export", "containers:export"),
            ("/containers/x/attach/ws/json", "containers:inspect"),
            ("/images/getmeili/meilisearch:v1.6/json", "images:inspect"),
            ("/images/library/json/json", "images:inspect"),
            ("/images/json/json", "images:inspect"),
            ("/images/jsonx/json", "images:inspect"),
            ("/images/search/json", "images:inspect"),
            ("/images/get/json", "images:inspect"),
            ("/images/x/history/json", "images:inspect"),
            ("/images/x/history/history", "images:history"),
            ("/images/x/get/get", "images:export"),
            ("/images/get", "images:export"),
            ("/plugins/privileges/json", "plugins:inspect"),
            ("/plugins/vieux/sshfs:latest/json", "plugins:inspect"),
            ("/distribution/a/b/c/json", "distribution:inspect"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
    }

    #[test]
    fn names_hold_slashes_where_the_engine_s_do() {
        for (path, name) in [
            ("/containers/parent/alias/json", "containers:inspect"),
            ("/containers/a/b/top", "containers:top"),
            ("/volumes/tenant1/test", "volumes:inspect"),
            ("/volumes/", "volumes:inspect"),
            ("/volumes/a/", "volumes:inspect"),
            ("/networks", "networks:list"),
            ("/networks/", "networks:list"),
            ("/networks//", "networks:list"),
            ("/networks/a/b", "networks:inspect"),
            ("/exec/a/b/json", "exec:inspect"),
            ("/containers//json", "containers:list"),
            ("/containers//web/json", "containers:inspect"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
    }

    #[test]
    fn what_is_not_in_the_catalog_leads_nowhere() {
        for path in [
            "/",
            "/v1.41",
            "/v1.41/",
            "/containers",
            "/containers/json/",
            "/containers/attach/ws",
            "/images/json/x",
            "/images/a",
            "/services/a/b",
            "/info/",
            "/Version",
        ] {
            assert_eq!(name_of(path), "unknown", "{path}");
        }
        for path in [
            "/containers/a/attach/ws",
            "/containers/a/b/attach/ws",
            "/swarm/unlockkey",
            "/plugins/privileges",
            "/debug/pprof/heap",
            "/session",
        ] {
            assert_eq!(name_of(path), "denied", "{path}");
        }
    }

    #[test]
    fn an_escaped_slash_is_taken_only_inside_a_name_that_may_hold_slashes() {
        for (path, name) in [
            ("/images/ghcr.io%2Fa%2Fb/json", "images:inspect"),
            ("/v1.41/images/ghcr.io%2Fa%2Fb/json", "images:inspect"),
            ("/containers/a%2Fb/json", "containers:inspect"),
            ("/volumes/a%2Fb", "volumes:inspect"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
        for path in [
            "/images%2Fjson",
            "/images%2Fx/json",
            "/images/x%2Fjson",
            "/images/x%2Fy%2Fjson",
            "/containers%2Fjson",
            "/containers/web%2Fjson",
            "/containers/%2Fweb/json",
            "/services/a%2Fb",
            "/v1.41%2Finfo",
            "/%2Finfo",
            "/foo%2Fbar",
        ] {
            assert_eq!(name_of(path), "encoded slash", "{path}");
        }
    }
}
