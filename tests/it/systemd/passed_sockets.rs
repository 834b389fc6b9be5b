//! Sockets that were opened for it, passed as systemd passes them: sd_listen_fds(3).

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType};

use crate::support::attempt;
use crate::support::files::{mode, set_mode};
use crate::support::http::{self, GET_INFO, GET_INFO_AND_CLOSE, parse, read_to_close, read_until};
use crate::support::lingering::{Lingering, pass};
use crate::support::load::{Load, Stream};
use crate::support::mock::{Mock, OK};
use crate::support::proxy::{PROGRAM, Proxy};
use crate::support::tools::{Running, combined_output, without_docker_variables};
use crate::support::{PATIENCE, TIMEOUT, env_usize, until};

/// A Unix socket of the test's own, which it passes.
struct Passed {
    listener: UnixListener,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Passed {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.sock");
        Self { listener: UnixListener::bind(&path).unwrap(), path, _directory: directory }
    }

    /// Another handle to the same socket, to be passed.
    fn descriptor(&self) -> OwnedFd {
        self.listener.as_fd().try_clone_to_owned().unwrap()
    }
}

/// What a client gets that asks over this connection.
fn answer(mut client: impl Stream) -> String {
    client.write_all(GET_INFO_AND_CLOSE).unwrap();
    parse(&read_to_close(&mut client)).text()
}

/// Passes a descriptor along with these bytes.
fn pass_null(client: &UnixStream, bytes: &[u8]) -> rustix::io::Result<usize> {
    let null = std::fs::File::open("/dev/null").unwrap();
    pass(client, bytes, null.as_fd(), SendFlags::empty())
}

/// What the program says when it is passed a socket that it cannot use.
fn refusal(socket: impl Into<OwnedFd>, listen: &str) -> String {
    let engine = Mock::answering(OK);
    let mut proxy = Proxy::inheriting(engine.socket(), socket, listen).allow("info").spawn();
    assert_eq!(proxy.wait().code(), Some(1), "{:?}", proxy.log());
    until("it said why", || proxy.log().iter().any(|line| line.starts_with("error: ")));
    proxy.log().into_iter().find(|line| line.starts_with("error: ")).unwrap()
}

#[test]
fn a_unix_socket_is_taken_by_its_name_by_its_number_and_by_none() {
    let engine = Mock::answering(OK);
    for listen in ["fd://web", "fd://3", "fd://"] {
        let passed = Passed::new();
        let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), listen).allow("info").start();
        let line = proxy.logged(&["Listening on"]);
        assert!(line.contains(passed.path.to_str().unwrap()) && line.contains("3 ('web')"), "{line}");
        assert_eq!(answer(http::connect(&passed.path)), "ok", "{listen}");
        proxy.logged(&["allowed", &format!("listener={}", passed.path.display())]);
    }
}

#[test]
fn a_tcp_socket_is_taken_as_well() {
    let engine = Mock::answering(OK);
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address) else { continue };
        let address = listener.local_addr().unwrap();
        let proxy = Proxy::inheriting(engine.socket(), listener, "fd://web").allow("info").start();
        proxy.logged(&["Listening on tcp://", &address.to_string()]);
        assert_eq!(answer(TcpStream::connect(address).unwrap()), "ok");
        proxy.logged(&["WARN plain TCP: whoever reaches this address can use it"]);
    }
}

/// So systemd opens `ListenStream=2375`: `[::]` with IPv4 in it.
#[test]
fn a_client_over_ipv4_of_a_socket_for_both_is_known_by_its_ipv4_address() {
    let Ok(listener) = TcpListener::bind("[::]:0") else { return };
    let port = listener.local_addr().unwrap().port();
    let file = "[[listener]]\naddress = 'fd://'\ntls = false\n\
                [[listener.client]]\naddress = '127.0.0.0/8'\nallow = ['info']\n";
    let engine = Mock::answering(OK);
    let proxy = Proxy::with_file(engine.socket(), file).passing(listener).start();
    assert_eq!(answer(http::connect_tcp(port)), "ok");
    proxy.logged(&["allowed", "client.addr=127.0.0.1:"]);
}

#[test]
fn a_socket_without_a_file_is_taken_as_well() {
    let engine = Mock::answering(OK);
    let name = format!("docker-proxy-acl-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let proxy = Proxy::inheriting(engine.socket(), listener, "fd://").allow("info").start();
    proxy.logged(&["Listening on", &format!("@{name}")]);
    assert_eq!(answer(UnixStream::connect_addr(&address).unwrap()), "ok");
}

#[test]
fn clients_that_came_before_it_was_started_are_answered() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let mut early = http::connect(&passed.path);
    early.write_all(GET_INFO_AND_CLOSE).unwrap();
    let _proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    assert_eq!(parse(&read_to_close(&mut early)).text(), "ok");
}

#[test]
fn its_file_is_left_as_it_is() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    set_mode(&passed.path, 0o640);
    let mut proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    assert_eq!(mode(&passed.path), 0o640);
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert_eq!(mode(&passed.path), 0o640, "it is still there");
    let mut waiting = http::connect(&passed.path);
    waiting.write_all(GET_INFO_AND_CLOSE).unwrap();
    let _next = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    assert_eq!(parse(&read_to_close(&mut waiting)).text(), "ok");
}

