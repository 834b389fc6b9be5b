//! What lies around a process that attempts something in the sandbox: known to the tests, which make it,
//! and to `attempt.rs`, which finds it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

/// A directory with a few things in it, and two servers outside.
pub struct Fixture {
    pub directory: PathBuf,
    pub engine_port: u16,
    pub other_port: u16,
    /// The process that makes all this.
    pub tester: i32,
}

impl Fixture {
    pub fn own_directory(&self) -> PathBuf {
        self.directory.join("own")
    }

    pub fn own_socket(&self) -> PathBuf {
        self.own_directory().join("docker.sock")
    }

    pub fn engine(&self) -> PathBuf {
        self.directory.join("engine.sock")
    }

    /// A file that the process has nothing to do with.
    pub fn unrelated(&self) -> PathBuf {
        self.directory.join("unrelated")
    }

    pub fn certificates(&self) -> PathBuf {
        self.directory.join("certificates")
    }

    pub fn certificate(&self) -> PathBuf {
        self.certificates().join("server.pem")
    }

    pub fn log_directory(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub fn access_log(&self) -> PathBuf {
        self.log_directory().join("access.log")
    }

    pub fn abstract_socket(&self) -> SocketAddr {
        let name = self.directory.to_string_lossy();
        SocketAddr::from_abstract_name(name.as_bytes()).expect("it is short enough")
    }
}
