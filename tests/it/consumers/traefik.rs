//! Traefik finds its routes.

use std::path::Path;

use serde_json::Value;

use super::fleet::{Fleet, container, import_busybox, run};
use super::{assert_every_name_is_needed, assert_nothing_refused, program, proxy_for, row};
use crate::support::engine::Engine;
use crate::support::tools::{Running, curl, free_port, stdout};
use crate::support::{eventually, until};

/// A Traefik with one provider.
struct Traefik {
    _program: Running,
    port: u16,
}

impl Traefik {
    fn start(provider: &str, socket: &Path) -> Self {
        let port = free_port();
        let program = Running::start(
            program("python/bin/traefik")
                .arg(format!("--providers.{provider}.endpoint=unix://{}", socket.display()))
                .arg(format!("--entrypoints.traefik.address=127.0.0.1:{port}"))
                .arg(format!("--entrypoints.web.address=127.0.0.1:{}", free_port()))
                .args(["--api.insecure=true", "--global.checknewversion=false"]),
        );
        Self { _program: program, port }
    }

    /// Where it would send what comes to a service, once it knows.
    fn servers(&self, service: &str) -> String {
        eventually(&format!("Traefik knows {service}"), || {
            let servers = self.service(service)?["loadBalancer"]["servers"].clone();
            (!servers.is_null()).then(|| servers.to_string())
        })
    }

    fn service(&self, service: &str) -> Option<Value> {
        let answer = curl(&[&format!("http://127.0.0.1:{}/api/http/services/{service}", self.port)]);
        serde_json::from_slice(&answer.stdout).ok()
    }
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn its_provider_docker_finds_containers() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("traefik", &fleet.engine);
    let (direct, shown) =
        (Traefik::start("docker", fleet.socket()), Traefik::start("docker", proxy.socket()));
    let servers = direct.servers("web@docker");
    assert!(servers.contains(":8080"), "{servers}");
    assert_eq!(shown.servers("web@docker"), servers);
    drop(shown);
    assert_nothing_refused(&proxy, row("traefik"));
    assert_every_name_is_needed(&proxy, row("traefik"));
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn its_provider_docker_sees_containers_come_and_go() {
    let engine = Engine::private();
    import_busybox(&engine);
    stdout(engine.docker(&["network", "create", "front"]));
    let proxy = proxy_for("traefik", &engine);
    let traefik = Traefik::start("docker", proxy.socket());
    let labels = serde_json::json!({
        "traefik.http.routers.late.rule": "Host(`late.example`)",
        "traefik.http.services.late.loadbalancer.server.port": "81",
    });
    run(&engine, "late", &container("front", &[], labels));
    assert!(traefik.servers("late@docker").contains(":81"));
    stdout(engine.docker(&["rm", "-f", "late"]));
    until("Traefik has forgotten it", || {
        traefik.service("late@docker").is_some_and(|answer| answer["loadBalancer"].is_null())
    });
    assert_nothing_refused(&proxy, row("traefik"));
    engine.leave_nothing_behind();
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn its_provider_swarm_finds_services() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("traefik-swarm", &fleet.engine);
    let (direct, shown) = (Traefik::start("swarm", fleet.socket()), Traefik::start("swarm", proxy.socket()));
    let servers = direct.servers("shop@swarm");
    assert!(servers.contains(":8080"), "{servers}");
    assert_eq!(shown.servers("shop@swarm"), servers);
    assert_nothing_refused(&proxy, row("traefik-swarm"));
    assert_every_name_is_needed(&proxy, row("traefik-swarm"));
}
