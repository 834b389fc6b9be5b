//! What holds for every path, tried on generated ones.

use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::library::{
    Acl, Allowed, CanonicalPath, ENGINE, Origin, Reason, Verdict, allow_everything, example, names,
};
use crate::support::routes::{Dispatch, ROUTES, dispatch};

/// Segments, separators and tricks, of which some make up an endpoint's path.
fn piece() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = ENGINE
        .endpoints()
        .iter()
        .flat_map(|row| row.path.split('/'))
        .chain(["v1.41", "v4.0.0", "v1", "web", "a", "ghcr.io", "attach", "ws", "unlockkey", "debug"])
        .filter(|word| !word.is_empty() && !word.starts_with('{'))
        .collect();
    let tricks = vec![
        "/", "//", "%2f", "%2F", ".", "..", "%2e", "%2E%2e", "%", "%00", "%25", "%252f", ";", "%3b", "\\",
        "%5c", "?", "%3f", "#", "%23", " ", "%20", "\n", "%0a", "+", ":", "@", "|", "%7c", "\u{f6}",
        "%c3%b6", "*", "~",
    ];
    prop_oneof![
        4 => select(words).prop_map(|word| format!("/{word}")),
        2 => select(tricks).prop_map(str::to_owned),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        1 => "[ -~]{0,3}",
        1 => any::<char>().prop_map(String::from),
    ]
}

/// A path made of anything.
fn any_path() -> impl Strategy<Value = String> {
    vec(piece(), 0..8).prop_map(|pieces| pieces.concat())
}

