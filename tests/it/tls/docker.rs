//! The Docker CLI is a client of the TLS listener, and a dockerd with `--tlsverify` an upstream.

use crate::support::engine::{Engine, docker, docker_cli};
use crate::support::proxy::Proxy;
use crate::support::tls::{CertDir, Pki, tls_proxy};
use crate::support::tools::{combined_output, curl, free_port, stdout, until_listening};

const VERSION: [&str; 3] = ["version", "--format", "{{.Server.Version}}"];

fn server_version(engine: &Engine) -> String {
    stdout(engine.docker(&VERSION))
}

fn by_flags(port: u16, certs: &CertDir, args: &[&str]) -> std::process::Output {
    let mut docker = docker_cli();
    docker.args(["-H", &format!("tcp://127.0.0.1:{port}"), "--tlsverify"]);
    docker.args(certs.docker_flags()).args(args);
    docker.output().unwrap()
}

fn by_variables(port: u16, certs: &CertDir, args: &[&str]) -> std::process::Output {
    let mut docker = docker_cli();
    docker.env("DOCKER_HOST", format!("tcp://localhost:{port}"));
    docker.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", &certs.0).args(args);
    docker.output().unwrap()
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_docker_cli_connects_by_flags_and_by_the_three_variables() {
    let (engine, pki) = (Engine::shared(), Pki::new());
    let proxy = tls_proxy(&pki, engine.socket()).allow("version,ping,containers:list").start();
    let port = proxy.tcp_port();
    for docker in [by_flags, by_variables] {
        assert_eq!(stdout(docker(port, &pki.alice(), &VERSION)), server_version(&engine));
        let names = stdout(docker(port, &pki.alice(), &["ps", "--format", "{{.Names}}"]));
        assert!(names.lines().any(|name| name == "web"), "{names}");
        let refused = docker(port, &pki.alice(), &["images"]);
        assert!(
            !refused.status.success() && combined_output(&refused).contains("404 page not found"),
            "{refused:?}"
        );
        let writing = docker(port, &pki.alice(), &["stop", "web"]);
        assert!(
            !writing.status.success()
                && combined_output(&writing).contains("400 Bad request ; only GET allowed"),
            "{writing:?}"
        );
    }
    proxy.logged(&["allowed", "/containers/json", "cn=\"alice\""]);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_docker_cli_without_a_certificate_of_the_ca_gets_nothing() {
    let (engine, pki, other) = (Engine::shared(), Pki::new(), Pki::with(&["--host", "elsewhere"]));
    let proxy = tls_proxy(&pki, engine.socket()).allow("version,ping").start();
    let stranger = CertDir(pki.path().join("stranger"));
    std::fs::create_dir(&stranger.0).unwrap();
    std::fs::copy(pki.ca(), stranger.ca()).unwrap();
    let without = by_variables(proxy.tcp_port(), &stranger, &VERSION);
    assert!(!without.status.success(), "{without:?}");
    proxy.logged(&["WARN rejected", "the client showed no certificate"]);
    std::fs::copy(other.alice().cert(), stranger.cert()).unwrap();
    std::fs::copy(other.alice().key(), stranger.key()).unwrap();
    let with_another = by_variables(proxy.tcp_port(), &stranger, &VERSION);
    assert!(!with_another.status.success(), "{with_another:?}");
    // Go shows no certificate at all if the listener names no CA that signed it.
    proxy.logged(&["WARN rejected", "the client"]);
    let plain = docker_cli()
        .args(["-H", &format!("tcp://127.0.0.1:{}", proxy.tcp_port())])
        .args(VERSION)
        .output()
        .unwrap();
    assert!(combined_output(&plain).contains("Client sent an HTTP request to an HTTPS server"), "{plain:?}");
}

/// An engine that also listens with `--tlsverify`, and its port.
fn verifying_engine(pki: &Pki) -> (Engine, u16) {
    let port = free_port();
    let mut flags = pki.server().docker_flags();
    flags.extend(["--tlsverify".to_owned(), "-H".to_owned(), format!("tcp://127.0.0.1:{port}")]);
    let engine = Engine::private_with(flags);
    until_listening(port);
    (engine, port)
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_dockerd_that_verifies_is_an_upstream() {
    let pki = Pki::new();
    let (engine, port) = verifying_engine(&pki);
    let upstream = format!("tcp://localhost:{port}");
    let builder = || Proxy::builder(upstream.as_ref()).allow("version,ping,info,events");
    let proxy = builder()
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &pki.alice().0.display().to_string())
        .start();
    let version = docker(proxy.socket(), &VERSION);
    assert_eq!(stdout(version), server_version(&engine));
    assert_eq!(proxy.get("/info").status(), 200);
    assert_eq!(proxy.get("/images/json").status(), 404);
    let ca = pki.ca().display().to_string();
    let unknown = builder().args(["--upstream-tlscacert", &ca]).start();
    assert_eq!(unknown.get("/version").status(), 502);
    unknown.logged(&["status=502", "the engine refused the TLS connection: ", "upstream-tlscert"]);
    let plain = builder().start();
    let answer = plain.get("/version");
    assert_eq!(answer.status(), 400);
    assert!(answer.text().contains("Client sent an HTTP request to an HTTPS server."), "{}", answer.text());
}

/// Its other listener's words, for comparison.
#[test]
#[ignore = "needs an engine: tests/run"]
fn plain_http_is_told_what_dockerd_tells() {
    let pki = Pki::new();
    let (engine, dockerd) = verifying_engine(&pki);
    let proxy = tls_proxy(&pki, engine.socket()).allow("version").start();
    let response = |port: u16| {
        let output = curl(&["-w", " %{http_code}", &format!("http://127.0.0.1:{port}/version")]);
        combined_output(&output)
    };
    assert_eq!(response(proxy.tcp_port()), response(dockerd));
}
