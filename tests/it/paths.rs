//! The promise of paths: what reaches the engine is the canonical form of what was matched, or nothing.

use crate::support::engine::Engine;
use crate::support::http::{self, raw_half_closed, statuses};
use crate::support::library::every_name;
use crate::support::mock::Recorder;
use crate::support::proxy::Proxy;
use crate::support::until;

fn get(path: &[u8]) -> Vec<u8> {
    [b"GET ", path, b" HTTP/1.1\r\nHost: docker\r\n\r\n"].concat()
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_400_and_the_engine_never_hears_of_it() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    let paths: &[&[u8]] = &[
        // Separators in hiding.
        b"/containers%2fjson",
        b"/containers/%2fweb/json",
        b"/services/a%2fb",
        b"/containers/web%2Fjson",
        b"/images%2Fx/json",
        b"/images/x%2fjson",
        b"/v1.41%2finfo",
        b"/%2finfo",
        // Dot segments, in the open and in hiding.
        b"/./info",
        b"/../info",
        b"/containers/../info",
        b"/containers//../info",
        b"/containers/%2e%2e/info",
        b"/containers/.%2E/info",
        b"/images/a%2f..%2f..%2fcontainers/json",
        b"/images/a/../../containers/b/json",
        b"/info/.",
        b"/info/..",
        // What ends a path elsewhere.
        b"/info%3f",
        b"/containers/json%3Fall=1",
        b"/info%23",
        b"/info#",
        b"/info;x=1",
        b"/info%3b",
        b"/containers/a;b/json",
        // Backslashes.
        b"\\info",
        b"/\\info",
        b"/containers\\json",
        b"/containers/a%5c..%5cb/json",
        // Control characters and NUL.
        b"/info%00",
        b"/containers/web%00/json",
        b"/info%0d%0aHost:%20x",
        b"/info%0a",
        b"/info%09",
        b"/info%7f",
        b"/info\x00",
        b"/info\x01",
        b"/info\x7f",
        // Escapes of escapes, and bad ones.
        b"/containers/%252e%252e/json",
        b"/%25%37%36ersion",
        b"/info%",
        b"/info%2",
        b"/info%g0",
        b"/info%-1",
        b"/containers/%u0077eb/json",
        // Bytes beyond ASCII, raw and escaped, overlong forms of a slash and a dot among them.
        b"/inf\xc3\xb6",
        b"/inf\xff",
        b"/inf%c3%b6",
        b"/containers/a%c0%afb/json",
        b"/containers/%c0%ae%c0%ae/json",
        b"/containers/\xef\xbc\x8f/json",
        // No path at all.
        b"info",
        b"*",
        b"",
    ];
    for path in paths {
        let answer = raw_half_closed(proxy.socket(), &get(path));
        assert_eq!(statuses(&answer), [400], "{}", path.escape_ascii());
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn what_looks_like_an_endpoint_and_is_none_is_404() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    for path in [
        "/Version",
        "/INFO",
        "/v1.41",
        "/v1/info",
        "/v1.41/v1.41/info",
        "/v/info",
        "/v1.41.0.0/info",
        "/v.1/info",
        "/V1.41/info",
        "/libpod/info",
        "/v4.0.0/libpod/containers/json",
        "/libpod/images/x%2Fy/json",
        "/services/a/b",
        "/containers/json/",
        "/info/",
        "/v1.41/",
        "/",
        "//",
        "/containers/a/attach/ws",
        "/containers/a/b/attach/ws",
        "/swarm/unlockkey",
        "/info%20",
        "/%20info",
        "/info.",
        "/debug/vars",
        "/plugins/privileges",
    ] {
        assert_eq!(proxy.get(path).status(), 404, "{path}");
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn the_engine_is_asked_for_the_canonical_form() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    let spellings = [
        ("/containers/%77eb/json", "/containers/web/json"),
        ("/%63ontainers/json", "/containers/json"),
        ("/images/nginx%3Alatest/json", "/images/nginx:latest/json"),
        ("/images/ghcr.io%2Fa%2fb/json", "/images/ghcr.io/a/b/json"),
        ("/v1.41/images/a%40sha256%3a0f/json", "/v1.41/images/a@sha256:0f/json"),
        ("/networks/my%20net", "/networks/my%20net"),
        ("/networks/a%7cb", "/networks/a%7Cb"),
        ("/networks/a\"b", "/networks/a%22b"),
        ("/networks/a<b>^`{c}", "/networks/a%3Cb%3E%5E%60%7Bc%7D"),
        ("/containers/.../json", "/containers/.../json"),
        // As the engine's redirects have it.
        ("//info", "/info"),
        ("/v1.41//info", "/v1.41/info"),
        ("/v1.41/containers//web/json", "/v1.41/containers/web/json"),
        ("/containers//json", "/containers/json"),
        ("/images/a%2f%2fb/json", "/images/a/b/json"),
        ("http://docker//info", "/info"),
        ("/networks/", "/networks/"),
        ("/networks//", "/networks/"),
        // Names with slashes, where the engine's own routes take them.
        ("/volumes/tenant1/test", "/volumes/tenant1/test"),
        ("/volumes/tenant1%2Ftest", "/volumes/tenant1/test"),
        ("/containers/parent/alias/json", "/containers/parent/alias/json"),
        ("/containers/x/attach/ws/json", "/containers/x/attach/ws/json"),
        ("/networks/a/b", "/networks/a/b"),
        ("/exec/a/b/json", "/exec/a/b/json"),
        ("http://docker/info", "/info"),
        ("http://user:word@example.com:99/info?a=b", "/info"),
        (
            "/containers/json?all=1&filters=%7B%22a%22%3A%5B%5D%7D",
            "/containers/json?all=1&filters=%7B%22a%22%3A%5B%5D%7D",
        ),
        ("/containers/json?../../info", "/containers/json"),
        ("/info?", "/info"),
        ("/info?a?b=//c", "/info"),
    ];
    for (spelling, _) in spellings {
        assert_eq!(proxy.get(spelling).status(), 200, "{spelling}");
    }
    let canonical: Vec<&str> = spellings.iter().map(|(_, canonical)| *canonical).collect();
    assert_eq!(engine.targets(), canonical);
}

#[test]
fn a_path_that_grows_too_long_in_its_canonical_form_is_refused_in_words() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("networks").start();
    for byte in ["|", "\"", "["] {
        let request = get(format!("/networks/{}", byte.repeat(30_000)).as_bytes());
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), &request)), [414], "{byte}");
    }
    let with_query = format!("/networks/{}?scope={}", "|".repeat(21_000), "x".repeat(4_000));
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &get(with_query.as_bytes()))), [414]);
    assert_eq!(engine.received(), "");
    assert_eq!(proxy.get("/networks").status(), 200);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn legitimate_spellings_reach_what_they_name_on_a_real_engine() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers:inspect,images:inspect").start();
    for path in [
        "/containers/%77eb/json",
        "/v1.41/containers/w%65b/json",
        "/containers//web/json",
        "/v1.41//containers/web//json",
        "/images/busybox%3Alatest/json",
        "/images/ghcr.io%2Fa%2Fb%3Atag/json",
        "/images/getmeili%2fmeilisearch:v1.6/json",
    ] {
        assert_eq!(proxy.get(path).status(), 200, "{path}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn names_with_slashes_and_double_slashes_are_what_they_are_to_a_real_engine() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers,networks,volumes,exec:inspect").start();
    for path in [
        "/volumes/tenant1/test",
        "/volumes/",
        "/volumes/data/",
        "/containers/parent/alias/json",
        "/containers/x/attach/ws/json",
        "/networks/a/b",
        "/networks/a/",
        "/exec/a/b/json",
    ] {
        let (through, direct) = (proxy.get(path), http::get(engine.socket(), path));
        assert_eq!((through.status(), through.text()), (direct.status(), direct.text()), "{path}");
        assert_ne!(direct.message(), "page not found", "{path}");
    }
    assert_eq!(proxy.get("/networks/").status(), 200);
    for path in ["//containers/json", "/v1.41/containers//web/json", "/networks//"] {
        let redirect = http::get(engine.socket(), path);
        let location = redirect.header("Location").expect("the engine redirects").to_owned();
        assert_eq!(redirect.status(), 301, "{path}");
        let before = engine.calls().len();
        assert_eq!(proxy.get(path).status(), 200, "{path}");
        let asked = || engine.calls()[before..].contains(&format!("GET {location}"));
        until(&format!("the engine is asked for {location}"), asked);
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn no_spelling_gets_more_out_of_a_real_engine_than_was_named() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers:inspect").start();
    for path in [
        "/containers/x/../json",
        "/containers/x%2f..%2fjson",
        "/containers/web/json/../top",
        "/containers/web/top%3f/json",
        "/containers/web/top?/json",
        "/containers/web/top#/json",
        "/containers/web/top%00/json",
        "/containers/web%2ftop/json",
        "/containers/../images/json",
        "/images/json;/json",
        "/containers/web/attach%2Fws",
        "/containers//web/attach/ws",
        "/containers/web//top",
    ] {
        let answer = raw_half_closed(proxy.socket(), &get(path.as_bytes()));
        assert!(matches!(statuses(&answer)[..], [400 | 404]), "{path}: {}", answer.escape_ascii());
    }
}
