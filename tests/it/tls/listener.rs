//! A TLS listener lets in whom it should, and says of everyone else why not.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::http::connect_tcp;
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::{Proxy, program};
use crate::support::tls::{CertDir, EXPIRED, NOT_YET_VALID, Pki, VALID, curl_as, tls_proxy};
use crate::support::tools::{combined_output, curl, openssl};
use crate::support::until;

#[test]
fn a_client_with_a_certificate_is_answered_and_named_in_the_log() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    for host in ["localhost", "127.0.0.1"] {
        for version in ["--tls-max=1.2", "--tlsv1.3"] {
            let flag: Vec<&str> = version.split('=').collect();
            let url = format!("https://{host}:{}/version", proxy.tcp_port());
            let output = curl_as(&pki.alice(), &[&flag[..], &[&url]].concat());
            assert_eq!(combined_output(&output), "ok\n", "{host} {version}");
        }
    }
    proxy.logged(&["allowed", "/version", "client.addr=127.0.0.1:", "tls.subject=cn=\"alice\""]);
    let refused = curl_as(&pki.alice(), &[&format!("https://localhost:{}/info", proxy.tcp_port())]);
    assert!(
        combined_output(&refused).contains("404 page not found: info is not allowed here"),
        "{refused:?}"
    );
    proxy.logged(&["denied", "/info", "cn=\"alice\"", "-a info allows it"]);
}

#[test]
fn the_names_of_a_client_s_certificate_are_in_the_log_whatever_they_hold() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let bob = pki.issue_custom("bob", VALID, "subjectAltName=DNS:bob.example,IP:192.0.2.1");
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let output = curl_as(&bob, &[&format!("https://localhost:{}/version", proxy.tcp_port())]);
    assert_eq!(combined_output(&output), "ok\n");
    proxy.logged(&["allowed", "cn=\"bob\",san=\"bob.example\",san=\"192.0.2.1\""]);
}

#[test]
fn ipv6_is_listened_on_beside_ipv4() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").args(["--listen", "tcp://[::1]:0"]).start();
    let line = proxy.logged(&["Listening on tcp://[::1]:"]);
    let port = line.split("[::1]:").nth(1).unwrap().split(' ').next().unwrap();
    assert_eq!(combined_output(&curl_as(&pki.alice(), &[&format!("https://[::1]:{port}/version")])), "ok\n");
    proxy.logged(&["allowed", "client.addr=[::1]:", "listener=tcp://[::1]:"]);
}

#[test]
fn encryption_alone_lets_in_any_client_and_says_so() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = Proxy::builder(mock.socket())
        .args(["--listen", "tcp://127.0.0.1:0", "--tls"])
        .env("DOCKER_CERT_PATH", &pki.server().0.display().to_string())
        .allow("version")
        .start();
    let ca = pki.ca().display().to_string();
    let output = curl(&["--cacert", &ca, &format!("https://localhost:{}/version", proxy.tcp_port())]);
    assert_eq!(combined_output(&output), "ok\n");
    proxy.logged(&["WARN", "whoever reaches this address can use it", "tlsverify"]);
}

/// Asks as a client in both versions of TLS and gives what was logged of it.
fn refused(client: Option<&CertDir>, reason: &str) {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    refused_of(&pki, &mock, client, reason);
}

fn refused_of(pki: &Pki, mock: &Mock, client: Option<&CertDir>, reason: &str) {
    for version in ["1.2", "1.3"] {
        let proxy = tls_proxy(pki, mock.socket()).allow("version").start();
        let ca = pki.ca().display().to_string();
        let url = format!("https://localhost:{}/version", proxy.tcp_port());
        let mut args = vec!["--cacert".to_owned(), ca, "--tls-max".to_owned(), version.to_owned(), url];
        if let Some(certs) = client {
            args.extend(certs.curl_flags().split_off(2));
        }
        let output = curl(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!output.status.success(), "{output:?}");
        // The alert has reached the client, which has its own words for some: it was not just cut off.
        let printed = combined_output(&output);
        assert!(
            printed.contains("alert") || printed.contains("certificate verification failed"),
            "{printed}"
        );
        proxy.logged(&["WARN rejected", reason, "client.addr=127.0.0.1:", "listener=tcp://127.0.0.1:"]);
        let lines = proxy.refusals().len();
        assert_eq!(lines, 1, "{:#?}", proxy.log());
    }
    assert!(mock.heads().is_empty());
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    refused(None, "the client showed no certificate");
}

