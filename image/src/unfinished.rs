//! Calls that were interrupted by a move before they were over: they are made
//! again and must come out as if they had been made once.
//!
//! A wait for a time ends when it would have ended: what is left is reckoned
//! from when it began. A write of which a part was written goes on with the
//! rest, and so does a call for many messages. What the call was given is replaced for that, and put back when it has
//! returned, so that neither registers nor memory of the program show it.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sys::ptrace::{self, Registers};
use sys::vm;

use crate::capture::from_words;
use crate::messages;
use crate::schema::Thread;
use crate::socket_limit::Direction;
use crate::vectors::{Read, Vectors};

/// A call under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Number of the call.
    pub nr: u32,
    /// What is left of it.
    pub rest: Rest,
    /// Signals that are blocked while it waits, and only then.
    pub mask: Option<u64>,
}

impl Unfinished {
    /// A wait for signals that `mask` does not block, as by rt_sigsuspend.
    pub fn suspension(mask: u64) -> Unfinished {
        let mut wait = Unfinished::new(libc::SYS_rt_sigsuspend as u32, Rest::Until(FOREVER));
        wait.mask = Some(mask);
        wait
    }

    fn new(nr: u32, rest: Rest) -> Unfinished {
        Unfinished {
            nr,
            rest,
            mask: None,
        }
    }
}

/// What is left of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rest {
    /// A wait that ends then, CLOCK_MONOTONIC in nanoseconds; or [`FOREVER`].
    Until(u64),
    /// A write of which so many bytes are written, or so many messages of a call
    /// for many.
    Written(u64),
}

impl Rest {
    /// The wait that ends first. A write is no wait.
    pub(crate) fn min(self, other: Rest) -> Rest {
        match (self, other) {
            (Rest::Until(one), Rest::Until(other)) => Rest::Until(one.min(other)),
            _ => self,
        }
    }
}

/// When a wait ends that has no end.
pub const FOREVER: u64 = u64::MAX;

/// How a call is told how long to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Milliseconds in the argument.
    Milliseconds,
    /// Address of a `struct timespec`.
    Timespec,
    /// The same, which the kernel sets to what is left: it may be written.
    TimespecInPlace,
    /// Address of a `struct timeval`, likewise.
    TimevalInPlace,
}

/// Number, argument and form. Waits until a point in time are not here.
const CALLS: &[(i64, usize, Form)] = &[
    (libc::SYS_poll, 2, Form::Milliseconds),
    (libc::SYS_select, 4, Form::TimevalInPlace),
    (libc::SYS_nanosleep, 0, Form::Timespec),
    (libc::SYS_rt_sigtimedwait, 2, Form::Timespec),
    (libc::SYS_futex, 3, Form::Timespec),
    (libc::SYS_semtimedop, 3, Form::Timespec),
    (libc::SYS_clock_nanosleep, 2, Form::Timespec),
    (libc::SYS_epoll_wait, 3, Form::Milliseconds),
    (libc::SYS_pselect6, 4, Form::TimespecInPlace),
    (libc::SYS_ppoll, 2, Form::TimespecInPlace),
    (libc::SYS_epoll_pwait, 3, Form::Milliseconds),
    (libc::SYS_recvmmsg, 4, Form::Timespec),
    (libc::SYS_epoll_pwait2, 3, Form::Timespec),
];

/// Below the red zone and whatever a signal frame may skip, where no program
/// keeps anything: bytes under the stack pointer.
const SCRATCH_BELOW: u64 = 1024;

/// The kernel's restart codes.
pub(crate) const ERESTART_RESTARTBLOCK: i64 = -516;
const ERESTARTNOHAND: i64 = -514;
pub(crate) const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;

