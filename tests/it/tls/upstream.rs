//! An engine over TCP is reached plainly or over TLS, and what goes wrong with that has its name.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::{self, Response};
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::{Builder, Proxy, program};
use crate::support::tls::{CertDir, EXPIRED, NOT_YET_VALID, Pki, VALID, tls_proxy};
use crate::support::tools::{Running, combined_output, free_port, socat, until_accepting, until_listening};

/// A proxy before an engine at an address.
fn builder(address: &str) -> Builder {
    Proxy::builder(address.as_ref()).allow("version,ping")
}

fn over_tls(address: &str, certs: &CertDir) -> Builder {
    builder(address).args(certs.upstream_flags())
}

/// A mock's Unix socket made reachable over TCP, by socat.
fn over_tcp(mock: &Mock) -> (Running, u16) {
    let port = free_port();
    let from = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
    let running = socat(&from, &format!("UNIX-CONNECT:{}", mock.socket().display()));
    until_listening(port);
    (running, port)
}

#[test]
fn plain_tcp_reaches_the_engine_with_its_address_as_host() {
    let mock = Mock::answering(OK_LINE);
    let (_socat, port) = over_tcp(&mock);
    for host in ["127.0.0.1", "localhost"] {
        let proxy = builder(&format!("tcp://{host}:{port}")).start();
        assert_eq!(proxy.get("/version").text(), "ok\n");
        let head = mock.heads().pop().unwrap();
        assert!(head.to_ascii_lowercase().contains(&format!("\r\nhost: {host}:{port}\r\n")), "{head}");
    }
}

#[test]
fn tls_reaches_the_engine_by_flags() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    for host in ["127.0.0.1", "localhost"] {
        let proxy = over_tls(&format!("tcp://{host}:{}", engine.tcp_port()), &pki.alice()).start();
        assert_eq!(proxy.get("/version").text(), "ok\n");
    }
    engine.logged(&["allowed", "cn=\"alice\""]);
}

#[test]
fn tls_reaches_the_engine_by_the_three_variables_of_docker() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let mut command = program();
    command
        .args(["-a", "version", "--listen"])
        .arg(&socket)
        .env("DOCKER_HOST", format!("tcp://localhost:{}", engine.tcp_port()))
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &pki.alice().0);
    let _running = Running::start(&mut command);
    until_accepting(&socket);
    assert_eq!(http::get(&socket, "/version").text(), "ok\n");
}

#[test]
fn the_default_directory_is_that_of_the_docker_cli() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(pki.alice().0, home.path().join(".docker")).unwrap();
    let proxy = builder(&format!("tcp://localhost:{}", engine.tcp_port()))
        .env("HOME", &home.path().display().to_string())
        .env("DOCKER_TLS_VERIFY", "1")
        .start();
    assert_eq!(proxy.get("/version").text(), "ok\n");
}

/// The answer is a 502 in the engine's own form, and the log has the cause.
fn fails(proxy: &Proxy, parts: &[&str]) -> Response {
    let answer = proxy.get("/version");
    assert_eq!(answer.status(), 502, "{:#?}", proxy.log());
    assert!(answer.json()["message"].is_string());
    proxy.logged(&[&["WARN", "status=502", "path=\"/version\""], parts].concat());
    answer
}

/// `openssl s_server`, which says little but shows any certificate.
fn s_server(certs: &CertDir, flags: &[&str]) -> (Running, u16) {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    command.args(certs.openssl_flags()).args(flags);
    let running = Running::start(&mut command);
    until_listening(port);
    (running, port)
}

#[test]
fn an_engine_whose_certificate_does_not_do_is_not_asked_and_the_log_says_why() {
    let pki = Pki::new();
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let expired = pki.issue_custom("late", EXPIRED, names);
    let early = pki.issue_custom("early", NOT_YET_VALID, names);
    let elsewhere = pki.issue_custom("far", VALID, "subjectAltName=DNS:far.example");
    let unnamed = pki.issue_custom("localhost", VALID, "basicConstraints=CA:FALSE");
    for (certs, cause) in [
        (&expired, "the engine's certificate has expired"),
        (&early, "the engine's certificate is not valid yet"),
        (&elsewhere, "the engine's certificate is for other names: "),
        (&unnamed, "the engine's certificate is for other names"),
        (&Pki::new().server(), "the engine's certificate is of an unknown CA"),
        (&pki.alice(), "the engine's certificate is not for servers"),
    ] {
        let (_server, port) = s_server(certs, &[]);
        let proxy = over_tls(&format!("tcp://localhost:{port}"), &pki.alice()).start();
        let answer = fails(&proxy, &[cause]);
        assert_eq!(answer.json()["message"], "docker-proxy-acl: TLS to the engine failed");
    }
}

