//! kill(2), tkill(2), tgkill(2): to a thread of the caller's own process here,
//! else at home, where the kernel decides who is meant and who may.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use abi::memory::GuestMemory;
use abi::row::Row;
use sys::ptrace::SignalInfo;

use crate::forward::{Verdict, Worker};
use crate::guest::{Sent, Thread};
use crate::home_rows::USER;
use crate::signals::{self, SI_TKILL, SI_USER};

/// Longest time a process may take to die of its own signal.
const DEATH_TIMEOUT: Duration = Duration::from_millis(500);

/// Ending and stopping are the home kernel's business; 0 and nonsense too.
fn is_decided_at_home(signal: i32) -> bool {
    const ENDING_AND_STOPPING: [i32; 6] = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGCONT,
    ];
    !(1..=64).contains(&signal) || ENDING_AND_STOPPING.contains(&signal)
}

pub(super) fn kill(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let own = thread.process.pid;
    let (pid, tid, signal) = match i64::from(row.nr) {
        libc::SYS_kill => (args[0] as i32, 0, args[1] as i32),
        libc::SYS_tkill => (own, args[0] as i32, args[1] as i32),
        _ => (args[0] as i32, args[1] as i32, args[2] as i32),
    };
    if pid != own || is_decided_at_home(signal) || thread.process.holds(signal) {
        return worker.home(thread, row, args);
    }
    let threads = worker.host.threads_of(own);
    let ids_changed = worker.host.ids_changed.load(Ordering::SeqCst);
    if !ids_changed && (tid == thread.tid || tid == 0 && threads.len() == 1) {
        // To itself: all in registers, and delivered before it returns.
        return Verdict::Native;
    }
    if tid != 0 && !threads.iter().any(|t| t.tid == tid) {
        return worker.home(thread, row, args);
    }
    let code = if tid == 0 { SI_USER } else { SI_TKILL };
    let mut uid = worker.host.uid;
    if ids_changed {
        // The body's own kernel knows only the first one.
        let memory = thread.memory();
        uid = match worker.own(thread, &USER, &[0; 6], &memory) {
            Verdict::Answer(uid) => uid as u32,
            other => return other,
        };
    }
    let info = signals::info_of_kill(signal, code, own, uid);
    send(worker, thread, tid, info)
}

/// rt_sigqueueinfo(2), rt_tgsigqueueinfo(2) to the caller's own process or a thread of it: at home the
/// latter would look as if it were for the whole process, and the caller would go on for a moment.
pub(super) fn queue(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    /// Codes of which no kernel minds what else the details say, SI_DETHREAD to SI_USER.
    const KNOWN: std::ops::RangeInclusive<i32> = -7..=0;
    let own = thread.process.pid;
    let [pid, second, third, ..] = args.map(|arg| arg as i32);
    let (tid, signal, details) = match i64::from(row.nr) {
        libc::SYS_rt_sigqueueinfo => (0, second, args[2]),
        _ => (second, third, args[3]),
    };
    let has_thread = || worker.host.threads_of(own).iter().any(|t| t.tid == tid);
    let is_own = pid == own
        && !is_decided_at_home(signal)
        && !thread.process.holds(signal)
        && (i64::from(row.nr) == libc::SYS_rt_sigqueueinfo || has_thread());
    let mut info = [0; 128];
    if !is_own || thread.memory().read(details, &mut info).is_err() {
        return worker.home(thread, row, args);
    }
    let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
    // As if by kill or tgkill: to oneself only, by the id of the very thread.
    let needs_self = [SI_USER, SI_TKILL].contains(&code);
    let target = if tid == 0 { pid } else { tid };
    if !KNOWN.contains(&code) || needs_self && target != thread.tid {
        return worker.home(thread, row, args);
    }
    info[..4].copy_from_slice(&signal.to_ne_bytes());
    send(worker, thread, tid, info)
}

/// Sends a signal to the caller's own process or a thread of it.
fn send(worker: &Worker, thread: &Thread, tid: i32, info: SignalInfo) -> Verdict {
    let process = &thread.process;
    if signals::inject(&worker.host, process, tid, &Sent::Signal(info)) {
        // Natively no thread goes on after that. Bounded, since another thread
        // may have begun to handle the signal.
        let deadline = Instant::now() + DEATH_TIMEOUT;
        while signals::sets(process.outer).is_some() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Verdict::Answer(0)
}
