//! An engine with what the consumers look for: containers that are found by variables and labels, and a service.

use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::root_files::RootFiles;
use crate::support::tools::stdout;
use crate::support::{http, shared, until};

/// What no consumer has any business to see, but for those that show everything.
pub const PASSWORD: &str = "passwordOfTheFleet";

/// What containers of the fleet write to their logs, once a second.
pub const LOG_LINE: &str = "hello from the fleet";

/// An engine that is filled.
pub struct Fleet {
    pub engine: Engine,
}

impl Fleet {
    /// The one that runs now, or a new one.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Fleet>> = Mutex::new(Weak::new());
        shared(&SHARED, Fleet::new)
    }

    fn new() -> Self {
        let engine = Engine::private();
        import_busybox(&engine);
        stdout(engine.docker(&["network", "create", "front"]));
        run(&engine, "web", &web());
        run(&engine, "plain", &container("none", &[], json!({})));
        run(&engine, "nomad", &nomad());
        stdout(engine.docker(&["volume", "create", "store"]));
        engine.init_swarm();
        let data = "Y29udGVudA==";
        engine.post("/secrets/create", &json!({ "Name": "hush", "Data": data }));
        engine.post("/configs/create", &json!({ "Name": "plain", "Data": data }));
        stdout(engine.docker(&["network", "create", "-d", "overlay", "mesh"]));
        engine.post("/services/create", &shop());
        until("the task of the shop runs", || {
            let tasks = http::get(engine.socket(), "/tasks").json();
            tasks[0]["Status"]["State"] == "running"
        });
        Self { engine }
    }

    pub fn socket(&self) -> &Path {
        self.engine.socket()
    }

    /// The full id of a container.
    pub fn id(&self, container: &str) -> String {
        let inspected = http::get(self.socket(), &format!("/containers/{container}/json")).json();
        inspected["Id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.engine.leave_nothing_behind();
    }
}

/// The image that all of it is made of.
pub fn import_busybox(engine: &Engine) {
    stdout(engine.docker(&["import", &RootFiles::new().archive(), "busybox:latest"]));
}

/// Makes a container and starts it.
pub fn run(engine: &Engine, name: &str, body: &Value) {
    engine.post(&format!("/containers/create?name={name}"), body);
    engine.post(&format!("/containers/{name}/start"), &Value::Null);
}

fn command() -> Value {
    json!(["/bin/sh", "-c", format!("while :; do echo {LOG_LINE}; /bin/busybox sleep 1; done")])
}

/// What a container in a network is made of.
pub fn container(network: &str, variables: &[&str], labels: Value) -> Value {
    let password = format!("PASSWORD={PASSWORD}");
    let env: Vec<&str> = variables.iter().copied().chain([password.as_str()]).collect();
    json!({
        "Image": "busybox:latest", "Cmd": command(), "Env": env, "Labels": labels,
        "HostConfig": { "NetworkMode": network },
    })
}

/// A container that is to be served as `web.example`.
pub fn web() -> Value {
    let variables = ["VIRTUAL_HOST=web.example", "VIRTUAL_PORT=8080", "NETWORK_ACCESS=internal"];
    let labels = json!({
        "com.github.nginx-proxy.nginx-proxy.keepalive": "64",
        "traefik.http.routers.web.rule": "Host(`web.example`)",
        "traefik.http.services.web.loadbalancer.server.port": "8080",
    });
    let mut body = container("front", &variables, labels);
    body["ExposedPorts"] = json!({ "8080/tcp": {} });
    body
}

/// A container with the variables that Nomad sets, and with one process that stays.
fn nomad() -> Value {
    let variables = [
        "NOMAD_NAMESPACE=default",
        "NOMAD_JOB_NAME=job",
        "NOMAD_TASK_NAME=task",
        "NOMAD_SHORT_ALLOC_ID=1a2b",
    ];
    let mut body = container("none", &variables, json!({}));
    body["Cmd"] = json!(["/bin/sh", "-c", format!("echo {LOG_LINE}; exec /bin/busybox sleep 100000")]);
    body
}

/// A service that is to be served as `shop.example`.
fn shop() -> Value {
    json!({
        "Name": "shop",
        "Labels": {
            "traefik.http.routers.shop.rule": "Host(`shop.example`)",
            "traefik.http.services.shop.loadbalancer.server.port": "8080",
        },
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "busybox:latest", "Command": command(), "Env": [format!("PASSWORD={PASSWORD}")],
            },
            "Networks": [{ "Target": "mesh" }],
        },
    })
}
