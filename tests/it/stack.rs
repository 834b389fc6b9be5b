//! examples/stack.yaml runs on a swarm as docs/from-another-machine.md says, for the Docker CLI and Prometheus on other
//! machines, and each command of that chapter does what it says, run as it is written.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::image::{IMAGE, engine_with_image};
use crate::support::http;
use crate::support::machines::{Machines, blocks, page_and_fleet};
use crate::support::process::status;
use crate::support::tools::stdout;
use crate::support::{eventually_within, until, until_within, within};

/// How long a step of the swarm may take: a task runs after ten seconds of its healthcheck, and the one before it may
/// have ten to end.
const STEP: Duration = Duration::from_secs(180);

/// A swarm of one node that has several names.
struct Swarm {
    machines: Machines,
}

impl Swarm {
    /// An engine at its usual address, with the image as a registry would have it.
    fn new() -> Self {
        let (builder, disturbing) = engine_with_image();
        let mut machines = Machines::new(&["node-1.example", "node-2.example", "node-3.example"]);
        let place = machines.directory().display().to_string();
        stdout(builder.docker(&["save", "-o", &format!("{place}/image.tar"), IMAGE]));
        drop(disturbing);
        let dockerd = format!(
            "exec dockerd --data-root {place}/data --exec-root /run/engine -p /run/engine.pid \
             --bridge=none --iptables=false --ip6tables=false"
        );
        machines.serve("node", &dockerd, "UNIX-CONNECT:/run/docker.sock");
        until("the engine answers", || machines.succeeds("docker version"));
        machines.run(&format!(
            "docker load -i {place}/image.tar; docker tag {IMAGE} registry.example/{IMAGE}:1.0.0\n\
             docker swarm init --advertise-addr 127.0.0.1"
        ));
        Self { machines }
    }

    fn run(&self, script: &str) -> String {
        self.machines.run(script)
    }

    /// What the engine itself answers.
    fn engine(&self, target: &str) -> Value {
        http::get(&self.machines.path("/run/docker.sock"), target).json()
    }

    /// Waits until the task of a revision runs, which it does once it is healthy.
    fn until_running(&self, revision: u32) {
        until_within(STEP, &format!("revision {revision} runs"), || {
            let tasks =
                self.engine("/tasks?filters={\"service\":[\"acl_proxy\"],\"desired-state\":[\"running\"]}");
            tasks.as_array().unwrap().iter().any(|task| {
                let settings = &task["Spec"]["ContainerSpec"]["Configs"][0]["ConfigName"];
                *settings == format!("acl-settings-{revision}") && task["Status"]["State"] == "running"
            })
        });
    }

    /// Waits until an update has ended, which is said as `completed` or `rollback_completed`. The states before these
    /// may be over before they are seen: a task that failed is sometimes made anew by the revision before already.
    fn until_update_has(&self, ended: &str) {
        let mut last = Value::Null;
        let found = within(STEP, || {
            last = self.engine("/services/acl_proxy")["UpdateStatus"].take();
            (last["State"] == ended).then_some(())
        });
        assert!(found.is_some(), "waited {STEP:?} in vain until the update has {ended}; it is {last}");
    }

    /// Takes the clients' certificates to where the page says that they are.
    fn hand_out_certificates(&self) {
        self.run(
            "cp -r /etc/docker-proxy-acl/pki/clients/operator ~/operator\n\
             mkdir -p /etc/prometheus; cp -r /etc/docker-proxy-acl/pki/clients/prometheus /etc/prometheus/acl",
        );
    }

    /// Deploys what is in a directory.
    fn deploy(&self, directory: &Path, revision: u32) {
        let file = directory.join("stack.yaml");
        let image = format!("registry.example/{IMAGE}:1.0.0");
        let deploy =
            format!("IMAGE={image} REVISION={revision} docker stack deploy -c {} acl", file.display());
        self.run(&deploy);
    }

    /// The status of an answer to a certificate's owner.
    fn status(&self, certificate: &str, path: &str) -> String {
        self.run(&format!(
            "curl -sS -o /dev/null -w '%{{http_code}}' --cacert {certificate}/ca.pem --cert {certificate}/cert.pem \
             --key {certificate}/key.pem https://node-2.example:2376{path}"
        ))
    }
}

/// Prometheus with the page's own configuration.
fn start_prometheus(machines: &mut Machines, chapter: &str) {
    let config = chapter.split("```yaml\n").nth(1).unwrap().split("\n```").next().unwrap();
    let place = machines.directory().to_owned();
    std::fs::write(place.join("prometheus.yml"), format!("global: {{scrape_interval: 1h}}\n{config}\n"))
        .unwrap();
    let directory = std::env::var("TEST_PROMETHEUS").expect("run tests/run, which fetches Prometheus");
    let prometheus = format!(
        "exec {directory}/prometheus --config.file={0}/prometheus.yml --storage.tsdb.path={0}/tsdb \
         --web.listen-address=127.0.0.1:9090",
        place.display()
    );
    machines.serve("prometheus", &prometheus, "TCP:127.0.0.1:9090");
}

