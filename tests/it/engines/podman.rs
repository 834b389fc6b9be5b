//! Podman's own: what it does not have, and what its answers hold that no document of Docker's lists.
//!
//! It logs no routes, so that the catalog is held against its answers alone: `answers::` asks for every row.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use docker_proxy_acl::policy::redaction::Class;
use serde_json::{Value, json};

use crate::redaction::fields::unlisted_but;
use crate::support::engine::Engine;
use crate::support::library::{ENGINE, Endpoint, every_name, example};
use crate::support::proxy::Proxy;
use crate::support::root_files::{RootFiles, import};
use crate::support::tools::stdout;
use crate::support::{http, shared};
use crate::views::filled::{
    COMMAND, ENV, HOST_PATH, LABEL, OPTION, bind_source, markers_but_tokens, padded_base64,
};

/// Fields of its answers that no document has, by operation and path, and why they are shown whatever is redacted.
const UNDOCUMENTED: &[(&str, &str, &str)] = &[
    ("/images/json", "[].History[]", "names that the image had"),
    ("/info", ".Uptime", "how long the machine is up"),
];

#[test]
#[ignore = "needs an engine: tests/engines"]
fn it_logs_no_routes_and_answers_what_it_does_not_have_with_an_error() {
    let engine = Engine::shared();
    assert_eq!(engine.routes(), [""; 0], "it logs routes by now: hold the catalog against them");
    for row in ENGINE.endpoints().iter().filter(|row| !engine.has(row.name)) {
        let answer = http::get(engine.socket(), &example(row.path));
        assert!(answer.status() >= 400, "{}: {answer:?}", row.path);
    }
}

/// The engine that is filled now, or a new one.
fn filled() -> Arc<Filled> {
    static SHARED: Mutex<Weak<Filled>> = Mutex::new(Weak::new());
    shared(&SHARED, Filled::new)
}

/// An engine with a marker wherever a class of redaction covers something that Podman has.
struct Filled {
    engine: Engine,
    /// On the host, for binds; its path holds the marker.
    directory: tempfile::TempDir,
    exec: String,
}

