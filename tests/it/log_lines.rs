//! The log has one line a refusal, with who, what and the hint, and never what is secret.

use std::io::Write;

use crate::support::http;
use crate::support::http::{GET_EVENTS, connect, ends_with_head, read_until};
use crate::support::mock::{Mock, quiet_stream};
use crate::support::proxy::Proxy;
use crate::support::until;

fn engine() -> Mock {
    Mock::answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhush-body")
}

#[test]
fn a_refusal_is_one_line_with_who_what_and_the_hint() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    proxy.get("/containers/json");
    let me = rustix::process::getuid().as_raw();
    let client = format!("client.uid={me} client.pid={}", std::process::id());
    proxy.logged(&[
        "WARN denied",
        "status=404",
        "method=GET",
        "/containers/json",
        &client,
        "-a containers:list or -a containers",
    ]);
    proxy.request("POST", "/info");
    proxy.logged(&[
        "WARN denied",
        "status=400",
        "method=POST",
        "/info",
        &client,
        "no -a allows another method than GET",
    ]);
    proxy.raw("nonsense\r\n\r\n");
    proxy.logged(&["WARN rejected", "status=400", &client]);
    let refusals = proxy.refusals().len();
    assert_eq!(refusals, 3, "{:#?}", proxy.log());
}

#[test]
fn what_is_no_request_is_logged_with_the_method_and_path_that_could_be_made_out() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    proxy.raw("GET /info?a=1#hush HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.logged(&["WARN rejected", "status=400", "method=GET path=\"/info\"", "byte 0x23 at position 4"]);
    proxy.raw("GET /info?\x01 HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.logged(&["WARN rejected", "status=400", "method=GET path=\"/info\"", "byte 0x01 at position 1"]);
    proxy.raw("POST /other?hush HTTP/1.1\r\n\r\n");
    proxy.logged(&[
        "WARN rejected",
        "status=400",
        "method=POST path=\"/other\"",
        "one Host header is needed",
    ]);
    assert!(proxy.log().iter().all(|line| !line.contains("hush")), "{:#?}", proxy.log());
}

#[test]
fn a_client_s_habit_of_asking_with_head_first_is_no_warning_where_ping_is_allowed() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("ping").start();
    proxy.request("HEAD", "/_ping");
    proxy.logged(&["DEBUG denied", "status=400", "method=HEAD", "/_ping"]);
    proxy.request("HEAD", "/info");
    proxy.logged(&["WARN denied", "status=400", "method=HEAD", "/info"]);
    let without = Proxy::builder(engine.socket()).allow("info").start();
    without.request("HEAD", "/_ping");
    without.logged(&["WARN denied", "status=400", "method=HEAD", "/_ping"]);
}

#[test]
fn an_allowed_request_is_a_debug_line_with_status_bytes_and_duration() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    proxy.get("/v1.41/info");
    proxy.logged(&["DEBUG allowed", "status=200", "method=GET", "/v1.41/info", "bytes=9", "duration_ms="]);

    let quiet = Proxy::builder(engine.socket()).allow("info").args(["--log-level", "info"]).start();
    quiet.get("/info");
    quiet.get("/version");
    quiet.logged(&["WARN denied"]);
    assert!(!quiet.log().iter().any(|line| line.starts_with("DEBUG")), "{:#?}", quiet.log());
}

#[test]
fn no_line_holds_a_query_a_header_or_a_body() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").env("SOME_VARIABLE", "hush-variable").start();
    proxy.get("/info?token=hush-query");
    proxy.get("/version?token=hush-query");
    proxy.request("POST", "/info?token=hush-query");
    proxy.get("/info/%zz?token=hush-query");
    proxy.raw("POST /info HTTP/1.1\r\nHost: x\r\nX-Registry-Auth: hush-header\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhush-body");
    proxy.raw("GET /info?hush-query HTTP/1.1\r\nHost: x\r\nhush header\r\n\r\n");
    until("five were refused", || proxy.refusals().len() == 5);
    proxy.logged(&["allowed"]);
    for line in proxy.log() {
        assert!(!line.contains("hush"), "{line}");
    }
}

#[test]
fn a_client_cannot_forge_a_line() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    proxy.raw("GET /a%0aWARN%20refused HTTP/1.0\r\n\r\n");
    proxy.raw("GET /\x1b[31mred HTTP/1.0\r\n\r\n");
    // What a terminal would show as text from right to left; the missing Host is what refuses it.
    proxy.raw("GET /\u{202e}x<y HTTP/1.1\r\n\r\n");
    proxy.logged(&["WARN rejected", "path=\"/%E2%80%AEx%3Cy\"", "one Host header"]);
    until("all were refused", || proxy.refusals().len() >= 3);
    assert!(proxy.log().iter().all(|line| !line.contains('\x1b')
        && !line.starts_with("WARN%20")
        && !line.starts_with("WARN refused\n")));
    assert_eq!(proxy.refusals().len(), 3);
}

