//! Seeds, one after another, until a number or a time is reached.

use std::fmt;
use std::time::{Duration, Instant};

use super::batch::{Seen, run};
use super::generate::generate;
use super::sequence::Sequence;
use super::shrink::shrink;
use crate::Way;

/// Sequences in one start of the interpreter.
const BATCH: u64 = 60;
/// How often a difference is looked for when its sequence runs alone.
const CONFIRMATIONS: usize = 3;

/// A sequence of which the run as a guest is not as the native one.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The sequence.
    pub sequence: Sequence,
    native: Seen,
    guest: Seen,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.sequence.seed())?;
        write!(f, "{}", self.sequence.text(0))?;
        let (native, guest) = (&self.native.lines, &self.guest.lines);
        let same = native.iter().zip(guest).take_while(|(a, b)| a == b).count();
        for line in &native[..same] {
            writeln!(f, "  both      {line}")?;
        }
        if native.len() == same || guest.len() == same {
            writeln!(f, "  one run ends here")?;
        }
        for line in native[same..].iter().filter(|line| !guest.contains(line)) {
            writeln!(f, "  natively  {line}")?;
        }
        for line in guest[same..].iter().filter(|line| !native.contains(line)) {
            writeln!(f, "  as guest  {line}")?;
        }
        Ok(())
    }
}

/// Runs the sequences twice natively and once in this way; those that differ, except where the native
/// runs do.
#[must_use]
pub fn compare(way: Way, sequences: &[Sequence]) -> Vec<Difference> {
    let all: Vec<(usize, &Sequence)> = sequences.iter().enumerate().collect();
    let first = run(Way::Native, &all);
    let second = run(Way::Native, &all);
    let usable: Vec<(usize, &Sequence)> = all
        .into_iter()
        .filter(|(name, _)| {
            let seen = first.get(name);
            seen == second.get(name) && seen.is_some_and(|seen| !seen.hung())
        })
        .collect();
    if usable.is_empty() {
        return Vec::new();
    }
    let guest = run(way, &usable);
    usable
        .into_iter()
        .filter(|(name, _)| first.get(name) != guest.get(name))
        .map(|(name, sequence)| Difference {
            sequence: sequence.clone(),
            native: first.get(&name).cloned().unwrap_or_default(),
            guest: guest.get(&name).cloned().unwrap_or_default(),
        })
        .collect()
}

/// What to run, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub count: u64,
    /// At most so long.
    pub limit: Duration,
    /// Whether sequences that differ are made shorter.
    pub shrinks: bool,
    /// How guests are run.
    pub way: Way,
}

impl Campaign {
    /// Runs it; gives every difference to `report`, and answers how many sequences were run. One that
    /// does not show again when its sequence runs alone comes as its seed only: the load of the
    /// machine may have made it.
    pub fn run(&self, mut report: impl FnMut(Result<&Difference, u64>)) -> u64 {
        let start = Instant::now();
        let mut done = 0;
        while done < self.count && start.elapsed() < self.limit {
            let count = BATCH.min(self.count - done);
            let sequences: Vec<Sequence> = (0..count)
                .map(|index| generate(self.seed + done + index))
                .collect();
            for difference in compare(self.way, &sequences) {
                let seed = difference.sequence.seed();
                match self.looked_at(difference) {
                    Some(difference) => report(Ok(&difference)),
                    None => report(Err(seed)),
                }
            }
            done += count;
        }
        done
    }

    /// The same difference by the shortest sequence, if it shows again.
    fn looked_at(&self, difference: Difference) -> Option<Difference> {
        let alone = std::slice::from_ref(&difference.sequence);
        if !(0..CONFIRMATIONS).any(|_| !compare(self.way, alone).is_empty()) {
            return None;
        }
        if !self.shrinks {
            return Some(difference);
        }
        let shrunk = shrink(self.way, &difference.sequence);
        let shown = compare(self.way, std::slice::from_ref(&shrunk)).pop();
        Some(shown.unwrap_or(difference))
    }
}
