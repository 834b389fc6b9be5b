//! Every field of the Engine API's answers, 1.25 to 1.56, is redacted by the classes that
//! `tests/it/data/answer-classes.tsv` names for it, or stays for the reason that stands there.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::filter::redact::{Plan, Redactor};
use docker_proxy_acl::policy::catalog::ENGINE;
use docker_proxy_acl::policy::redaction::{Class, Classes, Glob, Redaction};
use docker_proxy_acl::policy::visibility::{Lists, Visibility};
use serde_json::{Value, json};

/// What the value of a field is in these tests: an entry, and an action that tells a command.
const MARKER: &str = "exec_create: MARKER";

/// One field of one operation's answer.
struct Field {
    operation: &'static str,
    /// From the answer's root on: `[]` items of an array, `*` values of a map.
    path: String,
    kind: &'static str,
}

fn fields() -> Vec<Field> {
    let mut fields = Vec::new();
    let mut operations: Vec<&str> = Vec::new();
    for line in include_str!("../data/engine-answers.tsv").lines().filter(|line| !line.starts_with('#')) {
        let Some((path, rest)) = line.split_once('\t') else {
            operations = line.split(' ').collect();
            continue;
        };
        let kind = rest.split('\t').next().unwrap();
        for operation in &operations {
            let (operation, list) =
                operation.strip_suffix("[]").map_or((*operation, ""), |operation| (operation, "[]"));
            fields.push(Field { operation, path: format!("{list}{path}"), kind });
        }
    }
    fields
}

impl Field {
    /// Numbers and flags are no place for a secret.
    fn is_text(&self) -> bool {
        !matches!(self.kind, "integer" | "number" | "boolean")
    }

    /// Answers that hold nothing but this field.
    fn documents(&self) -> Vec<Value> {
        let leaves = match self.kind {
            "array|string" => vec![json!(MARKER), json!([MARKER])],
            _ => vec![json!(MARKER)],
        };
        leaves.into_iter().map(|leaf| document(&self.path, leaf)).collect()
    }
}

fn document(path: &str, leaf: Value) -> Value {
    if let Some(rest) = path.strip_prefix("[]") {
        return json!([document(rest, leaf)]);
    }
    let Some(rest) = path.strip_prefix('.').filter(|rest| !rest.is_empty()) else { return leaf };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let key = if &rest[..end] == "*" { "some-name" } else { &rest[..end] };
    json!({ key: document(&rest[end..], leaf) })
}

fn shown(redaction: &Arc<Plan>, document: &Value) -> String {
    let mut redactor = Redactor::new(Arc::clone(redaction), Framing::Document, Lists::None);
    let mut out = Vec::new();
    redactor.push(document.to_string().as_bytes(), &mut out).unwrap();
    redactor.finish().unwrap();
    String::from_utf8(out).unwrap()
}

/// The classes that each alone redact a field.
fn classes_of(field: &Field, plans: &[(Class, Arc<Plan>)]) -> Classes {
    let documents = field.documents();
    let hides = |plan: &Arc<Plan>| {
        let hidden = documents.iter().filter(|document| !shown(plan, document).contains("MARKER")).count();
        assert!(hidden == 0 || hidden == documents.len(), "{} is hidden in one form only", field.path);
        hidden > 0
    };
    plans.iter().filter(|(_, plan)| hides(plan)).map(|(class, _)| *class).collect()
}

fn each_class() -> Vec<(Class, Arc<Plan>)> {
    let plan = |class| {
        Arc::new(Plan::new(Redaction::new(Classes::of(&[class]), vec![], vec![]), Visibility::default()))
    };
    Class::ALL.into_iter().map(|class| (class, plan(class))).collect()
}

/// A row of the list: these fields are of these classes, or harmless for a reason.
struct Row {
    classes: Classes,
    pattern: &'static str,
    operation: &'static str,
    glob: Glob,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../data/answer-classes.tsv").lines();
    let mut rows = Vec::new();
    for line in lines.filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let [classes, patterns, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let classes = match classes {
            "-" => Classes::NONE,
            classes => classes.parse().unwrap(),
        };
        assert!(!reason.is_empty(), "a reason: {line}");
        for pattern in patterns.split(' ') {
            let (operation, glob) = pattern.split_once(':').unwrap_or(("*", pattern));
            rows.push(Row { classes, pattern, operation, glob: Glob::new(glob) });
        }
    }
    rows
}

impl Row {
    fn is_of(&self, operation: &str, path: &str) -> bool {
        self.glob.matches(path) && (self.operation == "*" || self.operation == operation)
    }
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(rows);

/// The classes that each alone redact a field of a real answer, and the pattern that says so; `None` if no row is
/// of it.
pub fn listed(operation: &str, path: &str) -> Option<(Classes, &'static str)> {
    ROWS.iter().find(|row| row.is_of(operation, path)).map(|row| (row.classes, row.pattern))
}

/// The patterns of the fields that are redacted.
pub fn redacted_patterns() -> impl Iterator<Item = &'static str> {
    ROWS.iter().filter(|row| !row.classes.is_empty()).map(|row| row.pattern)
}

