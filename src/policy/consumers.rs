//! Consumers: the programs that people point at a Docker socket, and what each needs to run. One table, as data.
//!
//! Each row was found with the program itself, and `tests/it/consumers/` runs it with exactly what its row says. A
//! program that no test runs has no row.

use serde::Serialize;
use thiserror::Error;

use super::names;
use super::redaction::{Class, Classes, Glob, Redaction};

/// A row of the table: what a consumer asks for, and what it reads of the answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Consumer {
    /// How the command line calls it.
    pub name: &'static str,
    /// Which program in which version was run, and which part of it.
    pub program: &'static str,
    /// The names that it cannot do without.
    pub allow: &'static [&'static str],
    /// Names that it asks for too, and does without: their refusals are routine.
    pub optional: &'static [&'static str],
    /// The classes that it does not read, but for what the patterns keep.
    #[serde(serialize_with = "serialize_classes")]
    pub redact: Classes,
    /// Patterns of the environment variables that it reads.
    pub keep_env: &'static [&'static str],
    /// Patterns of the labels that it reads.
    pub keep_labels: &'static [&'static str],
    /// What is to be known of it.
    pub note: &'static str,
}

/// What a program that reads labels has no use for.
const ALL_BUT_LABELS: Classes =
    Classes::of(&[Class::Env, Class::Commands, Class::Paths, Class::Options, Class::Tokens]);

/// A row without a view, to be completed.
const ROW: Consumer = Consumer {
    name: "",
    program: "",
    allow: &[],
    optional: &[],
    redact: Classes::NONE,
    keep_env: &[],
    keep_labels: &[],
    note: "",
};

