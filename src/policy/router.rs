//! From a canonical path to the row of the catalog that it belongs to.

use std::ops::Range;

use super::catalog::{DeniedPath, Endpoint};
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

/// The paths of a catalog as a tree.
#[derive(Debug)]
pub struct Router(matchit::Router<Leaf>);

/// What the tree holds at the end of a pattern.
#[derive(Debug)]
enum Leaf {
    Endpoint(usize),
    Denied(&'static DeniedPath),
    /// A name of one or more segments and then one of these; `matchit` has catch-alls only at the end
    /// of a pattern, so the last segment is looked up here.
    MultiSegment(Vec<(&'static str, usize)>),
}

impl Router {
    /// The router of a catalog's rows.
    ///
    /// # Panics
    /// If two rows have the same path.
    pub fn new(endpoints: &'static [Endpoint], denied: &'static [DeniedPath]) -> Self {
        let mut router = Self(matchit::Router::new());
        let mut multi_segment: Vec<(&'static str, Vec<(&'static str, usize)>)> = Vec::new();
        for (row, endpoint) in endpoints.iter().enumerate() {
            match endpoint.path.split_once("{*name}/") {
                None => router.insert(endpoint.path.to_owned(), Leaf::Endpoint(row)),
                Some((prefix, suffix)) => {
                    match multi_segment.iter_mut().find(|(known, _)| *known == prefix) {
                        Some((_, suffixes)) => suffixes.push((suffix, row)),
                        None => multi_segment.push((prefix, vec![(suffix, row)])),
                    }
                }
            }
        }
        for (prefix, suffixes) in multi_segment {
            router.insert(format!("{prefix}{{*name}}"), Leaf::MultiSegment(suffixes));
        }
        for path in denied {
            router.insert(path.path.to_owned(), Leaf::Denied(path));
        }
        router
    }

    /// Finds where a path leads.
    pub fn route(&self, path: &CanonicalPath<'_>) -> Route {
        let (route, name) = self.find(path.endpoint());
        if path.has_encoded_slash_outside(&name) { Route::EncodedSlash } else { route }
    }

    /// Also gives the range of a name that may have several segments; empty where there is none.
    fn find(&self, path: &str) -> (Route, Range<usize>) {
        const EMPTY: Range<usize> = 0..0;
        let Ok(found) = self.0.at(path) else { return (Route::Unknown, EMPTY) };
        match found.value {
            Leaf::Endpoint(row) => (Route::Endpoint(*row), EMPTY),
            Leaf::Denied(denied) => (Route::Denied(denied), EMPTY),
            Leaf::MultiSegment(suffixes) => {
                let rest = found.params.get("name").unwrap_or_default();
                let Some((name, last)) = rest.rsplit_once('/') else { return (Route::Unknown, EMPTY) };
                let start = path.len() - rest.len();
                match suffixes.iter().find(|(suffix, _)| *suffix == last) {
                    Some((_, row)) => (Route::Endpoint(*row), start..start + name.len()),
                    None => (Route::Unknown, EMPTY),
                }
            }
        }
    }

    fn insert(&mut self, path: String, leaf: Leaf) {
        self.0.insert(path, leaf).expect("the catalog is constant and its rows do not conflict");
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
    fn what_is_not_in_the_catalog_leads_nowhere() {
        for path in [
            "/",
            "/v1.41",
            "/containers",
            "/containers/a/b/json",
            "/images/json/x",
            "/images/a",
            "/networks/a/b",
            "/Version",
        ] {
            assert_eq!(name_of(path), "unknown", "{path}");
        }
        for path in [
            "/containers/a/attach/ws",
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
        assert_eq!(name_of("/images/ghcr.io%2Fa%2Fb/json"), "images:inspect");
        assert_eq!(name_of("/v1.41/images/ghcr.io%2Fa%2Fb/json"), "images:inspect");
        for path in [
            "/images%2Fjson",
            "/images%2Fx/json",
            "/images/x%2Fjson",
            "/images/x%2Fy%2Fjson",
            "/containers%2Fjson",
            "/containers/web%2Fjson",
            "/containers/a%2Fb/json",
            "/v1.41%2Finfo",
            "/foo%2Fbar",
        ] {
            assert_eq!(name_of(path), "encoded slash", "{path}");
        }
    }
}
