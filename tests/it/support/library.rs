//! What tests use of the library under test, so that its paths stand in one place. `sandbox/attempt.rs` and
//! `fuzz/bodies.rs` are programs of their own and name theirs themselves.

pub use docker_proxy_acl::cli::Cli;
pub use docker_proxy_acl::config::Config;
pub use docker_proxy_acl::policy::catalog::ENGINE;
pub use docker_proxy_acl::policy::consumers::{CONSUMERS, Consumer};
pub use docker_proxy_acl::policy::query::Kind;
pub use docker_proxy_acl::policy::version::ApiVersion;
pub use docker_proxy_acl::policy::{Acl, Allowed, CanonicalPath, Endpoint, Origin, Reason, Verdict, names};

/// An ACL that allows all that can be allowed.
pub fn allow_everything() -> Acl {
    Acl::from_names(&ENGINE, names::all(&ENGINE)).unwrap()
}

/// A path of the catalog with a name filled in, which has a slash where names may.
pub fn example(path: &str) -> String {
    let names = [("{*name}", "a/b"), ("{*id}", "a/b"), ("{*rest}", "a/b"), ("{name}", "a"), ("{id}", "a")];
    names.iter().fold(path.to_owned(), |path, (variable, name)| path.replace(variable, name))
}

/// Every name, as the value of `-a`.
pub fn every_name() -> String {
    names::all(&ENGINE).join(",")
}
