//! Promise: with `--only`, objects that no selector chooses do not exist for a listener: neither in lists nor by
//! name nor inside of other answers nor in events.

use std::io::Write;
use std::path::Path;

use crate::support::engine::Engine;
use crate::support::env_usize;
use crate::support::http::{self, Response};
use crate::support::library::{ENGINE, Endpoint, every_name};
use crate::support::mock::{Mock, MockConnection};
use crate::support::proxy::{Builder, Proxy};
use crate::support::rng::{Rng, seed_from};
use crate::support::tools::stdout;
use crate::support::until;

const OURS: &str = "aaaaaaaaaaaa";
const THEIRS: &str = "bbbbbbbbbbbb";

/// What the engine has, of us and of others, by target without the query.
fn answer(path: &str) -> Option<String> {
    let labels = |tenant: &str| format!(r#"{{"tenant":"{tenant}"}}"#);
    let container = |id: &str, name: &str, tenant: &str| {
        format!(r#"{{"Id":"{id}","Name":"/{name}","Config":{{"Labels":{}}}}}"#, labels(tenant))
    };
    let listed = |id: &str, name: &str, tenant: &str| {
        format!(r#"{{"Id":"{id}","Names":["/{name}"],"Labels":{}}}"#, labels(tenant))
    };
    let service = |id: &str, tenant: &str, networks: &str| {
        format!(
            r#"{{"ID":"{id}","Spec":{{"Name":"s-{tenant}","Labels":{},"TaskTemplate":{{"Networks":[{networks}]}}}},"Endpoint":{{"VirtualIPs":[{{"NetworkID":"{THEIRS}","Addr":"10.0.0.9"}},{{"NetworkID":"{OURS}","Addr":"10.0.0.1"}}]}}}}"#,
            labels(tenant)
        )
    };
    let networks = format!(r#"{{"Target":"{OURS}"}},{{"Target":"{THEIRS}"}}"#);
    let network = |id: &str, tenant: &str| {
        format!(
            r#"{{"Name":"net-{tenant}","Id":"{id}","Labels":{},"Containers":{{"{OURS}":{{"Name":"web"}},"{THEIRS}":{{"Name":"hush"}}}},"Services":{{"hush":{{"VIP":"10.0.0.9"}}}}}}"#,
            labels(tenant)
        )
    };
    let task = |id: &str, of: &str| {
        format!(
            r#"{{"ID":"t{id}","Labels":{{}},"ServiceID":"{of}","NetworksAttachments":[{{"Network":{{"ID":"{of}","Spec":{{"Name":"n-{of}"}}}}}},{{"Network":{{"ID":"{THEIRS}","Spec":{{"Name":"hush"}}}}}}]}}"#
        )
    };
    let both = |one: String, other: String| Some(format!("[{one},{other}]\n"));
    match path {
        "/containers/json" => both(listed(OURS, "web", "we"), listed(THEIRS, "hush", "they")),
        "/containers/aaaaaaaaaaaa/json" | "/containers/web/json" => Some(container(OURS, "web", "we")),
        "/containers/bbbbbbbbbbbb/json" | "/containers/hush/json" => Some(container(THEIRS, "hush", "they")),
        "/networks" => both(network(OURS, "we"), network(THEIRS, "they")),
        "/networks/aaaaaaaaaaaa" | "/networks/net-we" => Some(network(OURS, "we")),
        "/services" => both(service(OURS, "we", &networks), service(THEIRS, "they", &networks)),
        "/services/aaaaaaaaaaaa" | "/services/s-we" => Some(service(OURS, "we", &networks)),
        "/services/bbbbbbbbbbbb" => Some(service(THEIRS, "they", &networks)),
        "/tasks" => both(task("1", OURS), task("2", THEIRS)),
        "/tasks/t1" => Some(task("1", OURS)),
        "/tasks/t2" => Some(task("2", THEIRS)),
        "/exec/e1/json" => Some(format!(r#"{{"ID":"e1","ContainerID":"{OURS}"}}"#)),
        "/exec/e2/json" => Some(format!(r#"{{"ID":"e2","ContainerID":"{THEIRS}"}}"#)),
        "/containers/aaaaaaaaaaaa/top" => Some(r#"{"Titles":["PID"],"Processes":[["1"]]}"#.to_owned()),
        "/images/web:1/json" => Some(
            r#"{"Id":"sha256:aa","RepoTags":["web:1"],"Config":{"Labels":{"tenant":"we"}}}"#.to_owned(),
        ),
        "/images/hush:1/json" => Some(r#"{"Id":"sha256:bb","RepoTags":["hush:1"],"Config":{}}"#.to_owned()),
        "/volumes" => Some(
            r#"{"Volumes":[{"Name":"ours","Labels":{"tenant":"we"}},{"Name":"hush","Labels":null}],"Warnings":["hush"]}"#.to_owned(),
        ),
        "/volumes/ours" => Some(r#"{"Name":"ours","Labels":{"tenant":"we"}}"#.to_owned()),
        "/volumes/hush" => Some(r#"{"Name":"hush","Labels":null}"#.to_owned()),
        "/system/df" => Some(
            r#"{"LayersSize":77,"Containers":[{"Id":"a","Names":["/web"],"Labels":{"tenant":"we"}},{"Id":"b","Names":["/hush"]}],"ImageUsage":{"TotalCount":77,"Items":[]}}"#
                .to_owned(),
        ),
        _ => None,
    }
}

fn serve(mut connection: MockConnection) {
    while let Some(head) = connection.read_head() {
        let target = head.split(' ').nth(1).unwrap();
        let path = target.split('?').next().unwrap();
        let path = path.strip_prefix("/v1.27").unwrap_or(path);
        let (status, body) = match answer(path) {
            Some(body) => ("200 OK", body),
            None if path == "/images/get" || path.ends_with("/logs") => ("200 OK", "{}".to_owned()),
            None => ("404 Not Found", r#"{"message":"hush: the engine's own words"}"#.to_owned()),
        };
        let length = body.len();
        connection.send(&format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    }
}

fn ours(socket: &Path) -> Builder {
    Proxy::builder(socket).allow(&every_name()).args(["--only", "label:tenant=we"])
}

fn shown(response: &Response) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    response.text()
}

/// The targets that the engine was asked for.
fn asked(engine: &Mock) -> Vec<String> {
    engine.heads().iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn what_is_judged_is_what_is_asked_for_by_its_full_id() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    for (target, inspected, sent) in [
        (
            "/containers/web/top?ps_args=aux",
            "/containers/web/json",
            "/containers/aaaaaaaaaaaa/top?ps_args=aux",
        ),
        ("/v1.27/networks/net-we", "/v1.27/networks/net-we", "/v1.27/networks/aaaaaaaaaaaa"),
        ("/volumes/ours", "/volumes/ours", "/volumes/ours"),
        ("/images/web:1/json", "/images/web:1/json", "/images/sha256:aa/json"),
        (
            "/images/get?names=web:1&platform=x",
            "/images/web:1/json",
            "/images/get?platform=x&names=sha256%3Aaa",
        ),
        ("/containers/web/logs?stdout=1", "/containers/web/json", "/containers/aaaaaaaaaaaa/logs?stdout=1"),
    ] {
        let before = asked(&engine).len();
        let status = proxy.get(target).status();
        let asked = asked(&engine)[before..].to_vec();
        assert_eq!(
            (asked.first().map(String::as_str), asked.last().map(String::as_str)),
            (Some(inspected), Some(sent))
        );
        assert!(status == 200 || status == 404, "{target}: {status}");
    }
    // Its command's container is what decides.
    assert_eq!(shown(&proxy.get("/exec/e1/json")), answer("/exec/e1/json").unwrap());
}

#[test]
fn what_is_hidden_is_answered_like_what_does_not_exist() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    for (hidden, absent) in [
        ("/containers/hush/json", "/containers/none/json"),
        ("/containers/hush/logs", "/containers/none/logs"),
        ("/containers/hush/archive?path=/", "/containers/none/archive?path=/"),
        ("/containers/bbbbbbbbbbbb/stats", "/containers/cccccccccccc/stats"),
        ("/images/hush:1/history", "/images/none:1/history"),
        ("/images/get?names=web:1&names=hush:1", "/images/get?names=web:1&names=none:1"),
        ("/volumes/hush", "/volumes/none"),
        ("/services/bbbbbbbbbbbb", "/services/none"),
        ("/services/bbbbbbbbbbbb/logs", "/services/none/logs"),
        ("/tasks/t2", "/tasks/none"),
        ("/tasks/t2/logs", "/tasks/none/logs"),
        ("/exec/e2/json", "/exec/none/json"),
    ] {
        let count = |target: &str| {
            let before = asked(&engine).len();
            let response = proxy.get(target);
            (response, asked(&engine).len() - before)
        };
        let ((one, steps), (other, other_steps)) = (count(hidden), count(absent));
        assert_eq!((one.status(), other.status()), (404, 404), "{hidden}");
        let name = |target: &str| {
            target
                .split(['/', '?'])
                .find(|part| {
                    "hush hush:1 bbbbbbbbbbbb t2 e2 none none:1 cccccccccccc"
                        .split(' ')
                        .any(|name| *part == name)
                })
                .unwrap_or("")
                .to_owned()
        };
        let (one_name, other_name) = match hidden.contains("names=") {
            true => ("hush:1".to_owned(), "none:1".to_owned()),
            false => (name(hidden), name(absent)),
        };
        assert_eq!(
            one.text().replace(&one_name, "NAME"),
            other.text().replace(&other_name, "NAME"),
            "{hidden}"
        );
        assert!(one.text().contains(&one_name), "{}", one.text());
        // The date apart, the heads differ in nothing but the length of the name.
        let headers =
            |response: &Response| response.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(headers(&one), headers(&other), "{hidden}");
        assert_eq!(steps, other_steps, "{hidden} takes as many steps as {absent}");
    }
    let text = proxy.get("/containers/hush/json").text();
    assert_eq!(text, "{\"message\":\"No such container: hush\"}\n");
}

#[test]
fn hidden_objects_are_in_no_list_and_not_counted() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    for target in
        ["/containers/json", "/networks", "/v1.27/networks", "/volumes", "/services", "/tasks", "/system/df"]
    {
        let text = shown(&proxy.get(target));
        assert!(!text.contains("hush") && !text.contains("they"), "{target}: {text}");
        assert!(!text.contains("77"), "{target} counts: {text}");
        assert!(text.contains("we") || text.contains("t1"), "{target}: {text}");
    }
    let tasks = proxy.get("/tasks").json();
    assert_eq!(tasks.as_array().unwrap().len(), 1, "{tasks}");
}

#[test]
fn hidden_objects_are_not_named_inside_of_other_answers() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    for target in
        ["/networks/net-we", "/v1.27/networks", "/services/s-we", "/services", "/tasks/t1", "/tasks"]
    {
        let text = shown(&proxy.get(target));
        assert!(!text.contains(THEIRS) && !text.contains("hush"), "{target}: {text}");
        assert!(text.contains(OURS), "{target}: {text}");
    }
    let network = proxy.get("/networks/net-we").json();
    assert_eq!(network["Containers"].as_object().unwrap().len(), 1, "{network}");
    let service = proxy.get("/services/s-we").json();
    assert_eq!(service["Endpoint"]["VirtualIPs"].as_array().unwrap().len(), 1, "{service}");
}

#[test]
fn a_limit_counts_what_is_shown_and_filters_name_only_that() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    let one = proxy.get("/containers/json?limit=1");
    assert_eq!(one.json().as_array().unwrap().len(), 1, "{}", one.text());
    assert_eq!(asked(&engine).last().map(String::as_str), Some("/containers/json?all=1"));
    let all =
        Proxy::builder(engine.socket()).allow("containers:list").args(["--only", "label:tenant"]).start();
    assert_eq!(all.get("/containers/json").json().as_array().unwrap().len(), 2);
    assert_eq!(all.get("/containers/json?limit=1").json(), one.json());

    let since = |name: &str| proxy.get(&format!("/containers/json?filters=%7B%22since%22:[%22{name}%22]%7D"));
    assert_eq!(since("web").status(), 200);
    let (hidden, absent) = (since("hush"), since("none"));
    assert_eq!((hidden.status(), absent.status()), (404, 404));
    assert_eq!(hidden.text().replace("hush", "none"), absent.text());
}

#[test]
fn when_the_engine_does_not_say_nothing_is_shown() {
    let engine = Mock::answering_once("HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\nhush");
    let proxy = ours(engine.socket()).start();
    for target in ["/containers/web/json", "/services"] {
        let response = proxy.get(target);
        assert_eq!(response.status(), 502, "{target}");
        assert!(!response.text().contains("hush"));
        proxy.logged(&["WARN allowed", "upstream_error", target]);
    }
}

fn event(kind: &str, action: &str, id: &str, attributes: &str) -> String {
    format!(
        r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{{attributes}}}}}}}"#
    )
}

#[test]
fn only_events_of_visible_objects_come_and_their_last_one_too() {
    let events = [
        event("container", "start", OURS, r#""name":"web","tenant":"we""#),
        event("container", "start", THEIRS, r#""name":"hush","tenant":"they""#),
        event("container", "destroy", "dddd", r#""name":"gone","tenant":"we""#),
        event("volume", "destroy", "ours", r#""driver":"local""#),
        event("volume", "destroy", "hush", r#""driver":"local""#),
        event("volume", "mount", "ours", &format!(r#""container":"{THEIRS}""#)),
        event("network", "connect", OURS, &format!(r#""container":"{OURS}","name":"net-we""#)),
        event("network", "connect", OURS, &format!(r#""container":"{THEIRS}","name":"net-we""#)),
        event("image", "delete", "sha256:cc", r#""name":"hush""#),
        event("node", "update", "hush", ""),
        event("daemon", "reload", "hush", ""),
        event("service", "update", OURS, r#""name":"s-we""#),
        event("service", "update", THEIRS, r#""name":"hush""#),
        r#"{"status":"start","id":"hush","time":1}"#.to_owned(),
    ];
    let all = events.join("\n") + "\n";
    let engine = Mock::new(move |mut connection: MockConnection| {
        let head = connection.read_head().unwrap_or_default();
        if head.starts_with("GET /events ") {
            connection.send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            connection.send(&format!("{:x}\r\n{all}\r\n0\r\n\r\n", all.len()));
            return;
        }
        let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let body = answer(&path).unwrap_or_else(|| "[]".to_owned());
        let status = if answer(&path).is_some() { "200 OK" } else { "404 Not Found" };
        connection.send(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    let proxy = ours(engine.socket()).start();
    let text = shown(&proxy.get("/events"));
    let came: Vec<String> = text
        .lines()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{} {} {}", event["Type"], event["Action"], event["Actor"]["ID"]).replace('"', "")
        })
        .collect();
    let expected = [
        format!("container start {OURS}"),
        "container destroy dddd".to_owned(),
        "volume destroy ours".to_owned(),
        format!("network connect {OURS}"),
        format!("service update {OURS}"),
    ];
    // What `ours` was is forgotten with it, and a mount of it by another's container is not told.
    assert_eq!(came, expected, "{text}");
    assert!(!text.contains("hush") && !text.contains(THEIRS), "{text}");
}

#[test]
fn what_cannot_be_limited_is_warned_of_at_the_start() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    let line = proxy.logged(&["WARN", "whatever the setting only says"]);
    for name in [
        "info",
        "version",
        "ping",
        "nodes:list",
        "nodes:inspect",
        "plugins:list",
        "plugins:inspect",
        "swarm:inspect",
        "images:search",
        "distribution:inspect",
    ] {
        assert!(line.contains(name), "{line} lacks {name}");
    }
    assert!(!line.contains("containers") && !line.contains("events"), "{line}");
}

/// A request that ends by itself, for an object or with its name in a filter.
fn generated(rng: &mut Rng, name: &str) -> (String, &'static Endpoint) {
    let rows = ENGINE.endpoints();
    let row = &rows[rng.below(rows.len())];
    let prefix = rng.pick(&["", "", "/v1.25", "/v1.41"]);
    let filter =
        rng.pick(&["name", "id", "label", "since", "before", "volume", "network", "container", "service"]);
    let query = match row.name {
        "events" => "?since=1&until=2".to_owned(),
        "containers:stats" => "?stream=0&one-shot=1".to_owned(),
        "containers:logs" | "services:logs" | "tasks:logs" => "?stdout=1&tail=1".to_owned(),
        "containers:archive" => "?path=/bin/sh".to_owned(),
        "images:export" => format!("?names={name}"),
        "images:search" | "distribution:inspect" => return generated(rng, name),
        _ => format!("?all=1&size=1&verbose=1&filters=%7B%22{filter}%22:[%22{name}%22]%7D"),
    };
    let path = row.api_path().replace("{id}", name).replace("{name}", name);
    (format!("{prefix}{path}{query}"), row)
}

/// Two tenants of a real engine while objects come and go.
#[test]
#[ignore = "needs an engine: tests/run"]
fn a_tenant_of_a_real_engine_sees_nothing_of_another() {
    let engine = Engine::shared();
    let run = |args: &[&str]| stdout(engine.docker(args)).trim().to_owned();
    let tenant = |name: &str| format!("tenant={name}");
    let containers = env_usize("TENANT_CONTAINERS", 3);
    let mut made = Vec::new();
    for who in ["red", "blue"] {
        let label = tenant(who);
        run(&[
            "network",
            "create",
            "--driver",
            "overlay",
            "--attachable",
            "--label",
            &label,
            &format!("{who}-net"),
        ]);
        run(&["volume", "create", "--label", &label, &format!("{who}-volume")]);
        run(&[
            "service",
            "create",
            "--detach",
            "--name",
            &format!("{who}-service"),
            "--label",
            &label,
            "--network",
            &format!("{who}-net"),
            "busybox:latest",
            "/bin/busybox",
            "sleep",
            "1000",
        ]);
        for number in 0..containers {
            let name = format!("{who}-{number}");
            let id = run(&[
                "run",
                "-d",
                "--name",
                &name,
                "--network",
                "none",
                "--label",
                &label,
                "-v",
                &format!("{who}-volume:/data"),
                "busybox:latest",
                "/bin/busybox",
                "sleep",
                "1000",
            ]);
            made.push((who, id));
        }
    }
    until("the tasks are there", || run(&["service", "ps", "-q", "red-service"]).len() > 5);
    let proxy =
        Proxy::builder(engine.socket()).allow(&every_name()).args(["--only", "label:tenant=red"]).start();
    let mut stream = http::connect(proxy.socket());
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    http::read_until(&mut stream, |all| http::contains(all, "\r\n\r\n"));

    let blue: Vec<String> = made.iter().filter(|(who, _)| *who == "blue").map(|(_, id)| id.clone()).collect();
    let mut theirs = blue.clone();
    theirs.extend(["blue-net", "blue-volume", "blue-service"].map(str::to_owned));
    theirs.push(run(&["network", "inspect", "-f", "{{.Id}}", "blue-net"]));
    theirs.push(run(&["service", "inspect", "-f", "{{.ID}}", "blue-service"]));
    let own_tasks = run(&["service", "ps", "-q", "--no-trunc", "red-service"]);
    for target in [
        "/containers/json?all=1",
        "/containers/json?all=1&filters=%7B%22label%22:[%22tenant=blue%22]%7D",
        "/images/json",
        "/networks",
        "/v1.27/networks",
        "/volumes",
        "/services",
        "/tasks",
        "/secrets",
        "/configs",
        "/system/df",
        "/networks/red-net?verbose=1",
        "/services/red-service",
        "/containers/red-0/json",
        &format!("/tasks/{}", own_tasks.lines().next().unwrap()),
    ] {
        let response = proxy.get(target);
        assert_eq!(response.status(), 200, "{target}: {}", response.text());
        for other in &theirs {
            assert!(
                !response.text().contains(other.as_str()),
                "{target} tells of {other}: {}",
                response.text()
            );
        }
    }
    let mut rng = Rng::new(seed_from("TENANT_SEED"));
    let red: Vec<String> = made.iter().filter(|(who, _)| *who == "red").map(|(_, id)| id.clone()).collect();
    let both: Vec<&String> = theirs.iter().chain(&red).collect();
    for _ in 0..env_usize("TENANT_REQUESTS", 500) {
        let name = both[rng.below(both.len())].as_str();
        let name = if rng.once_in(4) { &name[..name.len().min(12)] } else { name };
        let (target, row) = generated(&mut rng, name);
        let response = proxy.get(&target);
        if row.can_be_limited() {
            // The engine's words for what does not exist repeat the name.
            let text = response.text().replace(name, "");
            let told = theirs.iter().find(|other| text.contains(other.as_str()));
            assert_eq!(told, None, "{target}: {text}");
        }
    }
    for (kind, own, other) in [
        ("containers", "red-1", "blue-1"),
        ("networks", "red-net", "blue-net"),
        ("volumes", "red-volume", "blue-volume"),
        ("services", "red-service", "blue-service"),
    ] {
        let end = if kind == "containers" { "/json" } else { "" };
        assert_eq!(proxy.get(&format!("/{kind}/{own}{end}")).status(), 200, "{own}");
        let hidden = proxy.get(&format!("/{kind}/{other}{end}"));
        let absent = proxy.get(&format!("/{kind}/{}{end}", other.replace("blue", "absent")));
        assert_eq!((hidden.status(), absent.status()), (404, 404));
        assert_eq!(hidden.text(), absent.text().replace("absent", "blue"));
        // The words are the engine's.
        let direct = http::get(engine.socket(), &format!("/{kind}/absent{end}"));
        let own_words = proxy.get(&format!("/{kind}/absent{end}"));
        assert_eq!(own_words.json(), direct.json());
    }
    for who in ["blue", "red"] {
        for number in 0..containers {
            run(&["rm", "-f", &format!("{who}-{number}")]);
        }
        run(&["service", "rm", &format!("{who}-service")]);
        run(&["volume", "rm", &format!("{who}-volume")]);
        until("its network is free", || {
            engine.docker(&["network", "rm", &format!("{who}-net")]).status.success()
        });
    }
    let all = http::read_until(&mut stream, |all| {
        let text = String::from_utf8_lossy(all);
        text.matches("\"Action\":\"destroy\"").count() > containers
    });
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("red-volume") && text.contains("red-0"), "{text}");
    for other in &theirs {
        assert!(!text.contains(other.as_str()), "events tell of {other}: {text}");
    }
}
