//! `certs` makes what a listener and its clients need, safely, and says what is about to expire.

use std::path::Path;

use crate::support::files::mode;
use crate::support::proxy::PROGRAM;
use crate::support::tls::{EXPIRED, Pki, certs};
use crate::support::tools::{combined_output, openssl};

#[test]
fn openssl_finds_keys_usages_names_and_validity_right() {
    let pki = Pki::new();
    for (file, purpose) in [("server/cert.pem", "sslserver"), ("clients/alice/cert.pem", "sslclient")] {
        let verified =
            openssl(pki.path(), &format!("verify -x509_strict -CAfile ca.pem -purpose {purpose} {file}"));
        assert_eq!(verified, format!("{file}: OK\n"));
    }
    let ca = openssl(pki.path(), "x509 -in ca.pem -noout -text");
    for part in [
        "CA:TRUE, pathlen:0",
        "Key Usage: critical\n                Certificate Sign, CRL Sign",
        "prime256v1",
    ] {
        assert!(ca.contains(part), "{part}: {ca}");
    }
    let server = openssl(pki.path(), "x509 -in server/cert.pem -noout -text");
    for part in [
        "Version: 3",
        "prime256v1",
        "ecdsa-with-SHA256",
        "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        "Extended Key Usage: \n                TLS Web Server Authentication\n",
        "Key Usage: critical\n                Digital Signature\n",
        "CA:FALSE",
    ] {
        assert!(server.contains(part), "{part}: {server}");
    }
    let alice = openssl(pki.path(), "x509 -in clients/alice/cert.pem -noout -text");
    for part in [
        "Subject: CN = alice",
        "Extended Key Usage: \n                TLS Web Client Authentication\n",
        "CA:FALSE",
    ] {
        assert!(alice.contains(part), "{part}: {alice}");
    }
}

#[test]
fn each_has_a_key_of_its_own_that_only_its_owner_reads() {
    let pki = Pki::new();
    pki.certs(&["client", "bob"]);
    let keys = ["ca-key.pem", "server/key.pem", "clients/alice/key.pem", "clients/bob/key.pem"];
    let mut texts: Vec<String> = Vec::new();
    for key in keys {
        assert_eq!(mode(&pki.path().join(key)), 0o600, "{key}");
        texts.push(std::fs::read_to_string(pki.path().join(key)).unwrap());
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), keys.len());
    for directory in ["server", "clients", "clients/alice", "clients/bob"] {
        assert_eq!(mode(&pki.path().join(directory)), 0o700, "{directory}");
    }
    assert!(!pki.server().0.join("ca-key.pem").exists());
}

/// By the system calls: no file is made wider and then narrowed.
#[test]
fn a_key_is_never_readable_by_others_not_even_for_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let output = std::process::Command::new("strace")
        .args(["-f", "-o"])
        .arg(&trace)
        .args(["-e", "trace=open,openat,creat,chmod,fchmod,fchmodat,umask", PROGRAM.as_str()])
        .args(["certs", "init", "--host", "localhost", "--dir"])
        .arg(directory.path().join("pki"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let keys: Vec<&str> =
        trace.lines().filter(|line| line.contains("key.pem\"")).filter(|l| l.contains("O_CREAT")).collect();
    assert_eq!(keys.len(), 2, "{trace}");
    assert!(keys.iter().all(|line| line.contains("O_CREAT|O_EXCL") && line.contains(", 0600)")), "{keys:?}");
    assert!(!trace.contains("chmod") && !trace.contains("umask"), "{trace}");
}

#[test]
fn nothing_is_ever_overwritten() {
    let pki = Pki::new();
    let before: Vec<_> = everything(pki.path());
    for args in [vec!["init", "--host", "other"], vec!["client", "alice"]] {
        let output = certs(pki.path(), &args);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            combined_output(&output).contains("is there already, and nothing is ever overwritten"),
            "{}",
            combined_output(&output)
        );
    }
    assert_eq!(everything(pki.path()), before);
}

