//! Promise: what a class of redaction names is nowhere in an answer of a real engine, and the rest is there.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use docker_proxy_acl::policy::redaction::{Class, Classes};
use serde_json::{Value, json};

use super::filled::{COMMAND, ENV, Filled, LABEL, OPTION, filled, markers};
use super::oracle::{Oracle, in_order, steady};
use crate::support::http::{self, Response, get_head};
use crate::support::library::{ENGINE, Endpoint, every_name};
use crate::support::process;
use crate::support::proxy::Proxy;
use crate::support::tools::stdout;
use crate::support::until;

/// What this test cannot bring about: what newer engines and Podman say, what a registry says, and the engine's
/// proxies.
const UNSEEN: [(&str, &str); 9] = [
    ("containers:list", "options"),
    ("nodes:list", "options,tokens"),
    ("nodes:inspect", "options,tokens"),
    ("info", "commands,env"),
    ("images:attestations", "env,commands,labels,paths"),
    ("distribution:inspect", "labels"),
    ("system:df", "options"),
    ("secrets:list", "tokens,paths"),
    ("secrets:inspect", "tokens,paths"),
];

/// How long it may take until the engine answers the same twice.
const SETTLED: Duration = Duration::from_secs(120);
/// How often an answer must have a fault for it to be one.
const FAULTY: usize = 20;

/// A proxy that redacts some classes.
struct Redacting {
    classes: Classes,
    markers: Vec<String>,
    proxy: Proxy,
}

impl Redacting {
    fn new(classes: Classes, filled: &Filled) -> Self {
        let proxy = Proxy::builder(filled.socket()).allow(&every_name());
        let proxy = proxy.args(["--redact", &classes.to_string()]).start();
        let markers = classes.iter().flat_map(|class| markers(class, filled)).collect();
        Redacting { classes, markers, proxy }
    }

    /// One for each class, and one for all of them.
    fn each(filled: &Filled) -> Vec<Self> {
        let classes = Class::ALL.map(|class| Classes::of(&[class])).into_iter().chain([Classes::ALL]);
        classes.map(|classes| Redacting::new(classes, filled)).collect()
    }
}

/// An answer to a target by the engine itself, by each proxy, and by the engine again.
fn ask(socket: &Path, proxies: &[Redacting], target: &str) -> (Response, Vec<Response>, Response) {
    let before = http::get(socket, target);
    let shown = proxies.iter().map(|redacting| redacting.proxy.get(target)).collect();
    (before, shown, http::get(socket, target))
}

fn documents(answer: &Response) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_slice(&answer.body).into_iter();
    documents.map(|document| document.unwrap_or_else(|_| panic!("{}", answer.text()))).collect()
}

/// The documents without what is another at every moment.
fn comparable(row: &Endpoint, answer: &Response) -> Vec<Value> {
    let documents = documents(answer).into_iter().map(in_order);
    match row.name {
        "containers:stats" | "info" | "system:df" => documents.map(steady).collect(),
        "containers:list" => documents.map(ageless).collect(),
        _ => documents.collect(),
    }
}

/// A list of containers without how long each has been up, or has ended: of `Status` the first word.
fn ageless(mut list: Value) -> Value {
    for container in list.as_array_mut().into_iter().flatten() {
        if let Some(Value::String(status)) = container.get_mut("Status") {
            status.truncate(status.find(' ').unwrap_or(status.len()));
        }
    }
    list
}