#[test]
fn a_client_of_another_ca_of_the_same_name_is_refused() {
    refused(Some(&Pki::new().alice()), "the client's certificate is of another CA");
}

#[test]
fn a_client_of_another_ca_of_another_name_is_refused() {
    let other = Pki::with(&["--host", "elsewhere"]);
    refused(Some(&other.alice()), "the client's certificate is of another CA");
}

#[test]
fn a_client_whose_certificate_has_expired_or_is_to_come_is_refused() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let expired = pki.issue_custom("late", EXPIRED, "extendedKeyUsage=clientAuth");
    refused_of(&pki, &mock, Some(&expired), "the client's certificate has expired");
    let early = pki.issue_custom("early", NOT_YET_VALID, "extendedKeyUsage=clientAuth");
    refused_of(&pki, &mock, Some(&early), "the client's certificate is not valid yet");
}

#[test]
fn the_certificate_of_a_server_does_not_make_a_client() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    refused_of(&pki, &mock, Some(&pki.server()), "the client's certificate is not for clients");
}

#[test]
fn plain_http_is_told_in_the_words_of_dockerd() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let output = curl(&["-i", &format!("http://localhost:{}/version", proxy.tcp_port())]);
    let answer = combined_output(&output);
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{answer}");
    proxy.logged(&["WARN rejected", "the client sent plain HTTP"]);
    assert!(mock.heads().is_empty());
}

#[test]
fn who_calls_itself_a_healthcheck_and_asks_for_something_else_is_refused_as_any_other() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let url = format!("http://localhost:{}/version", proxy.tcp_port());
    curl(&["-A", "docker-proxy-acl-healthcheck", &url]);
    proxy.logged(&["WARN rejected", "the client sent plain HTTP"]);
}

#[test]
fn what_is_no_tls_is_refused() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    for bytes in [b"\x00\x01\x02\x03".as_slice(), b"\x16\x03\x01\xff\xffno handshake"] {
        let mut client = connect_tcp(proxy.tcp_port());
        client.write_all(bytes).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        // Closed, perhaps with an alert before it.
        let _ = client.read_to_end(&mut rest);
    }
    until("both are in the log", || {
        proxy.log().iter().filter(|line| line.contains("the client did not speak TLS")).count() == 2
    });
}

#[test]
fn only_tls_1_2_and_1_3_are_spoken() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    for (flag, works) in [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let output = s_client(&pki, &proxy, &[flag, "-cipher", "ALL:@SECLEVEL=0"]);
        assert_eq!(
            output.contains("Verify return code: 0 (ok)") && output.contains("Cipher is TLS_")
                || output.contains("Cipher is ECDHE"),
            works,
            "{flag}: {output}"
        );
    }
    proxy.logged(&["WARN rejected", "the client speaks neither TLS 1.2 nor 1.3"]);
}

#[test]
fn http_1_1_is_agreed_on_by_alpn() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let output = s_client(&pki, &proxy, &["-alpn", "h2,http/1.1"]);
    assert!(output.contains("ALPN protocol: http/1.1"), "{output}");
}

fn s_client(pki: &Pki, proxy: &Proxy, flags: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", proxy.tcp_port())])
        .args(pki.alice().openssl_flags())
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    combined_output(&output)
}

#[test]
fn a_client_that_does_not_trust_the_listener_is_named_as_such() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let output = curl(&["--tlsv1.3", &format!("https://localhost:{}/version", proxy.tcp_port())]);
    assert!(!output.status.success());
    proxy.logged(&["WARN rejected", "the client did not accept this listener's certificate: UnknownCA"]);
}

#[test]
fn a_handshake_has_the_time_of_a_head_and_the_place_of_a_connection() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket())
        .allow("version")
        .args(["--header-timeout", "2s", "--max-connections", "1"])
        .start();
    let started_at = Instant::now();
    let mut silent = connect_tcp(proxy.tcp_port());
    silent.write_all(&[0x16]).unwrap();
    let output = curl_as(&pki.alice(), &[&format!("https://localhost:{}/version", proxy.tcp_port())]);
    assert!(!output.status.success(), "{output:?}");
    proxy.logged(&["limited", "all 1 connections are taken", "listener=tcp://"]);
    let _ = silent.read(&mut [0]);
    assert!(started_at.elapsed() >= Duration::from_secs(2), "{:?}", started_at.elapsed());
    proxy.logged(&["WARN rejected", "the client's TLS handshake took too long"]);
    until("its place is free again", || {
        combined_output(&curl_as(&pki.alice(), &[&format!("https://localhost:{}/version", proxy.tcp_port())]))
            == "ok\n"
    });
}

