//! The promise that memory is bounded while a crowd is in the middle of its TLS handshakes.

use std::io::Write;
use std::net::TcpStream;

use crate::memory::settled;
use crate::support::http::connect_tcp;
use crate::support::machine;
use crate::support::mock::{Mock, OK};
use crate::support::process::memory;
use crate::support::tls::{Pki, curl_as, tls_proxy};
use crate::support::tools::combined_output;

/// The beginning of a TLS handshake, so long: records with parts of a ClientHello of its greatest length.
fn partial_handshake(len: usize) -> Vec<u8> {
    let mut hello = vec![1, 0, 0xff, 0xfb];
    hello.resize(len, b'x');
    hello
        .chunks(16 * 1024)
        .flat_map(|part| [&[0x16, 3, 1], &(part.len() as u16).to_be_bytes()[..], part].concat())
        .collect()
}

#[test]
fn a_thousand_partial_handshakes_without_a_certificate_are_bounded_and_keep_nobody_out() {
    const PEERS: usize = 1000;
    /// In KiB: what each may hold, which is 8 KiB and what rustls itself needs, and what all may beyond that.
    const MOST: u64 = PEERS as u64 * 28 + 8 * 1024;
    let _machine = machine::disturbing();
    let (engine, pki) = (Mock::answering(OK), Pki::new());
    let alice = pki.alice();
    let proxy = tls_proxy(&pki, engine.socket()).allow("info").start();
    let url = format!("https://localhost:{}/info", proxy.tcp_port());
    let answered = || combined_output(&curl_as(&alice, &["-o", "/dev/null", "-w", "%{http_code}", &url]));
    assert_eq!(answered(), "200");
    let rest = memory(proxy.pid());
    for kib in [63, 8] {
        let mut crowd: Vec<TcpStream> = (0..PEERS).map(|_| connect_tcp(proxy.tcp_port())).collect();
        for peer in &mut crowd {
            // Some are told already that there is no room.
            let _ = peer.write_all(&partial_handshake(kib * 1024 - 32));
        }
        let with = settled(&proxy);
        assert_eq!(answered(), "200", "an ordinary client has its place among them");
        println!("handshakes of {kib} KiB: at rest {rest} KiB, with {PEERS} {with}");
        assert!(with <= rest + MOST, "{with} KiB with them, {rest} at rest");
    }
}

#[test]
fn a_long_handshake_without_room_ends_and_the_log_says_why() {
    let (engine, pki) = (Mock::answering(OK), Pki::new());
    let proxy = tls_proxy(&pki, engine.socket()).allow("info").start();
    let mut crowd: Vec<TcpStream> = (0..100).map(|_| connect_tcp(proxy.tcp_port())).collect();
    for peer in &mut crowd {
        let _ = peer.write_all(&partial_handshake(60 * 1024));
    }
    proxy.logged(&[
        "WARN limited",
        "too many long TLS handshakes",
        "a handshake of at most 8 KiB always has room",
    ]);
}
