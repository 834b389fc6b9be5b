//! An engine with something of every kind in it, and a marker in every field that a class of redaction covers.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use docker_proxy_acl::policy::redaction::Class;
use serde_json::{Value, json};

use crate::support::engine::{Engine, docker_command};
use crate::support::library::Endpoint;
use crate::support::root_files::{RootFiles, import};
use crate::support::tools::stdout;
use crate::support::{http, until};

/// What the fields of each class hold.
pub const ENV: &str = "markerEnv7f3a";
pub const COMMAND: &str = "markerCommand7f3a";
pub const LABEL: &str = "markerLabel7f3a";
pub const HOST_PATH: &str = "markerPath7f3a";
pub const OPTION: &str = "markerOption7f3a";
pub const TOKEN: &str = "markerToken7f3a";

/// A filled engine; the tests that run at the same time share one.
pub struct Filled {
    pub engine: Engine,
    /// On the host, for binds; its path holds the marker.
    directory: tempfile::TempDir,
    execs: Vec<String>,
}

/// The engine that is filled now, or a new one.
pub fn filled() -> Arc<Filled> {
    static SHARED: Mutex<Weak<Filled>> = Mutex::new(Weak::new());
    crate::support::shared(&SHARED, Filled::new)
}

/// The texts that must be nowhere if a class is redacted.
pub fn markers(class: Class, filled: &Filled) -> Vec<String> {
    match class {
        Class::Tokens => filled.tokens(),
        _ => markers_but_tokens(class, &filled.engine),
    }
}

/// The same of an engine of any kind, but for its tokens, which it makes by itself if it has any.
pub fn markers_but_tokens(class: Class, engine: &Engine) -> Vec<String> {
    let engine = engine.directory().display().to_string();
    match class {
        Class::Env => vec![ENV.to_owned()],
        Class::Commands => vec![COMMAND.to_owned()],
        Class::Labels => vec![LABEL.to_owned()],
        Class::Paths => vec![HOST_PATH.to_owned(), engine],
        Class::Options => vec![OPTION.to_owned()],
        Class::Tokens => Vec::new(),
    }
}

/// Makes a directory to bind in another; its path.
pub fn bind_source(directory: &Path, name: &str) -> String {
    let source = directory.join(name);
    std::fs::create_dir_all(&source).unwrap();
    source.display().to_string()
}

/// The places of a text in the base64 of whatever holds it: three, one for each remainder.
pub fn base64_forms(text: &str) -> Vec<String> {
    (0..3).map(|skipped| inner_base64(text.as_bytes(), skipped)).collect()
}

/// The characters of base64 that depend on these bytes alone, if as many stand before them.
fn inner_base64(bytes: &[u8], before: usize) -> String {
    let padded = [&vec![0; before], bytes].concat();
    let whole = padded.len() / 3 * 4;
    let encoded = base64(&padded);
    encoded[(before * 8).div_ceil(6)..whole].to_owned()
}

/// Base64 of RFC 4648, without padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let six = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum << 1 | bit) << (6 - bits.len());
    bits.chunks(6).map(|bits| ALPHABET[usize::from(six(bits))] as char).collect()
}

pub fn padded_base64(text: &str) -> String {
    let encoded = base64(text.as_bytes());
    format!("{encoded}{}", "=".repeat((4 - encoded.len() % 4) % 4))
}

impl Filled {
    fn new() -> Self {
        let flags = [
            format!("--label=engine.{LABEL}={LABEL}"),
            format!("--add-runtime=other=/srv/{HOST_PATH}"),
            format!("--init-path=/srv/{HOST_PATH}"),
        ];
        let mut filled = Self {
            engine: Engine::private_with(flags.to_vec()),
            directory: tempfile::Builder::new().prefix(HOST_PATH).tempdir().unwrap(),
            execs: Vec::new(),
        };
        filled.images();
        filled.volumes();
        filled.networks();
        filled.containers();
        filled.swarm();
        filled.services();
        filled.plugins();
        filled.until_quiet();
        filled
    }

