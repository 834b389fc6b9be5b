//! Each command of docs/from-another-machine.md does what it says, run as it is written.

use crate::support::engine::Engine;
use crate::support::machines::{Machines, blocks, page_and_fleet};
use crate::support::until;

/// What says where a command listens, and how socat finds it there.
const PLACES: [(&str, &str); 5] = [
    ("--listen tcp://0.0.0.0:2376", "TCP:127.0.0.1:2376"),
    ("OPENSSL-LISTEN:2376", "TCP:127.0.0.1:2376"),
    ("--listen tcp://127.0.0.1:2375", "TCP:127.0.0.1:2375"),
    ("--listen /run/docker-proxy-acl/docker.sock", "UNIX-CONNECT:/run/docker-proxy-acl/docker.sock"),
    ("UNIX-LISTEN:/run/tunnel.sock", "UNIX-CONNECT:/run/tunnel.sock"),
];

/// Where a command listens.
fn place(script: &str) -> &'static str {
    let (_, place) = PLACES.iter().find(|(part, _)| script.contains(part)).expect(script);
    place
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn each_command_works_as_it_is_written() {
    let engine = Engine::shared();
    let mut machines = Machines::new(&["engine.example"]);
    machines.run(&format!("ln -s {} /run/docker.sock", engine.socket().display()));
    let (mut served, mut asked) = (0, 0);
    for (machine, block) in blocks(&page_and_fleet().0) {
        if block.contains("docker-proxy-acl -a") || block.contains("socat ") {
            machines.serve(&machine, &block, place(&block));
            served += 1;
            if block.contains("OPENSSL-LISTEN") {
                // What comes after it on the page is no client; the one above it is.
                machines.run("curl --fail -s --cacert ~/alice/ca.pem --cert ~/alice/cert.pem --key ~/alice/key.pem https://engine.example:2376/info");
            }
            continue;
        }
        let printed = machines.run(&block);
        if block.contains("pki/old") {
            // Certificates are renewed again and again; of each time the old one stays.
            until("the next second is here", || {
                machines.succeeds("[ ! -e /etc/docker-proxy-acl/pki/old/$(date +%F-%H%M%S) ]")
            });
            machines.run(&block);
            assert_eq!(machines.run("ls /etc/docker-proxy-acl/pki/old/*/key.pem").lines().count(), 2);
        }
        if block.contains("docker ps") || block.ends_with(" ps") {
            assert!(printed.contains("web"), "{block}\n{printed}");
            asked += 1;
        }
        if block.contains("certs client alice") {
            // "Take it to the other machine, say as ~/alice."
            machines.run("cp -r /etc/docker-proxy-acl/pki/clients/alice ~/alice");
        }
    }
    assert_eq!((served, asked), (5, 4));
}
