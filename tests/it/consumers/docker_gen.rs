//! docker-gen, as nginx-proxy runs it.

use std::path::Path;

use super::fleet::{Fleet, import_busybox, run, web};
use super::{assert_every_name_is_needed, assert_nothing_refused, program, proxy_for, row};
use crate::support::engine::Engine;
use crate::support::process::descriptors;
use crate::support::proxy::Proxy;
use crate::support::tools::{Running, stdout};
use crate::support::until;

/// Begins to write what is to be served into a file.
fn start(socket: &Path, file: &Path) -> Running {
    let endpoint = format!("unix://{}", socket.display());
    Running::start(program("docker_gen/docker-gen").arg(endpoint).arg(file))
}

/// A proxy for nginx-proxy that also listens where the next one will.
fn serve_at(socket: &Path, engine: &Engine) -> Proxy {
    let listen = ["--for", "nginx-proxy", "--listen", socket.to_str().unwrap()];
    Proxy::builder(engine.socket()).args(listen).start()
}

/// Waits until the file says whether the site is served.
fn until_served(file: &Path, served: bool) {
    until(&format!("{} says that web.example is served: {served}", file.display()), || {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains("web.example") == served)
    });
}

/// The streams of events that the engine was asked for so far.
fn streams(engine: &Engine) -> usize {
    engine.calls().iter().filter(|call| call.starts_with("GET /events")).count()
}

/// Waits until the engine was pinged so many times more: once in ten seconds in which nothing happens.
fn until_pinged(proxy: &Proxy, times: usize) {
    let pings =
        || proxy.log().iter().filter(|line| line.contains("allowed") && line.contains("/_ping")).count();
    let before = pings();
    for more in 1..=times {
        until("docker-gen pings", || pings() >= before + more);
    }
}

fn writes_the_same_file_as_without_a_proxy(consumer: &str) {
    let fleet = Fleet::shared();
    let proxy = proxy_for(consumer, &fleet.engine);
    let place = tempfile::tempdir().unwrap();
    let (direct, shown) = (place.path().join("direct"), place.path().join("shown"));
    let _programs = [start(fleet.socket(), &direct), start(proxy.socket(), &shown)];
    until_served(&direct, true);
    until_served(&shown, true);
    let text = std::fs::read_to_string(direct).unwrap();
    assert!(text.contains("port=8080 access=internal keepalive=64 web front="), "{text}");
    assert_eq!(std::fs::read_to_string(shown).unwrap(), text);
    assert_nothing_refused(&proxy, row(consumer));
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn docker_gen_writes_the_same_file_as_without_a_proxy() {
    writes_the_same_file_as_without_a_proxy("docker-gen");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn nginx_proxy_writes_the_same_file_as_without_a_proxy() {
    writes_the_same_file_as_without_a_proxy("nginx-proxy");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn its_watch_lasts_through_quiet_and_restarts_and_leaks_no_connection() {
    let mut engine = Engine::private();
    import_busybox(&engine);
    stdout(engine.docker(&["network", "create", "front"]));
    let place = tempfile::tempdir().unwrap();
    let (socket, file) = (place.path().join("acl/docker.sock"), place.path().join("default.conf"));
    let mut proxy = serve_at(&socket, &engine);
    let _program = start(&socket, &file);
    until_served(&file, false);

    // Quiet: one stream, and no connection more for each ping. One that idles may have come or gone between.
    const PINGS: usize = 4;
    until_pinged(&proxy, 1);
    let (opened, asked) = (descriptors(proxy.pid()), streams(&engine));
    until_pinged(&proxy, PINGS);
    let now = descriptors(proxy.pid());
    assert!(now < opened + PINGS, "{opened} descriptors, then {now}");
    assert_eq!((streams(&engine), asked), (1, 1));

    run(&engine, "web", &web());
    until_served(&file, true);
    stdout(engine.docker(&["stop", "-t", "0", "web"]));
    until_served(&file, false);

    engine.stop();
    engine.start_again();
    until("the stream is there again", || streams(&engine) > asked);
    stdout(engine.docker(&["start", "web"]));
    until_served(&file, true);
    assert_nothing_refused(&proxy, row("nginx-proxy"));

    proxy.signal("TERM");
    proxy.wait();
    assert_every_name_is_needed(&proxy, row("nginx-proxy"));
    let before = streams(&engine);
    let proxy = serve_at(&socket, &engine);
    until("the stream is there again", || streams(&engine) > before);
    stdout(engine.docker(&["stop", "-t", "0", "web"]));
    until_served(&file, false);
    until_pinged(&proxy, 1);
    assert_eq!(streams(&engine), before + 1);
    assert_nothing_refused(&proxy, row("nginx-proxy"));
    engine.leave_nothing_behind();
}
