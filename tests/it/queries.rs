//! Promise: of a query only what the endpoint knows is sent on, each value read once and judged.

use std::collections::BTreeSet;

use crate::support::library::{ENGINE, Endpoint, Kind};
use crate::support::mock::Recorder;
use crate::support::proxy::{Proxy, program};

/// Published parameters: the path, the name, the type.
fn published() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = include_str!("data/engine-query-get.tsv").lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    fields.map(|fields| (fields[0], fields[1], fields[2].split(':').next().unwrap())).collect()
}

/// What engines take without publishing it.
const UNPUBLISHED: [(&str, &str); 1] = [("/containers/{id}/logs", "details")];

fn fits(published: &str, kind: Kind) -> bool {
    match published {
        "boolean" => kind == Kind::Boolean,
        "integer" => matches!(kind, Kind::Integer | Kind::Timestamp),
        "array" => kind == Kind::List,
        "string" => !matches!(kind, Kind::Boolean | Kind::Integer),
        other => panic!("a type of its own: {other}"),
    }
}

#[test]
fn every_published_parameter_is_in_its_row_and_no_other() {
    let rows: BTreeSet<(String, &str)> = ENGINE
        .endpoints()
        .iter()
        .flat_map(|row| row.parameters.iter().map(|parameter| (row.api_path(), parameter.name)))
        .collect();
    let opened = |path: &str| ENGINE.endpoints().iter().any(|row| row.api_path() == path);
    let known: BTreeSet<(String, &str)> = published()
        .into_iter()
        .filter(|(path, ..)| opened(path))
        .map(|(path, name, _)| (path.to_owned(), name))
        .chain(UNPUBLISHED.map(|(path, name)| (path.to_owned(), name)))
        .collect();
    assert!(known.len() > 60, "{} parameters", known.len());
    assert_eq!(rows, known);
}

#[test]
fn every_parameter_is_judged_by_its_published_type() {
    for (path, name, kind) in published() {
        let rows: Vec<&Endpoint> = ENGINE.endpoints().iter().filter(|row| row.api_path() == path).collect();
        let parameters = rows.iter().flat_map(|row| row.parameters).filter(|known| known.name == name);
        for parameter in parameters {
            assert!(fits(kind, parameter.kind), "{path} {name}: {kind} is {:?}", parameter.kind);
        }
    }
    let filters = ENGINE.endpoints().iter().flat_map(|row| row.parameters);
    for parameter in filters.filter(|parameter| parameter.name == "filters") {
        assert_eq!(parameter.kind, Kind::Filters);
    }
}

fn asked(names: &str, targets: &[&str]) -> Vec<String> {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow(names).start();
    for target in targets {
        let response = proxy.get(target);
        assert_eq!(response.status(), 200, "{target}: {}", response.text());
    }
    engine.targets()
}

