//! Tracing: `ptrace(2)` on seized tracees and the raw `waitpid(2)` that goes with it.
//!
//! All requests must come from the thread that seized the tracee, and nearly
//! all need it stopped; `ESRCH` means that it is gone or running.
//! `waitpid` is called raw, since wrappers lose real-time signals.
#![allow(unsafe_code, reason = "raw ptrace system calls")]

use std::io;

/// General-purpose registers, as the kernel lays them out.
pub type Registers = libc::user_regs_struct;

/// Extended registers (x87, SSE, AVX …): most bytes the kernel may return.
pub const XSTATE_BYTES_MAX: usize = 16 * 1024;
const NT_X86_XSTATE: u64 = 0x202;

/// Options used with [`seize`].
pub mod options {
    /// Stop at fork, vfork and clone, and seize the child.
    pub const NEWBORN: i32 =
        libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE;
    /// Stop at a successful execve.
    pub const EXEC: i32 = libc::PTRACE_O_TRACEEXEC;
    /// Stop when a thread is about to end.
    pub const EXIT: i32 = libc::PTRACE_O_TRACEEXIT;
    /// Stop at `SECCOMP_RET_TRACE`.
    pub const SECCOMP: i32 = libc::PTRACE_O_TRACESECCOMP;
    /// Kill the tracee when the tracer ends.
    pub const EXITKILL: i32 = libc::PTRACE_O_EXITKILL;
}

/// What `waitpid` reported of a tracee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Ended by exit with this code.
    Exited(i32),
    /// Ended by this signal.
    Killed {
        /// Signal number.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
    /// Stopped; about to receive `signal`.
    Signal(i32),
    /// Stopped at a `PTRACE_EVENT_*`; `signal` is SIGTRAP or, for
    /// `PTRACE_EVENT_STOP`, the stopping signal of a group-stop.
    Event {
        /// One of `libc::PTRACE_EVENT_*`.
        event: i32,
        /// Signal part of the status.
        signal: i32,
    },
}

/// `PTRACE_EVENT_STOP`: newborn, group-stop or interrupted tracee.
pub const EVENT_STOP: i32 = 128;

/// Waits for a change of `pid`, or of any child or tracee with -1.
///
/// `None`: nothing to report yet (only with `nohang`). `ECHILD`: nobody left.
pub fn wait(pid: i32, nohang: bool) -> io::Result<Option<(i32, Change)>> {
    // For its CPU time the kernel looks at all threads of a process.
    wait_with(pid, nohang, None)
}

/// What a process has used: all of it at the end of its leading thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in microseconds, of user and system.
    pub cpu_us: [u64; 2],
    /// Most memory at any time, in bytes.
    pub peak_bytes: u64,
}

/// As [`wait`], with what the process has used.
pub fn wait_counting(pid: i32, nohang: bool) -> io::Result<Option<(i32, Change, Usage)>> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let waited = wait_with(pid, nohang, Some(&mut usage))?;
    // SAFETY: zeros are a valid value, and so is what the kernel writes.
    let usage = unsafe { usage.assume_init() };
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    let used = Usage {
        cpu_us: [us(usage.ru_utime), us(usage.ru_stime)],
        // It is told in KiB.
        peak_bytes: (usage.ru_maxrss.max(0) as u64).saturating_mul(1024),
    };
    Ok(waited.map(|(pid, change)| (pid, change, used)))
}

