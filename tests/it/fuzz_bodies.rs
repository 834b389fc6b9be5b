//! The fuzzer's bodies on stable Rust, over the corpus and over as many mutations of it as there is time
//! for. `FUZZ_CASES` makes the test longer, `FUZZ_SEED` repeats one.

use crate::support::attack;
use crate::support::env_usize;
use crate::support::machine;
use crate::support::rng::{Rng, seed_from};

#[path = "../../fuzz/bodies.rs"]
mod bodies;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{directory}: {e}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{directory} has {} files", paths.len());
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A few changes of the kinds that fuzzers make: bytes changed, put in, left out, parts swapped in.
fn mutated(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = corpus[rng.below(corpus.len())].clone();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] = rng.byte(),
            1 => bytes.insert(at, rng.byte()),
            2 => bytes.truncate(at),
            3 => {
                let other = &corpus[rng.below(corpus.len())];
                let from = rng.below(other.len() + 1);
                bytes.splice(at..at, other[from..].iter().copied());
            }
            _ => drop(
                bytes.splice(at..at, rng.pick(&["%2f", "..", "\r\n", "/", "%", "\0", "?", ": "]).bytes()),
            ),
        }
    }
    bytes
}

#[test]
fn no_path_breaks_a_promise() {
    let _machine = machine::disturbing();
    let mut rng = Rng::new(seed_from("FUZZ_SEED"));
    let corpus = corpus("path");
    corpus.iter().for_each(|bytes| bodies::path(bytes));
    for _ in 0..env_usize("FUZZ_CASES", 4_000) * 10 {
        bodies::path(&mutated(&corpus, &mut rng));
        bodies::path(attack::target(&mut rng).as_bytes());
    }
}

#[test]
fn no_bytes_break_a_promise_of_the_server() {
    let _machine = machine::disturbing();
    let mut rng = Rng::new(seed_from("FUZZ_SEED"));
    let corpus = corpus("server");
    corpus.iter().for_each(|bytes| bodies::server(bytes));
    for _ in 0..env_usize("FUZZ_CASES", 4_000) / 2 {
        bodies::server(&mutated(&corpus, &mut rng));
        bodies::server(&[vec![rng.byte()], attack::request(&mut rng)].concat());
    }
}
