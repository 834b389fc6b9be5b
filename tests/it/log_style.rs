//! The log of text is for whoever reads it: colours for a terminal, priorities for journald, neither for others.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use crate::support::mock::{Mock, OK};
use crate::support::process;
use crate::support::proxy::{PROGRAM, Proxy, program};
use crate::support::{eventually, until};

/// A refused request, by a program whose standard output is a terminal; what stands on it.
fn on_a_terminal(variables: &[(&str, &str)]) -> String {
    let engine = Mock::answering(OK);
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    let command = format!(
        "exec {} -a info --listen {} --upstream {}",
        PROGRAM.as_str(),
        socket.display(),
        engine.socket().display()
    );
    let typescript = directory.path().join("typescript");
    let mut script = Command::new("script");
    script.args(["-qfec", &command]).arg(&typescript).env_remove("NO_COLOR").env("TERM", "xterm");
    script.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = script.spawn().unwrap();
    until("it listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    crate::support::http::get(&socket, "/version");
    let text = eventually("the refusal is logged", || {
        let text = std::fs::read_to_string(&typescript).unwrap_or_default();
        text.contains("path=\"/version\"").then_some(text)
    });
    process::terminate(&mut child);
    text
}

#[test]
fn levels_have_colours_on_a_terminal_unless_the_environment_says_no() {
    let coloured = "\x1b[33mWARN\x1b[0m denied status=404";
    let plain = "\nWARN denied status=404";
    assert!(on_a_terminal(&[]).contains(coloured));
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let text = on_a_terminal(&[variable]);
        assert!(text.contains(plain) && !text.contains('\x1b'), "{variable:?}: {text}");
    }
    assert!(on_a_terminal(&[("NO_COLOR", "")]).contains(coloured), "an empty variable is none");
}

#[test]
fn there_is_no_colour_where_no_terminal_is() {
    let engine = Mock::answering(OK);
    let proxy = Proxy::builder(engine.socket()).allow("info").env("TERM", "xterm").start();
    proxy.get("/version");
    proxy.logged(&["WARN denied"]);
    assert!(
        proxy.log().iter().all(|line| !line.contains('\x1b') && !line.starts_with('<')),
        "{:#?}",
        proxy.log()
    );
}

#[test]
fn lines_have_priorities_where_journald_reads_them_and_only_there() {
    for (other, warning, listening) in [(0, "<4>WARN denied ", "<6>["), (1, "WARN denied ", "[")] {
        let engine = Mock::answering(OK);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("docker.sock");
        // A file stands for journald's socket: what counts is that its numbers are those of standard output.
        let output = std::fs::File::create(directory.path().join("journal")).unwrap();
        let stream = output.metadata().unwrap();
        let mut command = program();
        command.args(["-a", "info", "--listen"]).arg(&socket).arg("--upstream").arg(engine.socket());
        command.env("JOURNAL_STREAM", format!("{}:{}", stream.dev(), stream.ino() + other)).stdout(output);
        let mut child = command.spawn().unwrap();
        until("it listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        crate::support::http::get(&socket, "/version");
        let text = eventually("the refusal is logged", || {
            let text = std::fs::read_to_string(directory.path().join("journal")).unwrap();
            text.contains("path=\"/version\"").then_some(text)
        });
        process::terminate(&mut child);
        let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
        assert!(begins(warning) && begins(&format!("{listening}docker-proxy-acl] Listening")), "{text}");
        assert_eq!(begins("<"), other == 0, "{text}");
    }
}
