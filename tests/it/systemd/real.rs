//! Under a real systemd, which is process 1 of namespaces of its own.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::support::files::mode;
use crate::support::http::{self, GET_INFO_AND_CLOSE, parse, read_to_close};
use crate::support::load::Load;
use crate::support::mock::{Mock, OK};
use crate::support::process::{self, status};
use crate::support::systemd::Systemd;
use crate::support::{TIMEOUT, env_usize, until};

const SERVICE: &str = include_str!("../../../examples/docker-proxy-acl@.service");
const SOCKET: &str = include_str!("../../../examples/docker-proxy-acl@.socket");

/// The template's instance `web`, with further files, its socket started and its service not.
struct Instance {
    systemd: Systemd,
    socket: PathBuf,
    _engine: Mock,
}

/// Its file, below /etc.
const WEB_TOML: &str = "docker-proxy-acl/web.toml";
const ALLOWS_INFO: &str = "[[listener]]\naddress = \"fd://\"\nallow = [\"info\"]\n";
/// Its units.
const WEB: &str = "docker-proxy-acl@web.service";
const WEB_SOCKET: &str = "docker-proxy-acl@web.socket";

impl Instance {
    fn boot(more: &[(&str, &str)]) -> Self {
        let engine = Mock::answering(OK);
        let files = [
            ("systemd/system/docker-proxy-acl@.service", SERVICE),
            ("systemd/system/docker-proxy-acl@.socket", SOCKET),
            (WEB_TOML, ALLOWS_INFO),
        ];
        let systemd = Systemd::boot(&engine, &[&files, more].concat());
        systemd.systemctl(&format!("start {WEB_SOCKET}"));
        let socket = systemd.path("/run/docker-proxy-acl/web/docker.sock");
        Self { systemd, socket, _engine: engine }
    }

