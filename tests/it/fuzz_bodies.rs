//! The fuzzer's bodies on stable Rust, over the corpus and over as many mutations of it as there is time
//! for. `FUZZ_CASES` makes the test longer, `FUZZ_SEED` repeats one.

#[path = "../../fuzz/bodies.rs"]
mod bodies;

use crate::support::attack;
use crate::support::hostile::figure;
use crate::support::rng::{Seeded, seed_from};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{directory}: {e}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{directory} has {} files", paths.len());
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A few changes of the kinds that fuzzers make: bytes changed, put in, left out, parts swapped in.
fn mutated(corpus: &[Vec<u8>], chance: &mut Seeded) -> Vec<u8> {
    let mut bytes = corpus[chance.below(corpus.len())].clone();
    for _ in 0..1 + chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(5) {
            0 if at < bytes.len() => bytes[at] = chance.byte(),
            1 => bytes.insert(at, chance.byte()),
            2 => bytes.truncate(at),
            3 => {
                let other = &corpus[chance.below(corpus.len())];
                let from = chance.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            _ => drop(
                bytes.splice(at..at, chance.pick(&["%2f", "..", "\r\n", "/", "%", "\0", "?", ": "]).bytes()),
            ),
        }
    }
    bytes
}

#[test]
fn no_path_breaks_a_promise() {
    let mut chance = Seeded::new(seed_from("FUZZ_SEED"));
    let corpus = corpus("path");
    corpus.iter().for_each(|bytes| bodies::path(bytes));
    for _ in 0..figure("FUZZ_CASES", 4_000) * 10 {
        bodies::path(&mutated(&corpus, &mut chance));
        bodies::path(attack::target(&mut chance).as_bytes());
    }
}

#[test]
fn no_bytes_break_a_promise_of_the_server() {
    let mut chance = Seeded::new(seed_from("FUZZ_SEED"));
    let corpus = corpus("server");
    corpus.iter().for_each(|bytes| bodies::server(bytes));
    for _ in 0..figure("FUZZ_CASES", 4_000) / 2 {
        bodies::server(&mutated(&corpus, &mut chance));
        bodies::server(&[vec![chance.byte()], attack::request(&mut chance)].concat());
    }
}
