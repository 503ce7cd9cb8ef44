//! execve(2), execveat(2): the deputy executes the program at home, where
//! scripts, permissions and the auxiliary vector are the kernel's business; the
//! new image then comes back, or stays.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};

use abi::row::Row;
use lane::Kind;
use lane::control::ToHome;

use crate::forward::{Verdict, Worker};
use crate::guest::{Incoming, Thread};
use crate::home_rows::{QUEUE_SIGNAL, SET_MASK, TAKE_SIGNAL};
use crate::host::{Order, lock};
use crate::link::{EXECUTED, STAYS};
use crate::memory::Literal;
use crate::stats::{self, Outcome};
use crate::{observe, signals};

/// Where the signal set for home seems to lie.
const LITERAL: u64 = 0x1000;

pub(super) fn execute(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let process = &thread.process;
    lock(&process.executing).threads += 1;
    let verdict = execute_at_home(worker, thread, row, args);
    if process.silent.load(Ordering::SeqCst) {
        // They are for what it has executed.
        return verdict;
    }
    let is_awaited = {
        let mut executing = lock(&process.executing);
        executing.threads -= 1;
        executing.threads == 0 && std::mem::take(&mut executing.is_awaited)
    };
    if is_awaited {
        let (done, delivered) = mpsc::channel();
        let pid = process.pid;
        worker.host.order(Order::Deliver { pid, done });
        // Fails if the runtime ends.
        let _ = delivered.recv();
    }
    verdict
}

fn execute_at_home(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    // The new program inherits mask and pending signals, which the deputy does
    // not have.
    let mask = signals::blocked(thread.outer);
    // Some wait at home anyway.
    let held = thread.process.held.load(Ordering::SeqCst);
    let pending = signals::take_pending(&worker.host, thread, !held);
    if mask != held && !push_mask(worker, thread, mask) {
        return Verdict::Gone;
    }
    for incoming in &pending {
        push_signal(worker, thread, incoming);
    }
    // If it succeeds, home may see the program's end before we can tell more.
    stats::report(&worker.host, &thread.process);
    let memory = thread.memory();
    let verdict = worker.forward(thread, Kind::Exec, row, args, &memory, None);
    let Verdict::Answer(result) = verdict else {
        return verdict;
    };
    let process = &thread.process;
    if matches!(result, EXECUTED | STAYS) {
        let outcome = Outcome::Result(0);
        observe::call(thread, row.nr, args, outcome, worker.started);
    }
    match result {
        EXECUTED => {
            process.silent.store(true, Ordering::SeqCst);
            let Some(link) = lock(&thread.link).take() else {
                return Verdict::Gone;
            };
            match worker.host.arrival(link) {
                Ok(arrival) => worker.host.order(Order::Arrive(Box::new(arrival))),
                Err(error) => worker.host.tell_home(&ToHome::Cannot {
                    pid: process.pid,
                    reason: error.to_string(),
                }),
            }
            Verdict::Gone
        }
        STAYS => {
            process.silent.store(true, Ordering::SeqCst);
            worker.host.order(Order::Discard { pid: process.pid });
            Verdict::Gone
        }
        failed => {
            for _ in &pending {
                pull_signal(worker, thread, mask & !held);
            }
            if mask != held && !push_mask(worker, thread, held) {
                return Verdict::Gone;
            }
            signals::give_back(thread, pending);
            Verdict::Answer(failed)
        }
    }
}

/// Gives the deputy's thread this signal mask.
fn push_mask(worker: &mut Worker, thread: &Thread, mask: u64) -> bool {
    let bytes = mask.to_le_bytes();
    let memory = Literal {
        at: LITERAL,
        bytes: &bytes,
    };
    let args = [libc::SIG_SETMASK as u64, LITERAL, 0, 8, 0, 0];
    matches!(
        worker.own(thread, &SET_MASK, &args, &memory),
        Verdict::Answer(0)
    )
}

/// Makes a signal pending for the deputy's thread, which blocks it.
fn push_signal(worker: &mut Worker, thread: &Thread, incoming: &Incoming) {
    let memory = Literal {
        at: LITERAL,
        bytes: &incoming.info,
    };
    let (pid, tid) = (thread.process.pid as u64, thread.tid as u64);
    let args = [pid, tid, incoming.signal as u64, LITERAL, 0, 0];
    // A full queue of signals loses one natively, too.
    worker.own(thread, &QUEUE_SIGNAL, &args, &memory);
}

/// Takes back one of the signals that were made pending.
fn pull_signal(worker: &mut Worker, thread: &Thread, mask: u64) {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&mask.to_le_bytes());
    let memory = Literal {
        at: LITERAL,
        bytes: &bytes,
    };
    let args = [LITERAL, 0, LITERAL + 8, 8, 0, 0];
    worker.own(thread, &TAKE_SIGNAL, &args, &memory);
}
