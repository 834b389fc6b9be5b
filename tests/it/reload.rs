//! Promise: a reload takes up what is valid at once, also on open connections, loses no request, and
//! changes nothing where the file is invalid.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::engine::Engine;
use crate::support::http::{connect, ends_with_head, get_head, parse, read_to_close, read_until};
use crate::support::mock::{Mock, OK, OK_LINE, quiet_stream};
use crate::support::proxy::Proxy;

fn allowing(names: &str) -> String {
    format!("[[listener]]\naddress = '{{socket}}'\nallow = [{names}]\n")
}

fn status_on(stream: &mut std::os::unix::net::UnixStream, target: &str) -> u16 {
    stream.write_all(get_head(target).as_bytes()).unwrap();
    parse(&read_until(stream, crate::support::http::is_whole)).status()
}

#[test]
fn rights_count_from_the_next_request_on_also_on_connections_that_are_open() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::with_file(engine.socket(), &allowing("'version'")).start();
    let mut open = connect(proxy.socket());
    assert_eq!((status_on(&mut open, "/version"), status_on(&mut open, "/info")), (200, 404));
    proxy.reload(&allowing("'info'"));
    assert_eq!((status_on(&mut open, "/version"), status_on(&mut open, "/info")), (404, 200));
    assert_eq!((proxy.get("/version").status(), proxy.get("/info").status()), (404, 200));
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn rights_that_are_taken_away_end_a_running_stream_of_events_within_a_second() {
    let engine = Engine::shared();
    let proxy = Proxy::with_file(engine.socket(), &allowing("'events', 'info'")).start();
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = connect(proxy.socket());
            stream.write_all(get_head("/events").as_bytes()).unwrap();
            read_until(&mut stream, ends_with_head);
            stream
        })
        .collect();
    proxy.reload(&allowing("'info'"));
    let ended_at = std::time::Instant::now();
    for mut stream in streams {
        read_to_close(&mut stream);
    }
    assert!(ended_at.elapsed() < std::time::Duration::from_secs(1), "{:?}", ended_at.elapsed());
    proxy.logged(&["allowed", "path=\"/events\"", "ended=\"revoked\""]);
}

#[test]
fn a_stream_that_shows_more_than_it_may_now_ends_and_another_goes_on() {
    let engine = Mock::new(quiet_stream);
    let with = |redact: &str| format!("{}redact = [{redact}]\n", allowing("'events', 'containers:stats'"));
    let proxy = Proxy::with_file(engine.socket(), &with("")).start();
    let mut stream = connect(proxy.socket());
    stream.write_all(get_head("/events").as_bytes()).unwrap();
    read_until(&mut stream, ends_with_head);
    proxy.reload(&with(""));
    stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    let went_on = std::io::Read::read(&mut stream, &mut [0; 64]);
    assert!(!matches!(went_on, Ok(0)), "what did not change for a client does not end: {went_on:?}");
    stream.set_read_timeout(Some(crate::support::TIMEOUT)).unwrap();
    proxy.reload(&with("'labels'"));
    read_to_close(&mut stream);
}

#[test]
fn an_invalid_file_changes_nothing_and_is_told_with_line_and_column() {
    let engine = Mock::answering(OK_LINE);
    let proxy = Proxy::with_file(engine.socket(), &allowing("'version'")).start();
    proxy.rewrite(&allowing("'version', 'contaners'"));
    proxy.signal("HUP");
    let line = proxy.logged(&["ERROR", "proxy.toml:3:21: 'allow': unknown name 'contaners'"]);
    assert!(line.contains("the previous configuration stays in use"), "{line}");
    assert_eq!(proxy.get("/version").status(), 200);
    proxy.reload(&allowing("'info'"));
    assert_eq!(proxy.get("/info").status(), 200);
}

#[test]
fn what_needs_a_restart_is_named_in_one_warning_and_stays_as_it_was() {
    let engine = Mock::answering(OK_LINE);
    let proxy = Proxy::with_file(engine.socket(), &allowing("'version'")).start();
    let more = "[[listener]]\naddress = '{dir}/more/docker.sock'\nallow = ['info']\n";
    let head = "threads = 2\nsandbox = false\nuser = '4711'\n";
    proxy.reload(&format!("{head}{}mode = '0600'\n{more}", allowing("'info'")));
    let line = proxy.logged(&["WARN", "these settings stay as they are until a restart"]);
    for what in
        ["user", "sandbox", "threads", "mode or group of listener", "its rules", "more/docker.sock added"]
    {
        assert!(line.contains(what), "{what}: {line}");
    }
    assert!(!proxy.directory().join("more/docker.sock").exists());
    assert_eq!(proxy.get("/info").status(), 404, "it may be allowed because of the mode");
    proxy.reload(&format!("{head}{}{more}", allowing("'info'")));
    assert_eq!(proxy.get("/info").status(), 200, "what needs no restart is taken up");
    proxy.reload("[[listener]]\naddress = '{dir}/more/docker.sock'\nallow = ['info']\n");
    proxy.logged(&["WARN", "acl/docker.sock removed"]);
    assert_eq!(proxy.get("/info").status(), 200);
}

#[test]
fn limits_are_taken_up_and_what_is_in_flight_counts() {
    let engine = Mock::new(quiet_stream);
    let with = |most: u32| format!("{}max_requests = {most}\nclient_share = 100\n", allowing("'info'"));
    let proxy = Proxy::with_file(engine.socket(), &with(10)).start();
    let mut first = connect(proxy.socket());
    first.write_all(get_head("/info").as_bytes()).unwrap();
    read_until(&mut first, ends_with_head);
    proxy.reload(&with(1));
    assert_eq!(proxy.get("/info").status(), 503);
}

#[test]
fn a_thousand_reloads_lose_no_request() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::with_file(engine.socket(), &allowing("'version'")).quiet().start();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut stream = connect(proxy.socket());
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(status_on(&mut stream, "/version"), 200);
                    assert_eq!(proxy.get("/version").status(), 200);
                    asked.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        for turn in 0..1000 {
            let names = if turn % 2 == 0 { "'version', 'info'" } else { "'version'" };
            proxy.rewrite(&allowing(names));
            proxy.signal("HUP");
            let before = asked.load(Ordering::Relaxed);
            crate::support::until("requests go on", || asked.load(Ordering::Relaxed) > before);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(proxy.log(), [""; 0]);
}

#[test]
fn the_sandbox_lets_the_file_s_directory_be_read_and_nothing_more() {
    let engine = Mock::answering(OK_LINE);
    let proxy = Proxy::with_file(engine.socket(), &allowing("'version'")).start();
    proxy.logged(&["sandbox:", "landlock ABI"]);
    proxy.reload(&allowing("'info'"));
    assert_eq!(proxy.get("/info").status(), 200);
}
