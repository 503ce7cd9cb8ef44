//! Memory of processes from one look to the next: how fast it grows, and what of it is on its way between
//! nodes. Values in, values out.
//!
//! A process that has left still has its memory where it was, until all of it has come where it is; and what
//! a node says of its memory is older than what is known here. So both count what is on its way: as memory
//! that will be free where it leaves, and that is taken already where it goes.

use std::collections::HashMap;
use std::time::Duration;

use crate::load::{Known, NodeId};
use crate::settings::Settings;

/// After so many seconds half of what is believed of a process's growth is what was seen since.
const GROWTH_HALVES_SECONDS: f64 = 0.5;
/// Less memory that has come, in a shorter time, tells nothing of how fast it does.
const TELLING_BYTES: f64 = (4 << 20) as f64;
const TELLING_SECONDS: f64 = 0.5;
/// What was seen of that counts half after so many seconds.
const PACE_HALVES_SECONDS: f64 = 2.0;
/// After so long nobody holds a vector from before a process had come.
const KEEP: Duration = Duration::from_secs(30);

/// What a look shows of a process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Where it runs.
    pub here: NodeId,
    /// It, or some of its memory, is on its way.
    pub moving: bool,
    /// Its memory where it runs, in bytes.
    pub memory: u64,
}

/// A way from one node to another.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Way {
    from: NodeId,
    to: NodeId,
    began: Duration,
    /// All that moves, in bytes.
    memory: u64,
    /// Of that, what had come at a moment.
    come: (Duration, u64),
    /// By how many bytes it grew in a second when it left; it goes on with that where it is.
    growth: f64,
    /// When all was seen there.
    over: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Footprint {
    /// As it was seen last when it was not on its way.
    at: Duration,
    here: NodeId,
    memory: u64,
    /// `None`: seen once only.
    growth: Option<f64>,
    way: Option<Way>,
}

/// What is remembered of processes.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    known: HashMap<u64, Footprint>,
    /// Ways of processes that are not there any more, or on another way by now.
    past: Vec<Way>,
    /// What has come since the last look, in bytes.
    come: u64,
    /// When that was, and whether something was on its way then.
    looked: Option<(Duration, bool)>,
    /// Bytes that have come, and in how many seconds; what is long ago counts less.
    pace: (f64, f64),
}

impl Footprints {
    /// Takes in what a look shows of a process.
    pub fn see(&mut self, process: u64, seen: Seen, now: Duration) {
        let Seen {
            here,
            moving,
            memory,
        } = seen;
        let known = self.known.entry(process).or_insert(Footprint {
            at: now,
            here,
            memory,
            growth: None,
            way: None,
        });
        let passed = now.saturating_sub(known.at).as_secs_f64();
        if !moving && known.here == here && passed > 0.0 {
            let grown = memory.saturating_sub(known.memory) as f64 / passed;
            let kept = 0.5_f64.powf(passed / GROWTH_HALVES_SECONDS);
            let before = known.growth.unwrap_or(grown);
            known.growth = Some(kept * before + (1.0 - kept) * grown);
        }
        let is_under_way = known.way.is_some_and(|way| way.over.is_none());
        if moving && !is_under_way && here != known.here {
            // Somebody else has moved it.
            let way = known.way_to(here, now);
            self.past.extend(known.way.replace(way));
        }
        if let Some(way) = known
            .way
            .as_mut()
            .filter(|way| way.over.is_none() && way.to == here)
        {
            let memory = if moving {
                memory.min(way.memory)
            } else {
                way.memory
            };
            self.come = self.come.saturating_add(memory.saturating_sub(way.come.1));
            way.come = (now, memory);
            if !moving {
                way.over = Some(now);
            }
        }
        if !moving {
            (known.at, known.here, known.memory) = (now, here, memory);
        }
    }

    /// It begins to move.
    pub fn leaves(&mut self, process: u64, to: NodeId, now: Duration) {
        if let Some(known) = self.known.get_mut(&process) {
            let way = known.way_to(to, now);
            self.past.extend(known.way.replace(way));
        }
    }

    /// It has not moved.
    pub fn stays(&mut self, process: u64) {
        if let Some(known) = self.known.get_mut(&process)
            && known.way.is_some_and(|way| way.over.is_none())
        {
            known.way = None;
        }
    }

