//! Answers of an engine that does as it is told, through the whole program: what is redacted, when it fails, and
//! what becomes of the head.

use std::io::Write;
use std::sync::Mutex;

use crate::support::engine::Engine;
use crate::support::http::{self, End, Response};
use crate::support::mock::{Mock, MockConnection, ok_with};
use crate::support::proxy::{Builder, Proxy, program};

const CONTAINER: &str = r#"{"Id":"9f","Name":"/web", "Path":"sh","Args":["-c","hush"],"Config":{"Env":["VIRTUAL_HOST=a.example","PASSWORD=hush"]}}"#;
const WITHOUT_ENV: &str = r#"{"Id":"9f","Name":"/web", "Path":"sh","Args":["-c","hush"],"Config":{"Env":["VIRTUAL_HOST=a.example"]}}"#;

/// An engine that gives one answer to everything.
fn engine(answer: String) -> Mock {
    Mock::new(move |mut connection| {
        while connection.read_head().is_some() {
            connection.send(&answer);
        }
    })
}

fn json(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of an answer that comes in chunks.
const JSON_CHUNKS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn redacting(engine: &Mock, names: &str) -> Builder {
    Proxy::builder(engine.socket()).allow(names).args(["--redact", "env,tokens", "--keep-env", "VIRTUAL_*"])
}

/// The answer of an engine to `/containers/9f/json`, with its environment redacted, and what was logged.
fn shown(answer: &str) -> (Response, String) {
    let engine = engine(answer.to_owned());
    let proxy = redacting(&engine, "containers").start();
    let response = proxy.get("/containers/9f/json");
    let line = proxy.logged(&["endpoint=\"containers:inspect\""]);
    (response, line)
}

#[test]
fn what_is_not_redacted_goes_on_byte_for_byte_and_in_chunks() {
    let (response, _) = shown(&json(CONTAINER));
    assert_eq!(response.text(), WITHOUT_ENV);
    assert_eq!(response.header("Content-Length"), None);
    assert_eq!(response.header("Transfer-Encoding"), Some("chunked"));
    assert_eq!(response.end, End::Complete);
}

#[test]
fn without_redaction_nothing_changes() {
    let engine = engine(json(CONTAINER));
    let proxy = Proxy::builder(engine.socket()).allow("containers").start();
    let response = proxy.get("/containers/9f/json");
    assert_eq!(response.text(), CONTAINER);
    assert_eq!(response.header("Content-Length"), Some(CONTAINER.len().to_string().as_str()));
    let lines = proxy.log();
    let said: Vec<_> = lines.iter().filter(|line| line.contains("show environment variables")).collect();
    assert_eq!(said.len(), 1, "{lines:#?}");
    assert!(said[0].contains("containers:inspect") && !said[0].contains("containers:list"), "{said:?}");
    assert!(said[0].contains("redact=env"), "{said:?}");
}

#[test]
fn errors_of_the_engine_are_filtered_like_its_answers() {
    let body = r#"{"message":"no such container","Env":["PASSWORD=hush"]}"#;
    let error = json(body).replace("200 OK", "404 Not Found");
    let (response, _) = shown(&error);
    assert_eq!(response.status(), 404);
    assert_eq!(response.text(), r#"{"message":"no such container","Env":[]}"#);
    let engine = engine(error);
    let proxy = redacting(&engine, "containers:logs").start();
    assert_eq!(proxy.get("/containers/9f/logs").text(), r#"{"message":"no such container","Env":[]}"#);
}

/// A container of a list, long enough to be remembered.
fn listed(id: &str, status: &str, variable: &str) -> String {
    format!(
        r#"{{"Id":"{id:0>120}","Names":["/web-{id}"],"Status":"{status}","Env":["VIRTUAL_HOST={variable}","PASSWORD=hush"]}}"#
    )
}

/// An engine whose lists are taken from these, one after the other.
fn engine_with_lists(lists: Vec<Vec<String>>) -> Mock {
    let lists = Mutex::new(lists.into_iter());
    Mock::new(move |mut connection| {
        while connection.read_head().is_some() {
            let list = lists.lock().unwrap().next().expect("a list for each request");
            connection.send(&json(&format!("[{}]", list.join(","))));
        }
    })
}

#[test]
fn a_list_that_is_asked_for_again_shows_what_has_changed() {
    let before = vec![listed("1", "Up 1 second", "a"), listed("2", "Up", "b"), listed("3", "Up", "c")];
    let changed = vec![listed("3", "Up", "c"), listed("1", "Up 2 seconds", "a"), listed("2", "Up", "other")];
    let lists = vec![before.clone(), before.clone(), changed.clone(), vec![], changed.clone()];
    let engine = engine_with_lists(lists.clone());
    let proxy = redacting(&engine, "containers").start();
    for list in lists {
        let expected = format!("[{}]", list.join(",")).replace(r#","PASSWORD=hush""#, "");
        assert_eq!(proxy.get("/containers/json").text(), expected);
    }
}

#[test]
fn what_is_remembered_of_a_list_is_not_what_a_limit_left_out() {
    let list = vec![listed("1", "Up", "a"), listed("2", "Up", "b"), listed("3", "Up", "c")];
    let engine = engine_with_lists(vec![list.clone(); 4]);
    let proxy = Proxy::builder(engine.socket())
        .allow("containers")
        .args(["--only", "name:web-2", "--only", "name:web-3"])
        .start();
    let shown = |items: &[String]| format!("[{}]", items.join(","));
    for (target, items) in [
        ("/containers/json", &list[1..]),
        ("/containers/json?limit=1", &list[1..2]),
        ("/containers/json", &list[1..]),
        ("/containers/json?limit=1", &list[1..2]),
    ] {
        assert_eq!(proxy.get(target).text(), shown(items), "{target}");
    }
}

fn text_error(body: &str) -> String {
    let head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_error_in_text_is_shown_like_the_message_of_one_in_json() {
    let (response, _) = shown(&text_error("No such container: 9f\n"));
    assert_eq!((response.status(), response.text()), (404, "No such container: 9f\n".to_owned()));
    assert_eq!(response.header("Content-Type"), Some("text/plain; charset=utf-8"));
    let long = "x".repeat(4097);
    for body in [r#"{"Env":["PASSWORD=hush"]}"#, "\n [\"hush\"]", &long] {
        let (response, line) = shown(&text_error(body));
        assert_eq!(response.status(), 502, "{body}");
        assert!(!response.text().contains("hush"), "{}", response.text());
        assert!(line.contains("no error message") && line.contains("filter_failed"), "{line}");
    }
    let (response, _) = shown(&text_error("hush").replace("404 Not Found", "200 OK"));
    assert_eq!(response.status(), 502);
    let (response, _) = shown(&text_error("hush").replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n"));
    assert_eq!(response.status(), 502);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn errors_of_the_engine_below_api_1_24_are_the_engines_own() {
    let engine = Engine::shared();
    let names = "containers,containers:logs";
    let proxy = Proxy::builder(engine.socket()).allow(names).args(["--redact", "all"]).start();
    for path in
        ["/v1.23/containers/nope/json", "/v1.23/containers/nope/logs?stdout=1", "/v1.24/containers/nope/json"]
    {
        let direct = http::get(engine.socket(), path);
        let shown = proxy.get(path);
        assert_eq!((shown.status(), shown.text()), (direct.status(), direct.text()), "{path}");
        assert_eq!(shown.header("Content-Type"), direct.header("Content-Type"), "{path}");
        assert_eq!(shown.status(), 404, "{path}");
    }
}

#[test]
fn an_answer_that_cannot_be_filtered_is_a_502_and_none_of_it_passes() {
    let compressed = json(CONTAINER).replace("Content-Length", "Content-Encoding: gzip\r\nContent-Length");
    let cases = [
        (compressed, "content encoding"),
        (json(CONTAINER).replace("application/json", "text/html"), "content type"),
        (json(CONTAINER).replace("application/json", "application/json; charset=utf-7"), "content type"),
        (ok_with("hush"), "invalid JSON"),
        (json(r#"{"Env":["PASSWORD=hush"],"Env":[]}"#), "occurs twice"),
        (json(r#"{"Config":{"Env":["PASSWORD=hush"]}"#), "ends too early"),
        (json("PASSWORD=hush"), "invalid JSON"),
        (json(""), "ends too early"),
        (json(&format!("{}\"hush\"{}", "[".repeat(129), "]".repeat(129))), "too deeply"),
    ];
    for (answer, reason) in cases {
        let (response, line) = shown(&answer);
        if response.status() == 200 {
            // What came had gone on before its end was known; then the client sees that the end is missing.
            assert_eq!(response.end, End::CutShort, "{answer}");
        } else {
            assert_eq!(response.status(), 502, "{answer}");
            assert!(response.json()["message"].as_str().unwrap().contains("cannot be filtered"));
        }
        assert!(!response.text().contains("hush"), "{answer}: {}", response.text());
        for part in ["WARN allowed", "ended=\"filter_failed\"", reason] {
            assert!(line.contains(part), "{line} lacks {part}");
        }
    }
}

#[test]
fn an_answer_that_does_not_say_what_it_is_is_filtered_as_json() {
    let (response, _) = shown(&ok_with(CONTAINER));
    assert_eq!((response.status(), response.header("Content-Type")), (200, None));
    assert_eq!(response.text(), WITHOUT_ENV);
}

#[test]
fn what_follows_the_first_bytes_and_cannot_be_filtered_is_cut_off() {
    let engine = Mock::new(|mut connection: MockConnection| {
        connection.read_head();
        connection.send(&format!("{JSON_CHUNKS}{}", chunk(r#"{"Id":"9f","#)));
        // A moment later: the client must have got the first.
        connection.send(&chunk(r#""Name":"web",""#));
        connection.send(&format!("{}0\r\n\r\n", chunk("Id\":\"hush\"}")));
    });
    let proxy = redacting(&engine, "containers").start();
    let response = proxy.get("/containers/9f/json");
    assert!(response.status() == 502 || response.end == End::CutShort, "{response:?}");
    assert!(!response.text().contains("hush"), "{}", response.text());
    proxy.logged(&["WARN allowed", "filter_failed", "occurs twice"]);
}

#[test]
fn the_engine_is_not_asked_to_compress_what_is_filtered() {
    let engine = engine(json(CONTAINER));
    let proxy = redacting(&engine, "containers,containers:archive").start();
    for target in ["/containers/9f/json", "/containers/9f/archive?path=/"] {
        proxy.raw(format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        ));
    }
    let asked: Vec<bool> = engine.heads().iter().map(|head| head.contains("gzip")).collect();
    assert_eq!(asked, [false, true]);
}

#[test]
fn an_event_goes_on_before_the_next_one_comes() {
    let engine = Mock::new(|mut connection: MockConnection| {
        connection.read_head();
        connection.send(JSON_CHUNKS);
        let event = r#"{"Action":"exec_create: sh -c hush","Actor":{"ID":"9f"}}"#;
        connection.send(&chunk(&format!("{event}\n")));
        connection.wait_until_closed();
    });
    let proxy = Proxy::builder(engine.socket()).allow("events").args(["--redact", "commands"]).start();
    let mut client = http::connect(proxy.socket());
    client.write_all(http::GET_EVENTS).unwrap();
    let all = http::read_until(&mut client, |all| http::contains(all, "}\n"));
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains(r#"{"Action":"exec_create","Actor":{"ID":"9f"}}"#), "{text}");
}

#[test]
fn the_head_of_a_stream_comes_before_its_first_event() {
    let engine = Mock::new(|mut connection: MockConnection| {
        connection.read_head();
        connection.send(JSON_CHUNKS);
        connection.wait_until_closed();
    });
    let proxy = Proxy::builder(engine.socket()).allow("events").args(["--redact", "commands"]).start();
    let mut client = http::connect(proxy.socket());
    client.write_all(http::GET_EVENTS).unwrap();
    http::read_until(&mut client, |all| http::contains(all, "\r\n\r\n"));
}

#[test]
fn an_engine_that_breaks_off_is_not_taken_for_the_end() {
    let engine = Mock::answering_once(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"Id\":\"9f\",",
    );
    let proxy = redacting(&engine, "containers").start();
    let response = proxy.get("/containers/9f/json");
    assert_eq!((response.status(), response.end), (200, End::CutShort));
    proxy.logged(&["WARN allowed", "upstream_aborted"]);
}

#[test]
fn what_cannot_be_redacted_is_warned_of_at_the_start() {
    let engine = engine(json("{}"));
    let proxy = redacting(&engine, "containers,containers:logs,containers:export,ping").start();
    for name in ["containers:logs", "containers:export"] {
        proxy.logged(&["WARN", "not JSON", name]);
    }
    let lines = proxy.log();
    let warned = lines.iter().filter(|line| line.contains("not JSON")).count();
    assert_eq!(warned, 2, "{lines:#?}");
    proxy.logged(&["its answers are without env (but VIRTUAL_*)", "containers:inspect"]);
    assert!(!lines.iter().any(|line| line.contains("show environment variables")), "{lines:#?}");
}

#[test]
fn check_says_what_is_not_shown() {
    let check = |args: &[&str]| {
        let output = program().arg("check").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let line = check(&[
        "-a",
        "containers",
        "--redact",
        "paths",
        "--keep-env",
        "VIRTUAL_*",
        "--only",
        "name:web-*",
        "GET",
        "/containers/x/json",
    ]);
    assert!(
        line.ends_with("; the engine answers, without env (but VIRTUAL_*), paths; only name:web-*\n"),
        "{line}"
    );
    let line = check(&["-a", "containers", "--redact", "env", "GET", "/containers/json"]);
    assert!(line.ends_with("; the engine answers\n"), "{line}");
}

#[test]
fn views_that_make_no_sense_are_told_with_the_way_out() {
    for (args, part) in [
        (["--redact", "passwords"], "--redact: unknown class 'passwords'; the classes are: env, "),
        (["--only", "id:9f"], "--only: invalid selector 'id:9f'; write label:KEY=VALUE"),
        (["--only", ""], "--only is empty, which would show everything"),
        (["--redact", "env,"], "--redact is empty, which would show everything"),
        (["--keep-env", " "], "--keep-env is empty, which would show everything"),
        (["--keep-label", ""], "--keep-label is empty, which would show everything"),
    ] {
        let output = program().args(["-a", "info"]).args(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains(part), "{stderr}");
    }
}
