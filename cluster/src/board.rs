//! Gossip of load vectors: what a node knows of the others, and what it tells them.
//!
//! Each step a node sends the freshest W vectors it knows, its own first, to one random member. So
//! traffic per node is the same whatever the cluster's size, and so is what decisions look at: the
//! window, which is a random sample of the cluster a few steps old.

use std::collections::HashMap;
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::load::{Known, Load, NodeId};

/// Most vectors in a window, hence in a message: they fit one datagram of 64 KiB with room.
pub const WINDOW_MAX: usize = 256;

/// Oldest vector that is believed at all. Nodes that are silent for so long are unknown.
pub const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// A vector as it travels: with its age, since clocks differ between nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aged {
    /// The vector.
    pub load: Load,
    /// How old it was when it was sent.
    pub age: Duration,
}

/// What one node knows of the others.
#[derive(Debug, Clone)]
pub struct Board {
    me: NodeId,
    width: usize,
    /// The freshest vectors of other nodes, freshest first, at most `width`.
    window: Vec<Known>,
    /// Everything known of others, window included; `None` if only the window is kept.
    all: Option<HashMap<NodeId, Known>>,
}

impl Board {
    /// A board of this node with windows of `width` vectors, the node's own included: 2 to
    /// [`WINDOW_MAX`], other values are brought into this range.
    ///
    /// With `keep_all`, vectors that have left the window are kept for [`Board::all`] (one a node);
    /// it changes nothing in what is sent or decided.
    pub fn new(me: NodeId, width: usize, keep_all: bool) -> Board {
        let width = width.clamp(2, WINDOW_MAX);
        Board {
            me,
            width,
            window: Vec::with_capacity(width),
            all: keep_all.then(HashMap::new),
        }
    }

    /// The freshest vectors of other nodes, freshest first.
    pub fn window(&self) -> &[Known] {
        &self.window
    }

    /// Everything known of other nodes, in no order: the window only, unless all are kept.
    pub fn all(&self) -> impl Iterator<Item = &Known> {
        let (all, window) = match &self.all {
            Some(all) => (Some(all.values()), None),
            None => (None, Some(self.window.iter())),
        };
        all.into_iter()
            .flatten()
            .chain(window.into_iter().flatten())
    }

    /// Writes what is to be sent now, freshest first and `own` at the front, into `message`.
    pub fn tell(&self, own: Load, now: Duration, message: &mut Vec<Aged>) {
        message.clear();
        message.push(Aged {
            load: own,
            age: Duration::ZERO,
        });
        message.extend(self.window.iter().take(self.width - 1).map(|known| Aged {
            load: known.load,
            age: known.age(now),
        }));
    }

    /// Takes in what another node has sent. Vectors that are malformed, about this node, too old or
    /// not newer than what is known are passed over; returns how many were new.
    ///
    /// A message that is longer than [`WINDOW_MAX`] is read up to there.
    pub fn hear(&mut self, message: &[Aged], now: Duration) -> usize {
        message
            .iter()
            .take(WINDOW_MAX)
            .filter(|aged| self.learn(aged.load, aged.age, now))
            .count()
    }

    /// Takes in one vector; true if it was new.
    pub fn learn(&mut self, load: Load, age: Duration, now: Duration) -> bool {
        if load.node == self.me || age > AGE_MAX || load.check().is_err() {
            return false;
        }
        let known = Known {
            load,
            taken: now.saturating_sub(age),
        };
        let place = self.window.iter().position(|k| k.load.node == load.node);
        if place.is_some_and(|at| self.window[at].load.seq >= load.seq) {
            return false;
        }
        if let Some(all) = &mut self.all {
            match all.get(&load.node) {
                Some(old) if old.load.seq >= load.seq => return false,
                _ => all.insert(load.node, known),
            };
        }
        if let Some(at) = place {
            self.window.remove(at);
        }
        let at = self.window.partition_point(|k| k.taken >= known.taken);
        if at < self.width {
            self.window.truncate(self.width - 1);
            self.window.insert(at, known);
        }
        true
    }

    /// Changes what is known of a node, for what this node itself has just done to it (it has sent
    /// a process there) and which no vector says yet. The next vector of that node replaces it.
    pub fn adjust(&mut self, node: NodeId, change: impl Fn(&mut Load)) {
        if let Some(known) = self.window.iter_mut().find(|k| k.load.node == node) {
            change(&mut known.load);
        }
    }

    /// Forgets a node that has left or died.
    pub fn forget(&mut self, node: NodeId) {
        self.window.retain(|k| k.load.node != node);
        let Some(all) = &mut self.all else { return };
        all.remove(&node);
        // The next freshest moves up, so the window is again the freshest of all.
        let mut outside: Vec<Known> = all
            .values()
            .filter(|k| self.window.iter().all(|w| w.load.node != k.load.node))
            .copied()
            .collect();
        outside.sort_by_key(|k| std::cmp::Reverse((k.taken, k.load.node)));
        let room = self.width.saturating_sub(self.window.len());
        self.window.extend(outside.into_iter().take(room));
        self.window.sort_by_key(|k| std::cmp::Reverse(k.taken));
    }
}

