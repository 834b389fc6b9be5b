//! What a certificate says costs nobody else time, and no more than a kilobyte of a log line, on either side.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::crafted::{Crafted, provider, shake_hands};
use crate::support::http::connect_tcp;
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::Proxy;
use crate::support::tls::{CertDir, Pki, VALID, curl_as, tls_proxy};
use crate::support::tools::combined_output;

#[test]
fn a_labyrinth_of_certificates_is_refused_at_once_and_nobody_waits_for_it() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let crafted = Crafted::labyrinth();
    let port = proxy.tcp_port();
    let slowest = std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            for _ in 0..3 {
                let ended = shake_hands(&pki, port, crafted.chain.clone(), crafted.key());
                assert!(ended.contains("alert") || ended.contains("reset"), "{ended}");
            }
        });
        let mut slowest = Duration::ZERO;
        while !attack.is_finished() {
            let started_at = Instant::now();
            assert_eq!(proxy.get("/version").status(), 200);
            slowest = slowest.max(started_at.elapsed());
        }
        slowest
    });
    println!("an ordinary client waited {slowest:?} at most");
    assert!(slowest < Duration::from_secs(1), "an ordinary client waited {slowest:?}");
    proxy.logged(&[
        "WARN rejected",
        "the client's certificate cannot be used: 193 certificates were presented, and no chain needs more than 6",
    ]);
}

/// An engine that shows a chain to whoever connects.
fn engine_with(crafted: &Crafted) -> u16 {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(crafted.chain.clone(), crafted.key()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // The handshake fails; that is the proxy's matter.
            let _ = rustls::StreamOwned::new(session, stream).read(&mut [0; 1]);
        }
    });
    port
}

#[test]
fn a_labyrinth_of_the_engine_s_certificates_is_refused_at_once_too() {
    let pki = Pki::new();
    let port = engine_with(&Crafted::labyrinth());
    let upstream = format!("tcp://localhost:{port}");
    let proxy = Proxy::builder(upstream.as_ref()).allow("version").args(pki.alice().upstream_flags()).start();
    let started_at = Instant::now();
    assert_eq!(proxy.get("/version").status(), 502);
    let took = started_at.elapsed();
    println!("it took {took:?}");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    proxy.logged(&[
        "WARN",
        "status=502",
        "the engine's certificate cannot be used: 193 certificates were presented",
    ]);
}

#[test]
fn an_endless_handshake_is_cut_off() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let mut client = connect_tcp(proxy.tcp_port());
    // A handshake message of its greatest length, in records of a byte each.
    let mut records = vec![0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    while records.len() < 200_000 {
        records.extend([0x16, 3, 1, 0, 1, 0]);
    }
    let _ = client.write_all(&records);
    proxy.logged(&["WARN rejected", "the TLS handshake took more than 65536 bytes"]);
    assert_closed(&mut client);
}

fn assert_closed(client: &mut TcpStream) {
    let mut rest = Vec::new();
    match client.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

/// Every line that was logged so far is short; none is what a certificate's holder wanted it to be.
fn assert_short_lines(proxy: &Proxy) {
    for line in proxy.log() {
        assert!(line.len() < 1024, "a line of {} bytes: {line}", line.len());
    }
}

fn chain_and_key(certs: &CertDir) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    (CertificateDer::from_pem_file(certs.cert()).unwrap(), PrivateKeyDer::from_pem_file(certs.key()).unwrap())
}

#[test]
fn of_a_client_with_thousands_of_names_a_line_shows_a_kilobyte() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let names: Vec<String> = (0..2000).map(|number| format!("DNS:host-{number}.example")).collect();
    let eve = pki.issue_custom("eve", VALID, &format!("subjectAltName={}", names.join(",")));
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let output = curl_as(&eve, &[&format!("https://localhost:{}/version", proxy.tcp_port())]);
    assert_eq!(combined_output(&output), "ok\n");
    let line = proxy.logged(&["allowed", "cn=\"eve\",san=\"host-0.example\"", "..."]);
    assert!(line.len() > 512, "{line}");
    assert_short_lines(&proxy);
}

/// A certificate, and in it the object identifier of its signature's algorithm made long.
fn with_long_signature_oid(certificate: &[u8], len: usize) -> Vec<u8> {
    let parts = children(Tlv::read(certificate).content);
    let [tbs, algorithm, signature] = &parts[..] else { panic!("a certificate has three parts") };
    let long = tlv(0x30, &tlv(0x06, &vec![0x7f; len]));
    let fields = children(Tlv::read(tbs).content);
    let fields = fields.into_iter().map(|field| if field == *algorithm { long.clone() } else { field });
    let tbs = tlv(0x30, &fields.collect::<Vec<_>>().concat());
    tlv(0x30, &[tbs, long, signature.clone()].concat())
}

/// An element of DER: what is in it, and its length with its head.
struct Tlv<'a> {
    content: &'a [u8],
    whole: usize,
}

impl<'a> Tlv<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let (head, len) = match bytes[1] {
            short @ ..0x80 => (2, usize::from(short)),
            long => {
                let count = usize::from(long & 0x7f);
                (2 + count, bytes[2..2 + count].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
            }
        };
        Self { content: &bytes[head..head + len], whole: head + len }
    }
}

fn children(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (first, rest) = bytes.split_at(Tlv::read(bytes).whole);
        all.push(first.to_vec());
        bytes = rest;
    }
    all
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let head = match len {
        0..0x80 => vec![tag, len as u8],
        0x80..0x1_0000 => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        _ => panic!("{len} bytes are too many for a test"),
    };
    [head, content.to_vec()].concat()
}

#[test]
fn of_a_signature_algorithm_that_nobody_knows_a_line_shows_a_kilobyte() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let (certificate, key) = chain_and_key(&pki.alice());
    let crafted = with_long_signature_oid(&certificate, 30_000);
    let ended = shake_hands(&pki, proxy.tcp_port(), vec![crafted.into()], key);
    println!("{ended}");
    let line = proxy.logged(&["WARN rejected", "the client's certificate cannot be used"]);
    assert!(line.len() > 512 && line.contains("..."), "{line}");
    assert_short_lines(&proxy);
}

#[test]
fn of_an_engine_with_thousands_of_names_a_line_shows_a_kilobyte() {
    let pki = Pki::new();
    let names: Vec<String> = (0..2000).map(|number| format!("DNS:host-{number}.example")).collect();
    let other = pki.issue_custom("other", VALID, &format!("subjectAltName={}", names.join(",")));
    let (certificate, _) = chain_and_key(&other);
    let key = KeyPair::from_pem(&std::fs::read_to_string(other.key()).unwrap()).unwrap();
    let port = engine_with(&Crafted { chain: vec![certificate], key });
    let upstream = format!("tcp://localhost:{port}");
    let proxy = Proxy::builder(upstream.as_ref()).allow("version").args(pki.alice().upstream_flags()).start();
    assert_eq!(proxy.get("/version").status(), 502);
    let line = proxy.logged(&["status=502", "the engine's certificate is for other names"]);
    assert!(line.len() > 512 && line.contains("..."), "{line}");
    assert_short_lines(&proxy);
}