    /// All processes have been seen: forgets all but these. What has ended on its way has no memory anywhere.
    pub fn looked(&mut self, lives: impl Fn(u64) -> bool, now: Duration) {
        let is_old = |way: &Way| way.over.is_none_or(|over| over + KEEP < now);
        self.known.retain(|process, _| lives(*process));
        self.past.retain(|way| !is_old(way));
        for known in self.known.values_mut() {
            known.way = known.way.filter(|way| way.over.is_none() || !is_old(way));
        }
        let is_busy = self.ways().any(|way| way.over.is_none());
        let come = std::mem::take(&mut self.come) as f64;
        if let Some((before, was_busy)) = self.looked
            && (was_busy || come > 0.0)
        {
            let passed = now.saturating_sub(before).as_secs_f64();
            let kept = 0.5_f64.powf(passed / PACE_HALVES_SECONDS);
            let (bytes, seconds) = self.pace;
            self.pace = (kept * bytes + come, kept * seconds + passed);
        }
        self.looked = Some((now, is_busy));
    }

    /// By how many bytes it grows in a second, when it is not on its way.
    pub fn growth(&self, process: u64) -> f64 {
        self.known.get(&process).map_or(0.0, Footprint::growth)
    }

    /// The same of all together.
    pub fn growth_of_all(&self) -> f64 {
        self.known.values().map(Footprint::growth).sum()
    }

    /// All memory of a process that is on its way, in bytes: where it runs there is only some of it yet.
    pub fn moving(&self, process: u64) -> Option<u64> {
        let way = self.known.get(&process)?.way?;
        way.over.is_none().then_some(way.memory)
    }

    /// Bytes that will be free on this node and were not yet when its vector was taken.
    pub fn leaving(&self, node: NodeId, taken: Duration) -> u64 {
        let of_node = self.ways().filter(|way| way.from == node);
        let open = of_node.filter(|way| way.over.is_none_or(|over| taken < over));
        open.map(|way| way.memory).fold(0, u64::saturating_add)
    }

    /// Counts what is on its way to a node as if it were there, with what it grows until it is; and growth of processes
    /// there if that is more than the node has told.
    pub fn expect(&self, known: &mut Known, settings: &Settings) {
        let Known { load, taken } = known;
        let is_there = |print: &&Footprint| {
            print.here == load.node && print.way.is_none_or(|way| way.over.is_some())
        };
        let there = self.known.values().filter(is_there);
        let of_known: f64 = there.map(Footprint::growth).sum();
        let (memory, growth) = self.coming(load.node, *taken);
        let grows = growth * memory as f64 / settings.usher_pace;
        load.memory_free = load
            .memory_free
            .saturating_sub(memory.saturating_add(grows as u64));
        load.memory_growth = load.memory_growth.max(of_known as f32) + growth as f32;
    }

    /// Bytes that will be taken on this node and were not yet when its vector was taken, and growth that it did not
    /// tell of.
    fn coming(&self, node: NodeId, taken: Duration) -> (u64, f64) {
        let of_node = self.ways().filter(|way| way.to == node);
        let open = of_node.filter(|way| way.over.is_none_or(|over| taken < over));
        open.fold((0, 0.0), |(memory, growth), way| {
            let left = match way.come {
                (at, come) if at <= taken => way.memory - come,
                _ => way.memory,
            };
            (memory.saturating_add(left), growth + way.growth)
        })
    }

    /// Bytes that have followed processes in a second lately, of all together; `None`: that is not known.
    pub fn pace(&self) -> Option<f64> {
        let (bytes, seconds) = self.pace;
        (bytes >= TELLING_BYTES || seconds >= TELLING_SECONDS).then(|| bytes / seconds)
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        let open = self.known.values().filter_map(|known| known.way.as_ref());
        open.chain(&self.past)
    }
}

impl Footprint {
    fn growth(&self) -> f64 {
        self.growth.unwrap_or(0.0)
    }