#[test]
fn its_sandbox_holds_as_with_a_socket_of_its_own() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    let own = Proxy::builder(engine.socket()).allow("info").start();
    assert_eq!(proxy.logged(&["sandbox: "]), own.logged(&["sandbox: "]));
}

#[test]
fn what_it_was_passed_goes_to_no_program_that_it_might_start() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/3", proxy.pid())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    // As open(2) has them, in octal.
    assert_ne!(i32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "no O_CLOEXEC: {info}");
}

#[test]
fn the_kernel_refuses_descriptors_of_its_clients_where_it_can() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    let line = proxy.logged(&["file descriptors that clients pass: "]);
    let client = http::connect(&passed.path);
    let refused = pass_null(&client, b"G");
    assert_eq!(refused.is_err(), line.contains("refused by the kernel"), "{line}: {refused:?}");
}

/// It connected when nobody had told the kernel yet to refuse descriptors.
#[test]
fn a_client_that_passed_a_descriptor_before_the_start_is_cut_off_and_stalls_nobody() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let early = http::connect(&passed.path);
    let lingers = Lingering::new(2 * PATIENCE);
    let (sent, _peer) = lingers.pass(&early, b"G", SendFlags::empty());
    assert_eq!(sent, Ok(1));
    let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info").start();
    proxy.logged(&["a client passed file descriptors and was cut off"]);
    assert_eq!(answer(http::connect(&passed.path)), "ok");
}

#[test]
fn on_an_older_kernel_every_client_s_descriptors_are_looked_at() {
    let engine = Mock::answering(OK);
    let passed = Passed::new();
    let proxy = Proxy::inheriting(engine.socket(), passed.descriptor(), "fd://").allow("info");
    let proxy = proxy.under(&attempt::on_an_older_kernel());
    let proxy = proxy.stdin(passed.descriptor()).start();
    proxy.logged(&["file descriptors that clients pass: cut off, for this kernel cannot refuse them"]);
    let mut client = http::connect(&passed.path);
    client.write_all(GET_INFO).unwrap();
    read_until(&mut client, |all| all.ends_with(b"ok"));
    pass_null(&client, GET_INFO).unwrap();
    proxy.logged(&["a client passed file descriptors and was cut off"]);
}

#[test]
fn a_socket_that_clients_cannot_connect_to_is_an_error_that_says_what_it_is() {
    let datagram = UnixDatagram::unbound().unwrap();
    assert!(refusal(datagram, "fd://web").contains("3 ('web') that was passed is for datagrams"));
    let packets = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    assert!(refusal(packets, "fd://web").contains("SOCK_SEQPACKET"));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(refusal(udp, "fd://web").contains("is for datagrams"));
    let (connection, _other) = UnixStream::pair().unwrap();
    assert!(refusal(connection, "fd://web").contains("does not listen; the .socket unit needs Accept=no"));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(refusal(file, "fd://web").contains("neither a Unix nor a TCP socket but /dev/null"));
    let directory = tempfile::tempdir().unwrap();
    let bound = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&bound, &SocketAddrUnix::new(directory.path().join("x")).unwrap()).unwrap();
    assert!(refusal(bound, "fd://web").contains("does not listen"));
}

#[test]
fn a_listener_without_its_socket_names_those_that_are_there() {
    let error = refusal(Passed::new().listener, "fd://api");
    assert!(
        error.contains("no socket for the listener fd://api: those that were passed are 3 ('web')"),
        "{error}"
    );
}

#[test]
fn a_socket_that_no_listener_takes_is_an_error_that_says_how_it_would_be_taken() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own.sock");
    let error = refusal(Passed::new().listener, own.to_str().unwrap());
    assert!(error.contains("3 ('web') was passed and no listener takes it"), "{error}");
    assert!(error.contains("listen on fd://web"), "{error}");
    assert!(!own.exists());
}

#[test]
fn without_any_socket_it_says_where_they_come_from() {
    let engine = Mock::answering(OK);
    let run = |variables: &[(&str, &str)]| {
        let mut command = without_docker_variables(Command::new(PROGRAM.as_str()));
        command.args(["-a", "info", "--listen", "fd://web", "--upstream"]).arg(engine.socket());
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        combined_output(&command.output().unwrap())
    };
    let none = run(&[]);
    assert!(none.contains("no socket for the listener fd://web: none was passed"), "{none}");
    let another = run(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]);
    assert!(another.contains("are for process 1 (LISTEN_PID)"), "{another}");
    let invalid = run(&[("LISTEN_FDS", "many"), ("LISTEN_PID", "1")]);
    assert!(invalid.contains("invalid LISTEN_FDS"), "{invalid}");
}

