//! What is counted, where it happens.

use std::io::Write;

use crate::support::engine::Engine;
use crate::support::http::{self, GET_EVENTS, connect, ends_with_head, read_until};
use crate::support::metrics::{Metrics, ask, with_admin};
use crate::support::mock::{Mock, OK, ok_with, quiet_stream};
use crate::support::proxy::Proxy;
use crate::support::until;

#[test]
fn requests_are_counted_by_endpoint_outcome_and_status() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    proxy.get("/info");
    proxy.get("/v1.41/info");
    proxy.get("/version");
    proxy.get("/containers/../x");
    proxy.request("POST", "/info");
    proxy.raw("nonsense\r\n\r\n");
    let requests = |labels: &[&str]| Metrics::of(&proxy).sum("docker_proxy_acl_requests_total", labels);
    until("all are counted", || requests(&[]) == 6.0);
    let allowed = [r#"endpoint="info""#, r#"outcome="allowed""#, r#"status="200""#];
    assert_eq!(requests(&allowed), 2.0);
    assert_eq!(requests(&[r#"endpoint="version""#, r#"outcome="denied""#, r#"status="404""#]), 1.0);
    assert_eq!(requests(&[r#"endpoint="info""#, r#"outcome="denied""#, r#"status="400""#]), 1.0);
    assert_eq!(requests(&[r#"endpoint="""#, r#"outcome="rejected""#, r#"status="400""#]), 2.0);
    assert_eq!(requests(&[&format!("listener=\"{}\"", proxy.socket().display())]), 6.0);
    let metrics = Metrics::of(&proxy);
    assert_eq!(metrics.sum("docker_proxy_acl_response_head_seconds_count", &[r#"endpoint="info""#]), 2.0);
    assert_eq!(metrics.sum("docker_proxy_acl_request_duration_seconds_count", &[]), 2.0);
    assert_eq!(metrics.sum("docker_proxy_acl_response_bytes_total", &[]), 4.0);
    assert_eq!(metrics.sum("docker_proxy_acl_connections_total", &[]), 6.0);
}

#[test]
fn what_is_open_is_counted_as_long_as_it_is() {
    let engine = Mock::new(quiet_stream);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("events")).start();
    let mut client = connect(proxy.socket());
    client.write_all(GET_EVENTS).unwrap();
    read_until(&mut client, ends_with_head);
    let open = || {
        let metrics = Metrics::of(&proxy);
        ["connections_open", "requests_in_flight", "streams"]
            .map(|name| metrics.sum(&format!("docker_proxy_acl_{name}"), &[]))
    };
    assert_eq!(open(), [1.0; 3]);
    drop(client);
    until("nothing is open", || open() == [0.0; 3]);
    let left = [r#"ended="client_aborted""#];
    assert_eq!(Metrics::of(&proxy).sum("docker_proxy_acl_requests_incomplete_total", &left), 1.0);
}

#[test]
fn limits_that_are_reached_are_counted_by_their_names() {
    let engine = Mock::new(quiet_stream);
    let limits =
        ["--max-connections", "2", "--max-requests", "1", "--client-share", "100", "--header-timeout", "1s"];
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("containers:logs").args(limits)).start();
    let reached = |limit: &str| {
        let label = format!("limit=\"{limit}\"");
        Metrics::of(&proxy).sum("docker_proxy_acl_limits_reached_total", &[&label])
    };
    let mut first = connect(proxy.socket());
    first.write_all(b"GET /containers/x/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    read_until(&mut first, ends_with_head);
    assert_eq!(proxy.get("/containers/x/logs").status(), 503);
    assert_eq!(reached("max-requests"), 1.0);
    let open = || Metrics::of(&proxy).sum("docker_proxy_acl_connections_open", &[]);
    until("the second client is gone", || open() == 1.0);
    let mut slow = connect(proxy.socket());
    slow.write_all(b"GET /in").unwrap();
    assert_eq!(http::parse(&http::read_to_close(&mut connect(proxy.socket()))).status(), 503);
    assert_eq!(reached("max-connections"), 1.0);
    assert_eq!(http::parse(&http::read_to_close(&mut slow)).status(), 408);
    assert_eq!(reached("header-timeout"), 1.0);
}

#[test]
fn connections_to_the_engine_and_its_errors_are_counted() {
    let engine = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            if head.contains("/version") {
                return connection.send("no answer");
            }
            connection.send(OK);
        }
    });
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info,version")).start();
    // The program's own look at the engine is a connection that is kept.
    let upstream = |name: &str, labels: &[&str]| {
        Metrics::of(&proxy).sum(&format!("docker_proxy_acl_upstream_{name}"), labels)
    };
    until("the engine was looked at", || upstream("idle_connections", &[]) == 1.0);
    proxy.get("/info");
    proxy.get("/info");
    assert_eq!([upstream("connections_total", &[]), upstream("reuses_total", &[])], [1.0, 2.0]);
    assert_eq!(proxy.get("/version").status(), 502);
    assert_eq!(upstream("stale_connections_total", &[]), 1.0);
    assert_eq!(upstream("errors_total", &[r#"kind="broken""#]), 1.0);
    std::fs::remove_file(engine.socket()).unwrap();
    assert_eq!(proxy.get("/info").status(), 502);
    assert_eq!(upstream("errors_total", &[r#"kind="unreachable""#]), 1.0);
    assert_eq!(upstream("errors_total", &[]), 2.0);
}

#[test]
fn an_answer_that_cannot_be_filtered_is_counted() {
    let engine =
        Mock::answering("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull");
    let other = Mock::answering("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}");
    for (engine, failures) in [(engine, 0.0), (other, 1.0)] {
        let proxy =
            with_admin(Proxy::builder(engine.socket()).allow("info").args(["--redact", "all"])).start();
        proxy.get("/info");
        assert_eq!(Metrics::of(&proxy).sum("docker_proxy_acl_filter_failures_total", &[]), failures);
    }
    let broken = Box::leak(
        ok_with("{\"a\":").replacen("\r\n", "\r\nContent-Type: application/json\r\n", 1).into_boxed_str(),
    );
    let engine = Mock::answering(broken);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info").args(["--redact", "all"])).start();
    proxy.get("/info");
    assert_eq!(Metrics::of(&proxy).sum("docker_proxy_acl_filter_failures_total", &[]), 1.0);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn what_a_view_takes_out_of_a_real_engine_s_answers_is_counted() {
    let engine = Engine::shared();
    let view = ["--redact", "env", "--only", "name:web"];
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("containers").args(view)).start();
    assert_eq!(proxy.get("/containers/json").status(), 200);
    assert_eq!(proxy.get("/containers/web/json").status(), 200);
    let metrics = Metrics::of(&proxy);
    let sum = |name: &str| metrics.sum(&format!("docker_proxy_acl_{name}"), &[]);
    assert!(sum("filtered_bytes_total") > 1000.0, "{}", metrics.text());
    assert!(sum("hidden_items_total") >= 2.0, "json and export at least: {}", metrics.text());
    assert!(sum("redacted_values_total") >= 1.0, "PASSWORD: {}", metrics.text());
    assert_eq!(sum("filter_failures_total"), 0.0);
    assert_eq!(ask(&proxy, "/ready").text(), "ready\n");
}

#[cfg(feature = "tls")]
mod over_tls {
    use super::*;
    use crate::support::tls::{EXPIRED, Pki, curl_as, tls_proxy};
    use crate::support::tools::combined_output;

    #[test]
    fn handshakes_are_counted_by_their_results_and_certificates_by_the_seconds_left() {
        let (engine, pki) = (Mock::answering(OK), Pki::new());
        let proxy = with_admin(tls_proxy(&pki, engine.socket()).allow("info")).start();
        let url = format!("https://localhost:{}/info", proxy.tcp_port());
        let output = curl_as(&pki.alice(), &[&url]);
        assert!(output.status.success(), "{}", combined_output(&output));
        let expired = pki.issue_custom("expired", EXPIRED, "extendedKeyUsage=clientAuth");
        assert!(!curl_as(&expired, &[&url]).status.success());
        let handshakes = |result: &str| {
            let label = format!("result=\"{result}\"");
            Metrics::of(&proxy).sum("docker_proxy_acl_tls_handshakes_total", &[&label])
        };
        until("both are counted", || handshakes("ok") == 1.0 && handshakes("expired") == 1.0);
        let file = format!("file=\"{}\"", pki.server().cert().display());
        let left = Metrics::of(&proxy).sum("docker_proxy_acl_certificate_expires_in_seconds", &[&file]);
        assert!((824.0..=825.0).contains(&(left / 86_400.0)), "{left}");
    }

    #[test]
    fn the_page_of_metrics_lists_every_family_and_no_other() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        let (engine, pki) = (Mock::answering(answer), Pki::new());
        let view = ["--redact", "env"];
        let proxy = with_admin(tls_proxy(&pki, engine.socket()).allow("info").args(view)).start();
        let output = curl_as(&pki.alice(), &[&format!("https://localhost:{}/info", proxy.tcp_port())]);
        assert!(!output.stdout.is_empty(), "{}", combined_output(&output));
        until("the request is counted", || {
            Metrics::of(&proxy).sum("docker_proxy_acl_requests_total", &[]) == 1.0
        });
        let mut families = Metrics::of(&proxy).families();
        families.sort();
        let page = include_str!("../../../docs/metrics.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let mut listed: Vec<&str> = rows.map(|(name, _)| name).filter(|name| name.contains("_")).collect();
        listed.sort();
        assert_eq!(listed, families);
    }
}