/// The path of a row, perhaps with a version, with some of it spelled in another way.
fn path_of_a_row() -> impl Strategy<Value = String> {
    let name = "[a-z0-9:@._|-]{1,6}(/[a-z.]{1,3}|%2[fF][a-z]{1,3}){0,2}";
    let version = select(vec!["", "", "/v1.41", "/v4.0.0", "/v1.2.3.4", "/v1"]);
    let row = select(ENGINE.endpoints().iter().map(|row| row.path).collect::<Vec<_>>());
    (version, row, name, vec((any::<prop::sample::Index>(), any::<bool>()), 0..4)).prop_map(
        |(version, row, name, escapes)| {
            let variables = ["{*name}", "{*id}", "{id}"];
            let named = variables.iter().fold(row.to_owned(), |path, variable| path.replace(variable, &name));
            let mut path = format!("{version}{named}");
            for (place, upper) in escapes {
                let at = place.index(path.len());
                let byte = path.as_bytes()[at];
                if byte != b'%' && path.as_bytes()[at.saturating_sub(2)..at].iter().all(|b| *b != b'%') {
                    let escape = if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                    path.replace_range(at..=at, &escape);
                }
            }
            path
        },
    )
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![any_path(), path_of_a_row()]
}

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(names::all(&ENGINE)), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_path_is_its_own_canonical_form(raw in path()) {
        if let Ok(once) = CanonicalPath::parse(&raw) {
            let again = CanonicalPath::parse(once.as_str()).expect("a canonical path is one");
            prop_assert_eq!(again.as_str(), once.as_str());
            prop_assert_eq!(again.endpoint(), once.endpoint());
        }
    }

    #[test]
    fn the_forwarded_path_is_decided_on_like_the_received_one(raw in path(), names in some_names()) {
        let acl = Acl::from_names(&ENGINE, names).unwrap();
        if let Verdict::Allowed(Allowed { endpoint, path, .. }) = acl.authorize(&Method::GET, &raw, None) {
            match acl.authorize(&Method::GET, path.as_str(), None) {
                Verdict::Allowed(again) => prop_assert!(std::ptr::eq(again.endpoint, endpoint)),
                other => prop_assert!(false, "{raw} is forwarded as {}, which is {other:?}", path.as_str()),
            }
        }
    }

    #[test]
    fn what_is_allowed_is_what_the_engine_takes_it_for(raw in path(), names in some_names()) {
        let acl = Acl::from_names(&ENGINE, &names).unwrap();
        if let Verdict::Allowed(Allowed { endpoint, path, .. }) = acl.authorize(&Method::GET, &raw, None) {
            match dispatch(path.as_str()) {
                Dispatch::Route(_, Some(name)) => prop_assert_eq!(name, endpoint.name),
                other => prop_assert!(false, "{} as {} is {other:?} to the engine", raw, path.as_str()),
            }
            let named = names.iter().any(|name| *name == endpoint.name || Some(*name) == endpoint.group);
            prop_assert!(named, "{} was allowed by none of {:?}", endpoint.name, names);
        }
    }

    #[test]
    fn what_is_allowed_is_a_row_of_the_catalog_and_plain(raw in path()) {
        let acl = allow_everything();
        if let Verdict::Allowed(Allowed { endpoint, path, .. }) = acl.authorize(&Method::GET, &raw, None) {
            prop_assert!(ENGINE.endpoints().iter().any(|row| std::ptr::eq(row, endpoint)));
            prop_assert!(path.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{}", path.as_str());
            for trick in ["//", "/./", "/../", "\\", ";", "?", "#", "%25", "%2F", "%2f", "%00"] {
                prop_assert!(!path.as_str().contains(trick), "{}", path.as_str());
            }
        }
    }

    #[test]
    fn what_the_engine_dispatches_and_no_spelling_hides_is_found(raw in path()) {
        let Ok(path) = CanonicalPath::parse(&raw) else { return Ok(()) };
        // What of the received path is not escaped reads as it is forwarded.
        let open = !raw.to_lowercase().contains("%2f");
        match (dispatch(path.as_str()), allow_everything().authorize(&Method::GET, &raw, None)) {
            // A version that no engine has is none here: the engine itself would refuse it.
            _ if path.endpoint().trim_start_matches("/v").starts_with(|c: char| c == '.' || c.is_ascii_digit()) => {}
            (Dispatch::Route(_, Some(name)), Verdict::Allowed(allowed)) => {
                prop_assert_eq!(name, allowed.endpoint.name);
            }
            (Dispatch::Route(_, Some(name)), Verdict::Denied(denied)) => {
                prop_assert!(!open && denied.reason == Reason::EncodedSlash, "{} is {}: {:?}", raw, name, denied);
            }
            (Dispatch::Route(_, None) | Dispatch::Nothing, verdict) => {
                prop_assert!(matches!(verdict, Verdict::Denied(_)), "{} is {:?}", raw, verdict);
            }
        }
    }

    #[test]
    fn nothing_but_get_is_allowed(raw in path(), method in "[A-Za-z]{1,7}") {
        prop_assume!(method != "GET");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        prop_assert!(!matches!(allow_everything().authorize(&method, &raw, None), Verdict::Allowed(_)));
    }

    #[test]
    fn any_bytes_get_some_decision(raw in any::<String>()) {
        if let Verdict::Denied(denied) = allow_everything().authorize(&Method::GET, &raw, None) {
            prop_assert!(!denied.hint(&Method::GET, &Origin::Flags).is_empty());
            prop_assert!(denied.status().is_client_error());
        }
    }
}

#[test]
fn the_generated_paths_reach_every_row() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut missing: Vec<&str> = ENGINE.endpoints().iter().map(|row| row.path).collect();
    for _ in 0..20_000 {
        let raw = path_of_a_row().new_tree(&mut runner).unwrap().current();
        if let Verdict::Allowed(allowed) = allow_everything().authorize(&Method::GET, &raw, None) {
            missing.retain(|path| *path != allowed.endpoint.path);
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_row_is_a_route_of_the_engine_s() {
    for row in ENGINE.endpoints() {
        assert!(ROUTES.iter().any(|(_, name)| *name == Some(row.name)), "{}", row.name);
        for path in [row.path].into_iter().chain(row.alias).map(example) {
            assert!(matches!(dispatch(&path), Dispatch::Route(_, Some(name)) if name == row.name), "{path}");
        }
    }
    for (path, route) in [
        ("/v1.41/containers/a/b/json", "/containers/{name:.*}/json"),
        ("/networks/", "/networks/"),
        ("/plugins/privileges", "/plugins/privileges"),
        ("/images%2Fjson", "/images/json"),
    ] {
        assert!(matches!(dispatch(path), Dispatch::Route(pattern, _) if pattern == route), "{path}");
    }
    for path in ["/containers//json", "/a/../info", "/info/", "/info%2", "/services/a/b"] {
        assert_eq!(dispatch(path), Dispatch::Nothing, "{path}");
    }
}
