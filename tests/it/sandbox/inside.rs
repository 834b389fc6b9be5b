//! What a process can and cannot do once it has entered the sandbox. Whoever took the proxy over could
//! do no more than this.
//!
//! Each attempt is made in a process of its own: once without the sandbox, to see that it would be
//! possible, and once inside. The sandbox wants a process with one thread, which a test is not in, so
//! `attempt.rs` is a program (an example, to cargo) that makes one attempt.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use libc::{EACCES, ENOSYS, EPERM};

use super::fixture::Fixture;
use crate::support::attempt::attempt_program;
use crate::support::proxy::PROGRAM;

/// What holds in the process, as `attempt.rs` takes it.
const NOTHING: &str = "nothing";
const ALL: &str = "all";
/// Landlock alone, which seccomp otherwise hides.
const LANDLOCK: &str = "landlock";

/// How the process reaches its engine, as `attempt.rs` takes it.
const UNIX: &str = "unix";
const IP: &str = "ip";
const NAME: &str = "name";

/// The exit code of an attempt that succeeds; of others it is the number of the error.
const WORKS: i32 = 0;

/// A test a row: its name, the attempt, the kind of upstream, what holds, and how it ends there.
macro_rules! table {
    ($($test:ident: $attempt:ident, $upstream:ident, $under:ident => $ends:ident;)*) => {
        mod every_attempt_ends_as_the_table_says {
            use super::*;

            $(
                #[test]
                fn $test() {
                    assert_attempt(stringify!($attempt), $upstream, NOTHING, WORKS);
                    assert_attempt(stringify!($attempt), $upstream, $under, $ends);
                }
            )*
        }

        const ATTEMPTS: &[&str] = &[$(stringify!($attempt)),*];
    };
}

table! {
    execute_a_program: execute, UNIX, ALL => ENOSYS;
    execute_a_program_by_landlock: execute, UNIX, LANDLOCK => EACCES;
    execute_a_program_where_names_are_resolved: execute, NAME, ALL => ENOSYS;
    start_a_process: start_a_process, UNIX, ALL => ENOSYS;
    start_a_process_where_names_are_resolved: start_a_process, NAME, ALL => ENOSYS;
    trace_a_process: trace, UNIX, ALL => ENOSYS;
    mount: mount, UNIX, ALL => ENOSYS;
    enter_a_new_root: enter_a_new_root, UNIX, ALL => ENOSYS;
    become_root: become_root, UNIX, ALL => ENOSYS;
    signal_another_process: signal_the_tester, UNIX, ALL => ENOSYS;
    signal_another_process_by_landlock: signal_the_tester, UNIX, LANDLOCK => EPERM;
    change_a_limit: change_a_limit, UNIX, ALL => ENOSYS;
    open_a_netlink_socket: netlink_socket, UNIX, ALL => ENOSYS;
    open_a_netlink_socket_where_names_are_resolved: netlink_socket, NAME, ALL => ENOSYS;
    open_a_packet_socket: packet_socket, UNIX, ALL => ENOSYS;
    open_a_raw_socket: raw_socket, IP, ALL => ENOSYS;
    open_a_tcp_socket_for_an_engine_at_a_unix_socket: tcp_socket, UNIX, ALL => ENOSYS;
    open_an_ipv6_socket_for_an_engine_at_a_unix_socket: tcp_over_ipv6, UNIX, ALL => ENOSYS;
    open_a_unix_socket_for_datagrams: unix_datagrams, UNIX, ALL => ENOSYS;
    open_a_unix_socket_for_an_engine_at_an_address: unix_socket, IP, ALL => ENOSYS;
    open_a_udp_socket_for_an_engine_at_an_address: udp_socket, IP, ALL => ENOSYS;
    listen_on_another_unix_socket: listen_unix, UNIX, ALL => ENOSYS;
    listen_on_another_unix_socket_by_landlock: listen_unix, UNIX, LANDLOCK => EACCES;
    listen_on_tcp: listen_tcp, IP, ALL => ENOSYS;
    listen_on_tcp_by_landlock: listen_tcp, IP, LANDLOCK => EACCES;
    connect_to_another_tcp_port_than_the_engine_s: connect_elsewhere, IP, ALL => EACCES;
    connect_to_tcp_for_an_engine_at_a_unix_socket_by_landlock: connect_elsewhere, UNIX, LANDLOCK => EACCES;
    connect_to_another_s_abstract_socket: connect_abstract, UNIX, ALL => EPERM;
    read_a_file: read_unrelated, UNIX, ALL => EACCES;
    write_a_file: write_unrelated, UNIX, ALL => ENOSYS;
    write_a_file_by_landlock: write_unrelated, UNIX, LANDLOCK => EACCES;
    write_a_certificate: write_certificate, UNIX, ALL => ENOSYS;
    write_a_certificate_by_landlock: write_certificate, UNIX, LANDLOCK => EACCES;
    write_over_the_access_log: write_over_the_access_log, UNIX, ALL => ENOSYS;
    append_to_another_file: append_elsewhere, UNIX, ALL => EACCES;
    read_the_access_log: read_the_access_log, UNIX, ALL => EACCES;
    list_a_directory: list_directory, UNIX, ALL => EACCES;
    remove_an_unrelated_file: remove_unrelated, UNIX, ALL => EACCES;
    rename_its_socket: rename_own_socket, UNIX, ALL => ENOSYS;
    read_its_own_memory_map: read_memory_map, UNIX, ALL => EACCES;
    catch_a_panic_with_its_backtrace: catch_a_panic, UNIX, ALL => WORKS;
    start_a_thread: start_a_thread, UNIX, ALL => WORKS;
    remove_its_socket: remove_own_socket, UNIX, ALL => WORKS;
    read_a_certificate: read_certificate, UNIX, ALL => WORKS;
    read_a_certificate_that_was_renewed: read_a_renewed_certificate, UNIX, ALL => WORKS;
    append_to_the_access_log_that_was_made_anew: append_to_a_new_access_log, UNIX, ALL => WORKS;
    connect_to_an_engine_that_has_a_new_socket: connect_to_a_new_engine, UNIX, ALL => WORKS;
    connect_to_the_engine_s_address: connect_to_the_engine_s_address, IP, ALL => WORKS;
    resolve_the_engine_s_name_and_connect: resolve_and_connect, NAME, ALL => WORKS;
}

