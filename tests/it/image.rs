//! The image is built by `./run` where only Docker is, and works as a sidecar.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, RwLockReadGuard};

use crate::support::engine::{Engine, docker_cli, docker_command};
use crate::support::http;
use crate::support::machine;
use crate::support::process::signal;
use crate::support::tools::{stdout, until_accepting, without_docker_variables};
use crate::support::until;

pub const IMAGE: &str = "docker-proxy-acl";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Loads a stand-in for the image that the Dockerfile builds with, made of this machine's own parts.
fn load_builder(engine: &Engine) {
    let mut parts = Command::new(project().join("tests/it/support/builder-image"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let loaded = docker_command(engine.socket())
        .args([
            "import",
            "-c",
            "ENV PATH=/rust/bin:/usr/bin CARGO_HOME=/cargo CARGO_NET_OFFLINE=true",
            "-",
            "builder",
        ])
        .stdin(parts.stdout.take().unwrap())
        .output()
        .unwrap();
    stdout(loaded);
    assert!(parts.wait().unwrap().success());
}

/// What a machine that has only Docker has on its path: Debian's commands, and no cargo.
fn path_without_cargo(directory: &Path) -> PathBuf {
    let bin = directory.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for command in ["sh", "sed", "dirname"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(command), bin.join(command)).unwrap();
    }
    std::os::unix::fs::symlink("/usr/bin/docker", bin.join("docker")).unwrap();
    bin
}

/// Makes the engine that of the Docker CLI's context, as rootless Docker has it.
fn use_in_context(engine: &Engine, config: &Path) {
    for words in [
        &["create", "here", "--docker", &format!("host=unix://{}", engine.socket().display())][..],
        &["use", "here"],
    ] {
        let mut docker = docker_cli();
        docker.env("DOCKER_CONFIG", config).arg("context").args(words);
        stdout(docker.output().unwrap());
    }
}

/// Runs `./run` with only Docker at hand until it listens; the image is there afterwards.
fn run_with_only_docker(engine: &Engine) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("docker.sock");
    use_in_context(engine, directory.path());
    let mut run = without_docker_variables(Command::new(project().join("run")))
        .args(["-a", "version"])
        .env("PATH", path_without_cargo(directory.path()))
        .env("DOCKER_CONFIG", directory.path())
        .env("SOCKET_DIR", directory.path())
        .env("BUILDER", "builder")
        .env("BUILD_NETWORK", "none")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let start = std::time::Instant::now();
    while !socket.exists() {
        assert!(run.try_wait().unwrap().is_none(), "./run ended");
        assert!(start.elapsed().as_secs() < 1800, "./run takes too long");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    until_accepting(&socket);
    assert_eq!(http::get(&socket, "/version").status(), 200);
    assert_eq!(http::get(&socket, "/info").status(), 404);
    signal(run.id(), "TERM");
    assert!(run.wait().unwrap().success());
    assert!(!socket.exists(), "the container removes its socket");
}

/// The engine with the image, built once: which takes every processor for minutes, and each test of it
/// makes containers.
pub fn engine_with_image() -> (Engine, RwLockReadGuard<'static, ()>) {
    static BUILT: OnceLock<()> = OnceLock::new();
    let machine = machine::disturbing();
    let engine = Engine::shared();
    BUILT.get_or_init(|| {
        load_builder(&engine);
        run_with_only_docker(&engine);
    });
    (engine, machine)
}

/// A container that is removed when dropped.
struct Container<'a>(&'a Engine, String);

impl<'a> Container<'a> {
    fn run(engine: &'a Engine, args: &[&str]) -> Self {
        let id = stdout(engine.docker(&[&["run", "-d", "--network", "none"], args].concat()));
        Self(engine, id.trim().to_owned())
    }

    fn inspect(&self, format: &str) -> String {
        stdout(self.0.docker(&["inspect", "-f", format, &self.1])).trim().to_owned()
    }