/// Texts in a real answer that no row is of, by their paths, but for those that are known besides: operation, path
/// and reason.
pub fn unlisted_but(known: &[(&str, &str, &str)], operation: &str, answer: &Value) -> Vec<String> {
    let mut unlisted = unlisted(operation, answer);
    unlisted.retain(|path| !known.iter().any(|(at, field, _)| *at == operation && field == path));
    unlisted
}

/// Texts in a real answer that no row is of, by their paths.
fn unlisted(operation: &str, answer: &Value) -> Vec<String> {
    fn walk(path: &str, value: &Value, found: &mut dyn FnMut(&str)) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(&format!("{path}[]"), item, found)),
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value, found));
            }
            Value::String(_) => found(if path.is_empty() { "." } else { path }),
            _ => {}
        }
    }
    let rows = rows();
    let mut unlisted = Vec::new();
    walk("", answer, &mut |path| {
        if !rows.iter().any(|row| row.is_of(operation, path)) {
            unlisted.push(path.to_owned());
        }
    });
    unlisted
}

#[test]
fn a_field_of_a_real_answer_that_is_in_no_row_is_found() {
    let answer = json!({
        "Id": "9f", "Path": "sh", "Args": ["-c"], "Config": {"Labels": {"a.b": "c"}, "Env": ["A=1"]},
        "NetworkSettings": {"Networks": {"shop": {"IPAddress": "172.18.0.2"}}}, "State": {"Pid": 1},
    });
    assert_eq!(unlisted("/containers/{id}/json", &answer), [""; 0]);
    let answer = json!([{"Id": "9f", "Surprise": {"x": "y"}, "Path": "sh"}]);
    assert_eq!(unlisted("/containers/json", &answer), ["[].Path", "[].Surprise.x"]);
}

#[test]
fn every_field_is_in_a_class_or_harmless_for_a_reason() {
    let (fields, rows, plans) = (fields(), rows(), each_class());
    assert!(fields.len() > 2_300, "{} fields", fields.len());
    let mut faults = BTreeSet::new();
    let mut used = BTreeSet::new();
    for field in fields.iter().filter(|field| field.is_text()) {
        let row = rows.iter().find(|row| row.is_of(field.operation, &field.path));
        let classes = classes_of(field, &plans);
        match row {
            None => drop(faults.insert(format!("unlisted: {} {} [{classes}]", field.operation, field.path))),
            Some(row) => {
                used.insert(row.pattern);
                if row.classes != classes {
                    faults.insert(format!(
                        "{} is [{classes}], {} says [{}]",
                        field.path, row.pattern, row.classes
                    ));
                }
            }
        }
    }
    for row in rows.iter().filter(|row| !used.contains(row.pattern)) {
        faults.insert(format!("no field is {}", row.pattern));
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn each_endpoint_says_the_classes_of_its_fields() {
    let (fields, plans) = (fields(), each_class());
    let mut faults = Vec::new();
    for row in ENGINE.endpoints().iter().filter(|row| row.body.is_json()) {
        let path = row.api_path();
        let of_row = fields.iter().filter(|field| field.operation == path && field.is_text());
        // The documents give secrets a service's specification, which they do not have. What a descriptor embeds
        // is redacted with many classes, for it may be anything; in practice it is empty.
        let of_row = of_row.filter(|field| {
            let is_service = path.starts_with("/secrets") && field.path.contains(".Spec.TaskTemplate.");
            !is_service && !field.path.ends_with("escriptor.data")
        });
        let held = of_row.map(|field| classes_of(field, &plans)).fold(Classes::NONE, Classes::union);
        if held != row.holds {
            faults.push(format!("{} holds {held}, its row says {}", row.name, row.holds));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn numbers_and_flags_stay_unless_all_around_them_goes() {
    let all = Arc::new(Plan::new(Redaction::new(Classes::ALL, vec![], vec![]), Visibility::default()));
    let mut gone = BTreeSet::new();
    for field in fields().into_iter().filter(|field| !field.is_text()) {
        let before = document(&field.path, json!(42));
        let after: Value = serde_json::from_str(&shown(&all, &before)).unwrap();
        if after != before {
            gone.insert(field.path.trim_start_matches("[]").to_owned());
        }
    }
    assert_eq!(gone, BTreeSet::new());
}

#[test]
fn items_of_disk_usage_are_redacted_as_in_the_lists() {
    let plans = each_class();
    let lists = [
        ("/containers/json", "ContainerUsage", "[]"),
        ("/images/json", "ImageUsage", "[]"),
        ("/volumes", "VolumeUsage", ".Volumes[]"),
        ("/system/df", "BuildCacheUsage", ".BuildCache[]"),
    ];
    for (operation, usage, list) in lists {
        let of_list = |field: &Field| field.operation == operation && field.is_text();
        let fields: Vec<Field> = fields().into_iter().filter(of_list).collect();
        for field in &fields {
            let Some(rest) = field.path.strip_prefix(list) else { continue };
            let item =
                Field { operation: "/system/df", path: format!(".{usage}.Items[]{rest}"), kind: field.kind };
            assert_eq!(classes_of(&item, &plans), classes_of(field, &plans), "{}", item.path);
        }
        assert!(fields.iter().any(|field| field.path.starts_with(list)), "{operation}");
    }
}
