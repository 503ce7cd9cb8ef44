//! Some sequences of the fuzzer, each run natively and as a guest.
//!
//! More of them: `cargo run --release -p homenode-tests --bin fuzz -- --minutes 10`.

use std::fs;
use std::path::Path;

use homenode_tests::Way;
use homenode_tests::fuzz::{Difference, Sequence, compare, generate};

/// One that a loaded machine has made does not show again.
fn differences(sequences: &[Sequence]) -> Vec<Difference> {
    let again: Vec<Sequence> = compare(Way::Elsewhere, sequences)
        .into_iter()
        .map(|difference| difference.sequence)
        .collect();
    if again.is_empty() {
        return Vec::new();
    }
    compare(Way::Elsewhere, &again)
}

fn check(sequences: &[Sequence]) {
    let found = differences(sequences);
    let text: String = found.iter().map(Difference::to_string).collect();
    assert!(found.is_empty(), "{text}");
}

#[test]
fn fixed_seeds() {
    check(&(1..=40).map(generate).collect::<Vec<_>>());
}

/// What was found and mended: `fuzz/found/`, a sequence a file.
#[test]
fn found_before() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/found");
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("the sequences found")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let sequences: Vec<Sequence> = files
        .iter()
        .map(|file| Sequence::kept(&fs::read_to_string(file).expect("a sequence")))
        .collect();
    check(&sequences);
}
