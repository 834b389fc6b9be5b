//! Promises of the access log: every request is one line of JSON, none is lost when the file is put aside, and nobody
//! waits for it.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::files::set_mode;
use crate::support::metrics::{Metrics, with_admin};
use crate::support::mock::{Mock, OK};
use crate::support::process::status;
use crate::support::proxy::{Builder, Proxy};
use crate::support::{eventually, until};

fn with_access_log(builder: Builder, file: &Path) -> Builder {
    builder.args(["--access-log".as_ref(), file.as_os_str()])
}

/// The lines of a file, each of which is to be an object; none if there is no file.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// Waits until the file has this many lines, and gives them.
fn until_lines(file: &Path, count: usize) -> Vec<Value> {
    eventually(&format!("{} has {count} lines", file.display()), || {
        Some(lines(file)).filter(|lines| lines.len() >= count)
    })
}

#[test]
fn every_request_is_one_line_whatever_the_level_of_the_log() {
    const DENIED: usize = 50; // more than the log has lines for
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let level = ["--log-level", "error"];
    let proxy =
        with_access_log(Proxy::builder(engine.socket()).allow("info").args(level).quiet(), &file).start();
    proxy.get("/v1.41/info?token=hush");
    (0..DENIED).for_each(|_| drop(proxy.get("/version?token=hush")));
    proxy.raw("nonsense\r\n\r\n");
    let lines = until_lines(&file, DENIED + 2);
    assert_eq!(lines.len(), DENIED + 2);
    let first = &lines[0];
    for (field, value) in [
        ("listener", Value::from(proxy.socket().to_str().unwrap())),
        ("client.uid", rustix::process::getuid().as_raw().into()),
        ("client.pid", std::process::id().into()),
        ("method", "GET".into()),
        ("path", "/v1.41/info".into()),
        ("endpoint", "info".into()),
        ("outcome", "allowed".into()),
        ("status", 200.into()),
        ("bytes", 2.into()),
        ("ended", "complete".into()),
        ("left_out", "token".into()),
    ] {
        assert_eq!(first[field], value, "{field} of {first}");
    }
    assert!(first["head_ms"].as_f64() <= first["duration_ms"].as_f64(), "{first}");
    let time = humantime::parse_rfc3339(first["time"].as_str().unwrap()).unwrap();
    assert!(time.elapsed().unwrap() < crate::support::TIMEOUT, "{first}");
    assert!(lines[1..=DENIED].iter().all(|line| line["outcome"] == "denied" && line["status"] == 404));
    assert_eq!(lines[DENIED + 1]["outcome"], "rejected");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("hush"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn it_says_how_a_request_ended() {
    let engine = Mock::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let proxy = with_access_log(Proxy::builder(engine.socket()).allow("info"), &file).start();
    proxy.raw("GET /info HTTP/1.1\r\nHost: x\r\n\r\n");
    let line = &until_lines(&file, 1)[0];
    assert_eq!((&line["ended"], &line["bytes"]), (&"upstream_aborted".into(), &4.into()), "{line}");
}

#[test]
fn no_line_is_lost_or_torn_when_the_file_is_put_aside_again_and_again() {
    const ROTATIONS: usize = 10;
    const CLIENTS: usize = 4;
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let file = at("access.log");
    let proxy =
        with_access_log(Proxy::builder(engine.socket()).allow("containers:inspect").quiet(), &file).start();
    let done = AtomicBool::new(false);
    let ask = |client: usize| {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            assert_eq!(proxy.get(&format!("/containers/{client}-{count}/json")).status(), 200);
            count += 1;
        }
        count
    };
    let asked: usize = std::thread::scope(|scope| {
        let ask = &ask;
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || ask(client))).collect();
        for rotation in 0..ROTATIONS {
            until_lines(&file, 1);
            std::fs::rename(&file, at(&format!("access.log.{rotation}"))).unwrap();
            proxy.signal("HUP");
            until("the file is there again", || file.exists());
        }
        until_lines(&file, 1);
        done.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    let all = || {
        let rotated = (0..ROTATIONS).map(|rotation| at(&format!("access.log.{rotation}")));
        rotated.chain([file.clone()]).flat_map(|file| lines(&file)).collect::<Vec<_>>()
    };
    until("every request has its line", || all().len() >= asked);
    let paths: Vec<String> = all().iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths.len(), asked);
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), asked, "each once");
    assert_eq!(status(proxy.pid(), "Seccomp"), "2", "the sandbox was in force");
}

