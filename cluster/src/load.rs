//! Load vectors: what a node says of itself, and how measured load is damped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Version of everything in this crate that travels between nodes.
pub const VERSION: u16 = 2;

/// Largest number of cores and guests that a load vector may claim.
const COUNT_MAX: u32 = 1 << 20;

/// Most memory that it may claim, in bytes, and most growth in a second.
const BYTES_MAX: u64 = 1 << 60;

/// Names a node for as long as its key is valid; unique in its cluster.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// CPU features as a set of bits. What a bit means is for the node daemon to say; here only
/// inclusion counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Features(pub u64);

impl Features {
    /// What is in `self` but not in `other`; empty (0) if a program that needs `self` can run there.
    pub fn missing_in(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }
}

/// What one node says of itself at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The node.
    pub node: NodeId,
    /// Rises with each vector of this node, also over restarts: the newer of two is known without
    /// clocks.
    pub seq: u64,
    /// Speed of one core; 1.0 is the cluster's reference.
    pub speed: f32,
    /// Cores offered to programs.
    pub cores: u16,
    /// Processes that want a core, damped for export (see [`Damped`]), guests included.
    pub runnable: f32,
    /// Of those, the node's own, not damped.
    pub runnable_own: f32,
    /// Memory for programs, in bytes.
    pub memory: u64,
    /// Of that, free or at once reclaimable, less what is promised to guests on their way; in bytes.
    pub memory_free: u64,
    /// Bytes by which what is in use grows in a second. What comes with processes that move does not count:
    /// it was promised.
    pub memory_growth: f32,
    /// Share of time in which some process waited for memory lately, 0 to 1 (from `total` of
    /// `/proc/pressure/memory`).
    pub memory_pressure: f32,
    /// Guests that are here or on their way.
    pub guests: u32,
    /// Most guests the node takes.
    pub guests_max: u32,
    /// What its processors can do.
    pub features: Features,
    /// [`VERSION`] the node speaks.
    pub version: u16,
    /// The node takes no guests: it drains, or its clock is too far off.
    pub closed: bool,
}

impl Load {
    /// Load of one core of reference speed: runnable processes ÷ (speed × cores).
    pub fn normalised(&self) -> f64 {
        f64::from(self.runnable) / self.power()
    }

    /// What all cores do together, in reference cores.
    pub fn power(&self) -> f64 {
        f64::from(self.speed) * f64::from(self.cores)
    }

    /// Processes of other nodes that want a core.
    pub fn runnable_guests(&self) -> f64 {
        (f64::from(self.runnable) - f64::from(self.runnable_own)).max(0.0)
    }

    /// Memory in use, in bytes.
    pub fn memory_used(&self) -> u64 {
        self.memory.saturating_sub(self.memory_free)
    }

    /// Names the first field that no honest node sends. Vectors come from the network; what passes
    /// here can be calculated with: no infinities, no division by zero.
    pub fn check(&self) -> Result<(), &'static str> {
        let finite = |value: f32, max: f32| value.is_finite() && (0.0..=max).contains(&value);
        if !finite(self.speed, 1000.0) || self.speed < 0.001 {
            return Err("speed");
        }
        if self.cores == 0 {
            return Err("cores");
        }
        if !finite(self.runnable, COUNT_MAX as f32) {
            return Err("runnable");
        }
        if !finite(self.runnable_own, COUNT_MAX as f32) {
            return Err("runnable_own");
        }
        if self.memory == 0 || self.memory > BYTES_MAX {
            return Err("memory");
        }
        if self.memory_free > self.memory {
            return Err("memory_free");
        }
        if !finite(self.memory_growth, BYTES_MAX as f32) {
            return Err("memory_growth");
        }
        if !finite(self.memory_pressure, 1.0) {
            return Err("memory_pressure");
        }
        if self.guests > COUNT_MAX || self.guests_max > COUNT_MAX {
            return Err("guests");
        }
        Ok(())
    }
}

/// What each process gets of a core, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Each of the node's own processes.
    pub own: f64,
    /// Each guest.
    pub guest: f64,
}

/// How a scheduler shares `cores` between the node's own processes and guests, when each of its own
/// weighs as much as `priority` guests. Nobody gets more than a core; numbers may be fractions.
pub fn shares(cores: f64, own: f64, guests: f64, priority: f64) -> Shares {
    if own + guests <= cores {
        return Shares {
            own: 1.0,
            guest: 1.0,
        };
    }
    let unit = cores / (own * priority + guests);
    if unit * priority < 1.0 || guests <= 0.0 {
        return Shares {
            own: (unit * priority).min(1.0),
            guest: unit,
        };
    }
    // Own processes have a core each; guests share the others, and something is always left.
    let rest = (cores - own) / guests;
    Shares {
        own: 1.0,
        guest: rest.clamp(unit, 1.0),
    }
}

/// A load vector and when it was taken, by the clock of who holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// The vector.
    pub load: Load,
    /// Time of this node's clock at which it was taken. The time it spent in the network is not
    /// known and not counted.
    pub taken: Duration,
}