fn form(nr: u32, args: &[u64; 6]) -> Option<(usize, Form)> {
    const FUTEX_COMMAND: u64 = 0x7f;
    let (_, at, form) = CALLS.iter().find(|(call, ..)| *call == i64::from(nr))?;
    let is_relative = match i64::from(nr) {
        libc::SYS_futex => args[1] & FUTEX_COMMAND == libc::FUTEX_WAIT as u64,
        libc::SYS_clock_nanosleep => args[1] & libc::TIMER_ABSTIME as u64 == 0,
        _ => true,
    };
    is_relative.then_some((*at, *form))
}

/// Whether a call with these arguments waits for a time that they say.
pub(crate) fn says_how_long(nr: u32, args: &[u64; 6]) -> bool {
    form(nr, args).is_some()
}

/// Whether the call may wait for a time that it is told.
pub fn is_timed(nr: u32) -> bool {
    CALLS.iter().any(|(call, ..)| *call == i64::from(nr))
}

/// Whether the call is told so where the kernel puts how much is left.
pub fn is_told_in_place(nr: u32) -> bool {
    let in_place = |form| matches!(form, Form::TimespecInPlace | Form::TimevalInPlace);
    let mut calls = CALLS.iter();
    calls.any(|(call, _, form)| *call == i64::from(nr) && in_place(*form))
}

/// Whether the call may wait for a time, also one that its socket has.
pub fn is_limited(nr: u32) -> bool {
    is_timed(nr) || Direction::of(nr).is_some()
}

/// Now, CLOCK_MONOTONIC in nanoseconds.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    now.as_nanos() as u64
}

/// The wait of a call by thread `tid` of this node that began at `since_ns`, if
/// it has an end.
pub fn of_call(tid: i32, nr: u32, args: &[u64; 6], since_ns: u64) -> Option<Unfinished> {
    let (at, form) = form(nr, args)?;
    let words = || {
        let mut bytes = [0; 16];
        let n = vm::read(tid, args[at], &mut bytes).ok()?;
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        (n == 16).then(|| [word(0), word(8)])
    };
    let nanoseconds = match form {
        Form::Milliseconds if (args[at] as i32) < 0 => return None,
        Form::Milliseconds => u64::from(args[at] as u32) * 1_000_000,
        Form::Timespec | Form::TimespecInPlace => {
            let [seconds, rest] = words()?;
            seconds.checked_mul(1_000_000_000)?.checked_add(rest)?
        }
        Form::TimevalInPlace => {
            let [seconds, rest] = words()?;
            let rest = rest.checked_mul(1000)?;
            seconds.checked_mul(1_000_000_000)?.checked_add(rest)?
        }
    };
    let deadline_ns = since_ns.checked_add(nanoseconds)?;
    Some(Unfinished::new(nr, Rest::Until(deadline_ns)))
}

/// Mask under which a call with these arguments waits, if it is given one.
fn mask_of_call(nr: u32, args: &[u64; 6], read: Read) -> Option<u64> {
    let word = |at: u64| {
        let mut bytes = [0; 8];
        (at != 0 && read(at, &mut bytes)).then(|| u64::from_ne_bytes(bytes))
    };
    match i64::from(nr) {
        libc::SYS_rt_sigsuspend => word(args[0]),
        libc::SYS_ppoll => word(args[3]),
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => word(args[4]),
        libc::SYS_pselect6 => word(word(args[5]).filter(|_| args[5] != 0)?),
        _ => None,
    }
}

/// What is left of the call of stopped thread `tid`, of which `known` is known
/// already, with the mask under which it was interrupted.
pub fn with_mask(tid: i32, known: Option<Unfinished>) -> io::Result<Option<Unfinished>> {
    let regs = ptrace::registers(tid)?;
    let is_interrupted = regs.orig_rax as i64 >= 0
        && (RESTARTS.contains(&(regs.rax as i64)) || regs.rax as i64 == -i64::from(libc::EINTR));
    let nr = regs.orig_rax as u32;
    let mask = match known {
        Some(known) if known.mask.is_some() => return Ok(Some(known)),
        _ if is_interrupted => mask_of_call(nr, &arguments(&regs), &memory_of(tid)),
        _ => None,
    };
    let Some(mask) = mask else {
        return Ok(known);
    };
    let known = known.filter(|known| known.nr == nr);
    let mut unfinished = known.unwrap_or(Unfinished::new(nr, Rest::Until(FOREVER)));
    unfinished.mask = Some(mask);
    Ok(Some(unfinished))
}

