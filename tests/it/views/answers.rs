//! The engine's real answers, field by field: each text is in a class of redaction, or harmless for a reason; and
//! what the other tests of views look at holds a marker wherever an engine can be brought to have one.

use std::collections::BTreeSet;

use docker_proxy_acl::policy::redaction::Class;
use serde_json::Value;

use super::filled::{Filled, filled, markers};
use super::oracle::each_text;
use crate::redaction::fields::{listed, redacted_patterns, unlisted_but};
use crate::support::engine::when_it_has_time;
use crate::support::http;
use crate::support::library::{ApiVersion, ENGINE, Endpoint};

/// Versions at which answers differ: the first that is documented, two between, the engine's own.
const VERSIONS: [&str; 4] = ["", "/v1.25", "/v1.30", "/v1.37"];

/// Rows of JSON that an engine without a registry does not answer, or is too old for.
const UNANSWERED: [&str; 3] = ["images:search", "images:attestations", "distribution:inspect"];

/// Fields of some engines' answers that no document has, by operation and path, and why they are as they are.
const UNDOCUMENTED: [(&str, &str, &str); 1] =
    // Docker 23 to 28 write the name of `Parents` with a space before it.
    [("/system/df", ".BuildCache[]. Parents[]", "ids of steps of a build")];

/// Of those in which it has none: fields that engines have from this version of the API on.
const FILLED_SINCE: [(&str, ApiVersion); 1] = [(".Containerd.Address", ApiVersion::new(1, 46))];

/// Patterns of fields in which the filled engine has no marker.
#[rustfmt::skip] // a reason a line
const UNFILLED: [&str; 34] = [
    // Of engines newer than 20.10, or of Podman.
    "*.Statement.*", "*escriptor.data", "*nnotations.*", ".CDISpecDirs[]", ".Containerd.Address", ".NRI.Info[][]",
    "*.StorageOpt.*", "*.runtimeArgs[]", "*.VolumeContext.*", "*.PublishContext.*", "*.MountVolume.*",
    "*.Spec.Driver.Options.path",
    // Of older ones.
    ".InitPath", "*.ContainerConfig.Cmd", "*.Cmd", "*.Entrypoint", "*.Spec.Data[]", "*.Options[].*", "*.Options[][]",
    "/containers/{id}/json:.Volumes.*", // below API 1.20; `secrets` sees it
    // The engine's environment, drivers and swarm, which it takes no marker for or does not show.
    ".HttpProxy", ".HttpsProxy", ".NoProxy", ".DriverStatus[][]", ".Warnings[]", ".Swarm.Error", "*.Tmpfs.*",
    "/volumes/{name}:.Status.*.*", "*.Volumes[].Status.*.*", "*.SigningCAKey", "*.SigningCACert",
    "*.ExternalCAs[].CACert",
    // What no row of the catalog leads to.
    "*.PluginPrivilege[].Value[]", ".UnlockKey",
];

/// Calls back for each document that the engine answers with.
fn each_document(filled: &Filled, found: &mut dyn FnMut(&'static Endpoint, &Value)) {
    for row in ENGINE.endpoints().iter().filter(|row| row.body.is_json()) {
        for target in filled.targets(row) {
            for version in VERSIONS {
                let target = format!("{version}{target}");
                let answer = when_it_has_time(|| http::get(filled.socket(), &target));
                if answer.status() == 200 {
                    let documents = serde_json::Deserializer::from_slice(&answer.body).into_iter();
                    documents.for_each(|document| found(row, &document.unwrap()));
                }
            }
        }
    }
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn every_field_that_the_engine_answers_with_is_in_a_class_or_harmless_for_a_reason() {
    let (mut unanswered, mut faults) = (BTreeSet::new(), BTreeSet::new());
    unanswered.extend(ENGINE.endpoints().iter().filter(|row| row.body.is_json()).map(|row| row.name));
    each_document(&filled(), &mut |row, document| {
        unanswered.remove(row.name);
        let operation = row.api_path();
        let unknown = unlisted_but(&UNDOCUMENTED, &operation, document);
        faults.extend(unknown.iter().map(|path| format!("{operation}: {path}")));
    });
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!(unanswered, BTreeSet::from(UNANSWERED));
}

#[test]
#[ignore = "needs an engine: tests/run"]
fn the_filled_engine_has_a_marker_in_every_field_that_is_redacted_but_those_that_it_cannot_have() {
    let filled = filled();
    let markers: Vec<String> = Class::ALL.into_iter().flat_map(|class| markers(class, &filled)).collect();
    // An event of a reloaded engine is there only if another test has just reloaded it.
    let patterns = redacted_patterns().filter(|pattern| *pattern != ".Actor.Attributes.runtimes");
    let mut unfilled: BTreeSet<&str> = patterns.collect();
    each_document(&filled, &mut |row, document| {
        each_text("", document, &mut |path, text| {
            if let Some((_, pattern)) = listed(&row.api_path(), path)
                && markers.iter().any(|marker| text.contains(marker))
            {
                unfilled.remove(pattern);
            }
        });
    });
    let version = filled.engine.api_version();
    let is_filled =
        |pattern: &&str| FILLED_SINCE.iter().any(|(of, since)| of == pattern && version >= *since);
    let expected: BTreeSet<&str> = UNFILLED.into_iter().filter(|pattern| !is_filled(pattern)).collect();
    assert_eq!(unfilled, expected);
}
