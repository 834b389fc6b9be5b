//! Promise: the configuration file is read strictly, says everything that is wrong at once, with its place
//! and the way out, and can be shown, checked and asked without starting.

use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::process::Command;
use std::process::Output;

#[cfg(feature = "tls")]
use crate::support::engine::Engine;
use crate::support::http::get;
use crate::support::mock::{Mock, OK_LINE};
use crate::support::proxy::{Proxy, program};
#[cfg(feature = "tls")]
use crate::support::tls::{CertDir, Pki, curl_as};
#[cfg(feature = "tls")]
use crate::support::tools::{free_port, stdout};

/// A file in a directory of its own.
struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("proxy.toml")
    }

    fn run(&self, args: &[&str]) -> Output {
        program().args(args).arg(self.path()).output().unwrap()
    }

    /// What is wrong with it, without its own name before each line.
    fn problems(&self) -> Vec<String> {
        let output = self.run(&["config", "check"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let place = format!("{}:", self.path().display());
        let text = text.strip_prefix("error: ").unwrap_or_else(|| panic!("{text}"));
        text.lines().map(|line| line.strip_prefix(&place).unwrap_or(line).to_owned()).collect()
    }
}

fn problem(text: &str) -> String {
    let problems = File::new(text).problems();
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    problem.clone()
}

const GOOD: &str = "[[listener]]\naddress = '/tmp/x/docker.sock'\nallow = ['ping']\n";

#[test]
fn a_file_without_fault_is_told_what_it_has() {
    let output = File::new(GOOD).run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("proxy.toml: 1 listener(s), 0 rule(s) for clients\n"), "{text}");
}