fn wait_with(
    pid: i32,
    nohang: bool,
    usage: Option<&mut std::mem::MaybeUninit<libc::rusage>>,
) -> io::Result<Option<(i32, Change)>> {
    let mut status = 0;
    let flags = libc::__WALL | if nohang { libc::WNOHANG } else { 0 };
    let usage = usage.map_or(std::ptr::null_mut(), |usage| usage.as_mut_ptr());
    loop {
        // SAFETY: `status` is a live local; `usage` is null, or lives as long as this call.
        let got = unsafe { libc::wait4(pid, &mut status, flags, usage) };
        match crate::check(i64::from(got)) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some((pid as i32, decode(status)))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn decode(status: i32) -> Change {
    if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Killed {
            signal: libc::WTERMSIG(status),
            core: libc::WCOREDUMP(status),
        }
    } else {
        let signal = (status >> 8) & 0xff;
        match status >> 16 {
            0 => Change::Signal(signal),
            event => Change::Event { event, signal },
        }
    }
}

fn request(op: u32, pid: i32, addr: u64, data: u64) -> io::Result<i64> {
    // SAFETY: callers pass as `addr` and `data` either plain numbers or
    // addresses of live locals of the type that the request expects.
    crate::check(unsafe { libc::ptrace(op, pid, addr, data) })
}

/// Attaches without stopping the tracee.
pub fn seize(pid: i32, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, pid, 0, options as u64).map(drop)
}

/// Changes the options of a stopped tracee.
pub fn set_options(pid: i32, options: i32) -> io::Result<()> {
    request(libc::PTRACE_SETOPTIONS, pid, 0, options as u64).map(drop)
}

/// Asks a running tracee to stop with [`EVENT_STOP`].
pub fn interrupt(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, pid, 0, 0).map(drop)
}

/// Lets a stopped tracee run on, delivering `signal` (0: none).
pub fn resume(pid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_CONT, pid, 0, signal as u64).map(drop)
}

/// Lets a stopped tracee run to its next system call stop: from a stop inside
/// a call, to the end of that call, where it stops with SIGTRAP.
pub fn resume_to_call_end(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, pid, 0, 0).map(drop)
}

/// Lets a tracee in group-stop stay stopped, but report what follows.
pub fn listen(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, pid, 0, 0).map(drop)
}

/// Executes one instruction.
pub fn step(pid: i32) -> io::Result<()> {
    request(libc::PTRACE_SINGLESTEP, pid, 0, 0).map(drop)
}

/// Stops tracing; the tracee runs on natively.
pub fn detach(pid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, pid, 0, signal as u64).map(drop)
}

/// General-purpose registers of a stopped tracee.
pub fn registers(pid: i32) -> io::Result<Registers> {
    // SAFETY: an all-zero register set is a valid value.
    let mut regs: Registers = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, pid, 0, &raw mut regs as u64)?;
    Ok(regs)
}

/// Sets the general-purpose registers of a stopped tracee.
pub fn set_registers(pid: i32, regs: &Registers) -> io::Result<()> {
    request(
        libc::PTRACE_SETREGS,
        pid,
        0,
        std::ptr::from_ref(regs) as u64,
    )
    .map(drop)
}

/// Extended registers of a stopped tracee, in the kernel's XSAVE layout.
pub fn xstate(pid: i32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; XSTATE_BYTES_MAX];
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    request(
        libc::PTRACE_GETREGSET,
        pid,
        NT_X86_XSTATE,
        &raw mut part as u64,
    )?;
    bytes.truncate(part.iov_len);
    Ok(bytes)
}

/// Sets the extended registers of a stopped tracee.
pub fn set_xstate(pid: i32, bytes: &[u8]) -> io::Result<()> {
    let part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    request(
        libc::PTRACE_SETREGSET,
        pid,
        NT_X86_XSTATE,
        &raw const part as u64,
    )
    .map(drop)
}

/// Set of blocked signals of a stopped tracee: bit n-1 for signal n.
pub fn signal_mask(pid: i32) -> io::Result<u64> {
    let mut mask = 0u64;
    request(libc::PTRACE_GETSIGMASK, pid, 8, &raw mut mask as u64)?;
    Ok(mask)
}

/// Sets the blocked signals of a stopped tracee.
pub fn set_signal_mask(pid: i32, mask: u64) -> io::Result<()> {
    request(libc::PTRACE_SETSIGMASK, pid, 8, &raw const mask as u64).map(drop)
}

/// A `siginfo_t` as 128 opaque bytes.
pub type SignalInfo = [u8; 128];

#[repr(C, align(8))]
struct AlignedInfo(SignalInfo);

