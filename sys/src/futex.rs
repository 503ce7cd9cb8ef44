//! Waiting on a word of shared memory: `futex(2)`, not process-private.
#![allow(unsafe_code, reason = "raw futex system call")]

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps until woken, as long as `word` holds `expected` when the kernel looks.
///
/// Returns on any wake-up, value change, signal or after `timeout`; the caller
/// checks its condition again.
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) {
    let limit = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs() as libc::time_t,
        tv_nsec: i64::from(t.subsec_nanos()),
    });
    let limit_ptr = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `word` outlives the call; the timeout is null or a live timespec.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            limit_ptr,
        )
    };
}

/// Wakes at most `count` sleepers on `word`. Returns how many were woken.
pub fn wake(word: &AtomicU32, count: i32) -> io::Result<i64> {
    // SAFETY: FUTEX_WAKE only uses the address of `word` as a key.
    crate::check(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) })
}
