//! The image is built by `./run` where only Docker is, and works as a sidecar.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, RwLockReadGuard};

use crate::support::builder::{load_builder, take_program};
use crate::support::engine::{Engine, docker_cli};
use crate::support::http;
use crate::support::machine;
use crate::support::process::{self, signal};
use crate::support::tools::{stdout, until_accepting, without_docker_variables};
use crate::support::until;

pub const IMAGE: &str = "docker-proxy-acl";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
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
        load_builder(&engine, "builder");
        run_with_only_docker(&engine);
    });
    (engine, machine)
}

/// A container that is removed when dropped.
pub struct Container<'a>(&'a Engine, String);

impl<'a> Container<'a> {
    pub fn run(engine: &'a Engine, args: &[&str]) -> Self {
        let id = stdout(engine.docker(&[&["run", "-d", "--network", "none"], args].concat()));
        Self(engine, id.trim().to_owned())
    }

    pub fn id(&self) -> &str {
        &self.1
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
    let labels = stdout(engine.docker(&["image", "inspect", "-f", "{{json .Config.Labels}}", IMAGE]));
    let expected = [
        ("title", env!("CARGO_PKG_NAME")),
        ("description", env!("CARGO_PKG_DESCRIPTION")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("version", env!("CARGO_PKG_VERSION")),
    ]
    .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()));
    let labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap();
    assert_eq!(labels, BTreeMap::from(expected));
}

/// Beside the build in the image: in another directory, with the crates and the toolchain at other places.
#[test]
#[ignore = "needs an engine: tests/run"]
fn another_build_of_the_same_sources_is_the_same_file() {
    let (engine, _machine) = engine_with_image();
    let (elsewhere, of_the_image) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    take_program(&engine, IMAGE, of_the_image.path());
    let sources = include_str!("../../.dockerignore").lines().filter_map(|line| line.strip_prefix('!'));
    let mut copy = Command::new("cp");
    copy.args(["-r", "--parents"]).args(sources).arg(elsewhere.path()).current_dir(project());
    stdout(copy.output().unwrap());
    let mut build = Command::new(elsewhere.path().join("build-static"));
    let built = stdout(build.env_remove("CARGO_TARGET_DIR").output().unwrap());
    let files = [Path::new(built.trim()), &of_the_image.path().join("docker-proxy-acl")];
    let [one, other] = files.map(|file| std::fs::read(file).unwrap());
    assert!(one == other, "{} bytes and {}: cmp(1) tells where they differ", one.len(), other.len());
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
    let (theirs, ours) = ("/var/run/docker.sock", engine.socket().display().to_string());
    let mount = |socket: &str| format!("{socket}:{theirs}");
    assert!(recipe.contains(&mount(theirs)), "{recipe}");
    let group = |socket: &str| format!("stat -c %g {socket})");
    recipe.replacen(&mount(theirs), &mount(&ours), 1).replace(&group(theirs), &group(&ours))
}

/// For recipes, which name their containers and volumes alike: one at a time.
fn names() -> MutexGuard<'static, ()> {
    static NAMES: Mutex<()> = Mutex::new(());
    NAMES.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The commands of a section of the page: its first block.
