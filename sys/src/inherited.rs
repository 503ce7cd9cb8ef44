//! What a program inherits and Rust's runtime changes before `main`: it ignores
//! SIGPIPE, and opens /dev/null at standard descriptors that are closed. A
//! program that becomes another one hands on what it was given itself.
#![allow(unsafe_code, reason = "a function that runs before main")]

use std::sync::atomic::{AtomicU32, Ordering};

/// Bit of SIGPIPE being ignored; below it, one for each closed standard descriptor.
const PIPE_IGNORED: u32 = 1 << 3;

static FOUND: AtomicU32 = AtomicU32::new(0);

extern "C" fn look() {
    let mut found = 0;
    for fd in 0..3 {
        // SAFETY: no pointers are passed.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
            found |= 1 << fd;
        }
    }
    // SAFETY: an all-zero sigaction is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `action` is a live local; nothing is changed.
    unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) };
    if action.sa_sigaction == libc::SIG_IGN {
        found |= PIPE_IGNORED;
    }
    FOUND.store(found, Ordering::Relaxed);
}

// SAFETY: functions listed in this section are called once, before `main`, with
// arguments that `look` does not take; it uses nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// Puts everything back. Call right before exec: what prints or opens files
/// afterwards may meet closed descriptors.
pub fn restore() {
    let found = FOUND.load(Ordering::Relaxed);
    if found & PIPE_IGNORED == 0 {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    for fd in (0..3).filter(|fd| found & 1 << fd != 0) {
        // SAFETY: opened by Rust's runtime, which does not mind.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
