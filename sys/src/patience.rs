//! Watching for a moment before sleeping: to be woken on another core costs some
//! 20 µs, more than most calls take.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longest watch for what is under way: a core that has to be woken for it, and
/// the work.
pub const UNDER_WAY: Duration = Duration::from_micros(50);
/// Longest watch for what may never come: what being woken costs, so that it
/// never costs more than twice as much as sleeping.
pub const PERHAPS: Duration = Duration::from_micros(20);

/// Most turns that are sat out after a watch in vain.
const SIT_OUT_MAX: u32 = 1023;
/// Whoever does not look for so long is kept from running by somebody who needs
/// the core more.
const DISTURBANCE: Duration = Duration::from_micros(10);

/// Whether watching has paid lately.
///
/// Each watch in vain doubles the number of turns that are sat out, each that
/// pays halves it: where calls block, or the cores have other work, one turn in
/// a thousand is watched.
#[derive(Debug)]
pub struct Patience {
    longest: Duration,
    sit_out: u32,
    penalty: u32,
}

impl Patience {
    /// Watches `longest` at most.
    pub fn new(longest: Duration) -> Patience {
        Patience {
            longest,
            sit_out: 0,
            penalty: 0,
        }
    }

    /// Watches until `is_over`, if that is worth it; else the caller sleeps.
    pub fn watch(&mut self, is_over: impl Fn() -> bool) {
        if has_cores() {
            let longest = self.longest;
            self.turn(|| pays(longest, is_over));
        }
    }

    /// One turn, at which `watch` may be sat out.
    fn turn(&mut self, watch: impl FnOnce() -> bool) {
        if self.sit_out > 0 {
            self.sit_out -= 1;
        } else if watch() {
            self.penalty /= 2;
        } else {
            self.penalty = (self.penalty * 2 + 1).min(SIT_OUT_MAX);
            self.sit_out = self.penalty;
        }
    }
}

/// Watches; whether `is_over` was seen in time and nobody was in the way.
fn pays(longest: Duration, is_over: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    let (mut last, mut alone) = (start, true);
    while !is_over() {
        spin_loop();
        let now = Instant::now();
        alone &= now - last < DISTURBANCE;
        last = now;
        if now - start >= longest {
            return false;
        }
    }
    alone
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
        let mut patience = Patience::new(UNDER_WAY);
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
    fn what_pays_again_is_soon_always_tried() {
        let mut patience = Patience::new(UNDER_WAY);
        for _ in 0..5000 {
            patience.turn(|| false);
        }
        for _ in 0..4000 {
            patience.turn(|| true);
        }
        let mut tried = 0;
        for _ in 0..1000 {
            patience.turn(|| {
                tried += 1;
                true
            });
        }
        assert_eq!(tried, 1000);
    }

    #[test]
    fn a_watch_ends() {
        let start = Instant::now();
        assert!(!pays(PERHAPS, || false));
        assert!(start.elapsed() >= PERHAPS);
    }

    #[test]
    fn a_disturbed_watch_does_not_pay() {
        let disturbed = std::cell::Cell::new(false);
        assert!(!pays(Duration::from_secs(60), || {
            std::thread::sleep(DISTURBANCE);
            disturbed.replace(true)
        }));
    }
}
