//! The filter of a body and the listener that hears of its calls:
//! `seccomp(2)`, `seccomp_unotify(2)`.
//!
//! The filter is assembled by seccompiler, which knows two actions and no
//! USER_NOTIF: its mismatch action is built as a TRACE placeholder and
//! rewritten, and the rows that stop for the tracer are tested first.
#![allow(unsafe_code, reason = "ioctls with raw structures")]

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::features;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// `(argument & mask) == value`.
pub struct Condition {
    /// Argument index, 0 to 5.
    pub arg: u8,
    /// Bits compared.
    pub mask: u64,
    /// What they must be.
    pub value: u64,
}

/// What the filter does with the system calls it names.
pub struct Rules {
    /// Executed natively if all conditions hold.
    pub allow: Vec<(u32, Vec<Condition>)>,
    /// Stop for the tracer.
    pub trace: Vec<u32>,
    /// Stop for the tracer with this in the lower half of argument 0.
    pub trace_with: Vec<(u32, u32)>,
}

const PLACEHOLDER: u16 = 0x7a7a;
const X32_BIT: u32 = 0x4000_0000;
const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
/// Where the lower half of argument 0 lies in `struct seccomp_data`.
const FIRST_ARGUMENT: u32 = 16;
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_NOT_LESS: u16 = 0x35;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

fn op(code: u16, jt: u8, jf: u8, k: u32) -> seccompiler::sock_filter {
    seccompiler::sock_filter { code, jt, jf, k }
}

/// Assembles the filter. All that `rules` do not name is notified, calls by
/// another ABI (int 0x80, x32) included.
///
/// # Errors
/// A rule seccompiler cannot express, in its own words.
pub fn assemble(rules: &Rules) -> Result<Vec<[u8; 8]>, String> {
    // The kernel remembers which calls are always allowed; only the others run
    // the filter. So those that have conditions are tested first.
    let (tested, always): (Vec<_>, Vec<_>) =
        rules.allow.iter().partition(|(_, when)| !when.is_empty());
    let mut program = chain(&tested)?;
    match program.last_mut() {
        Some(last) if last.code == RETURN => *last = op(JUMP, 0, 0, 0),
        _ => return Err("a filter that does not end with its default action".into()),
    }
    program.extend(chain(&always)?);

    let notify = libc::SECCOMP_RET_USER_NOTIF;
    let mut all = vec![
        op(LOAD, 0, 0, 4),
        op(JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        op(RETURN, 0, 0, notify),
        op(LOAD, 0, 0, 0),
        op(JUMP_NOT_LESS, 0, 1, X32_BIT),
        op(RETURN, 0, 0, notify),
    ];
    for nr in &rules.trace {
        all.push(op(JUMP_EQUAL, 0, 1, *nr));
        all.push(op(RETURN, 0, 0, libc::SECCOMP_RET_TRACE));
    }
    for (nr, value) in &rules.trace_with {
        all.push(op(JUMP_EQUAL, 0, 4, *nr));
        all.push(op(LOAD, 0, 0, FIRST_ARGUMENT));
        all.push(op(JUMP_EQUAL, 0, 1, *value));
        all.push(op(RETURN, 0, 0, libc::SECCOMP_RET_TRACE));
        all.push(op(LOAD, 0, 0, 0));
    }
    let rewritten = libc::SECCOMP_RET_TRACE | u32::from(PLACEHOLDER);
    all.extend(program.into_iter().map(|mut i| {
        if i.code == RETURN && i.k == rewritten {
            i.k = notify;
        }
        i
    }));
    if all.len() > 4096 {
        return Err(format!("{} instructions, the kernel takes 4096", all.len()));
    }
    Ok(all.into_iter().map(bytes_of).collect())
}

/// Bits of `SECCOMP_RET_DATA` by which the stops of [`counting`] are told from those of others.
pub const COUNTING_MARK: u16 = 0x6e6f;

/// A filter by which a process that a tracer watches stops where it asks for CPU time, marked with
/// [`COUNTING_MARK`]. All else is as without it.
pub fn counting() -> Vec<[u8; 8]> {
    const UPPER_HALF: u32 = 4;
    let stop = libc::SECCOMP_RET_TRACE | u32::from(COUNTING_MARK);
    let mut all = vec![
        op(LOAD, 0, 0, 4),
        op(JUMP_EQUAL, 1, 0, AUDIT_ARCH_X86_64),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        op(LOAD, 0, 0, 0),
    ];
    for nr in [libc::SYS_getrusage, libc::SYS_times] {
        all.push(op(JUMP_EQUAL, 0, 1, nr as u32));
        all.push(op(RETURN, 0, 0, stop));
    }
    for clock in [
        libc::CLOCK_PROCESS_CPUTIME_ID,
        libc::CLOCK_THREAD_CPUTIME_ID,
    ] {
        all.push(op(JUMP_EQUAL, 0, 4, libc::SYS_clock_gettime as u32));
        all.push(op(LOAD, 0, 0, FIRST_ARGUMENT));
        all.push(op(JUMP_EQUAL, 0, 1, clock as u32));
        all.push(op(RETURN, 0, 0, stop));
        all.push(op(LOAD, 0, 0, 0));
    }
    // Where they are to write what was used.
    for (nr, argument) in [(libc::SYS_wait4, 3), (libc::SYS_waitid, 4)] {
        let half = FIRST_ARGUMENT + 8 * argument;
        all.push(op(JUMP_EQUAL, 0, 5, nr as u32));
        all.push(op(LOAD, 0, 0, half));
        all.push(op(JUMP_EQUAL, 0, 2, 0));
        all.push(op(LOAD, 0, 0, half + UPPER_HALF));
        all.push(op(JUMP_EQUAL, 1, 0, 0));
        all.push(op(RETURN, 0, 0, stop));
        all.push(op(LOAD, 0, 0, 0));
    }
    all.push(op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    all.into_iter().map(bytes_of).collect()
}

fn bytes_of(i: seccompiler::sock_filter) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&i.code.to_ne_bytes());
    bytes[2] = i.jt;
    bytes[3] = i.jf;
    bytes[4..].copy_from_slice(&i.k.to_ne_bytes());
    bytes
}

