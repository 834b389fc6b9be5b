//! The program of `sandbox/attempt.rs`, which attempts one thing, or starts a program on a kernel that lacks
//! something.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `SO_PASSRIGHTS`.
const OPTION: &str = "83";

/// The program that makes attempts, built by the cargo that built this test: without `--test` it has built
/// it already, and there is nothing left to do.
pub fn attempt_program() -> &'static Path {
    static ATTEMPT: OnceLock<PathBuf> = OnceLock::new();
    ATTEMPT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--offline", "--message-format=json"]);
        cargo.args(["--example", "sandbox_attempt"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if cfg!(not(feature = "tls")) {
            cargo.arg("--no-default-features");
        }
        // What cargo tells a test of its package would make the build scripts of others run again.
        let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _) in std::env::vars().filter(|(name, _)| of_package(name)) {
            cargo.env_remove(name);
        }
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
        let example =
            messages.map(Result::unwrap).find(|message| message["target"]["name"] == "sandbox_attempt");
        example.expect("cargo names what it built")["executable"].as_str().unwrap().into()
    })
}

/// What to start a program with, so that it cannot refuse file descriptors, as on kernels before 6.16.
pub fn on_an_older_kernel() -> [&'static str; 3] {
    [attempt_program().to_str().unwrap(), "without-option", OPTION]
}