    fn logs(&self) -> String {
        stdout(self.0.docker(&["logs", &self.1]))
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.0.docker(&["rm", "-f", &self.1]);
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn run_builds_and_runs_the_image_where_only_docker_is() {
    let (engine, _machine) = engine_with_image();
    let files = stdout(engine.docker(&[
        "image",
        "inspect",
        "-f",
        "{{len .RootFS.Layers}} {{.Config.Entrypoint}}",
        IMAGE,
    ]));
    assert_eq!(files.trim(), "1 [/docker-proxy-acl]", "one file from scratch");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn a_container_beside_it_reads_and_only_reads() {
    let (engine, _machine) = engine_with_image();
    let mount = format!("{}:/var/run/docker.sock", engine.socket().display());
    let sidecar = Container::run(
        &engine,
        &[
            "-v",
            &mount,
            "-v",
            "sidecar:/acl",
            "--health-interval",
            "1s",
            IMAGE,
            "-a",
            "containers",
            "--listen",
            "/acl/docker.sock",
        ],
    );
    until("the sidecar listens", || sidecar.logs().contains("Listening on /acl/docker.sock"));
    let ask = |request: &str| {
        let script = format!("printf '{request} HTTP/1.0\\r\\n\\r\\n' | /bin/nc -N -U /acl/docker.sock");
        stdout(engine.docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "sidecar:/acl",
            "busybox",
            "/bin/sh",
            "-c",
            &script,
        ]))
    };
    let listed = ask("GET /containers/json");
    assert!(listed.starts_with("HTTP/1.0 200 OK") && listed.contains("\"/web\""), "{listed}");
    assert!(ask("GET /version").starts_with("HTTP/1.0 404 "));
    assert!(ask("POST /containers/json").starts_with("HTTP/1.0 400 "));
    assert!(ask("POST /containers/web/stop").starts_with("HTTP/1.0 400 "));
    // The client is in a PID namespace of its own, so its process has no number here.
    assert!(sidecar.logs().contains("client.uid=0 client.pid=0"), "{}", sidecar.logs());
    until("the healthcheck finds it healthy", || sidecar.inspect("{{.State.Health.Status}}") == "healthy");
    stdout(engine.docker(&["stop", &sidecar.1]));
    assert_eq!(sidecar.inspect("{{.State.ExitCode}}"), "0");
    drop(sidecar);
    stdout(engine.docker(&["volume", "rm", "sidecar"]));
}

/// A stand-in for the image `docker:cli`, made of Debian's client.
fn load_cli(engine: &Engine) {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"
        set -e
        mkdir -p usr/bin
        cp /usr/bin/docker usr/bin/
        ldd /usr/bin/docker | grep -o '/lib[^ ]*' | while read -r library; do
            mkdir -p ".$(dirname "$library")"
            cp -L "$library" ".$library"
        done
        tar -c . | docker import -c 'ENV PATH=/usr/bin' - docker:cli
    "#;
    sh(engine, directory.path(), script);
}

/// Runs a shell script with the engine as `DOCKER_HOST`; what it printed.
fn sh(engine: &Engine, directory: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()))
        .env("DOCKER_CONFIG", "/nonexistent")
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    stdout(output)
}

/// A recipe with the engine of the test for the one that it speaks of.
fn with_engine(engine: &Engine, recipe: &str) -> String {
    let (theirs, ours) = ("/var/run/docker.sock:", format!("{}:", engine.socket().display()));
    assert!(recipe.contains(theirs), "{recipe}");
    recipe.replacen(theirs, &ours, 1)
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_recipe_with_docker_run_goes_as_written() {
    let (engine, _machine) = engine_with_image();
    load_cli(&engine);
    let page = include_str!("../../docs/install.md").split("## With `docker run`").nth(1).unwrap();
    let (start, client) = page.split("```").nth(1).unwrap().trim().split_once("\n\n").unwrap();
    sh(&engine, project(), &with_engine(&engine, start));
    let acl = Container(&engine, "acl".to_owned());
    until("it listens", || acl.logs().contains("Listening on /acl/docker.sock"));
    let listed = sh(&engine, project(), client);
    assert!(listed.contains("web") && listed.contains("busybox"), "{listed}");
    drop(acl);
    stdout(engine.docker(&["volume", "rm", "acl"]));
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_recipe_with_compose_goes_as_written() {
    let (engine, _machine) = engine_with_image();
    load_cli(&engine);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("compose.yaml");
    std::fs::write(&file, with_engine(&engine, include_str!("../../examples/compose.yaml"))).unwrap();
    let compose = |what: &str| {
        sh(&engine, directory.path(), &format!("docker-compose -p recipe -f compose.yaml {what} 2>&1"))
    };
    compose("up -d --no-build");
    until("the consumer watches", || engine.calls().iter().any(|call| call.ends_with("/events")));
    stdout(engine.docker(&["volume", "create", "seen-by-consumer"]));
    until("the consumer has seen it", || compose("logs consumer").contains("seen-by-consumer"));
    compose("down -v");
    stdout(engine.docker(&["volume", "rm", "seen-by-consumer"]));
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn under_docker_s_own_profile_its_sandbox_holds_also_as_another_user() {
    let (engine, _machine) = engine_with_image();
    let mount = format!("{}:/var/run/docker.sock", engine.socket().display());
    let container = Container::run(
        &engine,
        &["-v", &mount, "--health-interval", "1s", IMAGE, "-a", "info", "--user", "1000"],
    );
    until("it listens", || container.logs().contains("Listening on"));
    let logs = container.logs();
    assert!(logs.contains("sandbox: no-new-privs, landlock ABI "), "{logs}");
    assert!(logs.contains(", seccomp "), "{logs}");
    // The container's root, who runs the healthcheck, is no longer the user of what it checks.
    until("the healthcheck finds it healthy", || container.inspect("{{.State.Health.Status}}") == "healthy");
    stdout(engine.docker(&["stop", &container.1]));
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn under_a_profile_that_forbids_landlock_it_says_so_and_goes_on() {
    let (engine, _machine) = engine_with_image();
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile.json");
    std::fs::write(
        &profile,
        r#"{"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO"}]}"#,
    )
    .unwrap();
    let option = format!("seccomp={}", profile.display());
    let container = Container::run(&engine, &["--security-opt", &option, IMAGE, "-a", "info"]);
    until("it listens", || container.logs().contains("Listening on"));
    let logs = container.logs();
    assert!(logs.contains("WARN sandbox: no-new-privs, no landlock ("), "{logs}");
    assert!(logs.contains("), seccomp "), "{logs}");
}
