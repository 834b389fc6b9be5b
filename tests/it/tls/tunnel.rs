//! TLS meets what others wrote: socat on either end of a tunnel, nginx before and behind.

use crate::support::http;
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::{Builder, Proxy};
use crate::support::tls::{Pki, curl_as, tls_proxy};
use crate::support::tools::{
    combined_output, curl, free_port, nginx, socat, until_accepting, until_listening,
};

/// The near end: Unix here, TLS to there.
fn near(port: u16, pki: &Pki) -> Builder {
    Proxy::builder(format!("tcp://localhost:{port}").as_ref()).args(pki.alice().upstream_flags())
}

#[test]
fn two_proxies_make_a_tunnel_with_the_acl_at_either_end() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let far = tls_proxy(&pki, mock.socket()).allow("version,info").start();
    let near = near(far.tcp_port(), &pki)
        .args(["--listen", "tcp://127.0.0.1:0"])
        .allow("version,containers")
        .start();
    assert_eq!(near.get("/version").text(), "ok\n");
    assert_eq!(combined_output(&curl(&[&format!("http://127.0.0.1:{}/version", near.tcp_port())])), "ok\n");
    // The near end's ACL, then the far end's.
    assert_eq!(near.get("/info").status(), 404);
    assert_eq!(near.get("/containers/json").status(), 404);
    far.logged(&["denied", "/containers/json", "cn=\"alice\""]);
    assert_eq!(mock.heads().len(), 2);
}

/// `socat OPENSSL-LISTEN:...,fork UNIX:...` before the engine, the proxy on this side.
#[test]
fn socat_is_the_far_end() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let (port, server) = (free_port(), pki.server());
    let from = format!(
        "OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,cert={},key={},cafile={},verify=1",
        server.cert().display(),
        server.key().display(),
        server.ca().display()
    );
    let _socat = socat(&from, &format!("UNIX-CONNECT:{}", mock.socket().display()));
    until_listening(port);
    let near = near(port, &pki).allow("version").start();
    for _ in 0..3 {
        assert_eq!(near.get("/version").text(), "ok\n");
    }
    assert_eq!(near.get("/info").status(), 404);
}

/// `socat UNIX-LISTEN:...,fork OPENSSL:...` for the client, the proxy on the other side.
#[test]
fn socat_is_the_near_end() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let far = tls_proxy(&pki, mock.socket()).allow("version").start();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let alice = pki.alice();
    let to = format!(
        "OPENSSL:localhost:{},cert={},key={},cafile={},verify=1",
        far.tcp_port(),
        alice.cert().display(),
        alice.key().display(),
        alice.ca().display()
    );
    let _socat = socat(&format!("UNIX-LISTEN:{},fork", socket.display()), &to);
    until_accepting(&socket);
    assert_eq!(http::get(&socket, "/version").text(), "ok\n");
    assert_eq!(http::get(&socket, "/info").status(), 404);
    far.logged(&["denied", "/info", "cn=\"alice\""]);
}

/// nginx ends TLS and asks for client certificates; the proxy listens on a Unix socket behind it.
#[test]
fn nginx_stands_before_the_unix_socket() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = Proxy::builder(mock.socket()).allow("version").start();
    let (port, server) = (free_port(), pki.server());
    let block = format!(
        "http {{ access_log off; server {{ listen 127.0.0.1:{port} ssl; server_name localhost;\n\
         ssl_certificate {}; ssl_certificate_key {};\n\
         ssl_client_certificate {}; ssl_verify_client on;\n\
         location / {{ proxy_pass http://unix:{}:; }} }} }}",
        server.cert().display(),
        server.key().display(),
        server.ca().display(),
        proxy.socket().display()
    );
    let directory = tempfile::tempdir().unwrap();
    let _nginx = nginx(directory.path(), &block);
    until_listening(port);
    let url = |path: &str| format!("https://localhost:{port}{path}");
    assert_eq!(combined_output(&curl_as(&pki.alice(), &[&url("/version")])), "ok\n");
    // nginx asks in HTTP/1.0.
    assert_eq!(combined_output(&curl_as(&pki.alice(), &[&url("/info")])), "404 page not found\n");
}

/// nginx passes the bytes of TLS on; the proxy checks the certificates.
#[test]
fn nginx_stream_stands_before_the_tls_listener() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let front = free_port();
    let block = format!(
        "stream {{ server {{ listen 127.0.0.1:{front}; proxy_pass 127.0.0.1:{}; }} }}",
        proxy.tcp_port()
    );
    let directory = tempfile::tempdir().unwrap();
    let _nginx = nginx(directory.path(), &block);
    until_listening(front);
    let url = format!("https://localhost:{front}/version");
    assert_eq!(combined_output(&curl_as(&pki.alice(), &[&url])), "ok\n");
    assert!(!curl(&["--cacert", pki.ca().to_str().unwrap(), &url]).status.success());
    proxy.logged(&["rejected", "the client showed no certificate"]);
    proxy.logged(&["allowed", "cn=\"alice\""]);
}

/// nginx speaks TLS to the listener and has a client certificate of its own.
#[test]
fn nginx_is_a_client_of_the_tls_listener() {
    let (mock, pki) = (Mock::answering(OK_LINE), Pki::new());
    let proxy = tls_proxy(&pki, mock.socket()).allow("version").start();
    let (front, alice) = (free_port(), pki.alice());
    let block = format!(
        "http {{ access_log off; server {{ listen 127.0.0.1:{front}; location / {{\n\
         proxy_pass https://127.0.0.1:{}; proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_trusted_certificate {};\n\
         proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; }} }} }}",
        proxy.tcp_port(),
        alice.ca().display(),
        alice.cert().display(),
        alice.key().display()
    );
    let directory = tempfile::tempdir().unwrap();
    let _nginx = nginx(directory.path(), &block);
    until_listening(front);
    assert_eq!(combined_output(&curl(&[&format!("http://127.0.0.1:{front}/version")])), "ok\n");
    proxy.logged(&["allowed", "cn=\"alice\""]);
}
