//! What a process's calls cost, kept only when statistics are asked for.
//!
//! Latencies are the guest's view: from the notification to its answer. Each
//! call by name has a histogram of fixed size; home gets the buckets and adds
//! them up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::time::Duration;

use hdrhistogram::Histogram;
use lane::control::{BUCKETS_MAX, Latencies, ToHome};

use crate::guest::Process;
use crate::host::{Host, lock};

/// Longest latency told apart: an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Digits that a latency keeps: 13 KiB for a call by name.
const DIGITS: u8 = 2;

/// What became of a notified call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This result.
    Result(i64),
    /// The kernel here executes it.
    Native,
}

/// Notified calls of one process, by number.
#[derive(Default)]
pub(crate) struct Calls {
    forwarded: BTreeMap<u32, Timed>,
    native: BTreeMap<u32, u64>,
}

struct Timed {
    histogram: Histogram<u32>,
    max_us: u32,
}

impl Calls {
    pub(crate) fn count(&mut self, nr: u32, outcome: Outcome, took: Duration) {
        if outcome == Outcome::Native {
            *self.native.entry(nr).or_default() += 1;
            return;
        }
        let us = (took.as_micros() as u64).clamp(1, LATENCY_US_MAX);
        let timed = match self.forwarded.entry(nr) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(histogram) = Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS) else {
                    return;
                };
                let max_us = 0;
                new.insert(Timed { histogram, max_us })
            }
        };
        timed.histogram.saturating_record(us);
        timed.max_us = timed.max_us.max(us as u32);
    }

    /// Messages for home, each within its bounds.
    fn parts(self, pid: i32) -> Vec<ToHome> {
        let mut parts = Vec::new();
        let mut forwarded = Vec::new();
        let mut buckets = 0;
        let part = |forwarded, native| ToHome::Statistics {
            pid,
            forwarded,
            native,
        };
        for (nr, timed) in self.forwarded {
            let latencies = timed.told(nr);
            buckets += latencies.buckets.len();
            if buckets > BUCKETS_MAX {
                buckets = latencies.buckets.len();
                parts.push(part(mem::take(&mut forwarded), Vec::new()));
            }
            forwarded.push(latencies);
        }
        let native: Vec<_> = self.native.into_iter().collect();
        if !(forwarded.is_empty() && native.is_empty()) {
            parts.push(part(forwarded, native));
        }
        parts
    }
}

impl Timed {
    fn told(&self, nr: u32) -> Latencies {
        let buckets = self.histogram.iter_recorded().map(|bucket| {
            let upper = bucket.value_iterated_to().min(u64::from(self.max_us));
            (upper as u32, bucket.count_at_value())
        });
        Latencies {
            nr,
            max_us: self.max_us,
            buckets: buckets.take(BUCKETS_MAX).collect(),
        }
    }
}

/// Tells home what the process has called since it was told last.
pub(crate) fn report(host: &Host, process: &Process) {
    let Some(calls) = &process.calls else { return };
    let calls = mem::take(&mut *lock(calls));
    for part in calls.parts(process.pid) {
        host.tell_home(&part);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn latencies_add_up() {
        let mut calls = Calls::default();
        for us in [0, 7, 7, 300, 1_000_001] {
            calls.count(0, Outcome::Result(-1), Duration::from_micros(us));
        }
        calls.count(9, Outcome::Native, Duration::from_micros(5));
        let [
            ToHome::Statistics {
                pid: 5,
                forwarded,
                native,
            },
        ] = &calls.parts(5)[..]
        else {
            panic!("one part")
        };
        assert_eq!(native, &[(9, 1)]);
        let [read] = &forwarded[..] else {
            panic!("one call")
        };
        assert_eq!((read.nr, read.max_us), (0, 1_000_001));
        let counts: Vec<u32> = read.buckets.iter().map(|bucket| bucket.1).collect();
        assert_eq!(counts, [1, 2, 1, 1]);
        let bounds: Vec<u32> = read.buckets.iter().map(|bucket| bucket.0).collect();
        assert_eq!((bounds[0], bounds[1]), (1, 7));
        assert!((300..=303).contains(&bounds[2]) && bounds[3] == 1_000_001);
    }

    #[test]
    fn many_latencies_are_told_in_parts() {
        let mut calls = Calls::default();
        for nr in 0..100 {
            for us in 1..200 {
                calls.count(nr, Outcome::Result(0), Duration::from_micros(us));
            }
        }
        let parts = calls.parts(1);
        let buckets = |part: &ToHome| match part {
            ToHome::Statistics { forwarded, .. } => {
                forwarded.iter().map(|call| call.buckets.len()).sum()
            }
            _ => usize::MAX,
        };
        assert_eq!(parts.iter().map(buckets).sum::<usize>(), 100 * 199);
        assert!(parts.iter().all(|part| buckets(part) <= BUCKETS_MAX));
        for part in parts {
            lane::control::encode(&part, &mut Vec::new()).unwrap();
        }
    }
}
