//! Promise: `learn` lets through nothing but `GET`, files and tokens only where that is said, and what it prints is
//! enough for what each client asked for, and no more.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::engine::{Engine, docker};
use crate::support::http::{GET_EVENTS, connect, pipelined};
use crate::support::library::{ENGINE, example};
use crate::support::mock::{Mock, OK_JSON, quiet_stream};
use crate::support::process::{memory, signal};
use crate::support::proxy::{PROGRAM, Proxy, program};
#[cfg(feature = "tls")]
use crate::support::tls::{CertDir, Pki, curl_as};
use crate::support::tools::{curl, stdout, until_accepting, without_docker_variables};
use crate::support::{eventually, machine, until};

const LINE_START: &str = "docker-proxy-acl -a ";

/// The names in the only command line of what was printed.
fn learnt_names(output: &str) -> &str {
    let lines: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix(LINE_START)).collect();
    let [names] = lines[..] else { panic!("{output}") };
    names
}

/// Fails unless `config check` accepts a text; the file with it.
fn checked(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = program().args(["config", "check"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    file
}

#[test]
fn it_prints_the_least_line_for_what_was_asked() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    for target in
        ["/_ping", "/v1.41/containers/json?all=1&limit=2&xyz=3", "/containers/json", "/events?since=1"]
    {
        assert_eq!(proxy.get(target).status(), 200, "{target}");
    }
    let output = proxy.finish();
    assert_eq!(learnt_names(&output), "containers:list,events,ping");
    for line in ["#      2  containers:list (all, limit)", "#      1  events (since)", "#      1  ping"] {
        assert!(output.lines().any(|found| found == line), "{line} is not in {output}");
    }
    assert!(output.contains(": 4 requests\n") && !output.contains("xyz"), "{output}");
    assert!(!output.contains("nothing allows"), "{output}");
}

#[test]
fn a_group_is_named_where_all_of_it_was_used() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    for target in ["/containers/x/json", "/containers/json", "/images/json"] {
        proxy.get(target);
    }
    assert_eq!(learnt_names(&proxy.finish()), "containers,images:list");
}

#[test]
fn its_log_goes_to_standard_error_and_begins_with_what_it_means() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    proxy.logged(&["WARN learning: whoever connects may read nearly all that the engine tells"]);
    let address = format!("# {}: no client asked for anything\n", proxy.socket().display());
    assert_eq!(proxy.finish(), address);
}

