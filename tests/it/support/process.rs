//! Processes: signals to them, and what proc(5) says of them.

use std::process::{Child, Command};

/// Sends a signal, such as `TERM`, to a process that the test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Ends a process in order, if it has not ended yet, and waits for that.
pub fn terminate(process: &mut Child) {
    let _ = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
    let _ = process.wait();
}

/// A field of a process's status: proc_pid_status(5).
pub fn status(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
}

/// The memory of a process that is its own, in KiB.
pub fn memory(pid: u32) -> u64 {
    kib(pid, "RssAnon")
}

/// The most memory that a process has had, in KiB.
pub fn peak_memory(pid: u32) -> u64 {
    kib(pid, "VmHWM")
}

fn kib(pid: u32, field: &str) -> u64 {
    status(pid, field).trim_end_matches(" kB").parse().unwrap()
}

/// The threads of a process that have this name, of which the kernel keeps 15 bytes.
pub fn threads(pid: u32, name: &str) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let threads = threads.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    threads.filter(|thread| status(*thread, "Name") == name).collect()
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
