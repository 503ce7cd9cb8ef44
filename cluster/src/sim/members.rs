//! How long it takes until all know of a death or a join: [`member`](crate::member) alone, over a
//! network that delays and loses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::load::NodeId;
use crate::member::{Effects, Liveness, Membership, News, Peer, Standing, Timing};
use crate::random::Random;

/// What the network does to each message.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Mean of the exponentially distributed delay.
    pub delay: Duration,
    /// Share of messages that are lost, 0 to 1.
    pub loss: f64,
}

/// When, in which order, to whom, and what: a message, or nothing if something is due there.
type Delivery = (Duration, u64, usize, Option<Vec<u8>>);

/// A cluster of membership protocols.
pub struct Members {
    nodes: Vec<Option<Membership>>,
    timing: Timing,
    network: Network,
    random: Random,
    seed: u64,
    now: Duration,
    queue: BinaryHeap<Reverse<Delivery>>,
    queued: u64,
    /// When each node learnt the latest news about the watched one.
    learnt: Vec<Option<Duration>>,
    watched: Option<(Peer, bool)>,
    /// Nodes that were said to be down, by whom: for false alarms.
    said_down: u64,
    /// Messages and bytes sent so far.
    pub messages: u64,
    /// See `messages`.
    pub bytes: u64,
    /// Errors of the protocol, which there should not be.
    pub errors: u64,
}

fn peer(node: usize) -> Peer {
    let [_, a, b, c] = (node as u32).to_be_bytes();
    Peer {
        node: NodeId(node as u64),
        address: SocketAddr::from((Ipv4Addr::new(10, a, b, c), 4711)),
        life: 1,
    }
}

fn node_at(address: SocketAddr) -> usize {
    match address {
        SocketAddr::V4(v4) => {
            let [_, a, b, c] = v4.ip().octets();
            u32::from_be_bytes([0, a, b, c]) as usize
        }
        SocketAddr::V6(_) => usize::MAX,
    }
}

impl Members {
    /// A cluster of `nodes` that know each other.
    pub fn settled(nodes: usize, network: Network, seed: u64) -> Members {
        let timing = Timing::lan(nodes);
        let mut members = Members {
            nodes: Vec::new(),
            timing,
            network,
            random: Random::new(seed),
            seed,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            queued: 0,
            learnt: Vec::new(),
            watched: None,
            said_down: 0,
            messages: 0,
            bytes: 0,
            errors: 0,
        };
        let all: Vec<Standing> = (0..nodes)
            .map(|n| Standing {
                peer: peer(n),
                incarnation: 0,
                state: Liveness::Alive,
            })
            .collect();
        for _ in 0..nodes {
            let node = members.add();
            // Nodes were not started at the same moment.
            let began = Duration::from_secs_f64(members.random.exponential(0.3).min(1.0));
            let others: Vec<Standing> = all
                .iter()
                .filter(|s| s.peer.node.0 != node as u64)
                .copied()
                .collect();
            members.act(node, |m| m.merge(&others, false, began));
        }
        members
    }

    fn add(&mut self) -> usize {
        let node = self.nodes.len();
        let seed = self
            .seed
            .wrapping_mul(0x9e37_79b9)
            .wrapping_add(node as u64);
        self.nodes
            .push(Some(Membership::new(peer(node), self.timing, seed)));
        self.learnt.push(None);
        node
    }

    fn act(
        &mut self,
        node: usize,
        step: impl FnOnce(&mut Membership) -> Result<Effects, crate::member::MemberError>,
    ) {
        let Some(membership) = self.nodes.get_mut(node).and_then(Option::as_mut) else {
            return;
        };
        let before = membership.due();
        let effects = step(membership);
        let due = membership.due();
        match effects {
            Ok(effects) => self.carry_out(node, effects),
            Err(_) => self.errors += 1,
        }
        if let Some(due) = due.filter(|due| before.is_none_or(|b| *due != b)) {
            self.push(due, node, None);
        }
    }

    fn carry_out(&mut self, node: usize, effects: Effects) {
        for news in effects.news {
            match (news, self.watched) {
                (News::Down(p), Some((watched, false))) if p == watched => {
                    self.learnt[node].get_or_insert(self.now);
                }
                (News::Up(p), Some((watched, true))) if p == watched => {
                    self.learnt[node].get_or_insert(self.now);
                }
                (News::Down(_), _) => self.said_down += 1,
                _ => {}
            }
        }
        for (to, message) in effects.send {
            self.messages += 1;
            self.bytes += message.len() as u64;
            if self.random.chance(self.network.loss) {
                continue;
            }
            let delay = self.random.exponential(self.network.delay.as_secs_f64());
            let at = self.now + Duration::from_secs_f64(delay);
            self.push(at, node_at(to), Some(message));
        }
    }

