//! The promise of framing: an inner request never becomes one of its own upstream, and no byte of a
//! client's body is ever sent to the engine.

use std::io::Write;

use crate::support::http::{self, GET_INFO, connect, raw_half_closed, read_to_close, read_until, statuses};
use crate::support::library::every_name;
use crate::support::mock::Recorder;
use crate::support::proxy::{BAD_REQUEST, Proxy};
use crate::support::tools::{combined_output, curl};

/// What a smuggler wants the engine to see.
const INNER: &str = "GET /containers/smuggled/json HTTP/1.1\r\nHost: docker\r\n\r\n";

fn request(line: &str, headers: &str, rest: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: docker\r\n{headers}\r\n{rest}")
}

#[test]
fn a_get_that_could_end_in_two_places_is_400_and_the_last_on_its_connection() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    for headers in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: 0, 5\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length : 0\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\r\n\tfolded\r\n",
        "X\r\n",
        ": y\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "Host: other\r\n",
    ] {
        let answer = raw_half_closed(proxy.socket(), request("GET /info", headers, INNER).as_bytes());
        assert_eq!(statuses(&answer), [400], "{headers:?}");
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn the_body_of_another_method_is_neither_read_as_a_request_nor_sent_on() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    let length = INNER.len();
    let chunk = format!("{length:x}\r\n{INNER}\r\n0\r\n\r\n");
    // What is behind the declared end of a body is a request of its own, here a malformed one.
    let with_another = &[400, 400][..];
    for (headers, body, answers) in [
        (format!("Content-Length: {length}\r\n"), INNER, &[400][..]),
        (format!("Content-Length: {}\r\n", length / 2), INNER, with_another),
        ("Content-Length: 1\r\n".to_owned(), INNER, with_another),
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunk.as_str(), &[400]),
        ("Transfer-Encoding: chunked\r\n".to_owned(), INNER, &[400]),
        ("Expect: 100-continue\r\nContent-Length: 9999\r\n".to_owned(), INNER, &[400]),
    ] {
        for method in ["POST", "DELETE", "HEAD", "PUT"] {
            let text = request(&format!("{method} /info"), &headers, body);
            assert_eq!(
                statuses(&raw_half_closed(proxy.socket(), text.as_bytes())),
                answers,
                "{method} {headers:?}"
            );
        }
        let text = request("POST /none-such", &headers, body);
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), text.as_bytes())), answers, "{headers:?}");
    }
    assert_eq!(engine.received(), "");
}

/// As axios and others send it.
#[test]
fn a_get_with_a_well_framed_body_is_answered_and_its_body_goes_nowhere() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let whole = format!("Content-Length: {}\r\n", INNER.len());
    let framings = [
        ("Content-Length: 2\r\n", "{}"),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        (whole.as_str(), INNER),
        ("Content-Length: 1\r\n", INNER),
        ("Content-Length: 9999\r\n", INNER),
        ("Transfer-Encoding: chunked\r\n", INNER),
        ("Expect: 100-continue\r\nContent-Length: 2\r\n", ""),
        ("Connection: keep-alive\r\nContent-Length: 2\r\n", "{}"),
    ];
    for (headers, body) in framings {
        let text = request("GET /info", headers, body) + INNER;
        let answers = raw_half_closed(proxy.socket(), text.as_bytes());
        assert_eq!(statuses(&answers), [200], "{headers:?} {body:?}");
        assert_eq!(http::parse(&answers).header("Connection"), Some("close"), "{headers:?}");
        assert_eq!(
            statuses(&raw_half_closed(proxy.socket(), request("GET /x", headers, body).as_bytes())),
            [404]
        );
    }
    assert_eq!(engine.targets(), vec!["/info"; framings.len()]);
}

#[test]
fn a_refused_body_that_came_whole_is_skipped_and_the_connection_goes_on() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let long = "x".repeat(10_000);
    let length = format!("Content-Length: {}\r\n", long.len());
    let mut stream = connect(proxy.socket());
    for (headers, body) in [
        ("Content-Length: 2\r\n", "{}"),
        ("Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"),
        (length.as_str(), long.as_str()),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n3\r\nabc\r\n0\r\n\r\n"),
    ] {
        // In one packet each, so that it has come whole; the next request shows where it ended.
        let both = request("POST /containers/create", headers, body) + std::str::from_utf8(GET_INFO).unwrap();
        stream.write_all(both.as_bytes()).unwrap();
        let answers = read_until(&mut stream, |all| all.ends_with(b"ok\n"));
        assert_eq!(statuses(&answers), [400, 200], "{headers:?}");
        assert!(!http::contains(&answers, "Connection: close"), "{}", answers.escape_ascii());
    }
    assert_eq!(engine.targets(), ["/info"; 5]);
}

#[test]
fn a_refused_body_that_did_not_come_whole_ends_its_connection_and_the_answer_says_so() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for headers in [
        "Content-Length: 40\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 40\r\nConnection: keep-alive\r\n",
    ] {
        let mut stream = connect(proxy.socket());
        stream.write_all(request("POST /info", headers, "").as_bytes()).unwrap();
        let answer = http::parse(&read_to_close(&mut stream));
        assert_eq!((answer.status(), answer.header("Connection")), (400, Some("close")), "{headers:?}");
        // What is still sent is taken, and is no request.
        stream.write_all(INNER.as_bytes()).unwrap();
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn a_refusal_is_heard_whole_by_a_client_that_is_still_sending_its_body() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let body = "x".repeat(8_000_000);
    let headers = format!("Content-Length: {}\r\n", body.len());
    let text = request("POST /info", &headers, &body);
    let mut stream = connect(proxy.socket());
    stream.write_all(text.as_bytes()).expect("all of it is taken");
    let answer = http::parse(&read_to_close(&mut stream));
    assert!(answer.message().starts_with(BAD_REQUEST.trim_end_matches(".\n")), "{answer:?}");
}

