//! Prometheus, as Debian has it, reads the metrics and the example files. `tests/run` fetches it.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::eventually;
use crate::support::http;
use crate::support::metrics::{ask, with_admin};
use crate::support::mock::{Mock, OK};
use crate::support::proxy::Proxy;
use crate::support::tools::{Running, combined_output, curl};

/// A program of Debian's package.
fn program(name: &str) -> Command {
    let directory = std::env::var_os("TEST_PROMETHEUS").expect("run tests/run, which fetches Prometheus");
    Command::new(PathBuf::from(directory).join(name))
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus").join(name)
}

#[test]
#[ignore = "needs Prometheus: tests/run"]
fn promtool_accepts_the_example_s_configuration_and_alerts() {
    for (what, file) in [("config", "prometheus.yml"), ("rules", "docker-proxy-acl.rules.yml")] {
        let output = program("promtool").args(["check", what]).arg(example(file)).output().unwrap();
        assert!(output.status.success(), "{}", combined_output(&output));
    }
}

#[test]
#[ignore = "needs Prometheus: tests/run"]
fn promtool_accepts_the_metrics() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info").args(["--redact", "env"])).start();
    proxy.get("/info");
    proxy.get("/version");
    let mut check = program("promtool");
    let mut check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let metrics = ask(&proxy, "/metrics").body;
    check.stdin.take().unwrap().write_all(&metrics).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", combined_output(&output));
}

/// The figures of the alerts' expressions are names that there are.
#[test]
fn the_example_s_alerts_are_about_families_that_are_listed() {
    let page = include_str!("../../../docs/metrics.md");
    let rules = std::fs::read_to_string(example("docker-proxy-acl.rules.yml")).unwrap();
    let names = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names: Vec<&str> = names.filter(|name| name.starts_with("docker_proxy_acl_")).collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(page.contains(&format!("`{family}`")), "{name} is not in docs/metrics.md");
    }
}

#[test]
fn each_form_says_what_it_is() {
    let engine = Mock::answering(OK);
    let proxy = with_admin(Proxy::builder(engine.socket()).allow("info")).start();
    let admin = proxy.socket().with_file_name("admin.sock");
    let accepting = |accept: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
        http::parse(&http::raw(&admin, request.as_bytes()))
    };
    let open_metrics = accepting("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5");
    assert_eq!(
        open_metrics.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(open_metrics.text().ends_with("# EOF\n"));
    let text = accepting("text/plain");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(!text.text().contains("# EOF"));
}

#[test]
#[ignore = "needs Prometheus: tests/run"]
fn prometheus_collects_what_happened_by_the_example_s_configuration() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--admin", "tcp://127.0.0.1:0"]).start();
    (0..3).for_each(|_| drop(proxy.get("/info")));
    let line = proxy.logged(&["metrics and health at tcp://"]);
    let target = line.split("tcp://").nth(1).unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let config = std::fs::read_to_string(example("prometheus.yml")).unwrap();
    let config = config.replace("127.0.0.1:9323", &target).replace("15s", "1s");
    std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
    let rules = "docker-proxy-acl.rules.yml";
    std::fs::copy(example(rules), directory.path().join(rules)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _prometheus = Running::start(
        program("prometheus")
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    let query = |expression: &str| -> Option<String> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query");
        let output = curl(&["-G", &url, "--data-urlencode", &format!("query={expression}")]);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    let collected =
        eventually("it has collected", || query(r#"docker_proxy_acl_requests_total{endpoint="info"}"#));
    assert_eq!(collected, "3");
    assert_eq!(query("up{job=\"docker-proxy-acl\"}").as_deref(), Some("1"));
    let expression = r#"sum(docker_proxy_acl_response_head_seconds_count{endpoint="info"})"#;
    assert_eq!(query(expression).as_deref(), Some("3"));
}
