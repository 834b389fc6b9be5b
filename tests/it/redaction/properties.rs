//! What holds for every answer that is filtered, tried on generated ones: what stays is byte for byte what
//! came, wherever the answer was split.

use std::sync::Arc;

use super::json_bodies::{self, PLANS, Tree, Way};
use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::filter::redact::{Plan, Redactor};
use docker_proxy_acl::policy::redaction::{ATTRIBUTES, Handling, MAPS, RULES, Redaction, STATUS};
use docker_proxy_acl::policy::visibility::{Lists, NAMED_LISTS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// JSON as it is written.
#[derive(Debug, Clone)]
pub enum Node {
    Scalar(String),
    Array(Vec<Item>, String),
    Object(Vec<(Key, Item)>, String),
}

/// A value with the white space before and after it. In an object the first stands before the key.
#[derive(Debug, Clone)]
pub struct Item {
    before: String,
    value: Node,
    after: String,
}

/// A key, and how it is written, the colon included.
#[derive(Debug, Clone)]
pub struct Key {
    name: String,
    written: String,
}

fn space() -> impl Strategy<Value = String> {
    select(vec!["", "", "", " ", "\n", "\t", "\r\n  "]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = String> {
    let plain = select(vec!["null", "true", "false", "0", "-0", "12", "-1.50", "1e5", "2.0E+05"]);
    let text = select(vec![
        "",
        "A=1",
        "A",
        "\\u0041\\u003d1",
        "B=\\u003c2",
        "keep.me=\\\"",
        "a=\\ud83d\\ude00",
        "exec_create: sh",
        "exec_die",
        "health_status\\u003a healthy",
        "\u{20ac}\\/\\\\",
        "12345678",
    ]);
    prop_oneof![plain.prop_map(str::to_owned), text.prop_map(|text| format!("\"{text}\""))]
}

/// Words of the table among others, written in several ways.
fn key() -> impl Strategy<Value = Key> {
    let paths = RULES.iter().map(|rule| rule.path).chain(MAPS.iter().copied());
    let words = paths.flat_map(|path| path.split('.')).filter(|word| !word.is_empty() && *word != "*");
    let others = ATTRIBUTES.iter().chain(STATUS).copied().chain([
        "Name", "Names", "RepoTags", "Spec", "Labels", "Items", "name", "A", "a", "b", "keep.x", "\u{e4}",
    ]);
    let words: Vec<&str> = words.chain(others).collect();
    (select(words), 0..6, space(), space()).prop_map(|(name, form, before, after)| {
        let name = if form == 0 { name.to_uppercase() } else { name.to_owned() };
        let escaped = || name.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
        let written = if form == 1 { escaped() } else { name.clone() };
        Key { written: format!("\"{written}\"{before}:{after}"), name }
    })
}

fn item(value: impl Strategy<Value = Node>) -> impl Strategy<Value = Item> {
    (space(), value, space()).prop_map(|(before, value, after)| Item { before, value, after })
}

pub fn node() -> impl Strategy<Value = Node> {
    scalar().prop_map(Node::Scalar).prop_recursive(6, 60, 6, |inside| {
        let members = vec((key(), item(inside.clone())), 0..6).prop_map(|mut members| {
            let mut seen = Vec::new();
            members.retain(|(key, _): &(Key, Item)| {
                let is_new = !seen.contains(&key.name);
                seen.push(key.name.clone());
                is_new
            });
            members
        });
        prop_oneof![
            1 => (vec(item(inside), 0..5), space()).prop_map(|(items, space)| Node::Array(items, space)),
            2 => (members, space()).prop_map(|(members, space)| Node::Object(members, space)),
        ]
    })
}

/// Some words in a row that a row of the table needs, so that long rows are tried as often as short ones.
fn in_a_row(node: Node, path: &'static str) -> Node {
    let words = path.trim_start_matches('.').split('.');
    words.rev().fold(node, |value, name| {
        let key = Key { name: name.to_owned(), written: format!("\"{name}\":") };
        Node::Object(vec![(key, Item { before: String::new(), value, after: String::new() })], String::new())
    })
}

fn document() -> impl Strategy<Value = Node> {
    let rows = RULES.iter().map(|rule| rule.path).chain(MAPS.iter().chain(NAMED_LISTS).copied());
    let path = select(rows.collect::<Vec<_>>());
    prop_oneof![node(), (node(), path).prop_map(|(node, path)| in_a_row(node, path))]
}

fn plan() -> impl Strategy<Value = Arc<Plan>> {
    select((0..PLANS.len()).collect::<Vec<_>>()).prop_map(|number| Arc::clone(&PLANS[number]))
}

pub fn way() -> impl Strategy<Value = Way> {
    (plan(), select(vec![Lists::Root, Lists::Named])).prop_map(|(plan, lists)| Way {
        plan,
        framing: Framing::Document,
        lists,
    })
}

/// Without lists whose items are judged.
fn whole_lists(plan: &Arc<Plan>) -> Way {
    Way { plan: Arc::clone(plan), framing: Framing::Document, lists: Lists::None }
}

impl Node {
    pub fn written(&self) -> String {
        match self {
            Node::Scalar(written) => written.clone(),
            Node::Array(items, space) => {
                list('[', ']', space, items.iter().map(|item| (item, item.value.written(), true)))
            }
            Node::Object(members, space) => {
                let member = |(key, item): &(Key, Item)| key.written.clone() + &item.value.written();
                list('{', '}', space, members.iter().map(|pair| (&pair.1, member(pair), true)))
            }
        }
    }

    fn tree(&self) -> Tree {
        serde_json::from_str(&self.written()).unwrap()
    }

    /// How it is written after redaction.
    fn redacted(&self, redaction: &Redaction) -> String {
        match self {
            Node::Object(..) => self.walk(&[], false, redaction),
            _ => self.walk(&[Some("")], false, redaction),
        }
    }

    fn walk(&self, path: &[Option<&str>], is_map: bool, redaction: &Redaction) -> String {
        match self {
            Node::Scalar(written) => written.clone(),
            Node::Array(items, space) => {
                let walked = items.iter().map(|item| (item, item.value.walk(path, false, redaction), true));
                list('[', ']', space, walked)
            }
            Node::Object(members, space) => members_of(members, space, path, is_map, redaction, None),
        }
    }
}

/// An object of which those members stay that `filter` keeps, each redacted.
fn members_of(
    members: &[(Key, Item)],
    space: &str,
    path: &[Option<&str>],
    is_map: bool,
    redaction: &Redaction,
    filter: Option<Handling>,
) -> String {
    let walked = members.iter().map(|(key, item)| {
        let stays = filter.is_none_or(|handling| json_bodies::keeps_member(&key.name, handling, redaction));
        let value = member(&key.name, &item.value, path, is_map, redaction);
        (item, key.written.clone() + &value, stays)
    });
    list('{', '}', space, walked)
}

fn member(key: &str, value: &Node, path: &[Option<&str>], is_map: bool, redaction: &Redaction) -> String {
    let mut inside = path.to_vec();
    inside.push(Some(key).filter(|_| !is_map));
    let is_inner_map = json_bodies::names_its_members(key, path, is_map);
    let tree = value.tree();
    let handling = json_bodies::handling(key, matches!(tree, Tree::String(_)), path, is_map, redaction);
    match (handling, value, &tree) {
        (None, ..) | (_, _, Tree::Null) => value.walk(&inside, is_inner_map, redaction),
        (Some(Handling::EmptyObject), Node::Array(..) | Node::Scalar(_), _) => {
            value.walk(&inside, is_inner_map, redaction)
        }
        (Some(Handling::Entries(entries)), Node::Array(items, space), _) => {
            let stays = |item: &Item| json_bodies::keeps_item(&item.value.tree(), entries, redaction);
            list('[', ']', space, items.iter().map(|item| (item, item.value.written(), stays(item))))
        }
        (Some(handling @ (Handling::Entries(_) | Handling::Known(..))), Node::Object(members, space), _) => {
            members_of(members, space, &inside, is_inner_map, redaction, Some(handling))
        }
        (Some(Handling::Known(..)), Node::Scalar(written), _) => written.clone(),
        (Some(Handling::Action), _, Tree::String(action)) if json_bodies::plain_action(action) == action => {
            value.written()
        }
        (Some(Handling::Action), _, Tree::String(action)) => {
            format!("\"{}\"", json_bodies::plain_action(action))
        }
        (_, _, Tree::Object(_)) => "{}".to_owned(),
        (_, _, Tree::Array(_)) => "[]".to_owned(),
        (_, _, Tree::String(_)) => "\"\"".to_owned(),
        (_, _, Tree::Number(_)) => "0".to_owned(),
        (_, _, Tree::Bool(_)) => "false".to_owned(),
    }
}

/// Writes a list. What goes takes with it the comma and the white space before it; the first that stays has no
/// comma before it.
fn list<'a>(
    open: char,
    close: char,
    space: &str,
    items: impl Iterator<Item = (&'a Item, String, bool)>,
) -> String {
    let mut written = String::from(open);
    let (mut has_kept, mut after) = (false, None);
    for (item, value, stays) in items {
        if stays {
            if has_kept {
                written.push_str(after.unwrap_or(""));
                written.push(',');
            }
            written.push_str(&item.before);
            written.push_str(&value);
            has_kept = true;
        }
        after = Some(item.after.as_str());
    }
    written.push_str(after.unwrap_or(space));
    written.push(close);
    written
}

fn passed(way: &Way, part: usize, answer: &str) -> String {
    String::from_utf8(json_bodies::pass(way, part, answer.as_bytes()).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_stays_is_byte_for_byte_what_came(node in document(), plan in plan(), part in 1..80_usize) {
        let answer = format!(" {}\n", node.written());
        let expected = format!(" {}\n", node.redacted(plan.redaction()));
        prop_assert_eq!(passed(&whole_lists(&plan), part, &answer), expected);
    }

    #[test]
    fn visible_items_are_byte_for_byte_what_they_are_among_others(nodes in vec(node(), 0..5), plan in plan()) {
        let way = Way { lists: Lists::Root, ..whole_lists(&plan) };
        let alone = nodes.iter().map(|node| passed(&way, 9, &format!("[{}]", node.written())));
        let shown: Vec<String> = alone.filter(|list| list != "[]").map(|l| l[1..l.len() - 1].to_owned()).collect();
        let all = nodes.iter().map(Node::written).collect::<Vec<_>>().join(",");
        prop_assert_eq!(passed(&way, 9, &format!("[{}]", all)), format!("[{}]", shown.join(",")));
    }

    #[test]
    fn a_parsed_answer_is_what_a_plain_view_makes_of_it(node in document(), way in way()) {
        json_bodies::check(&way, 7, node.written().as_bytes());
    }

    #[test]
    fn it_does_not_matter_where_an_answer_is_split(node in document(), way in way()) {
        let answer = node.written();
        let whole = passed(&way, answer.len(), &answer);
        for at in 1..answer.len() {
            let mut redactor = Redactor::new(Arc::clone(&way.plan), way.framing, way.lists);
            let mut out = Vec::new();
            redactor.push(&answer.as_bytes()[..at], &mut out).unwrap();
            redactor.push(&answer.as_bytes()[at..], &mut out).unwrap();
            redactor.finish().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&out), whole.as_str(), "split at {}", at);
        }
    }

    #[test]
    fn no_part_of_an_answer_is_taken_for_the_whole(node in document(), way in way()) {
        let answer = format!("[{}]", node.written());
        for end in 0..answer.len() {
            prop_assert!(json_bodies::pass(&way, 9, &answer.as_bytes()[..end]).is_err());
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_answer() {
    let plan = &PLANS[PLANS.len() - 1];
    let way = Way { lists: Lists::Root, ..whole_lists(plan) };
    let item = |number| {
        format!(r#"{{"Id":"{number}","Name":"A{number}","Env":["A=1","B=2"],"Labels":{{"x":"y"}}}}"#)
    };
    let largest = |count: usize| {
        let answer = format!("[{}]", (0..count).map(item).collect::<Vec<_>>().join(","));
        let mut out = Vec::with_capacity(64 * 1024);
        let measured = allocation_counter::measure(|| {
            let mut redactor = Redactor::new(Arc::clone(&way.plan), way.framing, way.lists);
            for part in answer.as_bytes().chunks(16 * 1024) {
                out.clear();
                redactor.push(part, &mut out).unwrap();
            }
            redactor.finish().unwrap();
        });
        measured.bytes_max
    };
    let few = largest(1_000);
    assert!(few < 64 * 1024, "{few} bytes");
    assert_eq!(largest(30_000), few);
}