/// The wait of a call that began at `since_ns` on a socket with this limit.
pub fn of_socket(nr: u32, limit: Duration, since_ns: u64) -> Option<Unfinished> {
    let deadline_ns = since_ns.checked_add(limit.as_nanos().try_into().ok()?)?;
    Some(Unfinished::new(nr, Rest::Until(deadline_ns)))
}

pub(crate) fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Stack pointer of a thread of this node that waits in a call.
pub fn stack_pointer(tid: i32) -> Option<u64> {
    let text = sys::proc_text::read(format!("/proc/{tid}/syscall")).ok()?;
    hexadecimal(text.split_whitespace().nth(7)?)
}

/// Whether the call writes the bytes at its second argument, as many as its
/// third says, and may write fewer when it is interrupted.
fn writes(nr: u32) -> bool {
    matches!(i64::from(nr), libc::SYS_write | libc::SYS_sendto)
}

/// Reads the memory of thread `tid` of this node.
pub fn memory_of(tid: i32) -> impl Fn(u64, &mut [u8]) -> bool {
    move |at, into| vm::read(tid, at, into).is_ok_and(|n| n == into.len())
}

/// What is left of a write of which `bytes` were written, if that is not all;
/// `read` reads the program's memory.
pub fn of_write(nr: u32, args: &[u64; 6], bytes: i64, read: Read) -> Option<Unfinished> {
    let written = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)?;
    let wanted = match writes(nr) {
        true => args[2].min(WRITE_BYTES_MAX),
        false if messages::are_many(nr) => messages::wanted(nr, args, written, read)?,
        false => Vectors::of_write(nr, args, read)?.bytes(),
    };
    (written < wanted).then_some(Unfinished::new(nr, Rest::Written(written)))
}

/// A call with what is left in place of what it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Shortened {
    /// Its arguments.
    pub args: [u64; 6],
    /// Where to write what in the program's memory first.
    pub memory: Option<(u64, Vec<u8>)>,
    /// What was done of it before, to be added to its result.
    pub done: u64,
}

impl Shortened {
    /// Puts what belongs there into the memory of thread `tid` of this node.
    /// Whether that was done: a program without a stack there waits for the
    /// whole time, and its write comes back short.
    pub fn put(&self, tid: i32) -> bool {
        self.memory
            .as_ref()
            .is_none_or(|(at, bytes)| vm::write(tid, *at, bytes).is_ok_and(|n| n == bytes.len()))
    }

    /// Result of the whole call, if the rest of it had `result`.
    pub fn whole(done: u64, result: i64) -> i64 {
        match result {
            _ if done == 0 => result,
            0.. => result.wrapping_add(done as i64),
            // What is written is written.
            _ => done as i64,
        }
    }
}

/// Most bytes that the kernel writes in one call, write(2).
pub(crate) const WRITE_BYTES_MAX: u64 = 0x7fff_f000;

