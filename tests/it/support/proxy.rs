//! The program under test, started in a directory of its own.

use std::fs::Permissions;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;

use super::http::{self, Response};
use super::tools::without_docker_variables;
use super::{eventually, machine, process, until};

/// Where the program is: the one that was built with the tests, or what `TEST_PROGRAM` names, such as a script that
/// runs one of another processor.
pub static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    std::env::var("TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_docker-proxy-acl").to_owned())
});

/// What it answers by itself over HTTP/1.0 to another method than `GET`, and to what is not allowed. Over
/// HTTP/1.1 its messages begin with the same words.
pub const BAD_REQUEST: &str = "400 Bad request ; only GET allowed.\n";
pub const NOT_FOUND: &str = "404 page not found\n";

/// A running proxy; ended when dropped.
pub struct Proxy {
    child: Child,
    socket: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    /// What it wrote to standard output, and who collects that.
    output: Arc<Mutex<Vec<String>>>,
    output_reader: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

/// A proxy about to be started.
pub struct Builder {
    command: Command,
    directory: tempfile::TempDir,
    socket: PathBuf,
    log_level: &'static str,
}

/// The program, with an environment that no flag leaks in from.
pub fn program() -> Command {
    let mut command = without_docker_variables(Command::new(PROGRAM.as_str()));
    command.stdin(Stdio::null());
    command
}

impl Proxy {
    /// A proxy that listens in a directory of its own, in front of `upstream`, and logs all that it does.
    pub fn builder(upstream: &Path) -> Builder {
        Self::without_upstream().upstream(upstream)
    }

    /// The same, but that it has to find out by itself where the engine is.
    pub fn without_upstream() -> Builder {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("acl/docker.sock");
        Self::builder_in(directory, socket.clone(), socket.to_str().unwrap())
    }

    /// The same, but that it learns what its clients need.
    pub fn learning(upstream: &Path) -> Builder {
        let mut builder = Self::builder(upstream);
        let mut command = program();
        command.arg("learn").args(builder.command.get_args());
        builder.command = command;
        builder
    }

    /// A proxy that listens on `listen`, and is passed a socket as descriptor 3, named `web`, as systemd does.
    pub fn inheriting(upstream: &Path, socket: impl Into<OwnedFd>, listen: &str) -> Builder {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.sock");
        Self::builder_in(directory, path, listen).upstream(upstream).passing(socket)
    }

    fn builder_in(directory: tempfile::TempDir, socket: PathBuf, listen: &str) -> Builder {
        machine::raise_descriptor_limit();
        let mut command = program();
        command.args(["--listen", listen]);
        Builder { command, directory, socket, log_level: "trace" }
    }

    /// A proxy with this configuration file, in which `{socket}` and `{dir}` are a socket of its own and the
    /// directory that any user may look into.
    pub fn with_file(upstream: &Path, text: &str) -> Builder {
        Self::with_file_alone(text).upstream(upstream)
    }

    /// The same, without a flag beside the file.
    pub fn with_file_alone(text: &str) -> Builder {
        machine::raise_descriptor_limit();
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let mut command = program();
        command.arg("--config").arg(directory.path().join(FILE));
        let socket = directory.path().join("acl/docker.sock");
        let builder = Builder { command, directory, socket, log_level: "trace" };
        write_file(builder.directory.path(), text);
        builder
    }

    /// Puts another text in the place of its configuration file, as an editor does.
    pub fn rewrite(&self, text: &str) {
        write_file(self.directory.path(), text);
    }

    /// Has it read its file again, and waits until it has.
    pub fn reload(&self, text: &str) {
        self.rewrite(text);
        let reloads = || self.log().iter().filter(|line| line.contains("configuration reloaded")).count();
        let before = reloads();
        self.signal("HUP");
        until("the configuration is reloaded", || reloads() > before);
    }

    /// The directory that is its own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// For `DOCKER_HOST`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The port of its first listener over TCP.
    pub fn tcp_port(&self) -> u16 {
        let line = self.logged(&["Listening on tcp://"]);
        let address = line.split("tcp://").nth(1).unwrap().split(' ').next().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, target: &str) -> Response {
        http::get(&self.socket, target)
    }

    pub fn request(&self, method: &str, target: &str) -> Response {
        http::request(&self.socket, method, target)
    }

    /// Sends bytes and reads until the proxy closes.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        http::raw(&self.socket, bytes.as_ref())
    }

