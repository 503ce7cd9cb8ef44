//! How old load vectors get: the gossip of [`board`](crate::board) alone, step by step.

use std::time::Duration;

use rand::seq::SliceRandom;

use crate::board::{Aged, Board, partner};
use crate::load::{Features, Load, NodeId, VERSION};
use crate::random::Random;

/// Length of a step in this simulation; ages come out in steps.
const STEP: Duration = Duration::from_secs(1);

/// Nodes whose whole board is kept and measured. What the others keep is what they send.
const OBSERVED: usize = 64;

/// What was measured, in steps.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// From empty windows until a window is full, mean over all nodes.
    pub to_fill: f64,
    /// Age of a vector, mean over all that an observed node knows.
    pub mean: f64,
    /// Age of the oldest vector an observed node knows, mean over nodes and time.
    pub oldest: f64,
    /// Vectors that one node sent in one step, mean.
    pub sent: f64,
}

/// Lets `nodes` nodes gossip with windows of `width`, `warm` steps to settle and `steps` more that
/// are measured.
pub fn measure(nodes: usize, width: usize, seed: u64, warm: usize, steps: usize) -> Ages {
    let mut random = Random::new(seed);
    let ids: Vec<NodeId> = (0..nodes as u64).map(NodeId).collect();
    let observed = OBSERVED.min(nodes);
    let mut boards: Vec<Board> = ids
        .iter()
        .enumerate()
        .map(|(i, id)| Board::new(*id, width, i < observed))
        .collect();
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(&mut random);
    let mut message: Vec<Aged> = Vec::new();
    let mut full_at = vec![None; nodes];
    let (mut age_sum, mut ages, mut oldest_sum, mut samples, mut sent) = (0.0, 0u64, 0.0, 0, 0u64);
    for step in 0..warm + steps {
        // Clocks of nodes have nothing to do with each other: each speaks once in a step, at a
        // moment of its own.
        for (turn, from) in order.iter().copied().enumerate() {
            let now = STEP * step as u32 + STEP * turn as u32 / nodes as u32;
            let Some(NodeId(to)) = partner(&ids, ids[from], &mut random) else {
                continue;
            };
            boards[from].tell(vector(ids[from], now.as_nanos() as u64), now, &mut message);
            sent += message.len() as u64;
            let board = &mut boards[to as usize];
            board.hear(&message, now);
            let full = &mut full_at[to as usize];
            if full.is_none() && board.window().len() + 1 >= width {
                *full = Some(now.as_secs_f64());
            }
        }
        if step >= warm {
            let now = STEP * (step + 1) as u32;
            for board in &boards[..observed] {
                let mut oldest = Duration::ZERO;
                for known in board.all() {
                    let age = known.age(now);
                    age_sum += age.as_secs_f64();
                    ages += 1;
                    oldest = oldest.max(age);
                }
                oldest_sum += oldest.as_secs_f64();
                samples += 1;
            }
        }
    }
    let filled: Vec<f64> = full_at.iter().flatten().copied().collect();
    Ages {
        to_fill: filled.iter().sum::<f64>() / filled.len().max(1) as f64,
        mean: age_sum / ages.max(1) as f64,
        oldest: oldest_sum / f64::from(samples.max(1)),
        sent: sent as f64 / (nodes * (warm + steps)).max(1) as f64,
    }
}

fn vector(node: NodeId, seq: u64) -> Load {
    Load {
        node,
        seq,
        speed: 1.0,
        cores: 1,
        runnable: 0.0,
        runnable_own: 0.0,
        memory: 1,
        memory_free: 1,
        memory_growth: 0.0,
        memory_pressure: 0.0,
        guests: 0,
        guests_max: 0,
        features: Features(0),
        version: VERSION,
        closed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::steps_to_fill;

    /// Fails if `measured` is off the published figure by more than `tolerance`.
    fn near(what: &str, measured: f64, published: f64, tolerance: f64) {
        assert!(
            (measured / published - 1.0).abs() <= tolerance,
            "{what}: measured {measured:.2}, published {published:.2}"
        );
    }

    /// Means within 5 %. The published maximum and filling time take every node to be average at
    /// every moment; the worst of many is above that, so they get 15 and 20 %.
    #[test]
    fn ages_are_those_published_for_256_nodes() {
        for (width, mean, oldest) in [(16, 18.3, 97.0), (64, 7.8, 24.3)] {
            let ages = measure(256, width, 1, 300, 200);
            near("mean age", ages.mean, mean, 0.05);
            near("oldest", ages.oldest, oldest, 0.15);
            let fill = steps_to_fill(256.0, width as f64);
            near("steps to fill", ages.to_fill, fill, 0.20);
        }
    }

    #[test]
    fn traffic_of_a_node_does_not_grow_with_the_cluster() {
        for nodes in [40, 400] {
            let ages = measure(nodes, 32, 2, 30, 10);
            assert!(
                (29.0..=32.0).contains(&ages.sent),
                "{nodes} nodes: {ages:?}"
            );
        }
    }
}