impl Known {
    /// How old the vector is.
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.taken)
    }
}

/// Load is measured so often, which is what makes the factors of [`Damped`] times.
pub const MEASURE_EVERY: Duration = Duration::from_millis(100);

/// Load as MOSIX damps it, so that nodes do not flock.
///
/// What a node believes of itself rises slowly, so it does not send processes away for a moment's
/// crowd; what it tells others falls slowly, so it does not attract more than it has room for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Damped {
    local: f64,
    exported: f64,
}

impl Damped {
    /// Takes the next measurement, one each [`MEASURE_EVERY`]. What is not a number changes nothing.
    pub fn measure(&mut self, now: f64) {
        if !now.is_finite() || now < 0.0 {
            return;
        }
        self.local = if now > self.local {
            (5.0 * self.local + 3.0 * now) / 8.0
        } else {
            now
        };
        self.exported = if now > self.exported {
            now
        } else {
            (7.0 * self.exported + now) / 8.0
        };
    }

    /// For decisions about what leaves.
    pub fn local(&self) -> f64 {
        self.local
    }

    /// For the vector that others see.
    pub fn exported(&self) -> f64 {
        self.exported
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// An idle node: one core of reference speed, 8 GiB.
    pub(crate) fn idle(node: u64) -> Load {
        Load {
            node: NodeId(node),
            seq: 1,
            speed: 1.0,
            cores: 1,
            runnable: 0.0,
            runnable_own: 0.0,
            memory: 8 * GIB,
            memory_free: 8 * GIB,
            memory_growth: 0.0,
            memory_pressure: 0.0,
            guests: 0,
            guests_max: 1000,
            features: Features(0b11),
            version: VERSION,
            closed: false,
        }
    }

    #[test]
    fn local_rises_slowly_and_falls_at_once_exported_the_other_way_round() {
        let mut load = Damped::default();
        load.measure(8.0);
        assert_eq!((load.local(), load.exported()), (3.0, 8.0));
        load.measure(8.0);
        assert_eq!((load.local(), load.exported()), (4.875, 8.0));
        load.measure(0.0);
        assert_eq!((load.local(), load.exported()), (0.0, 7.0));
        load.measure(f64::NAN);
        load.measure(-1.0);
        assert_eq!((load.local(), load.exported()), (0.0, 7.0));
    }

    #[test]
    fn both_settle_at_a_steady_load() {
        let mut load = Damped::default();
        for step in 0..100 {
            load.measure(if step < 50 { 9.0 } else { 3.0 });
        }
        assert!((load.local() - 3.0).abs() < 0.01, "{load:?}");
        assert!((load.exported() - 3.0).abs() < 0.01, "{load:?}");
    }

    #[test]
    fn load_is_relative_to_speed_and_cores() {
        let mut fast = idle(1);
        fast.speed = 2.0;
        fast.cores = 4;
        fast.runnable = 8.0;
        assert_eq!(fast.normalised(), 1.0);
    }

    #[test]
    fn cores_are_shared_by_priority_and_nobody_has_more_than_one() {
        let share = |cores, own, guests, priority| {
            let s = shares(cores, own, guests, priority);
            (s.own, s.guest)
        };
        assert_eq!(share(4.0, 2.0, 2.0, 4.0), (1.0, 1.0));
        assert_eq!(share(1.0, 0.0, 4.0, 4.0).1, 0.25);
        assert_eq!(share(1.0, 1.0, 1.0, 4.0), (0.8, 0.2));
        assert_eq!(share(2.0, 1.0, 2.0, 4.0), (1.0, 0.5));
        assert_eq!(share(1.0, 4.0, 0.0, 1.0).0, 0.25);
        for own in 0..5 {
            for guests in 0..5 {
                let (own, guests) = (f64::from(own), f64::from(guests));
                let s = shares(2.0, own, guests, 3.0);
                let all = s.own * own + s.guest * guests;
                assert!((all - 2.0f64.min(own + guests)).abs() < 1e-9, "{s:?}");
            }
        }
    }

    #[test]
    fn vectors_no_node_sends_are_named_by_field() {
        type Spoil = fn(&mut Load);
        let wrong: [(&str, Spoil); 10] = [
            ("speed", |l| l.speed = f32::NAN),
            ("speed", |l| l.speed = 0.0),
            ("cores", |l| l.cores = 0),
            ("runnable", |l| l.runnable = -1.0),
            ("runnable_own", |l| l.runnable_own = f32::INFINITY),
            ("memory", |l| l.memory = 0),
            ("memory_free", |l| l.memory_free = l.memory + 1),
            ("memory_growth", |l| l.memory_growth = -1.0),
            ("memory_pressure", |l| l.memory_pressure = 1.5),
            ("guests", |l| l.guests = u32::MAX),
        ];
        assert_eq!(idle(1).check(), Ok(()));
        for (field, spoil) in wrong {
            let mut load = idle(1);
            spoil(&mut load);
            assert_eq!(load.check(), Err(field));
        }
    }
}
