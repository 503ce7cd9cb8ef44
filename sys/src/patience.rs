//! Watching for a moment before sleeping: waking a sleeper on another core costs
//! some 25 µs, more than most calls take.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest watch. A core that has to be woken needs half of it.
const WATCH_MAX: Duration = Duration::from_micros(50);
/// Looks between two readings of the clock, together well under a microsecond.
const LOOKS: u32 = 16;
/// Most turns that are sat out after a watch in vain.
const SIT_OUT_MAX: u32 = 1023;

/// Whether watching has paid lately.
///
/// Each watch in vain doubles the number of turns that are sat out, each that
/// pays halves it: where calls block, or no core is free for the other side,
/// one turn in a thousand costs [`WATCH_MAX`].
#[derive(Debug, Default)]
pub struct Patience {
    sit_out: u32,
    penalty: u32,
}

impl Patience {
    /// Watches until `is_over`, for 50 µs at most. `false`: it has not been seen.
    pub fn watch(&mut self, is_over: impl Fn() -> bool) -> bool {
        if !has_cores() {
            return false;
        }
        let until = || watch_until(&is_over);
        self.turn(until)
    }

    /// One turn, at which `watch` may be sat out.
    fn turn(&mut self, watch: impl FnOnce() -> bool) -> bool {
        if self.sit_out > 0 {
            self.sit_out -= 1;
            return false;
        }
        if watch() {
            self.penalty /= 2;
            return true;
        }
        self.penalty = (self.penalty * 2 + 1).min(SIT_OUT_MAX);
        self.sit_out = self.penalty;
        false
    }
}

fn watch_until(is_over: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if is_over() {
                return true;
            }
            spin_loop();
        }
        if start.elapsed() >= WATCH_MAX {
            return false;
        }
    }
}

/// Whether another core could do what is watched for.
fn has_cores() -> bool {
    static CORES: OnceLock<bool> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_pays_is_rarely_tried() {
        let mut patience = Patience::default();
        let mut tried = 0;
        for _ in 0..100_000 {
            patience.turn(|| {
                tried += 1;
                false
            });
        }
        assert!((90..130).contains(&tried), "{tried}");
    }

    #[test]
    fn what_pays_is_tried_always() {
        let mut patience = Patience::default();
        for _ in 0..2000 {
            patience.turn(|| false);
        }
        // It pays again: within a few tries nothing is sat out.
        let mut turns = 0;
        while !(0..3).all(|_| patience.turn(|| true)) {
            turns += 1;
        }
        assert!(turns < 2000, "{turns}");
        assert!((0..1000).all(|_| patience.turn(|| true)));
    }

    #[test]
    fn a_watch_ends() {
        let start = Instant::now();
        assert!(!watch_until(|| false));
        assert!(start.elapsed() >= WATCH_MAX);
        assert!(watch_until(|| true));
    }
}