/// Every consumer, by name.
pub static CONSUMERS: &[Consumer] = &[
    Consumer {
        name: "aiodocker",
        program: "aiodocker 0.27",
        allow: &["version"],
        note: "add the names of what the program calls",
        ..ROW
    },
    Consumer {
        name: "crowdsec",
        program: "CrowdSec 1.4, source docker",
        allow: &["ping", "info", "containers:list", "containers:inspect", "containers:logs"],
        redact: Classes::ALL,
        keep_labels: &["crowdsec.*"],
        note: "logs are shown whole",
        ..ROW
    },
    Consumer {
        name: "docker-cli",
        program: "Docker CLI 20.10 and 28",
        allow: &["ping"],
        note: "add the names of the commands",
        ..ROW
    },
    Consumer {
        name: "docker-gen",
        program: "docker-gen 0.17, by a stand-in on its library",
        allow: &["ping", "events", "containers", "networks:list"],
        optional: &["version", "info"],
        note: "nothing is redacted, for its templates; -notify-sighup and the like write and cannot work",
        ..ROW
    },
    Consumer {
        name: "docker-py",
        program: "docker-py 7.2",
        allow: &["version"],
        note: "add the names of what the program calls",
        ..ROW
    },
    Consumer {
        name: "dockviz",
        program: "dockviz 0.8",
        allow: &["ping", "containers", "containers:stats", "events", "images:list"],
        redact: Classes::of(&[Class::Env, Class::Paths, Class::Options]),
        note: "its logs need containers:logs too; its clean-ups write and cannot work",
        ..ROW
    },
    Consumer {
        name: "glances",
        program: "Glances 4.5",
        allow: &["version", "containers", "containers:stats", "images:inspect"],
        redact: Classes::of(&[Class::Env, Class::Labels, Class::Paths, Class::Options]),
        note: "without images:inspect it shows no images",
        ..ROW
    },
    Consumer {
        name: "netdata",
        program: "netdata 1.37, names of containers",
        allow: &["ping", "containers:inspect"],
        redact: Classes::ALL,
        keep_env: &["NOMAD_NAMESPACE", "NOMAD_JOB_NAME", "NOMAD_TASK_NAME", "NOMAD_SHORT_ALLOC_ID"],
        note: "where there is no Docker CLI, DOCKER_HOST is a bare path",
        ..ROW
    },
    Consumer {
        name: "nginx-proxy",
        program: "nginx-proxy 1.11, by the same stand-in",
        allow: &["ping", "events", "containers", "networks:list"],
        optional: &["version", "info"],
        redact: Classes::ALL,
        keep_env: &[
            "VIRTUAL_*",
            "NETWORK_ACCESS",
            "HTTPS_METHOD",
            "CERT_NAME",
            "SSL_POLICY",
            "HSTS",
            "SERVER_TOKENS",
            "ACME_HTTP_CHALLENGE_LOCATION",
            "ENABLE_HTTP_ON_MISSING_CERT",
            "EXTERNAL_HTTP_PORT",
            "EXTERNAL_HTTPS_PORT",
        ],
        keep_labels: &["com.github.nginx-proxy.nginx-proxy.*"],
        note: "a template of your own may read more variables: keep those too",
    },
    Consumer {
        name: "oxker",
        program: "oxker 0.11",
        allow: &["ping", "containers:list", "containers:stats", "containers:logs"],
        redact: Classes::ALL,
        note: "logs are shown whole; its buttons write and cannot work",
        ..ROW
    },
    Consumer {
        name: "prometheus",
        program: "Prometheus 2.42, docker_sd_configs",
        allow: &["ping", "containers:list", "networks:list"],
        redact: ALL_BUT_LABELS,
        note: "labels become targets' meta labels",
        ..ROW
    },
    Consumer {
        name: "prometheus-swarm-nodes",
        program: "Prometheus 2.42, dockerswarm_sd_configs, role nodes",
        allow: &["ping", "nodes:list"],
        redact: ALL_BUT_LABELS,
        note: "every node, also where a view limits what is shown",
        ..ROW
    },
    Consumer {
        name: "prometheus-swarm-services",
        program: "Prometheus 2.42, dockerswarm_sd_configs, role services",
        allow: &["ping", "services:list", "networks:list"],
        redact: ALL_BUT_LABELS,
        note: "labels become targets' meta labels",
        ..ROW
    },
    Consumer {
        name: "prometheus-swarm-tasks",
        program: "Prometheus 2.42, dockerswarm_sd_configs, role tasks",
        allow: &["ping", "tasks:list", "services:list", "nodes:list", "networks:list"],
        redact: ALL_BUT_LABELS,
        note: "labels become targets' meta labels",
        ..ROW
    },
    Consumer {
        name: "traefik",
        program: "Traefik 3.7, provider docker",
        allow: &["ping", "version", "containers", "events"],
        redact: ALL_BUT_LABELS,
        note: "labels are its configuration",
        ..ROW
    },
    Consumer {
        name: "traefik-swarm",
        program: "Traefik 3.7, provider swarm",
        allow: &["ping", "version", "services:list", "tasks:list", "networks:list", "nodes:inspect"],
        redact: ALL_BUT_LABELS,
        note: "labels are its configuration",
        ..ROW
    },
    Consumer {
        name: "zabbix-agent2",
        program: "Zabbix agent 2, 6.0",
        allow: &[
            "ping",
            "info",
            "containers:list",
            "containers:inspect",
            "containers:stats",
            "images:list",
            "system:df",
        ],
        redact: Classes::of(&[Class::Env]),
        note: "what its items show is shown, commands and labels too",
        ..ROW
    },
];

impl Consumer {
    /// The row of this name.
    ///
    /// # Errors
    /// [`UnknownConsumer`] if there is none.
    pub fn find(name: &str) -> Result<&'static Consumer, UnknownConsumer> {
        CONSUMERS.iter().find(|row| row.name == name).ok_or_else(|| unknown(name))
    }

    /// What several consumers of one listener have no use for: what none of them reads.
    pub fn redaction(consumers: &[&Consumer]) -> Redaction {
        let globs = |of: fn(&Consumer) -> &'static [&'static str]| -> Vec<Glob> {
            consumers.iter().flat_map(|row| of(row)).map(|glob| Glob::new(glob)).collect()
        };
        let unread = |class: &Class| consumers.iter().all(|row| row.redact.contains(*class));
        let classes: Classes =
            Class::ALL.into_iter().filter(|class| !consumers.is_empty() && unread(class)).collect();
        // A pattern would bring its class with it.
        let keep = |class, globs| if classes.contains(class) { globs } else { Vec::new() };
        Redaction::new(
            classes,
            keep(Class::Env, globs(|row| row.keep_env)),
            keep(Class::Labels, globs(|row| row.keep_labels)),
        )
    }
}

