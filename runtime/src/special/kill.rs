//! kill(2), tkill(2), tgkill(2): to a thread of the caller's own process here,
//! else at home, where the kernel decides who is meant and who may.

use std::sync::Arc;

use abi::row::Row;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::signals::{self, SI_TKILL, SI_USER};

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
    // Ending and stopping are the home kernel's business; 0 and nonsense too.
    let decided_at_home = !(1..=64).contains(&signal)
        || [
            libc::SIGKILL,
            libc::SIGSTOP,
            libc::SIGTSTP,
            libc::SIGTTIN,
            libc::SIGTTOU,
            libc::SIGCONT,
        ]
        .contains(&signal);
    if pid != own || decided_at_home {
        return worker.home(thread, row, args);
    }
    let threads = worker.host.threads_of(own);
    if tid == thread.tid || tid == 0 && threads.len() == 1 {
        // To itself: all in registers, and delivered before it returns.
        return Verdict::Native;
    }
    if tid != 0 && !threads.iter().any(|t| t.tid == tid) {
        return worker.home(thread, row, args);
    }
    let code = if tid == 0 { SI_USER } else { SI_TKILL };
    let info = signals::info_of_kill(signal, code, own, worker.host.uid);
    signals::inject(&worker.host, &thread.process, tid, signal, info);
    Verdict::Answer(0)
}