#[test]
fn every_attempt_is_in_the_table() {
    let output = Command::new(attempt_program()).arg("list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    assert_eq!(list.lines().collect::<BTreeSet<_>>(), ATTEMPTS.iter().copied().collect());
}

/// Makes an attempt in a process of its own, among things that nothing else touches.
fn assert_attempt(attempt: &str, upstream: &str, under: &str, ends: i32) {
    let temporary = tempfile::tempdir().unwrap();
    let (engine, other) = (local_listener(), local_listener());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let fixture = Fixture {
        directory: temporary.path().to_owned(),
        engine_port: port(&engine),
        other_port: port(&other),
        tester: rustix::process::getpid().as_raw_pid(),
    };
    std::fs::create_dir(fixture.own_directory()).unwrap();
    std::fs::create_dir(fixture.certificates()).unwrap();
    std::fs::create_dir(fixture.log_directory()).unwrap();
    for file in [fixture.own_socket(), fixture.unrelated(), fixture.certificate(), fixture.access_log()] {
        std::fs::write(file, "").unwrap();
    }
    let _abstract = UnixListener::bind_addr(&fixture.abstract_socket()).unwrap();
    let old_engine = UnixListener::bind(fixture.engine()).unwrap();
    let mut child = Command::new(attempt_program())
        .args([attempt, under, upstream])
        .arg(&fixture.directory)
        .args([fixture.engine_port.to_string(), fixture.other_port.to_string(), fixture.tester.to_string()])
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _new_engine = is_ready(&mut child).then(|| {
        drop(old_engine);
        renew(&fixture)
    });
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(ends), "{attempt}, {upstream}, under {under}: {stderr}");
}

fn local_listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Replaces the certificate, and the engine's socket as a restart does.
fn renew(fixture: &Fixture) -> UnixListener {
    let new = fixture.certificates().join("new.pem");
    std::fs::write(&new, "renewed").unwrap();
    std::fs::rename(new, fixture.certificate()).unwrap();
    std::fs::remove_file(fixture.engine()).unwrap();
    UnixListener::bind(fixture.engine()).unwrap()
}

/// Waits until it says that it is ready for things to change; most attempts say nothing and end.
fn is_ready(child: &mut Child) -> bool {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line == "ready\n"
}

#[test]
fn a_kernel_without_landlock_is_said_and_the_rest_holds() {
    let (line, status) = start_up_without(libc::SYS_landlock_create_ruleset);
    assert!(line.contains("no-new-privs, no landlock (this kernel does not have it"), "{line}");
    assert!(line.contains("), seccomp "), "{line}");
    assert!(status.contains("Seccomp:\t2\nSeccomp_filters:\t2\n"), "{status}");
}

#[test]
fn a_kernel_without_seccomp_is_said_and_the_rest_holds() {
    let (line, status) = start_up_without(libc::SYS_seccomp);
    assert!(line.contains("no-new-privs, landlock ABI "), "{line}");
    assert!(line.contains("no seccomp ("), "{line}");
    assert!(status.contains("Seccomp_filters:\t1\n"), "{status}");
}

/// What the proxy says of its sandbox, and what the kernel does, where one call is not there. An engine
/// is not needed for that.
fn start_up_without(call: libc::c_long) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let socket = |name: &str| directory.path().join(name);
    let mut child = Command::new(attempt_program())
        .args(["without", &call.to_string(), PROGRAM.as_str(), "-a", "version"])
        .arg("--listen")
        .arg(socket("docker.sock"))
        .arg("--upstream")
        .arg(socket("engine.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.contains("sandbox:"));
    let sandbox = lines.next().expect("the log says what is in force");
    let listening = lines.next().expect("it goes on");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listening.contains("Listening on"), "{listening}");
    (sandbox, status)
}
