//! What a program has set by prctl(2) of its threads' processors and of its memory, and what acts where it
//! runs: asked of a process that moves, and set again where it goes on.

use std::io;

use serde::{Deserialize, Serialize};

use crate::ImageError;
use crate::inject::Injector;
use crate::remake::Maker;

const PR_GET_THP_DISABLE: u64 = 42;
const PR_SET_THP_DISABLE: u64 = 41;
const PR_GET_MEMORY_MERGE: u64 = 68;
const PR_SET_MEMORY_MERGE: u64 = 67;
const PR_GET_TIMERSLACK: u64 = 30;
const PR_SET_TIMERSLACK: u64 = 29;
const PR_GET_TSC: u64 = 25;
const PR_SET_TSC: u64 = 26;
const PR_TSC_ENABLE: u64 = 1;
const PR_TSC_SIGSEGV: u64 = 2;

/// Of the memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfMemory {
    /// Huge pages are disabled: as PR_GET_THP_DISABLE says, with flags from bit 1 on.
    pub no_huge_pages: u64,
    /// Equal pages may be merged.
    pub is_merged: bool,
}

/// Of a thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfThread {
    /// By how many nanoseconds its timers may be late; 0: what is usual.
    pub timer_slack_ns: u64,
    /// Reading the time stamp counter is a fault.
    pub has_no_clock: bool,
}

impl OfMemory {
    /// Of the process whose thread makes calls for us.
    pub(crate) fn ask(thread: &mut Injector) -> io::Result<OfMemory> {
        // Kernels that do not know one say EINVAL.
        let mut get = |what| thread.call(libc::SYS_prctl, &[what, 0, 0, 0, 0]);
        Ok(OfMemory {
            no_huge_pages: get(PR_GET_THP_DISABLE)?.max(0) as u64,
            is_merged: get(PR_GET_MEMORY_MERGE)? == 1,
        })
    }

    /// Sets what is set. A kernel that cannot merge or has no huge pages does without: that changes no result.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn set(self, maker: &mut Maker<'_>) -> Result<(), ImageError> {
        let mut set = |what, flags, doing| {
            maker.add(libc::SYS_prctl, &[what, 1, flags, 0, 0], doing);
            match maker.run() {
                Err(ended @ ImageError::Ended { .. }) => Err(ended),
                _ => Ok(()),
            }
        };
        if self.no_huge_pages != 0 {
            set(
                PR_SET_THP_DISABLE,
                self.no_huge_pages & !1,
                "disable huge pages",
            )?;
        }
        if self.is_merged {
            set(PR_SET_MEMORY_MERGE, 0, "let equal pages be merged")?;
        }
        Ok(())
    }
}

impl OfThread {
    /// Of the thread that makes calls for us.
    pub(crate) fn ask(thread: &mut Injector) -> io::Result<OfThread> {
        let slack = thread.call(libc::SYS_prctl, &[PR_GET_TIMERSLACK, 0, 0, 0, 0])?;
        let [clock] = thread.words(libc::SYS_prctl, &[PR_GET_TSC, 0, 0, 0, 0], 1)?;
        Ok(OfThread {
            timer_slack_ns: slack.max(0) as u64,
            has_no_clock: clock & 0xffff_ffff == PR_TSC_SIGSEGV,
        })
    }

    /// Sets what is set, with the thread's other calls.
    pub(crate) fn add_to(self, maker: &mut Maker<'_>) {
        if self.timer_slack_ns != 0 {
            let args = [PR_SET_TIMERSLACK, self.timer_slack_ns, 0, 0, 0];
            maker.add(libc::SYS_prctl, &args, "set the timer slack");
        }
        // Also if it is as usual: it may have been made by one that has none.
        let clock = match self.has_no_clock {
            true => PR_TSC_SIGSEGV,
            false => PR_TSC_ENABLE,
        };
        let args = [PR_SET_TSC, clock, 0, 0, 0];
        maker.add(libc::SYS_prctl, &args, "set what reading the clock does");
    }
}
