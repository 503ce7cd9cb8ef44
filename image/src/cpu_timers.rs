//! Interval timers of CPU time, ITIMER_VIRTUAL and ITIMER_PROF of setitimer(2): they count what is used
//! where the process runs, so they go with it, and its deputy has none.

use std::io;

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

    fn armed(&self) -> impl Iterator<Item = (u64, [u64; WORDS])> {
        let all = KINDS.into_iter().zip(self.0);
        all.filter(|(_, timer)| *timer != NONE)
    }

    /// Arms those that are armed, with what is left.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn arm(&self, maker: &mut Maker<'_>) -> Result<(), ImageError> {
        self.each(maker, |timer| timer)
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
        to: fn([u64; WORDS]) -> [u64; WORDS],
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
