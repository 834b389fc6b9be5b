//! `healthcheck` tells whether the running listener and the engine behind it answer, whatever is enabled.

use std::ffi::OsStr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::engine::Engine;
use crate::support::files::set_mode;
use crate::support::mock::Mock;
use crate::support::process::{signal, status};
use crate::support::proxy::{PROGRAM, Proxy, program};
use crate::support::transport::{Transport, for_each_transport};
use crate::support::{eventually, until};

const PONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK";

fn healthcheck(listen: impl AsRef<OsStr>, upstream: &Path) -> (Option<i32>, String) {
    let mut command = program();
    command.args(["healthcheck", "--listen"]).arg(listen.as_ref()).arg("--upstream").arg(upstream);
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    (output.status.code(), line)
}

fn ponging() -> Mock {
    Mock::answering_once(PONG)
}

#[test]
fn it_works_whatever_names_are_enabled() {
    let engine = ponging();
    for name in ["version", "ping", "containers:list"] {
        let proxy = Proxy::builder(engine.socket()).allow(name).start();
        let (code, line) = healthcheck(proxy.socket(), engine.socket());
        assert_eq!(code, Some(0), "{line}");
        assert!(line.starts_with("healthy"), "{line}");
    }
}

// Over TLS it shows no certificate: it asks in plain HTTP, and the words about that prove a listener alive.
for_each_transport! { [unix, tcp, tls]
    fn its_questions_are_no_warnings(transport: Transport) {
        let engine = ponging();
        let server = transport.serve(engine.socket(), "version");
        let (_, line) = healthcheck(server.address(), engine.socket());
        assert!(line.starts_with("healthy"), "{line}");
        server.proxy.logged(&["DEBUG", "status=40"]);
        assert!(server.proxy.refusals().is_empty(), "{:#?}", server.proxy.log());
    }
}

#[test]
fn it_says_when_the_listener_is_gone() {
    let engine = ponging();
    let (code, line) = healthcheck(engine.socket().with_file_name("none"), engine.socket());
    assert_eq!(code, Some(1));
    assert!(
        line.starts_with("unhealthy: no answer on the listener") && line.contains("No such file"),
        "{line}"
    );
}

#[test]
fn it_says_when_the_engine_is_gone_or_ill() {
    let unhealthy = Mock::new(|mut connection| {
        connection.read_head();
        connection
            .send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    let proxy = Proxy::builder(unhealthy.socket()).allow("info").start();
    let (code, line) = healthcheck(proxy.socket(), unhealthy.socket());
    assert_eq!(code, Some(1));
    assert!(line.contains("the engine") && line.contains("500"), "{line}");
    let (code, line) = healthcheck(proxy.socket(), &unhealthy.socket().with_file_name("none"));
    assert_eq!(code, Some(1));
    assert!(line.starts_with("unhealthy: no answer from the engine"), "{line}");
}

#[test]
fn it_says_when_something_else_listens() {
    let engine = ponging();
    let other = Mock::answering_once("220 smtp\r\n");
    let (code, line) = healthcheck(other.socket(), engine.socket());
    assert_eq!(code, Some(1));
    assert!(line.contains("does not speak HTTP"), "{line}");
}

/// Processes that see no others: the first of them, and those that are started beside it.
struct PidNamespace {
    unshare: std::process::Child,
    first: u32,
}

impl PidNamespace {
    /// Starts the first one.
    fn new(first: &mut Command) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]).arg(first.get_program()).args(first.get_args());
        let unshare =
            unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let first = eventually("the first process is there", || {
            std::fs::read_to_string(&children).unwrap().trim().parse().ok()
        });
        let namespace = Self { unshare, first };
        until("it has a /proc of its own", || {
            namespace.run(Command::new("readlink").arg("/proc/self")).is_some_and(|output| {
                String::from_utf8_lossy(&output.stdout).trim().parse().is_ok_and(|pid: u32| pid < 100)
            })
        });
        namespace
    }

    /// Another one, in the same place.
    fn command(&self, command: &Command) -> Command {
        let mut entering = Command::new("nsenter");
        entering.args(["--target", &self.first.to_string(), "--pid", "--mount"]);
        entering.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        entering
    }

    fn run(&self, command: &Command) -> Option<Output> {
        self.command(command).output().ok()
    }

    fn healthcheck(&self, program: &Path) -> String {
        let output = self.run(Command::new(program).arg("healthcheck")).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for PidNamespace {
    fn drop(&mut self) {
        // All others in it end with the first.
        signal(self.first, "KILL");
        self.unshare.wait().unwrap();
    }
}

/// A directory that everyone can read, with the program in it.
fn public_directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let copy = directory.path().join("docker-proxy-acl");
    // By cp: a file that this process wrote could be open in a child of another test, and not start.
    assert!(Command::new("cp").arg(PROGRAM.as_str()).arg(&copy).status().unwrap().success());
    (directory, copy)
}

