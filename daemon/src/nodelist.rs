//! Lists of nodes as Slurm writes them (`SLURM_JOB_NODELIST` of sbatch(1)): `n[001-003,7],gpu1` are the
//! nodes n001, n002, n003, n7 and gpu1. Text in, names out.

use anyhow::{Context, bail, ensure};

use crate::members::MEMBERS_MAX;

/// Most digits of a number.
const DIGITS_MAX: usize = 9;

/// A part of a name.
enum Part<'a> {
    Text(&'a str),
    /// Any of these.
    Numbers(Vec<Range>),
}

/// Numbers from first to last, with so many digits at least.
struct Range {
    first: u32,
    last: u32,
    digits: usize,
}

impl Range {
    fn parse(text: &str) -> anyhow::Result<Range> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| -> anyhow::Result<u32> {
            let is_number = (1..=DIGITS_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit());
            ensure!(
                is_number,
                "{text:?} is no number of 1 to {DIGITS_MAX} digits"
            );
            Ok(text.parse()?)
        };
        let range = Range {
            first: number(first)?,
            last: number(last)?,
            digits: first.len(),
        };
        ensure!(range.first <= range.last, "{text:?} ends before it begins");
        Ok(range)
    }

    fn count(&self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

/// The names in a list, in its order; a name that is there twice comes twice.
///
/// # Errors
/// It is none, or has more names than a cluster can have nodes; with what is wrong.
pub(crate) fn expand(list: &str) -> anyhow::Result<Vec<String>> {
    let list = list.trim();
    let wrong = || {
        format!(
            "{:?} is no list of nodes such as n[001-003,7],gpu1",
            cut(list)
        )
    };
    names(list).with_context(wrong)
}

fn names(list: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for item in items(list)? {
        let parts = parts(item)?;
        let room = MEMBERS_MAX - names.len();
        ensure!(
            count(&parts).is_some_and(|count| count <= room),
            "it has more than {MEMBERS_MAX} names"
        );
        names.extend(combine(&parts));
    }
    Ok(names)
}

/// How many names these parts make; `None`: too many to count.
fn count(parts: &[Part<'_>]) -> Option<usize> {
    parts.iter().try_fold(1_usize, |all, part| match part {
        Part::Text(_) => Some(all),
        Part::Numbers(ranges) => {
            let mut counts = ranges.iter().map(Range::count);
            let numbers = counts.try_fold(0, usize::checked_add)?;
            all.checked_mul(numbers)
        }
    })
}

/// As much of a list as a message needs.
fn cut(list: &str) -> String {
    list.chars().take(100).collect()
}

/// The list at those of its commas that are in no brackets.
fn items(list: &str) -> anyhow::Result<Vec<&str>> {
    let mut items = Vec::new();
    let (mut start, mut is_inside) = (0, false);
    for (at, letter) in list.char_indices() {
        match letter {
            '[' if is_inside => bail!("brackets are in brackets"),
            ']' if !is_inside => bail!("a bracket is closed that is not open"),
            '[' => is_inside = true,
            ']' => is_inside = false,
            ',' if !is_inside => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    ensure!(!is_inside, "a bracket is not closed");
    items.push(&list[start..]);
    Ok(items)
}

fn parts(item: &str) -> anyhow::Result<Vec<Part<'_>>> {
    ensure!(!item.is_empty(), "a name is empty");
    let mut parts = Vec::new();
    let mut rest = item;
    while let Some((text, after)) = rest.split_once('[') {
        let (ranges, after) = after.split_once(']').context("a bracket is not closed")?;
        let ranges = ranges.split(',').map(Range::parse);
        parts.push(Part::Text(check(text)?));
        parts.push(Part::Numbers(ranges.collect::<anyhow::Result<_>>()?));
        rest = after;
    }
    parts.push(Part::Text(check(rest)?));
    Ok(parts)
}

fn check(text: &str) -> anyhow::Result<&str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    ensure!(
        text.chars().all(allowed),
        "{text:?} has other letters than names have"
    );
    Ok(text)
}

/// All names of these parts: the last number changes first.
fn combine(parts: &[Part<'_>]) -> Vec<String> {
    let mut names = vec![String::new()];
    for part in parts {
        match part {
            Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
            Part::Numbers(ranges) => {
                let ends: Vec<String> = ranges
                    .iter()
                    .flat_map(|range| {
                        let digits = range.digits;
                        (range.first..=range.last).map(move |number| format!("{number:0digits$}"))
                    })
                    .collect();
                let longer = |name: &String| -> Vec<String> {
                    ends.iter().map(|end| format!("{name}{end}")).collect()
                };
                names = names.iter().flat_map(longer).collect();
            }
        }
    }
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_of_slurm() {
        for (list, expected) in [
            ("a", &["a"][..]),
            (" a,b \n", &["a", "b"]),
            ("n[001-003,7],gpu1", &["n001", "n002", "n003", "n7", "gpu1"]),
            ("n[9-11]", &["n9", "n10", "n11"]),
            ("n[098-101]x", &["n098x", "n099x", "n100x", "n101x"]),
            ("r[1-2]n[0-1]", &["r1n0", "r1n1", "r2n0", "r2n1"]),
            ("127.0.0.[1-2]", &["127.0.0.1", "127.0.0.2"]),
            ("node-7.example.org", &["node-7.example.org"]),
        ] {
            assert_eq!(expand(list).unwrap(), expected, "{list}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (list, expected) in [
            ("", "a name is empty"),
            ("a,,b", "a name is empty"),
            ("n[1-3", "a bracket is not closed"),
            ("n1]", "a bracket is closed that is not open"),
            ("n[[1]]", "brackets are in brackets"),
            ("n[3-1]", "\"3-1\" ends before it begins"),
            ("n[]", "\"\" is no number"),
            ("n[1-2-3]", "\"2-3\" is no number"),
            ("n[-1]", "\"\" is no number"),
            ("n[+1]", "\"+1\" is no number"),
            ("n[0-9999999999]", "is no number of 1 to 9 digits"),
            ("n[0-999999999]", "it has more than 6000 names"),
            ("n[1-9][1-9][1-9][1-9][1-9]", "it has more than 6000 names"),
            ("a b", "has other letters than names have"),
            ("$(id)", "has other letters than names have"),
        ] {
            let error = format!("{:#}", expand(list).unwrap_err());
            assert!(error.contains(expected), "{list:?}: {error}");
            assert!(error.contains("is no list of nodes such as"), "{error}");
        }
    }

    /// Numbers of one bracket: first, how many more, digits.
    fn ranges() -> impl Strategy<Value = Vec<(u32, u32, usize)>> {
        proptest::collection::vec((0..2000_u32, 0..5_u32, 1..6_usize), 1..4)
    }

    fn item() -> impl Strategy<Value = (String, Vec<(u32, u32, usize)>, String)> {
        ("[a-z][a-z.-]{0,4}", ranges(), "[a-z]{0,2}")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in proptest::collection::vec(item(), 1..6)) {
            let mut list = Vec::new();
            let mut expected = Vec::new();
            for (before, ranges, after) in &items {
                let written: Vec<String> = ranges
                    .iter()
                    .map(|(first, more, digits)| match more {
                        0 => format!("{first:0digits$}"),
                        _ => format!("{first:0digits$}-{:0digits$}", first + more),
                    })
                    .collect();
                list.push(format!("{before}[{}]{after}", written.join(",")));
                for (first, more, digits) in ranges {
                    let numbers = *first..=first + more;
                    expected.extend(numbers.map(|n| format!("{before}{n:0digits$}{after}")));
                }
            }
            prop_assert_eq!(expand(&list.join(",")).unwrap(), expected);
        }

        #[test]
        fn no_text_does_harm(text in "[a-c0-9,\\[\\]-]{0,40}|.{0,40}") {
            if let Ok(names) = expand(&text) {
                prop_assert!(!names.is_empty() && names.len() <= MEMBERS_MAX);
                prop_assert!(names.iter().all(|name| !name.contains(['[', ']', ','])));
            }
        }
    }
}
