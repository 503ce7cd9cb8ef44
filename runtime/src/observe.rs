//! Calls as the user may look at them: statistics and the log. Neither costs
//! anything but a branch per call unless it was asked for.

use std::time::{Duration, Instant};

use abi::row;
use abi::trace::{format_call, format_done, format_result};
use lane::log::CALL;

use crate::guest::Thread;
use crate::host::lock;
use crate::stats::Outcome;

/// Whether the log wants calls.
pub(crate) fn is_logged() -> bool {
    tracing::enabled!(target: CALL, tracing::Level::DEBUG)
}

/// A call has got its outcome and is about to be answered. `started`: when it
/// was notified; `None` where nobody looks.
pub(crate) fn call(
    thread: &Thread,
    nr: u32,
    args: &[u64; 6],
    outcome: Outcome,
    started: Option<Instant>,
) {
    let Some(started) = started else { return };
    let took = started.elapsed();
    if let Some(calls) = &thread.process.calls {
        lock(calls).count(nr, outcome, took);
    }
    if is_logged() {
        log(thread, nr, args, outcome, took);
    }
}

fn log(thread: &Thread, nr: u32, args: &[u64; 6], outcome: Outcome, took: Duration) {
    let memory = thread.memory();
    let (call, result) = match (row(nr), outcome) {
        (None, Outcome::Result(result)) => (format!("syscall_{nr}()"), result.to_string()),
        (None, Outcome::Native) => (format!("syscall_{nr}()"), "? (native)".to_owned()),
        (Some(row), Outcome::Native) => (format_call(row, args, &memory), "? (native)".to_owned()),
        (Some(row), Outcome::Result(result)) => (
            format_done(row, args, result, &memory),
            format_result(row, result),
        ),
    };
    let (tid, seconds) = (thread.tid, took.as_secs_f64());
    tracing::debug!(target: CALL, "[pid {tid}] {call} = {result} <{seconds:.6}>");
}
