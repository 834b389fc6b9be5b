//! The catalog: every endpoint that can ever be opened, and those that never are.
//!
//! This table is the policy. The router, `--help`, the `endpoints` command, the README's table and
//! the completeness test are made from it; opening a new endpoint is one new row.
//! Paths are those of the Engine API, 1.25 to 1.56, without the version prefix.

use serde::Serialize;

/// One `GET` operation of the Engine API that `-a` can open.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// What `-a` calls it, such as `containers:list`.
    pub name: &'static str,
    /// The Engine API path. `{id}` stands for one segment, `{*name}` for one or more, because an
    /// image's name may hold slashes.
    #[serde(serialize_with = "serialize_api_path")]
    pub path: &'static str,
    /// What an answer tells the client.
    pub reveals: &'static str,
    /// The group that opens it, if any; else only its own name does.
    pub group: Option<&'static str>,
    /// When its answer ends.
    pub answer: Answer,
    /// Whether an answer holds files of containers or images; allowing it is worth a warning.
    pub hands_out_files: bool,
}

/// When an endpoint's answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// By itself.
    Finite,
    /// Perhaps never: it may be quiet for hours and its head may be late.
    Endless,
}

/// A path that no name opens.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The path, written like [`Endpoint::path`].
    pub path: &'static str,
    /// Why nothing opens it.
    pub why: &'static str,
}

/// Every endpoint that can be opened.
#[rustfmt::skip] // one row a line
pub static CATALOG: &[Endpoint] = &[
    in_group("containers", "containers:list", "/containers/json", "every container's names, image, command, labels, ports, mounts and state"),
    in_group("containers", "containers:inspect", "/containers/{id}/json", "all of one container, its environment variables (often passwords) included"),
    in_group("images", "images:list", "/images/json", "every image's tags, digests, labels and size"),
    in_group("images", "images:inspect", "/images/{*name}/json", "one image's configuration, with its environment variables"),
    in_group("images", "images:history", "/images/{*name}/history", "the commands that built an image, build arguments included"),
    in_group("networks", "networks:list", "/networks", "every network's subnets, options and labels"),
    in_group("networks", "networks:inspect", "/networks/{id}", "one network and the addresses of its containers"),
    in_group("volumes", "volumes:list", "/volumes", "every volume's name, driver, options and place on the host"),
    in_group("volumes", "volumes:inspect", "/volumes/{name}", "one volume's driver, options and place on the host"),
    in_group("services", "services:list", "/services", "every swarm service with its specification, environment variables included"),
    in_group("services", "services:inspect", "/services/{id}", "one swarm service with its specification, environment variables included"),
    in_group("tasks", "tasks:list", "/tasks", "every swarm task with its specification, environment variables included"),
    in_group("tasks", "tasks:inspect", "/tasks/{id}", "one swarm task with its specification, environment variables included"),
    in_group("nodes", "nodes:list", "/nodes", "every swarm node's name, address, resources, labels and certificate issuer"),
    in_group("nodes", "nodes:inspect", "/nodes/{id}", "one swarm node's name, address, resources, labels and certificate issuer"),
    in_group("events", "events", "/events", "what happens on the engine as it happens, with names and labels").endless(),
    in_group("info", "info", "/info", "the host: kernel, memory, registries, proxies, plugins, swarm state"),
    in_group("version", "version", "/version", "versions of the engine, its parts and the host's kernel"),
    in_group("ping", "ping", "/_ping", "that the engine is there, its API version and its swarm role"),
    on_its_own("containers:top", "/containers/{id}/top", "a container's processes with their arguments; the engine runs ps with the client's options"),
    on_its_own("containers:logs", "/containers/{id}/logs", "whatever a container printed").endless(),
    on_its_own("containers:stats", "/containers/{id}/stats", "a container's use of processor, memory, network and disk").endless(),
    on_its_own("containers:changes", "/containers/{id}/changes", "names of the files that a container changed"),
    on_its_own("containers:export", "/containers/{id}/export", "every file of a container").hands_out_files(),
    on_its_own("containers:archive", "/containers/{id}/archive", "any file of a container, its volumes included").hands_out_files(),
    on_its_own("services:logs", "/services/{id}/logs", "whatever a service's tasks printed").endless(),
    on_its_own("tasks:logs", "/tasks/{id}/logs", "whatever a task printed").endless(),
    on_its_own("images:search", "/images/search", "answers of the public registry; the engine sends it the client's words"),
    on_its_own("images:attestations", "/images/{*name}/attestations", "how an image was built: provenance and contents"),
    on_its_own("images:export", "/images/get", "every file of any images, as an archive").hands_out_files(),
    on_its_own("images:export", "/images/{*name}/get", "every file of one image, as an archive").hands_out_files(),
    on_its_own("exec:inspect", "/exec/{id}/json", "a command that was started in a container, with its arguments"),
    on_its_own("plugins:list", "/plugins", "every plugin with its settings, environment variables included"),
    on_its_own("plugins:inspect", "/plugins/{*name}/json", "one plugin with its settings, environment variables included"),
    on_its_own("distribution:inspect", "/distribution/{*name}/json", "an image's digest and platforms; the engine asks the registry that the client names"),
    on_its_own("system:df", "/system/df", "the disk use of every image, container, volume and build cache entry; slow"),
    on_its_own("swarm:inspect", "/swarm", "the swarm's settings and the tokens that let a machine join it, also as a manager"),
    on_its_own("secrets:list", "/secrets", "every secret's name and labels, never its content"),
    on_its_own("secrets:inspect", "/secrets/{id}", "one secret's name and labels, never its content"),
    on_its_own("configs:list", "/configs", "every config with its content"),
    on_its_own("configs:inspect", "/configs/{id}", "one config with its content"),
];

/// What the engine would answer to a `GET` and no name opens.
#[rustfmt::skip] // one row a line
pub static REFUSED: &[Refusal] = &[
    Refusal { path: "/containers/{id}/attach/ws", why: "it writes to the container" },
    Refusal { path: "/swarm/unlockkey", why: "it hands out the swarm's unlock key" },
    Refusal { path: "/plugins/privileges", why: "it makes the engine call a registry with the client's words" },
    Refusal { path: "/debug/{*rest}", why: "it hands out the engine's own memory and profiles" },
    Refusal { path: "/session", why: "it turns the connection into a tunnel" },
    Refusal { path: "/grpc", why: "it turns the connection into a tunnel" },
];

impl Endpoint {
    /// The path as the Engine API's documents write it, such as `/images/{name}/json`.
    pub fn api_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    const fn endless(mut self) -> Self {
        self.answer = Answer::Endless;
        self
    }

    const fn hands_out_files(mut self) -> Self {
        self.hands_out_files = true;
        self
    }
}

const fn in_group(
    group: &'static str,
    name: &'static str,
    path: &'static str,
    reveals: &'static str,
) -> Endpoint {
    Endpoint { name, path, reveals, group: Some(group), answer: Answer::Finite, hands_out_files: false }
}

const fn on_its_own(name: &'static str, path: &'static str, reveals: &'static str) -> Endpoint {
    Endpoint { name, path, reveals, group: None, answer: Answer::Finite, hands_out_files: false }
}

fn serialize_api_path<S: serde::Serializer>(path: &&'static str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.replace("{*", "{"))
}
