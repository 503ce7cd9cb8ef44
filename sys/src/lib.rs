//! The kernel interface of Homenode: the only crate with unsafe code.
//!
//! Each module wraps one kernel facility behind a safe function or type and
//! opts out of the workspace's `unsafe_code` lint for itself. Errors are
//! `std::io::Error` with the kernel's errno; callers add what was tried, on
//! which pid, and what to do.

pub mod executable;
pub mod fdpass;
pub mod features;
pub mod futex;
pub mod inherited;
pub mod lease;
pub mod limits;
pub mod maps;
pub mod memfd;
pub mod patience;
pub mod pidfd;
pub mod proc_text;
pub mod process;
pub mod processor;
pub mod ptrace;
pub mod ready;
pub mod seccomp;
pub mod stub;
pub mod userfault;
pub mod vm;
pub mod window;

/// Turns a raw `-1`-on-error result into `io::Result`.
fn check(ret: i64) -> std::io::Result<i64> {
    if ret == -1 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}