fn recipe_of(heading: &str) -> &'static str {
    let section = include_str!("../../docs/install.md").split(heading).nth(1).unwrap();
    section.split("```").nth(1).unwrap().trim()
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_recipe_with_docker_run_goes_as_written() {
    let (engine, _machine) = engine_with_image();
    let _names = names();
    load_cli(&engine);
    let (start, client) = recipe_of("## With `docker run`\n").split_once("\n\n").unwrap();
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
fn the_recipe_for_another_user_leaves_it_the_group_of_the_engine_s_socket_and_nothing_else() {
    let (engine, _machine) = engine_with_image();
    let _names = names();
    load_cli(&engine);
    sh(&engine, project(), &with_engine(&engine, recipe_of("## As another user than root\n")));
    let acl = Container(&engine, "acl".to_owned());
    let listens = |times| until("it listens", || acl.logs().matches("Listening on /acl/").count() == times);
    listens(1);
    assert_unprivileged(&engine, &acl, NO_CAPABILITY);
    let (_, client) = recipe_of("## With `docker run`\n").split_once("\n\n").unwrap();
    assert!(sh(&engine, project(), client).contains("busybox"));
    stdout(engine.docker(&["exec", &acl.1, "/docker-proxy-acl", "healthcheck"]));
    stdout(engine.docker(&["restart", &acl.1]));
    listens(2);
    assert!(sh(&engine, project(), client).contains("busybox"));
    drop(acl);
    stdout(engine.docker(&["volume", "rm", "acl"]));
}

const NO_CAPABILITY: &str = "0000000000000000";
const CAP_CHOWN: &str = "0000000000000001";

/// What the kernel says of the container's process, of whose capabilities these are in the bounding set.
fn assert_unprivileged(engine: &Engine, container: &Container, bounding: &str) {
    let pid = container.inspect("{{.State.Pid}}").parse().unwrap();
    let status = |field: &str| process::status(pid, field);
    let engines_group = std::fs::metadata(engine.socket()).unwrap().gid().to_string();
    assert_eq!((status("Uid"), status("Gid")), (["65532"; 4].join("\t"), ["65532"; 4].join("\t")));
    // Docker counts the group itself among them.
    let groups = status("Groups");
    assert!(groups.split(' ').all(|group| group == "65532" || group == engines_group), "{groups}");
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(status(set), NO_CAPABILITY, "{set}");
    }
    assert_eq!(status("CapBnd"), bounding);
    assert_eq!([status("NoNewPrivs"), status("Seccomp")], ["1", "2"]);
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    // The fifth field is the place, the sixth its options: proc_pid_mountinfo(5).
    let root = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|mount| mount[4] == "/");
    assert!(root.unwrap()[5].split(',').any(|option| option == "ro"), "{mounts}");
    let logs = container.logs();
    assert!(logs.contains("sandbox: no-new-privs, landlock ABI ") && logs.contains(", seccomp "), "{logs}");
}

/// Brings a recipe with compose up until its consumer has seen something happen, looks at the container of
/// docker-proxy-acl, and ends it.
fn compose(engine: &Engine, name: &str, files: &[(&str, String)], look: impl FnOnce(&Container)) {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(directory.path().join(file), text).unwrap();
    }
    let flags: String = files.iter().map(|(file, _)| format!("-f {file} ")).collect();
    let gid = std::fs::metadata(engine.socket()).unwrap().gid();
    let compose = |what: &str| {
        let command = format!("DOCKER_GID={gid} docker-compose -p {name} {flags} {what} 2>&1");
        sh(engine, directory.path(), &command)
    };
    compose("up -d --no-build");
    let volume = format!("seen-by-{name}");
    // The consumer may begin to watch at any time.
    until("the consumer has seen it", || {
        stdout(engine.docker(&["volume", "create", &volume]));
        stdout(engine.docker(&["volume", "rm", &volume]));
        compose("logs consumer").contains(&volume)
    });
    look(&Container(engine, compose("ps -q acl").trim().to_owned()));
    compose("down -v");
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_recipes_with_compose_go_as_written() {
    let (engine, _machine) = engine_with_image();
    load_cli(&engine);
    let recipe = with_engine(&engine, include_str!("../../examples/compose.yaml"));
    let over = include_str!("../../examples/another-user.yaml").to_owned();
    compose(&engine, "recipe", &[("compose.yaml", recipe.clone())], |acl| {
        assert_eq!(acl.inspect("{{.Config.User}}"), "");
    });
    let files = [("compose.yaml", recipe), ("another-user.yaml", over)];
    compose(&engine, "another-user", &files, |acl| assert_unprivileged(&engine, acl, CAP_CHOWN));
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
