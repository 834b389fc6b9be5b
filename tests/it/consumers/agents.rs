//! Agents that watch over a machine: netdata, Zabbix' agent, CrowdSec.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::fleet::Fleet;
use super::{assert_every_name_is_needed, assert_nothing_refused, fetched, program, proxy_for, row};
use crate::support::tools::{Running, curl, free_port, stdout};
use crate::support::{eventually, until};

/// What netdata calls the control group of a container, with a `DOCKER_HOST` and the programs of a folder before all
/// others.
fn netdata_s_name(host: &str, path: &str, container: &str) -> String {
    let cgroup = format!("docker_{container}");
    let mut command = program("debian/usr/lib/netdata/plugins.d/cgroup-name.sh");
    command.env("DOCKER_HOST", host).env("PATH", path).arg(format!("/docker/{container}")).arg(cgroup);
    stdout(command.output().unwrap()).trim().to_owned()
}

/// A folder with what netdata's script runs, but for the Docker CLI.
fn path_without_docker(folder: &Path) -> String {
    for command in
        ["basename", "bash", "cat", "curl", "date", "grep", "head", "id", "jq", "logger", "sed", "tr"]
    {
        symlink(Path::new("/usr/bin").join(command), folder.join(command)).unwrap();
    }
    folder.display().to_string()
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn netdata_finds_names_with_curl_and_with_the_docker_cli() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("netdata", &fleet.engine);
    let folder = tempfile::tempdir().unwrap();
    let path = path_without_docker(folder.path());
    let bare = proxy.socket().to_str().unwrap();
    for (host, path) in [(bare, path.as_str()), (&proxy.url(), "/usr/bin:/bin")] {
        assert_eq!(netdata_s_name(host, path, &fleet.id("web")), "web");
        assert_eq!(netdata_s_name(host, path, &fleet.id("nomad")), "default-job-task-1a2b");
    }
    assert_nothing_refused(&proxy, row("netdata"));
    assert_every_name_is_needed(&proxy, row("netdata"));
}

/// What an item of Zabbix' agent is.
fn zabbix_item(socket: &Path, key: &str) -> String {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("zabbix_agent2.conf");
    let text = format!(
        "LogType=console\nServer=127.0.0.1\nHostname=test\nTimeout=30\nControlSocket={}\n\
         Plugins.Docker.Endpoint=unix://{}\n",
        place.path().join("control").display(),
        socket.display()
    );
    std::fs::write(&config, text).unwrap();
    stdout(program("debian/usr/sbin/zabbix_agent2").arg("-c").arg(config).args(["-t", key]).output().unwrap())
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn every_docker_item_of_zabbix_agent2_has_a_value() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("zabbix-agent2", &fleet.engine);
    let web = fleet.id("web");
    for (key, part) in [
        ("docker.ping", "[s|1]"),
        ("docker.info", "\"ContainersRunning\":"),
        ("docker.containers", "\"/web\""),
        ("docker.containers.discovery", "\"{#NAME}\":\"/web\""),
        ("docker.images", "busybox:latest"),
        ("docker.images.discovery", "busybox:latest"),
        ("docker.data_usage", "\"LayersSize\":"),
        (&format!("docker.container_info[{web}]"), "\"Status\":\"running\""),
        (&format!("docker.container_info[{web},full]"), "\"Status\":\"running\""),
        (&format!("docker.container_stats[{web}]"), "\"cpu_usage\":"),
    ] {
        // Docker adds up its disks' usage once at a time, and other tests ask for it too.
        let value = eventually("the engine has time for it", || {
            Some(zabbix_item(proxy.socket(), key)).filter(|value| !value.contains("already running"))
        });
        assert!(value.contains(part), "{key}: {value}");
    }
    assert_nothing_refused(&proxy, row("zabbix-agent2"));
    assert_every_name_is_needed(&proxy, row("zabbix-agent2"));
}

/// A CrowdSec that reads the logs of all containers.
struct CrowdSec {
    _program: Running,
    _place: tempfile::TempDir,
    metrics: u16,
}

impl CrowdSec {
    fn start(socket: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (api, metrics) = (free_port(), free_port());
        let config = place.path().join("config.yaml");
        write_crowdsec_config(place.path(), socket, api, metrics);
        let register =
            program("debian/usr/bin/cscli").arg("-c").arg(&config).args(["machines", "add", "-a"]).output();
        stdout(register.unwrap());
        let program = Running::start(program("debian/usr/bin/crowdsec").arg("-c").arg(&config));
        Self { _program: program, _place: place, metrics }
    }

    /// Whether it has read lines of a container.
    fn has_read(&self, container: &str) -> bool {
        let metrics = stdout(curl(&[
            "--retry-connrefused",
            "--retry",
            "9",
            &format!("http://127.0.0.1:{}/metrics", self.metrics),
        ]));
        metrics.lines().any(|line| line.starts_with("cs_dockersource_hits_total") && line.contains(container))
    }
}

/// What it needs to be alone on the machine.
fn write_crowdsec_config(place: &Path, socket: &Path, api: u16, metrics: u16) {
    let debian = fetched("debian");
    let (debian, p) = (debian.display(), place.display());
    for folder in ["data", "notifications", "plugins"] {
        std::fs::create_dir(place.join(folder)).unwrap();
    }
    let copied = std::process::Command::new("cp")
        .args(["-a", &format!("{debian}/usr/share/crowdsec/hub"), &format!("{debian}/etc/crowdsec/patterns")])
        .args([
            &format!("{debian}/etc/crowdsec/profiles.yaml"),
            &format!("{debian}/etc/crowdsec/simulation.yaml"),
        ])
        .arg(place)
        .status();
    assert!(copied.unwrap().success());
    let config = format!(
        "common: {{daemonize: false, log_media: stdout, log_dir: {p}, working_dir: {p}}}\n\
         config_paths: {{config_dir: {p}, data_dir: {p}/data, simulation_path: {p}/simulation.yaml, hub_dir: {p}/hub, \
         index_path: {p}/hub/.index.json, notification_dir: {p}/notifications, plugin_dir: {p}/plugins}}\n\
         crowdsec_service: {{acquisition_path: {p}/acquis.yaml}}\n\
         db_config: {{type: sqlite, db_path: {p}/data/crowdsec.db, use_wal: true}}\n\
         api: {{client: {{credentials_path: {p}/credentials.yaml}}, \
         server: {{listen_uri: '127.0.0.1:{api}', profiles_path: {p}/profiles.yaml}}}}\n\
         prometheus: {{enabled: true, level: full, listen_addr: 127.0.0.1, listen_port: {metrics}}}\n"
    );
    std::fs::write(place.join("config.yaml"), config).unwrap();
    std::fs::write(place.join("credentials.yaml"), "").unwrap();
    let acquisition = format!(
        "source: docker\ncontainer_name_regexp: ['.*']\ndocker_host: unix://{}\ncheck_interval: 1s\n\
         labels: {{type: syslog}}\n",
        socket.display()
    );
    std::fs::write(place.join("acquis.yaml"), acquisition).unwrap();
}

#[test]
#[ignore = "needs an engine and a consumer: tests/run"]
fn crowdsec_reads_the_containers_logs() {
    let fleet = Fleet::shared();
    let proxy = proxy_for("crowdsec", &fleet.engine);
    let crowdsec = CrowdSec::start(proxy.socket());
    for container in ["web", "plain"] {
        until("CrowdSec has read lines", || crowdsec.has_read(container));
    }
    drop(crowdsec);
    assert_nothing_refused(&proxy, row("crowdsec"));
    assert_every_name_is_needed(&proxy, row("crowdsec"));
}