/// A command that fails half-way leaves nothing half-made behind.
#[test]
fn what_cannot_be_finished_leaves_nothing() {
    let pki = Pki::new();
    let bob = pki.path().join("clients/bob");
    std::fs::create_dir(&bob).unwrap();
    std::fs::write(bob.join("cert.pem"), "mine").unwrap();
    assert_eq!(certs(pki.path(), &["client", "bob"]).status.code(), Some(1));
    assert!(!bob.join("key.pem").exists());
    assert_eq!(std::fs::read_to_string(bob.join("cert.pem")).unwrap(), "mine");
}

fn everything(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(everything(&path)),
            path => found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_certificate_is_renewed_by_moving_the_old_one_away() {
    let pki = Pki::new();
    let ca = std::fs::read(pki.ca()).unwrap();
    std::fs::remove_file(pki.server().cert()).unwrap();
    std::fs::remove_file(pki.server().key()).unwrap();
    pki.certs(&["init", "--host", "localhost,renewed.example"]);
    assert_eq!(std::fs::read(pki.ca()).unwrap(), ca);
    let verified =
        openssl(pki.path(), "verify -CAfile ca.pem -verify_hostname renewed.example server/cert.pem");
    assert_eq!(verified, "server/cert.pem: OK\n");
}

#[test]
fn validity_is_825_days_or_what_days_says() {
    let pki = Pki::new();
    pki.certs(&["client", "brief", "--days", "5"]);
    let ends_within = |file: &str, days: u32| {
        let seconds = days * 24 * 3600;
        let mut command = std::process::Command::new("openssl");
        command.args(["x509", "-noout", "-checkend", &seconds.to_string(), "-in"]).arg(pki.path().join(file));
        !command.output().unwrap().status.success()
    };
    assert!(!ends_within("server/cert.pem", 824) && ends_within("server/cert.pem", 826));
    assert!(!ends_within("clients/alice/cert.pem", 824) && ends_within("clients/alice/cert.pem", 826));
    assert!(!ends_within("clients/brief/cert.pem", 4) && ends_within("clients/brief/cert.pem", 6));
    assert!(!ends_within("ca.pem", 3649) && ends_within("ca.pem", 3651));
    assert_eq!(certs(pki.path(), &["client", "forever", "--days", "36500"]).status.code(), Some(2));
}

#[test]
fn show_prints_subject_names_and_validity() {
    let pki = Pki::new();
    let output = certs(pki.path(), &["show"]);
    assert_eq!(output.status.code(), Some(0));
    let text = combined_output(&output);
    for part in [
        "ca.pem\n  subject  CN=docker-proxy-acl CA of localhost\n  for      signing certificates\n  valid    20",
        "clients/alice/cert.pem\n  subject  CN=alice\n  for      clients\n  valid    20",
        "server/cert.pem\n  subject  CN=localhost\n  for      servers\n  names    localhost, 127.0.0.1, ::1\n",
        "nothing expires within 30 days\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The CA's copies are one certificate.
    assert_eq!(text.matches("signing certificates").count(), 1, "{text}");
}

#[test]
fn show_says_what_has_expired_and_what_is_about_to() {
    let pki = Pki::new();
    pki.certs(&["client", "brief", "--days", "5"]);
    pki.issue_custom("late", EXPIRED, "basicConstraints=CA:FALSE");
    let output = certs(pki.path(), &["show"]);
    assert_eq!(output.status.code(), Some(1));
    let text = combined_output(&output);
    assert!(text.contains("clients/brief/cert.pem expires in 4 days\n"), "{text}");
    assert!(text.contains("late/cert.pem has expired\n"), "{text}");
}

#[test]
fn what_is_not_there_is_said() {
    let directory = tempfile::tempdir().unwrap();
    for (args, part) in [
        (vec!["client", "alice"], "make a CA first, with 'docker-proxy-acl certs init'"),
        (vec!["show"], "has no certificates"),
    ] {
        let output = certs(directory.path(), &args);
        assert_eq!(output.status.code(), Some(1));
        assert!(combined_output(&output).contains(part), "{}", combined_output(&output));
    }
    for args in [vec!["init"], vec!["init", "--host", "a b"], vec!["client", "../eve"], vec!["client", ".x"]]
    {
        assert_eq!(certs(directory.path(), &args).status.code(), Some(2), "{args:?}");
    }
    assert!(everything(directory.path()).is_empty());
}