    pub fn socket(&self) -> &Path {
        self.engine.socket()
    }

    fn bind(&self, name: &str) -> String {
        bind_source(self.directory.path(), name)
    }

    /// Makes something at the engine.
    pub fn post(&self, target: &str, body: &Value) -> Value {
        self.engine.post(target, body)
    }

    pub fn get(&self, target: &str) -> Value {
        http::get(self.socket(), target).json()
    }

    pub fn docker(&self, args: &[&str]) -> String {
        stdout(self.engine.docker(args))
    }

    fn tokens(&self) -> Vec<String> {
        let tokens = self.get("/swarm")["JoinTokens"].clone();
        let token = |kind: &str| tokens[kind].as_str().unwrap().to_owned();
        [vec![TOKEN.to_owned(), token("Worker"), token("Manager")], base64_forms(TOKEN)].concat()
    }

    fn images(&self) {
        let files = RootFiles::new();
        let commands = files.path().join(COMMAND);
        std::fs::create_dir(&commands).unwrap();
        std::os::unix::fs::symlink("/bin/busybox", commands.join("sh")).unwrap();
        let archive = files.archive();
        self.docker(&["import", &archive, "busybox:latest"]);
        let changes = [
            format!("ENV SECRET={ENV}"),
            format!("CMD [\"/bin/sh\", \"-c\", \"echo {COMMAND}\"]"),
            format!("ENTRYPOINT [\"/bin/busybox\", \"{COMMAND}\"]"),
            format!("LABEL secret.{LABEL}={LABEL}"),
            format!("HEALTHCHECK CMD echo {COMMAND}"),
            format!("ONBUILD RUN echo {COMMAND}"),
            format!("ONBUILD ENV A={ENV}"),
            format!("ONBUILD LABEL a={LABEL}"),
        ];
        self.docker(&import(&archive, &changes, "imported:latest"));
        self.build(files.place(), "0");
        self.build(files.place(), "1");
    }

    /// Builds an image as Docker builds: by the engine itself, or with BuildKit.
    fn build(&self, directory: &Path, buildkit: &str) {
        let context = directory.join(format!("context{buildkit}"));
        std::fs::create_dir_all(&context).unwrap();
        let dockerfile = format!(
            "FROM busybox:latest\nARG DEFAULT={ENV}\nARG GIVEN\nENV SECRET={ENV}\n\
             LABEL secret.{LABEL}={LABEL}\nSHELL [\"/bin/sh\", \"-c\", \": {COMMAND};\"]\nSHELL [\"/bin/sh\", \"-c\"]\n\
             RUN echo {COMMAND}\nHEALTHCHECK CMD echo {COMMAND}\nONBUILD RUN echo {COMMAND}\n\
             ENTRYPOINT [\"/bin/sh\", \"{COMMAND}\"]\nCMD [\"{COMMAND}\"]\n"
        );
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let mut command = docker_command(self.socket());
        command.env("DOCKER_BUILDKIT", buildkit).args(["build", "--network", "none", "-t"]);
        command.arg(format!("built:{buildkit}")).arg("--build-arg").arg(format!("GIVEN={COMMAND}"));
        stdout(command.arg(&context).output().unwrap());
    }

    fn volumes(&self) {
        let volume = |name: &str, options: Value| {
            let labels = json!({ format!("secret.{LABEL}"): LABEL });
            self.post(
                "/volumes/create",
                &json!({ "Name": name, "Driver": "local", "DriverOpts": options, "Labels": labels }),
            );
        };
        volume(
            "share",
            json!({
                "type": "cifs", "device": format!("//server/{OPTION}"), "o": format!("password={OPTION}"),
            }),
        );
        volume("place", json!({ "type": "none", "device": self.bind("place"), "o": "bind" }));
    }