impl Filled {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix(HOST_PATH).tempdir().unwrap();
        let mut filled = Self { engine: Engine::private(), directory, exec: String::new() };
        filled.images();
        filled.volumes_and_networks();
        filled.containers();
        filled.secrets();
        filled
    }

    fn bind(&self, name: &str) -> String {
        bind_source(self.directory.path(), name)
    }

    fn post(&self, target: &str, body: &Value) -> Value {
        self.engine.post(target, body)
    }

    /// Runs Podman's own client.
    fn podman(&self, args: &[&str]) {
        let mut podman = Command::new("podman");
        podman.arg("--url").arg(format!("unix://{}", self.engine.socket().display())).args(args);
        stdout(podman.output().unwrap());
    }

    fn images(&self) {
        let files = RootFiles::new();
        // Podman 4 runs it in the container where newer ones run the host's.
        let ps = files.path().join("bin/ps");
        std::fs::write(&ps, format!("#!/bin/sh\necho PID COMMAND\necho 1 {COMMAND}\n")).unwrap();
        std::fs::set_permissions(&ps, Permissions::from_mode(0o755)).unwrap();
        let changes = [
            format!("ENV SECRET={ENV}"),
            format!("CMD [\"/bin/sh\", \"-c\", \"echo {COMMAND}\"]"),
            format!("LABEL secret.{LABEL}={LABEL}"),
        ];
        stdout(self.engine.docker(&import(&files.archive(), &changes, "busybox:latest")));
    }

    fn volumes_and_networks(&self) {
        let labels = json!({ format!("secret.{LABEL}"): LABEL });
        let options = json!({ "type": "cifs", "device": format!("//server/{OPTION}"), "o": format!("password={OPTION}") });
        self.post("/volumes/create", &json!({ "Name": "share", "Labels": labels, "DriverOpts": options }));
        self.post("/networks/create", &json!({ "Name": "back", "Labels": labels, "CheckDuplicate": true }));
    }

    fn containers(&mut self) {
        let wait = format!("while :; do /bin/busybox sleep 3600; done; : {COMMAND}");
        self.post(
            "/containers/create?name=web",
            &json!({
                "Image": "busybox:latest", "Env": [format!("SECRET={ENV}")], "Cmd": ["/bin/sh", "-c", wait],
                "Labels": { format!("secret.{LABEL}"): LABEL },
                "HostConfig": {
                    "NetworkMode": "none", "Binds": [format!("{}:/bound:ro", self.bind("bound"))],
                    "Mounts": [{ "Type": "bind", "Source": self.bind("mounted"), "Target": "/mounted" }],
                },
            }),
        );
        self.post("/containers/web/start", &Value::Null);
        let made = self.post(
            "/containers/web/exec",
            &json!({ "Cmd": ["/bin/sh", "-c", wait], "Env": [format!("SECRET={ENV}")] }),
        );
        self.exec = made["Id"].as_str().unwrap().to_owned();
        self.post(&format!("/exec/{}/start", self.exec), &json!({ "Detach": true }));
        let log = json!({ "Type": "json-file", "Config": { "tag": OPTION } });
        self.post(
            "/containers/create?name=made",
            &json!({ "Image": "busybox:latest", "HostConfig": { "NetworkMode": "none", "LogConfig": log } }),
        );
        let secret = format!("SECRET={ENV}");
        let (label, annotation) = (format!("secret.{LABEL}={LABEL}"), format!("note.{LABEL}={LABEL}"));
        let health = format!("echo {COMMAND}");
        let volume = format!("{}:/bound", self.bind("own"));
        let args = ["create", "--name", "own", "--network", "none", "-e", &secret, "-l", &label];
        let more = ["--annotation", &annotation, "-v", &volume, "--health-cmd", &health];
        self.podman(&[&args[..], &more, &["busybox:latest", "/bin/sh", "-c", &wait]].concat());
        stdout(self.engine.docker(&["commit", "-m", "a comment", "web", "committed:latest"]));
    }

    fn secrets(&self) {
        let labels = json!({ format!("secret.{LABEL}"): LABEL });
        let data = padded_base64("hidden");
        self.post("/secrets/create", &json!({ "Name": "hush", "Labels": labels, "Data": data }));
    }

    /// The texts that must be nowhere if a class is redacted. Without a swarm it has no tokens.
    fn markers(&self, class: Class) -> Vec<String> {
        markers_but_tokens(class, &self.engine)
    }

    /// What a row of the catalog leads to.
    fn targets(&self, row: &Endpoint) -> Vec<String> {
        let query = match row.name {
            "containers:list" => "?all=1&size=1",
            "containers:stats" => "?stream=0",
            "events" => "?since=1&until=1s",
            _ => "",
        };
        let names: &[&str] = match row.name {
            "containers:top" | "containers:stats" => &["web"],
            "exec:inspect" => &[&self.exec],
            name if name.starts_with("containers:") => &["web", "made", "own", "none-such"],
            name if name.starts_with("images:") => &["busybox", "committed", "none-such"],
            name if name.starts_with("networks:") => &["back", "podman", "none-such"],
            name if name.starts_with("volumes:") => &["share", "none-such"],
            _ => &["hush", "none-such"],
        };
        match row.around_name() {
            Some((before, after)) => {
                names.iter().map(|name| format!("{before}{name}{after}{query}")).collect()
            }
            None => vec![format!("{}{query}", row.path)],
        }
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        self.engine.leave_nothing_behind();
    }
}