#[test]
fn the_engine_gets_known_parameters_once_and_in_one_spelling() {
    let targets = [
        "/containers/json?limit=05&all=True&all=0&secret=x",
        "/containers/json?filters=%7b%22label%22%3a%5b%22a%22%5d%7D",
        "/containers/json?filters=%7B%22label%22:%7B%22a%22:true%7D%7D",
        "/containers/9f/logs?details=1&stdout=yes&since=1700000000.5&tail=all&until=",
        "/images/get?names=a&names=b%3Atag",
        "/secrets/9f?showsecret=true",
        "/info?",
    ];
    let asked = asked("containers:list,containers:logs,images:export,secrets:inspect,info", &targets);
    let encoded = |text: &str| {
        let escape = |byte: u8| match byte {
            b'a'..=b'z' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect::<String>()
    };
    assert_eq!(
        asked,
        [
            "/containers/json?all=1&limit=5".to_owned(),
            format!("/containers/json?filters={}", encoded("{\"label\":[\"a\"]}")),
            format!("/containers/json?filters={}", encoded("{\"label\":{\"a\":true}}")),
            "/containers/9f/logs?details=1&stdout=1&since=1700000000.5&tail=all".to_owned(),
            "/images/get?names=a&names=b%3Atag".to_owned(),
            "/secrets/9f".to_owned(),
            "/info".to_owned(),
        ]
    );
}

#[test]
fn a_value_that_is_not_let_through_is_a_400_that_names_its_parameter() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket())
        .allow("containers,containers:top,containers:logs,images:export")
        .start();
    let regex = format!("%7B%22name%22:[%22{}%22]%7D", "(a*)*".repeat(60));
    let long = format!("/containers/json?filters={regex}");
    let names = format!("/images/get?{}", "names=a&".repeat(33));
    for (target, parameter) in [
        ("/containers/json?all=maybe", "'all'"),
        ("/containers/json?limit=ten", "'limit'"),
        ("/containers/json?filters=[]", "'filters'"),
        ("/containers/json?filters=%7B%22name%22:%22web%22%7D", "'filters'"),
        (long.as_str(), "'filters'"),
        ("/containers/9f/top?ps_args=eww", "'ps_args'"),
        ("/containers/9f/top?ps_args=-o%20pid=x", "'ps_args'"),
        ("/containers/9f/logs?tail=most", "'tail'"),
        ("/containers/9f/logs?since=yesterday", "'since'"),
        (names.as_str(), "'names'"),
        ("/containers/json?all=1;limit=2", "semicolon"),
        ("/containers/json?x=%zz", "percent-escape"),
        (&format!("/containers/json?x={}", "y".repeat(4100)), "4096 bytes"),
    ] {
        let response = proxy.get(target);
        assert_eq!(response.status(), 400, "{target}");
        assert!(response.text().contains(parameter), "{target}: {}", response.text());
    }
    assert_eq!(engine.targets(), [""; 0]);
    proxy.logged(&["WARN rejected", "status=400", "endpoint=\"containers:top\"", "'ps_args'"]);
}

#[test]
fn what_is_left_out_is_named_in_the_access_log_and_its_value_is_not() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("secrets:inspect").start();
    proxy.get("/secrets/9f?showsecret=hush&x=hush");
    proxy.logged(&["DEBUG allowed", "left_out=\"showsecret&x\""]);
    assert!(proxy.log().iter().all(|line| !line.contains("hush")));
}

#[test]
fn below_1_28_a_list_of_networks_shows_what_inspecting_them_does_and_needs_that_name() {
    let engine = Recorder::new();
    let proxy = Proxy::builder(engine.socket()).allow("networks:list").start();
    assert_eq!(proxy.get("/v1.27/networks").status(), 404);
    proxy.logged(&["WARN denied", "-a networks:inspect or -a networks allows it"]);
    for target in ["/v1.28/networks", "/networks", "/v4.0.0/networks"] {
        assert_eq!(proxy.get(target).status(), 200, "{target}");
    }
    let both = Proxy::builder(engine.socket()).allow("networks").start();
    assert_eq!(both.get("/v1.27/networks").status(), 200);
    let raised = Proxy::builder(engine.socket()).allow("networks:list").args(["--min-api-version", "1.28"]);
    assert_eq!(raised.start().get("/v1.27/networks").status(), 200);
    assert_eq!(engine.targets().last().map(String::as_str), Some("/v1.28/networks"));
}

#[test]
fn requests_below_the_lowest_version_are_sent_on_with_that() {
    let engine = Recorder::new();
    let proxy =
        Proxy::builder(engine.socket()).allow("info,ping").args(["--min-api-version", "1.44"]).start();
    for target in ["/v1.24/info", "/info", "/v1.44/info", "/v1.45/info", "/v4.0.0/info", "/_ping"] {
        assert_eq!(proxy.get(target).status(), 200, "{target}");
    }
    let asked = ["/v1.44/info", "/v1.44/info", "/v1.44/info", "/v1.45/info", "/v4.0.0/info", "/v1.44/_ping"];
    assert_eq!(engine.targets(), asked);
    let output = program().args(["-a", "info", "--min-api-version", "latest"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--min-api-version: invalid API version 'latest'"), "{stderr}");
}
