//! The catalog: every endpoint that can ever be enabled, and the paths that never are.
//!
//! This table is the policy. The router, `--help`, the `endpoints` command, the tables in the
//! documentation and the completeness tests are made from it; a new endpoint is one new row.
//! Paths are those of the Engine API, 1.25 to 1.56, without the version prefix.

use std::sync::LazyLock;

use super::endpoint::{DeniedPath, Endpoint, parameter, row};
use super::object::Object;
use super::path::CanonicalPath;
use super::query::Kind::{Boolean, Filters, Integer, List, PsArgs, Tail, Text, Timestamp};
use super::query::Parameter;
use super::redaction::Class::{Commands, Env, Labels, Options, Paths, Tokens};
use super::router::{Route, Router};
use super::version::ApiVersion;
use super::visibility::Lists;

/// The units of load that an answer counts for: a cap on their sum keeps clients from taking what the
/// engine has few of.
mod units {
    /// A stream of statistics, which the engine collects every second.
    pub const STATS: u32 = 1;
    /// A log that is followed: an inotify instance, of which a host has 128 for one user by default.
    pub const FOLLOWED_LOG: u32 = 2;
    /// Files read from the disk in bulk, with a container's lock or temporary space held meanwhile, or
    /// every file of the engine's looked at for its size.
    pub const BULK: u32 = 16;
}

/// The table of one API, with the router that is made from it.
#[derive(Debug)]
pub struct Catalog {
    endpoints: &'static [Endpoint],
    denied: &'static [DeniedPath],
    router: Router,
}

/// The Docker Engine's API, which Podman serves as well.
pub static ENGINE: LazyLock<Catalog> = LazyLock::new(|| Catalog::new(ENDPOINTS, DENIED));