/// A filter that allows these calls, with a placeholder for all others.
fn chain(allow: &[&(u32, Vec<Condition>)]) -> Result<BpfProgram, String> {
    let mut map: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (nr, conditions) in allow {
        let entry = map.entry(i64::from(*nr)).or_default();
        if conditions.is_empty() {
            continue;
        }
        let conditions = conditions
            .iter()
            .map(|c| {
                let compare = SeccompCmpOp::MaskedEq(c.mask);
                SeccompCondition::new(c.arg, SeccompCmpArgLen::Qword, compare, c.value)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| e.to_string())?;
        entry.push(SeccompRule::new(conditions).map_err(|e| e.to_string())?);
    }
    let placeholder = SeccompAction::Trace(u32::from(PLACEHOLDER));
    let filter = SeccompFilter::new(map, placeholder, SeccompAction::Allow, TargetArch::x86_64)
        .map_err(|e| e.to_string())?;
    filter
        .try_into()
        .map_err(|e: seccompiler::BackendError| e.to_string())
}

/// A system call that waits for our answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Names this notification in the answer.
    pub id: u64,
    /// Calling thread, in our pid namespace.
    pub tid: i32,
    /// Number.
    pub nr: i32,
    /// `AUDIT_ARCH_*`: tells calls by another ABI.
    pub arch: u32,
    /// Address after the system call instruction.
    pub ip: u64,
    /// Arguments.
    pub args: [u64; 6],
}

impl Notification {
    /// Whether the call was made by the x32 ABI, or its number is wild.
    pub fn is_x32(&self) -> bool {
        self.arch == AUDIT_ARCH_X86_64 && (self.nr as u32) >= X32_BIT
    }

    /// Whether the call was made by the 64-bit ABI of x86-64.
    pub fn is_native(&self) -> bool {
        self.arch == AUDIT_ARCH_X86_64 && (self.nr as u32) < X32_BIT
    }
}

/// Room for `struct seccomp_notif` and later versions of it.
#[repr(C, align(8))]
struct NotificationBytes([u8; 512]);

/// The supervisor's end of a filter.
pub struct Listener {
    fd: OwnedFd,
    /// Held by the one thread that polls, on kernels where receiving does not
    /// end with the last process: two must not poll for one notification, since
    /// the second would then receive for ever.
    polling: Option<Mutex<()>>,
}

