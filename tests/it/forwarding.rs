//! What an allowed answer is made of reaches the client as the engine sent it.

use std::io::{Read, Write};
use std::sync::Barrier;
use std::time::Duration;

use crate::support::engine::Engine;
use crate::support::http::{
    End, GET_EVENTS, GET_INFO, connect, contains, parse, raw, read_to_close, read_until,
};
use crate::support::mock::{Mock, OK, ok_with};
use crate::support::process::peak_memory;
use crate::support::proxy::Proxy;
use crate::support::transport::{Transport, for_each_transport};
use crate::support::until;

#[test]
fn the_engine_is_asked_with_a_request_made_afresh() {
    let mock = Mock::answering(OK);
    let proxy = Proxy::builder(mock.socket()).allow("containers").start();
    let request = "GET /v1.41/%63ontainers/json?all=1&x=%2f HTTP/1.1\r\nHost: evil\r\nUser-Agent: me\r\nAccept: a/b\r\n\
                   Cookie: secret\r\nUpgrade: tcp\r\nConnection: Upgrade, close\r\nX-Other: y\r\n\r\n";
    assert_eq!(parse(&proxy.raw(request)).text(), "ok");
    let expected =
        "GET /v1.41/containers/json?all=1 HTTP/1.1\r\nhost: docker\r\naccept: a/b\r\nuser-agent: me\r\n\r\n";
    assert_eq!(mock.heads(), [expected]);
}

#[test]
fn connections_are_reused_on_both_sides() {
    let mock = Mock::answering(OK);
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let mut client = connect(proxy.socket());
    for _ in 0..50 {
        client.write_all(GET_INFO).unwrap();
        read_until(&mut client, |all| all.ends_with(b"\r\n\r\nok"));
    }
    for _ in 0..50 {
        assert_eq!(proxy.get("/info").text(), "ok");
    }
    assert_eq!(mock.heads().len(), 100);
    assert_eq!(mock.connections(), 1);
}

#[test]
fn as_many_connections_to_the_engine_are_kept_as_were_in_use_at_once() {
    const CLIENTS: usize = 200;
    let all_asked = Barrier::new(CLIENTS);
    let mock = Mock::new(move |mut connection| {
        while connection.read_head().is_some() {
            all_asked.wait();
            connection.send(OK);
        }
    });
    let proxy = Proxy::builder(mock.socket()).allow("info").args(["--client-share", "100"]).start();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(proxy.socket())).collect();
    for _ in 0..3 {
        for client in &mut clients {
            client.write_all(GET_INFO).unwrap();
        }
        for client in &mut clients {
            read_until(client, |all| all.ends_with(b"\r\n\r\nok"));
        }
    }
    assert_eq!((mock.heads().len(), mock.connections()), (3 * CLIENTS, CLIENTS));
}

#[test]
fn an_idle_client_keeps_its_connection() {
    let mock = Mock::answering(OK);
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let mut client = connect(proxy.socket());
    for _ in 0..2 {
        client.write_all(GET_INFO).unwrap();
        read_until(&mut client, |all| all.ends_with(b"\r\n\r\nok"));
        // Longer than hyper is kept for a connection without requests.
        std::thread::sleep(Duration::from_millis(2500));
    }
    assert_eq!(mock.heads().len(), 2);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let mock = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            connection.send(&ok_with(&path));
        }
    });
    let proxy = Proxy::builder(mock.socket()).allow("containers:inspect").start();
    let mut requests = String::new();
    for i in 0..20 {
        requests += &format!("GET /containers/{i}/json HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    requests += "GET /containers/last/json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let all = String::from_utf8(proxy.raw(requests)).unwrap();
    let bodies: Vec<&str> =
        all.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP/1.1").next().unwrap()).collect();
    let expected: Vec<String> = (0..20)
        .map(|i| i.to_string())
        .chain(["last".into()])
        .map(|id| format!("/containers/{id}/json"))
        .collect();
    assert_eq!(bodies, expected);
}

#[test]
fn end_to_end_headers_pass_and_hop_by_hop_ones_do_not() {
    let mock = Mock::answering(
        "HTTP/1.1 418 Whatever\r\nApi-Version: 1.41\r\nX-A: 1\r\nX-A: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\
         Upgrade: h2c\r\nProxy-Connection: x\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let answer = proxy.get("/info");
    assert_eq!(answer.status(), 418);
    let headers: Vec<_> =
        answer.headers.iter().map(|(n, v)| format!("{n}: {v}")).filter(|h| !h.starts_with("Date")).collect();
    assert_eq!(headers, ["Api-Version: 1.41", "X-A: 1", "X-A: 2", "Content-Length: 2", "Connection: close"]);
}

#[test]
fn trailers_pass() {
    let mock = Mock::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let all = proxy.raw("GET /info HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    assert!(contains(&all, "Trailer: X-Sum\r\n"), "{}", String::from_utf8_lossy(&all));
    assert!(all.ends_with(b"\r\n2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n"), "{}", String::from_utf8_lossy(&all));
}

#[test]
fn chunks_arrive_one_by_one_as_they_are_sent() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        // The second is not sent before the mock has seen the client receive the first.
        connection.wait_until_closed();
    });
    let proxy = Proxy::builder(mock.socket()).allow("events").start();
    let mut client = connect(proxy.socket());
    client.write_all(GET_EVENTS).unwrap();
    read_until(&mut client, |all| all.ends_with(b"5\r\nfirst\r\n"));
}