fn proxy_command(program: &Path, socket: &Path, engine: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-a", "info", "--log-level", "debug", "--listen"])
        .arg(socket)
        .arg("--upstream")
        .arg(engine);
    command
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_proxy_of_another_user_is_not_believed_nor_connected_to() {
    let engine = ponging();
    set_mode(engine.socket(), 0o666);
    set_mode(engine.socket().parent().unwrap(), 0o755);
    let (directory, program) = public_directory();
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("hostile")).unwrap();
    std::os::unix::fs::chown(at("hostile"), Some(4321), None).unwrap();
    let namespace = PidNamespace::new(Command::new("sleep").arg("1000"));

    // Running the very same file, with an answer for everyone.
    let hostile = UnixListener::bind(at("hostile/bait.sock")).unwrap();
    hostile.set_nonblocking(true).unwrap();
    set_mode(&at("hostile/bait.sock"), 0o666);
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "4321", "--regid", "4321", "--clear-groups"]).arg(&program);
    other.args(["-a", "info", "--upstream"]).arg(at("hostile/bait.sock"));
    other.arg("--listen").arg(at("hostile/s"));
    let _other = Started(namespace.command(&other).stdout(Stdio::null()).spawn().unwrap());
    // The one connection that it makes by itself, at its start.
    let _kept = eventually("it serves", || hostile.accept().ok());
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("unhealthy: no answer on the listener /tmp/docker-proxy-acl/"), "{line}");
    assert!(line.contains("is a docker-proxy-acl of another user"), "{line}");
    assert!(hostile.accept().is_err(), "nobody connects where it was told");

    // Beside it, one of root's is found.
    let mut own = namespace.command(&proxy_command(&program, &at("own.sock"), engine.socket()));
    let _own = Started(own.stdout(Stdio::null()).spawn().unwrap());
    until("it listens", || UnixStream::connect(at("own.sock")).is_ok());
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("healthy: 1 listener(s)"), "{line}");
    assert!(hostile.accept().is_err(), "nobody connects where the other was told");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_copy_of_the_program_is_another_program() {
    let engine = ponging();
    let (_directory, program) = public_directory();
    let (copies, copy) = public_directory();
    let socket = copies.path().join("s");
    let namespace = PidNamespace::new(Command::new("sleep").arg("1000"));
    let mut command = namespace.command(&proxy_command(&copy, &socket, engine.socket()));
    let _running = Started(command.stdout(Stdio::null()).spawn().unwrap());
    until("it listens", || UnixStream::connect(&socket).is_ok());
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("unhealthy: no answer on the listener /tmp/docker-proxy-acl/"), "{line}");
    assert!(namespace.healthcheck(&copy).starts_with("healthy"), "the copy itself does");
}

/// As in a container: its main process, with `--user`.
#[test]
#[ignore = "needs root: tests/run"]
fn the_first_process_is_believed_whoever_it_has_become() {
    let engine = ponging();
    set_mode(engine.socket(), 0o666);
    set_mode(engine.socket().parent().unwrap(), 0o755);
    let (directory, program) = public_directory();
    let socket = directory.path().join("s");
    let mut first = proxy_command(&program, &socket, engine.socket());
    let namespace = PidNamespace::new(first.args(["--user", "54321:54321"]));
    until("it listens", || UnixStream::connect(&socket).is_ok());
    assert_eq!(status(namespace.first, "Uid").split_whitespace().next(), Some("54321"));
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("healthy: 1 listener(s)"), "{line}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn of_a_proxy_with_a_file_every_listener_is_asked() {
    let engine = ponging();
    let (directory, program) = public_directory();
    let at = |name: &str| directory.path().join(name);
    let listener =
        |name: &str| format!("[[listener]]\naddress = '{}'\nallow = ['info']\n", at(name).display());
    let upstream = format!("upstream = '{}'\n", engine.socket().display());
    std::fs::write(at("file.toml"), upstream + &listener("one") + &listener("two")).unwrap();
    let mut first = Command::new(&program);
    let namespace = PidNamespace::new(first.arg("--config").arg(at("file.toml")));
    until("it listens", || UnixStream::connect(at("two")).is_ok());
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("healthy: 2 listener(s) and the engine at "), "{line}");
    std::fs::remove_file(at("two")).unwrap();
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("unhealthy: no answer on the listener") && line.contains("two"), "{line}");
}

#[test]
#[ignore = "needs root: tests/run"]
fn of_a_proxy_that_learns_the_listener_is_asked() {
    let engine = ponging();
    let (directory, program) = public_directory();
    let socket = directory.path().join("learning.sock");
    let mut first = Command::new(&program);
    first.args(["learn", "--listen"]).arg(&socket).arg("--upstream").arg(engine.socket());
    let namespace = PidNamespace::new(&mut first);
    until("it listens", || UnixStream::connect(&socket).is_ok());
    let line = namespace.healthcheck(&program);
    assert!(line.starts_with("healthy: 1 listener(s) and the engine at "), "{line}");
}

/// A process that is ended when dropped.
struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn it_works_before_a_real_engine() {
    let engine = Engine::shared();
    let proxy = Proxy::builder(engine.socket()).allow("events").start();
    let (code, line) = healthcheck(proxy.socket(), engine.socket());
    assert_eq!(code, Some(0), "{line}");
}
