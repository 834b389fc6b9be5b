//! The command line says what is wrong and the way out, and every flag has its environment variable.

use std::process::Output;

use crate::support::http;
use crate::support::library::{ENGINE, names};
use crate::support::mock::{Mock, OK};
use crate::support::proxy::{Proxy, program};

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// Runs what is expected to fail for its usage; what it printed on standard error.
fn usage_error(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    assert_eq!(output.stdout, b"", "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_unknown_name_is_answered_with_what_is_near() {
    let stderr = usage_error(&["-a", "contaners"]);
    assert!(
        stderr.contains("unknown name 'contaners'") && stderr.contains("did you mean containers"),
        "{stderr}"
    );
    assert!(usage_error(&["-a", "inspect"]).contains("containers:inspect"));
    assert!(usage_error(&["-a", "zzz"]).contains("the names are: containers, containers:list"));
}

#[test]
fn no_name_at_all_is_answered_with_all_names() {
    for args in [&[][..], &["-a", ""], &["check", "GET", "/info"]] {
        let stderr = usage_error(args);
        assert!(stderr.contains("nothing is allowed: give -a NAME or --for CONSUMER"), "{stderr}");
        for name in names::all(&ENGINE) {
            assert!(stderr.contains(&format!("\n  {name} ")), "{name} is not in: {stderr}");
        }
    }
}

#[test]
fn bad_values_name_their_flag_and_the_way_out() {
    for (args, parts) in [
        (&["--listen", "nonsense"][..], &["--listen", "'nonsense'", "unix:///path"][..]),
        (&["--upstream", "ssh://host"], &["--upstream", "ssh -L"]),
        (&["--socket-mode", "999"], &["--socket-mode", "octal"]),
        (&["--socket-group", "no-such-group"], &["--socket-group", "no-such-group", "number"]),
        (&["--shutdown-timeout", "soon"], &["--shutdown-timeout", "10s"]),
        (&["--log-format", "xml"], &["--log-format", "text", "json"]),
        (&["--listen", "/tmp/a/b", "--listen", "unix:///tmp/a/b"], &["/tmp/a/b", "twice"]),
        (&["--frobnicate"], &["--frobnicate"]),
    ] {
        let stderr = usage_error(&[&["-a", "info"], args].concat());
        assert!(parts.iter().all(|part| stderr.contains(part)), "{args:?}: {stderr}");
    }
    let from_env =
        program().args(["-a", "info"]).env("DOCKER_HOST", "npipe:////./pipe/docker").output().unwrap();
    assert!(String::from_utf8_lossy(&from_env.stderr).contains("DOCKER_HOST: "), "{from_env:?}");
}

#[test]
fn the_environment_says_what_flags_say() {
    let mock = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let proxy = Proxy::builder(mock.socket())
        .env("DOCKER_PROXY_ACL_ALLOW", "info,version")
        .env("DOCKER_PROXY_ACL_SOCKET_MODE", "0600")
        .env("DOCKER_PROXY_ACL_LOG_FORMAT", "json")
        .env("DOCKER_PROXY_ACL_FILENAME", socket.to_str().unwrap())
        .start();
    assert_eq!(proxy.get("/info").text(), "ok");
    assert_eq!(http::get(&socket, "/version").text(), "ok");
    assert_eq!(proxy.get("/events").status(), 404);
    let line = proxy.logged(&["denied"]);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["level"], &line["path"], &line["status"]),
        (&"WARN".into(), &"/events".into(), &404.into())
    );
}

#[test]
fn help_names_every_flag_with_its_variable() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for line in help.lines().filter_map(|line| line.trim_start().strip_prefix("-")) {
        let flag = line.split("--").nth(1).unwrap_or(line.trim_start_matches('-'));
        let flag = flag.split([' ', '[', '=']).next().unwrap();
        if matches!(flag, "help" | "version") {
            continue;
        }
        let variable = format!("[env: DOCKER_PROXY_ACL_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable), "--{flag} has no {variable}");
    }
    assert!(help.contains("images                /images/json /images/{name}/json /images/{name}/history"));
}

#[test]
fn an_unknown_consumer_is_answered_with_what_is_near() {
    let stderr = usage_error(&["--for", "nginxproxy"]);
    assert!(stderr.contains("--for: unknown consumer 'nginxproxy'; did you mean nginx-proxy"), "{stderr}");
    assert!(usage_error(&["--for", "zzz"]).contains("the consumers are: aiodocker, crowdsec"));
    assert!(usage_error(&["--for", "", "-a", "info"]).contains("--for is empty"));
}

