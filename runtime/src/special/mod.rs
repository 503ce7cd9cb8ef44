//! Calls with a handler of their own: one file per family.

mod actions;
mod control;
mod cpu_time;
mod execute;
mod kill;
mod limits;
mod map;
mod masked;
mod messages;
mod other_memory;
mod sigwait;
mod vmsplice;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::row::{Route, Row};
use sys::seccomp::Notification;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::pool::Pool;

/// Handles a call of route Both or Special.
pub(crate) fn handle(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    pool: &Pool,
    row: &'static Row,
    notified: &Notification,
) -> Verdict {
    let args = &notified.args;
    match i64::from(row.nr) {
        libc::SYS_execve | libc::SYS_execveat => execute::execute(worker, thread, row, args),
        libc::SYS_mmap => map::map(worker, thread, pool, notified),
        libc::SYS_rt_sigaction => actions::set(worker, thread, args),
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_tgkill => {
            kill::kill(worker, thread, row, args)
        }
        libc::SYS_setuid | libc::SYS_setreuid | libc::SYS_setresuid => {
            // Before the call: another thread may see its effect before we hear of it.
            worker.host.ids_changed.store(true, Ordering::SeqCst);
            worker.home(thread, row, args)
        }
        libc::SYS_rt_tgsigqueueinfo => kill::queue(worker, thread, row, args),
        libc::SYS_ppoll | libc::SYS_pselect6 | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => {
            masked::wait(worker, thread, row, args)
        }
        libc::SYS_getrusage => cpu_time::usage(worker, thread, row, args),
        libc::SYS_times => cpu_time::times(worker, thread, row, args),
        libc::SYS_setitimer | libc::SYS_getitimer if args[0] != 0 => Verdict::Native,
        libc::SYS_setrlimit | libc::SYS_prlimit64 => limits::limit(worker, thread, row, args),
        libc::SYS_process_vm_readv | libc::SYS_process_vm_writev => {
            other_memory::copy(worker, thread, row, args)
        }
        libc::SYS_vmsplice => vmsplice::vmsplice(worker, thread, row, args),
        libc::SYS_sendmmsg | libc::SYS_recvmmsg => messages::exchange(worker, thread, row, args),
        libc::SYS_ioctl => control::control(worker, thread, row, args),
        libc::SYS_signalfd | libc::SYS_signalfd4 | libc::SYS_timer_create => {
            waiting::hold(worker, thread, row, args)
        }
        libc::SYS_rt_sigpending => waiting::pending(worker, thread, args),
        libc::SYS_rt_sigtimedwait => sigwait::wait(worker, thread, args),
        libc::SYS_prctl => prctl(worker, thread, row, args),
        _ => worker.home(thread, row, args),
    }
}

/// prctl(2): by command.
fn prctl(worker: &mut Worker, thread: &Thread, row: &'static Row, args: &[u64; 6]) -> Verdict {
    if args[0] == sys::process::JOB_QUERY {
        return Verdict::Answer(1);
    }
    match row.resolve(args).route {
        Route::Here => Verdict::Native,
        Route::GoHome => worker.go_home(thread, "prctl"),
        Route::Home | Route::Special => worker.home(thread, row, args),
        Route::Both => match worker.home(thread, row, args) {
            Verdict::Answer(result) if result >= 0 => Verdict::Native,
            other => other,
        },
    }
}