/// Details of the signal a tracee is about to receive.
pub fn signal_info(pid: i32) -> io::Result<SignalInfo> {
    let mut info = AlignedInfo([0; 128]);
    request(libc::PTRACE_GETSIGINFO, pid, 0, &raw mut info as u64)?;
    Ok(info.0)
}

/// Replaces the details of the signal a tracee is about to receive.
pub fn set_signal_info(pid: i32, info: &SignalInfo) -> io::Result<()> {
    let info = AlignedInfo(*info);
    request(libc::PTRACE_SETSIGINFO, pid, 0, &raw const info as u64).map(drop)
}

#[repr(C)]
struct PeekArguments {
    offset: u64,
    flags: u32,
    count: i32,
}

/// Signals that wait for a stopped tracee, with their details, oldest first:
/// those for its process if `of_process`, else those for the thread alone.
/// PTRACE_PEEKSIGINFO, ptrace(2).
pub fn pending_signals(pid: i32, of_process: bool) -> io::Result<Vec<SignalInfo>> {
    const AT_ONCE: usize = 32;
    let mut all = Vec::new();
    loop {
        let arguments = PeekArguments {
            offset: all.len() as u64,
            flags: u32::from(of_process),
            count: AT_ONCE as i32,
        };
        let mut infos = [const { AlignedInfo([0; 128]) }; AT_ONCE];
        let got = request(
            libc::PTRACE_PEEKSIGINFO,
            pid,
            &raw const arguments as u64,
            &raw mut infos as u64,
        )?;
        all.extend(infos.iter().take(got.max(0) as usize).map(|info| info.0));
        if (got as usize) < AT_ONCE {
            return Ok(all);
        }
    }
}

/// Head and length of the robust list of thread `tid`, get_robust_list(2).
pub fn robust_list(tid: i32) -> io::Result<(u64, u64)> {
    let (mut head, mut bytes) = (0u64, 0u64);
    // SAFETY: the kernel writes one word to each of two live locals.
    let result = unsafe {
        libc::syscall(
            libc::SYS_get_robust_list,
            tid,
            &raw mut head,
            &raw mut bytes,
        )
    };
    crate::check(result)?;
    Ok((head, bytes))
}

/// Message of the last event: the child's pid after fork or clone, the former
/// thread id after execve.
pub fn event_message(pid: i32) -> io::Result<u64> {
    let mut message = 0u64;
    request(libc::PTRACE_GETEVENTMSG, pid, 0, &raw mut message as u64)?;
    Ok(message)
}

/// Restartable-sequence registration of a thread.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct RseqConfiguration {
    /// Address of the thread's `struct rseq`; 0: not registered.
    pub address: u64,
    /// Registered size in bytes.
    pub bytes: u32,
    /// Signature before each abort handler.
    pub signature: u32,
    /// Registration flags.
    pub flags: u32,
    /// Unused.
    pub pad: u32,
}

/// Restartable-sequence registration of a stopped tracee (Linux 5.13).
pub fn rseq(pid: i32) -> io::Result<RseqConfiguration> {
    let mut config = RseqConfiguration::default();
    let bytes = size_of::<RseqConfiguration>() as u64;
    request(
        libc::PTRACE_GET_RSEQ_CONFIGURATION,
        pid,
        bytes,
        &raw mut config as u64,
    )?;
    Ok(config)
}

/// Writes into the memory of a stopped tracee, read-only pages included.
/// The length is rounded up to words of eight bytes with zeros.
pub fn poke(pid: i32, at: u64, bytes: &[u8]) -> io::Result<()> {
    for (index, chunk) in bytes.chunks(8).enumerate() {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        request(
            libc::PTRACE_POKEDATA,
            pid,
            at + index as u64 * 8,
            u64::from_ne_bytes(word),
        )?;
    }
    Ok(())
}

/// Sends `signal` to thread `tid` of process `pid`.
pub fn tgkill(pid: i32, tid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    crate::check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) }).map(drop)
}

/// Sends `signal` to process `pid`.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    crate::check(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}
