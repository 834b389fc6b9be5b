//! What tests use of the library under test, so that its paths stand in one place. `sandbox/attempt.rs` and
//! `fuzz/bodies.rs` are programs of their own and name theirs themselves.

pub use docker_proxy_acl::acl::catalog::{CATALOG, Endpoint, REFUSED};
pub use docker_proxy_acl::acl::{Acl, CanonicalPath, Decision, names};
pub use docker_proxy_acl::cli::Cli;
pub use docker_proxy_acl::config::Config;

/// An ACL that allows all that can be allowed.
pub fn allow_everything() -> Acl {
    Acl::from_names(names::all()).unwrap()
}

/// Every name, as the value of `-a`.
pub fn every_name() -> String {
    names::all().join(",")
}
