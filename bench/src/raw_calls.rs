//! The only unsafe code of the bench: what has to reach the kernel without a library in between.
//!
//! Forked children here call nothing but async-signal-safe functions, so every function is sound
//! in a program with any number of threads.
#![allow(
    unsafe_code,
    reason = "fork, bare system calls and file mappings have no safe form; the bench measures exactly these"
)]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::AtomicU32;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Bytes one transfer of [`pour`] carries.
pub(crate) const POUR_BYTES: usize = 64 * 1024;
/// Page size of x86-64.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Status of a forked child that could not do its work.
const CHILD_FAILED: i32 = 101;

/// `clock_gettime(CLOCK_MONOTONIC)` as a system call, past the vDSO.
pub(crate) fn clock_gettime() -> nix::Result<()> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec, and `now` is one, alive through the call.
    let result =
        unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut now) };
    nix::errno::Errno::result(result).map(drop)
}

/// Wakes one waiter of `word`. Nobody waits: this is the futex call at its cheapest.
pub(crate) fn futex_wake(word: &AtomicU32) -> nix::Result<()> {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: FUTEX_WAKE needs an aligned user address; it neither reads nor writes the word.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1) };
    nix::errno::Errno::result(result).map(drop)
}

/// Puts the calling thread under a seccomp filter of one instruction, which allows everything.
pub(crate) fn allow_everything() -> Result<()> {
    nix::sys::prctl::set_no_new_privs().context("giving up new privileges")?;
    let mut allow = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut allow,
    };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the kernel copies the program, which is alive through the call and as long as it says.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    nix::errno::Errno::result(result).context("installing a filter")?;
    Ok(())
}

/// Maps the first `bytes` of `file` privately, reads one byte of each page, unmaps.
pub(crate) fn touch_private_mapping(file: &File, bytes: usize) -> Result<u64> {
    let mut options = memmap2::MmapOptions::new();
    options.len(bytes);
    // SAFETY: the file lies in this run's own scratch directory and nobody writes or truncates it
    // while the map lives, so the slice stays valid and unchanged.
    let map = unsafe { options.map_copy_read_only(file) }.context("mapping a file")?;
    let touched = map
        .iter()
        .step_by(PAGE_BYTES)
        .map(|byte| u64::from(*byte))
        .sum();
    Ok(std::hint::black_box(touched))
}

/// Forks a child that exits at once; waits for it.
pub(crate) fn fork_exit() -> Result<()> {
    expect_success(fork_into(|| exit(0))?)
}

/// Forks a child that becomes `program` (no arguments, empty environment); waits for it.
pub(crate) fn fork_exec(program: &CStr) -> Result<()> {
    let argv = [program.as_ptr(), ptr::null()];
    let envp = [ptr::null()];
    let child = fork_into(|| {
        // SAFETY: `program` ends in NUL; both arrays end in a null pointer and outlive the call,
        // which is async-signal-safe.
        unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    })?;
    expect_success(child)
}

/// A forked peer; dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Peer(Pid);

impl Drop for Peer {
    fn drop(&mut self) {
        // Both can fail only if the peer is already gone, which is what is wanted.
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// Forks a peer that answers every `request` bytes from `rx` with `reply` bytes on `tx`, for ever.
///
/// Neither size may exceed 64. On `core` if given.
pub(crate) fn echo(
    rx: BorrowedFd<'_>,
    tx: BorrowedFd<'_>,
    request: usize,
    reply: usize,
    core: Option<usize>,
) -> Result<Peer> {
    let mut message = [0_u8; 64];
    if request > message.len() || reply > message.len() {
        bail!("an echo carries at most {} bytes", message.len());
    }
    let peer = fork_into(|| {
        pin_or_exit(core);
        loop {
            let served = read_exactly(rx, &mut message[..request]).is_ok()
                && nix::unistd::write(tx, &message[..reply]) == Ok(reply);
            if !served {
                exit(0);
            }
        }
    })?;
    Ok(Peer(peer))
}

/// Forks a peer that writes [`POUR_BYTES`] at a time to `tx`, for ever. On `core` if given.
pub(crate) fn pour(tx: BorrowedFd<'_>, core: Option<usize>) -> Result<Peer> {
    let payload = vec![0x5a_u8; POUR_BYTES];
    let peer = fork_into(|| {
        pin_or_exit(core);
        while nix::unistd::write(tx, &payload).is_ok() {}
        exit(0)
    })?;
    Ok(Peer(peer))
}

/// Fills `buffer` from `rx`; the end of the stream is an error.
pub(crate) fn read_exactly(rx: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match nix::unistd::read(rx, &mut buffer[filled..])? {
            0 => return Err(nix::errno::Errno::EPIPE),
            count => filled += count,
        }
    }
    Ok(())
}

fn pin_or_exit(core: Option<usize>) {
    let Some(core) = core else { return };
    let mut set = nix::sched::CpuSet::new();
    let pinned = set
        .set(core)
        .and_then(|()| nix::sched::sched_setaffinity(Pid::from_raw(0), &set));
    if pinned.is_err() {
        exit(CHILD_FAILED);
    }
}

/// Ends a forked child without running the parent's exit handlers.
fn exit(status: i32) -> ! {
    // SAFETY: `_exit` has no requirement and is async-signal-safe.
    unsafe { libc::_exit(status) }
}

/// Forks; the child runs `child`, which must be async-signal-safe, and fails if that returns.
fn fork_into(mut child: impl FnMut()) -> Result<Pid> {
    // SAFETY: in a program with threads the child may only call async-signal-safe functions:
    // the callers, all in this file, use read, write, sched_setaffinity, execve and _exit alone.
    match unsafe { fork() }.context("fork")? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            child();
            exit(CHILD_FAILED)
        }
    }
}

fn expect_success(child: Pid) -> Result<()> {
    match waitpid(child, None).context("waiting for a child")? {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => bail!("a child ended with {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn an_echo_answers_and_goes_away() -> Result<()> {
        let (their_rx, our_tx) = nix::unistd::pipe()?;
        let (our_rx, their_tx) = nix::unistd::pipe()?;
        let peer = echo(their_rx.as_fd(), their_tx.as_fd(), 3, 2, None)?;
        drop(their_tx);
        nix::unistd::write(&our_tx, b"abc")?;
        let mut answer = [0; 2];
        read_exactly(our_rx.as_fd(), &mut answer)?;
        assert_eq!(&answer, b"ab");
        drop(peer);
        assert!(
            read_exactly(our_rx.as_fd(), &mut answer).is_err(),
            "the peer still holds its end"
        );
        Ok(())
    }

    #[test]
    fn a_failing_exec_is_an_error() {
        assert!(fork_exec(c"/does/not/exist").is_err());
    }
}
