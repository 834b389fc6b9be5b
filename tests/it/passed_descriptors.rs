//! A file descriptor that a client passes along stalls nobody: whoever drops the last reference to a socket
//! that lingers sleeps in the kernel.
//!
//! Kernels from 6.16 on refuse descriptors for a socket that wants none. Older ones are had by a filter that
//! takes that option away from the program.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::support::attempt;
use crate::support::http::{self, GET_INFO, connect, read_until};
use crate::support::lingering::{Lingering, pass};
use crate::support::mock::{Mock, OK};
use crate::support::process::{descriptors, status};
use crate::support::proxy::Proxy;
use crate::support::{PATIENCE, TIMEOUT, until};

/// How long the last close of a [`Lingering`] socket would sleep: longer than a test waits.
const LINGER: Duration = Duration::from_secs(2 * PATIENCE.as_secs());
/// What an ordinary client's answer may take, on a machine with other work to do.
const PROMPT: Duration = Duration::from_secs(5);

/// Starts a proxy with these further arguments on a kernel that cannot refuse descriptors.
fn on_an_older_kernel(engine: &Mock, args: &[&str]) -> Proxy {
    let builder = Proxy::builder(engine.socket()).allow("info").args(args);
    let proxy = builder.under(&attempt::on_an_older_kernel()).start();
    proxy.logged(&["file descriptors that clients pass: cut off, for this kernel cannot refuse them"]);
    proxy
}

fn assert_prompt(proxy: &Proxy) {
    let asked = Instant::now();
    assert_eq!(proxy.get("/info").text(), "ok");
    assert!(asked.elapsed() < PROMPT, "it took {:?}", asked.elapsed());
}

/// While the proxy does not run: what is passed is then there, and the own copy closed, before it looks.
fn while_stopped<T>(proxy: &Proxy, act: impl FnOnce() -> T) -> T {
    proxy.signal("STOP");
    until("the proxy is stopped", || status(proxy.pid(), "State").starts_with('T'));
    let done = act();
    proxy.signal("CONT");
    done
}

/// Waits until the other side is done with a connection.
fn until_cut_off(client: &mut UnixStream) {
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut rest = Vec::new();
    let ended = client.read_to_end(&mut rest);
    let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!timed_out, "it is still connected");
}

#[test]
fn the_kernel_refuses_them_where_it_can() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let line = proxy.logged(&["file descriptors that clients pass: "]);
    let client = connect(proxy.socket());
    let (sent, _lingers) =
        while_stopped(&proxy, || Lingering::new(LINGER).pass(&client, b"G", SendFlags::empty()));
    let expected = if line.contains("refused by the kernel") { Err(Errno::PERM) } else { Ok(1) };
    assert_eq!(sent, expected);
    drop(client);
    assert_prompt(&proxy);
}

#[test]
fn with_the_first_byte_it_stalls_nobody_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &[]);
    let mut client = connect(proxy.socket());
    let (sent, _lingers) =
        while_stopped(&proxy, || Lingering::new(LINGER).pass(&client, b"G", SendFlags::empty()));
    assert_eq!(sent, Ok(1));
    until_cut_off(&mut client);
    assert_prompt(&proxy);
    proxy.logged(&["a client passed file descriptors and was cut off"]);
}

#[test]
fn after_a_request_it_stalls_nobody_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &[]);
    let mut client = connect(proxy.socket());
    client.write_all(GET_INFO).unwrap();
    read_until(&mut client, |all| all.ends_with(b"ok"));
    let (_, _lingers) =
        while_stopped(&proxy, || Lingering::new(LINGER).pass(&client, GET_INFO, SendFlags::empty()));
    until_cut_off(&mut client);
    assert_prompt(&proxy);
}

#[test]
fn with_urgent_data_it_stalls_nobody_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &[]);
    let mut client = connect(proxy.socket());
    let (sent, _lingers) = while_stopped(&proxy, || {
        let passed = Lingering::new(LINGER).pass(&client, b"!", SendFlags::OOB);
        client.write_all(GET_INFO).unwrap();
        passed
    });
    assert_eq!(sent, Ok(1));
    until_cut_off(&mut client);
    assert_prompt(&proxy);
}

#[test]
fn from_a_client_beyond_the_caps_it_stalls_nobody_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &["--max-connections", "1"]);
    let mut within = connect(proxy.socket());
    within.write_all(GET_INFO).unwrap();
    read_until(&mut within, |all| all.ends_with(b"ok"));
    // So that what it passes is there before it is refused.
    let (sent, _lingers) = while_stopped(&proxy, || {
        let beyond = connect(proxy.socket());
        Lingering::new(LINGER).pass(&beyond, b"G", SendFlags::empty())
    });
    assert_eq!(sent, Ok(1));
    proxy.logged(&["WARN limited"]);
    let asked = Instant::now();
    within.write_all(GET_INFO).unwrap();
    read_until(&mut within, |all| all.ends_with(b"ok"));
    assert!(asked.elapsed() < PROMPT, "it took {:?}", asked.elapsed());
}

#[test]
fn one_that_nobody_accepted_does_not_delay_the_end_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let mut proxy = on_an_older_kernel(&engine, &[]);
    proxy.signal("STOP");
    until("the proxy is stopped", || status(proxy.pid(), "State").starts_with('T'));
    let clients: Vec<UnixStream> = (0..16).map(|_| connect(proxy.socket())).collect();
    let lingers: Vec<TcpListener> = clients
        .iter()
        .map(|client| {
            let (sent, lingers) = Lingering::new(LINGER).pass(client, GET_INFO, SendFlags::empty());
            assert_eq!(sent, Ok(GET_INFO.len()));
            lingers
        })
        .collect();
    drop(clients);
    proxy.signal("TERM");
    proxy.signal("CONT");
    let asked = Instant::now();
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(asked.elapsed() < PROMPT, "it took {:?}", asked.elapsed());
    drop(lingers);
}

#[test]
fn many_of_them_leave_no_descriptor_behind_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &[]);
    assert_prompt(&proxy);
    let before = descriptors(proxy.pid());
    let mut lingers = Vec::new();
    for _ in 0..50 {
        let client = connect(proxy.socket());
        lingers
            .push(while_stopped(&proxy, || Lingering::new(LINGER).pass(&client, b"G", SendFlags::empty())));
    }
    assert_prompt(&proxy);
    // Although the sockets that were passed would still linger.
    until("what was passed is closed", || descriptors(proxy.pid()) <= before);
}

/// A socket in a socket, which nobody can keep from lingering: the thread that closes sleeps, and no other.
#[test]
fn one_within_another_s_queue_stalls_nobody_on_an_older_kernel() {
    let engine = Mock::answering(OK);
    let proxy = on_an_older_kernel(&engine, &[]);
    let (outer, inner) = UnixStream::pair().unwrap();
    let (sent, lingers) = Lingering::new(LINGER).pass(&outer, b"G", SendFlags::empty());
    assert_eq!(sent, Ok(1));
    let mut client = connect(proxy.socket());
    let sent = while_stopped(&proxy, || {
        let sent = pass(&client, b"G", inner.as_fd(), SendFlags::empty());
        drop((outer, inner));
        sent
    });
    assert_eq!(sent, Ok(1));
    until_cut_off(&mut client);
    for _ in 0..3 {
        assert_prompt(&proxy);
    }
    assert_eq!(http::get(proxy.socket(), "/version").status(), 404);
    drop(lingers);
}
