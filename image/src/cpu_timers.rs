//! Interval timers of CPU time, ITIMER_VIRTUAL and ITIMER_PROF of setitimer(2): they count what is used
//! where the process runs, so they go with it, and its deputy has none.

use std::io;

use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getres};
use serde::{Deserialize, Serialize};
use sys::window::Call;

use crate::ImageError;
use crate::inject::Injector;
use crate::remake::Maker;

const KINDS: [u64; 2] = [libc::ITIMER_VIRTUAL as u64, libc::ITIMER_PROF as u64];
/// A `struct itimerval` in words: interval and what is left, each in seconds and microseconds.
const WORDS: usize = 4;
const NONE: [u64; WORDS] = [0; WORDS];
/// Bytes of it.
pub(crate) const BYTES: usize = 8 * WORDS;

/// Both, as getitimer(2) tells them; zeros: it is not armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTimers([[u64; WORDS]; 2]);

impl CpuTimers {
    /// Of the process whose thread makes calls for us.
    pub(crate) fn ask(thread: &mut Injector) -> io::Result<CpuTimers> {
        let mut timers = CpuTimers::default();
        for (kind, timer) in KINDS.into_iter().zip(&mut timers.0) {
            *timer = thread.words(libc::SYS_getitimer, &[kind], 1)?;
        }
        Ok(timers)
    }

    /// Whether any is armed.
    pub(crate) fn are_armed(&self) -> bool {
        self.0 != [NONE; 2]
    }

    /// Whether one has run out since it was asked what is left, which was `before`: now it is disarmed, or
    /// has more left.
    pub(crate) fn have_run_out_since(&self, before: &CpuTimers) -> bool {
        let left = |timer: &[u64; WORDS]| (timer[2], timer[3]);
        let mut both = before.0.iter().zip(&self.0);
        both.any(|(before, now)| {
            left(before) != (0, 0) && (left(now) == (0, 0) || left(now) > left(before))
        })
    }

    fn armed(&self) -> impl Iterator<Item = (u64, [u64; WORDS])> {
        let all = KINDS.into_iter().zip(self.0);
        all.filter(|(_, timer)| *timer != NONE)
    }

    /// Arms those that are armed, with what is left.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn arm(&self, maker: &mut Maker<'_>) -> Result<(), ImageError> {
        let tick_us = tick_us()?;
        self.each(maker, |timer| without_tick(timer, tick_us))
    }

    /// Disarms those that are armed.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn disarm(&self, maker: &mut Maker<'_>) -> Result<(), ImageError> {
        self.each(maker, |_| NONE)
    }

    fn each(
        &self,
        maker: &mut Maker<'_>,
        to: impl Fn([u64; WORDS]) -> [u64; WORDS],
    ) -> Result<(), ImageError> {
        for (kind, timer) in self.armed() {
            let at = maker.put_words(&to(timer));
            maker.add(
                libc::SYS_setitimer,
                &[kind, at, 0],
                "set a timer of CPU time",
            );
            maker.run()?;
        }
        Ok(())
    }

    /// Calls that disarm those that are armed; at `zeros` in the process are [`BYTES`] of them.
    pub(crate) fn disarming(&self, zeros: u64) -> impl Iterator<Item = Call> {
        self.armed()
            .map(move |(kind, _)| Call::new(libc::SYS_setitimer, &[kind, zeros, 0]))
    }
}

/// A tick of the scheduler, in microseconds. Whoever sets a timer of CPU time waits so much longer than asked,
/// since part of the first may be over (set_cpu_itimer of Linux).
fn tick_us() -> Result<u64, ImageError> {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE);
    let tick = tick.map_err(|e| ImageError::step("ask how long a tick is", 0)(e.into()))?;
    Ok(tick.num_microseconds() as u64)
}

/// What is to be set so that it has as much left as this one, which has at least a microsecond.
fn without_tick(timer: [u64; WORDS], tick_us: u64) -> [u64; WORDS] {
    const SECOND_US: u64 = 1_000_000;
    let [every, every_us, left, left_us] = timer;
    let us = left.saturating_mul(SECOND_US).saturating_add(left_us);
    if us == 0 {
        return timer;
    }
    let us = us.saturating_sub(tick_us).max(1);
    [every, every_us, us / SECOND_US, us % SECOND_US]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_left_as_before() {
        let tick = 4000;
        assert_eq!(without_tick([0, 7, 1, 1000], tick), [0, 7, 0, 997_000]);
        assert_eq!(without_tick([0, 7, 0, 3000], tick), [0, 7, 0, 1]);
        assert_eq!(without_tick(NONE, tick), NONE);
        assert!((1..=10_000).contains(&tick_us().unwrap()));
    }

    #[test]
    fn what_has_run_out_is_told() {
        let left = |seconds, us| CpuTimers([NONE, [0, 150, seconds, us]]);
        assert!(!left(1, 100).have_run_out_since(&left(1, 100)));
        assert!(!left(0, 100).have_run_out_since(&left(1, 50)));
        assert!(left(0, 0).have_run_out_since(&left(0, 7)));
        assert!(left(0, 140).have_run_out_since(&left(0, 7)));
        assert!(!CpuTimers::default().have_run_out_since(&CpuTimers::default()));
        assert!(left(0, 7).are_armed() && !CpuTimers::default().are_armed());
    }
}