/// What the answers held.
#[derive(Default)]
struct Findings {
    /// Rows and classes of which the engine's own answers held a marker.
    seen: BTreeSet<(&'static str, String)>,
    faults: BTreeSet<String>,
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn each_class_hides_its_markers_in_every_answer_and_changes_nothing_else() {
    let filled = filled();
    let proxies = Redacting::each(&filled);
    let mut findings = Findings::default();
    for row in ENGINE.endpoints().iter().filter(|row| row.body.is_json()) {
        // Of figures alone there is one version, for the engine takes its time for them.
        let versions: &[&str] = if row.name == "containers:stats" { &[""] } else { &["", "/v1.19"] };
        for target in filled.targets(row) {
            for version in versions {
                findings.try_target(row, &format!("{version}{target}"), filled.socket(), &proxies);
            }
        }
    }
    let Findings { seen, faults } = findings;
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    let rows = ENGINE.endpoints().iter();
    let held = rows.flat_map(|row| row.holds.iter().map(|class| (row.name, class.to_string())));
    // An event of a reloaded engine is there only if another test has just reloaded it.
    let held = held.filter(|held| *held != ("events", "paths".to_owned()));
    let unseen: BTreeSet<(&str, String)> = held.filter(|held| !seen.contains(held)).collect();
    let expected =
        UNSEEN.iter().flat_map(|(name, classes)| classes.split(',').map(|class| (*name, class.to_owned())));
    assert_eq!(unseen, expected.collect(), "no answer held a marker of these");
}

impl Findings {
    fn try_target(&mut self, row: &'static Endpoint, target: &str, engine: &Path, proxies: &[Redacting]) {
        // Until the engine's own answer is the same before and after, and in between too: what another test or a
        // healthcheck brings about meanwhile is gone the next time, and a fault is there each time.
        let mut last = None;
        let (end, mut faulty) = (Instant::now() + SETTLED, 0);
        while faulty < FAULTY && Instant::now() < end {
            let (before, shown, after) = ask(engine, proxies, target);
            for (redacting, shown) in proxies.iter().zip(&shown) {
                self.look_for_markers(row, redacting, &before, shown);
            }
            let same = || is_json(&after) && comparable(row, &before) == comparable(row, &after);
            if !(if is_json(&before) { same() } else { before.body == after.body }) {
                continue;
            }
            let each = proxies.iter().zip(&shown).flat_map(|(Redacting { classes, .. }, shown)| {
                let differences = differences(row, *classes, &before, shown).into_iter();
                differences.map(move |what| format!("{target} without {classes}: {what}"))
            });
            let faults: Vec<String> = each.collect();
            if faults.is_empty() {
                return;
            }
            last = Some(faults);
            faulty += 1;
        }
        self.faults.extend(last.unwrap_or_else(|| panic!("{target} is answered otherwise each time")));
    }

    /// Notes whether the engine's own answer holds markers, and whether one came through.
    fn look_for_markers(
        &mut self,
        row: &'static Endpoint,
        redacting: &Redacting,
        direct: &Response,
        shown: &Response,
    ) {
        for marker in &redacting.markers {
            if http::contains(&direct.body, marker) {
                self.seen.insert((row.name, redacting.classes.to_string()));
            }
            let head = format!("{} {:?}", shown.status_line, shown.headers);
            if http::contains(&shown.body, marker) || head.contains(marker) {
                let around = around(&shown.text(), marker);
                self.faults
                    .insert(format!("{} without {}: {marker} in {around}", row.path, redacting.classes));
            }
        }
    }
}

/// A text with a little of what stands around it.
pub fn around(text: &str, word: &str) -> String {
    let at = text.find(word).unwrap_or(0);
    text.chars().skip(at.saturating_sub(100)).take(160).collect()
}

fn is_json(answer: &Response) -> bool {
    answer.header("Content-Type") == Some("application/json")
}

/// What of an answer is other than it should be.
fn differences(row: &Endpoint, classes: Classes, direct: &Response, shown: &Response) -> Vec<String> {
    if row.name == "containers:top" && shown.status() == 400 {
        return Vec::new(); // options of ps that show more than its own columns
    }
    if !is_json(direct) {
        // Errors of old versions of the API are plain text, which stays.
        let stays = direct.status() >= 400 && shown.status() == direct.status() && shown.body == direct.body;
        return if stays { Vec::new() } else { vec![format!("{shown:?}")] };
    }
    if direct.status_line != shown.status_line {
        return vec![format!("{} instead of {}", shown.status_line, direct.status_line)];
    }
    let oracle = Oracle { operation: row.api_path(), classes };
    let (direct, shown) = (comparable(row, direct), comparable(row, shown));
    if direct.len() != shown.len() {
        return vec![format!("{} documents instead of {}", shown.len(), direct.len())];
    }
    direct.iter().zip(&shown).flat_map(|(direct, shown)| oracle.differences(direct, shown)).collect()
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn what_patterns_keep_is_shown_and_the_rest_is_not() {
    let filled = filled();
    let proxy = Proxy::builder(filled.socket()).allow("containers,services");
    let proxy =
        proxy.args(["--keep-env", "VIRTUAL_*", "--keep-label", "kept.*", "--redact", "commands"]).start();
    let shown = proxy.get("/containers/web/json");
    assert!(!shown.text().contains(ENV) && !shown.text().contains(COMMAND), "{}", shown.text());
    let config = &shown.json()["Config"];
    assert_eq!(config["Env"], json!(["VIRTUAL_HOST=a.example"]));
    assert_eq!(config["Labels"], json!({ "kept.label": LABEL }));
    let service = proxy.get("/services/shop").json();
    for spec in ["Spec", "PreviousSpec"] {
        let container = &service[spec]["TaskTemplate"]["ContainerSpec"];
        assert_eq!(container["Env"], json!(["VIRTUAL_HOST=b.example"]), "{spec}");
        assert_eq!(container["Labels"], json!({}), "{spec}");
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn each_class_hides_its_markers_in_events_as_they_happen() {
    let filled = filled();
    let proxies = Redacting::each(&filled);
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut direct = watch(filled.socket(), since);
    let mut streams: Vec<UnixStream> =
        proxies.iter().map(|redacting| watch(redacting.proxy.socket(), since)).collect();
    volume(&filled, "the-beginning");
    make_and_remove_things(&filled);
    volume(&filled, "the-end");
    let direct = until_the_end(&mut direct);
    let actions: BTreeSet<String> = events(&direct).iter().map(action).collect();
    for action in ["container exec_create", "container destroy", "service update", "daemon reload"] {
        assert!(actions.iter().any(|found| found.starts_with(action)), "no {action}: {actions:#?}");
    }
    for (redacting, stream) in proxies.iter().zip(&mut streams) {
        let shown = until_the_end(stream);
        for marker in &redacting.markers {
            let text = String::from_utf8_lossy(&shown);
            assert!(!text.contains(marker), "{marker} without {}: {text}", redacting.classes);
        }
        let oracle = Oracle { operation: "/events".to_owned(), classes: redacting.classes };
        let (direct, shown) = (events(&direct), events(&shown));
        assert_eq!(direct.len(), shown.len(), "without {}", redacting.classes);
        for (direct, shown) in direct.iter().zip(&shown) {
            assert_eq!(oracle.differences(direct, shown), [""; 0], "without {}", redacting.classes);
        }
    }
}

/// Asks for the events from a time on.
fn watch(socket: &Path, since: u64) -> UnixStream {
    let mut stream = http::connect(socket);
    stream.write_all(get_head(&format!("/events?since={since}")).as_bytes()).unwrap();
    stream
}

/// What came until the last thing that the test makes.
fn until_the_end(stream: &mut UnixStream) -> Vec<u8> {
    http::read_until(stream, |bytes| {
        http::contains(bytes, "the-end")
            && events(bytes).last().is_some_and(|event| event["Actor"]["ID"] == "the-end")
    })
}

/// The whole events between the first and the last thing that the test makes.
fn events(stream: &[u8]) -> Vec<Value> {
    let body = http::parse(stream).body;
    let events = serde_json::Deserializer::from_slice(&body).into_iter::<Value>().map_while(Result::ok);
    let mut events: Vec<Value> = events.skip_while(|event| event["Actor"]["ID"] != "the-beginning").collect();
    if let Some(end) = events.iter().position(|event| event["Actor"]["ID"] == "the-end") {
        events.truncate(end + 1);
    }
    // Those of the same moment come to each client in an order of its own.
    events.sort_by_key(|event| (event["timeNano"].as_u64(), event["Actor"]["ID"].to_string()));
    events
}

fn action(event: &Value) -> String {
    format!("{} {}", event["Type"].as_str().unwrap(), event["Action"].as_str().unwrap())
}

fn volume(filled: &Filled, name: &str) {
    filled.post("/volumes/create", &json!({ "Name": name }));
}

fn labels() -> Value {
    json!({ format!("secret.{LABEL}"): LABEL })
}

/// Makes one thing of each kind, uses it and removes it.
fn make_and_remove_things(filled: &Filled) {
    let docker = |args: &[&str]| stdout(filled.engine.docker(args));
    filled.create(
        "brief",
        &json!({
            "Image": "busybox:latest", "Labels": labels(), "Env": [format!("SECRET={ENV}")],
            "Cmd": ["/bin/sh", "-c", format!("/bin/busybox sleep 3600; : {COMMAND}")],
            "Healthcheck": { "Test": ["CMD-SHELL", format!("echo {COMMAND}")], "Interval": 100_000_000 },
            "HostConfig": { "NetworkMode": "none", "Binds": ["brief:/own"] },
        }),
    );
    docker(&["start", "brief"]);
    docker(&["exec", "-e", &format!("SECRET={ENV}"), "brief", "/bin/sh", "-c", &format!("echo {COMMAND}")]);
    // Freezing can fail on a busy machine, and go well the next time.
    until("the container is paused", || filled.engine.docker(&["pause", "brief"]).status.success());
    docker(&["unpause", "brief"]);
    docker(&["rename", "brief", "renamed"]);
    docker(&["update", "--memory", "64m", "--memory-swap", "64m", "renamed"]);
    docker(&[
        "commit",
        "-c",
        &format!("LABEL a={LABEL}"),
        "-c",
        &format!("ENV A={ENV}"),
        "renamed",
        "brief:latest",
    ]);
    docker(&["tag", "brief:latest", "briefly:latest"]);
    let options = json!({ format!("option.{OPTION}"): OPTION });
    let back = json!({ "Name": "brief", "Labels": labels(), "Options": options });
    filled.post("/networks/create", &back);
    docker(&["rm", "-f", "renamed"]);
    docker(&["rmi", "briefly:latest", "brief:latest"]);
    docker(&["network", "rm", "brief"]);
    docker(&["volume", "rm", "brief"]);
    filled.post("/secrets/create", &json!({ "Name": "brief", "Labels": labels(), "Data": "aGlkZGVu" }));
    docker(&["secret", "rm", "brief"]);
    docker(&["service", "update", "--detach", "--label-add", &format!("more={LABEL}"), "failing"]);
    let node = docker(&["node", "ls", "-q"]);
    docker(&["node", "update", "--label-add", &format!("more={LABEL}"), node.trim()]);
    process::signal(filled.engine.pid(), "HUP");
    until("the engine has read its configuration again", || {
        let until = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let past = format!("/events?since=1&until={until}&filters={{\"event\":[\"reload\"]}}");
        !http::get(filled.socket(), &past).body.is_empty()
    });
}