#[test]
fn each_fault_is_named_with_its_place_and_the_way_out() {
    for (text, expected) in [
        ("upstrem = 'x'\n", "1:1: unknown key 'upstrem'; did you mean 'upstream'?"),
        ("keep_env = ['X']\n", "1:1: unknown key 'keep_env'; the keys here are listener, upstream,"),
        ("threads = 0\n", "1:11: 'threads': write a number from 1 to 64"),
        ("sandbox = 'no'\n", "1:11: 'sandbox' takes true or false, not a string"),
        ("log_level = 'loud'\n", "1:13: 'log_level': 'loud' is none of error, warn, info, debug, trace"),
        ("upstream = 'ssh://x'\n", "1:12: 'upstream': invalid address 'ssh://x': ssh is not supported"),
        (
            "user = 'no-such-user'\n",
            "1:8: 'user' no-such-user: /etc/passwd has no such user; give its number",
        ),
        ("watchdog = '1s'\n", "1:12: 'watchdog': it must be 0 or at least 2s"),
        ("upstream_tls = 7\n", "1:16: 'upstream_tls' takes a table of files, not an integer"),
        ("listener = 3\n", "1:12: 'listener' takes a list of tables"),
    ] {
        let problem =
            problem(&if text.starts_with("listener") { text.to_owned() } else { format!("{text}{GOOD}") });
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    for (line, expected) in [
        ("alow = ['info']", "4:1: unknown key 'alow'; did you mean 'allow'?"),
        ("consumer = 'treafik'", "4:12: 'consumer': unknown consumer 'treafik'; did you mean traefik"),
        ("keep-env = ['X']", "4:1: unknown key 'keep-env'; did you mean 'keep_env'?"),
        ("redact = ['env', 'comands']", "4:18: 'redact': unknown class 'comands'"),
        ("only = ['lable:x']", "4:9: 'only': "),
        ("keep_label = ['']", "4:15: 'keep_label' is empty, which would show everything"),
        ("min_api_version = 'x'", "4:19: 'min_api_version': invalid API version 'x'; write one such as 1.44"),
        ("mode = '999'", "4:8: 'mode': write permission bits in octal, such as 0660 or 0666"),
        ("group = 'no-such-group'", "4:9: 'group': /etc/group has no group 'no-such-group'"),
        ("client_share = 101", "4:16: 'client_share': write a number from 1 to 100"),
        ("header_timeout = 0", "4:18: 'header_timeout': it must be more than 0"),
        ("min_rate = '1XB'", "4:12: 'min_rate': write a size such as 512, 1KiB or 2MB"),
        ("errors = 'xml'", "4:10: 'errors': 'xml' is none of auto, text, json"),
        (
            "tls = { verify = true }",
            "4:7: 'tls': TLS is for tcp://HOST:PORT, and 'address' /tmp/x/docker.sock",
        ),
        ("tls = { crt = 'x' }", "4:9: unknown key 'tls.crt'; did you mean 'tls.cert'?"),
        (
            "[[listener.client]]\nallow = ['ping']",
            "4:1: a rule for clients says which: give it 'uid', 'gid',",
        ),
        ("[[listener.client]]\nuid = 'no-such-user'", "5:7: 'uid': /etc/passwd has no user 'no-such-user'"),
        (
            "[[listener.client]]\nuid = 0x3e9",
            "5:7: 'uid' takes a name, a number, or a list of them, not an integer",
        ),
        ("[[listener.client]]\naddress = '10.0.0.0/40'", "5:11: 'address': invalid address '10.0.0.0/40'"),
        (
            "[[listener.client]]\naddress = '10.0.0.0/8'",
            "5:11: 'address': no client of this listener can match",
        ),
        (
            "[[listener.client]]\ncertificate = 'x'",
            "5:15: 'certificate': no client of this listener can match",
        ),
        (
            "[[listener.client]]\nuid = 1\nallow = ['pin']",
            "6:10: 'allow': unknown name 'pin'; did you mean ping",
        ),
        (
            "[[listener]]\naddress = '/tmp/x/docker.sock'\nallow = ['info']",
            "5:11: 'address' /tmp/x/docker.sock is",
        ),
        ("[[listener]]\naddress = '/tmp/y.sock'", "4:1: this listener allows nothing; give it 'allow'"),
    ] {
        let problems = File::new(&format!("{GOOD}{line}\n")).problems();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{line}: {problems:#?}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn check_takes_a_certificate_s_name_or_its_digest() {
    let (pki, digest) = (Pki::new(), "ab".repeat(32));
    let server = pki.server();
    let text = format!(
        "[[listener]]\naddress = 'tcp://127.0.0.1:0'\n\
         tls = {{ verify = true, ca = '{}', cert = '{}', key = '{}' }}\n\
         [[listener.client]]\ncertificate = 'prom*'\nallow = ['info']\n\
         [[listener.client]]\ncertificate = 'sha256:{digest}'\nallow = ['version']\n",
        server.ca().display(),
        server.cert().display(),
        server.key().display()
    );
    let file = File::new(&text);
    let check = |certificate: &str, request: &str| {
        let output = program()
            .args(["check", "--config"])
            .arg(file.path())
            .args(["--certificate", certificate, "GET", request])
            .output()
            .unwrap();
        output.status.code().unwrap()
    };
    assert_eq!((check("prometheus", "/info"), check("prometheus", "/version")), (0, 1));
    let digest = format!("sha256:{digest}");
    assert_eq!((check(&digest, "/version"), check(&digest, "/info")), (0, 1));
    assert_eq!(check("sha256:short", "/info"), 2);
}

#[cfg(feature = "tls")]
#[test]
fn certificates_that_cannot_be_used_are_told_with_their_key() {
    let (pki, other) = (Pki::new(), Pki::new());
    let file = |of: &Pki, name: &str| of.server().0.join(name).display().to_string();
    let (cert, key) = (file(&pki, "cert.pem"), file(&pki, "key.pem"));
    let listener = |tls: String| {
        format!("[[listener]]\naddress = 'tcp://127.0.0.1:0'\nallow = ['ping']\ntls = {{ {tls} }}\n")
    };
    for (text, expected) in [
        (listener(format!("cert = '{cert}', key = 'missing.pem'")), "'tls.key': cannot read /"),
        (listener(format!("key = '{key}', cert = '{key}'")), "4:"),
        (
            listener(format!("cert = '{cert}', key = '{}'", file(&other, "key.pem"))),
            "does not match its private key",
        ),
        (listener(format!("verify = true, cert = '{cert}', key = '{key}', ca = '{key}'")), "'tls.ca': "),
        (
            format!("upstream = 'tcp://localhost:1'\nupstream_tls = {{ ca = 'none.pem' }}\n{GOOD}"),
            "2:23: 'upstream_tls.ca': cannot read /",
        ),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_their_order() {
    let problems = File::new(
        "thread = 1\n[[listener]]\naddress = ['/tmp/x.sock', 'nonsense', 'x://y']\nallow = ['contaners', 'pong']\n\
         redact = ['secrets']\nidle_timeout = []\n",
    )
    .problems();
    let places: Vec<&str> = problems.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["1:1", "3:27", "3:39", "4:10", "4:23", "5:11", "6:16"], "{problems:#?}");
}

#[test]
fn what_is_no_toml_is_told_with_its_place() {
    let problem = problem("[[listener]\n");
    assert!(problem.starts_with("1:"), "{problem}");
}

#[test]
fn a_file_without_a_listener_and_one_that_is_not_there_are_errors() {
    assert!(problem("log_level = 'info'\n").contains("there is no listener; add a table [[listener]]"));
    let output = program().args(["--config", "/nonexistent/proxy.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/nonexistent/proxy.toml: No such file"), "{text}");
}

#[test]
fn beside_a_file_only_flags_for_the_whole_process_are_taken() {
    let file = File::new(GOOD);
    let output = file.run(&["-a", "info", "--redact", "env", "--config"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("with --config") && text.contains("--allow, --redact"), "{text}");
    let output =
        program().env("DOCKER_PROXY_ACL_ONLY", "name:x").arg("--config").arg(file.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("--only (DOCKER_PROXY_ACL_ONLY)"), "{text}");
    let output = file.run(&["--upstream", "nonsense", "--config"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.starts_with("error: --upstream: invalid address 'nonsense'"), "{text}");
}

#[test]
fn flags_for_the_whole_process_win_over_the_file() {
    let shown = |file: &File, args: &[&str]| {
        let output = file.run(&[&["config", "show"], args, &["--config"]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let file = File::new(&format!("threads = 3\nlog_level = 'warn'\nupstream = '/run/a.sock'\n{GOOD}"));
    let text = shown(&file, &["--threads", "2", "--upstream", "/run/b.sock"]);
    for line in ["threads = 2", "log_level = \"warn\"", "upstream = \"/run/b.sock\""] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
}

/// Something else than the default for every flag.
const EVERY_FLAG: &[&str] = &[
    "-a",
    "containers,events,ping",
    "--for",
    "netdata,traefik",
    "--min-api-version",
    "1.40",
    "--redact",
    "paths",
    "--keep-env",
    "VIRTUAL_*,A",
    "--keep-label",
    "com.*",
    "--only",
    "label:a=b,c",
    "--only",
    "name:\"q\"",
    "--listen",
    "unix:///tmp/a/b.sock",
    "--listen",
    "tcp://127.0.0.1:2375",
    "--socket-mode",
    "0600",
    "--socket-group",
    "0",
    "--tlsverify",
    "--tlscacert",
    "/x/ca.pem",
    "--tlscert",
    "/x/cert.pem",
    "--tlskey",
    "/x/key.pem",
    "--upstream",
    "tcp://localhost:1",
    "--upstream-timeout",
    "7s",
    "--upstream-tlscacert",
    "/y/ca.pem",
    "--upstream-tlscert",
    "/y/cert.pem",
    "--upstream-tlskey",
    "/y/key.pem",
    "--header-timeout",
    "1s",
    "--idle-timeout",
    "2s",
    "--stall-timeout",
    "3s",
    "--min-rate",
    "4",
    "--max-requests",
    "5",
    "--max-load",
    "6",
    "--client-share",
    "7",
    "--max-connections",
    "8",
    "--max-connections-per-uid",
    "9",
    "--shutdown-timeout",
    "11s",
    "--errors",
    "json",
    "--user",
    "4711",
    "--no-sandbox",
    "--threads",
    "2",
    "--watchdog",
    "0",
    "--log-format",
    "json",
    "--log-level",
    "debug",
];

/// A shown configuration without what it says of where the engine's address comes from: a file that names it is that.
fn without_source(shown: &str) -> String {
    let (first, rest) = shown.split_once('\n').unwrap();
    format!("{}\n{rest}", first.split_once(" # ").map_or(first, |(line, _)| line))
}

#[cfg(feature = "tls")]
#[test]
fn a_shown_configuration_is_a_file_that_means_the_same() {
    let pki = Pki::new();
    let (server, alice) = (pki.server().0.display().to_string(), pki.alice().0.display().to_string());
    let real = |flag: &&str| flag.replace("/x/", &format!("{server}/")).replace("/y/", &format!("{alice}/"));
    let every_flag: Vec<String> = EVERY_FLAG.iter().map(real).collect();
    for flags in [vec!["-a".to_owned(), "ping".to_owned()], every_flag] {
        let output = program().args(["config", "show"]).args(flags).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let again = File::new(&text).run(&["config", "show", "--config"]);
        assert_eq!(
            String::from_utf8(again.stdout).unwrap(),
            without_source(&text),
            "{:?}",
            String::from_utf8_lossy(&again.stderr)
        );
    }
}

#[cfg(feature = "tls")]
#[test]
fn what_docker_s_variables_say_is_in_a_shown_configuration_too() {
    let pki = Pki::new();
    let alice = pki.alice();
    let output = program()
        .args(["config", "show", "-a", "ping", "--listen", "tcp://127.0.0.1:0", "--tls"])
        .env("DOCKER_HOST", "tcp://localhost:1")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &alice.0)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (ca, cert, key) = (alice.ca(), alice.cert(), alice.key());
    let (ca, cert, key) = (ca.display(), cert.display(), key.display());
    for line in [
        r#"upstream = "tcp://localhost:1" # DOCKER_HOST"#.to_owned(),
        format!(r#"upstream_tls = {{ ca = "{ca}", cert = "{cert}", key = "{key}" }}"#),
        format!(r#"tls = {{ verify = false, cert = "{cert}", key = "{key}" }}"#),
    ] {
        assert!(text.lines().any(|one| one == line), "{line} in {text}");
    }
}

#[test]
fn the_operator_s_socket_keeps_its_permissions_in_the_file() {
    let flags =
        ["-a", "ping", "--admin", "/tmp/a/admin.sock", "--socket-mode", "0600", "--socket-group", "0"];
    let output = program().args(["config", "show"]).args(flags).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(r#"admin = { address = "/tmp/a/admin.sock", mode = "0600", group = "0" }"#),
        "{text}"
    );
    let again = File::new(&text).run(&["config", "show", "--config"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), without_source(&text));
    assert!(
        problem(&format!("admin = 7\n{GOOD}")).contains("1:9: 'admin' takes an address, or a table with one")
    );
}

#[test]
fn every_flag_that_is_not_the_default_shows_in_the_file() {
    let show = |flags: &[&str]| {
        let output = program().args(["config", "show"]).args(flags).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (default, changed) = (show(&["-a", "ping"]), show(EVERY_FLAG));
    let unchanged: Vec<&str> = default
        .lines()
        .filter(|line| line.contains(" = ") && changed.lines().any(|one| one == *line))
        .collect();
    assert_eq!(unchanged, [""; 0]);
}

#[test]
fn check_says_what_becomes_of_a_client_s_request_and_by_which_line() {
    let file = File::new(
        "[[listener]]\naddress = '/tmp/x/a.sock'\nallow = ['ping']\nredact = ['env']\n\
         [[listener.client]]\nuid = 1001\nallow = ['containers:inspect']\n\
         [[listener.client]]\ngid = 7\nallow = ['info']\n\
         [[listener]]\naddress = 'tcp://127.0.0.1:1'\n\
         [[listener.client]]\naddress = '10.0.0.0/8'\nallow = ['version']\n",
    );
    let path = file.path().display().to_string();
    let check = |args: &[&str]| {
        let output = program().args(["check", "--config", &path]).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), text.replace(&path, "FILE"))
    };
    let unix = ["--listener", "/tmp/x/a.sock"];
    let of = |client: &[&str], request: &str| check(&[&unix[..], client, &["GET", request]].concat());
    let (code, text) = of(&["--uid", "1001"], "/containers/x/json");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("without env") && text.ends_with("(by FILE:5)\n"), "{text}");
    let (code, text) = of(&["--uid", "1002"], "/containers/x/json");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("404: containers:inspect is not allowed here") && text.contains("FILE:1"),
        "{text}"
    );
    assert_eq!(of(&["--gid", "7"], "/info").0, 0);
    assert_eq!(of(&[], "/_ping").0, 0);
    let tcp = ["--listener", "tcp://127.0.0.1:1"];
    assert_eq!(check(&[&tcp[..], &["--client", "10.1.2.3", "GET", "/version"]].concat()).0, 0);
    assert_eq!(check(&[&tcp[..], &["--client", "11.1.2.3", "GET", "/version"]].concat()).0, 1);
    let (code, text) = check(&["--redact", "env", "GET", "/_ping"]);
    assert_eq!(code, 2);
    assert!(text.contains("with --config, what is allowed and shown is said in the file"), "{text}");
    let (code, text) = check(&["GET", "/_ping"]);
    assert_eq!(code, 2);
    assert!(text.contains("--listener names one of /tmp/x/a.sock, tcp://127.0.0.1:1"), "{text}");
}

#[cfg(feature = "tls")]
#[test]
#[ignore = "needs an engine and root: tests/run"]
fn the_example_s_clients_get_what_it_says_on_a_real_engine() {
    let (engine, pki, port) = (Engine::shared(), Pki::new(), free_port());
    pki.certs(&["client", "prometheus"]);
    let text = include_str!("../../examples/docker-proxy-acl.toml")
        .replace("/run/docker-proxy-acl", "{dir}")
        .replace("0.0.0.0:2376", &format!("127.0.0.1:{port}"))
        .replace("\"monitoring\"", "\"daemon\"");
    let builder = Proxy::with_file(engine.socket(), &text);
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(pki.server().0.join(file), builder.directory().join(file)).unwrap();
    }
    let proxy = builder.start();
    proxy.logged(&["Listening on", &port.to_string()]);

    let nginx = proxy.directory().join("nginx-proxy/docker.sock");
    assert_eq!(get(&nginx, "/containers/json").json(), serde_json::json!([]), "none is of that project");
    assert_eq!(get(&nginx, "/images/json").status(), 404);

    let monitoring = proxy.directory().join("monitoring/docker.sock");
    let listed = get(&monitoring, "/containers/json").json();
    assert!(listed.as_array().unwrap().len() > 2 && listed[0]["Labels"] == serde_json::json!({}), "{listed}");
    assert_eq!(get(&monitoring, "/events?until=1").status(), 404);
    let mut user = Command::new("setpriv");
    // The user is not in the group that may open the socket.
    user.args([
        "--reuid=1001",
        "--regid=daemon",
        "--clear-groups",
        "curl",
        "-q",
        "-s",
        "-o",
        "/dev/null",
        "-w",
    ]);
    user.args(["%{http_code}", "--unix-socket"]).arg(&monitoring).arg("http://docker/events?until=1");
    assert_eq!(stdout(user.output().unwrap()), "200");

    let status = |client: &str, path: &str| {
        let url = format!("https://localhost:{port}{path}");
        let client = CertDir(pki.path().join("clients").join(client));
        stdout(curl_as(&client, &["-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    assert_eq!(
        (status("prometheus", "/containers/json"), status("prometheus", "/info")),
        ("200".into(), "404".into())
    );
    assert_eq!(
        (status("alice", "/_ping"), status("alice", "/containers/json")),
        ("404".into(), "404".into())
    );
}

#[test]
fn a_rule_with_a_consumer_has_its_names_and_view_and_one_without_is_shown_what_its_listener_s_is() {
    let file = File::new(
        "[[listener]]\naddress = '/tmp/x/a.sock'\nconsumer = 'nginx-proxy'\n\
         [[listener.client]]\nuid = 1\nallow = ['containers']\n\
         [[listener.client]]\nuid = 2\nconsumer = 'netdata'\n\
         [[listener.client]]\nuid = 3\nonly = ['name:web']\n",
    );
    let path = file.path().display().to_string();
    let check = |uid: &str, request: &str| {
        let output =
            program().args(["check", "--config", &path, "--uid", uid, "GET", request]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let inspect = "/containers/x/json";
    for uid in ["0", "1", "3"] {
        assert!(check(uid, inspect).contains("without env (but VIRTUAL_*"), "{uid}: {}", check(uid, inspect));
    }
    assert!(check("3", inspect).contains("only name:web"), "{}", check("3", inspect));
    assert!(check("2", inspect).contains("NOMAD_"), "{}", check("2", inspect));
    assert!(check("0", "/networks").starts_with("allowed") && check("3", "/networks").starts_with("allowed"));
    assert!(check("1", "/networks").starts_with("404") && check("2", "/networks").starts_with("404"));
    let wrong = problem("[[listener]]\naddress = '/tmp/x'\nconsumer = 'ngnix-proxy'\n");
    assert!(
        wrong.starts_with("3:12: 'consumer': ") && wrong.contains("did you mean nginx-proxy?"),
        "{wrong}"
    );
}

#[test]
fn listeners_of_a_file_have_their_own_rights_limits_and_forms_of_errors() {
    let engine = Mock::answering(OK_LINE);
    let text = r#"
        [[listener]]
        address = "{socket}"
        allow = ["version"]
        errors = "text"
        [[listener]]
        address = "{dir}/other/docker.sock"
        mode = "0600"
        allow = ["info"]
        max_connections = 0
    "#;
    let proxy = Proxy::with_file(engine.socket(), text).start();
    let other = proxy.directory().join("other/docker.sock");
    proxy.logged(&["Listening on", "other/docker.sock"]);
    assert_eq!(proxy.get("/version").status(), 200);
    assert_eq!(proxy.get("/info").text(), "404 page not found\n");
    assert_eq!(get(&other, "/info").status(), 503);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&other).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
