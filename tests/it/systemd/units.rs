//! The units in `examples/`, as systemd-analyze judges them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::proxy::PROGRAM;
use crate::support::tools::{combined_output, stdout};

/// Copies of the units, with the program that was built in place of the installed one.
fn units(directory: &Path) -> Vec<PathBuf> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let kinds = ["service", "socket"];
    let entries = fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let units =
        entries.filter(|path| path.extension().is_some_and(|kind| kinds.iter().any(|unit| kind == *unit)));
    let copy = |unit: PathBuf| {
        let text =
            fs::read_to_string(&unit).unwrap().replace("/usr/local/bin/docker-proxy-acl", PROGRAM.as_str());
        let copy = directory.join(unit.file_name().unwrap());
        fs::write(&copy, text).unwrap();
        copy
    };
    units.map(copy).collect()
}

/// The exposure that `systemd-analyze security` finds, from 0 (none) to 10.
fn exposure(unit: &Path) -> f64 {
    let output = Command::new("systemd-analyze").args(["security", "--offline=yes"]).arg(unit).output();
    let table = stdout(output.unwrap());
    let line = table.lines().find(|line| line.contains("Overall exposure level")).expect(&table);
    line.rsplit(": ").next().unwrap().split(' ').next().unwrap().parse().expect(line)
}

#[test]
#[ignore = "needs systemd-analyze: tests/run"]
fn each_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let units = units(directory.path());
    assert!(units.len() >= 3, "{units:?}");
    // A template is judged as an instance.
    let instances = units.iter().map(|unit| unit.to_str().unwrap().replace("@.", "@web."));
    let output = Command::new("systemd-analyze").arg("verify").args(instances).output().unwrap();
    assert!(output.status.success() && combined_output(&output).is_empty(), "{output:?}");
}

#[test]
#[ignore = "needs systemd-analyze: tests/run"]
fn the_template_is_exposed_below_two() {
    let directory = tempfile::tempdir().unwrap();
    units(directory.path());
    let exposure = exposure(&directory.path().join("docker-proxy-acl@.service"));
    assert!(exposure < 2.0, "{exposure}");
}
