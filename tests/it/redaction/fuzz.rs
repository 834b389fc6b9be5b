//! The fuzzer's body for the JSON pass on stable Rust, over its corpus and over generated answers, some of
//! them damaged. `FUZZ_CASES` says how many, `FUZZ_SEED` repeats a run.

use std::sync::Arc;

use super::json_bodies;
use crate::support::env_usize;
use crate::support::rng::{Rng, seed_from};
use docker_proxy_acl::filter::json::Framing;
use docker_proxy_acl::policy::redaction::{ATTRIBUTES, Classes, MAPS, RULES, STATUS};
use docker_proxy_acl::policy::visibility::{Lists, NAMED_LISTS};

const SPACE: [&str; 8] = ["", "", "", "", " ", "\n", "\t \r\n", "  "];
const NUMBERS: [&str; 10] =
    ["0", "-0", "1", "-12.50", "1e5", "1.0E+05", "6.02e-23", "9007199254740993", "01", "1."];
const STRINGS: [&str; 22] = [
    "",
    "A=1",
    "AB=\\u003csecret\\u003e",
    "B=2=3",
    "A",
    "\\u0041=1",
    "=",
    "keep.me=1",
    "a=b",
    "exec_create: sh -c x",
    "exec_start\\u003a x",
    "health_status: healthy",
    "a\\\"b\\\\c\\/d",
    "\u{e4}\u{20ac}\u{1f600}",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\udc00",
    "\\x",
    "\\b\\f\\n\\r\\t",
    "longer than eight bytes, plainly",
    "tab\there",
    "\u{7f}",
];
const NAMES: [&str; 13] = [
    "Names",
    "RepoTags",
    "Spec",
    "Labels",
    "Volumes",
    "Name",
    "name",
    "A",
    "a",
    "b",
    "keep.x",
    "\\u0045nv",
    "x\u{e4}",
];

/// Words of the table, so that rows fit.
fn words() -> Vec<&'static str> {
    let words = paths().flat_map(|path| path.split('.')).filter(|word| !word.is_empty() && *word != "*");
    words.chain(ATTRIBUTES.iter().copied()).chain(STATUS.iter().copied()).collect()
}

/// Paths of the table, so that long rows fit as often as short ones.
fn paths() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.path).chain(MAPS.iter().chain(NAMED_LISTS).copied())
}

struct Generator<'a> {
    chance: &'a mut Rng,
    words: &'a [&'static str],
}

impl Generator<'_> {
    fn space(&mut self, out: &mut String) {
        out.push_str(self.chance.pick(&SPACE));
    }

    fn key(&mut self, out: &mut String) {
        let word =
            if self.chance.once_in(3) { self.chance.pick(&NAMES) } else { self.chance.pick(self.words) };
        let word = match self.chance.below(20) {
            0 => word.to_lowercase(),
            1 if !word.contains('\\') => word.chars().map(|c| format!("\\u{:04x}", c as u32)).collect(),
            _ => word.to_owned(),
        };
        out.push('"');
        out.push_str(&word);
        out.push('"');
    }

    fn value(&mut self, depth: usize, out: &mut String) {
        self.space(out);
        match self.chance.below(if depth == 0 { 4 } else { 9 }) {
            0 => out.push_str(self.chance.pick(&["null", "true", "false"])),
            1 => {
                let all = if self.chance.once_in(50) { NUMBERS.len() } else { 8 };
                out.push_str(self.chance.pick(&NUMBERS[..all]));
            }
            2 | 3 => {
                out.push('"');
                let all = if self.chance.once_in(20) { STRINGS.len() } else { 15 };
                out.push_str(self.chance.pick(&STRINGS[..all]));
                out.push('"');
            }
            4 | 5 => self.list(depth, '[', ']', out),
            _ => self.list(depth, '{', '}', out),
        }
        self.space(out);
    }

    /// A value at the end of a path of the table, perhaps with arrays on the way.
    fn row(&mut self, depth: usize, out: &mut String) {
        let path = paths().nth(self.chance.below(paths().count())).unwrap_or_default();
        let mut close = String::new();
        for word in path.trim_start_matches('.').split('.') {
            out.push_str("{\"");
            out.push_str(word);
            out.push_str("\":");
            close.insert(0, '}');
            if self.chance.once_in(4) {
                out.push('[');
                close.insert(0, ']');
            }
        }
        self.value(depth, out);
        out.push_str(&close);
    }

    fn list(&mut self, depth: usize, open: char, close: char, out: &mut String) {
        out.push(open);
        self.space(out);
        for number in 0..self.chance.below(5) {
            if number > 0 {
                out.push(',');
            }
            if open == '{' {
                self.space(out);
                self.key(out);
                self.space(out);
                out.push(':');
            }
            self.value(depth - 1, out);
        }
        out.push(close);
    }
}

