//! What the fuzzer runs on the JSON pass, and on stable Rust `tests/it/redaction/fuzz.rs`: any bytes go through
//! the pass, and `serde_json` with a plain recursive redaction says what should come out.
#![allow(dead_code)] // the tests use parts of it

use std::fmt;
use std::sync::{Arc, LazyLock};

use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::filter::redact::{Plan, Redactor};
use docker_proxy_acl::policy::redaction::{
    Class, Classes, Entries, Handling, MAPS, PLAIN_ACTIONS, RULES, Redaction,
};
use docker_proxy_acl::policy::visibility::{Fact, Lists, NAMED_LISTS, Visibility};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Views to try: nothing redacted, each class, all, all but what patterns keep, and those with objects unseen.
pub static PLANS: LazyLock<Vec<Arc<Plan>>> = LazyLock::new(|| {
    let none = Redaction::default();
    let each = Class::ALL.map(|class| Redaction::new(Classes::of(&[class]), vec![], vec![]));
    let all = Redaction::new(Classes::ALL, vec![], vec![]);
    let keep = Redaction::new(Classes::ALL, vec!["A*".into(), "?".into()], vec!["keep.*".into(), "a".into()]);
    let everything = [none.clone()].into_iter().chain(each).chain([all, keep.clone()]);
    let only = ["label:a", "label:keep.x=A", "name:A*"].map(|text| text.parse().expect("a selector"));
    let some = Visibility::new(only.to_vec());
    everything
        .map(|redaction| Plan::new(redaction, Visibility::default()))
        .chain([none, keep].map(|redaction| Plan::new(redaction, some.clone())))
        .map(Arc::new)
        .collect()
});

/// One way to pass an answer.
#[derive(Debug, Clone)]
pub struct Way {
    pub plan: Arc<Plan>,
    pub framing: Framing,
    pub lists: Lists,
}

/// What comes out is what the oracle says, whole or in parts; what the oracle cannot read does not pass.
pub fn json(bytes: &[u8]) {
    let [choice, part, answer @ ..] = bytes else { return };
    let plan = Arc::clone(&PLANS[usize::from(*choice >> 1) % PLANS.len()]);
    let framing = if choice & 1 == 0 { Framing::Document } else { Framing::Sequence };
    let lists = [Lists::Root, Lists::Named, Lists::None][usize::from(*part) % 3];
    check(&Way { plan, framing, lists }, usize::from(*part) + 1, answer);
}

/// Passes the answer whole, in parts and byte by byte, and compares with the oracle.
pub fn check(way: &Way, part: usize, answer: &[u8]) {
    let whole = pass(way, answer.len().max(1), answer);
    for part in [part, 1] {
        let parts = pass(way, part, answer);
        match (&whole, &parts) {
            (Ok(whole), Ok(parts)) => assert_same(whole, parts, answer),
            (Err(_), Err(_)) => {}
            _ => panic!("{} whole: {whole:?}, in parts of {part}: {parts:?}", answer.escape_ascii()),
        }
    }
    match (read(way.framing, answer), &whole) {
        (Err(Unread::Limit), _) => {}
        (Err(Unread::Invalid), Err(_)) => {}
        (Err(Unread::Invalid), Ok(_)) => panic!("passed: {}", answer.escape_ascii()),
        (Ok(_), Err(error)) => panic!("{error}: {}", answer.escape_ascii()),
        (Ok(documents), Ok(out)) => {
            let expected: Vec<Tree> = documents.iter().map(|tree| viewed(tree, way)).collect();
            let Ok(came) = read(way.framing, out) else {
                panic!("{} became {}", answer.escape_ascii(), out.escape_ascii())
            };
            assert_eq!(came, expected, "{} became {}", answer.escape_ascii(), out.escape_ascii());
            if way.plan.redaction().is_none() && way.plan.visibility().is_everything() {
                assert_same(out, answer, answer);
            }
        }
    }
}

fn assert_same(one: &[u8], other: &[u8], answer: &[u8]) {
    assert!(
        one == other,
        "{}\nfor {}\nand {}",
        answer.escape_ascii(),
        one.escape_ascii(),
        other.escape_ascii()
    );
}

/// What comes out if the answer comes in parts of a length. After an error nothing may come out.
pub fn pass(way: &Way, part: usize, answer: &[u8]) -> Result<Vec<u8>, String> {
    let mut redactor = Redactor::new(Arc::clone(&way.plan), way.framing, way.lists);
    let mut out = Vec::new();
    let mut error = None;
    for part in answer.chunks(part) {
        let length = out.len();
        let result = redactor.push(part, &mut out);
        error = error.or(result.err());
        assert!(error.is_none() || out.len() == length, "after an error came {}", out.escape_ascii());
        assert_eq!(error, result.err(), "a pass that has failed goes on");
    }
    match error.or(redactor.finish().err()) {
        Some(error) => Err(error.to_string()),
        None => Ok(out),
    }
}

