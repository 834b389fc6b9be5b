//! Promise: each client of a listener has its own rules, by its user, its groups, its certificate or its
//! address, and who no rule is for has the listener's own.

use std::path::Path;
use std::process::Command;

use crate::support::engine::Engine;
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::Proxy;
#[cfg(feature = "tls")]
use crate::support::tls::{Pki, curl_as};
use crate::support::tools::{curl, stdout};

/// Asks as another user, with these flags to setpriv; the answer's status.
fn status_as(identity: &[&str], socket: &Path, path: &str) -> String {
    let mut command = Command::new("setpriv");
    command.args(identity).args(["curl", "-q", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "20"]);
    command.arg("--unix-socket").arg(socket).arg(format!("http://docker{path}"));
    stdout(command.output().unwrap())
}

const USERS: &str = r#"
[[listener]]
address = "{socket}"
mode = "0666"
allow = ["ping"]
  [[listener.client]]
  uid = 1001
  allow = ["containers:list", "version"]
  redact = ["env"]
  [[listener.client]]
  gid = [4711, 4712]
  allow = ["info"]
  [[listener.client]]
  uid = "nobody"
  allow = []
"#;

#[test]
#[ignore = "needs an engine and root: tests/run"]
fn users_of_one_socket_get_what_their_rules_allow_on_a_real_engine() {
    let engine = Engine::shared();
    let proxy = Proxy::with_file(engine.socket(), USERS).start();
    let user = ["--reuid=1001", "--regid=1001", "--clear-groups"];
    let other = ["--reuid=1002", "--regid=1002", "--clear-groups"];
    let primary = ["--reuid=1002", "--regid=4712", "--clear-groups"];
    let member = ["--reuid=1002", "--regid=1002", "--groups=7,4711,9"];
    let nobody = ["--reuid=nobody", "--regid=1002", "--clear-groups"];
    for (identity, allowed, denied) in [
        (&user[..], "/containers/json", "/_ping"),
        (&other, "/_ping", "/containers/json"),
        (&primary, "/info", "/_ping"),
        (&member, "/info", "/_ping"),
    ] {
        assert_eq!(status_as(identity, proxy.socket(), allowed), "200", "{identity:?} {allowed}");
        assert_eq!(status_as(identity, proxy.socket(), denied), "404", "{identity:?} {denied}");
    }
    assert_eq!(status_as(&nobody, proxy.socket(), "/_ping"), "404");
    let groups: Vec<String> = (5000..5040).map(|gid| gid.to_string()).collect();
    let groups = format!("--groups={}", groups.join(","));
    let in_many = ["--reuid=1002", "--regid=1002", &groups];
    assert_eq!(status_as(&in_many, proxy.socket(), "/_ping"), "404", "which of them it is in is not known");
    proxy.logged(&["denied", "rule=\"unknown groups\""]);
    proxy.logged(&["allowed", "path=\"/containers/json\"", "client.uid=1001", "rule=\"uid=1001\""]);
    proxy.logged(&["allowed", "path=\"/info\"", "client.uid=1002", "rule=\"gid=4711,4712\""]);
    let denied = proxy.logged(&["denied", "path=\"/containers/json\"", "client.uid=1002"]);
    assert!(denied.contains("\"containers:list\\\" or") && denied.contains("proxy.toml:2"), "{denied}");
    assert!(!denied.contains("rule="), "{denied}");
}

#[test]
fn who_matches_none_of_the_rules_of_a_listener_that_allows_nothing_gets_404_for_everything() {
    let engine = Mock::answering(OK_LINE);
    let text = r#"
        [[listener]]
        address = "{socket}"
          [[listener.client]]
          uid = 4711
          allow = ["ping", "version"]
    "#;
    let proxy = Proxy::with_file(engine.socket(), text).start();
    for path in ["/_ping", "/version", "/nonsense"] {
        assert_eq!(proxy.get(path).status(), 404, "{path}");
    }
    assert_eq!(proxy.request("POST", "/version").status(), 400);
}

