//! What systemd is told: that the program is ready and where it listens, that it reloads, that it still lives,
//! that it stops. See sd_notify(3).
//!
//! The crate `sd-notify` opens a socket for every word; here one is opened before the sandbox is entered,
//! which lets none be opened for datagrams.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A connection to systemd.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the systemd that started this process; `None` if none did, or it cannot be reached.
    pub fn connect(env: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect_addr(&address(&env("NOTIFY_SOCKET")?)?).ok()?;
        // Nobody waits for it.
        socket.set_nonblocking(true).ok()?;
        let number = |name| env(name)?.to_str()?.parse::<u64>().ok();
        let other = number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id()));
        let interval = number("WATCHDOG_USEC").filter(|usec| *usec > 0 && !other);
        Some(Self { socket, watchdog: interval.map(Duration::from_micros) })
    }

    /// Another handle to the same connection.
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self { socket: self.socket.try_clone().ok()?, watchdog: self.watchdog })
    }

    /// How long it may hear nothing of [`Notifier::alive`] before it ends the process.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Says that clients can connect, after the start or after reloading; `status` is what
    /// `systemctl status` shows.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Says that it reloads, until [`Notifier::ready`]. `Type=notify-reload` tells the answer to its signal by
    /// the time in it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\nSTATUS=Reloading"));
    }

    /// Says that the program still works.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// Says that it is ending.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=Finishing the answers in flight");
    }

    fn say(&self, what: &str) {
        // What it does not hear it counts as silence, which is its business.
        let _ = self.socket.send(what.as_bytes());
    }
}

/// Each line of a message is a word of its own, and a path may have a line feed.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_where_the_environment_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let of = |pid: u32| {
            let pid = pid.to_string();
            let env = |name: &str| match name {
                "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
                "WATCHDOG_USEC" => Some("3000000".into()),
                "WATCHDOG_PID" => Some(pid.clone().into()),
                _ => None,
            };
            Notifier::connect(env).unwrap()
        };
        assert_eq!(of(std::process::id()).watchdog(), Some(Duration::from_secs(3)));
        assert_eq!(of(std::process::id() + 1).watchdog(), None);
        of(1).ready("Listening on /run/\nSTOPPING=1");
        let mut said = [0; 64];
        let length = systemd.recv(&mut said).unwrap();
        assert_eq!(&said[..length], b"READY=1\nSTATUS=Listening on /run/?STOPPING=1");
    }

    #[test]
    fn without_systemd_there_is_nobody_to_tell() {
        assert!(Notifier::connect(|_| None).is_none());
        let relative = |name: &str| (name == "NOTIFY_SOCKET").then(|| "relative".into());
        assert!(Notifier::connect(relative).is_none());
    }
}
