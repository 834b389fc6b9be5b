//! The listening socket's file is made safely, replaced only when stale, and removed only when ours.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::files::{mode, set_mode};
use crate::support::http::{self, connect};
use crate::support::mock::{Mock, OK};
use crate::support::process::signal;
use crate::support::proxy::{PROGRAM, Proxy, until_gone};
use crate::support::{eventually, until};

fn engine() -> Mock {
    Mock::answering(OK)
}

/// Starts a proxy that is expected not to; what it printed.
fn refusal(listen: &Path, upstream: &Path) -> String {
    let listen: [&OsStr; 2] = ["--listen".as_ref(), listen.as_os_str()];
    let mut proxy = Proxy::builder(upstream).allow("info").args(listen).spawn();
    let status = proxy.wait();
    let line = proxy.logged(&["error:"]);
    assert!(!status.success(), "{line}");
    line
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
    command.arg(PROGRAM.as_str()).args(["-a", "info", "--upstream"]).arg(engine.socket());
    command.arg("--listen").arg(builder.socket());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("strace runs");
    until("it listens", || builder.socket().exists() && mode(builder.socket()) == 0o660);
    // strace writes a call down when it has returned.
    let calls = eventually("strace has written that down", || {
        std::fs::read_to_string(&trace).ok().filter(|calls| calls.contains("0660"))
    });
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
fn a_socket_whose_queue_is_full_is_in_use_and_not_waited_for() {
    let engine = engine();
    let builder = Proxy::builder(engine.socket()).allow("info");
    std::fs::create_dir(builder.socket().parent().unwrap()).unwrap();
    let listener = UnixListener::bind(builder.socket()).unwrap();
    // A queue of one, which nobody empties.
    rustix::net::listen(&listener, 0).unwrap();
    let _queued = connect(builder.socket());
    let mut proxy = builder.spawn();
    assert_eq!(proxy.wait().code(), Some(1));
    proxy.logged(&["another docker-proxy-acl is listening there"]);
    assert!(proxy.socket().exists());
}

#[test]
fn of_two_that_start_at_once_one_listens() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let listen = ["--listen", socket.to_str().unwrap()];
    drop(UnixListener::bind(&socket).unwrap());
    let all: Vec<Proxy> =
        (0..8).map(|_| Proxy::builder(engine.socket()).allow("info").args(listen).spawn()).collect();
    let says = |proxy: &Proxy, text: &str| proxy.log().iter().any(|line| line.contains(text));
    // Each has a socket of its own besides, which it may have said before.
    let listening = format!("Listening on {}", socket.display());
    let knows = |proxy: &Proxy| says(proxy, &listening) || says(proxy, "another docker");
    until("each knows where it stands", || all.iter().all(knows));
    assert_eq!(all.iter().filter(|proxy| says(proxy, &listening)).count(), 1);
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

/// A user that is neither root nor the proxy's.
const OTHER: u32 = 4321;

/// A link that belongs to another user.
fn link_of_another(to: &Path, at: &Path) {
    symlink(to, at).unwrap();
    lchown(at, Some(OTHER), None).unwrap();
}

/// A directory like /tmp: everyone may make something in it, and nobody replace what is another's.
fn sticky(parent: &Path) -> PathBuf {
    let directory = parent.join("sticky");
    std::fs::create_dir(&directory).unwrap();
    set_mode(&directory, 0o1777);
    directory
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_link_of_another_user_s_on_the_way_is_refused() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let behind = directory.path().join("behind");
    std::fs::create_dir(&behind).unwrap();
    let sticky = sticky(directory.path());
    let way = sticky.join("way");
    link_of_another(&behind, &way);
    for listen in [way.join("s"), way.join("new/s"), sticky.join("../sticky/way/s")] {
        let stderr = refusal(&listen, engine.socket());
        assert!(stderr.contains(&format!("the link {} belongs to another user", way.display())), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(&behind).unwrap().count(), 0, "nothing is made behind it");

    // Also when only a link of root's leads to it.
    let indirect = directory.path().join("indirect");
    symlink(&way, &indirect).unwrap();
    assert!(refusal(&indirect.join("s"), engine.socket()).contains("belongs to another user"));
}

#[test]
#[ignore = "needs root: tests/run"]
fn links_of_root_s_on_the_way_are_followed() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let behind = directory.path().join("behind");
    std::fs::create_dir(&behind).unwrap();
    let way = sticky(directory.path()).join("way");
    symlink("../behind", &way).unwrap();
    let listen = way.join("s");
    let mut proxy =
        Proxy::builder(engine.socket()).allow("info").args(["--listen".as_ref(), listen.as_os_str()]).start();
    assert_eq!(http::get(&behind.join("s"), "/info").text(), "ok");
    // Where it was bound it is removed, wherever the link leads by then.
    std::fs::remove_file(&way).unwrap();
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert!(!behind.join("s").exists());
}

/// The race: the way leads to an empty directory while it is judged and bound in, and as soon as the socket is
/// there, to root's file, whose group and mode would be set.
#[test]
#[ignore = "needs root: tests/run"]
fn a_link_that_turns_during_the_start_makes_no_file_of_root_s_accessible() {
    const STARTS: usize = 15;
    let engine = engine();
    chown(engine.socket(), None, Some(OTHER)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (bound, secret) = (at("empty/docker.sock"), at("secrets/docker.sock"));
    for place in ["empty", "secrets"] {
        std::fs::create_dir(at(place)).unwrap();
    }
    std::fs::write(&secret, "secret").unwrap();
    set_mode(&secret, 0o600);
    let sticky = sticky(directory.path());
    let (way, next) = (sticky.join("way"), sticky.join("next"));
    for _ in 0..STARTS {
        let _ = std::fs::remove_file(&way);
        let _ = std::fs::remove_file(&bound);
        link_of_another(&at("empty"), &way);
        link_of_another(&at("secrets"), &next);
        let proxy = Proxy::builder(engine.socket())
            .allow("info")
            .args(["--listen".as_ref(), way.join("docker.sock").as_os_str()])
            .spawn();
        let decided = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !bound.exists() && !decided.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                std::fs::rename(&next, &way).unwrap();
            });
            until("it has started, or not", || {
                proxy.log().iter().any(|line| line.contains("Listening on") || line.contains("error:"))
            });
            decided.store(true, Ordering::Relaxed);
        });
        drop(proxy);
        let of = secret.metadata().unwrap();
        assert_eq!((of.mode() & 0o7777, of.uid(), of.gid()), (0o600, 0, 0));
    }
    assert!(!bound.exists(), "nothing is made behind it");
}

#[test]
#[ignore = "needs root: tests/run"]
fn a_socket_mounted_where_docker_made_a_directory_lends_no_group() {
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), None, Some(OTHER)).unwrap();
    let proxy = Proxy::builder(directory.path()).allow("info").start();
    assert_ne!(proxy.socket().metadata().unwrap().gid(), OTHER);
}

/// 107 bytes is what `sun_path` holds; a long name in a directory that has a short one is all right too.
#[test]
fn the_longest_path_that_a_socket_can_have_is_listened_on() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let room = 107 - directory.path().as_os_str().len() - 1;
    let socket = directory.path().join("s".repeat(room));
    let _proxy =
        Proxy::builder(engine.socket()).allow("info").args(["--listen".as_ref(), socket.as_os_str()]).start();
    assert_eq!(http::get(&socket, "/info").text(), "ok");
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
