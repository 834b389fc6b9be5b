//! The catalog is complete by Docker's own word, which it logs when it starts, not by that of the documents alone.

use std::collections::BTreeSet;

use crate::support::engine::Engine;
use crate::support::library::ENGINE;
use crate::support::routes::ROUTES;

/// What Docker answers a `GET` of, and what is neither a row of the catalog nor one of its refusals.
const NOT_IN_THE_CATALOG: [(&str, &str); 1] = [(
    "/containers/{name:.*}/checkpoints",
    "an experiment that no document lists: the checkpoints that an engine wrote to its disk",
)];

/// A path's form, whatever its parameter is called: `{*}` takes slashes, `{}` does not.
fn form(path: &str) -> String {
    let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
    let (name, after) = rest.split_once('}').unwrap();
    let parameter = if name.starts_with('*') || name.contains(':') { "{*}" } else { "{}" };
    format!("{before}{parameter}{after}")
}

/// Whether a route is a row or a refusal; all below `/debug/` is one refusal.
fn is_in_the_catalog(route: &str) -> bool {
    let rows = ENGINE.endpoints().iter().flat_map(|row| [Some(row.path), row.alias]).flatten();
    let refusals = ENGINE.denied().iter().map(|refusal| refusal.path);
    let route = if is_for_debugging(route) { "/debug/{*}" } else { route };
    rows.chain(refusals).any(|path| form(path) == form(route))
}

fn is_for_debugging(route: &str) -> bool {
    route.starts_with("/debug/")
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn every_get_that_it_registers_is_a_row_or_a_refusal_or_named_with_a_reason() {
    let routes = Engine::shared().routes();
    assert!(routes.len() > 40, "{routes:?}");
    let is_named = |route: &str| NOT_IN_THE_CATALOG.iter().any(|(path, _)| *path == route);
    let unknown: Vec<&String> =
        routes.iter().filter(|route| !is_in_the_catalog(route) && !is_named(route)).collect();
    assert!(unknown.is_empty(), "the engine answers these too: {unknown:?}");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_judge_of_what_it_dispatches_knows_every_get_that_it_registers() {
    let judged: BTreeSet<&str> = ROUTES.iter().map(|(route, _)| *route).collect();
    let routes = Engine::shared().routes();
    let unjudged: Vec<&String> =
        routes.iter().filter(|route| !judged.contains(route.as_str()) && !is_for_debugging(route)).collect();
    assert!(unjudged.is_empty(), "support::routes lacks {unjudged:?}");
}