#[test]
fn a_consumer_gets_its_names_and_what_it_reads() {
    let inspect = "GET /containers/x/json";
    for (args, code, line) in [
        ("--for traefik GET /events", 0, "allowed: /events is events"),
        ("--for traefik GET /networks", 1, "404: networks:list is not allowed here"),
        ("--for traefik,netdata -a networks:list GET /networks", 0, "allowed: /networks is networks:list"),
        (
            "--for docker-gen GET /containers/x/json",
            0,
            "allowed: /containers/x/json is containers:inspect; the engine answers\n",
        ),
    ] {
        let output = run(&[&["check"], &args.split(' ').collect::<Vec<_>>()[..]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(code) && text.starts_with(line), "{args}: {text}");
    }
    let shown = |flags: &str| {
        let line = format!("check {flags} {inspect}");
        String::from_utf8(run(&line.split(' ').collect::<Vec<_>>()).stdout).unwrap()
    };
    assert!(
        shown("--for netdata").contains("without env (but NOMAD_NAMESPACE, "),
        "{}",
        shown("--for netdata")
    );
    let more = shown("--for netdata --keep-env PATH");
    assert!(more.contains("env (but PATH, NOMAD_NAMESPACE, "), "{more}");
    // What one of several consumers reads is shown.
    assert!(shown("--for zabbix-agent2,netdata").contains("without env (but NOMAD_NAMESPACE"));
    assert!(!shown("--for zabbix-agent2,netdata").contains("labels"));
    assert!(shown("--for zabbix-agent2 --redact labels").contains("without env, labels"));
}

#[test]
fn the_consumers_are_printed_for_people_and_programs() {
    let table = String::from_utf8(run(&["consumers"]).stdout).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["consumers", "--format", "json"]).stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(table.lines().count(), rows.len() + 1);
    for (line, row) in table.lines().skip(1).zip(rows) {
        assert!(line.starts_with(row["name"].as_str().unwrap()), "{line}: {row}");
        assert!(row["allow"].as_array().unwrap().iter().all(|name| line.contains(name.as_str().unwrap())));
    }
    let nginx = rows.iter().find(|row| row["name"] == "nginx-proxy").unwrap();
    assert_eq!(nginx["optional"], serde_json::json!(["version", "info"]));
    assert_eq!(nginx["keep_env"][0], "VIRTUAL_*");
    assert_eq!(nginx["redact"][0], "env");
}

#[test]
fn it_tells_its_version() {
    let output = run(&["--version"]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("docker-proxy-acl {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_catalog_is_printed_for_people_and_programs() {
    let table = String::from_utf8(run(&["endpoints"]).stdout).unwrap();
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["endpoints", "--format", "json"]).stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(table.lines().count(), rows.len() + 1);
    for (line, row) in table.lines().skip(1).zip(rows) {
        for part in ["name", "path", "exposes"] {
            assert!(line.contains(row[part].as_str().unwrap()), "{line}: {row}");
        }
    }
}

#[test]
fn check_says_what_would_be_answered_and_what_would_change_it() {
    for (args, code, stderr) in [
        (
            &["-a", "containers", "GET", "/v1.41/containers/json?all=1"][..],
            0,
            "allowed: /v1.41/containers/json is containers:list",
        ),
        (
            &["-a", "containers", "GET", "/v1.41/images/json"],
            1,
            "404: images:list is not allowed here; -a images:list or -a images allows it",
        ),
        (
            &["-a", "containers", "GET", "/containers/x/export"],
            1,
            "404: containers:export is not allowed here; -a containers:export allows it",
        ),
        (
            &["-a", "containers", "POST", "/containers/json"],
            1,
            "400: containers:list is enabled for GET alone",
        ),
        (
            &["-a", "containers", "POST", "/containers/create"],
            1,
            "400: only GET allowed; no -a allows another method than GET",
        ),
        (
            &["-a", "containers", "GET", "/containers/json?filters={\"name\":[\"web\"]}"],
            0,
            "allowed: /containers/json",
        ),
        (&["-a", "containers", "GET", "/containers//web/json"], 0, "allowed: /containers/web/json"),
        (
            &["-a", "containers", "GET", "/containers/x/attach/ws"],
            1,
            "404: no -a allows it: it writes to the container",
        ),
        (&["-a", "containers", "GET", "/nowhere"], 1, "404: no -a allows it: not in the catalog"),
        (&["-a", "containers", "GET", "/containers/../info"], 1, "400: the path has a dot segment"),
        (&["-a", "containers", "GET", "http://docker/containers/json"], 0, "allowed: /containers/json"),
        (
            &["-a", "containers", "GET", "/containers/json?a#b"],
            1,
            "400: the query holds the byte 0x23 at position 2",
        ),
    ] {
        let output = run(&[&["check"], args].concat());
        let line = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {line}");
        assert!(
            line.starts_with(stderr) && line.ends_with('\n') && line.lines().count() == 1,
            "{args:?}: {line}"
        );
    }
}
