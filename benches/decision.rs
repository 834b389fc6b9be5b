//! What the verdict on a request costs: its path's canonical form, and the way from a method and a path
//! to the verdict.
//!
//! `cargo bench --bench decision`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use docker_proxy_acl::policy::catalog::ENGINE;
use docker_proxy_acl::policy::{Acl, CanonicalPath, names};
use http::Method;

/// What clients ask for, the plainest first, and what gets more work than that.
const PATHS: &[(&str, &str)] = &[
    ("plain", "/version"),
    ("with a version", "/v1.41/containers/json"),
    ("with an id", "/v1.41/containers/3f4e8d6b1c0a9f7e5d2c4b6a8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3/json"),
    ("with a name of segments", "/v1.41/images/ghcr.io/a/b:tag@sha256:0f/json"),
    ("with escapes", "/v1.41/images/ghcr.io%2Fa%2Fb%3Atag/json"),
    ("unknown", "/v1.41/containers/a/b/c"),
    ("tricky", "/v1.41/containers/%2e%2e/json"),
];

fn canonical_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("canonical path");
    for (name, path) in PATHS {
        group.bench_function(*name, |bencher| bencher.iter(|| CanonicalPath::parse(black_box(path)).is_ok()));
    }
}

fn verdict(criterion: &mut Criterion) {
    for (enabled, acl) in [
        ("1 name", Acl::from_names(&ENGINE, ["version"])),
        ("all names", Acl::from_names(&ENGINE, names::all(&ENGINE))),
    ] {
        let acl = acl.expect("these are names");
        let mut group = criterion.benchmark_group(format!("verdict, {enabled}"));
        for (name, path) in PATHS {
            group.bench_function(*name, |bencher| {
                bencher.iter(|| {
                    black_box(acl.authorize(black_box(&Method::GET), black_box(path), None));
                })
            });
        }
    }
}

criterion_group!(benches, canonical_path, verdict);
criterion_main!(benches);
