//! What has followed what: of each call the last few that came after it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use lane::guesses::GUESSES_MAX;

use super::{Guess, Last};

/// How many that have followed a call are known.
const FOLLOWERS: usize = 3;
/// Most calls and pairs of calls of which they are; then all is forgotten and learned anew.
const CALLS_MAX: usize = 24 * 1024;
/// A call with a longer path is not guessed.
const LEARNED_BYTES_MAX: usize = 512;
/// Most guesses with one call: each costs a microsecond or two.
const TOGETHER_MAX: usize = 16;
const _: () = assert!(TOGETHER_MAX <= GUESSES_MAX);
/// Most bytes of all guesses with one call.
const BYTES_MAX: usize = 8192;
/// What a guess is worth that came true; one that is sent costs 1.
const WORTH: i32 = 32;
/// Bounds of what is left.
const CREDIT: std::ops::RangeInclusive<i32> = -256..=8192;
/// Without credit one call of so many is guessed after, to see whether it pays by now.
const SELDOM: u32 = 16;

/// To begin with.
const CREDIT_AT_FIRST: i32 = 2048;

/// What a job's processes on this node do one after another.
pub(crate) struct Table {
    followers: HashMap<u64, VecDeque<Arc<Guess>>>,
    credit: i32,
    poor: u32,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            followers: HashMap::new(),
            credit: CREDIT_AT_FIRST,
            poor: 0,
        }
    }
}

impl Table {
    /// Call `next`, which only looks, has followed `last`.
    pub(crate) fn follows(&mut self, last: Last, next: &[u8]) {
        if next.len() > LEARNED_BYTES_MAX {
            return;
        }
        if self.followers.len() > CALLS_MAX - 3 {
            self.followers.clear();
        }
        let mut guess = None;
        for key in [last.both(), last.call, last.kind] {
            if key == 0 {
                continue;
            }
            let known = self.followers.entry(key).or_default();
            let at = known.iter().position(|guess| *guess.bytes == *next);
            let found = at.and_then(|at| known.remove(at)).or(guess.take());
            let found = found.unwrap_or_else(|| Arc::new(Guess::of(next)));
            guess = Some(Arc::clone(&found));
            known.push_front(found);
            known.truncate(FOLLOWERS);
        }
    }

    /// What may follow `last`, and that, and so on.
    pub(crate) fn after(&mut self, last: Last) -> Vec<Arc<Guess>> {
        if self.credit < 0 {
            self.poor += 1;
            if !self.poor.is_multiple_of(SELDOM) {
                return Vec::new();
            }
        }
        let (mut guesses, mut seen, mut bytes) = (Vec::new(), HashSet::new(), 0);
        let mut lasts = VecDeque::from([last]);
        'all: while let Some(last) = lasts.pop_front() {
            for guess in self.likely(last) {
                if !seen.insert(guess.key) {
                    continue;
                }
                bytes += guess.bytes.len();
                if guesses.len() == TOGETHER_MAX || bytes > BYTES_MAX {
                    break 'all;
                }
                lasts.push_back(last.then_guess(guess));
                guesses.push(Arc::clone(guess));
            }
        }
        self.earn(-(guesses.len() as i32));
        guesses
    }

    /// What is likely to follow: the last that has followed both this and the one before it; where that is not
    /// known, what has followed this, or calls of its kind.
    fn likely(&self, last: Last) -> impl Iterator<Item = &Arc<Guess>> {
        let known = |key: u64, most: usize| Some((self.followers.get(&key)?, most));
        let found = known(last.both(), 1)
            .or_else(|| known(last.call, FOLLOWERS))
            .or_else(|| known(last.kind, FOLLOWERS));
        found
            .into_iter()
            .flat_map(|(followers, most)| followers.iter().take(most))
    }

    /// A guess has come true.
    pub(crate) fn came_true(&mut self) {
        self.earn(WORTH);
    }

    fn earn(&mut self, credit: i32) {
        self.credit = (self.credit + credit).clamp(*CREDIT.start(), *CREDIT.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NR: u32 = 89;

    fn last(call: &str) -> Last {
        Last::default().then(NR, call.as_bytes(), true)
    }

    fn text(guesses: Vec<Arc<Guess>>) -> Vec<String> {
        let text = |guess: &Arc<Guess>| String::from_utf8_lossy(guess.bytes()).into_owned();
        guesses.iter().map(text).collect()
    }

    fn after(table: &mut Table, call: &str) -> Vec<String> {
        text(table.after(last(call)))
    }

    #[test]
    fn guesses_what_has_followed() {
        let mut table = Table::default();
        table.follows(last("/ab"), b"a");
        table.follows(last("/ab").then(NR, b"a", true), b"b");
        assert_eq!(after(&mut table, "/ab"), ["a", "b"]);
        // After another call before it both are possible, the latest first.
        let other = last("before").then(NR, b"/ab", true);
        table.follows(other, b"c");
        let third = last("third").then(NR, b"/ab", true);
        assert_eq!(text(table.after(third))[..2], ["c", "a"]);
        assert_eq!(text(table.after(other)), ["c"]);
        // Of a call that has not been seen that which follows its kind.
        assert_eq!(after(&mut table, "/new")[0], "c");
        let nothing = Last::default().then(1, b"another kind", true);
        assert!(table.after(nothing).is_empty());
    }

    #[test]
    fn what_opens_is_told_apart_by_what_was_looked_at_before() {
        const OPENS: u32 = 2;
        let mut table = Table::default();
        let opened =
            |before: &str, file: &[u8]| last(before).then(OPENS, file, false).then_another();
        let opens = |before: &str, file: &[u8]| last(before).then(OPENS, file, false);
        table.follows(opens("a", b"one"), b"after a");
        table.follows(opens("b", b"two"), b"after b");
        assert_eq!(text(table.after(opens("a", b"three"))), ["after a"]);
        assert_eq!(text(table.after(opens("b", b"four"))), ["after b"]);
        // A call that says nothing lies between: what was looked at is still known.
        assert_eq!(opened("a", b"one").looked(), last("a").call);
    }

    #[test]
    fn is_bounded() {
        let mut table = Table::default();
        for number in 0..3 * CALLS_MAX {
            let (call, next) = (number.to_string(), (number + 1).to_string());
            table.follows(last(&call), next.as_bytes());
        }
        assert!(table.followers.len() <= CALLS_MAX);
        let newest = 3 * CALLS_MAX - 100;
        assert!(after(&mut table, &newest.to_string()).len() <= TOGETHER_MAX);
        table.follows(last("x"), &[0; LEARNED_BYTES_MAX + 1]);
        assert!(!table.followers.contains_key(&last("x").call));
    }

    #[test]
    fn guesses_seldom_where_it_does_not_pay() {
        let mut table = Table::default();
        table.follows(last("a"), b"b");
        let at_first = CREDIT_AT_FIRST as u32 + 1;
        assert!((0..at_first).all(|_| !after(&mut table, "a").is_empty()));
        let sent = (0..10 * SELDOM).filter(|_| !after(&mut table, "a").is_empty());
        assert_eq!(sent.count(), 10);
        (0..40).for_each(|_| table.came_true());
        assert!(!after(&mut table, "a").is_empty());
    }
}
