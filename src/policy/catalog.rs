//! The catalog: every endpoint that can ever be enabled, and the paths that never are.
//!
//! This table is the policy. The router, `--help`, the `endpoints` command, the tables in the
//! documentation and the completeness tests are made from it; a new endpoint is one new row.
//! Paths are those of the Engine API, 1.25 to 1.56, without the version prefix.

use std::sync::LazyLock;

use serde::Serialize;

use super::load::Load;
use super::object::Object;
use super::path::CanonicalPath;
use super::query::Kind::{Boolean, Filters, Integer, List, PsArgs, Tail, Text, Timestamp};
use super::query::{Kind, Parameter};
use super::redaction::Class::{Commands, Env, Labels, Options, Paths, Tokens};
use super::redaction::{Class, Classes};
use super::router::{Route, Router};
use super::version::ApiVersion;
use super::visibility::Lists;

/// One `GET` operation of the API that `-a` can enable.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// What `-a` calls it, such as `containers:list`.
    pub name: &'static str,
    /// The API's path, with at most one name in it. `{id}` stands for one segment, `{*name}` for anything,
    /// slashes included: these are `{name:.*}` in the engine's own routes.
    #[serde(serialize_with = "serialize_api_path")]
    pub path: &'static str,
    /// Another path that the engine answers in the same way, if it has one.
    #[serde(skip)]
    pub alias: Option<&'static str>,
    /// What an answer tells the client.
    pub exposes: &'static str,
    /// The group that enables it, if any; else only its own name does.
    pub group: Option<&'static str>,
    /// When its answer ends.
    pub response: ResponseKind,
    /// Whether an answer holds files of containers or images; enabling it is worth a warning.
    pub hands_out_files: bool,
    /// What an answer is made of, which says whether it can be filtered.
    pub body: Body,
    /// What of an answer can be redacted.
    #[serde(rename = "redactable", serialize_with = "serialize_classes")]
    pub holds: Classes,
    /// Where an answer lists objects that can be invisible.
    #[serde(skip)]
    pub lists: Lists,
    /// What its answers cost the engine while they are given.
    #[serde(skip)]
    pub load: Load,
    /// What the path names, or for `/images/get` the query.
    #[serde(skip)]
    pub object: Option<Object>,
    /// Kinds of objects that its answer names by their ids.
    #[serde(skip)]
    pub refers_to: &'static [Object],
    /// The query parameters that are sent on.
    #[serde(serialize_with = "serialize_parameters")]
    pub parameters: &'static [Parameter],
    /// Below this version of the API its answer shows what that of another endpoint does, so that its name is
    /// needed too.
    #[serde(skip)]
    pub shows_more_below: Option<(ApiVersion, &'static str)>,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// One JSON document.
    Document,
    /// JSON objects one after the other.
    Sequence,
    /// What cannot be filtered: logs, archives.
    Opaque,
    /// A word that tells nothing of any object.
    Constant,
}

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

/// When an endpoint's answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResponseKind {
    /// By itself.
    Bounded,
    /// Perhaps never: it may be quiet for hours, and its head may be late.
    Streaming,
}