    fn networks(&self) {
        self.post(
            "/networks/create",
            &json!({
                "Name": "back", "Driver": "bridge", "CheckDuplicate": true,
                "Options": { format!("option.{OPTION}"): OPTION },
                "Labels": { format!("secret.{LABEL}"): LABEL },
                "IPAM": { "Driver": "default", "Options": { format!("option.{OPTION}"): OPTION } },
            }),
        );
    }

    fn containers(&mut self) {
        self.create("web", &self.running());
        self.post("/containers/web/start", &Value::Null);
        self.create("still", &json!({
            "Image": "busybox:latest", "Env": [format!("SECRET={ENV}")], "HostConfig": { "NetworkMode": "none" },
            "Cmd": ["/bin/sh", "-c", format!("while :; do /bin/busybox sleep 3600; done; : {COMMAND}")],
        }));
        self.post("/containers/still/start", &Value::Null);
        self.create("made", &self.only_made());
        self.create("broken", &json!({
            "Image": "busybox:latest", "Cmd": [format!("/{COMMAND}")], "HostConfig": {"NetworkMode": "none"},
        }));
        self.fails_to_start("broken");
        let lost = self.bind("lost");
        self.create("bereft", &json!({
            "Image": "busybox:latest", "Cmd": ["/bin/sh"],
            "HostConfig": { "NetworkMode": "none", "Mounts": [{"Type": "bind", "Source": lost, "Target": "/mnt"}] },
        }));
        std::fs::remove_dir(lost).unwrap();
        self.fails_to_start("bereft");
        self.create(
            "unshared",
            &json!({
                "Image": "busybox:latest", "Cmd": ["/bin/sh"],
                "HostConfig": { "NetworkMode": "none", "Binds": ["share:/mnt"] },
            }),
        );
        self.fails_to_start("unshared");
        for _ in 0..2 {
            self.exec("web");
        }
        self.docker(&["commit", "-m", "a comment", "web", "committed:latest"]);
    }

    pub fn create(&self, name: &str, body: &Value) {
        self.post(&format!("/containers/create?name={name}"), body);
    }

    fn fails_to_start(&self, name: &str) {
        let answer = http::post(self.socket(), &format!("/containers/{name}/start"), &Value::Null);
        assert!(answer.status() >= 400, "{answer:?}");
    }

    /// What a container is made of that runs.
    fn running(&self) -> Value {
        json!({
            "Image": "busybox:latest",
            "Env": [format!("SECRET={ENV}"), format!("{ENV}=x"), "VIRTUAL_HOST=a.example"],
            "Entrypoint": ["/bin/sh", "-c"],
            "Cmd": [format!("while :; do /bin/busybox sleep 3600; done; : {COMMAND}"), COMMAND],
            "Shell": ["/bin/sh", COMMAND],
            "OnBuild": [format!("RUN {COMMAND}"), format!("ENV A={ENV}"), format!("LABEL a={LABEL}")],
            "Labels": { format!("secret.{LABEL}"): LABEL, "kept.label": LABEL },
            "Healthcheck": { "Test": ["CMD-SHELL", format!("echo {COMMAND}")], "Interval": 2_000_000_000_u64 },
            "Volumes": { "/anonymous": {} },
            "HostConfig": {
                "NetworkMode": "back",
                "Binds": [format!("{}:/bound:ro", self.bind("bound")), "data:/data"],
                "Mounts": [{ "Type": "bind", "Source": self.bind("mounted"), "Target": "/mounted" }],
                "LogConfig": { "Type": "json-file", "Config": {
                    "tag": OPTION, "labels": OPTION, "env": OPTION,
                }},
                "Tmpfs": { "/scratch": "size=1m" },
            },
            "NetworkingConfig": { "EndpointsConfig": { "back": {
                "DriverOpts": { format!("option.{OPTION}"): OPTION },
            }}},
        })
    }