/// A consumer that has no row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown consumer '{given}'; {}", names::advice("consumers", .suggestions, .known))]
pub struct UnknownConsumer {
    /// The name as it was given.
    pub given: String,
    /// Names that are spelled similarly, the nearest first.
    pub suggestions: Vec<&'static str>,
    /// All names.
    pub known: Vec<&'static str>,
}

fn unknown(given: &str) -> UnknownConsumer {
    let known: Vec<&'static str> = CONSUMERS.iter().map(|row| row.name).collect();
    UnknownConsumer { given: given.to_owned(), suggestions: names::similar(given, &known), known }
}

fn serialize_classes<S: serde::Serializer>(classes: &Classes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(classes.iter().map(Class::name))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::ENGINE;
    use super::super::redaction::Entries;
    use super::*;

    #[test]
    fn every_row_names_what_the_catalog_has_and_names_it_once() {
        let known = names::all(&ENGINE);
        for row in CONSUMERS {
            assert!(!row.allow.is_empty() && !row.program.is_empty(), "{}", row.name);
            let all: Vec<_> = row.allow.iter().chain(row.optional).collect();
            for (at, name) in all.iter().enumerate() {
                assert!(known.contains(name), "{}: the catalog has no {name}", row.name);
                assert!(!all[..at].contains(name), "{}: {name} is named twice", row.name);
            }
        }
    }

    #[test]
    fn rows_are_sorted_and_no_name_stands_there_twice() {
        assert!(CONSUMERS.is_sorted_by(|one, next| one.name < next.name));
    }

    #[test]
    fn a_pattern_keeps_something_of_a_class_that_is_redacted() {
        for row in CONSUMERS {
            assert!(row.keep_env.is_empty() || row.redact.contains(Class::Env), "{}", row.name);
            assert!(row.keep_labels.is_empty() || row.redact.contains(Class::Labels), "{}", row.name);
        }
    }

    #[test]
    fn an_unknown_consumer_is_answered_with_what_is_near() {
        let message = |name| Consumer::find(name).unwrap_err().to_string();
        assert!(message("nginxproxy").starts_with("unknown consumer 'nginxproxy'; did you mean nginx-proxy"));
        assert!(message("zzz").contains("the consumers are: aiodocker, crowdsec"));
        assert!(message("Traefik").contains("traefik"));
        assert_eq!(Consumer::find("traefik").unwrap().name, "traefik");
    }

    #[test]
    fn consumers_of_one_listener_each_see_what_they_read() {
        let of = |names: &[&str]| {
            let rows: Vec<_> = names.iter().map(|name| Consumer::find(name).unwrap()).collect();
            Consumer::redaction(&rows)
        };
        assert!(of(&[]).is_none());
        assert!(of(&["docker-gen", "nginx-proxy"]).is_none());
        let one = of(&["nginx-proxy"]);
        assert_eq!(one.classes(), Classes::ALL);
        assert!(one.keeps(Entries::Env, "VIRTUAL_HOST") && !one.keeps(Entries::Env, "NOMAD_JOB_NAME"));
        let two = of(&["nginx-proxy", "netdata"]);
        assert!(two.keeps(Entries::Env, "VIRTUAL_HOST") && two.keeps(Entries::Env, "NOMAD_JOB_NAME"));
        // Traefik reads every label, so the patterns of nginx-proxy's hide none.
        assert_eq!(of(&["nginx-proxy", "traefik"]).classes(), ALL_BUT_LABELS);
    }
}
