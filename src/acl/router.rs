//! From a canonical path to the row of the catalog that it belongs to.

use std::ops::Range;
use std::sync::LazyLock;

use super::catalog::{CATALOG, Endpoint, REFUSED, Refusal};
use super::path::CanonicalPath;

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A row of the catalog.
    Endpoint(&'static Endpoint),
    /// A path that no name opens.
    Refused(&'static Refusal),
    /// No path of the catalog.
    Unknown,
    /// A path with `%2F` where the engine would see a separator and a reader would not.
    HiddenSeparator,
}

/// Finds where a path leads.
pub fn route(path: &CanonicalPath<'_>) -> Route {
    let (route, name) = find(path.endpoint());
    if path.hides_separator_outside(&name) { Route::HiddenSeparator } else { route }
}

/// What stands in the tree at the end of a pattern.
enum Leaf {
    Endpoint(&'static Endpoint),
    Refused(&'static Refusal),
    /// A name of one or more segments and then one of these; `matchit` has catch-alls only at the end
    /// of a pattern, so the last segment is looked up here.
    SpanningName(Vec<(&'static str, &'static Endpoint)>),
}

static TREE: LazyLock<matchit::Router<Leaf>> = LazyLock::new(plant);

/// Also gives the range of a name that may span segments; empty where there is none.
fn find(path: &str) -> (Route, Range<usize>) {
    const NOWHERE: Range<usize> = 0..0;
    let Ok(found) = TREE.at(path) else { return (Route::Unknown, NOWHERE) };
    match found.value {
        Leaf::Endpoint(endpoint) => (Route::Endpoint(endpoint), NOWHERE),
        Leaf::Refused(refusal) => (Route::Refused(refusal), NOWHERE),
        Leaf::SpanningName(suffixes) => {
            let rest = found.params.get("name").unwrap_or_default();
            let Some((name, last)) = rest.rsplit_once('/') else { return (Route::Unknown, NOWHERE) };
            let start = path.len() - rest.len();
            match suffixes.iter().find(|(suffix, _)| *suffix == last) {
                Some((_, endpoint)) => (Route::Endpoint(endpoint), start..start + name.len()),
                None => (Route::Unknown, NOWHERE),
            }
        }
    }
}

fn plant() -> matchit::Router<Leaf> {
    let mut tree = matchit::Router::new();
    let mut spanning: Vec<(&'static str, Vec<(&'static str, &'static Endpoint)>)> = Vec::new();
    for endpoint in CATALOG {
        match endpoint.path.split_once("{*name}/") {
            None => insert(&mut tree, endpoint.path.to_owned(), Leaf::Endpoint(endpoint)),
            Some((prefix, suffix)) => match spanning.iter_mut().find(|(known, _)| *known == prefix) {
                Some((_, suffixes)) => suffixes.push((suffix, endpoint)),
                None => spanning.push((prefix, vec![(suffix, endpoint)])),
            },
        }
    }
    for (prefix, suffixes) in spanning {
        insert(&mut tree, format!("{prefix}{{*name}}"), Leaf::SpanningName(suffixes));
    }
    for refusal in REFUSED {
        insert(&mut tree, refusal.path.to_owned(), Leaf::Refused(refusal));
    }
    tree
}

fn insert(tree: &mut matchit::Router<Leaf>, path: String, leaf: Leaf) {
    tree.insert(path, leaf).expect("the catalog is constant and its rows do not conflict");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(path: &str) -> &'static str {
        match route(&CanonicalPath::parse(path).unwrap()) {
            Route::Endpoint(endpoint) => endpoint.name,
            Route::Refused(_) => "refused",
            Route::Unknown => "unknown",
            Route::HiddenSeparator => "hidden separator",
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
            assert_eq!(name_of(path), "refused", "{path}");
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
            assert_eq!(name_of(path), "hidden separator", "{path}");
        }
    }
}
