//! The program for arm64: the image that the Dockerfile makes of it, and the program itself under emulation.
//!
//! `tests/aarch64` runs these, and others of this crate, with what they need in the folder `TEST_AARCH64`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::sandbox::processors;
use crate::support::builder::{load_cross_builder, take_program};
use crate::support::engine::{Engine, docker_command};
use crate::support::http::{GET_EVENTS, connect, contains, read_until};
use crate::support::machine;
use crate::support::mock::{Mock, OK};
use crate::support::tls::{Pki, curl_as, tls_proxy};
use crate::support::tools::{combined_output, free_port, stdout};
use crate::support::until;

const IMAGE: &str = "docker-proxy-acl:arm64";

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("TEST_AARCH64").expect("run tests/aarch64, which fetches what this needs"))
}

/// Builds the image once, by BuildKit as it is in the engine, and puts its program into the folder, where
/// `TEST_PROGRAM` runs it.
fn build_image() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let _machine = machine::disturbing();
        let engine = Engine::shared();
        load_cross_builder(&engine, "cross-builder", &folder());
        let build = docker_command(engine.socket())
            .args(["build", "--platform", "linux/arm64", "--network", "none"])
            .args(["--build-arg", "BUILDER=cross-builder", "-t", IMAGE, env!("CARGO_MANIFEST_DIR")])
            .env("DOCKER_BUILDKIT", "1")
            .output()
            .unwrap();
        stdout(build);
        take_program(&engine, IMAGE, &folder());
    });
}

#[test]
#[ignore = "needs a cross-compiler: tests/aarch64"]
fn the_dockerfile_builds_an_image_for_arm64() {
    build_image();
    let format = "{{.Os}}/{{.Architecture}} {{len .RootFS.Layers}} {{.Config.Entrypoint}}";
    let image = stdout(Engine::shared().docker(&["image", "inspect", "-f", format, IMAGE]));
    assert_eq!(image.trim(), "linux/arm64 1 [/docker-proxy-acl]");
    // The header's `e_ident` and `e_machine` by elf(5): 64 bits, the low byte first, and `EM_AARCH64`.
    let program = std::fs::read(folder().join("docker-proxy-acl")).unwrap();
    assert_eq!((&program[..6], &program[18..20]), (&b"\x7fELF\x02\x01"[..], &[183, 0][..]));
}

/// A kernel for arm64 with seccomp and Landlock, and a life of the program in it: `init` says what.
#[test]
#[ignore = "needs an emulator: tests/aarch64"]
fn on_a_kernel_for_arm64_all_its_work_passes_inside_the_sandbox() {
    build_image();
    let printed = boot();
    let sandboxes = printed.lines().filter(|line| line.starts_with("sandbox: no-new-privs, landlock ABI "));
    assert_eq!(sandboxes.filter(|line| line.contains(", seccomp ")).count(), 3, "{printed}");
    for line in [
        "process_open_fds ",
        "process_resident_memory_bytes ",
        "over TLS: {\"Version\": \"of the engine\"}",
        "over Unix: {\"Version\": \"of the engine\"}",
        "not allowed: wget: server returned error: HTTP/1.1 404 Not Found",
        "after SIGHUP: {\"Version\": \"of the engine\"}",
        "Seccomp:\t2",
        "left in its directory: 0",
        "all of it was done",
    ] {
        assert!(printed.lines().any(|printed| printed.starts_with(line)), "no line {line:?} in {printed}");
    }
    assert_eq!(printed.matches("ended with 0").count(), 3, "{printed}");
    assert_eq!(printed.matches("certificates reloaded").count(), 2, "{printed}");
    // Each thread of it.
    assert_eq!(printed.matches("Seccomp:").count(), 1, "{printed}");
}

