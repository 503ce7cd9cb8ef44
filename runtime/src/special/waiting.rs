//! signalfd(2), timer_create(2), rt_sigpending(2): signals that wait at home
//! until the body takes them.
//!
//! From such a call on, signals that it is about wait at home, where the
//! signalfd sees them and the timer counts how often it went off meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::memory::GuestMemory;
use abi::row::Row;
use lane::control::HELD_MAX;

use crate::forward::{Verdict, Worker};
use crate::guest::{Incoming, Thread};
use crate::home_rows::{PENDING, QUEUE_PROCESS_SIGNAL, QUEUE_SIGNAL};
use crate::memory::{Literal, Scratch};
use crate::signals::{self, SI_TKILL};

/// Where what home reads seems to lie.
const LITERAL: u64 = 0x1000;

/// The call, which may make more signals wait at home.
pub(super) fn hold(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    if i64::from(row.nr) == libc::SYS_timer_create && is_cpu_clock(args[0] as i32) {
        // What it is to measure is where the program runs.
        return worker.go_home(thread, "timer_create of CPU time");
    }
    let verdict = worker.home(thread, row, args);
    let Verdict::Answer(0..) = verdict else {
        return verdict;
    };
    let set = wanted(thread, row, args) & HELD_MAX;
    let process = &thread.process;
    if set & !process.held.fetch_or(set, Ordering::SeqCst) == 0 {
        return verdict;
    }
    // Those that wait in the body already are as if they came now.
    for incoming in signals::take_pending(&worker.host, thread, set) {
        if !push(worker, thread, &incoming) {
            return Verdict::Gone;
        }
    }
    verdict
}

/// Whether a clock counts the CPU time of a process or thread. Negative ones name
/// one, or a descriptor.
fn is_cpu_clock(clock: i32) -> bool {
    const KIND: i32 = 3;
    const DESCRIPTOR: i32 = 3;
    matches!(
        clock,
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID
    ) || clock < 0 && clock & KIND != DESCRIPTOR
}

/// Which signals a call is about that has succeeded.
fn wanted(thread: &Thread, row: &Row, args: &[u64; 6]) -> u64 {
    let nr = i64::from(row.nr);
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..image::held::bytes_of(nr)];
    if args[1] == 0 {
        return image::held::signals_of(nr, None);
    }
    match thread.memory().read(args[1], bytes) {
        Ok(()) => image::held::signals_of(nr, Some(bytes)),
        // Another thread has taken it away meanwhile.
        Err(_) => 0,
    }
}

/// Sends a signal to the deputy, which is the body's own again.
fn push(worker: &mut Worker, thread: &Thread, incoming: &Incoming) -> bool {
    let Incoming { signal, info } = incoming;
    let memory = Literal {
        at: LITERAL,
        bytes: info,
    };
    let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
    let (pid, tid) = (thread.process.pid as u64, thread.tid as u64);
    let signal = *signal as u64;
    let verdict = match code {
        SI_TKILL => {
            let args = [pid, tid, signal, LITERAL, 0, 0];
            worker.own(thread, &QUEUE_SIGNAL, &args, &memory)
        }
        _ => {
            let args = [pid, signal, LITERAL, 0, 0, 0];
            worker.own(thread, &QUEUE_PROCESS_SIGNAL, &args, &memory)
        }
    };
    !matches!(verdict, Verdict::Gone)
}

/// rt_sigpending(2): what waits at home, and what waits here and not there.
pub(super) fn pending(worker: &mut Worker, thread: &Arc<Thread>, args: &[u64; 6]) -> Verdict {
    let held = thread.process.held.load(Ordering::SeqCst);
    if held == 0 || args[1] > 8 {
        return Verdict::Native;
    }
    let memory = Scratch::new(LITERAL, [0; 8]);
    match worker.own(thread, &PENDING, &[LITERAL, 8, 0, 0, 0, 0], &memory) {
        Verdict::Answer(0) => {}
        other => return other,
    }
    let Some(sets) = signals::sets(thread.outer) else {
        return Verdict::Gone;
    };
    let there = u64::from_le_bytes(memory.bytes()) & held;
    let all = there | sets.pending & sets.blocked & !held;
    match thread
        .memory()
        .write(args[0], &all.to_le_bytes()[..args[1] as usize])
    {
        Ok(()) => Verdict::Answer(0),
        Err(_) => Verdict::Answer(-i64::from(libc::EFAULT)),
    }
}
