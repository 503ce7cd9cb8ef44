//! Makes a sequence that differs as short as it can be.

use std::collections::BTreeSet;

use super::campaign::compare;
use super::sequence::Sequence;
use crate::Way;

/// Candidates that are tried in one start.
const TOGETHER: usize = 24;
const ROUNDS_MAX: usize = 40;

/// The shortest sequence found of which a run in this way still differs from a native one.
pub(crate) fn shrink(way: Way, sequence: &Sequence) -> Sequence {
    let mut best = sequence.clone();
    let mut size = best.ids().len().div_ceil(2);
    for _ in 0..ROUNDS_MAX {
        let ids = best.ids();
        if ids.len() <= 1 {
            break;
        }
        let candidates: Vec<Sequence> = ids
            .chunks(size.max(1))
            .map(|chunk| best.without(&BTreeSet::from_iter(chunk.iter().copied())))
            .filter(|candidate| !candidate.ops.is_empty())
            .collect();
        let smaller = candidates
            .chunks(TOGETHER)
            .flat_map(|candidates| compare(way, candidates))
            .map(|difference| difference.sequence)
            .min_by_key(|candidate| candidate.ids().len());
        match smaller {
            Some(smaller) => best = smaller,
            None if size <= 1 => break,
            None => size = size.div_ceil(2),
        }
        size = size.min(best.ids().len().div_ceil(2));
    }
    best
}
