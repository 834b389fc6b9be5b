//! Certificates that change on disk are taken up without a restart, and broken ones are not.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::mock::{Mock, OK_LINE};
use crate::support::process::threads;
use crate::support::proxy::Proxy;
use crate::support::tls::{CertDir, Pki, curl_as, tls_proxy};
use crate::support::tools::combined_output;
use crate::support::until;

fn works(proxy: &Proxy, client: &CertDir) -> bool {
    combined_output(&curl_as(client, &[&format!("https://localhost:{}/version", proxy.tcp_port())])) == "ok\n"
}

/// Puts other files in the place of a listener's, each at once.
fn replace(at: &CertDir, by: &CertDir) {
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        let new = at.0.join(format!("{file}.new"));
        std::fs::copy(by.0.join(file), &new).unwrap();
        std::fs::rename(new, at.0.join(file)).unwrap();
    }
}

fn files_in_use_stay(proxy: &Proxy, reason: &str) {
    proxy.logged(&["ERROR", reason, "the previous certificates stay in use"]);
}

#[test]
fn a_new_ca_and_certificate_are_taken_up_on_sighup_and_open_connections_go_on() {
    let (mock, pki, next) = (Mock::answering(OK_LINE), Pki::new(), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    assert!(works(&proxy, &pki.alice()));
    let mut open = Command::new("openssl");
    open.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", proxy.tcp_port())]);
    open.args(pki.alice().openssl_flags());
    let mut open = open.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, output) = (open.stdin.take().unwrap(), open.stdout.take().unwrap());
    let mut lines = BufReader::new(output).lines().map(Result::unwrap);
    let mut ask = || {
        input.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(lines.find(|line| line == "ok").as_deref(), Some("ok"));
    };
    ask();

    replace(&pki.server(), &next.server());
    proxy.signal("HUP");
    proxy.logged(&["certificates reloaded", "server/cert.pem"]);
    assert!(works(&proxy, &next.alice()));
    assert!(!works(&proxy, &pki.alice()));
    // A certificate of the CA before, shown to the certificate of the one after: each side refuses.
    proxy.logged(&["rejected", "the client"]);
    ask();
    open.kill().unwrap();
    open.wait().unwrap();
}

#[test]
fn what_is_broken_is_reported_once_and_what_was_before_stays() {
    let (mock, pki, other) = (Mock::answering(OK_LINE), Pki::new(), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let key = pki.server().key();
    let good = std::fs::read(&key).unwrap();
    std::fs::copy(other.server().key(), &key).unwrap();
    proxy.signal("HUP");
    files_in_use_stay(&proxy, "does not match its private key");
    assert!(works(&proxy, &pki.alice()));
    std::fs::write(&key, "nonsense").unwrap();
    proxy.signal("HUP");
    files_in_use_stay(&proxy, "key.pem has no private key");
    std::fs::remove_file(&key).unwrap();
    proxy.signal("HUP");
    files_in_use_stay(&proxy, "cannot read");
    assert!(works(&proxy, &pki.alice()));
    std::fs::write(&key, good).unwrap();
    proxy.signal("HUP");
    proxy.logged(&["certificates reloaded"]);
    assert!(works(&proxy, &pki.alice()));
}

#[test]
fn files_that_take_for_ever_to_read_delay_neither_clients_nor_the_end() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let mut proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let key = pki.server().key();
    std::fs::remove_file(&key).unwrap();
    // Whoever opens it waits for somebody who writes.
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    proxy.signal("HUP");
    until("a thread waits for the file", || threads(proxy.pid(), "worker").len() == 1);
    assert!(works(&proxy, &pki.alice()));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
}

#[test]
fn what_changes_is_taken_up_within_a_minute_by_itself() {
    let (mock, pki, next) = (Mock::answering(OK_LINE), Pki::new(), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    replace(&pki.server(), &next.server());
    let changed = Instant::now();
    while !works(&proxy, &next.alice()) {
        assert!(changed.elapsed() < Duration::from_secs(60), "{:#?}", proxy.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!works(&proxy, &pki.alice()));
}

/// As in a Kubernetes secret: the files are links through a directory, which is a link that turns.
#[test]
fn a_symbolic_link_that_turns_is_a_change() {
    let (mock, pki, next) = (Mock::answering(OK_LINE), Pki::new(), Pki::new());
    let secret = tempfile::tempdir().unwrap();
    let at = |name: &str| secret.path().join(name);
    for (version, certs) in [("..1", pki.server()), ("..2", next.server())] {
        std::fs::create_dir(at(version)).unwrap();
        replace(&CertDir(at(version)), &certs);
    }
    symlink("..1", at("..data")).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        symlink(format!("..data/{file}"), at(file)).unwrap();
    }
    let proxy = Proxy::builder(mock.socket())
        .args(["--listen", "tcp://127.0.0.1:0", "--tlsverify"])
        .env("DOCKER_CERT_PATH", &secret.path().display().to_string())
        .allow("version")
        .start();
    assert!(works(&proxy, &pki.alice()));
    symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    std::fs::remove_dir_all(at("..1")).unwrap();
    proxy.signal("HUP");
    until("the new certificates are in use", || works(&proxy, &next.alice()));
}

#[test]
fn the_certificate_for_the_engine_is_taken_up_too() {
    let (mock, pki, next) = (Mock::answering(OK_LINE), Pki::new(), Pki::new());
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    let near = Proxy::builder(format!("tcp://127.0.0.1:{}", engine.tcp_port()).as_ref())
        .args(pki.alice().upstream_flags())
        .allow("version")
        .start();
    assert_eq!(near.get("/version").status(), 200);
    replace(&pki.server(), &next.server());
    engine.signal("HUP");
    engine.logged(&["certificates reloaded"]);
    replace(&pki.alice(), &next.alice());
    near.signal("HUP");
    near.logged(&["certificates reloaded", "alice"]);
    assert_eq!(near.get("/version").status(), 200);
}
