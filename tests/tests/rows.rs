//! Which rows of the table, and which commands, no guest program makes.
//!
//! Those that are left are in `tests/uncovered.txt`, which may only shrink: a row that is new needs a
//! guest program, and one that has got one is taken off.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use abi::row::Route;
use abi::{X86_64, command};

/// Every word of the guest programs, without their comments.
fn words_of_guests() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let mut words = BTreeSet::new();
    for entry in fs::read_dir(directory)
        .expect("the guest programs")
        .flatten()
    {
        let path = entry.path();
        // What they share only names.
        if path.extension().is_none_or(|kind| kind != "c") {
            continue;
        }
        let text = fs::read_to_string(path).expect("a source");
        let code = without_comments(&text);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        words.extend(code.split(|c| !is_word(c)).map(str::to_owned));
    }
    words
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("/*").into_iter().chain(rest.find("//")).min() {
        code.push_str(&rest[..at]);
        let end = if rest[at..].starts_with("/*") {
            "*/"
        } else {
            "\n"
        };
        rest = match rest[at + 2..].find(end) {
            Some(length) => &rest[at + 2 + length + end.len()..],
            None => "",
        };
        code.push(' ');
    }
    code + rest
}

#[test]
fn every_row_has_a_guest_program() {
    let words = words_of_guests();
    let is_made = |name: &str| words.contains(name) || words.contains(&format!("SYS_{name}"));
    let rows = X86_64
        .iter()
        .filter(|row| row.route != Route::Here)
        .map(|row| row.name.to_owned());
    let commands = command::commands()
        .filter(|command| command.route != Route::Here)
        // Those without a name of their own are few.
        .filter(|command| !command.name.contains(' '))
        .map(|command| command.name.to_owned());
    let uncovered: BTreeSet<String> = rows.chain(commands).filter(|name| !is_made(name)).collect();
    let listed: BTreeSet<String> = include_str!("../uncovered.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    let new: Vec<_> = uncovered.difference(&listed).collect();
    assert!(new.is_empty(), "no guest program makes {new:?}");
    let covered: Vec<_> = listed.difference(&uncovered).collect();
    assert!(
        covered.is_empty(),
        "take off tests/uncovered.txt: {covered:?}"
    );
}
