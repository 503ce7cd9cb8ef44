//! What calls may do to descriptors: which streams they end, and which
//! descriptors they make others share.

use abi::row::{Arg, Row};

use crate::forward::Worker;
use crate::guest::{Process, Thread};
use crate::host::{Host, lock};

/// A call is about to be forwarded: what it may do to descriptors is prepared
/// for, and home hears of what was read.
pub(crate) fn before(worker: &mut Worker, thread: &Thread, row: &Row, args: &[u64; 6]) {
    let host = &worker.host;
    let ahead = &thread.process.ahead;
    let own = args[0] as i32;
    match i64::from(row.nr) {
        libc::SYS_close | libc::SYS_dup => ahead.forget(&[own]),
        libc::SYS_fcntl
            if !matches!(
                args[1] as i32,
                libc::F_GETFD | libc::F_SETFD | libc::F_GETFL
            ) =>
        {
            ahead.forget(&[own]);
        }
        libc::SYS_dup2 | libc::SYS_dup3 => ahead.forget(&[own, args[1] as i32]),
        libc::SYS_execve
        | libc::SYS_execveat
        | libc::SYS_close_range
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg => {
            ahead.forget_all();
            ahead.settle(host, thread.tid, |_| true);
            if i64::from(row.nr) == libc::SYS_close_range && args[2] != 0 {
                host.streams.turn_off(host);
            }
        }
        libc::SYS_pidfd_getfd | libc::SYS_unshare => host.streams.turn_off(host),
        _ => {}
    }
    if opens(row) || args.iter().enumerate().any(|(i, _)| row.arg(i) == Arg::Fd) {
        let mut private = lock(&ahead.private);
        worker.shared = private.shared;
        // No stream begins from here on until the call is over.
        let of_row = args.iter().map(|arg| *arg as i32);
        let moving = of_row.filter(|fd| private.open.contains(fd) && may_move(row, args, *fd));
        worker.moving.extend(moving);
        private.moving.extend_from_slice(&worker.moving);
    }
    ahead.settle(host, thread.tid, |fd| may_move(row, args, fd));
}

/// The call is over.
pub(crate) fn after(worker: &mut Worker, thread: &Thread) {
    if worker.moving.is_empty() {
        return;
    }
    let mut private = lock(&thread.process.ahead.private);
    for fd in worker.moving.drain(..) {
        if let Some(at) = private.moving.iter().position(|moving| *moving == fd) {
            private.moving.swap_remove(at);
        }
    }
}

/// Whether a call opens a file.
pub(super) fn opens(row: &Row) -> bool {
    matches!(
        i64::from(row.nr),
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 | libc::SYS_creat
    )
}

/// A call of the clone family is about to be made at home.
pub(crate) fn before_birth(host: &Host, thread: &Thread, flags: u64) {
    let ahead = &thread.process.ahead;
    let is_thread = flags & libc::CLONE_THREAD as u64 != 0;
    let shares_table = flags & libc::CLONE_FILES as u64 != 0;
    // One table of several processes, or several of one.
    if is_thread != shares_table {
        host.streams.turn_off(host);
    }
    if !is_thread {
        // No stream begins from here on until it has been made.
        lock(&ahead.private).births += 1;
        ahead.forget_all();
        ahead.settle(host, thread.tid, |_| true);
    } else {
        ahead.settle(host, thread.tid, |_| false);
    }
}

/// It has been made: what was opened meanwhile may be the child's, too.
pub(crate) fn after_birth(process: &Process, flags: u64) {
    if flags & libc::CLONE_THREAD as u64 == 0 {
        process.ahead.forget_all();
        lock(&process.ahead.private).births -= 1;
    }
}

/// The process goes home, all its threads standing still: every stream ends, and
/// home hears of all that was read before what thread `tid` says next.
pub(crate) fn before_leaving(host: &Host, process: &Process, tid: i32) {
    process.ahead.forget_all();
    process.ahead.settle(host, tid, |_| true);
}

/// Whether a call may use or move the position of descriptor `fd`, or needs that
/// nobody else has the file open.
fn may_move(row: &Row, args: &[u64; 6], fd: i32) -> bool {
    let is_harmless = matches!(
        i64::from(row.nr),
        libc::SYS_fstat
            | libc::SYS_newfstatat
            | libc::SYS_statx
            | libc::SYS_pread64
            | libc::SYS_preadv
            | libc::SYS_fadvise64
            | libc::SYS_fstatfs
    );
    let is_meant = |(index, arg): (usize, &u64)| row.arg(index) == Arg::Fd && *arg as i32 == fd;
    !is_harmless && args.iter().enumerate().any(is_meant)
}