/// Whom to tell in this step: one of the members, `me` excepted; `None` if there is no other.
pub fn partner(members: &[NodeId], me: NodeId, random: &mut impl Rng) -> Option<NodeId> {
    // Members other than `me` exist if a few tries find none: then count them.
    for _ in 0..8 {
        let one = *members.get(random.random_range(0..members.len().max(1)))?;
        if one != me {
            return Some(one);
        }
    }
    let others: Vec<NodeId> = members.iter().copied().filter(|m| *m != me).collect();
    others
        .get(random.random_range(0..others.len().max(1)))
        .copied()
}

/// Steps until every window holds `w` vectors when all start with none, for `n` nodes: the
/// published T = ln(W(N−1)/(N−W))·(N−1)/N. Infinite for `w` ≥ `n`, which no step reaches.
pub fn steps_to_fill(n: f64, w: f64) -> f64 {
    if w >= n {
        return f64::INFINITY;
    }
    (w * (n - 1.0) / (n - w)).ln() * (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::idle;
    use crate::random::Random;

    const SECOND: Duration = Duration::from_secs(1);

    fn vector(node: u64, seq: u64) -> Load {
        Load { seq, ..idle(node) }
    }

    fn window(board: &Board) -> Vec<(u64, u64)> {
        board
            .window()
            .iter()
            .map(|k| (k.load.node.0, k.load.seq))
            .collect()
    }

    #[test]
    fn the_newer_vector_of_a_node_stays_and_the_window_holds_the_freshest() {
        let mut board = Board::new(NodeId(0), 3, true);
        let now = 100 * SECOND;
        assert!(board.learn(vector(1, 5), 3 * SECOND, now));
        assert!(
            !board.learn(vector(1, 5), SECOND, now),
            "the same again is not fresher"
        );
        assert!(!board.learn(vector(1, 4), SECOND, now));
        assert!(!board.learn(vector(0, 9), SECOND, now), "about ourselves");
        assert!(board.learn(vector(2, 1), 2 * SECOND, now));
        assert!(board.learn(vector(3, 1), SECOND, now));
        assert!(board.learn(vector(4, 1), 9 * SECOND, now));
        assert_eq!(window(&board), [(3, 1), (2, 1), (1, 5)]);
        assert_eq!(board.all().count(), 4);
        board.forget(NodeId(2));
        assert_eq!(window(&board), [(3, 1), (1, 5), (4, 1)]);
    }

    #[test]
    fn what_is_told_is_the_own_vector_and_the_freshest_others_with_their_age() {
        let mut board = Board::new(NodeId(0), 2, false);
        board.learn(vector(1, 1), 3 * SECOND, 10 * SECOND);
        board.learn(vector(2, 1), SECOND, 10 * SECOND);
        let mut message = Vec::new();
        board.tell(vector(0, 7), 14 * SECOND, &mut message);
        let told: Vec<_> = message
            .iter()
            .map(|a| (a.load.node.0, a.age.as_secs()))
            .collect();
        assert_eq!(told, [(0, 0), (2, 5)]);
    }

    #[test]
    fn malformed_and_ancient_vectors_are_passed_over() {
        let mut board = Board::new(NodeId(0), 4, false);
        let mut bad = vector(1, 1);
        bad.speed = f32::NAN;
        let message = [
            Aged {
                load: bad,
                age: SECOND,
            },
            Aged {
                load: vector(2, 1),
                age: AGE_MAX + SECOND,
            },
            Aged {
                load: vector(3, 1),
                age: SECOND,
            },
        ];
        assert_eq!(board.hear(&message, SECOND), 1);
        assert_eq!(window(&board), [(3, 1)]);
    }

    #[test]
    fn the_partner_is_another_member_and_all_are_chosen() {
        let mut random = Random::new(3);
        let members: Vec<NodeId> = (0..5).map(NodeId).collect();
        let mut seen = [0u32; 5];
        for _ in 0..1000 {
            if let Some(NodeId(n)) = partner(&members, NodeId(2), &mut random) {
                seen[n as usize] += 1;
            }
        }
        assert_eq!(seen[2], 0);
        assert!(
            seen.iter()
                .enumerate()
                .all(|(i, n)| i == 2 || (150..350).contains(n)),
            "{seen:?}"
        );
        assert_eq!(partner(&[NodeId(2)], NodeId(2), &mut random), None);
        assert_eq!(partner(&[], NodeId(2), &mut random), None);
    }
}