#[test]
fn a_signal_has_it_print_and_go_on_and_streams_that_have_not_ended_are_in_it() {
    let engine = Mock::new(quiet_stream);
    // Whole answers: a stream that is no JSON has no view.
    let proxy = Proxy::learning(engine.socket()).args(["--include-files"]).start();
    let mut watcher = connect(proxy.socket());
    watcher.write_all(GET_EVENTS).unwrap();
    until("the engine is asked for events", || engine.heads().len() == 1);
    proxy.signal("USR1");
    until("it prints", || proxy.output().contains("docker-proxy-acl -a events\n"));
    let mut other = connect(proxy.socket());
    other.write_all(b"GET /containers/x/logs?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    until("the engine is asked for logs", || engine.heads().len() == 2);
    assert!(proxy.finish().ends_with(
        "docker-proxy-acl -a events,containers:logs\n#      1  events\n#      1  containers:logs (follow)\n"
    ));
}

#[test]
fn whoever_does_not_read_what_it_prints_can_still_end_it() {
    /// As much as a pipe holds (pipe(7)).
    const PIPE_CAPACITY: usize = 64 * 1024;
    let engine = Mock::answering(OK_JSON);
    let (_reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'x'; PIPE_CAPACITY]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let mut command = program();
    command.args(["learn", "--listen"]).arg(&socket).arg("--upstream").arg(engine.socket());
    let mut learning = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    until_accepting(&socket);
    let status = eventually("it has ended", || {
        signal(learning.id(), "TERM");
        learning.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(128 + 15));
}

#[test]
fn it_ends_by_itself_after_its_time() {
    let engine = Mock::answering(OK_JSON);
    let mut proxy = Proxy::learning(engine.socket()).args(["--seconds", "1"]).spawn();
    assert!(proxy.finished().contains("no client asked for anything"));
    for wrong in ["0", "-1", "x"] {
        let output = program().args(["learn", "--seconds", wrong]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn nothing_but_get_is_passed_while_it_learns() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).args(["--include-files"]).start();
    for (method, target) in [
        ("POST", "/v1.41/containers/create"),
        ("DELETE", "/containers/web"),
        ("HEAD", "/info"),
        ("PUT", "/containers/x/archive"),
    ] {
        assert_eq!(proxy.request(method, target).status(), 400, "{method} {target}");
    }
    for target in ["/containers/x/attach/ws", "/swarm/unlockkey", "/nonsense", "/session"] {
        assert_eq!(proxy.get(target).status(), 404, "{target}");
    }
    assert!(engine.heads().is_empty(), "{:?}", engine.heads());
    let output = proxy.finish();
    for line in [
        "# nothing that can be allowed",
        "# nothing allows these:",
        "#      1  POST /containers/create: writes",
        "#      1  DELETE /containers/web: writes",
        "#      1  HEAD /info: only GET allowed",
        "#      1  GET /nonsense: this path is not in the catalog",
    ] {
        assert!(output.lines().any(|found| found == line), "{line} is not in {output}");
    }
}

#[test]
fn files_and_tokens_are_let_through_only_where_that_is_said() {
    let engine = Mock::answering(OK_JSON);
    let paths = |hands_out: bool| {
        let rows = ENGINE.endpoints().iter();
        let rows = rows.filter(move |row| (row.hands_out_files || row.hands_out_tokens()) == hands_out);
        rows.map(|row| (row.name, example(row.path)))
    };
    let without = Proxy::learning(engine.socket()).start();
    let with = Proxy::learning(engine.socket()).args(["--include-files"]).start();
    for (name, path) in paths(true) {
        let heads = engine.heads().len();
        assert_eq!(without.get(&path).status(), 404, "{name}");
        assert_eq!(engine.heads().len(), heads, "{name}");
        assert_eq!(with.get(&path).status(), 200, "{name}");
    }
    for (name, path) in paths(false) {
        assert_eq!(without.get(&path).status(), 200, "{name}");
    }
    with.logged(&["WARN", "this name hands out file contents", "containers:archive"]);
    let (without, with) = (without.finish(), with.finish());
    for (name, _) in paths(true) {
        assert!(!learnt_names(&without).split(',').any(|found| found == name), "{name}: {without}");
        assert!(without.contains(&format!("  {name}\n")), "{name} is not in {without}");
        assert!(learnt_names(&with).split(',').any(|found| found == name), "{name}: {with}");
    }
    assert!(without.contains("not let through while learning, --include-files would"), "{without}");
}

#[test]
fn tokens_in_answers_about_other_things_are_taken_out() {
    let info = concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 54\r\n\r\n",
        r#"{"Name":"x","Swarm":{"JoinTokens":{"Worker":"hush"}}} "#
    );
    let engine = Mock::answering(info);
    let answer = |proxy: &Proxy| proxy.get("/info").text();
    let proxy = Proxy::learning(engine.socket()).start();
    assert!(answer(&proxy).contains("\"Name\":\"x\"") && !answer(&proxy).contains("hush"));
    assert!(answer(&Proxy::learning(engine.socket()).args(["--include-files"]).start()).contains("hush"));
}

#[test]
fn what_clients_do_by_habit_is_no_refusal() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    assert_eq!(proxy.request("HEAD", "/_ping").status(), 400);
    let listen = format!("unix://{}", proxy.socket().display());
    let healthcheck = program()
        .args(["healthcheck", "--listen", &listen, "--upstream"])
        .arg(engine.socket())
        .output()
        .unwrap();
    assert!(healthcheck.status.success(), "{healthcheck:?}");
    let output = proxy.finish();
    assert!(output.ends_with(": no client asked for anything\n"), "{output}");
}

#[test]
fn what_an_old_version_shows_too_is_in_the_line() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    proxy.get("/v1.27/networks");
    let output = proxy.finish();
    let again = Proxy::builder(engine.socket()).allow(learnt_names(&output)).start();
    assert_eq!(again.get("/v1.27/networks").status(), 200, "{output}");
}