impl Listener {
    /// Wraps the descriptor that `SECCOMP_FILTER_FLAG_NEW_LISTENER` made, and
    /// asks the scheduler to run supervisor and supervised in turn on one core
    /// (Linux 6.6; older kernels do without).
    pub fn new(fd: OwnedFd) -> Listener {
        const SET_FLAGS: libc::Ioctl = 0x4008_2104;
        // SAFETY: the request takes its flags by value.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS, 1u64) };
        let polling = (!features::receive_wakes_at_the_end()).then(Mutex::default);
        Listener { fd, polling }
    }

    /// Sleeps until a call is notified.
    ///
    /// `ENOENT`: the caller was killed or interrupted meanwhile, or the last
    /// process under the filter has ended ([`Listener::is_over`]). `EINTR`: a
    /// signal to this thread.
    pub fn receive(&self) -> io::Result<Notification> {
        let _turn = match &self.polling {
            None => None,
            Some(turn) => {
                let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                if self.poll(-1) & libc::POLLIN == 0 {
                    return Err(io::Error::from_raw_os_error(libc::ENOENT));
                }
                Some(turn)
            }
        };
        let mut bytes = NotificationBytes([0; 512]);
        // SAFETY: `bytes` is live, zeroed, aligned, and larger than the
        // kernel's structure.
        let ret = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV as libc::Ioctl,
                &raw mut bytes,
            )
        };
        crate::check(i64::from(ret))?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes.0[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        Ok(Notification {
            id: word(0),
            tid: word(8) as i32,
            nr: word(16) as i32,
            arch: (word(16) >> 32) as u32,
            ip: word(24),
            args: [word(32), word(40), word(48), word(56), word(64), word(72)],
        })
    }

    /// Whether a notification is waiting, without sleeping.
    pub fn is_ready(&self) -> bool {
        self.poll(0) & libc::POLLIN != 0
    }

    /// Whether the last process under the filter has ended.
    pub fn is_over(&self) -> bool {
        self.poll(0) & libc::POLLHUP != 0
    }

    fn poll(&self, timeout_ms: i32) -> i16 {
        let mut fd = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `fd` is a live local.
        unsafe { libc::poll(&mut fd, 1, timeout_ms) };
        fd.revents
    }

    /// Whether the caller of `id` still waits, so that what was read from its
    /// memory came from it and not from a process that reused its thread id.
    pub fn is_valid(&self, id: u64) -> bool {
        // SAFETY: `id` is a live local.
        let ret = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID as libc::Ioctl,
                &raw const id,
            )
        };
        ret == 0
    }

    fn send(&self, id: u64, value: i64, error: i32, flags: u32) -> io::Result<()> {
        let answer = libc::seccomp_notif_resp {
            id,
            val: value,
            error,
            flags,
        };
        // SAFETY: `answer` is a live local of the type the request expects.
        let ret = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND as libc::Ioctl,
                &raw const answer,
            )
        };
        crate::check(i64::from(ret)).map(drop)
    }

    /// Answers with the result of the call; -errno for failures, -512 and
    /// below for the kernel's own restart codes. `ENOENT`: the caller is gone.
    pub fn answer(&self, id: u64, result: i64) -> io::Result<()> {
        if (-4095..0).contains(&result) {
            self.send(id, 0, result as i32, 0)
        } else {
            self.send(id, result, 0, 0)
        }
    }

    /// Lets the kernel execute the call natively. Only for calls whose
    /// arguments are all in registers, or whose outcome concerns only the
    /// caller: memory can be changed by another thread after we looked.
    pub fn proceed(&self, id: u64) -> io::Result<()> {
        self.send(id, 0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32)
    }

    /// Puts a duplicate of `fd` at number `at` in the caller's table.
    pub fn install(&self, id: u64, fd: BorrowedFd<'_>, at: i32) -> io::Result<()> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: fd.as_raw_fd() as u32,
            newfd: at as u32,
            newfd_flags: 0,
        };
        // SAFETY: `request` is a live local of the type the request expects.
        let ret = unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ADDFD as libc::Ioctl,
                &raw const request,
            )
        };
        crate::check(i64::from(ret)).map(drop)
    }
}
