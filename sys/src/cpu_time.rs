//! CPU time of other processes: `clock_getcpuclockid(3)`.
#![allow(unsafe_code, reason = "raw clock_gettime system call")]

use std::io;

/// The kind of clock that counts what the scheduler gave a process: its precise CPU time.
const SCHEDULED: i32 = 2;

/// CPU time that process `pid`, dead threads included, has used so far, in nanoseconds.
///
/// # Errors
/// There is no such process.
pub fn of_process(pid: i32) -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let clock = !pid << 3 | SCHEDULED;
    // SAFETY: `time` is a live local that the kernel fills.
    crate::check(i64::from(unsafe { libc::clock_gettime(clock, &mut time) }))?;
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
