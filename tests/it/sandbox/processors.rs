//! The table of system calls is for both processors: what one of them lacks has a newer form beside it.

use std::collections::BTreeSet;

/// The names that the table allows on arm64.
pub fn on_arm64() -> BTreeSet<&'static str> {
    let (x86_64_only, everywhere): (Vec<_>, Vec<_>) = rows().partition(|(x86_64_only, _)| *x86_64_only);
    assert!(!x86_64_only.is_empty() && everywhere.len() > 40, "the table is read as it is written");
    everywhere.into_iter().map(|(_, name)| name).collect()
}

/// The calls that the table allows on x86-64 alone.
fn on_x86_64_alone() -> impl Iterator<Item = &'static str> {
    rows().filter(|(x86_64_only, _)| *x86_64_only).map(|(_, name)| name)
}

/// Each row of the table: whether it is for x86-64 alone, and the call's name.
fn rows() -> impl Iterator<Item = (bool, &'static str)> {
    let source = include_str!("../../../src/sandbox/seccomp.rs");
    let (_, table) = source.split_once("const ALLOWED").unwrap();
    let (table, _) = table.split_once("\n];").unwrap();
    let calls = table.split("Call(libc::SYS_").zip(table.split("Call(libc::SYS_").skip(1));
    calls.map(|(before, after)| {
        let x86_64_only = before.trim_end().ends_with("#[cfg(target_arch = \"x86_64\")]");
        (x86_64_only, after.split(',').next().unwrap())
    })
}

/// The calls that arm64 does not have, with what does the same there.
const NEWER_FORMS: &[(&str, &str)] = &[
    ("epoll_wait", "epoll_pwait"),
    ("poll", "ppoll"),
    ("time", "clock_gettime"),
    ("stat", "newfstatat"),
    ("lstat", "newfstatat"),
    ("unlink", "unlinkat"),
    ("open", "openat"),
    ("readlink", "readlinkat"),
    ("access", "faccessat"),
];

#[test]
fn what_arm64_lacks_has_its_newer_form_in_the_table() {
    let (older, newer): (BTreeSet<_>, Vec<_>) = NEWER_FORMS.iter().copied().unzip();
    assert_eq!(on_x86_64_alone().collect::<BTreeSet<_>>(), older);
    for name in newer {
        assert!(on_arm64().contains(name), "{name}");
    }
}
