//! Which peers are asked when. Values in, values out.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;

/// Time until one that has not answered is asked again, twice as long after each time …
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// … up to this, while nobody has answered, and then.
const RETRY_MAX_ALONE: Duration = Duration::from_secs(4);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// One that has answered is asked again after so long if no member is seen to live at that address: it may
/// be another's by now.
const MET_AGAIN: Duration = Duration::from_secs(60);

/// What has come of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is this node.
    Itself,
    /// Each has the other in its list.
    Met,
    /// It has not answered, or refuses.
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    outcome: Outcome,
    failures: u32,
    not_before: Duration,
}

/// What is remembered of each address that is a peer's.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<SocketAddr, Attempt>);

impl Attempts {
    /// At most `count` of these addresses that are to be asked now: not those of members that live. The
    /// first of them is among them, so that nodes with the same list meet there; the others are any, so
    /// that not all depend on it.
    pub(super) fn due(
        &mut self,
        addresses: &[SocketAddr],
        alive: &HashSet<SocketAddr>,
        count: usize,
        now: Duration,
        random: &mut impl Rng,
    ) -> Vec<SocketAddr> {
        let listed: HashSet<&SocketAddr> = addresses.iter().collect();
        self.0.retain(|address, _| listed.contains(address));
        let is_due = |address: &&SocketAddr| {
            let attempt = self.0.get(address);
            !alive.contains(address) && attempt.is_none_or(|attempt| attempt.not_before <= now)
        };
        let mut due: Vec<SocketAddr> = addresses.iter().filter(is_due).copied().collect();
        if let Some((_, others)) = due.split_first_mut() {
            others.shuffle(random);
        }
        due.truncate(count);
        due
    }

    /// What has come of one. Returns whether that is another outcome than before.
    pub(super) fn done(
        &mut self,
        address: SocketAddr,
        outcome: Outcome,
        is_alone: bool,
        now: Duration,
    ) -> bool {
        let before = self.0.get(&address).copied();
        let failures = before.map_or(0, |attempt| attempt.failures);
        let (failures, wait) = match outcome {
            Outcome::Itself => (0, Duration::MAX),
            Outcome::Met => (0, MET_AGAIN),
            Outcome::Failed => {
                let max = if is_alone { RETRY_MAX_ALONE } else { RETRY_MAX };
                let wait = RETRY_AFTER.saturating_mul(2_u32.saturating_pow(failures));
                (failures.saturating_add(1), wait.min(max))
            }
        };
        let attempt = Attempt {
            outcome,
            failures,
            not_before: now.saturating_add(wait),
        };
        self.0.insert(address, attempt);
        before.is_none_or(|before| before.outcome != outcome)
    }
}

#[cfg(test)]
mod tests {
    use cluster::random::Random;

    use super::*;

    fn address(number: u8) -> SocketAddr {
        ([10, 0, 0, number], 7746).into()
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn due(
        attempts: &mut Attempts,
        listed: &[SocketAddr],
        alive: &[u8],
        now: u64,
    ) -> Vec<SocketAddr> {
        let alive = alive.iter().map(|number| address(*number)).collect();
        let mut due = attempts.due(listed, &alive, 3, seconds(now), &mut Random::new(now));
        due.sort();
        due
    }

    #[test]
    fn peers_are_asked_until_they_are_members_that_live() {
        let mut attempts = Attempts::default();
        let listed = [1, 2, 3].map(address);
        assert_eq!(due(&mut attempts, &listed, &[], 0), listed);
        assert!(attempts.done(address(1), Outcome::Itself, true, seconds(0)));
        assert!(attempts.done(address(2), Outcome::Failed, true, seconds(0)));
        assert!(attempts.done(address(3), Outcome::Met, true, seconds(0)));
        assert_eq!(due(&mut attempts, &listed, &[], 0), []);
        assert_eq!(due(&mut attempts, &listed, &[], 1), [address(2)]);
        assert_eq!(due(&mut attempts, &listed, &[2], 60), [address(3)]);
        // It is not there any more.
        assert_eq!(due(&mut attempts, &listed, &[3], 61), [address(2)]);
        // Another has the address of this node's former one.
        assert_eq!(due(&mut attempts, &listed[1..], &[2, 3], 62), []);
        assert_eq!(due(&mut attempts, &listed, &[2, 3], 63), [address(1)]);
    }

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often_but_always_again() {
        let mut attempts = Attempts::default();
        let listed = [address(1)];
        let mut now = 0;
        let mut waits = |is_alone: bool, times: usize| -> Vec<u64> {
            let mut waits = Vec::new();
            for _ in 0..times {
                attempts.done(address(1), Outcome::Failed, is_alone, seconds(now));
                let before = now;
                while due(&mut attempts, &listed, &[], now).is_empty() {
                    now += 1;
                }
                waits.push(now - before);
            }
            waits
        };
        assert_eq!(waits(true, 5), [1, 2, 4, 4, 4]);
        assert_eq!(waits(false, 100).last(), Some(&30));
        assert_eq!(waits(true, 2), [4, 4]);
    }

    #[test]
    fn of_many_some_are_asked_and_always_the_first() {
        let mut attempts = Attempts::default();
        let listed: Vec<SocketAddr> = (0..100).map(address).collect();
        let mut seen = HashSet::new();
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let due = attempts.due(&listed, &HashSet::new(), 3, seconds(0), &mut random);
            assert_eq!((due.len(), due[0]), (3, address(0)));
            seen.extend(due);
        }
        assert!(seen.len() > 90, "{}", seen.len());
    }
}
