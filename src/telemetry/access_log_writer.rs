//! The access log of its own: a JSON object a line for every request, whatever the level of the log.
//!
//! Its lines go through a queue like the log's, so that a request never waits for a disk.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::log::FLUSH_LIMIT;
use super::log_file::LogFile;
pub use super::log_file::LogFileError;
use super::log_queue::{LogKind, LogQueue};
use crate::net::TlsIdentity;

/// Where the access log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// On standard output, among the lines of the log.
    Stdout,
    /// Into a file, which is opened anew on SIGHUP.
    File(PathBuf),
}

impl AccessLogTarget {
    /// What `-` or a path means; nothing means nowhere.
    pub fn parse(text: &Path) -> Option<Self> {
        match text.as_os_str().as_encoded_bytes() {
            b"" => None,
            b"-" => Some(Self::Stdout),
            _ => Some(Self::File(text.to_owned())),
        }
    }

    /// Where its file stands, if it is one.
    pub fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Stdout => None,
            Self::File(path) => std::path::absolute(path).ok()?.parent().map(Path::to_owned),
        }
    }
}

/// The access log. Lines that still wait at the end need [`AccessLogWriter::flush`].
#[derive(Debug, Clone)]
pub struct AccessLogWriter {
    queue: LogQueue,
    target: AccessLogTarget,
}

/// What a line says of a request; the names are the log's.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    /// When the request ended.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    pub listener: &'a str,
    #[serde(rename = "client.uid", skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    #[serde(rename = "client.pid", skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    #[serde(rename = "client.addr", skip_serializing_if = "Option::is_none", serialize_with = "displayed")]
    pub addr: Option<SocketAddr>,
    #[serde(rename = "tls.subject", skip_serializing_if = "Option::is_none", serialize_with = "displayed")]
    pub subject: Option<&'a TlsIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<&'static str>,
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_ms: Option<f64>,
    pub duration_ms: f64,
    pub ended: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
}

impl AccessLogWriter {
    /// The access log that is written there. Its file is yet to be opened, by [`AccessLogWriter::start`].
    ///
    /// # Errors
    /// [`LogFileError`] if the file has no directory.
    pub fn prepare(target: &AccessLogTarget) -> Result<Self, LogFileError> {
        let kind = match target {
            AccessLogTarget::Stdout => LogKind::AccessLogOnStdout,
            AccessLogTarget::File(path) => LogKind::AccessLog(LogFile::prepare(path)?),
        };
        Ok(Self { queue: LogQueue::new(kind), target: target.clone() })
    }

    /// Opens its file, as the user that will open it again, and starts the thread that writes.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not be started.
    pub fn start(&self) -> io::Result<()> {
        self.queue.open_file().map_err(io::Error::other)?;
        self.queue.start_writer()
    }

    /// Has its file opened anew, if it has one; whether it has.
    pub fn reopen(&self) -> bool {
        self.queue.reopen();
        matches!(self.target, AccessLogTarget::File(_))
    }

    /// Waits until every line is written, for a moment at most.
    pub fn flush(&self) {
        self.queue.flush(FLUSH_LIMIT);
    }

    /// How many lines were lost since the start.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    pub(super) fn write(&self, line: &impl Serialize) {
        // Longer lines are rare: a path has up to a kilobyte here.
        let mut text = Vec::with_capacity(512);
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
            self.queue.push(&text);
        }
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn displayed<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_says_what_there_is_to_say_and_leaves_out_the_rest() {
        let mut line = Line {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            listener: "/x",
            uid: Some(0),
            pid: Some(7),
            addr: None,
            subject: None,
            rule: None,
            method: Some("GET"),
            path: Some("/a\"b"),
            endpoint: None,
            outcome: "denied",
            status: Some(404),
            bytes: 19,
            head_ms: None,
            duration_ms: 0.125,
            ended: "complete",
            left_out: None,
            error: None,
        };
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"time":"1970-01-01T00:00:01.500Z","listener":"/x","client.uid":0,"client.pid":7,"method":"GET","path":"/a\"b","outcome":"denied","status":404,"bytes":19,"duration_ms":0.125,"ended":"complete"}"#
        );
        line.addr = "127.0.0.1:7".parse().ok();
        let identity =
            TlsIdentity { common_name: Some("alice".to_owned()), alternative_names: vec![], sha256: [0; 32] };
        line.subject = Some(&identity);
        line.rule = Some("certificate=ali*");
        let text = serde_json::to_string(&line).unwrap();
        assert!(
            text.contains(
                r#""client.addr":"127.0.0.1:7","tls.subject":"cn=\"alice\"","rule":"certificate=ali*""#
            ),
            "{text}"
        );
    }
}