/// A JSON value with its keys in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Why the oracle does not read something.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// A limit of `serde_json` alone: how deep, how large a number.
    Limit,
    /// It is invalid.
    Invalid,
}

impl From<serde_json::Error> for Unread {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let is_limit = text.contains("recursion limit") || text.contains("number out of range");
        if is_limit { Unread::Limit } else { Unread::Invalid }
    }
}

/// The documents of an answer, as the oracle reads them.
pub fn read(framing: Framing, answer: &[u8]) -> Result<Vec<Tree>, Unread> {
    if framing == Framing::Document {
        return Ok(vec![serde_json::from_slice(answer)?]);
    }
    let mut all = Vec::new();
    for text in answer.split(|byte| *byte == 0x1e) {
        for tree in serde_json::Deserializer::from_slice(text).into_iter::<Tree>() {
            match tree? {
                tree @ Tree::Object(_) => all.push(tree),
                _ => return Err(Unread::Invalid),
            }
        }
    }
    Ok(all)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        serde_json::Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object: Vec<(String, Tree)> = Vec::new();
        while let Some((key, value)) = members.next_entry::<String, Tree>()? {
            if object.iter().any(|(other, _)| *other == key) {
                return Err(A::Error::custom("a duplicate key"));
            }
            object.push((key, value));
        }
        Ok(Tree::Object(object))
    }
}

/// A document as the client sees it.
pub fn viewed(tree: &Tree, way: &Way) -> Tree {
    redacted(&with_visible_items(tree, "", way), way.plan.redaction())
}

/// The lists at the root, or under the keys that lead to named ones, without the items that are not visible.
fn with_visible_items(tree: &Tree, path: &str, way: &Way) -> Tree {
    let visibility = way.plan.visibility();
    let is_list = match way.lists {
        _ if visibility.is_everything() => false,
        Lists::None => false,
        Lists::Root => path.is_empty(),
        Lists::Named => NAMED_LISTS.iter().any(|list| list.eq_ignore_ascii_case(path)),
    };
    match tree {
        Tree::Array(items) if is_list => {
            Tree::Array(items.iter().filter(|item| is_visible(item, visibility)).cloned().collect())
        }
        // Its items add no part to the path, but for those of an answer that is an array.
        Tree::Array(items) if !path.is_empty() => {
            Tree::Array(items.iter().map(|item| with_visible_items(item, path, way)).collect())
        }
        Tree::Object(members) if way.lists == Lists::Named => {
            let inside = |key: &str, value| with_visible_items(value, &format!("{path}.{key}"), way);
            Tree::Object(members.iter().map(|(key, value)| (key.clone(), inside(key, value))).collect())
        }
        other => other.clone(),
    }
}

fn is_visible(item: &Tree, visibility: &Visibility) -> bool {
    let Tree::Object(members) = item else { return false };
    members.iter().any(|(key, value)| match (key.as_str(), value) {
        ("Names", Tree::Array(names)) => names.iter().any(|name| match name {
            Tree::String(name) => {
                let name = name.strip_prefix('/').unwrap_or(name);
                !name.contains('/') && visibility.shows(Fact::Name(name))
            }
            _ => false,
        }),
        ("RepoTags", Tree::Array(tags)) => tags.iter().any(|tag| has_name(tag, visibility)),
        ("Spec", Tree::Object(members)) => members.iter().any(|(key, value)| match key.as_str() {
            "Name" => has_name(value, visibility),
            "Labels" => has_label(value, visibility),
            _ => false,
        }),
        ("Name", value) => has_name(value, visibility),
        ("Labels", value) => has_label(value, visibility),
        _ => false,
    })
}

fn has_name(value: &Tree, visibility: &Visibility) -> bool {
    matches!(value, Tree::String(name) if visibility.shows(Fact::Name(name)))
}

fn has_label(value: &Tree, visibility: &Visibility) -> bool {
    let Tree::Object(labels) = value else { return false };
    labels
        .iter()
        .any(|(key, value)| matches!(value, Tree::String(value) if visibility.shows(Fact::Label(key, value))))
}

/// A document after redaction, by the plainest means.
pub fn redacted(tree: &Tree, redaction: &Redaction) -> Tree {
    match tree {
        Tree::Object(_) => walk(tree, &[], false, redaction),
        // Nothing inside is anchored.
        _ => walk(tree, &[Some("")], false, redaction),
    }
}

