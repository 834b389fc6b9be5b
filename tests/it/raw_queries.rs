//! The promise of queries: what clients write raw is what the engine would have taken it for.

use crate::support::engine::Engine;
use crate::support::http::{self, raw_half_closed, statuses};
use crate::support::mock::Recorder;
use crate::support::proxy::Proxy;

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: docker\r\n\r\n"].concat()
}

/// The engine's view of a query: its one parameter, decoded.
fn filters(target: &str) -> String {
    let encoded = target.strip_prefix("/containers/json?filters=").unwrap_or_else(|| panic!("{target}"));
    let mut decoded = Vec::new();
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        (decoded, rest) = match first {
            b'%' => {
                let digits = std::str::from_utf8(&tail[..2]).unwrap();
                decoded.push(u8::from_str_radix(digits, 16).unwrap());
                (decoded, &tail[2..])
            }
            byte => {
                decoded.push(*byte);
                (decoded, tail)
            }
        };
    }
    String::from_utf8(decoded).unwrap()
}

#[test]
fn what_no_uri_holds_raw_is_escaped_for_the_engine_and_means_the_same() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("containers:list").start();
    let raw = [
        r#"{"name":["web"]}"#,
        r#"{"label":["a<b>c^d`e|f"]}"#,
        r#"{"name":["\\"]}"#,
        "{\"name\":[\"\u{f6}\"]}",
        r#"{"name":["'!$()*,-./:=?@_~"]}"#,
    ];
    for filters in raw {
        let target = format!("/containers/json?filters={filters}");
        assert_eq!(statuses(&raw_half_closed(proxy.socket(), &get(target.as_bytes()))), [200], "{target}");
    }
    let absolute = get(b"http://docker/containers/json?filters={}");
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &absolute)), [200]);
    let sent: Vec<serde_json::Value> =
        engine.targets().iter().map(|target| serde_json::from_str(&filters(target)).unwrap()).collect();
    let meant = raw.iter().chain(&["{}"]).map(|text| serde_json::from_str(text).unwrap());
    assert_eq!(sent, meant.collect::<Vec<serde_json::Value>>());
    let plain = engine.targets().iter().all(|target| target.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(plain, "{:?}", engine.targets());
}

#[test]
fn pipelined_requests_keep_their_own_queries() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("containers:list").start();
    let list = |query: &str| get(format!("/containers/json?{query}").as_bytes());
    let all = [list(r#"filters={"a":["1"]}"#), list("limit=2"), list(r#"filters={"a":["3"]}"#)].concat();
    assert_eq!(statuses(&raw_half_closed(proxy.socket(), &all)), [200, 200, 200]);
    let targets = engine.targets();
    assert_eq!(filters(&targets[0]), r#"{"a":["1"]}"#);
    assert_eq!(targets[1], "/containers/json?limit=2");
    assert_eq!(filters(&targets[2]), r#"{"a":["3"]}"#);
}

#[test]
fn a_query_that_grows_too_long_is_refused_in_words() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let long = |count: usize| get(format!("/info?{}", "{".repeat(count)).as_bytes());
    let answer = http::parse(&raw_half_closed(proxy.socket(), &long(21_000)));
    assert_eq!(answer.status(), 400);
    assert!(answer.message().contains("the query is longer than 4096 bytes"), "{answer:?}");
    let answer = http::parse(&raw_half_closed(proxy.socket(), &long(30_000)));
    assert_eq!(answer.status(), 414);
    assert!(answer.message().contains("too long once what must be is escaped"), "{answer:?}");
    assert_eq!(engine.received(), "");
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
            // What is a bad value to the engine is one to the proxy, which says so in words of its own. Other tests'
            // containers come, go and age between the two answers, so that they are asked for again.
            let agree = || {
                let [through, direct] = answers(&target);
                through == direct || (through.0 == 400 && direct.0 >= 400)
            };
            assert!((0..10).any(|_| agree()), "{}: {:?}", target.escape_ascii(), answers(&target));
        }
    }
    let web = b"/containers/json?all=1&filters={\"name\":[\"^/web$\"]}";
    let agree = || {
        let [through, direct] = answers(web);
        through == direct && through.0 == 200 && through.1.contains("\"/web\"")
    };
    assert!((0..10).any(|_| agree()), "{:?}", answers(web));
}
