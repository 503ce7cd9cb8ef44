//! rt_sigtimedwait(2): a signal that came from home waits in the body with
//! details that only we know.
//!
//! The wait is ours; once a signal of the set is there, the thread is stopped
//! before its call is let go, the kernel here takes the signal, and the tracer
//! puts the original details where the guest wants them.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use abi::GuestMemory;

use crate::forward::{ERESTARTNOINTR, Verdict, Worker};
use crate::guest::{Disposition, Thread};
use crate::host::{Order, lock};
use crate::signals;

/// A signal may also come without our doing (a timer of the body's CPU time).
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Longest time the tracer may take to answer.
const TRACER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn wait(worker: &Worker, thread: &Arc<Thread>, args: &[u64; 6]) -> Verdict {
    let memory = thread.memory();
    let word = |at: u64| {
        let mut word = [0; 8];
        memory
            .read(at, &mut word)
            .map(|()| u64::from_le_bytes(word))
    };
    let [set_at, info_at, timeout_at, set_bytes, ..] = *args;
    let (8, Ok(set)) = (set_bytes, word(set_at)) else {
        // The kernel's own error.
        return Verdict::Native;
    };
    let mut deadline = None;
    if timeout_at != 0 {
        let (Ok(seconds), Ok(nanoseconds)) = (word(timeout_at), word(timeout_at.wrapping_add(8)))
        else {
            return Verdict::Native;
        };
        if (seconds as i64) < 0 || nanoseconds >= 1_000_000_000 {
            return Verdict::Native;
        }
        let time = Duration::new(seconds, nanoseconds as u32);
        deadline = Instant::now().checked_add(time);
    }
    loop {
        let Some(sets) = signals::sets(thread.outer) else {
            return Verdict::Gone;
        };
        if deadly(thread, sets.pending & set & !sets.blocked) {
            // Only a blocked one can be waited for.
            return Verdict::Answer(-i64::from(libc::EINTR));
        }
        if sets.pending & set != 0 {
            break;
        }
        if sets.pending & !sets.blocked != 0 {
            return Verdict::Answer(-i64::from(libc::EINTR));
        }
        if thread.process.is_leaving() {
            return Verdict::Answer(ERESTARTNOINTR);
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Verdict::Answer(-i64::from(libc::EAGAIN));
        }
        let limit = left.map_or(LOOK_INTERVAL, |left| left.min(LOOK_INTERVAL));
        thread.process.await_change(limit);
    }
    lock(&thread.state).takes = Some(info_at);
    let (done, is_done) = mpsc::channel();
    let outer = thread.outer;
    worker.host.order(Order::Interrupt { outer, done });
    if is_done.recv_timeout(TRACER_TIMEOUT).is_err() {
        return Verdict::Gone;
    }
    Verdict::Native
}

/// Whether one of these signals ends the process by its default action.
fn deadly(thread: &Thread, signals: u64) -> bool {
    let dispositions = lock(&thread.process.dispositions);
    (1..=64).any(|signal| {
        signals & 1 << (signal - 1) != 0
            && dispositions.of[signal] == Disposition::Default
            && signals::ends(signal as i32)
    })
}