#[test]
fn a_line_is_not_as_long_as_a_client_likes() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("images:inspect").start();
    let long = "A".repeat(60_000);
    proxy.raw(format!("{long} /version HTTP/1.0\r\n\r\n"));
    proxy.raw(format!("GET /{long} HTTP/1.0\r\n\r\n"));
    proxy.raw(format!("GET /images/{long}/json HTTP/1.0\r\n\r\n"));
    proxy.logged(&["allowed"]);
    until("two were refused", || proxy.refusals().len() == 2);
    assert!(proxy.log().iter().all(|line| line.len() < 3000));
}

#[test]
fn names_that_hand_out_files_are_warned_about_at_start() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("containers:export,images:export,info").start();
    proxy.logged(&["WARN", "containers:export", "hands out file contents"]);
    proxy.logged(&["WARN", "images:export", "hands out file contents"]);
    proxy.logged(&["Registering containers:export handlers"]);
    proxy.logged(&["[docker-proxy-acl] Listening on ", &proxy.socket().display().to_string()]);
}

#[test]
fn what_two_listeners_allow_is_said_once() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let second = directory.path().join("s");
    let listen = ["--listen", second.to_str().unwrap()];
    let proxy = Proxy::builder(engine.socket()).allow("images:export,info").args(listen).start();
    proxy.logged(&["Listening on ", second.to_str().unwrap()]);
    assert_eq!(http::get(&second, "/info").text(), "hush-body");
    for line in ["Registering info handlers", "hands out file contents"] {
        assert_eq!(proxy.log().iter().filter(|logged| logged.contains(line)).count(), 1, "{line}");
    }
}

/// Entries of the access log, whatever their outcome and level.
fn entries(proxy: &Proxy) -> Vec<String> {
    proxy.log().into_iter().filter(|line| line.contains(" duration_ms=")).collect()
}

#[test]
fn each_request_has_exactly_one_entry_however_it_ends() {
    let engine = Mock::new(|mut connection| {
        let Some(head) = connection.read_head() else { return };
        connection.send(if head.contains("/info") {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        } else if head.contains("/version") {
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
        } else {
            "no answer"
        });
    });
    let proxy = Proxy::builder(engine.socket()).allow("info,version,ping").start();
    proxy.get("/info");
    proxy.raw("GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.get("/_ping");
    proxy.get("/containers/json");
    proxy.request("POST", "/info");
    proxy.get("/a/../b");
    proxy.raw("nonsense\r\n\r\n");
    for (outcome, parts) in [
        ("DEBUG allowed", ["status=200", "endpoint=\"info\"", "ended=\"complete\""]),
        ("WARN allowed", ["status=200", "endpoint=\"version\"", "ended=\"upstream_aborted\""]),
        ("WARN allowed", ["status=502", "endpoint=\"ping\"", "ended=\"upstream_error\""]),
        ("WARN denied", ["status=404", "endpoint=\"containers:list\"", "ended=\"complete\""]),
        ("WARN denied", ["status=400", "method=POST", "ended=\"complete\""]),
        ("WARN rejected", ["status=400", "path=\"/a/../b\"", "error=\"the path has a dot segment\""]),
        ("WARN rejected", ["status=400", "ended=\"complete\"", "error=\"malformed HTTP"]),
    ] {
        proxy.logged(&[&[outcome], &parts[..]].concat());
    }
    assert_eq!(entries(&proxy).len(), 7, "{:#?}", entries(&proxy));
}

#[test]
fn an_engine_that_breaks_off_in_the_middle_of_its_answer_is_a_warning_at_info_level() {
    let engine = Mock::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--log-level", "info"]).start();
    proxy.raw("GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
    proxy.logged(&["WARN allowed", "status=200", "path=\"/info\"", "bytes=4", "ended=\"upstream_aborted\""]);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_no_warning() {
    let engine = Mock::new(quiet_stream);
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let mut client = connect(proxy.socket());
    client.write_all(GET_EVENTS).unwrap();
    read_until(&mut client, ends_with_head);
    drop(client);
    proxy.logged(&["DEBUG allowed", "path=\"/events\"", "ended=\"client_aborted\""]);
}

#[test]
fn the_version_negotiation_of_docker_clients_is_no_warning() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("ping").start();
    proxy.raw("HEAD /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    proxy.logged(&["DEBUG denied", "status=400", "method=HEAD", "path=\"/_ping\""]);
    proxy.raw("HEAD /v1.41/info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    proxy.logged(&["WARN denied", "method=HEAD", "/v1.41/info"]);
    assert_eq!(proxy.refusals().len(), 1, "{:#?}", proxy.log());
}
