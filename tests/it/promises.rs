//! SECURITY.md names the test that holds each promise; this holds it to that.

use std::path::Path;

/// What stands between backquotes and looks like `tests/it/file.rs::test`.
fn named_tests() -> Vec<(&'static str, &'static str)> {
    let quoted = include_str!("../../SECURITY.md").split('`').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with("tests/")).filter_map(|text| text.split_once("::")).collect()
}

#[test]
fn every_test_that_security_md_names_exists() {
    let named = named_tests();
    assert!(named.len() > 40, "SECURITY.md names {} tests", named.len());
    for (file, test) in named {
        let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        // A module, where each row of a table or each transport has a test of its own.
        let found =
            [format!("fn {test}("), format!("mod {test} {{")].iter().any(|item| source.contains(item));
        assert!(found, "{file} has no test {test}");
    }
}

#[test]
fn every_promise_names_a_test() {
    let rows = include_str!("../../SECURITY.md").lines().filter(|line| line.starts_with("| "));
    let promises = rows.filter(|row| !row.starts_with("| ---") && !row.starts_with("| promise"));
    for promise in promises {
        assert!(promise.contains("`tests/"), "no test holds this: {promise}");
    }
}
