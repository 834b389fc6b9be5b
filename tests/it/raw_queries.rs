//! The promise of queries: what clients write raw is what the engine would have taken it for.

use crate::support::engine::Engine;
use crate::support::http::{self, raw_half_closed, statuses};
use crate::support::mock::Recorder;
use crate::support::proxy::Proxy;

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: docker\r\n\r\n"].concat()
}

#[test]
fn what_no_uri_holds_raw_is_escaped_for_the_engine_and_the_rest_goes_on_as_it_came() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let targets: [(&[u8], &str); 6] = [
        (b"/info?filters={\"name\":[\"web\"]}", "/info?filters=%7B%22name%22:%5B%22web%22%5D%7D"),
        (b"/info?a<b>c\\d^e`f|g", "/info?a%3Cb%3Ec%5Cd%5Ee%60f%7Cg"),
        (b"/info?a=\xc3\xb6\xff", "/info?a=%C3%B6%FF"),
        (b"/info?%7b%zz%;+'!$&()*,-./:=?@_~", "/info?%7b%zz%;+'!$&()*,-./:=?@_~"),
        (b"http://docker/info?{", "/info?%7B"),
        (b"/info?", "/info?"),
    ];
    for (target, _) in targets {
        assert_eq!(
            statuses(&raw_half_closed(proxy.socket(), &get(target))),
            [200],
            "{}",
            target.escape_ascii()
        );
    }
    assert_eq!(engine.targets(), targets.map(|(_, sent)| sent));
}

#[test]
fn pipelined_requests_keep_their_own_queries() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let all = [get(b"/info?{1"), get(b"/info?2"), get(b"/info?{3}")].concat();
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &all)), [200, 200, 200]);
    assert_eq!(engine.targets(), ["/info?%7B1", "/info?2", "/info?%7B3%7D"]);
}

#[test]
fn a_query_that_grows_too_long_is_refused_in_words() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let long = |count: usize| get(format!("/info?{}", "{".repeat(count)).as_bytes());
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &long(21_000))), [200]);
    let answer = http::parse(&raw_half_closed(proxy.socket(), &long(30_000)));
    assert_eq!(answer.status(), 414);
    assert!(answer.message().contains("too long once what must be is escaped"), "{answer:?}");
    assert_eq!(engine.targets().len(), 1);
}

#[test]
fn a_query_that_is_refused_names_the_byte_and_its_position() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    for (target, words) in [
        ("/info?a#b", "the query holds the byte 0x23 at position 2"),
        ("/info?a b", "the query holds the byte 0x20 at position 2"),
        ("/info?\x01", "the query holds the byte 0x01 at position 1"),
        ("/info?ab\x7f", "the query holds the byte 0x7f at position 3"),
    ] {
        let answer = http::parse(&raw_half_closed(proxy.socket(), &get(target.as_bytes())));
        assert_eq!(answer.status(), 400);
        assert!(answer.message().contains(words), "{}", answer.message());
        proxy.logged(&["rejected", "method=GET path=\"/info\"", words]);
    }
    assert_eq!(engine.received(), "");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn for_every_byte_of_a_query_the_answer_is_a_real_engine_s_own() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("containers:list").start();
    let answers = |target: &[u8]| {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"].concat();
        let ask = |socket| http::parse(&http::raw(socket, &request));
        [ask(proxy.socket()), ask(engine.socket())].map(|answer| (answer.status(), answer.text()))
    };
    let bytes = (0x21..=0x7e).chain(0x80..=0xff).filter(|byte| *byte != b'#');
    for byte in bytes {
        for query in [[&b"a="[..], &[byte], b"b"].concat(), [&b"filters="[..], &[byte], b"b"].concat()] {
            let target = [&b"/containers/json?"[..], &query].concat();
            let [through, direct] = answers(&target);
            assert_eq!(through, direct, "{}", target.escape_ascii());
        }
    }
    let [through, direct] = answers(b"/containers/json?all=1&filters={\"name\":[\"^/web$\"]}");
    assert_eq!(through, direct);
    assert!(through.0 == 200 && through.1.contains("\"/web\""), "{through:?}");
}
