//! Waiting for several things at once: `signalfd(2)`, `eventfd(2)`, `poll(2)`.
#![allow(unsafe_code, reason = "raw signal and poll system calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Wakes a thread that sleeps in [`Bell::wait`]: by a child's change of state,
/// or by [`Bell::ring`] from another thread.
pub struct Bell {
    children: OwnedFd,
    event: OwnedFd,
}

impl Bell {
    /// Blocks SIGCHLD for the calling thread and those it will start, so that
    /// it can be waited for, and does not ignore it, as who started us may have
    /// done: an ignored one is not sent. Call before any other thread exists.
    pub fn new() -> io::Result<Bell> {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        // SAFETY: an all-zero sigset_t is valid and is initialised next.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is a live local.
        unsafe { libc::sigemptyset(&mut set) };
        // SAFETY: `set` is a live, initialised local.
        unsafe { libc::sigaddset(&mut set, libc::SIGCHLD) };
        // SAFETY: `set` is a live, initialised local; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
        // SAFETY: `set` is a live, initialised local.
        let fd = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        let fd = crate::check(i64::from(fd))?;
        // SAFETY: the kernel has just given us this descriptor.
        let children = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let fd = crate::check(i64::from(fd))?;
        // SAFETY: the kernel has just given us this descriptor.
        let event = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(Bell { children, event })
    }

    /// Wakes the waiter, now or at its next wait.
    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is live and eight bytes long. Failure means that the
        // counter is full, in which case the waiter wakes anyway.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), 8) };
    }

    /// Sleeps until a child changes state, somebody rings, or `timeout_ms`
    /// has passed (-1: no limit); then forgets what woke it.
    pub fn wait(&self, timeout_ms: i32) {
        let mut fds = [&self.children, &self.event].map(|fd| libc::pollfd {
            fd: fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: `fds` is a live array of two entries.
        unsafe { libc::poll(fds.as_mut_ptr(), 2, timeout_ms) };
        let mut sink = [0u8; 1024];
        for fd in fds.iter().filter(|f| f.revents != 0) {
            // SAFETY: `sink` is live and of the given length.
            unsafe { libc::read(fd.fd, sink.as_mut_ptr().cast(), sink.len()) };
        }
    }
}