/// Some documents, the choice of the redaction and the parts before them.
fn answer(chance: &mut Rng, words: &[&'static str]) -> Vec<u8> {
    let mut bytes = vec![chance.byte(), chance.byte()];
    let mut text = String::new();
    let count = if bytes[0] & 1 == 0 { 1 } else { chance.below(4) };
    for _ in 0..count {
        let depth = 1 + chance.below(6);
        let mut generator = Generator { chance, words };
        match bytes[0] & 1 {
            _ if generator.chance.once_in(4) => generator.row(depth, &mut text),
            0 => generator.value(depth, &mut text),
            _ => generator.list(depth, '{', '}', &mut text),
        }
        text.push_str(chance.pick(&["", "\n", "\n\u{1e}"][..2 + usize::from(bytes[0] & 1 == 1)]));
    }
    bytes.extend(text.bytes());
    if chance.once_in(4) {
        damage(chance, &mut bytes);
    }
    bytes
}

fn damage(chance: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..1 + chance.below(3) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(4) {
            0 if at < bytes.len() => bytes[at] = chance.byte(),
            1 => bytes.insert(at, chance.byte()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let more =
                    chance.pick(&["\"", "{", "}", "[", ",", "\\", "\\u", "\u{20ac}", "\"A\":1,", "\u{1e}"]);
                drop(bytes.splice(at..at, more.bytes()));
            }
        }
    }
}

#[test]
fn the_corpus_breaks_no_promise() {
    let directory = format!("{}/fuzz/corpus/json", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        count += 1;
        for choice in 0..32_u8 {
            json_bodies::json(&[&[choice, choice.wrapping_mul(7)], &bytes[2..]].concat());
        }
    }
    assert!(count > 10, "{count} files");
}

#[test]
fn no_answer_breaks_a_promise() {
    let mut chance = Rng::new(seed_from("FUZZ_SEED"));
    let words = words();
    for _ in 0..env_usize("FUZZ_CASES", 20_000) {
        json_bodies::json(&answer(&mut chance, &words));
    }
}

#[test]
fn most_generated_answers_are_valid_and_hold_what_is_redacted() {
    let mut chance = Rng::new(1);
    let words = words();
    let all = Arc::clone(&json_bodies::PLANS[json_bodies::PLANS.len() - 4]);
    assert_eq!(all.redaction().classes(), Classes::ALL);
    let all = json_bodies::Way { plan: all, framing: Framing::Sequence, lists: Lists::None };
    let (mut passed, mut changed) = (0, 0);
    for _ in 0..2_000 {
        let bytes = answer(&mut chance, &words);
        if bytes.len() > 2
            && bytes[0] & 1 == 1
            && let Ok(out) = json_bodies::pass(&all, 100, &bytes[2..])
        {
            passed += 1;
            changed += usize::from(out != bytes[2..]);
        }
    }
    assert!(passed > 400 && changed > 200, "of 1,000 about {passed} passed, {changed} changed");
}
