//! What an answer should look like after redaction, said by `tests/it/data/answer-classes.tsv` and a plain walk.

use docker_proxy_acl::policy::redaction::Classes;
use serde_json::Value;

use crate::redaction::fields::listed;

/// Attributes of events that the engine writes itself, beside the labels.
#[rustfmt::skip] // a kind of object a line
const ATTRIBUTES: [&str; 31] = [
    "name", "image", "exitCode", "signal", "execID", "execDuration", "oldName",
    "imageID", "imageRef",
    "container", "type", "driver", "destination", "propagation", "read/write",
    "state.old", "state.new", "updatestate.old", "updatestate.new",
    "replicas.old", "replicas.new", "image.old", "image.new",
    "availability.old", "availability.new", "role.old", "role.new",
    "leader.old", "leader.new", "reachability.old", "reachability.new",
];

/// What is compared: an operation of the API, and the classes that its answers are shown without.
#[derive(Debug, Clone)]
pub struct Oracle {
    pub operation: String,
    pub classes: Classes,
}

impl Oracle {
    /// How what was shown differs from the engine's own answer other than by what is redacted.
    pub fn differences(&self, direct: &Value, shown: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.compare("", direct, shown, &mut found);
        found
    }

    fn compare(&self, path: &str, direct: &Value, shown: &Value, found: &mut Vec<String>) {
        match (direct, shown) {
            (Value::Object(all), Value::Object(some)) => {
                for (key, value) in all {
                    let path = format!("{path}.{key}");
                    match some.get(key) {
                        Some(shown) => self.compare(&path, value, shown, found),
                        None if self.hides(&path, value) => {}
                        None => found.push(format!("{path} is missing, it was {value}")),
                    }
                }
                let added = some.keys().filter(|key| !all.contains_key(*key));
                found.extend(added.map(|key| format!("{path}.{key} came from nowhere")));
            }
            (Value::Array(all), Value::Array(some)) => {
                let path = format!("{path}[]");
                let left: Vec<&Value> = if some.len() == all.len() {
                    all.iter().collect()
                } else {
                    all.iter().filter(|item| !self.hides(&path, item)).collect()
                };
                if left.len() != some.len() {
                    found.push(format!("{path} has {} items, of {} should stay", some.len(), left.len()));
                }
                left.iter().zip(some).for_each(|(direct, shown)| self.compare(&path, direct, shown, found));
            }
            (Value::String(direct), Value::String(shown)) if self.hides_text(path) => {
                let is_left = shown != self.rest(path, direct);
                found.extend(is_left.then(|| format!("{path} is {shown}")));
            }
            (direct, shown) if direct != shown => found.push(format!("{path} is {shown}, it was {direct}")),
            _ => {}
        }
    }

    fn hides_text(&self, path: &str) -> bool {
        let path = if path.is_empty() { "." } else { path };
        let attribute = path.strip_prefix(".Actor.Attributes.");
        !attribute.is_some_and(|name| ATTRIBUTES.contains(&name))
            && listed(&self.operation, path).is_some_and(|(classes, _)| classes.intersects(self.classes))
    }

    /// What stays of a redacted text: of an event's action what stands before the command.
    fn rest<'a>(&self, path: &str, text: &'a str) -> &'a str {
        let is_action = self.operation == "/events" && matches!(path, ".Action" | ".status");
        match text.split_once(": ") {
            Some((action, _)) if is_action && action.starts_with("exec_") => action,
            None | Some(_) if is_action => text,
            _ => "",
        }
    }

    /// Whether all text of a value is redacted, and there is some.
    fn hides(&self, path: &str, value: &Value) -> bool {
        match value {
            Value::String(_) => self.hides_text(path),
            Value::Array(items) => all_hidden(items.iter().map(|item| (format!("{path}[]"), item)), self),
            Value::Object(members) => {
                all_hidden(members.iter().map(|(key, value)| (format!("{path}.{key}"), value)), self)
            }
            _ => false,
        }
    }
}

/// Whether each of these is hidden or holds no text, and one is hidden.
fn all_hidden<'a>(values: impl Iterator<Item = (String, &'a Value)>, oracle: &Oracle) -> bool {
    let mut is_any_hidden = false;
    for (path, value) in values {
        let is_hidden = oracle.hides(&path, value);
        if !is_hidden && has_text(value) {
            return false;
        }
        is_any_hidden |= is_hidden;
    }
    is_any_hidden
}

fn has_text(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().any(has_text),
        Value::Object(members) => members.values().any(has_text),
        _ => false,
    }
}

/// Calls back for each text of an answer, with its path.
pub fn each_text(path: &str, value: &Value, found: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => found(if path.is_empty() { "." } else { path }, text),
        Value::Array(items) => items.iter().for_each(|item| each_text(&format!("{path}[]"), item, found)),
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| each_text(&format!("{path}.{key}"), value, found));
        }
        _ => {}
    }
}

/// Figures become 0 and times `null`, where they are others each time they are asked for.
pub fn steady(value: Value) -> Value {
    match value {
        Value::Number(_) => 0.into(),
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| match key.as_str() {
                "read" | "preread" | "SystemTime" => (key, Value::Null),
                // How long a container has been up, and Podman's machine.
                "Status" | "Uptime" if value.is_string() => (key, Value::Null),
                // Podman makes up an id of its own for each answer.
                "ID" if value.as_str().is_some_and(|id| id.len() == 36) => (key, Value::Null),
                _ => (key, steady(value)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(steady).collect(),
        other => other,
    }
}

/// Lists in the order of what names their items: the engine has no order for some of them.
pub fn in_order(value: Value) -> Value {
    const NAMES: [&str; 5] = ["Id", "ID", "Destination", "Name", "Path"];
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(in_order).collect();
            items.sort_by_key(|item| NAMES.iter().find_map(|name| item[name].as_str().map(str::to_owned)));
            Value::Array(items)
        }
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key.clone(), in_order_of(&key, value))).collect()
        }
        other => other,
    }
}

fn in_order_of(key: &str, value: Value) -> Value {
    match (key, value) {
        ("ExecIDs", Value::Array(mut ids)) => {
            ids.sort_by_key(ToString::to_string);
            Value::Array(ids)
        }
        (_, value) => in_order(value),
    }
}
