//! The promise of upgrades: no connection ever turns into a tunnel.

use crate::support::http::{self, raw_half_closed, statuses};
use crate::support::library::every_name;
use crate::support::mock::{Mock, Recorder};
use crate::support::proxy::Proxy;
use crate::support::until;

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nsecret";

#[test]
fn a_wish_to_upgrade_is_never_sent_on() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    let wishes = [
        "Connection: Upgrade\r\nUpgrade: tcp\r\n",
        "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
        "Upgrade: tcp\r\n",
        "Connection: Upgrade\r\n",
        "Upgrade: h2c\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n",
    ];
    for wish in wishes {
        let request = format!("GET /info HTTP/1.1\r\nHost: docker\r\n{wish}\r\n");
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), request.as_bytes())), [200], "{wish:?}");
    }
    assert_eq!(engine.targets().len(), wishes.len());
    let received = engine.received().to_lowercase();
    for word in ["upgrade", "h2c", "websocket", "http2-settings"] {
        assert!(!received.contains(word), "the engine got {word}: {received}");
    }
}

#[test]
fn what_follows_a_wish_to_upgrade_is_a_request_or_nothing() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let request = "GET /info HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\
                   GET /containers/json HTTP/1.1\r\nHost: docker\r\n\r\n";
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), request.as_bytes())), [200, 404]);
    let raw =
        "GET /info HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n\x00\x01raw bytes";
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), raw.as_bytes())), [200, 400]);
    assert_eq!(engine.targets(), ["/info", "/info"]);
}

#[test]
fn a_101_from_the_engine_is_a_502_and_its_connection_is_closed() {
    let engine = Mock::answering(SWITCHING);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for wish in ["", "Connection: Upgrade\r\nUpgrade: tcp\r\n"] {
        let request = format!("GET /info HTTP/1.1\r\nHost: docker\r\n{wish}\r\nbytes for a tunnel");
        let answers = raw_half_closed(proxy.socket(), request.as_bytes());
        assert_eq!(statuses(&answers)[0], 502);
        assert!(
            !http::contains(&answers, "secret") && !http::contains(&answers, " 101 "),
            "{}",
            answers.escape_ascii()
        );
    }
    until("the engine's connections are closed", || engine.open() == 0);
}

#[test]
fn interim_answers_of_the_engine_s_are_not_taken_for_the_answer() {
    let engine = Mock::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let answer = proxy.get("/info");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"));
}

#[test]
fn the_preface_of_http_2_is_refused() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = raw_half_closed(proxy.socket(), preface);
    assert_eq!(statuses(&answer), [400]);
    assert!(http::contains(&answer, "HTTP/2 is not supported"));
    let after = [b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n", &preface[..]].concat();
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &after)), [200, 400]);
    assert_eq!(engine.targets(), ["/info"]);
}

#[test]
fn connect_makes_no_tunnel() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(&every_name()).start();
    for target in ["docker:2375", "/info", "http://docker/info", "/session", "/grpc"] {
        let request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: docker\r\n\r\nPOST /containers/create HTTP/1.1");
        let answer = raw_half_closed(proxy.socket(), request.as_bytes());
        assert_eq!(statuses(&answer)[0], 400, "{target}: {}", answer.escape_ascii());
    }
    assert_eq!(engine.received(), "");
}
