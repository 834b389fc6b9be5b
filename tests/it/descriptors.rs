//! The limit of open files follows the caps on connections; where it does not suffice nothing spins and
//! nothing stops for good.

use std::io::Write;
use std::os::unix::net::UnixStream;

use crate::support::http::{GET_INFO, connect, read_until};
use crate::support::mock::{Mock, OK};
use crate::support::process::status;
use crate::support::proxy::{Builder, Proxy};
use crate::support::until;

/// Starts the proxy with these limits of open files.
fn limited(builder: Builder, soft: u32, hard: u32) -> Builder {
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
    builder.under(&["sh", "-c", &limits, "sh"])
}

/// The soft limit of a running proxy.
fn limit(proxy: &Proxy) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn the_limit_is_raised_to_what_the_caps_need() {
    let engine = Mock::answering(OK);
    let builder = || Proxy::builder(engine.socket()).allow("info");
    let proxy = limited(builder().args(["--max-connections", "200"]), 100, 1000).start();
    assert_eq!(limit(&proxy), 2 * 200 + 64);
    let higher = limited(builder().args(["--max-connections", "200"]), 900, 1000).start();
    assert_eq!(limit(&higher), 900, "it is never lowered");
}

#[test]
fn a_hard_limit_that_does_not_suffice_is_said_with_its_numbers() {
    let engine = Mock::answering(OK);
    let builder = Proxy::builder(engine.socket()).allow("info").args(["--max-connections", "200"]);
    let proxy = limited(builder, 100, 300).start();
    assert_eq!(limit(&proxy), 300);
    proxy.logged(&["WARN RLIMIT_NOFILE is 300; the configured limits need 464", "max-connections"]);
}

#[test]
fn every_connection_that_the_caps_allow_is_served_at_the_same_time() {
    let engine = Mock::answering(OK);
    let caps = ["--max-connections", "200", "--max-requests", "200", "--client-share", "100"];
    let builder = Proxy::builder(engine.socket()).allow("info").args(caps);
    let proxy = limited(builder, 100, 1000).start();
    let mut clients: Vec<UnixStream> = (0..200).map(|_| connect(proxy.socket())).collect();
    for client in &mut clients {
        client.write_all(GET_INFO).unwrap();
    }
    for client in &mut clients {
        read_until(client, |all| all.ends_with(b"\r\n\r\nok"));
    }
}

/// Idle clients take all the descriptors that there are.
fn exhaust(proxy: &Proxy) -> Vec<UnixStream> {
    let clients = (0..100).map(|_| connect(proxy.socket())).collect();
    proxy.logged(&["ERROR cannot accept connections for now: ", "os error 24"]);
    clients
}

fn out_of_descriptors(engine: &Mock) -> Proxy {
    let builder = Proxy::builder(engine.socket()).allow("info").args(["--max-connections", "200"]);
    limited(builder, 40, 40).start()
}

#[test]
fn once_there_are_descriptors_again_everyone_is_served_again() {
    let engine = Mock::answering(OK);
    let proxy = out_of_descriptors(&engine);
    for _ in 0..3 {
        let hoarders = exhaust(&proxy);
        drop(hoarders);
        assert_eq!(proxy.get("/info").text(), "ok");
        proxy.logged(&["accepting connections again"]);
    }
}

#[test]
fn a_client_that_is_in_gets_its_answer_while_there_are_none() {
    let engine = Mock::answering(OK);
    let proxy = out_of_descriptors(&engine);
    let mut first = connect(proxy.socket());
    let mut ask = |end: &str| {
        first.write_all(GET_INFO).unwrap();
        let answer = read_until(&mut first, |all| all.ends_with(end.as_bytes()));
        String::from_utf8(answer).unwrap()
    };
    assert!(ask("ok").starts_with("HTTP/1.1 200 "));
    let hoarders = exhaust(&proxy);
    // Over the connection to the engine that was kept.
    assert!(ask("ok").starts_with("HTTP/1.1 200 "));
    drop(hoarders);
    assert!(ask("ok").starts_with("HTTP/1.1 200 "));
}

#[test]
fn an_engine_that_cannot_be_connected_to_for_want_of_descriptors_is_a_502_that_says_so() {
    let engine = Mock::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let proxy = out_of_descriptors(&engine);
    let mut first = connect(proxy.socket());
    let _hoarders = exhaust(&proxy);
    // A descriptor that becomes free serves either the next client or this one's request.
    until("there is none for the engine", || {
        first.write_all(GET_INFO).unwrap();
        let answer = read_until(&mut first, |all| all.ends_with(b"ok") || all.ends_with(b"}\n"));
        answer.starts_with(b"HTTP/1.1 502 ")
    });
    proxy.logged(&["WARN", "Too many open files", "raise the limit of open files"]);
}

#[test]
fn while_there_are_none_it_does_not_spin() {
    let engine = Mock::answering(OK);
    let proxy = out_of_descriptors(&engine);
    let _hoarders = exhaust(&proxy);
    // A process that spins never gives the processor up by itself; one that waits does so each time that
    // it tries again.
    let (tries, used) = (waits(&proxy), processor_time(&proxy));
    until("it has tried to accept 20 times more", || waits(&proxy) >= tries + 20);
    let ticks = processor_time(&proxy) - used;
    assert!(ticks <= 10, "20 tries took {ticks} hundredths of a second");
}

/// How often it waited.
fn waits(proxy: &Proxy) -> u64 {
    status(proxy.pid(), "voluntary_ctxt_switches").parse().unwrap()
}

/// In clock ticks, which are hundredths of a second: utime and stime of proc_pid_stat(5).
fn processor_time(proxy: &Proxy) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", proxy.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
