//! What a process can and cannot do once it has entered the sandbox. Whoever took the proxy over could
//! do no more than this.
//!
//! Each attempt is made in a process of its own: once without the sandbox, to see that it would be
//! possible, and once inside. This program starts itself for that, so it is its own harness.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use docker_proxy_acl::sandbox::{self, Measure, Needs, Route, landlock};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::process::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// Something tried, and how it ends inside.
struct Attempt {
    what: &'static str,
    /// Needed by the process in which it is tried.
    route: Route,
    /// What holds in it.
    under: Under,
    try_it: fn(&Cell) -> io::Result<()>,
    ends: End,
}

/// What holds in a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Nothing: to see that the attempt would succeed.
    Nothing,
    /// All of the sandbox.
    All,
    /// Landlock alone, which seccomp otherwise hides.
    Landlock,
}

/// How an attempt ends inside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Works,
    /// It is refused with this error.
    Refused(i32),
}
use End::{Refused, Works};

/// Where attempts are made: a directory with a few things in it, and two servers outside.
struct Cell {
    directory: PathBuf,
    engine_port: u16,
    other_port: u16,
    /// The process that started this one.
    parent: Pid,
}

const UNIX: Route = Route::Unix;
/// Stands for the port of the cell's engine.
const IP: Route = Route::Ip(0);
const NAME: Route = Route::Name(0);

const ENOSYS: i32 = libc::ENOSYS;
const EACCES: i32 = libc::EACCES;
const EPERM: i32 = libc::EPERM;

/// A table, so one row a line.
#[rustfmt::skip]
const ATTEMPTS: &[Attempt] = &[
    row("execute a program", UNIX, Under::All, execute, Refused(ENOSYS)),
    row("execute a program, by Landlock", UNIX, Under::Landlock, execute, Refused(EACCES)),
    row("execute a program where names are resolved", NAME, Under::All, execute, Refused(ENOSYS)),
    row("start a process", UNIX, Under::All, start_a_process, Refused(ENOSYS)),
    row("start a process where names are resolved", NAME, Under::All, start_a_process, Refused(ENOSYS)),
    row("start a thread", UNIX, Under::All, start_a_thread, Refused(ENOSYS)),
    row("trace a process", UNIX, Under::All, trace, Refused(ENOSYS)),
    row("mount", UNIX, Under::All, mount, Refused(ENOSYS)),
    row("enter a new root", UNIX, Under::All, enter_a_new_root, Refused(ENOSYS)),
    row("become root", UNIX, Under::All, become_root, Refused(ENOSYS)),
    row("signal another process", UNIX, Under::All, signal_the_parent, Refused(ENOSYS)),
    row("signal another process, by Landlock", UNIX, Under::Landlock, signal_the_parent, Refused(EPERM)),
    row("change a limit", UNIX, Under::All, change_a_limit, Refused(ENOSYS)),
    row("open a netlink socket", UNIX, Under::All, netlink, Refused(ENOSYS)),
    row("open a netlink socket where names are resolved", NAME, Under::All, netlink, Refused(ENOSYS)),
    row("open a packet socket", UNIX, Under::All, |_| open(AddressFamily::PACKET, SocketType::RAW), Refused(ENOSYS)),
    row("open a raw socket", IP, Under::All, |_| open(AddressFamily::INET, SocketType::RAW), Refused(ENOSYS)),
    row("open a TCP socket for an engine at a Unix socket", UNIX, Under::All, tcp, Refused(ENOSYS)),
    row("open an IPv6 socket for an engine at a Unix socket", UNIX, Under::All, |_| open(AddressFamily::INET6, SocketType::STREAM), Refused(ENOSYS)),
    row("open a Unix socket for datagrams", UNIX, Under::All, |_| open(AddressFamily::UNIX, SocketType::DGRAM), Refused(ENOSYS)),
    row("open a Unix socket for an engine at an address", IP, Under::All, unix, Refused(ENOSYS)),
    row("open a UDP socket for an engine at an address", IP, Under::All, udp, Refused(ENOSYS)),
    row("listen on another Unix socket", UNIX, Under::All, listen_unix, Refused(ENOSYS)),
    row("listen on another Unix socket, by Landlock", UNIX, Under::Landlock, listen_unix, Refused(EACCES)),
    row("listen on TCP", IP, Under::All, listen_tcp, Refused(ENOSYS)),
    row("listen on TCP, by Landlock", IP, Under::Landlock, listen_tcp, Refused(EACCES)),
    row("connect to another TCP port than the engine's", IP, Under::All, connect_elsewhere, Refused(EACCES)),
    row("connect to TCP for an engine at a Unix socket, by Landlock", UNIX, Under::Landlock, connect_elsewhere, Refused(EACCES)),
    row("connect to another's abstract socket", UNIX, Under::All, connect_abstract, Refused(EPERM)),
    row("read a file", UNIX, Under::All, read_stranger, Refused(EACCES)),
    row("write a file", UNIX, Under::All, write_stranger, Refused(ENOSYS)),
    row("write a file, by Landlock", UNIX, Under::Landlock, write_stranger, Refused(EACCES)),
    row("write a certificate", UNIX, Under::All, write_certificate, Refused(ENOSYS)),
    row("write a certificate, by Landlock", UNIX, Under::Landlock, write_certificate, Refused(EACCES)),
    row("list a directory", UNIX, Under::All, |cell| std::fs::read_dir(&cell.directory).map(drop), Refused(EACCES)),
    row("remove a stranger's file", UNIX, Under::All, |cell| std::fs::remove_file(cell.stranger()), Refused(EACCES)),
    row("rename its socket", UNIX, Under::All, rename, Refused(ENOSYS)),
    row("read its own memory map", UNIX, Under::All, |_| std::fs::read("/proc/self/maps").map(drop), Refused(EACCES)),
    row("catch a panic, with its backtrace", UNIX, Under::All, catch_a_panic, Works),
    row("remove its socket", UNIX, Under::All, |cell| std::fs::remove_file(cell.own_socket()), Works),
    row("read a certificate", UNIX, Under::All, |cell| std::fs::read(cell.certificate()).map(drop), Works),
    row("read a certificate that was renewed", UNIX, Under::All, read_a_renewed_certificate, Works),
    row("connect to an engine that has a new socket", UNIX, Under::All, connect_to_a_new_engine, Works),
    row("connect to the engine's address", IP, Under::All, |cell| connect("127.0.0.1", cell.engine_port), Works),
    row("resolve the engine's name and connect", NAME, Under::All, resolve_and_connect, Works),
];