/// What of the JSON that it answers with is found wrong.
fn each_answer(
    filled: &Filled,
    socket: &Path,
    found: &mut dyn FnMut(&'static Endpoint, &str, &http::Response),
) {
    for row in ENGINE.endpoints().iter().filter(|row| row.body.is_json() && filled.engine.has(row.name)) {
        // Of figures alone there is one version, for the engine takes its time for them.
        let versions: &[&str] =
            if row.name == "containers:stats" { &[""] } else { &["", "/v1.25", "/v1.41"] };
        for target in filled.targets(row) {
            for version in versions {
                let target = format!("{version}{target}");
                found(row, &target, &http::get(socket, &target));
            }
        }
    }
}

#[test]
#[ignore = "needs an engine: tests/engines"]
fn its_answers_show_nothing_of_what_is_redacted_and_hold_no_text_that_is_not_known() {
    let filled = filled();
    let (mut faults, mut seen) = (BTreeSet::new(), Vec::new());
    each_answer(&filled, filled.engine.socket(), &mut |row, _, answer| {
        let operation = row.api_path();
        let documents = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>();
        for document in documents.map_while(Result::ok).filter(|_| answer.status() == 200) {
            let unknown = unlisted_but(UNDOCUMENTED, &operation, &document);
            faults.extend(unknown.iter().map(|path| format!("unknown: {operation} {path}")));
        }
        let held = Class::ALL
            .into_iter()
            .filter(|class| filled.markers(*class).iter().any(|marker| http::contains(&answer.body, marker)));
        seen.extend(held);
    });
    for class in Class::ALL {
        let proxy = Proxy::builder(filled.engine.socket()).allow(&every_name());
        let proxy = proxy.args(["--redact", &class.to_string()]).start();
        each_answer(&filled, proxy.socket(), &mut |row, target, answer| {
            let shown = answer.text();
            let markers = filled.markers(class);
            let passed = markers.iter().filter(|marker| shown.contains(marker.as_str()));
            faults.extend(passed.map(|marker| {
                format!("{target} without {class}: {}", crate::views::secrets::around(&shown, marker))
            }));
            if answer.status() >= 500 && http::get(filled.engine.socket(), target).status() < 500 {
                faults.insert(format!("{} without {class}: {}", row.path, shown));
            }
        });
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    let unseen: Vec<Class> = Class::ALL.into_iter().filter(|class| !seen.contains(class)).collect();
    assert_eq!(unseen, [Class::Tokens], "no answer held a marker of these");
}

#[test]
#[ignore = "needs an engine: tests/engines"]
fn what_only_hides_is_answered_as_what_is_not_there_and_the_rest_is_seen() {
    let filled = filled();
    let proxy =
        Proxy::builder(filled.engine.socket()).allow(&every_name()).args(["--only", "name:own"]).start();
    assert_eq!(proxy.get("/containers/own/json").json()["Name"], "/own");
    let listed = proxy.get("/containers/json?all=1").json();
    let names: Vec<&Value> = listed.as_array().unwrap().iter().map(|container| &container["Names"]).collect();
    assert_eq!(names, [&json!(["/own"])]);
    for (hidden, absent, path) in [
        ("web", "wob", "/containers/NAME/json"),
        ("web", "wob", "/containers/NAME/changes"),
        ("web", "wob", "/containers/json?all=1&filters={\"before\":[\"NAME\"]}"),
        ("busybox", "busybux", "/images/NAME/json"),
        ("back", "buck", "/networks/NAME"),
        ("share", "shore", "/volumes/NAME"),
        ("hush", "hash", "/secrets/NAME"),
    ] {
        assert!(
            http::get(filled.engine.socket(), &path.replace("NAME", hidden)).status() < 300,
            "{path}: {hidden}"
        );
        let shown = |name: &str| {
            let answer = proxy.get(&path.replace("NAME", name));
            (answer.status(), answer.text().replace(name, "NAME"))
        };
        assert_eq!(shown(hidden), shown(absent), "{path}");
        assert_eq!(shown(hidden).0, 404, "{path}");
    }
    for (list, items) in [("/images/json", ""), ("/networks", ""), ("/volumes", "/Volumes"), ("/secrets", "")]
    {
        assert_eq!(proxy.get(list).json().pointer(items), Some(&json!([])), "{list}");
    }
    let events = proxy.get("/events?since=1&until=1s").text();
    assert!(events.contains("\"own\"") && !events.contains("\"web\""), "{events}");
}
