//! ppoll(2), pselect6(2), epoll_pwait(2): they wait at home, with a temporary
//! signal mask that must be in force here.
//!
//! The mask is left out of the call home and remembered while it waits. When a
//! signal is due that only the temporary mask lets through, the thread is
//! stopped and made to execute rt_sigsuspend with that mask, so that its own
//! kernel delivers the signal under the right mask and restores the old one.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use abi::memory::GuestMemory;
use abi::row::Row;
use lane::Kind;

use crate::forward::{Verdict, Worker};
use crate::guest::{TemporaryMask, Thread};
use crate::host::{Order, lock};
use crate::memory::BodyMemory;
use crate::signals;

const ERESTARTNOHAND: i64 = -514;
const EINTR: i64 = -(libc::EINTR as i64);
/// Longest time the tracer may take to answer.
const TRACER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn wait(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let memory = thread.memory();
    let mut args = *args;
    // Argument that holds the mask's address, or for pselect6 the address of both.
    let index = match i64::from(row.nr) {
        libc::SYS_ppoll => 3,
        libc::SYS_pselect6 => 5,
        _ => 4,
    };
    let word = |at: u64| {
        let mut word = [0; 8];
        memory
            .read(at, &mut word)
            .map(|()| u64::from_le_bytes(word))
    };
    let mut at = args[index];
    let mut bytes = args[if index == 3 { 4 } else { 5 }];
    if row.nr == libc::SYS_pselect6 as u32 && at != 0 {
        (at, bytes) = match (word(at), word(at.wrapping_add(8))) {
            (Ok(inner), Ok(bytes)) => (inner, bytes),
            // Home finds what is wrong, in the kernel's order.
            _ => return worker.home(thread, row, &args),
        };
    }
    let mask = match word(at) {
        Ok(mask) if at != 0 && bytes == 8 => mask,
        _ => return worker.home(thread, row, &args),
    };
    const NEVER_BLOCKED: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
    let temporary = TemporaryMask {
        mask: mask & !NEVER_BLOCKED,
        at,
    };
    args[index] = 0;
    if index == 3 {
        args[4] = 8;
    }
    if !signals::is_due(thread, Some(temporary)) {
        let verdict = worker.forward(thread, Kind::Call, row, &args, &memory, Some(temporary));
        return finish(worker, thread, verdict, temporary);
    }
    // A signal waits already: it comes before anything else, unless something
    // is ready now.
    match now(worker, thread, row, args) {
        Verdict::Answer(0) => finish(worker, thread, Verdict::Answer(EINTR), temporary),
        other => other,
    }
}

/// The call without waiting.
fn now(worker: &mut Worker, thread: &Thread, row: &'static Row, mut args: [u64; 6]) -> Verdict {
    let (nr, timeout) = match i64::from(row.nr) {
        libc::SYS_ppoll => (libc::SYS_poll, 2),
        libc::SYS_pselect6 => (libc::SYS_pselect6, 4),
        _ => (libc::SYS_epoll_wait, 3),
    };
    let memory = WithZeros(thread.memory());
    args[timeout] = if nr == libc::SYS_pselect6 { ZEROS } else { 0 };
    match abi::row(nr as u32) {
        Some(row) => worker.own(thread, row, &args, &memory),
        None => Verdict::Gone,
    }
}

/// Where sixteen zeros seem to lie: a timeout of nothing.
const ZEROS: u64 = 0x1000;

/// The guest's memory, and zeros where no program has memory.
struct WithZeros<'a>(BodyMemory<'a>);

impl GuestMemory for WithZeros<'_> {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        if at == ZEROS {
            into.fill(0);
            return into.len();
        }
        self.0.read_some(at, into)
    }

    fn write_some(&self, at: u64, from: &[u8]) -> usize {
        if at == ZEROS {
            return from.len();
        }
        self.0.write_some(at, from)
    }

    fn writable(&self, at: u64, bytes: u64) -> u64 {
        if at == ZEROS {
            return bytes;
        }
        self.0.writable(at, bytes)
    }
}

fn finish(
    worker: &Worker,
    thread: &Arc<Thread>,
    verdict: Verdict,
    temporary: TemporaryMask,
) -> Verdict {
    let Verdict::Answer(result) = verdict else {
        return verdict;
    };
    if !(result == EINTR || (-516..=-512).contains(&result)) {
        return Verdict::Answer(result);
    }
    if thread.process.is_leaving() && !signals::is_due(thread, Some(temporary)) {
        return Verdict::Answer(ERESTARTNOHAND);
    }
    lock(&thread.state).suspend = Some(temporary);
    let (done, is_done) = mpsc::channel();
    worker.host.order(Order::Interrupt {
        outer: thread.outer,
        done,
    });
    if is_done.recv_timeout(TRACER_TIMEOUT).is_err() {
        return Verdict::Gone;
    }
    Verdict::Answer(ERESTARTNOHAND)
}