    fn way_to(&self, to: NodeId, now: Duration) -> Way {
        Way {
            from: self.here,
            to,
            began: now,
            memory: self.memory,
            come: (now, 0),
            growth: self.growth(),
            over: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const MIB: u64 = 1 << 20;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn seen(here: NodeId, moving: bool, mib: u64) -> Seen {
        Seen {
            here,
            moving,
            memory: mib * MIB,
        }
    }

    #[test]
    fn growth_is_seen_and_fades() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 10), at(0));
        assert_eq!(prints.growth(7), 0.0, "not known yet");
        prints.see(7, seen(A, false, 20), at(500));
        assert_eq!(prints.growth(7), (20 * MIB) as f64);
        prints.see(7, seen(A, false, 5), at(1500));
        assert_eq!(prints.growth(7), (5 * MIB) as f64);
        prints.see(8, seen(A, false, 500), at(1500));
        prints.see(8, seen(A, false, 500), at(1500));
        assert_eq!(prints.growth_of_all(), (5 * MIB) as f64);
        prints.looked(|process| process == 8, at(1500));
        assert_eq!(prints.growth_of_all(), 0.0);
    }

    #[test]
    fn what_moves_counts_at_both_ends_until_they_have_said_so() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 100), at(0));
        prints.leaves(7, B, at(0));
        assert_eq!(prints.leaving(A, at(0)), 100 * MIB);
        prints.see(7, seen(B, true, 30), at(500));
        assert_eq!(prints.coming(B, at(400)), (100 * MIB, 0.0));
        assert_eq!(prints.coming(B, at(500)), (70 * MIB, 0.0));
        assert_eq!(prints.growth(7), 0.0, "what comes is no growth");
        assert_eq!(prints.moving(7), Some(100 * MIB));
        prints.looked(|_| true, at(500));
        assert_eq!(prints.pace(), None, "since when is not known");
        prints.see(7, seen(B, false, 101), at(1000));
        assert_eq!(prints.leaving(A, at(900)), 100 * MIB);
        assert_eq!(prints.leaving(A, at(1000)), 0);
        assert_eq!(prints.coming(B, at(1000)), (0, 0.0));
        assert_eq!(prints.moving(7), None);
        prints.looked(|_| true, at(1000));
        assert_eq!(prints.pace(), Some((140 * MIB) as f64));
        prints.looked(|_| true, at(9000));
        assert_eq!(prints.pace(), Some((140 * MIB) as f64), "nothing moves");
        prints.see(7, seen(B, false, 102), at(1500));
        assert_eq!(prints.growth(7), (2 * MIB) as f64);
    }

    #[test]
    fn what_did_not_move_or_was_moved_by_others() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 100), at(0));
        prints.leaves(7, B, at(0));
        prints.stays(7);
        assert_eq!(
            (prints.leaving(A, at(0)), prints.coming(B, at(0)).0),
            (0, 0)
        );
        prints.see(7, seen(B, true, 0), at(100));
        assert_eq!(prints.leaving(A, at(100)), 100 * MIB);
        // It goes on to the next before anybody has heard.
        prints.see(7, seen(B, false, 100), at(200));
        prints.leaves(7, A, at(200));
        assert_eq!(prints.leaving(A, at(150)), 100 * MIB);
        assert_eq!(prints.coming(A, at(150)).0, 100 * MIB);
        prints.looked(|_| false, at(300));
        assert_eq!(prints.coming(A, at(150)).0, 0, "it has ended");
        prints.looked(|_| false, at(60_000));
        assert_eq!(prints.leaving(A, at(150)), 0);
    }

    #[test]
    fn what_comes_goes_on_growing() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 100), at(0));
        prints.see(7, seen(A, false, 150), at(500));
        prints.leaves(7, B, at(500));
        let settings = Settings {
            usher_pace: (150 * MIB) as f64,
            ..Settings::default()
        };
        let mut known = Known {
            load: crate::load::tests::idle(B.0),
            taken: at(500),
        };
        let before = known.load.memory_free;
        prints.expect(&mut known, &settings);
        assert_eq!(known.load.memory_growth, (100 * MIB) as f32);
        assert_eq!(before - known.load.memory_free, 250 * MIB);
    }

    /// A job can say anything.
    #[test]
    fn nonsense_changes_nothing() {
        let mut prints = Footprints::default();
        for process in 0..3 {
            prints.see(process, seen(A, false, 0), at(0));
            let all = Seen {
                memory: u64::MAX,
                ..seen(A, false, 0)
            };
            prints.see(process, all, at(1));
            prints.leaves(process, B, at(2));
            prints.see(process, Seen { here: B, ..all }, at(3));
        }
        prints.looked(|_| true, at(3));
        assert_eq!(prints.leaving(A, at(0)), u64::MAX);
        let mut known = Known {
            load: crate::load::tests::idle(B.0),
            taken: at(0),
        };
        prints.expect(&mut known, &Settings::default());
        assert_eq!(known.load.memory_free, 0);
        assert!(known.load.memory_growth.is_finite());
    }
}
