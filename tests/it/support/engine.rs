//! A real engine: the one that `tests/run` or `tests/engines` started and filled, or a private one.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::library::ApiVersion;
use super::tools::{stdout, without_docker_variables};
use super::{TIMEOUT, engine_log, eventually, http, process, until};

/// A real engine that logs each call it dispatches.
pub struct Engine {
    socket: PathBuf,
    log: PathBuf,
    /// What it is, once that is known.
    kind: OnceLock<Kind>,
    private: Option<Private>,
}

/// What answers. Which it is decides what there is to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Docker,
    Podman,
}

/// What Podman answers with an error of its own, whatever is asked for: it has no swarm and no plugins.
const NOT_OF_PODMAN: [&str; 15] = [
    "services:list",
    "services:inspect",
    "services:logs",
    "tasks:list",
    "tasks:inspect",
    "tasks:logs",
    "nodes:list",
    "nodes:inspect",
    "swarm:inspect",
    "configs:list",
    "configs:inspect",
    "plugins:list",
    "plugins:inspect",
    "images:attestations",
    "distribution:inspect",
];

struct Private {
    daemon: Child,
    directory: tempfile::TempDir,
    flags: Vec<String>,
}

impl Engine {
    /// The engine of `tests/run`, with its containers, images, networks, volumes and swarm.
    pub fn shared() -> Self {
        let get = |name: &str| {
            PathBuf::from(std::env::var_os(name).expect("run tests/run, which starts an engine"))
        };
        Self {
            socket: get("TEST_ENGINE_SOCKET"),
            log: get("TEST_ENGINE_LOG"),
            kind: OnceLock::new(),
            private: None,
        }
    }

    /// An empty engine for a test that does to it what others must not feel.
    pub fn private() -> Self {
        Self::private_with(Vec::new())
    }

