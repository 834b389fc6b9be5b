//! A program that enters the sandbox and then attempts one thing: the part of `inside.rs` that needs a
//! process with one thread. It says by its exit code how the attempt ended.
//!
//! `sandbox_attempt NAME nothing|landlock|all unix|ip|name DIRECTORY ENGINE_PORT OTHER_PORT TESTER`, or
//! `sandbox_attempt without CALL PROGRAM ARG...` to become a program for which a system call is missing,
//! `sandbox_attempt without-option OPTION PROGRAM ARG...` where the option of sockets is not there, or
//! `sandbox_attempt list`.

mod fixture;

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use docker_proxy_acl::sandbox::{self, Measure, Requirements, UpstreamKind, landlock};
use fixture::Fixture;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::Pid;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::Eq;
use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, apply_filter};

type Attempt = fn(&Fixture) -> io::Result<()>;

/// The attempts, with the names that `inside.rs` knows them by.
macro_rules! attempts {
    ($($name:ident),* $(,)?) => {
        const ATTEMPTS: &[(&str, Attempt)] = &[$((stringify!($name), $name)),*];
    };
}

attempts![
    execute,
    start_a_process,
    start_a_thread,
    trace,
    mount,
    enter_a_new_root,
    become_root,
    signal_the_tester,
    change_a_limit,
    netlink_socket,
    tcp_socket,
    udp_socket,
    unix_socket,
    listen_unix,
    listen_tcp,
    connect_elsewhere,
    connect_abstract,
    read_unrelated,
    write_unrelated,
    write_certificate,
    rename_own_socket,
    catch_a_panic,
    connect_to_a_new_engine,
    read_a_renewed_certificate,
    resolve_and_connect,
    packet_socket,
    raw_socket,
    tcp_over_ipv6,
    unix_datagrams,
    list_directory,
    remove_unrelated,
    read_memory_map,
    remove_own_socket,
    read_certificate,
    connect_to_the_engine_s_address,
    append_to_a_new_access_log,
    append_elsewhere,
    write_over_the_access_log,
    read_the_access_log,
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "list"] => ATTEMPTS.iter().for_each(|(name, _)| println!("{name}")),
        [_, "without", call, ..] => without(call.parse().unwrap(), vec![], libc::EPERM, &args[3..]),
        [_, "without-option", option, ..] => {
            let option = SeccompCondition::new(2, Dword, Eq, option.parse().unwrap()).unwrap();
            let rules = vec![SeccompRule::new(vec![option]).unwrap()];
            without(libc::SYS_setsockopt, rules, libc::ENOPROTOOPT, &args[3..]);
        }
        [_, name, under, upstream, directory, engine_port, other_port, tester] => {
            let fixture = Fixture {
                directory: directory.into(),
                engine_port: engine_port.parse().unwrap(),
                other_port: other_port.parse().unwrap(),
                tester: tester.parse().unwrap(),
            };
            let (_, attempt) = ATTEMPTS.iter().find(|(known, _)| *known == name).expect("no such attempt");
            enter(under, &requirements(&fixture, upstream));
            return exit_code(attempt(&fixture));
        }
        _ => panic!("usage: see the top of tests/it/sandbox/attempt.rs"),
    }
    ExitCode::SUCCESS
}

fn requirements(fixture: &Fixture, upstream: &str) -> Requirements {
    let upstream = match upstream {
        "unix" => UpstreamKind::Unix,
        "ip" => UpstreamKind::Ip(fixture.engine_port),
        "name" => UpstreamKind::Name(fixture.engine_port),
        other => panic!("unknown kind of upstream '{other}'"),
    };
    Requirements {
        unlink_dirs: vec![fixture.own_directory()],
        read_dirs: vec![fixture.certificates()],
        append_dirs: vec![fixture.log_directory()],
        reads_usage: false,
        upstream,
    }
}

fn enter(under: &str, requirements: &Requirements) {
    match under {
        "nothing" => {}
        "landlock" => {
            assert!(matches!(landlock::enter(requirements), Measure::Enforced(_)), "Landlock does not hold")
        }
        "all" => assert!(sandbox::enter(requirements, || ()).0.fully_enforced(), "the sandbox does not hold"),
        other => panic!("unknown measure '{other}'"),
    }
}

/// The number of the error: 255 if it has none.
fn exit_code(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.raw_os_error().map_or(255, |number| number as u8)),
    }
}

/// Becomes another program, for which one system call is not there: at all, or by these rules.
fn without(call: libc::c_long, rules: Vec<SeccompRule>, error: i32, command: &[String]) {
    let filter = SeccompFilter::new(
        [(call, rules)].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(error as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
}

fn execute(_: &Fixture) -> io::Result<()> {
    Err(Command::new("/bin/true").exec())
}

fn start_a_process(_: &Fixture) -> io::Result<()> {
    Command::new("/bin/true").status().map(drop)
}

fn start_a_thread(_: &Fixture) -> io::Result<()> {
    std::thread::Builder::new().spawn(|| ()).map(drop)
}

fn trace(_: &Fixture) -> io::Result<()> {
    Ok(nix::sys::ptrace::traceme()?)
}

/// At a place that is not there: nothing comes of it, whoever tries.
fn mount(fixture: &Fixture) -> io::Result<()> {
    let flags = rustix::mount::MountFlags::empty();
    is_there(rustix::mount::mount("none", fixture.directory.join("nowhere"), "tmpfs", flags, None))
}

fn enter_a_new_root(fixture: &Fixture) -> io::Result<()> {
    is_there(rustix::process::chroot(&fixture.directory))
}

fn become_root(_: &Fixture) -> io::Result<()> {
    is_there(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT))
}

fn signal_the_tester(fixture: &Fixture) -> io::Result<()> {
    Ok(rustix::process::test_kill_process(Pid::from_raw(fixture.tester).expect("a process has a number"))?)
}

fn change_a_limit(_: &Fixture) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    is_there(setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }))
}