#[test]
fn a_file_that_cannot_be_opened_anew_is_said_and_the_old_one_goes_on() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let (file, aside) = (directory.path().join("access.log"), directory.path().join("aside"));
    let proxy = with_access_log(Proxy::builder(engine.socket()).allow("info"), &file).start();
    proxy.get("/info");
    until_lines(&file, 1);
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    proxy.signal("HUP");
    proxy.logged(&["ERROR access log ", "not a regular file", "its lines still go where they went"]);
    proxy.get("/info");
    until_lines(&aside, 2);
    std::fs::remove_dir(&file).unwrap();
    proxy.signal("HUP");
    proxy.logged(&["the access log was opened anew"]);
    proxy.get("/info");
    until_lines(&file, 1);
}

#[test]
fn a_file_that_cannot_be_written_to_ends_the_start_and_says_why() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("file"), "untouched").unwrap();
    symlink("file", at("link")).unwrap();
    for (path, part) in [
        (at("missing/access.log"), "cannot open its directory"),
        (at("link"), "not a regular file"),
        (directory.path().to_owned(), "not a regular file"),
        ("/dev/null".into(), "not a regular file"),
    ] {
        let mut proxy = with_access_log(Proxy::builder(engine.socket()).allow("info"), &path).spawn();
        assert_eq!(proxy.wait().code(), Some(1), "{}", path.display());
        proxy.logged(&["access log ", part]);
        assert!(!proxy.socket().exists(), "it leaves no socket");
    }
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "untouched");
}

#[test]
fn lines_that_a_full_disk_does_not_take_are_counted_and_no_request_fails() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let full = ["sh", "-c", "ulimit -f 2 && exec \"$@\"", "sh"];
    let proxy = with_access_log(with_admin(Proxy::builder(engine.socket()).allow("info")), &file)
        .under(&full)
        .start();
    (0..40).for_each(|_| assert_eq!(proxy.get("/info").text(), "ok"));
    proxy.logged(&["ERROR the access log cannot be written", "access.log"]);
    let dropped = || {
        Metrics::of(&proxy).sum("docker_proxy_acl_log_lines_dropped_total", &[r#"log="access_log""#]) as usize
    };
    until("all are written or counted", || lines(&file).len() + dropped() == 40);
    assert!(!lines(&file).is_empty() && dropped() > 0);
}

#[test]
fn on_standard_output_its_lines_stand_whole_among_those_of_the_log() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").args(["--access-log", "-"]).start();
    (0..30).for_each(|_| drop(proxy.get("/info")));
    let objects = || proxy.log().into_iter().filter(|line| line.starts_with('{')).collect::<Vec<_>>();
    until("all are there", || objects().len() == 30);
    for line in objects() {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(line["endpoint"], "info");
    }
    let debug = |line: &String| line.starts_with("DEBUG allowed ");
    until("the log has its own", || proxy.log().iter().filter(|line| debug(line)).count() == 30);
    proxy.signal("HUP");
    proxy.logged(&["nothing to reload"]);
}

#[test]
fn lines_that_wait_at_the_end_are_written() {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let mut proxy = with_access_log(Proxy::builder(engine.socket()).allow("info"), &file).start();
    (0..100).for_each(|_| drop(proxy.get("/info")));
    proxy.signal("TERM");
    assert!(proxy.wait().success());
    assert_eq!(lines(&file).len(), 100);
}

#[test]
#[ignore = "needs root: tests/run"]
fn it_belongs_to_the_user_that_the_program_becomes_and_is_opened_anew_by_that_user() {
    const USER: u32 = 54321;
    let engine = Mock::answering(OK);
    set_mode(engine.socket().parent().unwrap(), 0o755);
    set_mode(engine.socket(), 0o666);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let builder = || {
        let builder = Proxy::builder(engine.socket()).allow("info").args(["--user", &USER.to_string()]);
        set_mode(builder.socket().parent().unwrap().parent().unwrap(), 0o755);
        with_access_log(builder, &file)
    };
    let mut refused = builder().spawn();
    assert_eq!(refused.wait().code(), Some(1));
    refused.logged(&["cannot open it to append", "by the user that the program runs as"]);
    chown(directory.path(), Some(USER), None).unwrap();
    let proxy = builder().start();
    proxy.get("/info");
    until_lines(&file, 1);
    std::fs::rename(&file, directory.path().join("aside")).unwrap();
    proxy.signal("HUP");
    proxy.logged(&["the access log was opened anew"]);
    proxy.get("/info");
    until_lines(&file, 1);
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&file).unwrap()), USER);
}