/// A path that no name enables.
#[derive(Debug, PartialEq, Eq)]
pub struct DeniedPath {
    /// The path, written like [`Endpoint::path`].
    pub path: &'static str,
    /// Why nothing enables it.
    pub why: &'static str,
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
        .takes(&[parameter("filters", Filters), parameter("status", Boolean)]).refers_to(&[Object::Network]),
    row("services:inspect", "/services/{id}").grouped().of(Object::Service)
        .exposes("one swarm service with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options])
        .takes(&[parameter("insertDefaults", Boolean)]).refers_to(&[Object::Network]),
    row("tasks:list", "/tasks").grouped()
        .exposes("every swarm task with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]).refers_to(&[Object::Service, Object::Network]),
    row("tasks:inspect", "/tasks/{id}").grouped().of(Object::Task)
        .exposes("one swarm task with its specification, environment variables included")
        .holds(&[Env, Commands, Labels, Paths, Options])
        .refers_to(&[Object::Network]),
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
        .holds(&[Labels, Options, Tokens]).lists(Lists::Root)
        .takes(&[parameter("filters", Filters)]),
    row("secrets:inspect", "/secrets/{id}").of(Object::Secret)
        .exposes("one secret's name and labels, never its content")
        .holds(&[Labels, Options, Tokens]),
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
];

impl Catalog {
    /// The catalog of an API.
    pub fn new(endpoints: &'static [Endpoint], denied: &'static [DeniedPath]) -> Self {
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

impl Endpoint {
    /// The path as the API's documents write it, such as `/images/{name}/json`.
    pub fn api_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    const fn or_at(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// What stands before and after the name in its path; `None` if the path names nothing.
    pub fn around_name(&self) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.path.split_once('{')?;
        Some((before, rest.split_once('}')?.1))
    }

    /// Whether its answer is the engine's events.
    pub fn is_events(&self) -> bool {
        self.body == Body::Sequence && self.object.is_none()
    }

    /// Whether its answer holds only objects that a listener shows.
    pub fn can_be_limited(&self) -> bool {
        self.object.is_some() || self.lists != Lists::None || self.is_events()
    }

    /// The part of its name before the colon enables it too.
    const fn grouped(mut self) -> Self {
        self.group = Some(before_colon(self.name));
        self
    }

    const fn exposes(mut self, what: &'static str) -> Self {
        self.exposes = what;
        self
    }

    const fn streaming(mut self) -> Self {
        self.response = ResponseKind::Streaming;
        self
    }

    /// Its connection counts, its answer does not.
    const fn quiet(mut self) -> Self {
        self.load = Load::Quiet;
        self
    }

    const fn costs(mut self, units: u32) -> Self {
        self.load = Load::Costly(units);
        self
    }

    const fn costs_if(mut self, parameter: &'static str, units: u32) -> Self {
        self.load = Load::CostlyIf(parameter, units);
        self
    }

    const fn costs_unless_false(mut self, parameter: &'static str, units: u32) -> Self {
        self.load = Load::CostlyUnlessFalse(parameter, units);
        self
    }

    const fn hands_out_files(mut self) -> Self {
        self.hands_out_files = true;
        self.opaque()
    }

    const fn opaque(mut self) -> Self {
        self.body = Body::Opaque;
        self
    }

    const fn constant(mut self) -> Self {
        self.body = Body::Constant;
        self
    }

    const fn sequence(mut self) -> Self {
        self.body = Body::Sequence;
        self
    }

    const fn holds(mut self, classes: &[Class]) -> Self {
        self.holds = Classes::of(classes);
        self
    }

    const fn takes(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }

    const fn shows_more_below(mut self, version: ApiVersion, name: &'static str) -> Self {
        self.shows_more_below = Some((version, name));
        self
    }

    const fn refers_to(mut self, objects: &'static [Object]) -> Self {
        self.refers_to = objects;
        self
    }

    const fn of(mut self, object: Object) -> Self {
        self.object = Some(object);
        self
    }

    const fn lists(mut self, lists: Lists) -> Self {
        self.lists = lists;
        self
    }
}

/// An endpoint that only its own name enables, with an answer that is one JSON document and ends by itself;
/// the other methods of [`Endpoint`] say what else there is to say of it.
const fn row(name: &'static str, path: &'static str) -> Endpoint {
    Endpoint {
        name,
        path,
        alias: None,
        exposes: "",
        group: None,
        response: ResponseKind::Bounded,
        hands_out_files: false,
        body: Body::Document,
        holds: Classes::NONE,
        lists: Lists::None,
        load: Load::Ordinary,
        object: None,
        refers_to: &[],
        parameters: &[],
        shows_more_below: None,
    }
}

const fn parameter(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind }
}

/// The whole name if it has no colon.
const fn before_colon(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b':' {
            return name.split_at(at).0;
        }
        at += 1;
    }
    name
}

fn serialize_api_path<S: serde::Serializer>(path: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.replace("{*", "{"))
}

fn serialize_classes<S: serde::Serializer>(classes: &Classes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(classes.iter().map(Class::name))
}

fn serialize_parameters<S: serde::Serializer>(
    parameters: &&'static [Parameter],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(parameters.iter().map(|parameter| parameter.name))
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
        let verdict = |path| acl.judge(&http::Method::GET, path, None);
        assert!(
            matches!(verdict("/pods/json"), Verdict::Allowed(allowed) if allowed.endpoint.name == "pods:list")
        );
        assert!(matches!(verdict("/containers/json"), Verdict::Denied(_)));
        assert!(Acl::from_names(&OTHER, ["containers"]).is_err());
    }
}