/// The rest of a call with `args`, made at `now_ns` by a thread whose stack
/// pointer is `stack`; `read` reads the program's memory.
pub fn shorten(
    unfinished: &Unfinished,
    args: &[u64; 6],
    stack: u64,
    now_ns: u64,
    read: Read,
) -> Option<Shortened> {
    let mut args = *args;
    let deadline_ns = match unfinished.rest {
        Rest::Until(FOREVER) => return None,
        Rest::Until(deadline_ns) => deadline_ns,
        Rest::Written(done) if writes(unfinished.nr) && done < args[2].min(WRITE_BYTES_MAX) => {
            args[1] = args[1].wrapping_add(done);
            args[2] = args[2].min(WRITE_BYTES_MAX) - done;
            return Some(Shortened {
                args,
                memory: None,
                done,
            });
        }
        Rest::Written(done) if messages::are_many(unfinished.nr) => {
            messages::skip(&mut args, done);
            return Some(Shortened {
                args,
                memory: None,
                done,
            });
        }
        Rest::Written(done) if Vectors::are_written(unfinished.nr) => {
            let mut vectors = Vectors::of(unfinished.nr, &args, read)?;
            vectors.skip(done);
            let memory = vectors.give(&mut args, stack.checked_sub(SCRATCH_BELOW)?)?;
            return Some(Shortened {
                args,
                memory: Some(memory),
                done,
            });
        }
        Rest::Written(_) => return None,
    };
    let (at, form) = form(unfinished.nr, &args)?;
    let left = Duration::from_nanos(deadline_ns.saturating_sub(now_ns));
    let scratch = (stack & !15).checked_sub(SCRATCH_BELOW)?;
    let pair = |rest: u32| {
        let words = [left.as_secs(), u64::from(rest)].map(u64::to_ne_bytes);
        words.concat()
    };
    let memory = match form {
        Form::Milliseconds => {
            // Never earlier.
            let milliseconds = left.as_nanos().div_ceil(1_000_000);
            args[at] = milliseconds.min(i32::MAX as u128) as u64;
            None
        }
        Form::Timespec => {
            args[at] = scratch;
            Some((scratch, pair(left.subsec_nanos())))
        }
        Form::TimespecInPlace => Some((args[at], pair(left.subsec_nanos()))),
        Form::TimevalInPlace => Some((args[at], pair(left.subsec_nanos().div_ceil(1000)))),
    };
    Some(Shortened {
        args,
        memory,
        done: 0,
    })
}

pub(crate) fn arguments(regs: &Registers) -> [u64; 6] {
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]
}

pub(crate) fn set_arguments(regs: &mut Registers, args: &[u64; 6]) {
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = *args;
}

/// Whether a thread with these registers is about to make call `nr`, or to make
/// it again.
pub(crate) fn is_about_to_call(regs: &Registers, nr: u32) -> bool {
    let nr = u64::from(nr);
    if regs.orig_rax as i64 >= 0 {
        regs.orig_rax == nr && RESTARTS.contains(&(regs.rax as i64))
    } else {
        regs.rax == nr
    }
}

/// Whether stopped thread `tid` of this node is about to make that call, or to make it again.
pub fn is_next(tid: i32, unfinished: &Unfinished) -> bool {
    // Fails if it has ended.
    ptrace::registers(tid).is_ok_and(|regs| is_about_to_call(&regs, unfinished.nr))
}

/// A thread with these registers, which is about to make a call, is made to
/// return from it.
pub(crate) fn return_from_call(regs: &mut Registers, result: u64) {
    const SYSCALL_BYTES: u64 = 2;
    if (regs.orig_rax as i64) < 0 {
        regs.rip = regs.rip.wrapping_add(SYSCALL_BYTES);
    }
    regs.orig_rax = u64::MAX;
    regs.rax = result;
}

/// A call that is made again is made from its arguments: by `restart_syscall(2)` it would not show
/// which one it is when it is interrupted once more.
pub(crate) fn from_its_arguments(regs: &mut Registers) {
    if regs.rax as i64 == ERESTART_RESTARTBLOCK {
        regs.rax = ERESTARTNOHAND as u64;
    }
}

/// A thread that has stopped in a wait without an end makes it again from its arguments, so that it
/// can be told which call it is when it has stopped more than once.
pub fn keep_endless(tid: i32) -> io::Result<()> {
    let mut regs = ptrace::registers(tid)?;
    let nr = regs.orig_rax as u32;
    if regs.rax as i64 == ERESTART_RESTARTBLOCK
        && regs.orig_rax as i64 != libc::SYS_restart_syscall
        && of_call(tid, nr, &arguments(&regs), 0).is_none()
    {
        from_its_arguments(&mut regs);
        ptrace::set_registers(tid, &regs)?;
    }
    Ok(())
}

