//! The machines of a page, on which its commands are run as they are written.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::process::{signal, terminate};
use super::proxy::PROGRAM;
use super::tools::without_docker_variables;
use super::until;

/// Machines of docs/from-another-machine.md: one network of loopback alone, in which names that end in `.example` are
/// names, and a file system in which /etc is this machine's, and /etc/docker-proxy-acl, /run and the home are empty.
pub struct Machines {
    directory: tempfile::TempDir,
    /// Keeps the network and the file system that all share.
    inside: Child,
    /// What runs on each machine, the last started.
    servers: Vec<(String, Child)>,
}

impl Machines {
    /// Machines with these names.
    pub fn new(names: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("home")).unwrap();
        std::fs::create_dir(directory.path().join("etc")).unwrap();
        // What is written in /etc and /run goes with the file system.
        let set_up = format!(
            "set -e; cd {0}; busybox ip link set lo up; mount -t tmpfs none etc; mkdir etc/upper etc/work\n\
             mount -t overlay -o lowerdir=/etc,upperdir=etc/upper,workdir=etc/work overlay /etc\n\
             rm -f /etc/hosts; echo 127.0.0.1 localhost {1} >/etc/hosts\n\
             mount -t tmpfs none /run\n\
             touch ready; exec sleep 3600",
            directory.path().display(),
            names.join(" "),
        );
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--mount", "sh", "-c", &set_up]).stdin(Stdio::null());
        let inside = unshare.spawn().unwrap();
        until("the machines are there", || directory.path().join("ready").exists());
        Self { directory, inside, servers: Vec::new() }
    }

    /// A directory that is these machines' own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where something of theirs is, as seen from here.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.inside.id()))
    }

    /// A script to run there, in the project's directory.
    pub fn shell(&self, script: &str) -> Command {
        let program = Path::new(PROGRAM.as_str()).parent().unwrap();
        let script = format!("cd {}\n{script}", env!("CARGO_MANIFEST_DIR"));
        let mut shell = without_docker_variables(Command::new("nsenter"));
        shell
            .args([
                "--net",
                "--mount",
                &format!("--target={}", self.inside.id()),
                "--",
                "bash",
                "-ec",
                &script,
            ])
            // Debian's client first, which matches the engine.
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", program.display()))
            .env("HOME", self.directory.path().join("home"))
            .stdin(Stdio::null());
        shell
    }

    /// What a script printed, which is to go well.
    pub fn run(&self, script: &str) -> String {
        let output = self.shell(script).output().unwrap();
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a script goes well.
    pub fn succeeds(&self, script: &str) -> bool {
        self.shell(script).output().unwrap().status.success()
    }

    /// Starts what listens on a machine in the place of what listened there before, and waits until it does: until
    /// socat can connect to this address.
    pub fn serve(&mut self, machine: &str, script: &str, address: &str) {
        let (before, others) =
            std::mem::take(&mut self.servers).into_iter().partition(|(at, _)| at == machine);
        self.servers = others;
        end(before);
        let log = std::fs::File::create(self.directory.path().join(format!("{machine}.log"))).unwrap();
        let mut shell = self.shell(script);
        let server = shell.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.servers.push((machine.to_owned(), server));
        let poll = format!("socat -u OPEN:/dev/null {address}");
        until(&format!("{address} is listened on"), || self.succeeds(&poll));
    }
}

fn end(servers: Vec<(String, Child)>) {
    for (_, mut server) in servers {
        signal(server.id(), "TERM");
        server.wait().unwrap();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for (_, server) in &mut self.servers {
            terminate(server);
        }
        let _ = self.inside.kill();
        let _ = self.inside.wait();
    }
}

/// The blocks of shell commands in a part of docs/from-another-machine.md, each with the machine that its first line
/// names.
pub fn blocks(part: &str) -> Vec<(String, String)> {
    let blocks = part.split("```sh\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0);
    let machine = |block: &str| block.lines().next().unwrap().trim_start_matches("# on ").to_owned();
    blocks.map(|block| (machine(block), block.to_owned())).collect()
}

/// The page without its chapter on fleets, and that chapter.
pub fn page_and_fleet() -> (String, String) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-another-machine.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (before, rest) = page.split_once("\n## A fleet\n").unwrap();
    let (fleet, after) = rest.split_once("\n## ").unwrap();
    (format!("{before}\n## {after}"), fleet.to_owned())
}