#[test]
fn an_http_1_0_client_gets_no_chunks() {
    let mock = Mock::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\n...\r\n0\r\n\r\n",
    );
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let answer = parse(&proxy.raw("GET /info HTTP/1.0\r\n\r\n"));
    assert_eq!(
        (answer.status_line.as_str(), answer.text().as_str(), answer.end),
        ("HTTP/1.0 200 OK", "ok...", End::WithConnection)
    );
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn an_engine_that_speaks_http_1_0_is_understood() {
    let mock = Mock::answering_once("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let answer = proxy.get("/info");
    assert_eq!(
        (answer.status_line.as_str(), answer.text().as_str(), answer.end),
        ("HTTP/1.1 200 OK", "until the end", End::Complete)
    );
}

#[test]
fn an_answer_that_the_engine_cuts_short_arrives_cut_short() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
    ] {
        let mock = Mock::answering_once(answer);
        let proxy = Proxy::builder(mock.socket()).allow("info").start();
        let answer = proxy.get("/info");
        assert_eq!((answer.status(), answer.end), (200, End::CutShort), "{answer:?}");
    }
}

#[test]
fn a_101_is_never_relayed() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\ntunnel");
        connection.wait_until_closed();
    });
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    let answer = parse(
        &proxy.raw("GET /info HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: tcp\r\n\r\n"),
    );
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.json()["message"], "docker-proxy-acl: the engine wanted to switch protocols");
    until("the engine's connection is closed", || mock.open() == 0);
}

#[test]
fn a_connection_that_the_engine_closed_meanwhile_is_no_error() {
    let mock = Mock::new(|mut connection| {
        // One answer a connection, then closed without having said so.
        if connection.read_head().is_some() {
            connection.send(OK);
        }
    });
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    for i in 0..200 {
        assert_eq!(proxy.get("/info").text(), "ok", "request {i}");
    }
}

#[test]
fn an_engine_that_closes_kept_connections_on_the_next_request_is_asked_again() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send(OK);
        // Takes the next request and closes without a word, as when the two cross on the way.
        connection.read_head();
    });
    let proxy = Proxy::builder(mock.socket()).allow("info").start();
    for i in 0..20 {
        assert_eq!(proxy.get("/info").text(), "ok", "request {i}");
    }
}

#[test]
fn a_client_that_reads_late_gets_the_end_of_its_answer_too() {
    let mock = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            let size: usize = head.split(['=', ' ']).nth(2).unwrap().parse().unwrap();
            connection.send(&ok_with(&"x".repeat(size)));
        }
    });
    let proxy = Proxy::builder(mock.socket()).allow("containers:list").start();
    // Of some of these sizes the socket takes all but a last part, which waits in the proxy.
    let sizes: Vec<usize> = (100_000..500_000).step_by(10_000).collect();
    for end in [
        "HTTP/1.0\r\n\r\n",
        "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let ask = |size: &usize| {
            let mut client = connect(proxy.socket());
            write!(client, "GET /containers/json?limit={size} {end}").unwrap();
            client
        };
        let clients: Vec<_> = sizes.iter().map(ask).collect();
        // Longer than hyper is kept for a connection without requests.
        std::thread::sleep(Duration::from_millis(300));
        for (mut client, size) in clients.into_iter().zip(&sizes) {
            let came = read_until(&mut client, |all| all.len() >= *size && all.ends_with(&[b'x'; 1000]));
            assert!(came.len() >= *size, "{size} {end:?}");
        }
    }
}

for_each_transport! { [unix, tcp, tls]
    fn a_long_answer_arrives_whole(transport: Transport) {
        const PART: usize = 32768;
        const PARTS: usize = 2048;
        let mock = Mock::new(|mut connection| {
            connection.read_head();
            connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PARTS * PART));
            (0..PARTS).for_each(|part| connection.send(&format!("{part:0PART$}")));
        });
        let server = transport.serve(mock.socket(), "info");
        let mut client = server.connect();
        client.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let answer = parse(&read_to_close(&mut client));
        assert_eq!((answer.status(), answer.end, answer.body.len()), (200, End::Complete, PARTS * PART));
        for (part, bytes) in answer.body.chunks(PART).enumerate() {
            assert!(bytes == format!("{part:0PART$}").as_bytes(), "part {part}");
        }
    }
}

#[test]
fn a_large_answer_takes_little_memory_and_waits_for_its_reader() {
    let mock = Mock::new(|mut connection| {
        connection.read_head();
        connection.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1u64 << 30));
        let block = vec![7; 1 << 20];
        while connection.stream.write_all(&block).is_ok() {}
    });
    let proxy = Proxy::builder(mock.socket()).allow("containers:export").start();
    let mut client = connect(proxy.socket());
    client.write_all(b"GET /containers/x/export HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_until(&mut client, |all| all.len() > 1000);
    let mut block = vec![0; 1 << 20];
    for _ in 0..100 {
        client.read_exact(&mut block).unwrap();
    }
    let peak = peak_memory(proxy.pid());
    assert!(peak < 32 * 1024, "the proxy took {peak} KiB for 100 MiB of a 1 GiB answer");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn real_streams_flow() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket())
        .allow("containers:logs,containers:stats,containers:export,containers:archive")
        .start();
    for target in ["/containers/web/logs?follow=1&stdout=1", "/containers/web/stats"] {
        let mut client = connect(proxy.socket());
        write!(client, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let wanted = if target.contains("logs") { "hello" } else { "\"read\"" };
        read_until(&mut client, |all| contains(all, wanted));
    }
    let export = |socket| {
        parse(&raw(socket, b"GET /containers/web/export HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    };
    let (through, direct) = (export(proxy.socket()), export(engine.socket()));
    assert_eq!(through.end, End::Complete);
    assert_eq!(through.body.len(), direct.body.len());
}