    /// What a container is made of that could not run here: devices that are not there, a share.
    fn only_made(&self) -> Value {
        let device = format!("/dev/{HOST_PATH}");
        json!({
            "Image": "imported:latest",
            "Env": [format!("SECRET={ENV}")],
            "HostConfig": {
                "NetworkMode": "none",
                "ContainerIDFile": format!("/run/{HOST_PATH}"),
                "Devices": [{ "PathOnHost": device, "PathInContainer": "/dev/x", "CgroupPermissions": "r" }],
                "BlkioWeightDevice": [{ "Path": device, "Weight": 100 }],
                "BlkioDeviceReadBps": [{ "Path": device, "Rate": 100 }],
                "BlkioDeviceWriteBps": [{ "Path": device, "Rate": 100 }],
                "BlkioDeviceReadIOps": [{ "Path": device, "Rate": 100 }],
                "BlkioDeviceWriteIOps": [{ "Path": device, "Rate": 100 }],
                "Mounts": [{
                    "Type": "volume", "Source": "own", "Target": "/own",
                    "VolumeOptions": {
                        "Labels": { format!("secret.{LABEL}"): LABEL },
                        "DriverConfig": { "Name": "local", "Options": {
                            "type": "cifs", "device": format!("//{OPTION}"), "o": format!("password={OPTION}"),
                        }},
                    },
                }],
            },
        })
    }

    /// Starts a command in a container that goes on.
    fn exec(&mut self, container: &str) {
        let command = format!("while :; do /bin/busybox sleep 3600; done; : {COMMAND}");
        let made = self.post(
            &format!("/containers/{container}/exec"),
            &json!({
                "Cmd": [format!("/{COMMAND}/sh"), "-c", &command, COMMAND], "Env": [format!("SECRET={ENV}")],
            }),
        );
        let id = made["Id"].as_str().unwrap().to_owned();
        self.post(&format!("/exec/{id}/start"), &json!({ "Detach": true }));
        self.execs.push(id);
    }

    fn swarm(&self) {
        self.engine.init_swarm();
        let swarm = self.get("/swarm");
        let mut spec = swarm["Spec"].clone();
        spec["Labels"] = json!({ format!("secret.{LABEL}"): LABEL });
        spec["TaskDefaults"]["LogDriver"] =
            json!({ "Name": "json-file", "Options": { format!("option.{OPTION}"): OPTION } });
        spec["CAConfig"]["ExternalCAs"] = json!([{
            "Protocol": "cfssl", "URL": format!("https://127.0.0.1/{TOKEN}"),
            "Options": { format!("option.{OPTION}"): OPTION, format!("token.{TOKEN}"): TOKEN },
        }]);
        self.post(&format!("/swarm/update?version={}", swarm["Version"]["Index"]), &spec);
        let node = self.get("/nodes")[0].clone();
        let mut spec = node["Spec"].clone();
        spec["Labels"] = json!({ format!("secret.{LABEL}"): LABEL });
        let (id, version) = (node["ID"].as_str().unwrap(), &node["Version"]["Index"]);
        self.post(&format!("/nodes/{id}/update?version={version}"), &spec);
        self.post(
            "/networks/create",
            &json!({
                "Name": "mesh", "Driver": "overlay", "Labels": { format!("secret.{LABEL}"): LABEL },
                "Options": { format!("option.{OPTION}"): OPTION },
                "IPAM": { "Options": { format!("option.{OPTION}"): OPTION } },
            }),
        );
    }

