//! Each command of docs/from-another-machine.md does what it says, run as it is written.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::engine::Engine;
use crate::support::process::signal;
use crate::support::proxy::PROGRAM;
use crate::support::until;

/// Both machines of the page: one network of loopback alone, in which `engine.example` is a name, and a
/// file system in which /etc/docker-proxy-acl, /run and the home are empty.
struct Machines {
    directory: tempfile::TempDir,
    /// Keeps the network and the file system that both share.
    inside: Child,
    /// What runs on each machine, the last started.
    servers: Vec<(String, Child)>,
}

impl Machines {
    fn new(engine: &Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("home")).unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        // What is written in /etc and /run goes with the file system.
        let set_up = format!(
            "set -e; cd {0}; busybox ip link set lo up; mount -t tmpfs none etc; mkdir etc/upper etc/work\n\
             mount -t overlay -o lowerdir=/etc,upperdir=etc/upper,workdir=etc/work overlay /etc\n\
             rm -f /etc/hosts; echo 127.0.0.1 localhost engine.example >/etc/hosts\n\
             mount -t tmpfs none /run; ln -s {1} /run/docker.sock\n\
             touch ready; exec sleep 600",
            directory.path().display(),
            engine.socket().display()
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "sh", "-c", &set_up]).stdin(Stdio::null());
        let inside = unshare.spawn().unwrap();
        until("both machines are there", || directory.path().join("ready").exists());
        Self { directory, inside, servers: Vec::new() }
    }

    fn shell(&self, script: &str) -> Command {
        let program = Path::new(PROGRAM).parent().unwrap();
        let mut shell = Command::new("nsenter");
        shell
            .args([
                "--net",
                "--mount",
                &format!("--target={}", self.inside.id()),
                "--",
                "bash",
                "-ec",
                script,
            ])
            // Debian's client first, which matches the engine.
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", program.display()))
            .env("HOME", self.directory.path().join("home"))
            .stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOCKER_")) {
            shell.env_remove(name);
        }
        shell
    }

    fn run(&self, script: &str) -> String {
        let output = self.shell(script).output().unwrap();
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts what listens on a machine in the place of what listened there before.
    fn serve(&mut self, machine: &str, script: &str) {
        self.servers.retain_mut(|(at, server)| at != machine || end(server));
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let mut shell = self.shell(script);
        let server = shell.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.servers.push((machine.to_owned(), server));
        let (_, place) = PLACES.iter().find(|(part, _)| script.contains(part)).expect(script);
        let poll = format!("socat -u OPEN:/dev/null {place} 2>/dev/null");
        until(&format!("{place} is listened on"), || self.shell(&poll).status().unwrap().success());
    }
}

/// What says where a command listens, and how socat finds it there.
const PLACES: [(&str, &str); 5] = [
    ("--listen tcp://0.0.0.0:2376", "TCP:127.0.0.1:2376"),
    ("OPENSSL-LISTEN:2376", "TCP:127.0.0.1:2376"),
    ("--listen tcp://127.0.0.1:2375", "TCP:127.0.0.1:2375"),
    ("--listen /run/docker-proxy-acl/docker.sock", "UNIX-CONNECT:/run/docker-proxy-acl/docker.sock"),
    ("UNIX-LISTEN:/run/tunnel.sock", "UNIX-CONNECT:/run/tunnel.sock"),
];

/// Ends a process; false, so that it is not kept.
fn end(process: &mut Child) -> bool {
    signal(process.id(), "TERM");
    process.wait().unwrap();
    false
}

impl Drop for Machines {
    fn drop(&mut self) {
        for (_, process) in &mut self.servers {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = self.inside.kill();
        let _ = self.inside.wait();
    }
}

/// The page's blocks of commands, each with the machine that its first line names.
fn blocks() -> Vec<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-another-machine.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    let machine = |block: &str| block.lines().next().unwrap().trim_start_matches("# on ").to_owned();
    blocks.map(|block| (machine(block), block.to_owned())).collect()
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn each_command_works_as_it_is_written() {
    let engine = Engine::shared();
    let mut machines = Machines::new(&engine);
    let (mut served, mut asked) = (0, 0);
    for (machine, block) in blocks() {
        if block.contains("docker-proxy-acl -a") || block.contains("socat ") {
            machines.serve(&machine, &block);
            served += 1;
            if block.contains("OPENSSL-LISTEN") {
                // What comes after it on the page is no client; the one above it is.
                machines.run("curl --fail -s --cacert ~/alice/ca.pem --cert ~/alice/cert.pem --key ~/alice/key.pem https://engine.example:2376/info");
            }
            continue;
        }
        let printed = machines.run(&block);
        if block.contains("docker ps") || block.ends_with(" ps") {
            assert!(printed.contains("web"), "{block}\n{printed}");
            asked += 1;
        }
        if block.contains("certs client alice") {
            // "Take it to the other machine, say as ~/alice."
            machines.run("cp -r /etc/docker-proxy-acl/pki/clients/alice ~/alice");
        }
    }
    assert_eq!((served, asked), (5, 4));
}
