//! Promise: what nginx-proxy's docker-gen makes of the engine's answers it makes of redacted ones too, while it
//! is sent no other variable.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::filled::{COMMAND, ENV, HOST_PATH, LABEL, OPTION, filled};
use crate::support::http::{self, get_head};
use crate::support::proxy::Proxy;

/// What docker-gen asks for at its start, and what it makes of the answers: a place for each virtual host.
struct Template {
    sent: Vec<u8>,
    places: Vec<String>,
}

fn rendered(socket: &Path) -> Template {
    let mut template = Template { sent: Vec::new(), places: Vec::new() };
    let mut get = |target: &str| {
        let answer = http::get(socket, target);
        assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
        template.sent.extend(&answer.body);
        answer.json()
    };
    let networks = get("/networks");
    assert!(networks.as_array().unwrap().iter().any(|network| network["Name"] == "back"));
    get("/info");
    get("/version");
    for listed in get("/containers/json").as_array().unwrap() {
        let container = get(&format!("/containers/{}/json", listed["Id"].as_str().unwrap()));
        template.places.extend(place(listed, &container));
    }
    template.places.sort();
    template
}

/// A place of the template, if the container has a virtual host.
fn place(listed: &Value, container: &Value) -> Option<String> {
    let variable = |name: &str| {
        let env = container["Config"]["Env"].as_array()?.iter();
        env.filter_map(|entry| entry.as_str()?.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    };
    let host = variable("VIRTUAL_HOST")?;
    let port = variable("VIRTUAL_PORT").unwrap_or("80");
    let access = variable("NETWORK_ACCESS").unwrap_or("external");
    let addresses: Vec<String> = container["NetworkSettings"]["Networks"]
        .as_object()?
        .iter()
        .map(|(name, network)| format!("{name} {}", network["IPAddress"]))
        .collect();
    let (name, image, state) =
        (&container["Name"], &container["Config"]["Image"], &container["State"]["Running"]);
    let keepalive = &listed["Labels"]["com.github.nginx-proxy.nginx-proxy.keepalive"];
    Some(format!("{host}:{port} {access} {name} {image} {state} {addresses:?} {keepalive}"))
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn virtual_hosts_are_found_as_on_the_engine_s_socket_and_passwords_are_not_sent() {
    let filled = filled();
    let proxy = Proxy::builder(filled.socket()).args(["--for", "nginx-proxy"]).allow("info,version").start();
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let mut events = http::connect(proxy.socket());
    events.write_all(get_head(&format!("/events?since={since}")).as_bytes()).unwrap();

    filled.create("hosted", &json!({
        "Image": "busybox:latest", "Cmd": ["/bin/sh", "-c", format!("/bin/busybox sleep 3600; : {COMMAND}")],
        "Env": [
            "VIRTUAL_HOST=c.example", "VIRTUAL_PORT=8080", "NETWORK_ACCESS=internal",
            format!("PASSWORD={ENV}"), format!("VIRTUAL={ENV}"),
        ],
        "Labels": {
            "com.github.nginx-proxy.nginx-proxy.keepalive": "64", "note": LABEL,
        },
        "HostConfig": { "NetworkMode": "back", "Binds": ["hosted:/own"], "LogConfig": {
            "Type": "json-file", "Config": { "tag": OPTION },
        }},
    }));
    filled.docker(&["start", "hosted"]);
    let direct = rendered(filled.socket());
    let shown = rendered(proxy.socket());
    filled.docker(&["rm", "-f", "hosted"]);
    let told = http::read_until(&mut events, |bytes| http::contains(bytes, "\"destroy\""));

    assert!(
        direct.places.len() > 2 && direct.places[2].starts_with("c.example:8080 internal "),
        "{:?}",
        direct.places
    );
    assert!(direct.places[2].ends_with(" \"64\""), "{}", direct.places[2]);
    assert_eq!(shown.places, direct.places);
    for marker in [ENV, COMMAND, LABEL, HOST_PATH, OPTION] {
        assert!(http::contains(&direct.sent, marker), "{marker} is in the engine's own answers");
        assert!(!http::contains(&shown.sent, marker), "{marker} was sent");
        assert!(!http::contains(&told, marker), "{marker} was told");
    }
}