    fn services(&self) {
        let labels = json!({ format!("secret.{LABEL}"): LABEL });
        let options = json!({ format!("option.{OPTION}"): OPTION });
        let secret = self.post(
            "/secrets/create",
            &json!({
                "Name": "hush", "Labels": labels, "Data": padded_base64("hidden"),
                "Templating": { "Name": "golang", "Options": options },
            }),
        );
        let config = self.post(
            "/configs/create",
            &json!({
                "Name": "settings", "Labels": labels, "Data": padded_base64(&format!("token={TOKEN}\n")),
                "Templating": { "Name": "golang", "Options": options },
            }),
        );
        let shop = self.shop(&secret["ID"], &config["ID"]);
        self.post("/services/create", &shop);
        let mut again = shop;
        again["TaskTemplate"]["ForceUpdate"] = json!(1);
        // The swarm changes a new service by itself too, and takes an update of its newest version only.
        until("the shop is updated", || {
            let version = self.get("/services/shop")["Version"]["Index"].to_string();
            let answer =
                http::post(self.socket(), &format!("/services/shop/update?version={version}"), &again);
            assert!(answer.status() == 200 || answer.text().contains("out of sequence"), "{}", answer.text());
            answer.status() == 200
        });
        self.post("/services/create", &self.failing());
        self.post(
            "/services/create",
            &json!({ "Name": "windows", "TaskTemplate": { "ContainerSpec": {
            "Image": "busybox:latest", "Privileges": { "CredentialSpec": { "File": HOST_PATH } },
        }, "RestartPolicy": { "Condition": "none" } }}),
        );
    }