#[test]
fn consumers_that_are_allowed_as_much_are_named() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    for target in ["/_ping", "/containers/json", "/networks"] {
        proxy.get(target);
    }
    let output = proxy.finish();
    assert!(output.contains("# the same: --for prometheus\n"), "{output}");
    let more = output.lines().find_map(|line| line.strip_prefix("# this and more: ")).unwrap();
    // Each is a flag that allows what was asked.
    for fit in more.split(", ").map(|fit| fit.split(" and ").next().unwrap()) {
        let mut check = program();
        check.arg("check").args(fit.split(' ')).args(["GET", "/containers/json"]);
        assert!(check.output().unwrap().status.success(), "{fit}");
    }
}

#[test]
fn a_file_with_what_one_client_needs_is_accepted_and_enough() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).args(["--output", "toml", "--socket-mode", "0600"]).start();
    let socket = proxy.socket().to_owned();
    for target in ["/_ping", "/containers/json"] {
        assert_eq!(proxy.get(target).status(), 200);
    }
    assert_eq!(proxy.request("POST", "/containers/create").status(), 400);
    let text = proxy.finish();
    let table = format!(
        "[[listener]]\naddress = [\"{}\"]\nmode = \"0600\"\nallow = [\"containers:list\", \"ping\"]\n",
        socket.display()
    );
    assert!(text.ends_with(&table), "{text}");
    checked(&text);
    let again =
        Proxy::with_file(engine.socket(), &text.replace(socket.to_str().unwrap(), "{socket}")).start();
    for (target, status) in [("/_ping", 200), ("/containers/json", 200), ("/info", 404)] {
        assert_eq!(again.get(target).status(), status, "{target}");
    }
}

