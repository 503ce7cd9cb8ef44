//! Third-party programs natively and as guests, a line each: `corpus [--shuffle] [WORD...]` runs those
//! in whose name one of the words occurs; `--shuffle` moves them home and away all the time. Fails if
//! one differs that is not known to.

use std::process::ExitCode;

use homenode_tests::Way;
use homenode_tests::corpus::{Compared, LISTS};

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|word| word.starts_with('-'));
    let way = match options.as_slice() {
        [] => Way::Elsewhere,
        [option] if option == "--shuffle" => Way::Stirred,
        _ => {
            eprintln!("corpus: the only option is --shuffle; words select programs by name");
            return ExitCode::from(2);
        }
    };
    let (mut same, mut known, mut different, mut skipped) = (0, 0, 0, 0);
    for program in LISTS.iter().copied().flatten() {
        if !words.is_empty()
            && !words
                .iter()
                .any(|word| program.name.contains(word.as_str()))
        {
            continue;
        }
        let name = program.name;
        match program.compare(way) {
            Compared::Skipped(reason) => {
                skipped += 1;
                println!("{name} | NOT RUN: {reason}");
            }
            Compared::Both {
                native,
                guest,
                differences,
            } => {
                let verdict = match (differences.is_empty(), program.gap) {
                    (true, _) => {
                        same += 1;
                        "same".into()
                    }
                    (false, "") => {
                        different += 1;
                        "DIFFERENT".into()
                    }
                    (false, gap) => {
                        known += 1;
                        format!("different, as known: it {gap}")
                    }
                };
                println!("{name} | native {native} | guest {guest} | {verdict}");
                if program.gap.is_empty() {
                    for line in &differences {
                        println!("    {line}");
                    }
                }
            }
        }
    }
    println!(
        "{same} the same, {known} different as known, {different} different, {skipped} not run"
    );
    if different == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
