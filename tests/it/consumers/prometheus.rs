//! Prometheus finds its targets.

use std::collections::BTreeSet;
use std::path::Path;

use super::fleet::Fleet;
use super::{assert_every_name_is_needed, assert_nothing_refused, program, proxy_for, row};
use crate::support::eventually;
use crate::support::tools::{Running, curl, free_port};

/// A Prometheus with one way to find targets.
struct Prometheus {
    _program: Running,
    _place: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    /// Starts one that asks at a socket; `discovery` is a line of its configuration, without the host.
    fn start(socket: &Path, kind: &str, options: &str) -> Self {
        let place = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = place.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1h}}\nscrape_configs:\n- job_name: found\n  {kind}:\n  \
             - {{host: 'unix://{}', refresh_interval: 1s{options}}}\n",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let program = Running::start(
            program("debian/usr/bin/prometheus")
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", place.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        );
        Self { _program: program, _place: place, port }
    }

    /// The labels that its targets were found with, once there are any.
    fn targets(&self) -> BTreeSet<String> {
        eventually("Prometheus has found its targets", || {
            let answer = curl(&[&format!("http://127.0.0.1:{}/api/v1/targets", self.port)]);
            let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).ok()?;
            let targets = answer["data"]["activeTargets"].as_array()?.clone();
            let labels = targets.iter().map(|target| target["discoveredLabels"].to_string());
            Some(labels.collect()).filter(|found: &BTreeSet<String>| !found.is_empty())
        })
    }
}

/// Has one find the same through a proxy as without; what it found.
fn finds_the_same(consumer: &str, kind: &str, options: &str) -> String {
    let fleet = Fleet::shared();
    let proxy = proxy_for(consumer, &fleet.engine);
    let direct = Prometheus::start(fleet.socket(), kind, options);
    let shown = Prometheus::start(proxy.socket(), kind, options);
    // The address of the engine is not among the labels.
    let found = direct.targets();
    assert_eq!(shown.targets(), found);
    assert_nothing_refused(&proxy, row(consumer));
    assert_every_name_is_needed(&proxy, row(consumer));
    found.into_iter().collect()
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn docker_sd_finds_containers() {
    let found = finds_the_same("prometheus", "docker_sd_configs", "");
    assert!(
        found.contains("\"__meta_docker_container_name\":\"/web\"") && found.contains("front"),
        "{found}"
    );
    assert!(found.contains("__meta_docker_container_label_traefik_http_routers_web_rule"), "{found}");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn dockerswarm_sd_finds_nodes() {
    let found = finds_the_same("prometheus-swarm-nodes", "dockerswarm_sd_configs", ", role: nodes");
    assert!(found.contains("\"__meta_dockerswarm_node_status\":\"ready\""), "{found}");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn dockerswarm_sd_finds_services() {
    let found = finds_the_same("prometheus-swarm-services", "dockerswarm_sd_configs", ", role: services");
    assert!(found.contains("\"__meta_dockerswarm_service_name\":\"shop\""), "{found}");
    assert!(found.contains("\"__meta_dockerswarm_network_name\":\"mesh\""), "{found}");
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn dockerswarm_sd_finds_tasks() {
    let found = finds_the_same("prometheus-swarm-tasks", "dockerswarm_sd_configs", ", role: tasks");
    assert!(found.contains("\"__meta_dockerswarm_service_name\":\"shop\""), "{found}");
    assert!(found.contains("\"__meta_dockerswarm_task_state\":\"running\""), "{found}");
}