    /// What it logged so far, standard output and error together.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// What it wrote to standard output so far.
    pub fn output(&self) -> String {
        self.output.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
    }

    /// Ends it in order, and gives all that it wrote to standard output.
    pub fn finish(mut self) -> String {
        self.signal("INT");
        self.finished()
    }

    /// Waits until it has ended by itself, and gives all that it wrote to standard output.
    pub fn finished(&mut self) -> String {
        let status = self.wait();
        assert!(status.success(), "{status}: {:#?}", self.log());
        self.output_reader.take().unwrap().join().unwrap();
        self.output()
    }

    /// The access-log lines of requests that were not allowed.
    pub fn refusals(&self) -> Vec<String> {
        let outcomes = ["WARN denied ", "WARN rejected ", "WARN limited "];
        self.log().into_iter().filter(|line| outcomes.iter().any(|start| line.starts_with(start))).collect()
    }

    /// Waits for a line that holds all of these.
    pub fn logged(&self, parts: &[&str]) -> String {
        eventually(&format!("the log has a line with {parts:?}; it has {:#?}", self.log()), || {
            self.log().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        process::signal(self.child.id(), name);
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the proxy has ended", || child.try_wait().unwrap())
    }
}

impl Builder {
    fn upstream(mut self, engine: &Path) -> Self {
        self.command.arg("--upstream").arg(engine);
        self
    }

    /// Allows these names.
    pub fn allow(mut self, names: &str) -> Self {
        self.command.args(["-a", names]);
        self
    }

    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it passed a socket as descriptor 3, named `web`, as systemd does.
    pub fn passing(self, socket: impl Into<OwnedFd>) -> Self {
        /// The process that was started becomes the program, so that its number stays.
        const PASS: &str = "exec 3<&0 </dev/null; export LISTEN_PID=$$; exec \"$@\"";
        let builder = self.under(&["sh", "-c", PASS, "sh"]);
        builder.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "web").stdin(socket)
    }

    /// With this as its standard input.
    pub fn stdin(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.command.stdin(descriptor.into());
        self
    }

    /// Without a log, for tests that ask so much that it would be what they measure.
    pub fn quiet(mut self) -> Self {
        self.log_level = "error";
        self
    }

    /// Has it started by another program, which gets its command line as arguments.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(Stdio::null());
        self.command = command;
        self
    }

    /// The directory that is its own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it will listen.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Proxy {
        let tells = self.log_level != "error";
        let mut proxy = self.spawn();
        let (child, log, socket) = (&mut proxy.child, &proxy.log, &proxy.socket);
        eventually("the proxy listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the proxy ended with {status}: {:#?}", log.lock().unwrap());
            }
            let logged = || log.lock().unwrap().iter().any(|line| line.contains("Listening on"));
            let listens = if tells { logged() } else { UnixStream::connect(socket).is_ok() };
            listens.then_some(())
        });
        proxy
    }

    /// Starts it without waiting.
    pub fn spawn(mut self) -> Proxy {
        // By the environment, so that a test can still give the flag.
        self.command.env("DOCKER_PROXY_ACL_LOG_LEVEL", self.log_level);
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, output) = (Arc::default(), Arc::default());
        let output_reader = Some(collect(child.stdout.take().unwrap(), &[&log, &output]));
        collect(child.stderr.take().unwrap(), &[&log]);
        Proxy { child, socket: self.socket, log, output, output_reader, directory: self.directory }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name of a configuration file.
const FILE: &str = "proxy.toml";

fn write_file(directory: &Path, text: &str) {
    let place = directory.display().to_string();
    let text = text.replace("{socket}", &format!("{place}/acl/docker.sock")).replace("{dir}", &place);
    let new = directory.join("new.toml");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, directory.join(FILE)).unwrap();
}

/// Adds the lines of a stream to each of the lists, in a thread that ends with the stream.
fn collect(
    stream: impl std::io::Read + Send + 'static,
    lists: &[&Arc<Mutex<Vec<String>>>],
) -> JoinHandle<()> {
    let lists: Vec<_> = lists.iter().map(|list| Arc::clone(list)).collect();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lists.iter().for_each(|list| list.lock().unwrap().push(line.clone()));
        }
    })
}

/// Waits until nothing listens at a socket, or nothing is there.
pub fn until_gone(socket: &Path) {
    until("the socket is gone", || !socket.exists());
}
