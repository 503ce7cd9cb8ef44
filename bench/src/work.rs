//! Programs that need no system call while they run: they must not notice where they are.

use std::hint::black_box;

use anyhow::Result;

use crate::meter::{Meter, Sample};
use crate::rows::Stage;

/// Rounds of one operation of the CPU-bound program, some milliseconds.
const CPU_ROUNDS: u64 = 2_000_000;
/// Words of the memory-bound program: 128 MiB, beyond any cache.
const MEMORY_WORDS: usize = 16 * 1024 * 1024;
/// Dependent loads of one operation of the memory-bound program.
const MEMORY_STEPS: usize = 50_000;
/// Both need many operations: their limit is one percent.
const LONGER: u32 = 2;

/// Integer arithmetic with every round depending on the last.
pub(crate) fn cpu(meter: Meter, _: &Stage) -> Result<Sample> {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    meter.longer(LONGER).repeat(|| {
        for _ in 0..CPU_ROUNDS {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        }
        black_box(state);
        Ok(())
    })
}

/// Dependent loads all over 128 MiB: caches and TLB miss nearly each time.
pub(crate) fn memory(meter: Meter, _: &Stage) -> Result<Sample> {
    // A full-period generator modulo a power of two visits every word once: an even stride would
    // be prefetched, a shuffled table would take longer to build than to measure.
    let next: Vec<u64> = (0..MEMORY_WORDS as u64)
        .map(|word| {
            word.wrapping_mul(2_862_933_555_777_941_757)
                .wrapping_add(3_037_000_493)
                % MEMORY_WORDS as u64
        })
        .collect();
    let mut at = black_box(0_usize);
    meter.longer(LONGER).repeat(|| {
        for _ in 0..MEMORY_STEPS {
            at = next[at] as usize;
        }
        black_box(at);
        Ok(())
    })
}
