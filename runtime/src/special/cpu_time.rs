//! getrusage(2), times(2): home knows the children and the ticks, this node what the body uses.

use std::sync::atomic::Ordering;

use abi::memory::GuestMemory;
use abi::row::Row;
use image::cpu_time::CpuTime;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;

/// Lowest of the results that are errors.
const ERRORS: std::ops::Range<i64> = -4095..0;

pub(super) fn usage(
    worker: &mut Worker,
    thread: &Thread,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    thread.process.asks_cpu_time.store(true, Ordering::SeqCst);
    match args[0] as i32 {
        libc::RUSAGE_CHILDREN => worker.home(thread, row, args),
        _ => Verdict::Native,
    }
}

pub(super) fn times(
    worker: &mut Worker,
    thread: &Thread,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    thread.process.asks_cpu_time.store(true, Ordering::SeqCst);
    let verdict = worker.home(thread, row, args);
    let Verdict::Answer(result) = verdict else {
        return verdict;
    };
    if args[0] == 0 || ERRORS.contains(&result) {
        return verdict;
    }
    let process = &thread.process;
    let Ok(here) = CpuTime::in_ticks(process.outer) else {
        return Verdict::Gone;
    };
    let mut own = [0; 16];
    here.plus(process.spent).add_to_ticks(&mut own);
    match thread.memory().write(args[0], &own) {
        Ok(()) => verdict,
        Err(_) => Verdict::Answer(-i64::from(libc::EFAULT)),
    }
}
