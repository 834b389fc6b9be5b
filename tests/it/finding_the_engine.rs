//! Where the engine is, if no flag and no file says it: what Docker's and Podman's variables say, else the first socket
//! that may be connected to; and the program says which it took.

use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Output;

use crate::support::files::set_mode;
use crate::support::mock::{Mock, OK};
use crate::support::proxy::{Builder, Proxy, program};
use crate::support::until;

fn url(engine: &Mock) -> String {
    format!("unix://{}", engine.socket().display())
}

/// Where the log says that the engine is, and how that is known.
fn said(proxy: &Proxy) -> String {
    proxy.logged(&["The engine is at "])
}

#[test]
fn podman_s_variable_counts_if_docker_s_is_not_set() {
    let (docker, podman) = (Mock::answering(OK), Mock::answering(OK));
    let proxy = || Proxy::without_upstream().allow("info").env("CONTAINER_HOST", &url(&podman));
    let by_podman_s = proxy().env("DOCKER_HOST", "").start();
    assert_eq!(by_podman_s.get("/info").status(), 200);
    assert_eq!((docker.heads().len(), podman.heads().len()), (0, 1));
    let line = said(&by_podman_s);
    assert!(line.contains(&podman.socket().display().to_string()), "{line}");
    assert!(line.contains("from=\"CONTAINER_HOST\""), "{line}");
    let by_docker_s = proxy().env("DOCKER_HOST", &url(&docker)).start();
    assert_eq!(by_docker_s.get("/info").status(), 200);
    assert_eq!((docker.heads().len(), podman.heads().len()), (1, 1));
    assert!(said(&by_docker_s).contains("from=\"DOCKER_HOST\""));
}

#[test]
fn a_flag_counts_before_both_variables() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info");
    let proxy = proxy.env("DOCKER_HOST", "ssh://docker").env("CONTAINER_HOST", "ssh://podman").start();
    assert_eq!(proxy.get("/info").status(), 200);
    assert!(said(&proxy).contains("from=\"the setting upstream\""), "{}", said(&proxy));
}

#[test]
fn what_a_variable_says_and_cannot_be_used_is_refused_with_its_name() {
    for (variable, value, way_out) in [
        ("CONTAINER_HOST", "ssh://user@host:22/run/podman/podman.sock", "ssh -L"),
        ("CONTAINER_HOST", "npipe:////./pipe/podman", "unix:// and tcp://"),
        ("CONTAINER_HOST", "tcp://host", "port"),
        ("DOCKER_HOST", "ssh://host", "ssh -L"),
    ] {
        for command in [&["-a", "info"][..], &["config", "show", "-a", "info"], &["healthcheck"], &["learn"]]
        {
            let output = program().args(command).env(variable, value).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {stderr}");
            assert!(stderr.contains(&format!("{variable}: invalid address '{value}'")), "{stderr}");
            assert!(stderr.contains(way_out), "{stderr}");
        }
    }
}

