//! A stand-in for the image that the Dockerfile builds with, where no registry can be reached; and what comes of it.

use std::path::Path;
use std::process::{Command, Stdio};

use super::engine::{Engine, docker_command};
use super::tools::stdout;

/// Loads it under a name, made of this machine's own parts: cargo and a C compiler.
pub fn load_builder(engine: &Engine, name: &str) {
    import(engine, name, "/rust/bin:/usr/bin", &mut parts());
}

/// The same with Rust and a C compiler for arm64 before them, out of the folder of `tests/aarch64`.
pub fn load_cross_builder(engine: &Engine, name: &str, folder: &Path) {
    import(engine, name, "/aarch64/bin:/rust/bin:/usr/bin", parts().arg(folder));
}

fn parts() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/builder-image"))
}

fn import(engine: &Engine, name: &str, path: &str, parts: &mut Command) {
    let mut parts = parts.stdout(Stdio::piped()).spawn().unwrap();
    let variables = format!("ENV PATH={path} CARGO_HOME=/cargo CARGO_NET_OFFLINE=true");
    let loaded = docker_command(engine.socket())
        .args(["import", "-c", &variables, "-", name])
        .stdin(parts.stdout.take().unwrap())
        .output()
        .unwrap();
    stdout(loaded);
    assert!(parts.wait().unwrap().success());
}

/// Copies the program out of an image, into a directory.
pub fn take_program(engine: &Engine, image: &str, directory: &Path) {
    let container = stdout(engine.docker(&["create", image]));
    let program = format!("{}:/docker-proxy-acl", container.trim());
    stdout(engine.docker(&["cp", &program, directory.to_str().unwrap()]));
    stdout(engine.docker(&["rm", container.trim()]));
}
