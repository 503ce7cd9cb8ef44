//! Memory of processes from one look to the next: how fast it grows, and what of it is on its way between
//! nodes. Values in, values out.
//!
//! A process that has left still has its memory where it was, until all of it has come where it is; and what
//! a node says of its memory is older than what is known here. So both count what is on its way: as memory
//! that will be free where it leaves, and that is taken already where it goes.

use std::collections::HashMap;
use std::time::Duration;

use crate::load::NodeId;

/// Growth that is not seen any more is believed half as much after so many seconds.
const GROWTH_HALVES_SECONDS: f64 = 1.0;
/// Moves of less memory tell nothing of how fast it goes.
const TELLING_BYTES: u64 = 16 << 20;
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
    /// When all was seen there.
    over: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Footprint {
    /// As it was seen last when it was not on its way.
    at: Duration,
    here: NodeId,
    memory: u64,
    growth: f64,
    way: Option<Way>,
}

/// What is remembered of processes.
#[derive(Debug, Clone, Default)]
pub struct Footprints {
    known: HashMap<u64, Footprint>,
    /// Ways of processes that are not there any more, or on another way by now.
    past: Vec<Way>,
    pace: Option<f64>,
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
            growth: 0.0,
            way: None,
        });
        let passed = now.saturating_sub(known.at).as_secs_f64();
        if !moving && known.here == here && passed > 0.0 {
            let grown = memory.saturating_sub(known.memory) as f64 / passed;
            let faded = known.growth * 0.5_f64.powf(passed / GROWTH_HALVES_SECONDS);
            known.growth = grown.max(faded);
        }
        let is_under_way = known.way.is_some_and(|way| way.over.is_none());
        if moving && !is_under_way && here != known.here {
            // Somebody else has moved it.
            let way = Way::new(known.here, here, known.memory, now);
            self.past.extend(known.way.replace(way));
        }
        if let Some(way) = known.way.as_mut().filter(|way| way.over.is_none()) {
            if here == way.to {
                way.come = (now, memory.min(way.memory));
            }
            if here == way.to && !moving {
                way.over = Some(now);
                let took = now.saturating_sub(way.began).as_secs_f64();
                if way.memory >= TELLING_BYTES && took > 0.0 {
                    let pace = way.memory as f64 / took;
                    self.pace = Some(self.pace.map_or(pace, |old| (old + pace) / 2.0));
                }
            }
        }
        if !moving {
            (known.at, known.here, known.memory) = (now, here, memory);
        }
    }

    /// It begins to move.
    pub fn leaves(&mut self, process: u64, to: NodeId, now: Duration) {
        if let Some(known) = self.known.get_mut(&process) {
            let way = Way::new(known.here, to, known.memory, now);
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

    /// Forgets all but these processes. What has ended on its way has no memory anywhere.
    pub fn retain(&mut self, lives: impl Fn(u64) -> bool, now: Duration) {
        let is_old = |way: &Way| way.over.is_none_or(|over| over + KEEP < now);
        self.known.retain(|process, _| lives(*process));
        self.past.retain(|way| !is_old(way));
        for known in self.known.values_mut() {
            known.way = known.way.filter(|way| way.over.is_none() || !is_old(way));
        }
    }

    /// By how many bytes it grows in a second, when it is not on its way.
    pub fn growth(&self, process: u64) -> f64 {
        self.known.get(&process).map_or(0.0, |known| known.growth)
    }

    /// The same of all together.
    pub fn growth_of_all(&self) -> f64 {
        self.known.values().map(|known| known.growth).sum()
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
        open.map(|way| way.memory).sum()
    }

    /// Bytes that will be taken on this node and were not yet when its vector was taken.
    pub fn coming(&self, node: NodeId, taken: Duration) -> u64 {
        let of_node = self.ways().filter(|way| way.to == node);
        let open = of_node.filter(|way| way.over.is_none_or(|over| taken < over));
        let left = open.map(|way| match way.come {
            (at, come) if at <= taken => way.memory - come,
            _ => way.memory,
        });
        left.sum()
    }

    /// Bytes of a process that have moved in a second, as it has been lately; `None`: none has moved.
    pub fn pace(&self) -> Option<f64> {
        self.pace
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        let open = self.known.values().filter_map(|known| known.way.as_ref());
        open.chain(&self.past)
    }
}

impl Way {
    fn new(from: NodeId, to: NodeId, memory: u64, now: Duration) -> Way {
        Way {
            from,
            to,
            began: now,
            memory,
            come: (now, 0),
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
        assert_eq!(prints.growth(7), (10 * MIB) as f64);
        prints.see(8, seen(A, false, 500), at(1500));
        prints.see(8, seen(A, false, 500), at(1500));
        assert_eq!(prints.growth_of_all(), (10 * MIB) as f64);
        prints.retain(|process| process == 8, at(1500));
        assert_eq!(prints.growth_of_all(), 0.0);
    }

    #[test]
    fn what_moves_counts_at_both_ends_until_they_have_said_so() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 100), at(0));
        prints.leaves(7, B, at(0));
        assert_eq!(prints.leaving(A, at(0)), 100 * MIB);
        prints.see(7, seen(B, true, 30), at(500));
        assert_eq!(prints.coming(B, at(400)), 100 * MIB);
        assert_eq!(prints.coming(B, at(500)), 70 * MIB);
        assert_eq!(prints.growth(7), 0.0, "what comes is no growth");
        assert_eq!(prints.moving(7), Some(100 * MIB));
        prints.see(7, seen(B, false, 101), at(1000));
        assert_eq!(prints.leaving(A, at(900)), 100 * MIB);
        assert_eq!(prints.leaving(A, at(1000)), 0);
        assert_eq!(prints.coming(B, at(1000)), 0);
        assert_eq!(prints.moving(7), None);
        assert_eq!(prints.pace(), Some((100 * MIB) as f64));
        prints.see(7, seen(B, false, 102), at(1500));
        assert_eq!(prints.growth(7), (2 * MIB) as f64);
    }

    #[test]
    fn what_did_not_move_or_was_moved_by_others() {
        let mut prints = Footprints::default();
        prints.see(7, seen(A, false, 100), at(0));
        prints.leaves(7, B, at(0));
        prints.stays(7);
        assert_eq!((prints.leaving(A, at(0)), prints.coming(B, at(0))), (0, 0));
        prints.see(7, seen(B, true, 0), at(100));
        assert_eq!(prints.leaving(A, at(100)), 100 * MIB);
        // It goes on to the next before anybody has heard.
        prints.see(7, seen(B, false, 100), at(200));
        prints.leaves(7, A, at(200));
        assert_eq!(prints.leaving(A, at(150)), 100 * MIB);
        assert_eq!(prints.coming(A, at(150)), 100 * MIB);
        prints.retain(|_| false, at(300));
        assert_eq!(prints.coming(A, at(150)), 0, "it has ended");
        prints.retain(|_| false, at(60_000));
        assert_eq!(prints.leaving(A, at(150)), 0);
    }
}
