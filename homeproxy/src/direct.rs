//! Calls that a lane's thread answers itself, without waking the deputy.
//!
//! A signal may be on its way to the deputy that the tracer has not seen yet. A
//! guest must not learn anything that came after the signal before it has the
//! signal, and only the deputy itself stops for it in time. So only an answer
//! that tells nothing new may be given here. Reading a file does not qualify:
//! whoever sent the signal may have written the bytes after it.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use abi::wire::WireCall;
use sys::pidfd;

use crate::job::Deputy;

/// Result of `call` if it can be told without the deputy.
pub(crate) fn answer(deputy: &Deputy, call: &WireCall<'_>) -> Option<i64> {
    match i64::from(call.nr) {
        libc::SYS_getppid => parent(deputy),
        _ => None,
    }
}

/// Remembers what the deputy has said, for [`answer`].
pub(crate) fn learn(deputy: &Deputy, call: &WireCall<'_>, result: i64) {
    if i64::from(call.nr) == libc::SYS_getppid && result > 0 {
        deputy.parent.store(result as i32, Ordering::SeqCst);
    }
}

/// The parent, if it is the one that the deputy named last. A new one is news:
/// a guest that asked for a signal at its parent's end gets that first.
fn parent(deputy: &Deputy) -> Option<i64> {
    let known = deputy.parent.load(Ordering::SeqCst);
    if known == 0 {
        return None;
    }
    // Fails on kernels before 6.13, and if the deputy has just ended.
    let parent = pidfd::parent(deputy.pidfd.as_fd()).ok()?;
    (parent == known).then_some(i64::from(parent))
}