/// The next request of a client that keeps its connection is answered, whether on it or on a new one.
#[test]
fn a_client_that_keeps_its_connection_loses_no_request_to_a_refusal() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let socket = proxy.socket().to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    for len in [2, 10_000, 100_000, 2_000_000] {
        std::fs::write(&file, vec![b'x'; len]).unwrap();
        let body = format!("@{}", file.display());
        let post = ["--unix-socket", socket, "--data-binary", &body, "http://docker/containers/create"];
        let get = ["--next", "-sS", "--unix-socket", socket, "http://docker/info"];
        for _ in 0..5 {
            let output = curl(&[&post[..], &get].concat());
            let printed = combined_output(&output);
            assert!(output.status.success() && printed.ends_with("ok\n"), "{len} bytes: {printed}");
            assert!(printed.contains("400 Bad request ; only GET allowed"), "{len} bytes: {printed}");
        }
    }
    assert_eq!(engine.targets(), ["/info"; 20]);
}

/// As `docker build` and `docker cp` do; curl also tells what came before its upload ended.
#[test]
fn an_upload_shows_its_refusal() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("archive");
    std::fs::write(&file, vec![b'x'; 8_000_000]).unwrap();
    let socket = proxy.socket().to_str().unwrap();
    for expect in ["Expect: 100-continue", "Expect:"] {
        let upload = ["-T", file.to_str().unwrap(), "-X", "POST", "-H", expect];
        let output = curl(&[&["--unix-socket", socket], &upload[..], &["http://docker/build"]].concat());
        assert!(output.status.success(), "{expect}: {output:?}");
        assert!(combined_output(&output).contains("400 Bad request ; only GET allowed"), "{output:?}");
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn pipelined_requests_are_answered_in_turn_each_judged_by_itself() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info,ping").start();
    let mut all = String::new();
    for line in
        ["GET /info", "GET /version", "POST /info", "GET /_ping", "GET /containers/json", "GET /info?2"]
    {
        all += &request(line, "", "");
    }
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), all.as_bytes())), [200, 404, 400, 200, 404, 200]);
    assert_eq!(engine.targets(), ["/info", "/_ping", "/info"]);
}

#[test]
fn a_thousand_pipelined_requests_get_a_thousand_answers() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let all = request("GET /info", "", "").repeat(1000);
    let mut stream = http::connect(proxy.socket());
    let mut sender = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        sender.write_all(all.as_bytes()).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(statuses(&read_to_close(&mut stream)), [200; 1000]);
    writing.join().unwrap();
}

#[test]
fn a_request_is_the_same_however_its_bytes_are_split() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let text = request("GET /info", "X-Long: value\r\n", "") + &request("GET /version", "", "");
    for cut in 1..text.len() {
        let mut stream = http::connect(proxy.socket());
        stream.write_all(&text.as_bytes()[..cut]).unwrap();
        if cut % 7 == 0 {
            // Now and then the proxy surely sees the two parts one by one.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        stream.write_all(&text.as_bytes()[cut..]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(statuses(&read_to_close(&mut stream)), [200, 404], "cut at {cut}");
    }
    assert_eq!(engine.targets(), vec!["/info"; text.len() - 1]);
}

#[test]
fn expect_gets_no_continue() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let bare = request("GET /info", "Expect: 100-continue\r\n", "");
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), bare.as_bytes())), [200]);
    assert!(!engine.received().to_lowercase().contains("expect"));
}

#[test]
fn other_forms_of_target_lead_to_the_same_decision_or_nowhere() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for (line, status) in [
        ("GET http://docker/info", 200),
        ("GET HTTP://DOCKER/info", 200),
        ("GET http://docker/containers/json", 404),
        ("GET http://docker", 404),
        ("GET http://docker/../info", 400),
        ("GET ftp://docker/info", 400),
        ("GET http:///info", 400),
        ("GET http://", 400),
        ("GET docker:2375", 400),
        ("GET *", 400),
        ("OPTIONS *", 400),
        ("CONNECT docker:2375", 400),
        ("CONNECT /info", 400),
        ("GET  /info", 400),
        ("GET /info x", 400),
        ("GET\t/info", 400),
        ("get /info", 400),
        ("GETT /info", 400),
    ] {
        let answer = raw_half_closed(proxy.socket(), request(line, "", "").as_bytes());
        assert_eq!(statuses(&answer), [status], "{line}");
    }
    assert_eq!(engine.targets(), ["/info", "/info"]);
}

#[test]
fn only_four_of_a_client_s_headers_travel() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let headers = "Accept: a/b\r\nAccept-Encoding: gzip\r\nUser-Agent: me\r\nX-Registry-Auth: e30=\r\n\
                   Connection: close, Host, Accept\r\nTE: trailers\r\nTrailer: X\r\nCookie: a=b\r\n\
                   Authorization: Basic x\r\nX-Forwarded-For: 1.2.3.4\r\nX-HTTP-Method-Override: POST\r\n\
                   Content-Length: 0\r\nContent-Type: text/plain\r\nRange: bytes=0-1\r\nVia: x\r\n";
    assert_eq!(
        statuses(&raw_half_closed(proxy.socket(), request("GET /info", headers, "").as_bytes())),
        [200]
    );
    let mut lines: Vec<String> = engine.received().trim_end().split("\r\n").map(str::to_lowercase).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "accept-encoding: gzip",
            "accept: a/b",
            "get /info http/1.1",
            "host: docker",
            "user-agent: me",
            "x-registry-auth: e30="
        ]
    );
}