#[test]
fn the_first_rule_that_matches_counts() {
    let engine = Mock::answering(OK_LINE);
    let text = format!(
        r#"
        [[listener]]
        address = "{{socket}}"
        allow = ["info"]
          [[listener.client]]
          uid = [4711, {uid}]
          allow = ["version"]
          [[listener.client]]
          uid = {uid}
          allow = ["ping"]
    "#,
        uid = rustix::process::geteuid().as_raw()
    );
    let proxy = Proxy::with_file(engine.socket(), &text).start();
    assert_eq!(proxy.get("/version").status(), 200);
    assert_eq!(proxy.get("/_ping").status(), 404);
    assert_eq!(proxy.get("/info").status(), 404);
}

#[test]
fn what_a_rule_does_not_say_is_what_its_listener_says() {
    let engine = Mock::answering(OK_LINE);
    let text = format!(
        r#"
        [[listener]]
        address = "{{socket}}"
        allow = ["containers:inspect"]
        redact = ["env"]
          [[listener.client]]
          uid = {}
          allow = ["containers:inspect", "events"]
    "#,
        rustix::process::geteuid().as_raw()
    );
    let proxy = Proxy::with_file(engine.socket(), &text).start();
    assert_eq!(proxy.get("/containers/x/json").status(), 502, "what is no JSON cannot be redacted");
    proxy.logged(&["name=\"containers:inspect\"", "its answers are without env"]);
}

#[test]
fn addresses_tell_clients_apart_over_tcp() {
    let engine = Mock::answering(OK_LINE);
    let text = r#"
        [[listener]]
        address = "tcp://127.0.0.1:0"
        allow = ["ping"]
          [[listener.client]]
          address = ["127.1.0.0/16", "127.2.0.1"]
          allow = ["version"]
    "#;
    let proxy = Proxy::with_file(engine.socket(), text).start();
    let status = |from: &str, path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", proxy.tcp_port());
        stdout(curl(&["--interface", from, "-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    for from in ["127.1.2.3", "127.2.0.1"] {
        assert_eq!(
            (status(from, "/version"), status(from, "/_ping")),
            ("200".into(), "404".into()),
            "{from}"
        );
    }
    for from in ["127.0.0.1", "127.2.0.2"] {
        assert_eq!(
            (status(from, "/version"), status(from, "/_ping")),
            ("404".into(), "200".into()),
            "{from}"
        );
    }
    proxy.logged(&["allowed", "path=\"/version\"", "rule=\"address=127.1.0.0/16,127.2.0.1/32\""]);
}

#[cfg(feature = "tls")]
#[test]
fn certificates_tell_clients_apart_by_name_and_by_digest() {
    let (engine, pki) = (Mock::answering(OK_LINE), Pki::new());
    for name in ["bob", "carol"] {
        pki.certs(&["client", name]);
    }
    let client = |name: &str| crate::support::tls::CertDir(pki.path().join("clients").join(name));
    let digest =
        crate::support::tools::openssl(&client("bob").0, "x509 -in cert.pem -noout -fingerprint -sha256");
    let digest = digest.trim().split('=').nth(1).unwrap().to_owned();
    let text = format!(
        r#"
        [[listener]]
        address = "tcp://127.0.0.1:0"
        tls = {{ verify = true, ca = "{ca}", cert = "{cert}", key = "{key}" }}
          [[listener.client]]
          certificate = "ali*"
          allow = ["version"]
          [[listener.client]]
          certificate = "sha256:{digest}"
          allow = ["info"]
    "#,
        ca = pki.ca().display(),
        cert = pki.server().cert().display(),
        key = pki.server().key().display(),
    );
    let proxy = Proxy::with_file(engine.socket(), &text).start();
    let status = |name: &str, path: &str| {
        let url = format!("https://localhost:{}{path}", proxy.tcp_port());
        stdout(curl_as(&client(name), &["-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    assert_eq!((status("alice", "/version"), status("alice", "/info")), ("200".into(), "404".into()));
    assert_eq!((status("bob", "/version"), status("bob", "/info")), ("404".into(), "200".into()));
    assert_eq!((status("carol", "/version"), status("carol", "/info")), ("404".into(), "404".into()));
    proxy.logged(&["allowed", "path=\"/version\"", "cn=\"alice\"", "rule=\"certificate=ali*\""]);
}
