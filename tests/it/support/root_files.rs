//! The files of an image that tests import into an engine: busybox, and what each test adds.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with the files, gone when dropped.
pub struct RootFiles(tempfile::TempDir);

impl RootFiles {
    /// Busybox, and a shell that is it.
    pub fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let bin = files.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", bin.join("sh")).unwrap();
        files
    }

    /// Where they are, to add others.
    pub fn path(&self) -> PathBuf {
        self.place().join("root")
    }

    /// The folder around them, for what is not part of the image.
    pub fn place(&self) -> &Path {
        self.0.path()
    }

    /// The path of an archive of them as they are now.
    pub fn archive(&self) -> String {
        let archive = self.place().join("root.tar").display().to_string();
        let mut tar = Command::new("tar");
        assert!(tar.arg("-C").arg(self.path()).args(["-cf", &archive, "."]).status().unwrap().success());
        archive
    }
}

/// The arguments of `docker import` for an archive, with instructions of a Dockerfile for the image.
pub fn import<'a>(archive: &'a str, changes: &'a [String], image: &'a str) -> Vec<&'a str> {
    let changes = changes.iter().flat_map(|change| ["-c", change]);
    ["import"].into_iter().chain(changes).chain([archive, image]).collect()
}
