//! Promise: with `--only`, objects that no selector chooses do not exist for a listener: neither in lists nor by
//! name nor inside of other answers nor in events.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use serde_json::Value;

use crate::support::http::{Response, connect, get_head};
use crate::support::library::every_name;
use crate::support::mock::{Mock, MockConnection};
use crate::support::proxy::{Builder, Proxy};
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
    let used = format!(
        r#""ContainerSpec":{{"Secrets":[{{"File":{{"Name":"f"}},"SecretID":"{OURS}","SecretName":"sec"}},{{"SecretID":"{THEIRS}","SecretName":"hush"}}],"Configs":[{{"ConfigID":"{THEIRS}","ConfigName":"hush"}},{{"ConfigID":"{OURS}","ConfigName":"conf"}}],"Privileges":{{"CredentialSpec":{{"Config":"{THEIRS}"}}}}}}"#
    );
    let service = |id: &str, tenant: &str, networks: &str| {
        format!(
            r#"{{"ID":"{id}","Spec":{{"Name":"s-{tenant}","Labels":{},"TaskTemplate":{{{used},"Networks":[{networks}]}}}},"PreviousSpec":{{"TaskTemplate":{{{used}}}}},"Endpoint":{{"VirtualIPs":[{{"NetworkID":"{THEIRS}","Addr":"10.0.0.9"}},{{"NetworkID":"{OURS}","Addr":"10.0.0.1"}}]}}}}"#,
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
            r#"{{"ID":"t{id}","Labels":{{}},"ServiceID":"{of}","Spec":{{{used}}},"NetworksAttachments":[{{"Network":{{"ID":"{of}","Spec":{{"Name":"n-{of}"}}}}}},{{"Network":{{"ID":"{THEIRS}","Spec":{{"Name":"hush"}}}}}}]}}"#
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
        "/nodes/n2" => Some(r#"{"ID":"n2","Spec":{"Labels":{}},"Description":{"Hostname":"hush"}}"#.to_owned()),
        "/secrets" | "/configs" => Some(format!(
            r#"[{{"ID":"{OURS}","Spec":{{"Name":"ours","Labels":{}}}}},{{"ID":"{THEIRS}","Spec":{{"Name":"hush"}}}}]"#,
            labels("we")
        )),
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

/// How engines say that the beginning of an id, which is a name in a request, is that of several.
const AMBIGUOUS: [(&str, &str); 5] = [
    ("500 Oh", "Multiple IDs found with provided prefix: bb"),
    ("400 Bad Request", "Multiple IDs found with provided prefix: bb"),
    ("500 Oh", "service bb is ambiguous (2 matches found)"),
    ("400 Bad Request", "service bb is ambiguous (2 matches found)"),
    ("500 Oh", "more than one result for container name bb: is ambiguous"),
];

#[test]
fn the_beginning_of_several_hidden_ids_is_answered_like_what_does_not_exist() {
    for (status, message) in AMBIGUOUS {
        let engine = Mock::new(move |mut connection: MockConnection| {
            while connection.read_head().is_some() {
                let body = format!("{{\"message\":\"{message}\"}}");
                connection
                    .send(&format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
            }
        });
        let proxy = ours(engine.socket()).start();
        for (target, expected) in [
            ("/containers/bb/json", "No such container: bb"),
            ("/services/bb", "service bb not found"),
            ("/tasks/bb", "task bb not found"),
            ("/containers/json?filters={\"since\":[\"bb\"]}", "No such container: bb"),
        ] {
            let response = proxy.get(target);
            assert_eq!(
                (response.status(), response.message()),
                (404, expected.to_owned()),
                "{message} {target}"
            );
        }
        assert!(!proxy.log().iter().any(|line| line.contains("upstream_error")), "{:?}", proxy.log());
    }
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
    let task = proxy.get("/tasks/t1").json();
    for spec in [&service["Spec"]["TaskTemplate"], &service["PreviousSpec"]["TaskTemplate"], &task["Spec"]] {
        let used = &spec["ContainerSpec"];
        assert_eq!((&used["Secrets"][0]["SecretName"], &used["Secrets"][1]), (&"sec".into(), &Value::Null));
        assert_eq!((&used["Configs"][0]["ConfigName"], &used["Configs"][1]), (&"conf".into(), &Value::Null));
    }
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
fn a_filter_says_no_more_of_what_is_hidden_than_of_what_does_not_exist() {
    let engine = Mock::new(serve);
    let proxy = ours(engine.socket()).start();
    let filtered = |list: &str, filter: &str, name: &str| {
        proxy.get(&format!("{list}?filters={{\"{filter}\":[\"{name}\"]}}"))
    };
    for (list, filter, hidden) in [
        ("/containers/json", "before", "hush"),
        ("/containers/json", "since", "hush"),
        ("/containers/json", "after", "hush"),
        ("/images/json", "before", "hush:1"),
        ("/images/json", "since", "hush:1"),
        ("/images/json", "after", "hush:1"),
        ("/tasks", "service", THEIRS),
        ("/tasks", "node", "n2"),
    ] {
        let (one, other) = (filtered(list, filter, hidden), filtered(list, filter, "none"));
        assert_eq!((one.status(), other.status()), (404, 404), "{list} {filter}");
        assert_eq!(one.text().replace(hidden, "none"), other.text(), "{list} {filter}");
    }
    for (list, filter, name) in
        [("/containers/json", "after", "web"), ("/tasks", "service", "s-we"), ("/tasks", "service", OURS)]
    {
        shown(&filtered(list, filter, name));
    }
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

#[test]
fn an_engine_without_a_swarm_says_so_itself() {
    let engine = Mock::new(|mut connection: MockConnection| {
        while let Some(head) = connection.read_head() {
            let (status, body) = match head.starts_with("GET /networks ") {
                true => ("200 OK", "[]"),
                false => ("503 Oh", r#"{"message":"This node is not a swarm manager."}"#),
            };
            let length = body.len();
            connection.send(&format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
        }
    });
    let proxy = ours(engine.socket()).start();
    for target in ["/services", "/tasks"] {
        let response = proxy.get(target);
        assert_eq!(
            (response.status(), response.message()),
            (503, "This node is not a swarm manager.".to_owned())
        );
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

/// Clients that ask for events and read none.
fn watch_events(proxy: &Proxy, clients: usize) -> Vec<UnixStream> {
    let watch = |_| {
        let mut watcher = connect(proxy.socket());
        watcher.write_all(get_head("/events").as_bytes()).unwrap();
        watcher
    };
    (0..clients).map(watch).collect()
}

/// Answers with one event, of an object that has to be looked up, and stays.
fn tell_of_one_event(mut connection: MockConnection) {
    let event = event("network", "connect", OURS, "");
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
    connection.send("Content-Type: application/json\r\n\r\n");
    connection.send(&format!("{:x}\r\n{event}\r\n", event.len()));
    connection.wait_until_closed();
}

#[test]
fn few_lookups_at_a_time_reach_the_engine_however_many_clients_need_one() {
    const WATCHERS: usize = 12;
    const AT_A_TIME: usize = 4;
    let gate = Arc::new(RwLock::new(()));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate_of_engine, now_of_engine, most_of_engine) = (gate.clone(), now.clone(), most.clone());
    let engine = Mock::new(move |mut connection: MockConnection| {
        while let Some(head) = connection.read_head() {
            if head.starts_with("GET /events ") {
                return tell_of_one_event(connection);
            }
            if head.starts_with("GET /_ping ") {
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]");
                continue;
            }
            most_of_engine.fetch_max(now_of_engine.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            drop(gate_of_engine.read());
            now_of_engine.fetch_sub(1, Ordering::SeqCst);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
        }
    });
    let proxy = ours(engine.socket()).args(["--max-connections", "64"]).start();
    let closed = gate.write().unwrap();
    let watchers = watch_events(&proxy, WATCHERS);
    let count = |target: &str| asked(&engine).iter().filter(|asked| *asked == target).count();
    until("all watch", || count("/events") == WATCHERS);
    until("lookups are under way", || now.load(Ordering::SeqCst) >= AT_A_TIME);
    // Turns of the event loop, in which others could begin.
    for _ in 0..20 {
        assert_eq!(proxy.get("/_ping").status(), 200);
    }
    drop(closed);
    until("every watcher's lookups were made", || count("/configs") == WATCHERS);
    assert_eq!(most.load(Ordering::SeqCst), AT_A_TIME);
    drop(watchers);
}

#[test]
fn an_engine_that_hangs_within_what_is_asked_of_it_for_events_keeps_no_turn() {
    const WATCHERS: usize = 4;
    let engine = Mock::new(|mut connection: MockConnection| {
        while let Some(head) = connection.read_head() {
            if head.starts_with("GET /events ") {
                return tell_of_one_event(connection);
            }
            let container = format!("/containers/{OURS}/json");
            if head.starts_with(&format!("GET {container} ")) {
                let body = answer(&container).unwrap();
                connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
                connection.send(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
                continue;
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[");
            return connection.wait_until_closed();
        }
    });
    let proxy = ours(engine.socket()).args(["--upstream-timeout", "500ms"]).start();
    let _watchers = watch_events(&proxy, WATCHERS);
    let lookups = || asked(&engine).iter().filter(|asked| *asked != "/events").count();
    until("every turn is taken", || lookups() >= WATCHERS);
    until("a container is looked up", || proxy.get(&format!("/containers/{OURS}/json")).status() == 200);
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