/// Boots the machine whose first process is `init`; what that printed.
fn boot() -> String {
    let root = tempfile::tempdir().unwrap();
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::copy(folder().join("machine/busybox"), bin.join("busybox")).unwrap();
    std::fs::copy(folder().join("docker-proxy-acl"), bin.join("docker-proxy-acl")).unwrap();
    let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/aarch64/init");
    std::fs::copy(init, root.path().join("init")).unwrap();
    let mut archive = Command::new("sh");
    archive.args(["-c", "find . | busybox cpio -o -H newc >initramfs"]).current_dir(root.path());
    stdout(archive.output().unwrap());
    let mut machine = Command::new("timeout");
    machine.arg("1200").arg(folder().join("bin/qemu-system-aarch64"));
    machine.args(["-M", "virt", "-cpu", "max", "-m", "512", "-nodefaults", "-display", "none"]);
    machine.args(["-serial", "stdio", "-no-reboot", "-append", "console=ttyAMA0 quiet panic=-1", "-kernel"]);
    machine.arg(folder().join("machine/vmlinuz")).arg("-initrd").arg(root.path().join("initramfs"));
    stdout(machine.stdin(Stdio::null()).output().unwrap()).replace('\r', "")
}

#[test]
#[ignore = "needs an emulator: tests/aarch64"]
fn every_call_that_it_makes_once_it_listens_is_in_the_sandbox_s_table() {
    build_image();
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    live(&directory.path().join("access.log"), &format!("-strace -D {}", trace.display()));
    let trace = std::fs::read_to_string(trace).unwrap();
    let (_, inside) = trace.split_once(" seccomp(").expect("it asks for the sandbox");
    assert!(!inside.contains("Unknown syscall"), "qemu knows all of them");
    let made: BTreeSet<&str> = inside.split('(').filter_map(call_before).collect();
    assert!(made.contains("epoll_pwait") && made.contains("unlinkat"), "the trace is read: {made:?}");
    let outside: Vec<_> = made.difference(&processors::on_arm64()).copied().collect();
    assert_eq!(outside, [] as [&str; 0], "not in the table, of all that were made: {made:?}");
}

/// The name of a call that ends a text, after the number of the thread that makes it.
fn call_before(text: &str) -> Option<&str> {
    let (rest, name) = text.rsplit_once(' ')?;
    let thread = rest.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    (!thread.is_empty()
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
    .then_some(name)
}

/// A whole life under the emulator with these flags: answers, refusals, a stream, TLS, files that are read again, logs
/// that are made anew, and the end.
fn live(access_log: &Path, emulator_flags: &str) {
    let engine = Mock::new(|mut connection| {
        while let Some(head) = connection.read_head() {
            if head.starts_with("GET /events") {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n");
                return connection.wait_until_closed();
            }
            connection.send(OK);
        }
    });
    let (pki, admin) = (Pki::new(), free_port());
    let mut proxy = tls_proxy(&pki, engine.socket())
        .allow("info,events")
        .args(["--admin", &format!("tcp://127.0.0.1:{admin}"), "--threads", "2", "--access-log"])
        .args([access_log])
        .env("QEMU_FLAGS", emulator_flags)
        .start();
    proxy.logged(&["sandbox: no-new-privs, no landlock (", "no seccomp ("]);
    assert_eq!(proxy.get("/info").text(), "ok");
    assert_eq!(proxy.get("/version").status(), 404);
    assert_eq!(proxy.request("POST", "/info").status(), 400);
    let url = format!("https://localhost:{}/info", proxy.tcp_port());
    assert_eq!(combined_output(&curl_as(&pki.alice(), &[&url])), "ok");
    let mut stream = connect(proxy.socket());
    stream.write_all(GET_EVENTS).unwrap();
    read_until(&mut stream, |all| contains(all, "event"));
    std::fs::remove_file(access_log).unwrap();
    proxy.signal("HUP");
    proxy.logged(&["certificates reloaded"]);
    until("the access log is made anew", || access_log.exists());
    proxy.signal("TERM");
    assert_eq!(proxy.wait().code(), Some(0));
}