    fn push(&mut self, at: Duration, node: usize, message: Option<Vec<u8>>) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, node, message)));
    }

    /// Lets time pass until `end`, or until `done`.
    fn run(&mut self, end: Duration, done: impl Fn(&Members) -> bool) {
        while let Some(Reverse((at, ..))) = self.queue.peek() {
            if *at > end || done(self) {
                break;
            }
            let Some(Reverse((at, _, node, message))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            match message {
                Some(message) => self.act(node, |m| m.receive(&message, at)),
                None => self.act(node, |m| m.tick(at)),
            }
        }
        if !done(self) {
            self.now = self.now.max(end);
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.run(self.now + time, |_| false);
    }

    fn watch(&mut self, peer: Peer, up: bool, within: Duration) -> Spread {
        self.learnt.fill(None);
        self.watched = Some((peer, up));
        let start = self.now;
        let about = peer.node.0 as usize;
        let missing = |m: &Members| {
            (0..m.nodes.len())
                .filter(|n| *n != about && m.nodes[*n].is_some() && m.learnt[*n].is_none())
                .count()
        };
        // Counted once a second of the simulation: counting is dearer than a step.
        while missing(self) > 0 && self.now < start + within {
            self.pass(Duration::from_millis(500));
        }
        let mut times: Vec<Duration> = self
            .learnt
            .iter()
            .flatten()
            .map(|t| t.saturating_sub(start))
            .collect();
        times.sort();
        Spread {
            first: times.first().copied().unwrap_or_default(),
            half: times.get(times.len() / 2).copied().unwrap_or_default(),
            last: times.last().copied().unwrap_or_default(),
            missing: missing(self),
        }
    }

    /// A node dies without a word; until all others know, or `within` has passed.
    pub fn kill(&mut self, node: usize, within: Duration) -> Spread {
        let Some(dead) = self.nodes.get_mut(node).and_then(Option::take) else {
            return Spread::default();
        };
        self.watch(dead.me(), false, within)
    }

    /// A new node joins by way of node 0, takes the whole from it, and all are waited for as in
    /// [`kill`](Members::kill).
    pub fn join(&mut self, within: Duration) -> Spread {
        let node = self.add();
        let now = self.now;
        let all = self.nodes[0].as_ref().map(Membership::standings);
        self.act(node, |m| m.merge(&all.unwrap_or_default(), false, now));
        self.act(node, |m| m.join(peer(0).address, now));
        self.watch(peer(node), true, within)
    }

    /// How often a node was said to be down that was not the one that was killed.
    pub fn false_alarms(&self) -> u64 {
        self.said_down
    }

    /// Nodes that live, and of how many others each knows at least.
    pub fn views(&self) -> (usize, usize) {
        let alive = self.nodes.iter().flatten().count();
        let least = self.nodes.iter().flatten().map(|m| m.members().len()).min();
        (alive, least.unwrap_or(0))
    }

    /// By when SWIM promises that nearly all know of a death, with the settings of this cluster:
    /// seven probe periods until somebody has asked the dead node (all miss it with e⁻⁷), one for
    /// the failed probe, the suspicion, and 3·ln N rounds of telling.
    pub fn bound(&self) -> Duration {
        let nodes = self.nodes.len().max(2) as f64;
        self.timing.probe_every * 8
            + self.timing.suspect_for
            + self.timing.tell_every.mul_f64(3.0 * nodes.ln())
    }
}

/// How news spread: after what time who knew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    /// The first node.
    pub first: Duration,
    /// Half of the nodes.
    pub half: Duration,
    /// The last node.
    pub last: Duration,
    /// Nodes that did not know when the time was up.
    pub missing: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSY: Network = Network {
        delay: Duration::from_millis(5),
        loss: 0.05,
    };

    #[test]
    fn all_know_of_a_death_within_the_bound_and_of_a_join_sooner() {
        for seed in 0..20 {
            let mut members = Members::settled(60, LOSSY, seed);
            members.pass(Duration::from_secs(10));
            let bound = members.bound();
            let death = members.kill(7, bound * 2);
            assert_eq!(death.missing, 0, "SEED={seed}: {death:?}");
            assert!(death.last <= bound, "SEED={seed}: {death:?} {bound:?}");
            let join = members.join(bound * 2);
            assert_eq!(join.missing, 0, "SEED={seed}: {join:?}");
            assert!(join.last <= bound, "SEED={seed}: {join:?} {bound:?}");
            assert_eq!(members.views(), (60, 59), "SEED={seed}");
            assert_eq!(members.false_alarms(), 0, "SEED={seed}");
            assert_eq!(members.errors, 0, "SEED={seed}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_run() {
        let run = |seed| {
            let mut members = Members::settled(30, LOSSY, seed);
            let death = members.kill(3, Duration::from_secs(60));
            (death.last, members.messages, members.bytes)
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }
}
