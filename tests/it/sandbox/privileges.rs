//! `--user` gives root up once the listeners are bound, and keeps just the group that owns the engine's
//! socket.

use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::files::set_mode;
use crate::support::http;
use crate::support::mock::{Mock, OK};
use crate::support::process;
use crate::support::proxy::{Builder, PROGRAM, Proxy, program};

const USER: u32 = 54321;
/// The group that owns the engine's socket.
const DOCKER: u32 = 4321;

/// An engine whose socket only its group may use, as Docker's own.
fn engine() -> Mock {
    let engine = Mock::answering(OK);
    set_mode(engine.socket().parent().unwrap(), 0o755);
    chown(engine.socket(), None, Some(DOCKER)).unwrap();
    set_mode(engine.socket(), 0o660);
    engine
}

fn builder(upstream: &Path, user: &str) -> Builder {
    let builder = Proxy::builder(upstream).allow("info").args(["--user", user]);
    set_mode(builder.socket().parent().unwrap().parent().unwrap(), 0o755);
    builder
}

/// The numbers in a field of /proc/PID/status.
fn status(proxy: &Proxy, field: &str) -> Vec<String> {
    process::status(proxy.pid(), field).split_whitespace().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs root: tests/run"]
fn it_becomes_the_user_with_its_group_and_the_engine_s_and_no_capabilities() {
    let engine = engine();
    let proxy = builder(engine.socket(), "54321:98").start();
    assert_eq!(status(&proxy, "Uid"), ["54321"; 4]);
    assert_eq!(status(&proxy, "Gid"), ["98"; 4]);
    assert_eq!(status(&proxy, "Groups"), [DOCKER.to_string()]);
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"] {
        assert_eq!(status(&proxy, set), ["0000000000000000"], "{set}");
    }
    proxy.logged(&["running as uid=54321 gid=98"]);
    proxy.logged(&["sandbox: no-new-privs, landlock ABI ", ", seccomp "]);
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_the_right_to_drop_the_bounding_set_it_says_so_and_goes_on() {
    let engine = engine();
    let proxy = builder(engine.socket(), "54321").under(&["setpriv", "--bounding-set", "-setpcap"]).start();
    proxy.logged(&["running as uid=54321", "it takes the capability SETPCAP"]);
    assert_eq!(status(&proxy, "CapEff"), ["0000000000000000"]);
    assert_ne!(status(&proxy, "CapBnd"), ["0000000000000000"]);
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_directory_where_the_engine_s_socket_should_be_lends_no_group() {
    let directory = tempfile::tempdir().unwrap();
    let mut refused = builder(directory.path(), "54321").spawn();
    assert_eq!(refused.wait().code(), Some(1));
    refused.logged(&["cannot tell which group may open", "it is not a socket"]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_name_stands_for_its_line_in_the_passwd_file() {
    let engine = engine();
    let proxy = builder(engine.socket(), "nobody").start();
    let line = std::fs::read_to_string("/etc/passwd").unwrap();
    let line: Vec<&str> = line.lines().find(|line| line.starts_with("nobody:")).unwrap().split(':').collect();
    assert_eq!((status(&proxy, "Uid")[0].as_str(), status(&proxy, "Gid")[0].as_str()), (line[2], line[3]));
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_the_sandbox_it_is_given_up_all_the_same() {
    let engine = engine();
    let proxy = builder(engine.socket(), "54321").args(["--no-sandbox"]).start();
    assert_eq!(status(&proxy, "Uid"), ["54321"; 4]);
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn the_directory_that_it_makes_is_the_user_s_so_that_it_can_remove_its_socket() {
    let engine = engine();
    let builder = builder(engine.socket(), "54321");
    let socket = builder.socket().to_owned();
    let directory = socket.parent().unwrap();
    let mut proxy = builder.start();
    let (file, of) = (socket.symlink_metadata().unwrap(), directory.metadata().unwrap());
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (USER, DOCKER, 0o660));
    assert_eq!((of.uid(), of.mode() & 0o777), (USER, 0o755));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert!(!socket.exists());
}

#[test]
#[ignore = "needs root: tests/run"]
fn it_starts_again_in_a_directory_of_the_user_s() {
    let engine = engine();
    let builder = builder(engine.socket(), "54321");
    let directory = builder.socket().parent().unwrap();
    std::fs::create_dir(directory).unwrap();
    chown(directory, Some(USER), None).unwrap();
    assert_eq!(builder.start().get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_socket_in_a_directory_of_root_s_stays_is_said_and_is_replaced() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let socket = directory.path().join("docker.sock");
    for _ in 0..2 {
        let mut proxy =
            builder(engine.socket(), "54321").args(["--filename".as_ref(), socket.as_os_str()]).start();
        assert_eq!(http::get(&socket, "/info").text(), "ok");
        proxy.signal("TERM");
        assert!(proxy.wait().success());
        proxy.logged(&["WARN cannot remove the socket, which the next start will", "Permission denied"]);
        assert!(socket.exists());
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_the_engine_s_socket_the_group_has_to_be_told() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    let late = directory.path().join("engine.sock");
    let mut refused = builder(&late, "54321").spawn();
    assert_eq!(refused.wait().code(), Some(1));
    refused.logged(&["error: cannot change the user: cannot tell which group may open", "USER:GROUP"]);
    assert!(!refused.socket().exists(), "it leaves no socket behind");

    let proxy = builder(&late, &format!("54321:{DOCKER}")).start();
    assert_eq!(proxy.get("/info").status(), 502);
    let engine = engine();
    std::os::unix::fs::symlink(engine.socket(), &late).unwrap();
    assert_eq!(proxy.get("/info").text(), "ok");
}

#[test]
#[ignore = "needs root: tests/run"]
fn an_engine_whose_socket_the_group_may_not_use_is_explained() {
    let engine = engine();
    set_mode(engine.socket(), 0o600);
    let proxy = builder(engine.socket(), "54321").start();
    proxy.logged(&[
        "WARN the engine is out of reach: Permission denied",
        "in the group that owns the engine's socket",
    ]);
    assert_eq!(proxy.get("/info").status(), 502);
}

#[test]
#[ignore = "needs root: tests/run"]
fn who_is_not_root_cannot_become_another() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(USER), None).unwrap();
    // The build's own directory may be closed to that user.
    let copy = directory.path().join("docker-proxy-acl");
    // By cp: a file that this process wrote could be open in a child of another test, and not start.
    assert!(std::process::Command::new("cp").arg(PROGRAM.as_str()).arg(&copy).status().unwrap().success());
    let output = std::process::Command::new(copy)
        .args(["-a", "info", "--user", "12345", "--listen"])
        .arg(directory.path().join("docker.sock"))
        .arg("--upstream")
        .arg(engine.socket())
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("only root can become another user"), "{stderr}");
    assert!(!directory.path().join("docker.sock").exists(), "it leaves no socket behind");
}

#[test]
fn who_cannot_be_become_is_a_wrong_command_line() {
    for (user, problem) in [
        ("nobody-of-this-name", "/etc/passwd has no such user; give its number"),
        ("nobody:no-group-of-this-name", "/etc/group has no such group; give its number"),
        ("root", "root's privileges are what it is to drop"),
        ("0:4", "root's privileges are what it is to drop"),
    ] {
        let output = program().args(["-a", "info", "--user", user]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("error: --user {user}: {problem}")), "{stderr}");
    }
}