    /// A service that runs.
    fn shop(&self, secret: &Value, config: &Value) -> Value {
        let labels = json!({ format!("secret.{LABEL}"): LABEL });
        let options = json!({ format!("option.{OPTION}"): OPTION });
        let file = |name: &str| json!({ "Name": name, "UID": "0", "GID": "0", "Mode": 256 });
        json!({
            "Name": "shop", "Labels": labels,
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "busybox:latest", "Labels": labels,
                    "Env": [format!("SECRET={ENV}"), "VIRTUAL_HOST=b.example"],
                    "Command": ["/bin/sh", "-c", format!("while :; do /bin/busybox sleep 3600; done; : {COMMAND}")],
                    "Args": [COMMAND],
                    "Healthcheck": { "Test": ["CMD-SHELL", format!("echo {COMMAND}")], "Interval": 2_000_000_000_u64 },
                    "Mounts": [
                        { "Type": "bind", "Source": self.bind("service"), "Target": "/bound" },
                        { "Type": "volume", "Source": "shop", "Target": "/own", "VolumeOptions": { "Labels": labels } },
                    ],
                    "Secrets": [{ "SecretID": secret, "SecretName": "hush", "File": file("hush") }],
                    "Configs": [{ "ConfigID": config, "ConfigName": "settings", "File": file("settings") }],
                },
                "LogDriver": { "Name": "json-file", "Options": { "tag": OPTION } },
                "Networks": [{ "Target": "mesh", "DriverOpts": options }],
                "RestartPolicy": { "Condition": "none" },
            },
            "Mode": { "Replicated": { "Replicas": 1 } },
            "UpdateConfig": { "Parallelism": 0 },
        })
    }

    /// A service whose task cannot start, and says why.
    fn failing(&self) -> Value {
        json!({
            "Name": "failing",
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "busybox:latest", "Command": [format!("/{COMMAND}")],
                    "Mounts": [{
                        "Type": "volume", "Source": "remote", "Target": "/remote",
                        "VolumeOptions": { "DriverConfig": { "Name": "local", "Options": {
                            "type": "cifs", "device": format!("//{OPTION}"), "o": format!("password={OPTION}"),
                        }}},
                    }],
                },
                "RestartPolicy": { "Condition": "none" },
            },
        })
    }

    fn plugins(&self) {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("rootfs/bin")).unwrap();
        std::fs::copy("/bin/busybox", place.path().join("rootfs/bin/busybox")).unwrap();
        let settable = json!(["value"]);
        let config = json!({
            "description": "a plugin", "documentation": "none",
            "interface": { "types": ["docker.volumedriver/1.0"], "socket": "plugin.sock" },
            "entrypoint": ["/bin/busybox", COMMAND], "workdir": "/", "network": { "type": "none" },
            "env": [{ "name": "SECRET", "description": ENV, "value": ENV, "settable": settable }],
            "args": { "name": COMMAND, "description": COMMAND, "value": [COMMAND], "settable": settable },
            "mounts": [{
                "name": "place", "description": "a mount", "source": format!("/srv/{HOST_PATH}"),
                "destination": "/mnt", "type": "bind", "options": ["rbind", OPTION], "settable": ["source"],
            }],
            "linux": { "devices": [{
                "name": "device", "description": "a device", "path": format!("/dev/{HOST_PATH}"),
                "settable": ["path"],
            }]},
        });
        std::fs::write(place.path().join("config.json"), config.to_string()).unwrap();
        self.docker(&["plugin", "create", "plugged:latest", &place.path().display().to_string()]);
        self.docker(&["plugin", "set", "plugged:latest", &format!("SECRET={ENV}-set")]);
    }

    /// Waits until the tasks are where they stay, and the healthcheck has been.
    fn until_quiet(&self) {
        let tasks = |service: &str, state: &str| {
            let tasks = self.get(&format!("/tasks?filters={{\"service\":[\"{service}\"]}}"));
            let states = tasks.as_array().unwrap().iter().map(|task| task["Status"]["State"].clone());
            states.filter(|found| found == state).count()
        };
        until("a task of the shop runs", || tasks("shop", "running") > 0);
        until("the other's has failed", || tasks("failing", "rejected") + tasks("failing", "failed") > 0);
        until("the healthcheck has been", || {
            !self.get("/containers/web/json")["State"]["Health"]["Log"][0].is_null()
        });
    }

    /// What the rows of the catalog lead to, all things of a row's kind and its queries.
    pub fn targets(&self, row: &Endpoint) -> Vec<String> {
        let path = row.api_path();
        let events = format!("?since=1&until={}", std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
        let queries: &[&str] = match row.name {
            "containers:list" => &["?all=1&size=1"],
            "images:list" => &["?all=1", "?digests=1"],
            "networks:inspect" => &["", "?verbose=1"],
            "services:list" => &["", "?status=1"],
            "services:inspect" => &["", "?insertDefaults=1"],
            "containers:stats" => &["?stream=0&one-shot=1"],
            "containers:top" => &["", "?ps_args=-ef", "?ps_args=eww"],
            "events" => &[&events],
            _ => &[""],
        };
        let paths: Vec<String> = match self.names(&path) {
            Some(names) => {
                names.iter().map(|name| path.replace("{id}", name).replace("{name}", name)).collect()
            }
            None => vec![path],
        };
        paths.iter().flat_map(|path| queries.iter().map(move |query| format!("{path}{query}"))).collect()
    }

    /// The names or ids of the things that a path's parameter can stand for; `None` if it has none.
    fn names(&self, path: &str) -> Option<Vec<String>> {
        let listed = |target: &str, key: &str| {
            let list = self.get(target);
            let items = list.as_array().unwrap().iter();
            items.map(|item| item[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        if !path.contains('{') {
            return None;
        }
        let mut names = match path.split('/').nth(1).unwrap() {
            "containers" if path.ends_with("/top") || path.ends_with("/stats") => vec!["still".to_owned()],
            "containers" => listed("/containers/json?all=1", "Id"),
            "images" | "distribution" => listed("/images/json", "Id"),
            "networks" => listed("/networks", "Id"),
            "volumes" => {
                let volumes = self.get("/volumes");
                let volumes = volumes["Volumes"].as_array().unwrap().iter();
                volumes.map(|volume| volume["Name"].as_str().unwrap().to_owned()).collect()
            }
            "services" => listed("/services", "ID"),
            "tasks" => listed("/tasks", "ID"),
            "nodes" => listed("/nodes", "ID"),
            "secrets" => listed("/secrets", "ID"),
            "configs" => listed("/configs", "ID"),
            "plugins" => listed("/plugins", "Id"),
            "exec" => self.execs.clone(),
            other => panic!("no names for {other}"),
        };
        // The engine's own errors are filtered too.
        names.push("none-such".to_owned());
        Some(names)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.engine.leave_nothing_behind();
    }
}
