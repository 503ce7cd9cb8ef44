//! Signals into the body.
//!
//! All signals for a guest arrive at its deputy and are passed on. Here a plain
//! signal is sent to the body; when it is delivered, the tracer puts the
//! original details in place. A thread that waits in a forwarded call does not
//! wake for signals, so its call is interrupted at home.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::marshal::Marshalled;
use image::capture::status_field;
use lane::Kind;
use lane::control::ToHome;
use sys::ptrace::{self, SignalInfo};

use crate::guest::{Disposition, Incoming, Process, Sent, TemporaryMask, Thread};
use crate::home_rows::TAKE_DETAILS;
use crate::host::{Host, lock};
use crate::memory::Scratch;

/// Pending (for the thread, for the process) and blocked signals of a thread.
pub(crate) struct Sets {
    pub(crate) pending: u64,
    pub(crate) blocked: u64,
}

pub(crate) fn sets(outer: i32) -> Option<Sets> {
    let status = sys::proc_text::read(format!("/proc/{outer}/status")).ok()?;
    let set = |name| status_field(&status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    Some(Sets {
        pending: set("SigPnd:")? | set("ShdPnd:")?,
        blocked: set("SigBlk:")?,
    })
}

/// Signals that a thread blocks.
pub(crate) fn blocked(outer: i32) -> u64 {
    sets(outer).map_or(0, |sets| sets.blocked)
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Whether the default action of `signal` is to do nothing, signal(7).
fn is_ignored_by_default(signal: i32) -> bool {
    matches!(signal, libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH)
}

/// Whether a signal waits that this thread does not block (with `temporary`
/// in place of its own mask, if given).
pub(crate) fn is_due(thread: &Thread, temporary: Option<TemporaryMask>) -> bool {
    let Some(sets) = sets(thread.outer) else {
        return true;
    };
    let blocked = temporary.map_or(sets.blocked, |t| t.mask);
    sets.pending & !blocked != 0
}

/// Whether a signal may be due of which nobody has told home, now that a call
/// of this thread is on its way. One that was due before the call has been
/// delivered before it, since the thread's mask changes only between calls: so
/// only what has arrived since the last look counts, unless the call waits with
/// a mask of its own.
pub(crate) fn may_be_due(thread: &Thread, temporary: Option<TemporaryMask>) -> bool {
    let arrivals = thread.process.arrivals.load(Ordering::SeqCst);
    let looked = std::mem::replace(&mut lock(&thread.state).looked, arrivals);
    looked != arrivals || temporary.is_some() && !lock(&thread.process.incoming).is_empty()
}

/// If a signal is due for a thread that waits at home, interrupts its call.
pub(crate) fn interrupt_if_due(host: &Host, thread: &Thread) {
    let state = lock(&thread.state);
    let (request, temporary) = (state.request, state.temporary);
    drop(state);
    let Some(request) = request else { return };
    if is_due(thread, temporary) {
        let tid = thread.tid;
        host.tell_home(&ToHome::Interrupt { tid, request });
    }
}

/// Sends a signal to thread `tid` of `process`, or with 0 to the process: then a
/// thread is chosen that does not block it, the leader first. Whether it ends
/// the process, which is as good as dead then.
pub(crate) fn inject(host: &Host, process: &Arc<Process>, tid: i32, sent: &Sent) -> bool {
    let signal = sent.signal();
    let threads = host.threads_of(process.pid);
    let candidates: Vec<(Arc<Thread>, u64)> = threads
        .into_iter()
        .filter(|t| tid == 0 || t.tid == tid)
        .filter_map(|t| sets(t.outer).map(|sets| (t, sets.blocked)))
        .collect();
    let open = |t: &(Arc<Thread>, u64)| {
        let temporary = lock(&t.0.state).temporary;
        temporary.map_or(t.1, |m| m.mask) & bit(signal) == 0
    };
    let target = candidates.iter().find(|t| open(t));
    let disposition = lock(&process.dispositions).of[signal.clamp(0, 64) as usize];
    let ignored = match disposition {
        Disposition::Ignored => true,
        Disposition::Default => is_ignored_by_default(signal),
        Disposition::Handled => false,
    };
    let receiver = match target {
        Some((thread, _)) => Some(thread),
        None => candidates
            .first()
            .filter(|_| tid != 0)
            .map(|(thread, _)| thread),
    };
    match sent {
        Sent::Signal(_) if target.is_some() && ignored && signal != libc::SIGCONT => return false,
        // One of its kind waits: as in every kernel, this one is lost, and its details with it.
        Sent::Signal(_) if signal < FIRST_QUEUED && waits_already(process, receiver, signal) => {
            return false;
        }
        Sent::Signal(info) => {
            let info = *info;
            lock(&process.incoming).push_back(Incoming { signal, info });
        }
        Sent::Word(_) => {
            process.held.fetch_or(bit(signal), Ordering::SeqCst);
        }
    }
    process.arrivals.fetch_add(1, Ordering::SeqCst);
    let signalled = match target {
        Some((thread, _)) => ptrace::tgkill(process.outer, thread.outer, signal),
        // Blocked everywhere: pending for the thread, or for all.
        None => match candidates.first() {
            Some((thread, _)) if tid != 0 => ptrace::tgkill(process.outer, thread.outer, signal),
            _ => ptrace::kill(process.outer, signal),
        },
    };
    if signalled.is_err() {
        if let Sent::Signal(_) = sent {
            lock(&process.incoming).pop_back();
        }
        return false;
    }
    process.changed();
    let Some((thread, _)) = target else {
        // Somebody may have opened up since it was looked for.
        for (thread, _) in &candidates {
            interrupt_if_due(host, thread);
        }
        return false;
    };
    interrupt_if_due(host, thread);
    disposition == Disposition::Default && ends(signal)
}

/// The first of the signals of which more than one waits.
const FIRST_QUEUED: i32 = 32;

/// Whether `signal` waits for this thread, or with `None` for its process.
fn waits_already(process: &Process, receiver: Option<&Arc<Thread>>, signal: i32) -> bool {
    let (outer, set) = match receiver {
        Some(thread) => (thread.outer, "SigPnd:"),
        None => (process.outer, "ShdPnd:"),
    };
    let status = sys::proc_text::read(format!("/proc/{outer}/status")).unwrap_or_default();
    let pending = status_field(&status, set).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    pending.unwrap_or(0) & bit(signal) != 0
}

/// Whether the default action of `signal` is to end the process, signal(7).
pub(crate) fn ends(signal: i32) -> bool {
    !is_ignored_by_default(signal)
        && !matches!(
            signal,
            libc::SIGCONT | libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU
        )
}

/// Details of `signal` when it is delivered, if it is one that was sent here.
pub(crate) fn take_incoming(process: &Process, signal: i32) -> Option<SignalInfo> {
    let mut incoming = lock(&process.incoming);
    let at = incoming.iter().position(|i| i.signal == signal)?;
    incoming.remove(at).map(|i| i.info)
}

/// Forgets the details of those signals of `set` that wait in the body no more.
/// Call only where signals are injected, so that none is on its way.
pub(crate) fn forget_taken(host: &Host, process: &Process, set: u64) {
    let threads = host.threads_of(process.pid);
    let pending = threads.iter().filter_map(|t| sets(t.outer));
    let waiting = pending.fold(0, |all, sets| all | sets.pending);
    let taken = set & !waiting;
    lock(&process.incoming).retain(|i| taken & bit(i.signal) == 0);
}

/// Takes a signal that waits at home for `thread` or its process, if it still does.
pub(crate) fn take_at_home(thread: &Thread, signal: i32) -> Option<SignalInfo> {
    const SET: u64 = 0x1000;
    const TIME: u64 = SET + 8;
    const INFO: u64 = TIME + 16;
    let mut bytes = [0; 24 + 128];
    bytes[..8].copy_from_slice(&bit(signal).to_le_bytes());
    let memory = Scratch::new(SET, bytes);
    let mut call = Marshalled::new();
    call.marshal(&TAKE_DETAILS, &[SET, INFO, TIME, 8, 0, 0], &memory)
        .ok()?;
    let mut link = lock(&thread.link);
    let link = link.as_mut()?;
    link.put_in_order(&thread.process.ahead).ok()?;
    link.send_call(Kind::Call, &call).ok()?;
    let answer = link.receive_answer().ok()?;
    let result = call.scatter(answer.result, answer.data, &memory).ok()?;
    let mut details = [0; 128];
    details.copy_from_slice(&memory.bytes()[24..]);
    (result == i64::from(signal)).then_some(details)
}

/// Signals of `set` that wait in the body because `thread` blocks them, with
/// their details as far as they are known. They are not on their way any more.
pub(crate) fn take_pending(host: &Host, thread: &Thread, set: u64) -> Vec<Incoming> {
    let process = &thread.process;
    let Some(sets) = sets(thread.outer) else {
        return Vec::new();
    };
    let pending = sets.pending & sets.blocked & set;
    let mut taken = Vec::new();
    for signal in (1..=64).filter(|signal| pending & bit(*signal) != 0) {
        let before = taken.len();
        while let Some(info) = take_incoming(process, signal) {
            taken.push(Incoming { signal, info });
        }
        if taken.len() == before {
            // Raised by the guest itself.
            let info = info_of_kill(signal, SI_TKILL, process.pid, host.uid);
            taken.push(Incoming { signal, info });
        }
    }
    taken
}

/// The reverse of [`take_pending`].
pub(crate) fn give_back(thread: &Thread, pending: Vec<Incoming>) {
    lock(&thread.process.incoming).extend(pending);
}

/// `si_code` of kill(2).
pub(crate) const SI_USER: i32 = 0;
/// `si_code` of tgkill(2).
pub(crate) const SI_TKILL: i32 = -6;

/// `siginfo_t` of kill(2) or tgkill(2) by process `pid` of user `uid`.
pub(crate) fn info_of_kill(signal: i32, code: i32, pid: i32, uid: u32) -> SignalInfo {
    let mut info = [0; 128];
    info[0..4].copy_from_slice(&signal.to_ne_bytes());
    info[8..12].copy_from_slice(&code.to_ne_bytes());
    info[16..20].copy_from_slice(&pid.to_ne_bytes());
    info[20..24].copy_from_slice(&uid.to_ne_bytes());
    info
}