/// Asks as another user; the answer's status.
fn status_as(uid: &str, socket: &Path, target: &str) -> String {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={uid}"), "--regid=0", "--clear-groups", "curl", "-q", "-s", "-m", "20"]);
    command.args(["-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]).arg(socket);
    stdout(command.arg(format!("http://docker{target}")).output().unwrap())
}

#[test]
#[ignore = "needs root: tests/run"]
fn users_of_one_socket_get_rules_of_their_own() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).args(["--output", "toml", "--socket-mode", "0666"]).start();
    let socket = proxy.socket().to_owned();
    std::fs::set_permissions(proxy.directory(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(status_as("1001", &socket, "/containers/json"), "200");
    assert_eq!(status_as("1002", &socket, "/version"), "200");
    let text = proxy.finish();
    checked(&text);
    let again =
        Proxy::with_file(engine.socket(), &text.replace(socket.to_str().unwrap(), "{socket}")).start();
    for (uid, target, status) in [
        ("1001", "/containers/json", "200"),
        ("1001", "/version", "404"),
        ("1002", "/version", "200"),
        ("1002", "/containers/json", "404"),
        ("1003", "/version", "404"),
    ] {
        assert_eq!(status_as(uid, again.socket(), target), status, "{uid} {target}: {text}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn each_user_of_a_socket_has_a_line_and_all_together_have_one() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).args(["--socket-mode", "0666"]).start();
    std::fs::set_permissions(proxy.directory(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    status_as("1001", proxy.socket(), "/containers/json");
    status_as("1002", proxy.socket(), "/containers/x/json");
    let socket = proxy.socket().display().to_string();
    let output = proxy.finish();
    let lines: Vec<&str> = output.lines().collect();
    for (title, line) in [
        (format!("# {socket}, uid 1001: 1 request"), "docker-proxy-acl -a containers:list"),
        (format!("# {socket}, uid 1002: 1 request"), "docker-proxy-acl -a containers:inspect"),
        (format!("# {socket}, all clients together"), "docker-proxy-acl -a containers"),
    ] {
        assert!(lines.windows(2).any(|pair| pair == [&title, line]), "{title}, {line}: {output}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn certificates_get_rules_of_their_own_in_a_file_with_the_listener_s_tls() {
    let (engine, pki) = (Mock::answering(OK_JSON), Pki::new());
    pki.certs(&["client", "bob"]);
    let learn = ["--output", "toml", "--listen", "tcp://127.0.0.1:0", "--tlsverify"];
    let proxy = Proxy::learning(engine.socket()).args(learn).args(pki.server().docker_flags()).start();
    let bob = CertDir(pki.path().join("clients/bob"));
    let status = |proxy: &Proxy, client: &CertDir, target: &str| {
        let url = format!("https://localhost:{}{target}", proxy.tcp_port());
        stdout(curl_as(client, &["-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    assert_eq!(status(&proxy, &pki.alice(), "/version"), "200");
    assert_eq!(status(&proxy, &bob, "/info"), "200");
    let socket = proxy.socket().to_str().unwrap().to_owned();
    let text = proxy.finish();
    assert!(text.contains("certificate alice: 1 request\n"), "{text}");
    checked(&text);
    // Of the Unix socket only a comment is left.
    let again = Proxy::with_file(engine.socket(), &text.replace(&socket, "{socket}")).start();
    for (client, target, expected) in [
        (&pki.alice(), "/version", "200"),
        (&pki.alice(), "/info", "404"),
        (&bob, "/info", "200"),
        (&bob, "/version", "404"),
    ] {
        assert_eq!(status(&again, client, target), expected, "{target}: {text}");
    }
}

#[test]
fn addresses_get_rules_of_their_own_over_plain_tcp() {
    let engine = Mock::answering(OK_JSON);
    let learn = ["--output", "toml", "--listen", "tcp://127.0.0.1:0"];
    let proxy = Proxy::learning(engine.socket()).args(learn).start();
    let status = |proxy: &Proxy, from: &str, target: &str| {
        let url = format!("http://127.0.0.1:{}{target}", proxy.tcp_port());
        stdout(curl(&["--interface", from, "-o", "/dev/null", "-w", "%{http_code}", &url]))
    };
    assert_eq!(status(&proxy, "127.0.0.1", "/version"), "200");
    assert_eq!(status(&proxy, "127.0.0.2", "/info"), "200");
    let text = proxy.finish();
    checked(&text);
    let again = Proxy::with_file(engine.socket(), &text).start();
    for (from, target, expected) in [
        ("127.0.0.1", "/version", "200"),
        ("127.0.0.1", "/info", "404"),
        ("127.0.0.2", "/info", "200"),
        ("127.0.0.3", "/version", "404"),
    ] {
        assert_eq!(status(&again, from, target), expected, "{from} {target}: {text}");
    }
}

#[test]
fn what_is_printed_is_a_script_that_does_nothing_but_run_its_line() {
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).start();
    proxy.get("/_ping");
    for path in ["/$(touch${IFS}/tmp/x)", "/`x`", "/a;b&c|d", "/'x", "/x\"y", "/!!"] {
        proxy.request("POST", path);
    }
    let output = proxy.finish();
    for line in output.lines() {
        assert!(line.starts_with("# ") || line == "docker-proxy-acl -a ping", "{line}");
        assert!(!line.contains(['$', '`', ';', '&', '|', '\'', '"', '!', '\\', '<', '>']), "{line}");
    }
}

#[test]
fn calls_without_number_take_no_more_memory() {
    const BATCHES: usize = 20;
    const CALLS: usize = 500;
    let engine = Mock::answering(OK_JSON);
    let proxy = Proxy::learning(engine.socket()).quiet().start();
    let ask = |batch: usize| {
        let one = |call| format!("POST /{batch}/{call}/{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(1000));
        let statuses = pipelined(proxy.socket(), &(0..CALLS).map(one).collect::<String>());
        assert_eq!(statuses, [400; CALLS]);
    };
    ask(0);
    let before = memory(proxy.pid());
    (1..BATCHES).for_each(ask);
    let after = memory(proxy.pid());
    // Kept, they would take 10 MiB.
    assert!(after < before + 4 * 1024, "{before} KiB, then {after} KiB");
    let output = proxy.finish();
    assert!(output.contains(&format!(": {} requests\n", BATCHES * CALLS)), "{output}");
    assert!(output.ends_with(&format!("# {:>6}  others\n", BATCHES * CALLS - 32)), "{output}");
}

/// Runs a shell script that finds a proxy, or the engine, by Docker's variable, and Debian's tools.
fn script(socket: &Path, text: &str) -> Output {
    let mut command = without_docker_variables(Command::new("sh"));
    command
        .args(["-euc", text])
        .env("SOCKET", socket)
        .env("DOCKER_HOST", format!("unix://{}", socket.display()));
    command.env("DOCKER_CONFIG", "/nonexistent").stdin(Stdio::null()).output().unwrap()
}

/// Learns what a consumer needs, then runs it with just that: nothing is refused, and it prints what it prints on
/// the engine's own socket. The names that it needs.
fn learn_and_run_again(engine: &Engine, consumer: impl Fn(&Path) -> String) -> String {
    let learning = Proxy::learning(engine.socket()).start();
    consumer(learning.socket());
    let output = learning.finish();
    let names = learnt_names(&output).to_owned();
    let proxy = Proxy::builder(engine.socket()).allow(&names).start();
    assert_eq!(consumer(proxy.socket()), consumer(engine.socket()), "{output}");
    assert_eq!(proxy.refusals(), Vec::<String>::new(), "{output}");
    names
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_docker_cli_runs_with_what_was_learnt_of_it() {
    let _machine = machine::undisturbed();
    let engine = Engine::shared();
    let names = learn_and_run_again(&engine, |socket| {
        let commands = [
            "ps -a --no-trunc --format {{.Names}}",
            "inspect web",
            "network ls -q",
            "volume inspect data",
            "logs web",
            "top web",
        ];
        commands.map(|command| stdout(docker(socket, &command.split(' ').collect::<Vec<_>>()))).concat()
    });
    assert_eq!(names, "containers,networks:list,volumes:inspect,ping,containers:top,containers:logs");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn docker_compose_runs_with_what_was_learnt_of_it() {
    let _machine = machine::undisturbed();
    let engine = Engine::shared();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("compose.yaml");
    std::fs::write(&file, "version: '3'\nservices:\n  web:\n    image: busybox:latest\n").unwrap();
    let text = format!("docker-compose -p nothing -f {} ps", file.display());
    let names = learn_and_run_again(&engine, |socket| stdout(script(socket, &text)));
    assert!(names.contains("containers:list") && names.contains("version"), "{names}");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_script_with_curl_runs_with_what_was_learnt_of_it() {
    let _machine = machine::undisturbed();
    let engine = Engine::shared();
    let text = r#"
        ask() { curl -q -sS -f -g -m 20 --unix-socket "$SOCKET" "http://docker$1"; }
        ask '/v1.41/containers/json?filters={"name":["web"]}' | head -c 20
        ask /v1.41/images/getmeili/meilisearch:v1.6/json | head -c 20
        ask /v1.25/networks/mesh | head -c 20
        ask /v1.27/networks | wc -l
        ask /v1.41/tasks | head -c 20
    "#;
    let names = learn_and_run_again(&engine, |socket| stdout(script(socket, text)));
    assert_eq!(names, "containers:list,images:inspect,networks,tasks:list");
}

#[test]
fn the_program_that_is_tried_has_the_command() {
    let help = stdout(Command::new(PROGRAM.as_str()).args(["learn", "--help"]).output().unwrap());
    for flag in
        ["--output", "--seconds", "--include-files", "--listen", "--upstream", "--user", "--tlsverify"]
    {
        assert!(help.contains(flag), "{flag} is not in {help}");
    }
    assert!(!help.contains("--redact") && !help.contains("--allow"), "{help}");
}