#[test]
fn a_shown_configuration_and_the_healthcheck_say_it_too() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").start();
    let run = |args: &[&str]| program().args(args).env("CONTAINER_HOST", url(&engine)).output().unwrap();
    let shown = stdout(&run(&["config", "show", "-a", "info"]));
    assert!(shown.starts_with(&format!("upstream = \"{}\" # CONTAINER_HOST\n", url(&engine))), "{shown}");
    let healthy = stdout(&run(&["healthcheck", "--listen", proxy.socket().to_str().unwrap()]));
    let place = engine.socket().display();
    assert_eq!(
        healthy,
        format!("healthy: 1 listener(s) and the engine at {place} (CONTAINER_HOST) answer\n")
    );
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A runtime directory of a user, with links to engines' sockets that anybody may use.
fn runtime_dir(sockets: &[(&str, &Mock)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o755);
    for (name, engine) in sockets {
        let link = directory.path().join(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(engine.socket(), link).unwrap();
        set_mode(engine.socket().parent().unwrap(), 0o755);
        set_mode(engine.socket(), 0o666);
    }
    directory
}

fn allowing_info() -> Builder {
    Proxy::without_upstream().allow("info")
}

/// The proxy with this runtime directory on a machine that has nothing in /run but this socket, or not even that.
fn on_a_machine(proxy: Builder, system: Option<&Path>, runtime_dir: &Path, then: &[&str]) -> Builder {
    let link = system.map(|socket| format!("ln -s {} /run/docker.sock", socket.display()));
    let link = link.as_deref().unwrap_or("true");
    let script = format!("set -e; mount -t tmpfs -o mode=755 none /run; {link}; exec \"$@\"");
    let proxy = proxy.env("XDG_RUNTIME_DIR", runtime_dir.to_str().unwrap());
    proxy.under(&[&["unshare", "--mount", "sh", "-c", &script, "sh"], then].concat())
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_a_variable_the_first_socket_that_is_there_is_taken() {
    let (system, docker, podman) = (Mock::answering(OK), Mock::answering(OK), Mock::answering(OK));
    let both = runtime_dir(&[("docker.sock", &docker), ("podman/podman.sock", &podman)]);
    let podman_s = runtime_dir(&[("podman/podman.sock", &podman)]);
    for (there, directory, engine, parts) in [
        (Some(system.socket()), &both, &system, &["at /var/run/docker.sock ", "from=\"the default\""][..]),
        (None, &both, &docker, &["from=\"$XDG_RUNTIME_DIR/docker.sock; /var/run/docker.sock: not there\""]),
        (None, &podman_s, &podman, &["$XDG_RUNTIME_DIR/podman/podman.sock; /var/run/docker.sock: not there"]),
    ] {
        let before = engine.heads().len();
        let proxy = on_a_machine(allowing_info(), there, directory.path(), &[]).start();
        assert_eq!(proxy.get("/info").status(), 200);
        assert_eq!(engine.heads().len(), before + 1);
        let line = said(&proxy);
        assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
    }
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_socket_on_which_nobody_listens_yet_is_taken_before_another_engine_s() {
    let other = Mock::answering(OK);
    let directory = runtime_dir(&[("docker.sock", &other)]);
    let left = tempfile::tempdir().unwrap();
    let socket = left.path().join("docker.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let proxy = on_a_machine(allowing_info(), Some(&socket), directory.path(), &[]).start();
    assert_eq!(proxy.get("/info").status(), 502);
    assert_eq!(other.heads().len(), 0);
    assert!(said(&proxy).contains("at /var/run/docker.sock from=\"the default\""), "{}", said(&proxy));
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_user_who_may_not_use_the_system_s_engine_gets_the_own_one() {
    let (system, own) = (Mock::answering(OK), Mock::answering(OK));
    set_mode(system.socket().parent().unwrap(), 0o755);
    set_mode(system.socket(), 0o600);
    let start = |runtime_dir: &Path| {
        chown(runtime_dir, Some(4711), Some(4711)).unwrap();
        let user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"];
        let proxy = allowing_info();
        chown(proxy.directory(), Some(4711), Some(4711)).unwrap();
        on_a_machine(proxy, Some(system.socket()), runtime_dir, &user).start()
    };
    let directory = runtime_dir(&[("docker.sock", &own)]);
    let proxy = start(directory.path());
    assert_eq!(proxy.get("/info").status(), 200);
    assert_eq!((system.heads().len(), own.heads().len()), (0, 1));
    let line = said(&proxy);
    assert!(line.contains("$XDG_RUNTIME_DIR/docker.sock; /var/run/docker.sock: permission denied"), "{line}");

    let proxy = start(runtime_dir(&[]).path());
    assert_eq!(proxy.get("/info").status(), 502);
    let line = said(&proxy);
    assert!(
        line.contains("at /var/run/docker.sock from=\"the default; /var/run/docker.sock: permission"),
        "{line}"
    );
    proxy
        .logged(&["the engine is out of reach", "run as root or in the group that owns the engine's socket"]);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_runtime_directory_that_is_not_the_user_s_alone_does_not_count() {
    let (system, foreign) = (Mock::answering(OK), Mock::answering(OK));
    for (owner, mode, said_of_it) in [
        // What `su` and `sudo -E` leave root with.
        (4711, 0o700, "$XDG_RUNTIME_DIR/docker.sock: the directory is another user's"),
        (0, 0o720, "$XDG_RUNTIME_DIR/docker.sock: others may write to the directory"),
        (0, 0o1777, "$XDG_RUNTIME_DIR/docker.sock: others may write to the directory"),
    ] {
        let directory = runtime_dir(&[("docker.sock", &foreign), ("podman/podman.sock", &foreign)]);
        chown(directory.path(), Some(owner), Some(owner)).unwrap();
        set_mode(directory.path(), mode);
        let proxy = on_a_machine(allowing_info(), None, directory.path(), &[]).start();
        assert_eq!(proxy.get("/info").status(), 502, "{said_of_it}");
        let line = said(&proxy);
        assert!(line.contains("at /var/run/docker.sock ") && line.contains(said_of_it), "{line}");
        symlink(system.socket(), format!("/proc/{}/root/run/docker.sock", proxy.pid())).unwrap();
        until("the engine has started", || proxy.get("/info").status() == 200);
    }
    assert_eq!(foreign.heads().len(), 0);
}

#[test]
#[ignore = "needs root: tests/run"]
fn what_a_user_may_not_even_look_at_does_not_hide_an_engine_that_starts_later() {
    let system = Mock::answering(OK);
    set_mode(system.socket().parent().unwrap(), 0o755);
    set_mode(system.socket(), 0o666);
    let directory = runtime_dir(&[]);
    set_mode(directory.path(), 0o700);
    let proxy = allowing_info();
    chown(proxy.directory(), Some(4711), Some(4711)).unwrap();
    let user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"];
    let proxy = on_a_machine(proxy, None, directory.path(), &user).start();
    assert_eq!(proxy.get("/info").status(), 502);
    symlink(system.socket(), format!("/proc/{}/root/run/docker.sock", proxy.pid())).unwrap();
    until("the engine has started", || proxy.get("/info").status() == 200);
}

#[test]
#[ignore = "needs root: tests/run"]
fn without_any_it_waits_for_the_default_and_says_where_it_looked() {
    let directory = runtime_dir(&[]);
    let proxy = on_a_machine(allowing_info(), None, directory.path(), &[]).start();
    assert_eq!(proxy.get("/info").status(), 502);
    let line = said(&proxy);
    for part in [
        "at /var/run/docker.sock ",
        "the default; /var/run/docker.sock: not there",
        "$XDG_RUNTIME_DIR/docker.sock: not there",
        "$XDG_RUNTIME_DIR/podman/podman.sock: not there",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let engine = Mock::answering(OK);
    let link = format!("/proc/{}/root/run/docker.sock", proxy.pid());
    symlink(engine.socket(), link).unwrap();
    until("the engine has started", || proxy.get("/info").status() == 200);
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_socket_that_appears_later_is_no_change_for_a_reload() {
    let engine = Mock::answering(OK);
    let directory = runtime_dir(&[("docker.sock", &engine)]);
    let proxy = Proxy::with_file_alone("[[listener]]\naddress = \"{socket}\"\nallow = [\"info\"]\n");
    let proxy = on_a_machine(proxy, None, directory.path(), &[]).start();
    symlink(engine.socket(), format!("/proc/{}/root/run/docker.sock", proxy.pid())).unwrap();
    proxy.reload("[[listener]]\naddress = \"{socket}\"\nallow = [\"info\", \"version\"]\n");
    assert_eq!(proxy.get("/version").status(), 200);
    assert!(!proxy.log().iter().any(|line| line.contains("until a restart")), "{:#?}", proxy.log());
}