/// The labels that the targets of a job were found with, once there are any.
fn targets(swarm: &Swarm, job: &str) -> String {
    eventually_within(STEP, &format!("Prometheus has found {job}"), || {
        let answer = swarm.run("curl -sS http://127.0.0.1:9090/api/v1/targets");
        // Until its database is open it answers in words.
        let answer: Value = serde_json::from_str(&answer).ok()?;
        let targets = answer["data"]["activeTargets"].as_array()?;
        let labels = targets.iter().map(|target| &target["discoveredLabels"]);
        labels.filter(|labels| labels["job"] == job).map(Value::to_string).reduce(|all, one| all + &one)
    })
}

#[test]
#[ignore = "needs an engine and Prometheus: tests/run"]
fn each_command_of_the_chapter_works_as_it_is_written() {
    let mut swarm = Swarm::new();
    let (_, chapter) = page_and_fleet();
    let (mut revision, mut asked) = (0, 0);
    for (machine, block) in blocks(&chapter) {
        if block.contains("docker secret rm") {
            swarm.until_update_has("completed");
        }
        let printed = swarm.run(&block);
        if block.contains("docker stack deploy") {
            revision += 1;
            swarm.until_running(revision);
        }
        if block.contains("certs client operator") {
            swarm.hand_out_certificates();
        }
        if machine == "the operator's machine" {
            assert_eq!(printed.matches("acl_proxy").count(), 3, "{printed}");
            asked += 1;
        }
    }
    assert_eq!((revision, asked), (2, 1));
    start_prometheus(&mut swarm.machines, &chapter);
    let (containers, nodes) = (targets(&swarm, "containers"), targets(&swarm, "nodes"));
    assert!(containers.contains("\"__meta_docker_container_name\":\"/acl_proxy."), "{containers}");
    assert!(nodes.contains("\"__meta_dockerswarm_node_status\":\"ready\""), "{nodes}");
    // The new certificate is for the node that came in addition, and without one nobody gets in.
    let hello = "curl -sS -o /dev/null --cacert ~/operator/ca.pem https://node-3.example:2376/_ping";
    assert!(swarm.run(&format!("{hello} --cert ~/operator/cert.pem --key ~/operator/key.pem")).is_empty());
    assert!(!swarm.machines.succeeds(hello));
    let left = swarm.run("docker secret ls --format '{{.Name}}'; docker config ls --format '{{.Name}}'");
    assert_eq!(left.lines().collect::<Vec<_>>(), ["acl-ca-2", "acl-cert-2", "acl-key-2", "acl-settings-2"]);
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn its_tasks_have_no_rights_and_its_consumers_just_their_own() {
    let swarm = Swarm::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let made_once = "docker-proxy-acl certs init --dir /etc/docker-proxy-acl/pki --host node-2.example\n\
         for name in operator prometheus stranger; do docker-proxy-acl certs client $name --dir /etc/docker-proxy-acl/pki; done";
    swarm.run(made_once);
    swarm.deploy(&examples, 1);
    swarm.until_running(1);
    swarm.hand_out_certificates();
    let (operator, prometheus) = ("~/operator", "/etc/prometheus/acl");
    let stranger = "/etc/docker-proxy-acl/pki/clients/stranger";

    let container = swarm.engine("/containers/json")[0]["Id"].as_str().unwrap().to_owned();
    let container = swarm.engine(&format!("/containers/{container}/json"));
    assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true);
    assert_eq!(container["HostConfig"]["NetworkMode"], "host");
    let pid = u32::try_from(container["State"]["Pid"].as_u64().unwrap()).unwrap();
    for (field, value) in [("Uid", "65534\t65534\t65534\t65534"), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        assert_eq!(status(pid, field), value, "{field}");
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(pid, set), 16), Ok(0), "{set}");
    }

    assert_eq!(swarm.status(operator, "/containers/json"), "200");
    assert_eq!(swarm.status(operator, "/images/json"), "404");
    assert_eq!(swarm.status(prometheus, "/tasks"), "200");
    assert_eq!(swarm.status(prometheus, "/events"), "404");
    assert_eq!(swarm.status(stranger, "/_ping"), "404");
    let flags =
        "--tlsverify --tlscacert ~/operator/ca.pem --tlscert ~/operator/cert.pem --tlskey ~/operator/key.pem";
    let scale = format!("docker -H tcp://node-2.example:2376 {flags} service rm acl_proxy 2>&1 || true");
    let refused = swarm.run(&scale);
    assert!(refused.contains("only GET allowed"), "{refused}");

    // A consumer less.
    let next = tempfile::tempdir().unwrap();
    std::fs::copy(examples.join("stack.yaml"), next.path().join("stack.yaml")).unwrap();
    let settings = std::fs::read_to_string(examples.join("stack.toml")).unwrap();
    let (without_operator, _) = settings.split_once("  # People who look").unwrap();
    std::fs::write(next.path().join("stack.toml"), without_operator).unwrap();
    swarm.deploy(next.path(), 2);
    swarm.until_running(2);
    assert_eq!(swarm.status(operator, "/containers/json"), "404");
    assert_eq!(swarm.status(prometheus, "/tasks"), "200");

    // One that cannot start is taken back.
    std::fs::write(next.path().join("stack.toml"), "user = \"no-such-user\"\n").unwrap();
    swarm.until_update_has("completed");
    swarm.deploy(next.path(), 3);
    swarm.until_update_has("rollback_completed");
    swarm.until_running(2);
    assert_eq!(swarm.status(prometheus, "/tasks"), "200");
}
