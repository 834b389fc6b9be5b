//! A real systemd, as process 1 of namespaces of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::files::set_mode;
use super::mock::Mock;
use super::proxy::PROGRAM;
use super::tools::{combined_output, stdout};
use super::{TIMEOUT, eventually_within, until, until_within};

/// The group of the engine's socket there, named `docker`.
const ENGINE_GROUP: u32 = 4712;
/// How long it may take to boot, when several do at once.
const BOOT: Duration = Duration::from_secs(180);

/// A running systemd; ended when dropped, with everything that it started.
pub struct Systemd {
    unshare: Child,
    init: u32,
    cgroup: PathBuf,
    _directory: tempfile::TempDir,
}

impl Systemd {
    /// Boots it before an engine, with these files below /etc, and waits until it has.
    pub fn boot(engine: &Mock, files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for place in ["root", "etc"] {
            fs::create_dir(at(place)).unwrap();
        }
        for (path, text) in files {
            let path = at("etc").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
        open_to_group(engine.socket());
        let cgroup = new_cgroup();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/boot-systemd");
        let mut command = Command::new(script);
        command.arg(&cgroup).arg(at("root")).arg(at("etc")).arg(PROGRAM.as_str());
        command.arg(engine.socket().parent().unwrap()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut unshare = command.spawn().unwrap();
        let init = eventually_within(BOOT, "systemd is started", || {
            assert_eq!(unshare.try_wait().unwrap(), None, "it could not be booted: its error is above");
            let id = unshare.id();
            let child = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
            let child = child.trim().parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name == "systemd\n").then_some(child)
        });
        let systemd = Self { unshare, init, cgroup, _directory: directory };
        until_within(BOOT, "systemd has booted", || {
            // Each look takes several processes.
            std::thread::sleep(Duration::from_millis(100));
            matches!(systemd.try_systemctl("is-system-running").as_str(), "running\n" | "degraded\n")
        });
        systemd
    }

    /// A command inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-a", "-r", program]).stdin(Stdio::null());
        command
    }

    /// Runs systemctl, which is to go well; what it printed.
    pub fn systemctl(&self, args: &str) -> String {
        stdout(self.run(args))
    }

    /// Runs systemctl, however it goes; what it printed.
    pub fn try_systemctl(&self, args: &str) -> String {
        combined_output(&self.run(args))
    }

    fn run(&self, args: &str) -> Output {
        self.command("systemctl").args(args.split(' ')).output().unwrap()
    }

    /// A property of a unit.
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&format!("show --value --property={name} {unit}")).trim_end().to_owned()
    }

    /// The main process of a service, as this test's namespace counts.
    pub fn main_process(&self, unit: &str) -> u32 {
        let group = self.property(unit, "ControlGroup");
        let processes = self.cgroup.join(group.trim_start_matches('/')).join("cgroup.procs");
        fs::read_to_string(processes).unwrap().trim().parse().unwrap()
    }

    /// What a unit wrote to the journal, and what systemd wrote of it.
    pub fn journal(&self, unit: &str) -> String {
        let mut journal = self.command("journalctl");
        stdout(journal.args(["--no-pager", "--output=cat", "--unit", unit]).output().unwrap())
    }

    /// Waits until the journal of a unit has this.
    pub fn until_logged(&self, unit: &str, text: &str) {
        until(&format!("the journal has {text:?}; it has {}", self.journal(unit)), || {
            self.journal(unit).contains(text)
        });
    }

    /// A file inside, as a path from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // With it goes its process 1, and with that every process inside.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        // As soon as its last process has ended. No panic here, where a test may be failing already.
        let end = Instant::now() + TIMEOUT;
        while !remove_cgroups(&self.cgroup) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The engine's socket is its group's alone, and its directory can be entered.
fn open_to_group(socket: &Path) {
    set_mode(socket.parent().unwrap(), 0o755);
    chown(socket, None, Some(ENGINE_GROUP)).unwrap();
    fs::set_permissions(socket, fs::Permissions::from_mode(0o660)).unwrap();
}

fn new_cgroup() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let cgroup2 = fields.find(|fields| fields[2] == "cgroup2").expect("there is a cgroup2 file system");
    let name = tempfile::Builder::new().prefix("systemd-").tempdir_in(cgroup2[1]).unwrap();
    name.keep()
}

/// Removes a cgroup and those in it; whether that worked.
fn remove_cgroups(cgroup: &Path) -> bool {
    let entries = fs::read_dir(cgroup).into_iter().flatten().map_while(Result::ok);
    for inner in entries.filter(|entry| entry.path().is_dir()) {
        remove_cgroups(&inner.path());
    }
    !cgroup.exists() || fs::remove_dir(cgroup).is_ok()
}
