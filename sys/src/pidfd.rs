//! Processes by descriptor: `pidfd_open(2)`, `pidfd_getfd(2)`.
#![allow(unsafe_code, reason = "raw pidfd system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `struct pidfd_info` as of Linux 6.13; what later versions add is not asked for.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ids: [u32; 8],
    exit_code: i32,
}

const _: () = assert!(size_of::<Info>() == 64);
const PIDFD_GET_INFO: libc::Ioctl = 0xc040_ff0b;
const PIDFD_INFO_PID: u64 = 1;

/// A descriptor for process `pid`; stays valid, and harmless, after its end.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = crate::check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A duplicate of descriptor `fd` of the process behind `pidfd`, close-on-exec.
///
/// Needs the right to trace that process. `EBADF` if it has no such descriptor.
pub fn getfd(pidfd: BorrowedFd<'_>, fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd =
        crate::check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Parent of the process behind `pidfd` as our pid namespace numbers it; 0 if
/// it has none there. Read as getppid(2) reads it, so it is as current.
///
/// `ENOTTY`: the kernel is older than 6.13. `ESRCH`: the process is gone.
pub fn parent(pidfd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut info = Info {
        mask: PIDFD_INFO_PID,
        ..Info::default()
    };
    // SAFETY: `info` is a live local of the size that the request encodes.
    let ret = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    crate::check(i64::from(ret))?;
    Ok(info.ppid as i32)
}

/// Sleeps until one of the processes behind `pidfds` has ended.
pub fn await_end(pidfds: &[BorrowedFd<'_>]) {
    let mut fds: Vec<libc::pollfd> = pidfds
        .iter()
        .map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    loop {
        // SAFETY: a live array of the given length.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) };
        // Interrupted only by signals that have no handler here.
        if ready != -1 {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn parent_is_what_getppid_says() {
        let me = open(std::process::id() as i32).unwrap();
        match parent(me.as_fd()) {
            Ok(parent) => assert_eq!(parent, std::os::unix::process::parent_id() as i32),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOTTY)),
        }
    }
}