const fn row(
    what: &'static str,
    route: Route,
    under: Under,
    try_it: fn(&Cell) -> io::Result<()>,
    ends: End,
) -> Attempt {
    Attempt { what, route, under, try_it, ends }
}

fn execute(_: &Cell) -> io::Result<()> {
    Err(Command::new("/bin/true").exec())
}

fn start_a_process(_: &Cell) -> io::Result<()> {
    Command::new("/bin/true").status().map(drop)
}

fn start_a_thread(_: &Cell) -> io::Result<()> {
    std::thread::Builder::new().spawn(|| ()).map(drop)
}

fn trace(_: &Cell) -> io::Result<()> {
    Ok(nix::sys::ptrace::traceme()?)
}

/// At a place that is not there: nothing comes of it, whoever tries.
fn mount(cell: &Cell) -> io::Result<()> {
    let flags = rustix::mount::MountFlags::empty();
    is_there(rustix::mount::mount("none", cell.directory.join("nowhere"), "tmpfs", flags, None))
}

fn enter_a_new_root(cell: &Cell) -> io::Result<()> {
    is_there(rustix::process::chroot(&cell.directory))
}

fn become_root(_: &Cell) -> io::Result<()> {
    is_there(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT))
}

fn signal_the_parent(cell: &Cell) -> io::Result<()> {
    Ok(rustix::process::test_kill_process(cell.parent)?)
}

fn change_a_limit(_: &Cell) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    is_there(setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }))
}

fn open(family: AddressFamily, kind: SocketType) -> io::Result<()> {
    is_there(socket(family, kind, None))
}

/// Whether the call got further than seccomp; some of these calls succeed only for root.
fn is_there<T>(result: rustix::io::Result<T>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOSYS) => Err(io::Error::from_raw_os_error(ENOSYS)),
        _ => Ok(()),
    }
}

fn netlink(_: &Cell) -> io::Result<()> {
    open(AddressFamily::NETLINK, SocketType::RAW)
}

fn tcp(_: &Cell) -> io::Result<()> {
    open(AddressFamily::INET, SocketType::STREAM)
}

fn udp(_: &Cell) -> io::Result<()> {
    open(AddressFamily::INET, SocketType::DGRAM)
}

fn unix(_: &Cell) -> io::Result<()> {
    open(AddressFamily::UNIX, SocketType::STREAM)
}

