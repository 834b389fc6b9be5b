//! How fast the redaction is: a measurement, run by hand in release mode.
//! `cargo test --release --test it redaction::speed -- --ignored --nocapture`

use std::sync::Arc;
use std::time::{Duration, Instant};

use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::filter::redact::{Plan, Redactor};
use docker_proxy_acl::policy::redaction::{Classes, Redaction};
use docker_proxy_acl::policy::visibility::{Lists, Visibility};

/// A container as Docker lists it, about 2 kB.
fn container(number: usize) -> String {
    let id = format!("{:064x}", number as u128 * 0x9e37_79b9_7f4a_7c15_f39c);
    format!(
        concat!(
            r#"{{"Id":"{id}","Names":["/shop-web-{n}"],"Image":"registry.example/shop/web:1.{n}","#,
            r#""ImageID":"sha256:{id}","Command":"/docker-entrypoint.sh nginx -g 'daemon off;' --token=\u003c{n}\u003e","#,
            r#""Created":1730000{n},"Ports":[{{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":{n},"Type":"tcp"}},"#,
            r#"{{"IP":"::","PrivatePort":80,"PublicPort":{n},"Type":"tcp"}}],"#,
            r#""Labels":{{"com.docker.compose.config-hash":"{id}","com.docker.compose.container-number":"{n}","#,
            r#""com.docker.compose.depends_on":"db:service_started:false","com.docker.compose.image":"sha256:{id}","#,
            r#""com.docker.compose.oneoff":"False","com.docker.compose.project":"shop","#,
            r#""com.docker.compose.project.config_files":"/srv/shop/compose.yaml","#,
            r#""com.docker.compose.project.working_dir":"/srv/shop","com.docker.compose.service":"web","#,
            r#""com.docker.compose.version":"2.29.7","traefik.http.routers.web.rule":"Host(`shop{n}.example`)"}},"#,
            r#""State":"running","Status":"Up 3 hours (healthy)","HostConfig":{{"NetworkMode":"shop_default"}},"#,
            r#""NetworkSettings":{{"Networks":{{"shop_default":{{"IPAMConfig":null,"Links":null,"Aliases":null,"#,
            r#""MacAddress":"02:42:ac:12:00:03","DriverOpts":null,"GwPriority":0,"NetworkID":"{id}","#,
            r#""EndpointID":"{id}","Gateway":"172.18.0.1","IPAddress":"172.18.0.3","IPPrefixLen":16,"#,
            r#""IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}}},"#,
            r#""Mounts":[{{"Type":"volume","Name":"shop_data","Source":"/var/lib/docker/volumes/shop_data/_data","#,
            r#""Destination":"/data","Driver":"local","Mode":"z","RW":true,"Propagation":""}}]}}"#
        ),
        id = id,
        n = number
    )
}

fn list() -> String {
    format!("[{}]\n", (0..1000).map(container).collect::<Vec<_>>().join(","))
}

fn plan(classes: &str, keep_labels: &[&str], only: &[&str]) -> Arc<Plan> {
    let classes: Classes = classes.parse().unwrap();
    let keep = keep_labels.iter().map(|glob| (*glob).into()).collect();
    let only = only.iter().map(|selector| selector.parse().unwrap()).collect();
    Arc::new(Plan::new(Redaction::new(classes, Vec::new(), keep), Visibility::new(only)))
}

/// The best of several runs over the whole answer, in parts as they come from a socket.
fn best(plan: &Arc<Plan>, answer: &[u8], part: usize) -> (Duration, usize) {
    let mut out = Vec::with_capacity(part + 4096);
    let mut once = || {
        let mut redactor = Redactor::new(Arc::clone(plan), Framing::Document, Lists::Root);
        let mut sent = 0;
        let begin = Instant::now();
        for part in answer.chunks(part) {
            out.clear();
            redactor.push(part, &mut out).unwrap();
            sent += std::hint::black_box(&out).len();
        }
        redactor.finish().unwrap();
        (begin.elapsed(), sent)
    };
    (0..30).map(|_| once()).min().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn a_list_of_a_thousand_containers() {
    let answer = list();
    for (classes, keep, only) in [
        ("env", &[][..], &[][..]),
        ("env,commands,paths,options", &[], &[]),
        ("all", &[], &[]),
        ("all", &["com.docker.compose.*"], &[]),
        ("env", &[], &["label:com.docker.compose.project=shop"]),
        ("env", &[], &["name:shop-web-1*"]),
    ] {
        let plan = plan(classes, keep, only);
        for part in [8 * 1024, 64 * 1024, answer.len()] {
            let (took, sent) = best(&plan, answer.as_bytes(), part);
            let rate = answer.len() as f64 / took.as_secs_f64() / 1e6;
            println!(
                "{classes:28} keep {keep:?} only {only:?}: {} bytes in parts of {part}: {rate:.0} MB/s, {sent} bytes out",
                answer.len()
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn an_event() {
    let event = concat!(
        r#"{"status":"exec_create: /bin/sh -c wget -q -O- http://127.0.0.1/ || exit 1","id":"9f","from":"web:1","#,
        r#""Type":"container","Action":"exec_create: /bin/sh -c wget -q -O- http://127.0.0.1/ || exit 1","#,
        r#""Actor":{"ID":"9f","Attributes":{"com.docker.compose.project":"shop","execID":"77","image":"web:1","#,
        r#""name":"shop-web-1"}},"scope":"local","time":1730000000,"timeNano":1730000000000000000}"#,
        "\n"
    );
    let mut redactor = Redactor::new(plan("all", &[], &[]), Framing::Sequence, Lists::None);
    let mut out = Vec::new();
    let begin = Instant::now();
    for _ in 0..100_000 {
        out.clear();
        redactor.push(event.as_bytes(), &mut out).unwrap();
    }
    println!("{:?} an event: {}", begin.elapsed() / 100_000, String::from_utf8_lossy(&out));
}
