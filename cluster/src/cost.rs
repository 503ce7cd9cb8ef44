//! Opportunity cost: what it means for others that a resource is taken.
//!
//! The cost of a resource in use is n^(used ÷ capacity) for n nodes. It is near nothing while there
//! is plenty and grows without bound before the end, so different resources can be added up, and
//! the node with the smallest marginal sum is the one where the least is taken from others.

use crate::load::Load;

/// Exponents beyond this make no difference: everything is full.
const EXPONENT_MAX: f64 = 40.0;
/// Nor do nodes beyond so many.
const NODES_MAX: f64 = 1e6;

/// What the whole cluster looks like to one decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    nodes: f64,
    load: f64,
}

impl Scale {
    /// For a cluster of `nodes` nodes with this mean [normalised load](Load::normalised).
    ///
    /// A CPU has no end as memory has: full is one process a core, or the next power of two above
    /// the mean load if that is more.
    pub fn new(nodes: usize, mean_load: f64) -> Scale {
        // What is not a number comes from no node; it counts as idle.
        let mean = if mean_load.is_nan() {
            1.0
        } else {
            mean_load.clamp(1.0, NODES_MAX)
        };
        Scale {
            nodes: (nodes as f64).clamp(2.0, NODES_MAX),
            load: mean.log2().ceil().exp2(),
        }
    }

    /// For what a node knows: itself, and others out of `nodes` in all.
    pub fn of<'a>(nodes: usize, known: impl Iterator<Item = &'a Load>) -> Scale {
        let (mut sum, mut count) = (0.0, 0u32);
        for load in known {
            sum += load.normalised();
            count += 1;
        }
        Scale::new(nodes, sum / f64::from(count.max(1)))
    }

    fn of_part(&self, used: f64, capacity: f64) -> f64 {
        let exponent = (used / capacity).clamp(0.0, EXPONENT_MAX);
        self.nodes.powf(exponent)
    }

    /// What one more process costs on a node where `others` want its cores and `used` bytes are in
    /// use: CPU and memory added up. CPU counts by what the node's cores can do, since that many
    /// others are slowed down.
    pub fn marginal(&self, node: &Load, others: f64, used: u64, memory: u64) -> f64 {
        let cpu = node.power() * self.load;
        let bytes = node.memory as f64;
        let used = used as f64;
        node.power() * (self.of_part(others + 1.0, cpu) - self.of_part(others, cpu))
            + self.of_part(used + memory as f64, bytes)
            - self.of_part(used, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::idle;

    const GIB: u64 = 1 << 30;

    #[test]
    fn idle_beats_busy_fast_beats_slow_empty_beats_full() {
        let scale = Scale::new(100, 2.0);
        let node = idle(1);
        let mut fast = idle(2);
        fast.speed = 2.0;
        let cost = |node: &Load, others, used| scale.marginal(node, others, used, GIB);
        assert!(cost(&node, 0.0, GIB) < cost(&node, 1.0, GIB));
        assert!(cost(&fast, 0.0, GIB) < cost(&node, 0.0, GIB));
        assert!(cost(&node, 0.0, 0) < cost(&node, 0.0, 6 * GIB));
    }

    #[test]
    fn extremes_stay_numbers() {
        for load in [0.0, 1e9, f64::NAN] {
            let scale = Scale::new(usize::MAX, load);
            let cost = scale.marginal(&idle(1), 1e12, u64::MAX, u64::MAX);
            assert!(cost.is_finite(), "{load}: {cost}");
        }
    }
}