#[test]
fn a_client_that_is_slow_with_its_handshake_gets_no_more_time_for_its_head() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").args(["--header-timeout", "2s"]).start();
    let started_at = Instant::now();
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{}", proxy.tcp_port())])
        .args(pki.alice().openssl_flags());
    // It keeps its standard input open and sends nothing.
    let mut client =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let input = client.stdin.take();
    until("the client was sent away", || client.try_wait().unwrap().is_some());
    drop(input);
    let took = started_at.elapsed();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(4), "{took:?}");
}

fn fails(args: &[&str], parts: &[&str], code: i32) {
    let output = program().args(["-a", "version"]).args(args).env_remove("HOME").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(parts.iter().all(|part| error.contains(part)), "{args:?}: {error}");
}

#[test]
fn plain_tcp_beyond_this_machine_is_refused_unless_that_is_said() {
    for address in ["tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://192.0.2.1:2375"] {
        fails(&["--listen", address], &["--tlsverify", "--tls=false"], 2);
    }
    let mock = Mock::answering(OK_LINE);
    let proxy = Proxy::builder(mock.socket())
        .args(["--listen", "tcp://0.0.0.0:0", "--tls=false"])
        .allow("version")
        .start();
    let output = curl(&[&format!("http://127.0.0.1:{}/version", proxy.tcp_port())]);
    assert_eq!(combined_output(&output), "ok\n");
    proxy.logged(&["WARN plain TCP: whoever reaches this address can use it"]);
}

#[test]
fn flags_that_do_not_fit_together_are_usage_errors() {
    let tcp = ["--listen", "tcp://127.0.0.1:0"];
    fails(&[&tcp[..], &["--tlsverify"]].concat(), &["--tlscert", "DOCKER_CERT_PATH"], 2);
    fails(&[&tcp[..], &["--tlsverify", "--tls=false"]].concat(), &["give one of them"], 2);
    fails(&[&tcp[..], &["--tlscert", "/x.pem"]].concat(), &["--tlscert does nothing without --tls"], 2);
    fails(
        &["--listen", "/tmp/x.sock", "--tls", "--tlscert", "/x", "--tlskey", "/y"],
        &["tcp://HOST:PORT"],
        2,
    );
}

#[test]
fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    let (pki, other) = (Pki::new(), Pki::new());
    let start = |ca: &std::path::Path, cert: &std::path::Path, key: &std::path::Path, parts: &[&str]| {
        let text = |path: &std::path::Path| path.display().to_string();
        let flags = ["--listen", "tcp://127.0.0.1:0", "--tlsverify", "--tlscacert", &text(ca)];
        fails(&[&flags[..], &["--tlscert", &text(cert), "--tlskey", &text(key)]].concat(), parts, 1);
    };
    let (ca, good) = (pki.ca(), pki.server());
    let missing = pki.path().join("none.pem");
    start(&missing, &good.cert(), &good.key(), &["cannot read", "none.pem"]);
    start(&ca, &missing, &good.key(), &["cannot read", "none.pem"]);
    start(&ca, &good.key(), &good.key(), &["server/key.pem has no certificate"]);
    start(&ca, &good.cert(), &good.cert(), &["server/cert.pem has no private key"]);
    start(&ca, &good.cert(), &other.server().key(), &["server/cert.pem does not match its private key"]);
    openssl(pki.path(), "pkey -in server/key.pem -aes128 -passout pass:secret -out locked.pem");
    start(&ca, &good.cert(), &pki.path().join("locked.pem"), &["locked.pem is encrypted"]);
    // As by the recipe of old, without extensions: X.509 version 1.
    openssl(pki.path(), "req -new -key server/key.pem -subj /CN=localhost -out request");
    openssl(pki.path(), "x509 -req -in request -CA ca.pem -CAkey ca-key.pem -set_serial 9 -out v1.pem");
    start(&ca, &pki.path().join("v1.pem"), &good.key(), &["v1.pem is of X.509 version 1", "subjectAltName"]);
}

#[test]
fn many_requests_share_a_connection() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let url = format!("https://localhost:{}/version", proxy.tcp_port());
    let urls = vec![url.as_str(); 50];
    let output = curl_as(&pki.alice(), &[&["-v"][..], &urls].concat());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n".repeat(50));
    assert_eq!(combined_output(&output).matches("SSL connection using").count(), 1);
    assert_eq!(mock.heads().len(), 50);
}
