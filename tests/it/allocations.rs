//! Promise: deciding on a request takes next to nothing from the allocator, so that no path makes it
//! dear.

use allocation_counter::measure;
use http::Method;

use crate::support::library::allow_everything;

/// How many allocations a decision makes, and how many bytes they are.
fn cost(path: &str) -> (u64, u64) {
    let acl = allow_everything();
    // The table of paths is made once, by the first decision of the process.
    acl.authorize(&Method::GET, "/version", None);
    let used = measure(|| drop(acl.authorize(&Method::GET, path, None)));
    (used.count_total, used.bytes_total)
}

#[test]
fn a_canonical_path_is_decided_without_an_allocation() {
    for path in [
        "/version",
        "/v1.41/containers/json",
        "/v1.41/containers/3f4e8d6b1c0a/json",
        "/v1.41/images/ghcr.io/a/b:tag@sha256:0f/json",
        "/v1.41/containers/a/b/c",
        "/v1.41/containers/a/attach/ws",
        "/nowhere",
        "/containers/../json",
        "no-path",
    ] {
        assert_eq!(cost(path), (0, 0), "{path}");
    }
}

#[test]
fn a_path_that_must_be_respelled_is_allocated_once_or_twice_besides() {
    for path in [
        "/images/ghcr.io%2Fa%2Fb%3Atag/json",
        "/networks/a%7Cb%7Cc",
        "/containers//web/json",
        "/containers/%2e%2e/json",
    ] {
        let (count, _) = cost(path);
        assert!((1..=2).contains(&count), "{path}: {count} allocations");
    }
}

#[test]
fn the_longest_path_takes_no_more_than_a_few_times_its_length() {
    let path = format!("/networks/{}", "%7c".repeat(20_000));
    let (count, bytes) = cost(&path);
    assert!(count <= 4, "{count} allocations");
    assert!(bytes <= 4 * path.len() as u64, "{bytes} bytes for a path of {}", path.len());
}