fn listen_unix(cell: &Cell) -> io::Result<()> {
    UnixListener::bind(cell.directory.join("another.sock")).map(drop)
}

fn listen_tcp(_: &Cell) -> io::Result<()> {
    TcpListener::bind("127.0.0.1:0").map(drop)
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    TcpStream::connect((host, port)).map(drop)
}

fn connect_elsewhere(cell: &Cell) -> io::Result<()> {
    connect("127.0.0.1", cell.other_port)
}

fn connect_abstract(cell: &Cell) -> io::Result<()> {
    UnixStream::connect_addr(&cell.abstract_socket()).map(drop)
}

fn read_stranger(cell: &Cell) -> io::Result<()> {
    std::fs::read(cell.stranger()).map(drop)
}

fn write_stranger(cell: &Cell) -> io::Result<()> {
    std::fs::write(cell.stranger(), "changed")
}

fn write_certificate(cell: &Cell) -> io::Result<()> {
    std::fs::write(cell.certificate(), "changed")
}

fn rename(cell: &Cell) -> io::Result<()> {
    std::fs::rename(cell.own_socket(), cell.directory.join("own/renamed.sock"))
}

fn catch_a_panic(_: &Cell) -> io::Result<()> {
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

fn connect_to_a_new_engine(cell: &Cell) -> io::Result<()> {
    until_things_have_changed()?;
    UnixStream::connect(cell.engine()).map(drop)
}

fn read_a_renewed_certificate(cell: &Cell) -> io::Result<()> {
    until_things_have_changed()?;
    assert_eq!(std::fs::read_to_string(cell.certificate())?, "renewed");
    Ok(())
}

/// As tokio does it: in a thread.
fn resolve_and_connect(cell: &Cell) -> io::Result<()> {
    let port = cell.engine_port;
    let resolver = std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || ("localhost", port).to_socket_addrs().map(Iterator::collect::<Vec<_>>))?;
    let addresses = resolver.join().expect("resolving does not panic")?;
    TcpStream::connect(addresses.as_slice()).map(drop)
}

impl Cell {
    fn needs(&self, route: Route) -> Needs {
        let engine = match route {
            Route::Unix => Route::Unix,
            Route::Ip(_) => Route::Ip(self.engine_port),
            Route::Name(_) => Route::Name(self.engine_port),
        };
        Needs {
            removes_in: vec![self.directory.join("own")],
            reads: vec![self.directory.join("certificates")],
            engine,
        }
    }

    fn own_socket(&self) -> PathBuf {
        self.directory.join("own/docker.sock")
    }

    fn engine(&self) -> PathBuf {
        self.directory.join("engine.sock")
    }

    fn stranger(&self) -> PathBuf {
        self.directory.join("stranger")
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("certificates/server.pem")
    }

    fn abstract_socket(&self) -> SocketAddr {
        let name = self.directory.to_string_lossy();
        SocketAddr::from_abstract_name(name.as_bytes()).expect("it is short enough")
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "inside", attempt, under, directory, engine_port, other_port] => {
            let cell = Cell {
                directory: directory.into(),
                engine_port: engine_port.parse().unwrap(),
                other_port: other_port.parse().unwrap(),
                parent: rustix::process::getppid().expect("it was started"),
            };
            inside(&ATTEMPTS[attempt.parse::<usize>().unwrap()], under, &cell)
        }
        [_, "without", call, ..] => without(call.parse().unwrap(), &args[3..]),
        // Flags of the usual harness mean nothing here.
        _ => {
            every_attempt_ends_as_the_table_says();
            a_kernel_without_landlock_is_said_and_the_rest_holds();
            a_kernel_without_seccomp_is_said_and_the_rest_holds();
            ExitCode::SUCCESS
        }
    }
}

/// Makes an attempt; the exit code is the number of its error.
fn inside(attempt: &Attempt, under: &str, cell: &Cell) -> ExitCode {
    let needs = cell.needs(attempt.route);
    match under {
        "nothing" => {}
        "landlock" => assert!(matches!(landlock::enter(&needs), Measure::Holds(_)), "Landlock does not hold"),
        _ => assert!(sandbox::enter(&needs).is_whole(), "the sandbox does not hold"),
    }
    match (attempt.try_it)(cell) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(error.raw_os_error().map_or(255, |number| number as u8)),
    }
}