/// Every endpoint that can be enabled.
#[rustfmt::skip] // what a row says of its endpoint stands in as few lines as it needs
static ENDPOINTS: &[Endpoint] = &[
    row("containers:list", "/containers/json").grouped()
        .exposes("every container's names, image, command, labels, ports, mounts and state")
        .holds(&[Commands, Labels, Paths, Options]).lists(Lists::Root).costs_if("size", units::BULK)
        .takes(&[parameter("all", Boolean), parameter("filters", Filters), parameter("limit", Integer), parameter("size", Boolean)]),
    row("containers:inspect", "/containers/{*id}/json").grouped().of(Object::Container)
        .exposes("all of one container, its environment variables (often passwords) included")
        .holds(&[Env, Commands, Labels, Paths, Options]).costs_if("size", units::BULK)
        .takes(&[parameter("size", Boolean)]),
    row("images:list", "/images/json").grouped()
        .exposes("every image's tags, digests, labels and size")
        .holds(&[Labels]).lists(Lists::Root).costs_if("shared-size", units::BULK)
        .takes(&[parameter("all", Boolean), parameter("digests", Boolean), parameter("filters", Filters), parameter("identity", Boolean), parameter("manifests", Boolean), parameter("shared-size", Boolean)]),
    row("images:inspect", "/images/{*name}/json").grouped().of(Object::Image)
        .exposes("one image's configuration, with its environment variables")
        .holds(&[Env, Commands, Labels, Paths])
        .takes(&[parameter("manifests", Boolean), parameter("platform", Text)]),
    row("images:history", "/images/{*name}/history").grouped().of(Object::Image)
        .exposes("the commands that built an image, build arguments included")
        .holds(&[Env, Commands, Labels])
        .takes(&[parameter("platform", Text)]),
    row("networks:list", "/networks").grouped().or_at("/networks/")
        .exposes("every network's subnets, options and labels")
        .holds(&[Labels, Options]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]).shows_more_below(ApiVersion::new(1, 28), "networks:inspect").refers_to(&[Object::Container]),
    row("networks:inspect", "/networks/{*id}").grouped().of(Object::Network)
        .exposes("one network and the addresses of its containers")
        .holds(&[Labels, Options])
        .takes(&[parameter("scope", Text), parameter("verbose", Boolean)]).refers_to(&[Object::Container]),
    row("volumes:list", "/volumes").grouped()
        .exposes("every volume's name, driver, options and place on the host")
        .holds(&[Labels, Paths, Options]).lists(Lists::Named)
        .takes(&[parameter("filters", Filters)]),
    row("volumes:inspect", "/volumes/{*name}").grouped().of(Object::Volume)
        .exposes("one volume's driver, options and place on the host")
        .holds(&[Labels, Paths, Options]),
    row("services:list", "/services").grouped()
        .exposes("every swarm service with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters), parameter("status", Boolean)]).refers_to(&[Object::Network, Object::Secret, Object::Config]),
    row("services:inspect", "/services/{id}").grouped().of(Object::Service)
        .exposes("one swarm service with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options])
        .takes(&[parameter("insertDefaults", Boolean)]).refers_to(&[Object::Network, Object::Secret, Object::Config]),
    row("tasks:list", "/tasks").grouped()
        .exposes("every swarm task with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]).refers_to(&[Object::Service, Object::Network, Object::Secret, Object::Config]),
    row("tasks:inspect", "/tasks/{id}").grouped().of(Object::Task)
        .exposes("one swarm task with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options])
        .refers_to(&[Object::Network, Object::Secret, Object::Config]),
    row("nodes:list", "/nodes").grouped()
        .exposes("every swarm node's name, address, resources, labels and certificate issuer")
        .holds(&[Labels, Options, Tokens])
        .takes(&[parameter("filters", Filters)]),
    row("nodes:inspect", "/nodes/{id}").grouped()
        .exposes("one swarm node's name, address, resources, labels and certificate issuer")
        .holds(&[Labels, Options, Tokens]),
    row("events", "/events").grouped()
        .exposes("what happens on the engine as it happens, with names and labels")
        .streaming().quiet().sequence().holds(&[Commands, Labels, Paths])
        .takes(&[parameter("filters", Filters), parameter("since", Timestamp), parameter("until", Timestamp)]),
    row("info", "/info").grouped()
        .exposes("the host: kernel, memory, registries, proxies, plugins, swarm state")
        .holds(&[Env, Commands, Labels, Paths, Options, Tokens]),
    row("version", "/version").grouped()
        .exposes("versions of the engine, its parts and the host's kernel"),
    row("ping", "/_ping").grouped()
        .exposes("that the engine is there, its API version and its swarm role")
        .constant(),
    row("containers:top", "/containers/{*id}/top").of(Object::Container)
        .exposes("a container's processes with their arguments; the engine runs ps with the client's options")
        .holds(&[Commands])
        .takes(&[parameter("ps_args", PsArgs)]),
    row("containers:logs", "/containers/{*id}/logs").of(Object::Container)
        .exposes("whatever a container printed")
        .streaming().opaque().costs_if("follow", units::FOLLOWED_LOG)
        .takes(CONTAINER_LOGS),
    row("containers:stats", "/containers/{*id}/stats").of(Object::Container)
        .exposes("a container's use of processor, memory, network and disk")
        .streaming().sequence().costs_unless_false("stream", units::STATS)
        .takes(&[parameter("one-shot", Boolean), parameter("stream", Boolean)]),
    row("containers:changes", "/containers/{*id}/changes").of(Object::Container)
        .exposes("names of the files that a container changed"),
    row("containers:export", "/containers/{*id}/export").of(Object::Container)
        .exposes("every file of a container")
        .hands_out_files().costs(units::BULK),
    row("containers:archive", "/containers/{*id}/archive").of(Object::Container)
        .exposes("any file of a container, its volumes included")
        .hands_out_files().costs(units::BULK)
        .takes(&[parameter("path", Text)]),
    row("services:logs", "/services/{id}/logs").of(Object::Service)
        .exposes("whatever a service's tasks printed")
        .streaming().opaque().costs_if("follow", units::FOLLOWED_LOG)
        .takes(SWARM_LOGS),
    row("tasks:logs", "/tasks/{id}/logs").of(Object::Task)
        .exposes("whatever a task printed")
        .streaming().opaque().costs_if("follow", units::FOLLOWED_LOG)
        .takes(SWARM_LOGS),
    row("images:search", "/images/search")
        .exposes("answers of the public registry; the engine sends it the client's words")
        .takes(&[parameter("filters", Filters), parameter("limit", Integer), parameter("term", Text)]),
    row("images:attestations", "/images/{*name}/attestations").of(Object::Image)
        .exposes("how an image was built: provenance and contents")
        .holds(&[Env, Commands, Labels, Paths])
        .takes(&[parameter("platform", List), parameter("statement", Boolean), parameter("type", List)]),
    row("images:export", "/images/get").of(Object::Image)
        .exposes("every file of any images, as an archive")
        .hands_out_files().costs(units::BULK)
        .takes(&[parameter("names", List), parameter("platform", List)]),
    row("images:export", "/images/{*name}/get").of(Object::Image)
        .exposes("every file of one image, as an archive")
        .hands_out_files().costs(units::BULK)
        .takes(&[parameter("platform", List)]),
    row("exec:inspect", "/exec/{*id}/json").of(Object::Exec)
        .exposes("a command that was started in a container, with its arguments")
        .holds(&[Commands]),
    row("plugins:list", "/plugins")
        .exposes("every plugin with its settings, environment variables included")
        .holds(&[Env, Commands, Paths, Options])
        .takes(&[parameter("filters", Filters)]),
    row("plugins:inspect", "/plugins/{*name}/json")
        .exposes("one plugin with its settings, environment variables included")
        .holds(&[Env, Commands, Paths, Options]),
    row("distribution:inspect", "/distribution/{*name}/json")
        .exposes("an image's digest and platforms; the engine asks the registry that the client names")
        .holds(&[Labels]),
    row("system:df", "/system/df")
        .exposes("the disk use of every image, container, volume and build cache entry; slow")
        .holds(&[Commands, Labels, Paths, Options]).lists(Lists::Named).costs(units::BULK)
        .takes(&[parameter("type", List), parameter("verbose", Boolean)]),
    row("swarm:inspect", "/swarm")
        .exposes("the swarm's settings and the tokens that let a machine join it, also as a manager")
        .holds(&[Labels, Options, Tokens]),
    row("secrets:list", "/secrets")
        .exposes("every secret's name and labels, never its content")
        .holds(&[Labels, Paths, Options, Tokens]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]),
    row("secrets:inspect", "/secrets/{id}").of(Object::Secret)
        .exposes("one secret's name and labels, never its content")
        .holds(&[Labels, Paths, Options, Tokens]),
    row("configs:list", "/configs")
        .exposes("every config with its content")
        .holds(&[Labels, Options, Tokens]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]),
    row("configs:inspect", "/configs/{id}").of(Object::Config)
        .exposes("one config with its content")
        .holds(&[Labels, Options, Tokens]),
];

/// The parameters of endpoints for logs; the last is taken for containers alone.
const CONTAINER_LOGS: &[Parameter; 8] = &[
    parameter("details", Boolean),
    parameter("follow", Boolean),
    parameter("stdout", Boolean),
    parameter("stderr", Boolean),
    parameter("since", Timestamp),
    parameter("timestamps", Boolean),
    parameter("tail", Tail),
    parameter("until", Timestamp),
];
const SWARM_LOGS: &[Parameter] = CONTAINER_LOGS.split_at(7).0;

/// What the engine would answer to a `GET` and no name enables.
#[rustfmt::skip] // one row a line
static DENIED: &[DeniedPath] = &[
    DeniedPath { path: "/containers/{*id}/attach/ws", why: "it writes to the container" },
    DeniedPath { path: "/swarm/unlockkey", why: "it hands out the swarm's unlock key" },
    DeniedPath { path: "/plugins/privileges", why: "it makes the engine call a registry with the client's words" },
    DeniedPath { path: "/debug/{*rest}", why: "it hands out the engine's own memory and profiles" },
    DeniedPath { path: "/session", why: "it turns the connection into a tunnel" },
    DeniedPath { path: "/grpc", why: "it turns the connection into a tunnel" },
    DeniedPath { path: "/libpod/{*rest}", why: "it is Podman's own API; clients are to use the Docker-compatible one" },
];

impl Catalog {
    /// The catalog of an API, of at most 128 rows: an ACL has a bit for each.
    pub fn new(endpoints: &'static [Endpoint], denied: &'static [DeniedPath]) -> Self {
        assert!(endpoints.len() <= 128, "an ACL has no more bits");
        Self { endpoints, denied, router: Router::new(endpoints, denied) }
    }

    /// Every endpoint that can be enabled, in the order of the table.
    pub fn endpoints(&self) -> &'static [Endpoint] {
        self.endpoints
    }

    /// The paths that no name enables.
    pub fn denied(&self) -> &'static [DeniedPath] {
        self.denied
    }

    /// Where a path leads.
    pub(super) fn route(&self, path: &CanonicalPath<'_>) -> Route {
        self.router.route(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Acl, Verdict};

    #[test]
    fn a_second_api_has_a_table_of_its_own() {
        static ROWS: &[Endpoint] = &[row("pods:list", "/pods/json").exposes("every pod").grouped()];
        static OTHER: LazyLock<Catalog> = LazyLock::new(|| Catalog::new(ROWS, &[]));
        let acl = Acl::from_names(&OTHER, ["pods"]).unwrap();
        let verdict = |path| acl.authorize(&http::Method::GET, path, None);
        assert!(
            matches!(verdict("/pods/json"), Verdict::Allowed(allowed) if allowed.endpoint.name == "pods:list")
        );
        assert!(matches!(verdict("/containers/json"), Verdict::Denied(_)));
        assert!(Acl::from_names(&OTHER, ["containers"]).is_err());
    }
}