#[test]
fn an_engine_that_refuses_the_proxy_s_certificate_is_named_in_the_log() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    let address = format!("tcp://localhost:{}", engine.tcp_port());
    let ca = pki.ca().display().to_string();
    let without = builder(&address).args(["--upstream-tlscacert", &ca]).start();
    fails(&without, &["the engine refused the TLS connection: CertificateRequired", "upstream-tlscert"]);
    let elsewhere = Pki::with(&["--host", "elsewhere"]);
    let flags = elsewhere.alice().upstream_flags().split_off(2);
    let with_another = builder(&address).args(["--upstream-tlscacert", &ca]).args(flags).start();
    fails(&with_another, &["the engine refused the TLS connection: UnknownCA"]);
}

#[test]
fn an_engine_that_speaks_plain_http_is_told_from_one_that_is_gone() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let other = Mock::new(|mut connection| {
        connection.stream.read_exact(&mut [0; 64]).unwrap();
        connection.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        connection.wait_until_closed();
    });
    let (_socat, plain) = over_tcp(&other);
    fails(
        &over_tls(&format!("tcp://127.0.0.1:{plain}"), &pki.alice()).start(),
        &["the engine does not speak TLS there", "unset DOCKER_TLS_VERIFY"],
    );
    let gone = over_tls(&format!("tcp://127.0.0.1:{}", free_port()), &pki.alice()).start();
    fails(&gone, &["the engine is out of reach: Connection refused"]);
    // The other way round it is the engine that answers.
    let engine = tls_proxy(&pki, mock.socket()).allow("version").start();
    let proxy = builder(&format!("tcp://127.0.0.1:{}", engine.tcp_port())).start();
    let answer = proxy.get("/version");
    assert_eq!(
        (answer.status(), answer.text().as_str()),
        (400, "Client sent an HTTP request to an HTTPS server.\n")
    );
}

#[test]
fn a_name_that_nobody_knows_is_said() {
    let proxy = builder("tcp://no-such-host.invalid:2375").start();
    fails(&proxy, &["the engine is out of reach: ", "lookup"]);
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let pki = Pki::new();
    // It takes connections, by the kernel's queue, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let proxy = over_tls(&address, &pki.alice()).start();
    let started_at = Instant::now();
    fails(&proxy, &["no connection within 10s"]);
    assert!(started_at.elapsed() < Duration::from_secs(15), "{:?}", started_at.elapsed());
}

#[test]
fn flags_that_do_not_fit_together_are_usage_errors() {
    for (args, part) in [
        (vec!["--upstream", "/run/docker.sock", "--upstream-tlscacert", "/ca.pem"], "tcp://HOST:PORT"),
        (
            vec!["--upstream", "tcp://h:1", "--upstream-tlscacert", "/c", "--upstream-tlscert", "/x"],
            "--upstream-tlskey",
        ),
        (vec!["--upstream", "tcp://h:1", "--upstream-tlscert", "/x"], "--upstream-tlscacert"),
        (vec!["--upstream", "tcp://127.0.0.1:1", "--listen", "tcp://127.0.0.1:1"], "is the upstream itself"),
        (
            vec!["--upstream", "tcp://localhost:1", "--tls=false", "--listen", "tcp://0.0.0.0:1"],
            "is the upstream itself",
        ),
    ] {
        let output = program().args(["-a", "version"]).args(&args).env_remove("HOME").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(combined_output(&output).contains(part), "{args:?}: {}", combined_output(&output));
    }
}

#[test]
fn healthcheck_asks_over_tcp_and_tls() {
    let pki = Pki::new();
    let mock = Mock::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK");
    let engine = tls_proxy(&pki, mock.socket()).allow("ping").start();
    let address = format!("tcp://127.0.0.1:{}", engine.tcp_port());
    let check = |flags: Vec<String>| {
        let mut command = program();
        // To the listener it speaks plain HTTP, and the words about that prove that it is alive.
        command.args(["healthcheck", "--listen", &address, "--upstream", &address]).args(flags);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code(), combined_output(&output))
    };
    let (code, line) = check(pki.alice().upstream_flags());
    assert_eq!(code, Some(0), "{line}");
    let (code, line) = check(Pki::new().alice().upstream_flags());
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with("unhealthy: no answer from the engine") && line.contains("unknown CA"),
        "{line}"
    );
}