fn every_attempt_ends_as_the_table_says() {
    let mut wrong = Vec::new();
    for (index, attempt) in ATTEMPTS.iter().enumerate() {
        for (under, expected) in [(Under::Nothing, Works), (attempt.under, attempt.ends)] {
            let (found, said) = outcome(index, under);
            let expected = match expected {
                Works => 0,
                Refused(error) => error,
            };
            if found != expected {
                let label = name(under);
                wrong
                    .push(format!("{} (under {label}): {found} instead of {expected}; {said}", attempt.what));
            }
        }
    }
    assert!(wrong.is_empty(), "these ended otherwise, by the numbers of their errors: {wrong:#?}");
    println!("every one of {} attempts ends as the table says ... ok", ATTEMPTS.len());
}

fn name(under: Under) -> &'static str {
    match under {
        Under::Nothing => "nothing",
        Under::All => "all",
        Under::Landlock => "landlock",
    }
}

/// Makes an attempt in a process of its own, among things that nothing else touches: the exit code, and
/// what it said of errors.
fn outcome(index: usize, under: Under) -> (i32, String) {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().to_owned();
    let (engine, other) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let cell = Cell {
        directory,
        engine_port: port(&engine),
        other_port: port(&other),
        parent: rustix::process::getpid(),
    };
    std::fs::create_dir(cell.directory.join("own")).unwrap();
    std::fs::create_dir(cell.directory.join("certificates")).unwrap();
    std::fs::write(cell.own_socket(), "").unwrap();
    std::fs::write(cell.stranger(), "").unwrap();
    std::fs::write(cell.certificate(), "").unwrap();
    let _abstract = UnixListener::bind_addr(&cell.abstract_socket()).unwrap();
    let old_engine = UnixListener::bind(cell.engine()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["inside", &index.to_string(), name(under)])
        .arg(&cell.directory)
        .args([cell.engine_port.to_string(), cell.other_port.to_string()])
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _new_engine = wait_until_it_is_ready(&mut child).then(|| {
        drop(old_engine);
        renew(&cell)
    });
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Replaces the certificate, and the engine's socket as a restart does.
fn renew(cell: &Cell) -> UnixListener {
    let new = cell.directory.join("certificates/new.pem");
    std::fs::write(&new, "renewed").unwrap();
    std::fs::rename(new, cell.certificate()).unwrap();
    std::fs::remove_file(cell.engine()).unwrap();
    UnixListener::bind(cell.engine()).unwrap()
}

/// Whether it says so; most attempts say nothing and end.
fn wait_until_it_is_ready(child: &mut std::process::Child) -> bool {
    use std::io::BufRead;
    let mut line = String::new();
    io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line == "ready\n"
}

/// Becomes another program, for which one system call is not there.
fn without(call: libc::c_long, command: &[String]) -> ExitCode {
    let filter = SeccompFilter::new(
        [(call, vec![])].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
    panic!("{}", Command::new(&command[0]).args(&command[1..]).exec());
}

fn a_kernel_without_landlock_is_said_and_the_rest_holds() {
    let (line, status) = start_up_without(libc::SYS_landlock_create_ruleset);
    assert!(line.contains("no-new-privs, no landlock (this kernel has none"), "{line}");
    assert!(line.contains("), seccomp "), "{line}");
    assert!(status.contains("Seccomp:\t2\nSeccomp_filters:\t2\n"), "{status}");
    println!("a kernel without Landlock is said and the rest holds ... ok");
}

fn a_kernel_without_seccomp_is_said_and_the_rest_holds() {
    let (line, status) = start_up_without(libc::SYS_seccomp);
    assert!(line.contains("no-new-privs, landlock ABI "), "{line}");
    assert!(line.contains("no seccomp ("), "{line}");
    assert!(status.contains("Seccomp_filters:\t1\n"), "{status}");
    println!("a kernel without seccomp is said and the rest holds ... ok");
}

/// What the proxy says of its sandbox, and what the kernel does, where one call is not there. An engine
/// is not needed for that.
fn start_up_without(call: libc::c_long) -> (String, String) {
    use std::io::BufRead;
    let directory = tempfile::tempdir().unwrap();
    let socket = |name: &str| Path::new(directory.path()).join(name);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["without", &call.to_string(), env!("CARGO_BIN_EXE_docker-proxy-acl"), "-a", "version"])
        .arg("--listen")
        .arg(socket("docker.sock"))
        .arg("--upstream")
        .arg(socket("engine.sock"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = io::BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.skip_while(|line| !line.contains("sandbox:"));
    let said = lines.next().expect("the log says what is in force");
    let listening = lines.next().expect("it goes on");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(listening.contains("Listening on"), "{listening}");
    (said, status)
}
