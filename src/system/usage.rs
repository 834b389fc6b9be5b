//! What the process takes of its machine: memory, processor time, descriptors.
//!
//! The files of proc(5) are opened before the sandbox is entered, which lets none be opened, and read again from
//! their beginning each time.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, Mode, OFlags, RawDir, SeekFrom, openat, seek};
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The process's figures, to be read at any time, by one at a time.
#[derive(Debug)]
pub struct ProcessUsage {
    /// `/proc/self/statm`.
    memory: File,
    /// `/proc/self/fd`.
    descriptors: OwnedFd,
    max_descriptors: Option<u64>,
    page_size: u64,
    started_at: Duration,
}

impl ProcessUsage {
    /// Opens what is read later. It is to be called at the program's start, which counts as the process's, and after
    /// its limits are set.
    ///
    /// # Errors
    /// If there is no /proc.
    pub fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            memory: File::open("/proc/self/statm")?,
            descriptors: openat(CWD, c"/proc/self/fd", flags, Mode::empty())?,
            page_size: page_size() as u64,
            max_descriptors: getrlimit(Resource::Nofile).current,
            started_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// Its resident set size in bytes (proc_pid_statm(5)); `None` if it cannot be read.
    pub fn resident_bytes(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.memory.read_at(&mut text, 0).ok()?;
        let pages = std::str::from_utf8(&text[..length]).ok()?.split(' ').nth(1)?.parse::<u64>().ok()?;
        Some(pages * self.page_size)
    }

    /// How many descriptors it has open, those for its figures included; `None` if they cannot be counted.
    pub fn open_descriptors(&self) -> Option<u64> {
        seek(&self.descriptors, SeekFrom::Start(0)).ok()?;
        let mut space = [MaybeUninit::uninit(); 2048];
        let mut entries = RawDir::new(&self.descriptors, &mut space);
        let mut count = 0;
        while let Some(entry) = entries.next() {
            // All but `.` and `..` are numbers.
            count += u64::from(!entry.ok()?.file_name().to_bytes().starts_with(b"."));
        }
        Some(count)
    }

    /// How many descriptors it may have open; `None` is without limit.
    pub fn max_descriptors(&self) -> Option<u64> {
        self.max_descriptors
    }

    /// The processor time that it took, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }

    /// When it started, in seconds since 1970.
    pub fn started_at(&self) -> f64 {
        self.started_at.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_this_process_s_and_can_be_read_again() {
        let usage = ProcessUsage::open().unwrap();
        for _ in 0..2 {
            assert!(usage.resident_bytes().unwrap() > 100_000);
            assert!(usage.open_descriptors().unwrap() >= 5, "0, 1, 2 and two of its own");
            assert!(usage.cpu_seconds() > 0.0);
        }
        assert!(usage.started_at() > 1e9);
    }
}
