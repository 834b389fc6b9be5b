//! Other people's programs to meet, and ports for them.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::{process, until};

/// What a command printed, standard output and error together.
pub fn combined_output(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// What a command printed, if it went well.
pub fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Takes the variables that say where an engine is, and the program's own, out of what a command inherits.
pub fn without_docker_variables(mut command: Command) -> Command {
    command.env_remove("CONTAINER_HOST").env_remove("XDG_RUNTIME_DIR");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOCKER_")) {
        command.env_remove(name);
    }
    command
}

/// A program that runs until it is dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In order: socat ends its children so.
        process::terminate(&mut self.0);
    }
}

/// socat between two of its addresses.
pub fn socat(from: &str, to: &str) -> Running {
    Running::start(Command::new("socat").args([from, to]))
}

/// Runs curl, which has no configuration of its own and waits for a while at most.
pub fn curl(args: &[&str]) -> Output {
    Command::new("curl").args(["-q", "-sS", "-m", "20"]).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs openssl in a directory.
pub fn openssl(directory: &Path, args: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(args.split_whitespace()).current_dir(directory).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "openssl {args}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// nginx in one process, with this `http` or `stream` block.
pub fn nginx(directory: &Path, block: &str) -> Running {
    let place = directory.display();
    let config = directory.join("nginx.conf");
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let text = format!(
        "load_module {module};\ndaemon off; master_process off; user root; pid {place}/nginx.pid;\n\
         error_log {place}/error.log;\nevents {{}}\n{block}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    Running::start(command.arg("-p").arg(directory).arg("-c").arg(config))
}

/// A port of loopback that is free now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something listens on a port of loopback.
pub fn until_listening(port: u16) {
    until(&format!("something listens on port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// Waits until something listens at a Unix socket.
pub fn until_accepting(socket: &Path) {
    until(&format!("something listens at {}", socket.display()), || UnixStream::connect(socket).is_ok());
}
