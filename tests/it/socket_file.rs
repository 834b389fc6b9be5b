//! The listening socket's file is made safely, replaced only when stale, and removed only when ours.

use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::support::files::{mode, set_mode};
use crate::support::http;
use crate::support::mock::{Mock, OK};
use crate::support::process::signal;
use crate::support::proxy::{PROGRAM, Proxy, program, until_gone};
use crate::support::until;

fn engine() -> Mock {
    Mock::answering(OK)
}

/// Starts a proxy that is expected not to; what it printed on standard error.
fn refusal(listen: &Path, upstream: &Path) -> String {
    let mut command = program();
    command.args(["-a", "info", "--listen"]).arg(listen).arg("--upstream").arg(upstream);
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{stderr}");
    stderr
}

#[test]
fn its_directory_is_made_when_missing() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(mode(proxy.socket().parent().unwrap()), 0o755);
    assert_eq!(mode(proxy.socket()), 0o660);
}

#[test]
#[ignore = "needs root: tests/run"]
fn it_takes_the_upstream_socket_s_group_and_the_asked_mode() {
    let engine = engine();
    std::os::unix::fs::chown(engine.socket(), None, Some(4321)).unwrap();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(proxy.socket().metadata().unwrap().gid(), 4321);

    let open = Proxy::builder(engine.socket())
        .allow("info")
        .args(["--socket-mode", "0666", "--socket-group", "1234"])
        .start();
    assert_eq!(mode(open.socket()), 0o666);
    assert_eq!(open.socket().metadata().unwrap().gid(), 1234);
}

#[test]
#[ignore = "needs strace: tests/run"]
fn there_is_no_moment_of_wider_permissions() {
    let engine = engine();
    let builder = Proxy::builder(engine.socket()).allow("info");
    let directory = builder.socket().parent().unwrap().to_owned();
    std::fs::create_dir(&directory).unwrap();
    let trace = directory.with_extension("trace");
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-e", "trace=umask,bind,chmod,fchmodat,chown,lchown,fchownat", "-o"]).arg(&trace);
    command.arg(PROGRAM).args(["-a", "info", "--upstream"]).arg(engine.socket());
    command.arg("--listen").arg(builder.socket());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("strace runs");
    until("it listens", || builder.socket().exists() && mode(builder.socket()) == 0o660);
    let calls = std::fs::read_to_string(&trace).unwrap();
    let place = |call: &str| calls.find(call).unwrap_or_else(|| panic!("no {call} in {calls}"));
    assert!(place("umask(0777)") < place("bind("), "{calls}");
    assert!(place("bind(") < place("0660"), "{calls}");
    let pid = calls.split_whitespace().next().unwrap().parse().unwrap();
    signal(pid, "TERM");
    child.wait().unwrap();
}

#[test]
fn a_stale_socket_is_replaced() {
    let engine = engine();
    let builder = Proxy::builder(engine.socket()).allow("info");
    std::fs::create_dir(builder.socket().parent().unwrap()).unwrap();
    drop(UnixListener::bind(builder.socket()).unwrap());
    assert!(builder.socket().exists());
    assert_eq!(builder.start().get("/info").text(), "ok");
}

#[test]
fn after_a_crash_it_starts_again() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listen = ["--listen", socket.to_str().unwrap()];
    let mut crashed = Proxy::builder(engine.socket()).allow("info").args(listen).start();
    crashed.signal("KILL");
    crashed.wait();
    assert!(socket.exists());
    let _again = Proxy::builder(engine.socket()).allow("info").args(listen).start();
    assert_eq!(http::get(&socket, "/info").text(), "ok");
}

#[test]
fn a_live_socket_is_left_alone() {
    let engine = engine();
    let first = Proxy::builder(engine.socket()).allow("info").start();
    let stderr = refusal(first.socket(), engine.socket());
    assert!(stderr.contains("another docker-proxy-acl is listening there"), "{stderr}");
    assert_eq!(first.get("/info").text(), "ok");
}

#[test]
fn of_two_that_start_at_once_one_listens() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listen = ["--listen", socket.to_str().unwrap()];
    drop(UnixListener::bind(&socket).unwrap());
    let mut all: Vec<Proxy> =
        (0..8).map(|_| Proxy::builder(engine.socket()).allow("info").args(listen).spawn()).collect();
    let knows = |proxy: &Proxy| {
        proxy.log().iter().any(|line| line.contains("Listening on /") || line.contains("another docker"))
    };
    until("each knows where it stands", || all.iter().all(knows));
    let listening = |proxy: &&mut Proxy| {
        proxy.log().iter().any(|line| line.contains(&format!("Listening on {}", socket.display())))
    };
    assert_eq!(all.iter_mut().filter(listening).count(), 1);
    assert_eq!(http::get(&socket, "/info").text(), "ok");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    let stderr = refusal(&file, engine.socket());
    assert!(stderr.contains("is not a socket"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");

    let link = directory.path().join("link");
    symlink(&file, &link).unwrap();
    assert!(refusal(&link, engine.socket()).contains("is not a socket"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_in_which_others_could_swap_it_is_refused() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let unsafe_directory = directory.path().join("open");
    std::fs::create_dir(&unsafe_directory).unwrap();
    set_mode(&unsafe_directory, 0o777);
    let stderr = refusal(&unsafe_directory.join("s"), engine.socket());
    assert!(stderr.contains("is writable by everyone"), "{stderr}");
    // Also when it is not the last on the way.
    let stderr = refusal(&unsafe_directory.join("below/s"), engine.socket());
    assert!(stderr.contains("is writable by everyone"), "{stderr}");

    set_mode(&unsafe_directory, 0o755);
    std::os::unix::fs::chown(&unsafe_directory, Some(4321), None).unwrap();
    let stderr = refusal(&unsafe_directory.join("s"), engine.socket());
    assert!(stderr.contains("belongs to another user"), "{stderr}");
}

#[test]
fn it_is_removed_at_the_end() {
    let engine = engine();
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let socket = proxy.socket().to_owned();
    proxy.signal("TERM");
    until_gone(&socket);
}

#[test]
fn someone_else_s_at_its_path_is_not_removed() {
    let engine = engine();
    let mut proxy = Proxy::builder(engine.socket()).allow("info").start();
    std::fs::remove_file(proxy.socket()).unwrap();
    let _other = UnixListener::bind(proxy.socket()).unwrap();
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert!(proxy.socket().exists());
}

#[test]
fn the_upstream_is_no_place_to_listen() {
    let engine = engine();
    let stderr = refusal(engine.socket(), engine.socket());
    assert!(stderr.contains("is the upstream itself"), "{stderr}");
    let link = engine.socket().with_file_name("link");
    symlink(engine.socket().parent().unwrap(), &link).unwrap();
    let stderr = refusal(&link.join("engine.sock"), engine.socket());
    assert!(stderr.contains("is the upstream itself"), "{stderr}");
}