/// `path` holds the keys on the way, none for a name that a user chose.
fn walk(tree: &Tree, path: &[Option<&str>], is_map: bool, redaction: &Redaction) -> Tree {
    match tree {
        Tree::Array(items) => {
            Tree::Array(items.iter().map(|item| walk(item, path, false, redaction)).collect())
        }
        Tree::Object(members) => Tree::Object(
            members
                .iter()
                .map(|(key, value)| (key.clone(), member(key, value, path, is_map, redaction)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn member(key: &str, value: &Tree, path: &[Option<&str>], is_map: bool, redaction: &Redaction) -> Tree {
    let mut inside = path.to_vec();
    inside.push(Some(key).filter(|_| !is_map));
    let goes_in = |value: &Tree| walk(value, &inside, names_its_members(key, path, is_map), redaction);
    match (handling(key, matches!(value, Tree::String(_)), path, is_map, redaction), value) {
        (None, value) => goes_in(value),
        (Some(Handling::EmptyObject), Tree::Array(_)) => goes_in(value),
        (Some(Handling::EmptyObject), Tree::String(_) | Tree::Number(_) | Tree::Bool(_)) => value.clone(),
        (_, Tree::Null) => Tree::Null,
        (Some(Handling::Entries(entries)), Tree::Array(items)) => {
            Tree::Array(items.iter().filter(|item| keeps_item(item, entries, redaction)).cloned().collect())
        }
        (Some(handling @ (Handling::Entries(_) | Handling::Known(..))), Tree::Object(members)) => {
            let stays = |name: &str| keeps_member(name, handling, redaction);
            goes_in(&Tree::Object(members.iter().filter(|(name, _)| stays(name)).cloned().collect()))
        }
        (Some(Handling::Known(..)), Tree::String(_) | Tree::Number(_) | Tree::Bool(_)) => value.clone(),
        (Some(Handling::Action), Tree::String(action)) => Tree::String(plain_action(action).to_owned()),
        (Some(_), value) => empty(value),
    }
}

/// What the table does to a member, in an object that `path` leads to.
pub fn handling(
    key: &str,
    is_string: bool,
    path: &[Option<&str>],
    is_map: bool,
    redaction: &Redaction,
) -> Option<Handling> {
    RULES
        .iter()
        .filter(|rule| rule.classes.is_empty() || rule.classes.intersects(redaction.classes()))
        .filter(|rule| is_string || rule.handling != Handling::Action)
        .filter(|rule| fits(rule.path, key, path, is_map))
        .max_by_key(|rule| {
            let words = rule.path.trim_start_matches('.').split('.').count();
            (rule.handling == Handling::Action, words, rule.path.starts_with('.'))
        })
        .and_then(|rule| (!rule.classes.is_empty()).then_some(rule.handling))
}

/// Whether the members of the object under a key have names that users chose.
pub fn names_its_members(key: &str, path: &[Option<&str>], is_map: bool) -> bool {
    MAPS.iter().any(|map| fits(map, key, path, is_map))
}

/// Whether a member of a filtered object stays.
pub fn keeps_member(name: &str, handling: Handling, redaction: &Redaction) -> bool {
    match handling {
        Handling::Entries(entries) => redaction.keeps(entries, name),
        Handling::Known(known, entries) => {
            known.contains(&name) || entries.is_some_and(|entries| redaction.keeps(entries, name))
        }
        _ => false,
    }
}

/// An action without the command that it tells.
pub fn plain_action(action: &str) -> &str {
    match action.split_once(':') {
        Some((name, _)) if !PLAIN_ACTIONS.contains(&name) => name,
        _ => action,
    }
}

/// Whether an item of a filtered array stays.
pub fn keeps_item(item: &Tree, entries: Entries, redaction: &Redaction) -> bool {
    let entry = match item {
        Tree::String(entry) => entry,
        Tree::Object(members) => {
            let mut names = members.iter().filter(|(key, _)| key.eq_ignore_ascii_case("name"));
            match (names.next(), names.next()) {
                (Some((key, Tree::String(name))), None) if key == "Name" => name,
                _ => return false,
            }
        }
        _ => return false,
    };
    redaction.keeps(entries, entry.split('=').next().unwrap_or_default())
}

fn empty(value: &Tree) -> Tree {
    match value {
        Tree::Null => Tree::Null,
        Tree::Bool(_) => Tree::Bool(false),
        Tree::Number(_) => Tree::Number(0u64.into()),
        Tree::String(_) => Tree::String(String::new()),
        Tree::Array(_) => Tree::Array(Vec::new()),
        Tree::Object(_) => Tree::Object(Vec::new()),
    }
}

/// Whether a row's path is the end of `path` and `key`.
fn fits(row: &str, key: &str, path: &[Option<&str>], is_map: bool) -> bool {
    let parts: Vec<&str> = row.trim_start_matches('.').split('.').collect();
    let (last, before) = parts.split_last().expect("a row has a part");
    if !last.eq_ignore_ascii_case(key) || is_map && before.last().is_none_or(|part| *part == "*") {
        return false;
    }
    let Some(skipped) = path.len().checked_sub(before.len()) else { return false };
    (skipped == 0 || !row.starts_with('.'))
        && before.iter().zip(&path[skipped..]).all(|(part, segment)| match segment {
            _ if *part == "*" => true,
            Some(segment) => part.eq_ignore_ascii_case(segment),
            None => false,
        })
}