fn open(family: AddressFamily, kind: SocketType) -> io::Result<()> {
    is_there(socket(family, kind, None))
}

/// Whether the call got further than seccomp; some of these calls succeed only for root.
fn is_there<T>(result: rustix::io::Result<T>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOSYS) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
        _ => Ok(()),
    }
}

fn netlink_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::NETLINK, SocketType::RAW)
}

fn tcp_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::INET, SocketType::STREAM)
}

fn udp_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::INET, SocketType::DGRAM)
}

fn unix_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::UNIX, SocketType::STREAM)
}

fn listen_unix(fixture: &Fixture) -> io::Result<()> {
    UnixListener::bind(fixture.directory.join("another.sock")).map(drop)
}

fn listen_tcp(_: &Fixture) -> io::Result<()> {
    TcpListener::bind("127.0.0.1:0").map(drop)
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    TcpStream::connect((host, port)).map(drop)
}

fn connect_elsewhere(fixture: &Fixture) -> io::Result<()> {
    connect("127.0.0.1", fixture.other_port)
}

fn connect_abstract(fixture: &Fixture) -> io::Result<()> {
    UnixStream::connect_addr(&fixture.abstract_socket()).map(drop)
}

fn read_unrelated(fixture: &Fixture) -> io::Result<()> {
    std::fs::read(fixture.unrelated()).map(drop)
}

fn write_unrelated(fixture: &Fixture) -> io::Result<()> {
    std::fs::write(fixture.unrelated(), "changed")
}

fn write_certificate(fixture: &Fixture) -> io::Result<()> {
    std::fs::write(fixture.certificate(), "changed")
}

/// The one way in which the program opens a file to write.
fn append(path: &Path) -> io::Result<()> {
    use rustix::fs::OFlags;
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(rustix::fs::CWD, path, flags, 0o640.into())?;
    rustix::io::write(file, b"line\n").map(drop).map_err(Into::into)
}

fn append_to_a_new_access_log(fixture: &Fixture) -> io::Result<()> {
    append(&fixture.log_directory().join("access.log.new"))
}

fn append_elsewhere(fixture: &Fixture) -> io::Result<()> {
    append(&fixture.unrelated())
}

fn write_over_the_access_log(fixture: &Fixture) -> io::Result<()> {
    std::fs::write(fixture.access_log(), "changed")
}

fn read_the_access_log(fixture: &Fixture) -> io::Result<()> {
    std::fs::read(fixture.access_log()).map(drop)
}

fn rename_own_socket(fixture: &Fixture) -> io::Result<()> {
    std::fs::rename(fixture.own_socket(), fixture.directory.join("own/renamed.sock"))
}

fn catch_a_panic(_: &Fixture) -> io::Result<()> {
    match std::panic::catch_unwind(|| panic!("as a bug would")) {
        Err(_) => Ok(()),
        Ok(()) => Err(io::ErrorKind::Other.into()),
    }
}

/// Waits until whoever started this has renewed the engine's socket and the certificate.
fn until_things_have_changed() -> io::Result<()> {
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_line(&mut String::new()).map(drop)
}

fn connect_to_a_new_engine(fixture: &Fixture) -> io::Result<()> {
    until_things_have_changed()?;
    UnixStream::connect(fixture.engine()).map(drop)
}

fn read_a_renewed_certificate(fixture: &Fixture) -> io::Result<()> {
    until_things_have_changed()?;
    assert_eq!(std::fs::read_to_string(fixture.certificate())?, "renewed");
    Ok(())
}

/// As tokio does it: in a thread.
fn resolve_and_connect(fixture: &Fixture) -> io::Result<()> {
    let port = fixture.engine_port;
    let resolver = std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || ("localhost", port).to_socket_addrs().map(Iterator::collect::<Vec<_>>))?;
    let addresses = resolver.join().expect("resolving does not panic")?;
    TcpStream::connect(addresses.as_slice()).map(drop)
}

fn packet_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::PACKET, SocketType::RAW)
}

fn raw_socket(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::INET, SocketType::RAW)
}

fn tcp_over_ipv6(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::INET6, SocketType::STREAM)
}

fn unix_datagrams(_: &Fixture) -> io::Result<()> {
    open(AddressFamily::UNIX, SocketType::DGRAM)
}

fn list_directory(fixture: &Fixture) -> io::Result<()> {
    std::fs::read_dir(&fixture.directory).map(drop)
}

fn remove_unrelated(fixture: &Fixture) -> io::Result<()> {
    std::fs::remove_file(fixture.unrelated())
}

fn read_memory_map(_: &Fixture) -> io::Result<()> {
    std::fs::read("/proc/self/maps").map(drop)
}

fn remove_own_socket(fixture: &Fixture) -> io::Result<()> {
    std::fs::remove_file(fixture.own_socket())
}

fn read_certificate(fixture: &Fixture) -> io::Result<()> {
    std::fs::read(fixture.certificate()).map(drop)
}

fn connect_to_the_engine_s_address(fixture: &Fixture) -> io::Result<()> {
    connect("127.0.0.1", fixture.engine_port)
}
