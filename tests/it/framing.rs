//! The promise of framing: an inner request never becomes one of its own upstream, and no byte of a
//! client's body is ever sent to the engine.

use std::io::Write;

use crate::support::http::{self, raw_half_closed, read_to_close, statuses};
use crate::support::library::every_name;
use crate::support::mock::Recorder;
use crate::support::proxy::{BAD_REQUEST, Proxy};

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
        "Content-Length: 5\r\n",
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
        "Transfer-Encoding: chunked\r\n",
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
    for (headers, body) in [
        (format!("Content-Length: {length}\r\n"), INNER),
        (format!("Content-Length: {}\r\n", length / 2), INNER),
        ("Content-Length: 1\r\n".to_owned(), INNER),
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunk.as_str()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), INNER),
        ("Expect: 100-continue\r\nContent-Length: 9999\r\n".to_owned(), INNER),
    ] {
        for (method, status) in [("POST", 400), ("DELETE", 400), ("HEAD", 400), ("PUT", 400)] {
            let text = request(&format!("{method} /info"), &headers, body);
            assert_eq!(
                statuses(&raw_half_closed(proxy.socket(), text.as_bytes())),
                [status],
                "{method} {headers:?}"
            );
        }
        let text = request("POST /none-such", &headers, body);
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), text.as_bytes())), [404], "{headers:?}");
    }
    assert_eq!(engine.received(), "");
}

#[test]
fn a_refusal_is_heard_whole_by_a_client_that_is_still_sending_its_body() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let body = "x".repeat(100_000);
    let text = request("POST /info", &format!("Content-Length: {}\r\n", body.len()), &body);
    let answer = http::parse(&raw_half_closed(proxy.socket(), text.as_bytes()));
    assert_eq!(answer.text(), BAD_REQUEST);
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
    assert_eq!(engine.targets(), ["/info", "/_ping", "/info?2"]);
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