    /// An empty engine with further flags, of the same kind as the shared one.
    pub fn private_with(flags: Vec<String>) -> Self {
        let kind = Self::shared().kind();
        let directory = tempfile::tempdir().unwrap();
        let daemon = start_daemon(kind, directory.path(), &flags);
        let engine = Self {
            socket: directory.path().join("docker.sock"),
            log: directory.path().join("log"),
            kind: kind.into(),
            private: Some(Private { daemon, directory, flags }),
        };
        engine.until_up();
        engine
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where it keeps all that it has.
    pub fn directory(&self) -> &Path {
        self.log.parent().unwrap()
    }

    pub fn docker(&self, args: &[&str]) -> Output {
        docker(&self.socket, args)
    }

    /// Makes it the only node of a swarm. An interface, an address and a port of its own let several engines on a
    /// machine be in swarms at the same time: from 25 on an engine joins no overlay network whose address is taken.
    pub fn init_swarm(&self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let bridge = format!("com.docker.network.bridge.name=gw{}-{number}", std::process::id());
        stdout(self.docker(&["network", "create", "-o", &bridge, "docker_gwbridge"]));
        let process = std::process::id();
        let port = (10_000 + process % 30_000 + number).to_string();
        let address = format!("127.{}.{}.{}", 1 + number % 250, process / 250 % 250, 1 + process % 250);
        let listener = format!("{address}:0");
        let addresses = ["--advertise-addr", &address, "--listen-addr", &listener, "--data-path-port", &port];
        stdout(self.docker(&[&["swarm", "init"], &addresses[..]].concat()));
    }

    /// Ends what outlives a private engine otherwise: containers and interfaces.
    pub fn leave_nothing_behind(&self) {
        let _ = self.docker(&["swarm", "leave", "--force"]);
        let containers = String::from_utf8(self.docker(&["ps", "-q"]).stdout).unwrap_or_default();
        let _ =
            self.docker(&["rm", "-f"].into_iter().chain(containers.split_whitespace()).collect::<Vec<_>>());
        let _ = self.docker(&["network", "prune", "-f"]);
        let _ = self.docker(&["network", "rm", "docker_gwbridge"]);
    }

    /// Everything that it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The calls that it dispatched so far, such as `GET /v1.41/info`. Podman logs a call when it ends.
    pub fn calls(&self) -> Vec<String> {
        self.log().lines().filter_map(engine_log::call).collect()
    }

    /// The paths that it said to answer a `GET` of, without a version, when it started. Podman does not say.
    pub fn routes(&self) -> Vec<String> {
        self.log().lines().filter_map(engine_log::route).collect()
    }

    /// What it is, by its own word.
    pub fn kind(&self) -> Kind {
        *self.kind.get_or_init(|| {
            let version = http::get(&self.socket, "/version").json();
            match version["Components"][0]["Name"].as_str() {
                Some("Engine") => Kind::Docker,
                Some("Podman Engine") => Kind::Podman,
                other => panic!("an engine of its own: {other:?}"),
            }
        })
    }

    /// Whether it has what a row of the catalog is about.
    pub fn has(&self, row: &str) -> bool {
        self.kind() == Kind::Docker || !NOT_OF_PODMAN.contains(&row)
    }

    /// The version of the API that it speaks, by its own word.
    pub fn api_version(&self) -> ApiVersion {
        let version = http::get(&self.socket, "/version").json();
        version["ApiVersion"].as_str().unwrap().parse().unwrap()
    }

    /// Makes something: a `POST` of a JSON body that goes well; what it is answered with.
    pub fn post(&self, target: &str, body: &Value) -> Value {
        let answer = http::post(&self.socket, target, body);
        assert!(answer.status() < 300, "{target} {body}: {answer:?} {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    /// Ends a private engine at once, as a crash would.
    pub fn kill(&mut self) {
        let private = self.private.as_mut().expect("only a private engine is killed");
        private.daemon.kill().unwrap();
        private.daemon.wait().unwrap();
    }

    /// Stops a private engine in order.
    pub fn stop(&mut self) {
        let private = self.private.as_mut().expect("only a private engine is stopped");
        process::signal(private.daemon.id(), "TERM");
        let daemon = &mut private.daemon;
        eventually("the engine has stopped", || daemon.try_wait().unwrap());
    }

    /// Starts a private engine again, with what it had.
    pub fn start_again(&mut self) {
        let kind = self.kind();
        let private = self.private.as_mut().expect("only a private engine is started");
        // A killed daemon leaves these, and where nobody reaps orphans their processes seem to live.
        for left in ["pid", "exec/containerd/containerd.pid"] {
            let _ = std::fs::remove_file(private.directory.path().join(left));
        }
        private.daemon = start_daemon(kind, private.directory.path(), &private.flags);
        self.until_up();
    }

    pub fn pid(&self) -> u32 {
        self.private.as_ref().expect("only a private engine's process is known").daemon.id()
    }

    fn until_up(&self) {
        // While it starts it may refuse, or accept a connection and close it again.
        until(&format!("the engine answers; {}", self.log.display()), || {
            pings(&self.socket).unwrap_or(false)
        });
    }
}

/// Asks until the engine has time for it: Docker adds up its disks' usage once at a time, and other tests ask for it too.
pub fn when_it_has_time(mut ask: impl FnMut() -> http::Response) -> http::Response {
    eventually("the engine has time for it", || {
        Some(ask()).filter(|answer| answer.status() != 500 || !answer.text().contains("already running"))
    })
}

fn pings(socket: &Path) -> std::io::Result<bool> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.0 200 "))
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(private) = &mut self.private {
            // In order, so that it unmounts what it mounted in the directory.
            process::terminate(&mut private.daemon);
        }
    }
}

/// Debian's client, with a configuration of its own, for a socket.
pub fn docker_command(host: &Path) -> Command {
    let mut command = docker_cli();
    command.arg("-H").arg(format!("unix://{}", host.display()));
    command
}

/// Debian's client, with a configuration of its own.
pub fn docker_cli() -> Command {
    let debian = Path::new("/usr/bin/docker");
    let docker = if debian.exists() { debian } else { Path::new("docker") };
    let mut command = without_docker_variables(Command::new(docker));
    command.env("DOCKER_CONFIG", "/nonexistent").stdin(Stdio::null());
    command
}

/// Runs Debian's client against a socket.
pub fn docker(host: &Path, args: &[&str]) -> Output {
    docker_command(host).args(args).output().unwrap()
}

fn start_daemon(kind: Kind, directory: &Path, flags: &[String]) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(directory.join("log")).unwrap();
    let mut command = match kind {
        Kind::Docker => dockerd(directory),
        Kind::Podman => podman(directory),
    };
    command
        .args(flags)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("the engine starts; tests/run installs it")
}

fn dockerd(directory: &Path) -> Command {
    let mut command = Command::new("dockerd");
    command.arg("--data-root").arg(directory.join("data")).arg("--exec-root").arg(directory.join("exec"));
    command.arg("-p").arg(directory.join("pid")).arg("-H").arg(listener(directory));
    command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "-D"]);
    command
}

fn podman(directory: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(directory.join("data")).arg("--runroot").arg(directory.join("exec"));
    command
        .arg("--tmpdir")
        .arg(directory.join("s"))
        .arg("--network-config-dir")
        .arg(directory.join("networks"));
    command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
    command.args(["--log-level", "debug", "system", "service", "--time", "0"]).arg(listener(directory));
    command
}

fn listener(directory: &Path) -> String {
    format!("unix://{}", directory.join("docker.sock").display())
}