#[test]
fn a_tcp_socket_beyond_loopback_needs_tls_or_the_word_that_it_is_meant_plain() {
    let everywhere = || TcpListener::bind("0.0.0.0:0").unwrap();
    let error = refusal(everywhere(), "fd://web");
    assert!(error.contains("whoever reaches this address could use it"), "{error}");
    let engine = Mock::answering(OK);
    let listener = everywhere();
    let port = listener.local_addr().unwrap().port();
    let plain = Proxy::inheriting(engine.socket(), listener, "fd://web").args(["--tls=false"]).allow("info");
    let _proxy = plain.start();
    assert_eq!(answer(http::connect_tcp(port)), "ok");
}

#[test]
fn the_engine_s_own_socket_is_not_taken() {
    let passed = Passed::new();
    let proxy = Proxy::inheriting(&passed.path, passed.descriptor(), "fd://web").allow("info");
    let mut proxy = proxy.spawn();
    assert_eq!(proxy.wait().code(), Some(1));
    proxy.logged(&["error: the socket 3 ('web') that was passed is the upstream itself"]);
}

#[cfg(feature = "tls")]
#[test]
fn a_tcp_socket_has_the_tls_that_was_asked_for() {
    use crate::support::tls::Pki;
    let engine = Mock::answering(OK);
    let pki = Pki::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = Proxy::inheriting(engine.socket(), listener, "fd://web").args(["--tlsverify"]);
    let _proxy = proxy.args(pki.server().docker_flags()).allow("info").start();
    let config = pki.alice().client_config();
    let session = rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut client = rustls::StreamOwned::new(session, http::connect_tcp(port));
    client.write_all(GET_INFO).unwrap();
    read_until(&mut client, |all| all.ends_with(b"ok"));
}

#[cfg(feature = "tls")]
#[test]
fn tls_on_unix_sockets_alone_is_an_error() {
    let (engine, pki) = (Mock::answering(OK), crate::support::tls::Pki::new());
    let proxy = Proxy::inheriting(engine.socket(), Passed::new().listener, "fd://web").args(["--tlsverify"]);
    let mut proxy = proxy.args(pki.server().docker_flags()).allow("info").spawn();
    assert_eq!(proxy.wait().code(), Some(1));
    proxy.logged(&["error: TLS is for TCP, and the sockets that were passed are Unix sockets"]);
}

#[test]
fn a_healthcheck_asks_to_be_told_where_a_passed_socket_is() {
    let mut command = without_docker_variables(Command::new(PROGRAM.as_str()));
    let output = command.args(["healthcheck", "--listen", "fd://web"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = combined_output(&output);
    assert!(said.contains("fd://web: only whoever passed this socket knows where it listens"), "{said}");
}

/// A passed socket and clients of it: how a client connects.
fn restarted_under_load<S: Stream + 'static>(
    socket: impl Fn() -> OwnedFd,
    connect: impl Fn() -> std::io::Result<S> + Clone + Send + 'static,
) {
    let engine = Mock::answering(OK);
    let start = || Proxy::inheriting(engine.socket(), socket(), "fd://web").allow("info").quiet().spawn();
    let mut proxy = start();
    let load = Load::start(8, connect);
    let restarts = env_usize("RESTARTS", 20);
    for _ in 0..restarts {
        load.until_answered(100);
        proxy.signal("TERM");
        assert!(proxy.wait().success());
        proxy = start();
    }
    load.until_answered(100);
    let answers = load.answers();
    let failures = load.failures();
    eprintln!("{restarts} restarts: {answers} answers, {} failures", failures.len());
    assert_eq!(failures, [] as [String; 0]);
}

#[test]
fn no_client_of_a_unix_socket_notices_that_it_is_restarted_twenty_times() {
    let passed = Passed::new();
    let path = passed.path.clone();
    restarted_under_load(
        || passed.descriptor(),
        move || {
            let stream = UnixStream::connect(&path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        },
    );
}

#[test]
fn no_client_of_a_tcp_socket_notices_that_it_is_restarted_twenty_times() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    restarted_under_load(
        || listener.as_fd().try_clone_to_owned().unwrap(),
        move || {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        },
    );
}

/// systemd's own tool passes several, each by its name.
#[test]
#[ignore = "needs systemd-socket-activate: tests/run"]
fn of_several_sockets_each_goes_to_the_listener_that_names_it_and_the_rest_to_fd() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let port = crate::support::tools::free_port();
    let mut command = without_docker_variables(Command::new("systemd-socket-activate"));
    command.arg("-l").arg(at("web")).arg("-l").arg(at("api")).arg("-l").arg(format!("127.0.0.1:{port}"));
    command.args(["--fdname", "web:api:tcp", PROGRAM.as_str(), "-a", "info", "--listen", "fd://,fd://api"]);
    let _running = Running::start(command.arg("--upstream").arg(engine.socket()));
    // In this order they are bound; that a socket's file is there does not mean yet that it listens.
    ["web", "api"].iter().for_each(|name| crate::support::tools::until_accepting(&at(name)));
    crate::support::tools::until_listening(port);
    for name in ["api", "web"] {
        assert_eq!(answer(http::connect(&at(name))), "ok", "{name}");
    }
    assert_eq!(answer(http::connect_tcp(port)), "ok");
}