/// A stopped thread is about to receive a signal before the rest of a call: a
/// write of which a part is written is over then.
pub fn end_before_signal(tid: i32, unfinished: &Unfinished) -> io::Result<()> {
    let mut regs = ptrace::registers(tid)?;
    if let Rest::Written(done) = unfinished.rest
        && is_about_to_call(&regs, unfinished.nr)
    {
        return_from_call(&mut regs, done);
        ptrace::set_registers(tid, &regs)?;
    }
    Ok(())
}

/// Whether a thread of an image is about to make call `nr`, or to make it again.
pub fn will_call(thread: &Thread, nr: i64) -> bool {
    u32::try_from(nr).is_ok_and(|nr| is_about_to_call(&from_words(&thread.registers), nr))
}

pub(crate) const ERESTARTNOINTR: i64 = -513;

/// Whether a thread with these registers was interrupted in a write of which a
/// part is written: then it is made to stand before the call again.
pub(crate) fn stand_before_write(tid: i32, regs: &mut Registers) -> Option<Unfinished> {
    let nr = u32::try_from(regs.orig_rax).ok()?;
    let unfinished = of_write(nr, &arguments(regs), regs.rax as i64, &memory_of(tid))?;
    regs.rax = ERESTARTNOINTR as u64;
    Some(unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: u64, _: &mut [u8]) -> bool {
        false
    }

    #[test]
    fn what_is_left_takes_the_place_of_the_time() {
        let wait = |nr: i64| Unfinished::new(nr as u32, Rest::Until(5_000_000_001));
        let shortened =
            |nr, args: [u64; 6]| shorten(&wait(nr), &args, 0x8008, 3_000_000_000, &nothing);
        let poll = shortened(libc::SYS_poll, [1, 2, 9999, 4, 5, 6]).expect("a timed call");
        assert_eq!((poll.args[2], poll.memory), (2001, None));
        let sleep = shortened(libc::SYS_nanosleep, [0x10, 0x20, 0, 0, 0, 0]).expect("a timed call");
        let bytes = [2u64, 1].map(u64::to_ne_bytes).concat();
        assert_eq!(sleep.args[..2], [0x7c00, 0x20]);
        assert_eq!(sleep.memory.as_ref().map(|(at, _)| *at), Some(0x7c00));
        assert_eq!(sleep.memory.map(|(_, b)| b), Some(bytes));
        let select = shortened(libc::SYS_select, [0, 0, 0, 0, 0x30, 0]).expect("a timed call");
        assert_eq!(select.memory.map(|(at, _)| at), Some(0x30));
        let until = [0, libc::TIMER_ABSTIME as u64, 0x10, 0, 0, 0];
        assert_eq!(shortened(libc::SYS_clock_nanosleep, until), None);
        assert_eq!(shortened(libc::SYS_read, [0; 6]), None);
    }

    #[test]
    fn a_write_goes_on_with_the_rest() {
        let nr = libc::SYS_write as u32;
        let args = [1, 0x1000, 100, 0, 0, 0];
        assert_eq!(of_write(nr, &args, 100, &nothing), None);
        assert_eq!(of_write(nr, &args, -4, &nothing), None);
        let unfinished = of_write(nr, &args, 30, &nothing).expect("an unfinished write");
        let rest = shorten(&unfinished, &args, 0, 0, &nothing).expect("a rest");
        assert_eq!(rest.args[..3], [1, 0x101e, 70]);
        assert_eq!(Shortened::whole(rest.done, 70), 100);
        assert_eq!(Shortened::whole(rest.done, -11), 30);
        assert_eq!(Shortened::whole(0, -11), -11);
    }
}