    fn is_active(&self) -> bool {
        self.systemd.property(WEB, "ActiveState") == "active"
    }
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn the_template_is_started_by_its_first_client_as_nobody_and_in_its_sandbox() {
    let web = Instance::boot(&[]);
    assert!(!web.is_active());
    assert_eq!(mode(&web.socket), 0o660);
    assert_eq!(http::get(&web.socket, "/info").text(), "ok");
    until("it is active", || web.is_active());
    let status_text = web.systemd.property(WEB, "StatusText");
    assert_eq!(status_text, "Listening on /run/docker-proxy-acl/web/docker.sock");
    let process = web.systemd.main_process(WEB);
    let uid: u32 = status(process, "Uid").split_whitespace().next().unwrap().parse().unwrap();
    assert!((61184..=65519).contains(&uid), "{uid} is not a dynamic user's");
    assert_eq!(status(process, "CapBnd"), "0000000000000000");
    for text in
        ["sandbox: no-new-privs, landlock ABI ", ", seccomp ", "passed=\"3 ('docker-proxy-acl@web.socket')\""]
    {
        web.systemd.until_logged(WEB, text);
    }
    let journal = web.systemd.journal(WEB);
    assert!(!journal.contains("WARN"), "{journal}");
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn no_client_notices_that_the_template_is_restarted_twenty_times() {
    let web = Instance::boot(&[]);
    let path = web.socket.clone();
    let load = Load::start(8, move || {
        let stream = UnixStream::connect(&path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(stream)
    });
    let restarts = env_usize("RESTARTS", 20);
    for _ in 0..restarts {
        load.until_answered(100);
        web.systemd.systemctl(&format!("restart {WEB}"));
        // systemd counts what an operator does as well, and would stop at five.
        web.systemd.systemctl(&format!("reset-failed {WEB}"));
    }
    load.until_answered(100);
    let answers = load.answers();
    let failures = load.failures();
    eprintln!("{restarts} restarts by systemd: {answers} answers, {} failures", failures.len());
    assert_eq!(failures, [] as [String; 0]);
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn a_reload_takes_up_its_file_and_what_is_wrong_in_it_changes_nothing() {
    let web = Instance::boot(&[]);
    let reload = |text: &str| {
        std::fs::write(web.systemd.path("/etc").join(WEB_TOML), text).unwrap();
        web.systemd.systemctl(&format!("reload {WEB}"));
    };
    let status_of = |target: &str| http::get(&web.socket, target).status();
    assert_eq!((status_of("/info"), status_of("/version")), (200, 404));
    reload(&format!("{ALLOWS_INFO}[[listener.client]]\nuid = 0\nallow = [\"version\"]\n"));
    web.systemd.until_logged(WEB, "configuration reloaded");
    assert_eq!((status_of("/info"), status_of("/version")), (404, 200));
    reload("[[listener]]\naddress = \"fd://\"\nallow = [\"inof\"]\n");
    web.systemd.until_logged(WEB, "the previous configuration stays in use");
    until("it is active again", || web.is_active());
    assert_eq!((status_of("/info"), status_of("/version")), (404, 200));
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn a_service_that_hangs_is_started_anew_and_its_clients_are_answered() {
    let short = "[Service]\nWatchdogSec=5\n";
    let web = Instance::boot(&[("systemd/system/docker-proxy-acl@web.service.d/watchdog.conf", short)]);
    web.systemd.systemctl(&format!("start {WEB}"));
    let before = web.systemd.main_process(WEB);
    process::signal(before, "STOP");
    let mut waiting = http::connect(&web.socket);
    waiting.write_all(GET_INFO_AND_CLOSE).unwrap();
    assert_eq!(parse(&read_to_close(&mut waiting)).text(), "ok");
    assert_ne!(web.systemd.main_process(WEB), before);
    assert_eq!(web.systemd.property(WEB, "NRestarts"), "1");
    web.systemd.until_logged(WEB, "Watchdog timeout");
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn what_is_written_wrong_is_said_once_and_not_tried_again() {
    let web = Instance::boot(&[(WEB_TOML, "[[listener]]\naddress = \"fd://\"\nallow = [\"inof\"]\n")]);
    let failed = web.systemd.try_systemctl(&format!("start {WEB}"));
    assert!(failed.contains("failed"), "{failed}");
    assert_eq!(web.systemd.property(WEB, "ExecMainStatus"), "2");
    assert_eq!(web.systemd.property(WEB, "NRestarts"), "0");
    web.systemd.until_logged(WEB, "inof");
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn when_the_socket_is_stopped_its_file_goes() {
    let web = Instance::boot(&[]);
    assert_eq!(http::get(&web.socket, "/info").text(), "ok");
    web.systemd.systemctl(&format!("stop {WEB}"));
    assert!(web.socket.exists(), "the service has not removed it");
    web.systemd.systemctl(&format!("stop {WEB_SOCKET}"));
    assert!(!web.socket.exists());
}

#[cfg(feature = "tls")]
#[test]
#[ignore = "needs root and systemd: tests/run"]
fn keys_that_only_root_may_read_reach_it_as_credentials() {
    use crate::support::files::set_mode;
    use crate::support::tls::Pki;
    use crate::support::tools::free_port;
    const TLS: &str = include_str!("../../../examples/docker-proxy-acl@.service.d/tls.conf");
    let (pki, port) = (Pki::new(), free_port());
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let server = pki.server();
    let web = Instance::boot(&[
        ("docker-proxy-acl/web.tls/ca.pem", &text(server.ca())),
        ("docker-proxy-acl/web.tls/cert.pem", &text(server.cert())),
        ("docker-proxy-acl/web.tls/key.pem", &text(server.key())),
        (WEB_TOML, &format!("{ALLOWS_INFO}tls = {{ verify = true }}\n")),
        ("systemd/system/docker-proxy-acl@web.service.d/tls.conf", TLS),
        (
            "systemd/system/docker-proxy-acl@web.socket.d/tcp.conf",
            &format!("[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n"),
        ),
    ]);
    set_mode(&web.systemd.path("/etc/docker-proxy-acl/web.tls"), 0o700);
    let session = rustls::ClientConnection::new(pki.alice().client_config(), "localhost".try_into().unwrap());
    let mut client = rustls::StreamOwned::new(session.unwrap(), http::connect_tcp(port));
    let sent = client.write_all(http::GET_INFO);
    assert!(sent.is_ok(), "{sent:?}: {}", web.systemd.journal(WEB));
    http::read_until(&mut client, |all| all.ends_with(b"ok"));
    web.systemd.until_logged(WEB, "tls=\"clients with a certificate\"");
    let journal = web.systemd.journal(WEB);
    assert!(!journal.contains("WARN"), "{journal}");
}

#[test]
#[ignore = "needs root and systemd: tests/run"]
fn the_unit_without_a_socket_of_systemd_s_makes_its_own() {
    const UNIT: &str = include_str!("../../../examples/docker-proxy-acl.service");
    let engine = Mock::answering(OK);
    let systemd = Systemd::boot(&engine, &[("systemd/system/docker-proxy-acl.service", UNIT)]);
    systemd.systemctl("start docker-proxy-acl");
    let socket = systemd.path("/run/docker-proxy-acl/docker.sock");
    assert_eq!(http::get(&socket, "/info").text(), "ok");
    assert_eq!(mode(&socket), 0o660);
    systemd.systemctl("stop docker-proxy-acl");
    assert!(!socket.exists());
}
