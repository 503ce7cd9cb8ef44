//! CPU time that was used elsewhere, and calls that tell of it.
//!
//! A kernel counts what it has seen. What a process has used before it came goes with it, and is
//! added to what the kernel answers, by the tracer, at the end of the call: getrusage(2) and
//! clock_gettime(2) of the caller's own time.

use std::io;

use serde::{Deserialize, Serialize};
use sys::ptrace::{self, Change, Registers};
use sys::{proc_text, vm};

use crate::inject::Injector;

const SECOND_NS: u64 = 1_000_000_000;
const MICROSECOND_NS: u64 = 1000;
/// Of times(2) and /proc: USER_HZ is 100 on all x86-64 kernels.
pub const TICK_NS: u64 = SECOND_NS / 100;

/// CPU time, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTime {
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
}

/// What the caller of a call has used elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Elsewhere {
    /// The process, with its ended threads.
    pub process: CpuTime,
    /// The calling thread.
    pub thread: CpuTime,
    /// The children that the process has waited for.
    pub children: CpuTime,
    /// What the kernel here had counted of the process when it left last: it has gone on with parts of
    /// ticks that this kernel does not tell.
    pub counted_before: CpuTime,
}

impl CpuTime {
    /// All of it.
    pub fn total_ns(&self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    /// This and that.
    pub fn plus(&self, other: CpuTime) -> CpuTime {
        CpuTime {
            user_ns: self.user_ns.saturating_add(other.user_ns),
            system_ns: self.system_ns.saturating_add(other.system_ns),
        }
    }

    /// From microseconds, as a wait for a process tells them.
    pub fn from_us([user, system]: [u64; 2]) -> CpuTime {
        CpuTime {
            user_ns: user.saturating_mul(MICROSECOND_NS),
            system_ns: system.saturating_mul(MICROSECOND_NS),
        }
    }

    /// From the first words of a `struct rusage`.
    fn of_rusage([user_s, user_us, system_s, system_us]: [u64; 4]) -> CpuTime {
        let us = |s: u64, us: u64| s.saturating_mul(1_000_000).saturating_add(us);
        CpuTime::from_us([us(user_s, user_us), us(system_s, system_us)])
    }

    /// What this node's kernel has counted of process `pid`, in ticks as /proc and times(2) have them.
    ///
    /// # Errors
    /// There is no such process.
    pub fn in_ticks(pid: i32) -> io::Result<CpuTime> {
        let stat = proc_text::read(format!("/proc/{pid}/stat"))?;
        // Fields 14 and 15 of proc_pid_stat(5), behind the name, which may hold anything.
        let mut fields = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_ascii_whitespace()
            .skip(11);
        let mut next_ns = || {
            let ticks = fields.next().and_then(|text| text.parse::<u64>().ok());
            let ticks = ticks.ok_or(io::ErrorKind::InvalidData)?;
            Ok::<u64, io::Error>(ticks.saturating_mul(TICK_NS))
        };
        Ok(CpuTime {
            user_ns: next_ns()?,
            system_ns: next_ns()?,
        })
    }

    /// Adds this to the `struct rusage` that begins here, if it is all there.
    pub fn add_to_rusage(&self, usage: &mut [u8]) {
        let of = |ns: u64| (ns / SECOND_NS, ns % SECOND_NS / MICROSECOND_NS);
        if let Some((user, rest)) = usage.split_at_mut_checked(16)
            && rest.len() >= 16
        {
            add(user, of(self.user_ns), SECOND_NS / MICROSECOND_NS);
            add(
                &mut rest[..16],
                of(self.system_ns),
                SECOND_NS / MICROSECOND_NS,
            );
        }
    }

    /// Adds this to two numbers of ticks that begin here: half a `struct tms`, or the end of a
    /// SIGCHLD's details.
    pub fn add_to_ticks(&self, ticks: &mut [u8]) {
        self.add_to_ticks_since(CpuTime::default(), ticks);
    }

    /// The same to ticks of which it is known that they are not less than `before`.
    fn add_to_ticks_since(&self, before: CpuTime, ticks: &mut [u8]) {
        let (pair, _) = ticks.as_chunks_mut::<8>();
        let more = [
            (self.user_ns, before.user_ns),
            (self.system_ns, before.system_ns),
        ];
        for (word, (ns, before_ns)) in pair.iter_mut().zip(more) {
            let told_ns = u64::from_ne_bytes(*word).saturating_mul(TICK_NS);
            let sum_ns = told_ns.max(before_ns).saturating_add(ns);
            *word = (sum_ns / TICK_NS).to_ne_bytes();
        }
    }

    fn add_to_timespec(&self, time: &mut [u8; 16]) {
        let ns = self.total_ns();
        add(time, (ns / SECOND_NS, ns % SECOND_NS), SECOND_NS);
    }
}

/// Adds to 16 bytes of seconds and parts, of which a second has `parts`.
fn add(time: &mut [u8], (seconds, more): (u64, u64), parts: u64) {
    let (words, _) = time.as_chunks_mut::<8>();
    if let [s, p] = words {
        let sum = u64::from_ne_bytes(*p).wrapping_add(more);
        *p = (sum % parts).to_ne_bytes();
        let sum = u64::from_ne_bytes(*s)
            .wrapping_add(seconds)
            .wrapping_add(sum / parts);
        *s = sum.to_ne_bytes();
    }
}

/// What a thread that makes calls for us has used, of its process or alone.
pub(crate) fn ask(injector: &mut Injector, who: i32) -> io::Result<CpuTime> {
    if who == libc::RUSAGE_THREAD {
        // A thread's usage is as of the last tick, its clock is not; to read that brings both up to date.
        let clock = libc::CLOCK_THREAD_CPUTIME_ID as u64;
        let [_, _] = injector.words(libc::SYS_clock_gettime, &[clock], 1)?;
    }
    let words = injector.words(libc::SYS_getrusage, &[who as u64], 1)?;
    Ok(CpuTime::of_rusage(words))
}

/// Whether a call that stands at the filter reads CPU time.
pub fn is_read_by(nr: u64) -> bool {
    [libc::SYS_getrusage, libc::SYS_clock_gettime].contains(&(nr as i64))
}

/// Lets thread `tid`, which stands at the filter before such a call, make it, and adds what was used
/// elsewhere. It is stopped at the end of the call then. Returns its end, if that came instead.
///
/// # Errors
/// It has ended, or its memory cannot be reached.
pub fn read_by(tid: i32, elsewhere: &Elsewhere) -> io::Result<Option<Change>> {
    ptrace::resume_to_call_end(tid)?;
    match ptrace::wait(tid, false)? {
        Some((_, Change::Signal(libc::SIGTRAP))) => {}
        Some((_, change)) => return Ok(Some(change)),
        None => return Ok(None),
    }
    add_to_result(tid, &ptrace::registers(tid)?, elsewhere).map(|()| None)
}

/// Adds what was used elsewhere to what thread `tid` was told by the call at whose end it is stopped.
///
/// # Errors
/// It has ended, or its memory cannot be reached.
pub fn add_to_result(tid: i32, regs: &Registers, elsewhere: &Elsewhere) -> io::Result<()> {
    if (-4095..0).contains(&(regs.rax as i64)) {
        return Ok(());
    }
    let of = match (regs.orig_rax as i64, regs.rdi as i32) {
        (libc::SYS_getrusage, libc::RUSAGE_SELF)
        | (libc::SYS_clock_gettime, libc::CLOCK_PROCESS_CPUTIME_ID) => elsewhere.process,
        (libc::SYS_getrusage, libc::RUSAGE_CHILDREN) => elsewhere.children,
        _ => elsewhere.thread,
    };
    match regs.orig_rax as i64 {
        libc::SYS_clock_gettime => change(tid, regs.rsi, |time| of.add_to_timespec(time)),
        libc::SYS_getrusage => add_to_usage_at(tid, regs.rsi, of),
        libc::SYS_times => change(tid, regs.rdi, |times: &mut [u8; 32]| {
            let (own, children) = times.split_at_mut(16);
            let before = elsewhere.counted_before;
            elsewhere.process.add_to_ticks_since(before, own);
            elsewhere.children.add_to_ticks(children);
        }),
        _ => Ok(()),
    }
}

/// Adds to the `struct rusage` at this address of process `tid`, if there is one.
///
/// # Errors
/// The process has ended, or its memory cannot be reached.
pub fn add_to_usage_at(tid: i32, at: u64, used: CpuTime) -> io::Result<()> {
    change(tid, at, |usage: &mut [u8; 32]| used.add_to_rusage(usage))
}

fn change<const N: usize>(tid: i32, at: u64, by: impl FnOnce(&mut [u8; N])) -> io::Result<()> {
    let mut bytes = [0; N];
    if at != 0 && vm::read(tid, at, &mut bytes)? == N {
        by(&mut bytes);
        vm::write(tid, at, &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<const N: usize>(values: [u64; N]) -> Vec<u8> {
        values.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    const USED: CpuTime = CpuTime {
        user_ns: 1_700_000_000,
        system_ns: 30_000_000,
    };

    #[test]
    fn parts_carry_into_seconds() {
        let mut usage = words([2, 400_000, 0, 999_999]);
        USED.add_to_rusage(&mut usage);
        assert_eq!(usage, words([4, 100_000, 1, 29_999]));
        let mut time = [0; 16];
        time.copy_from_slice(&words([0, 999_000_000]));
        USED.add_to_timespec(&mut time);
        assert_eq!(time.to_vec(), words([2, 729_000_000]));
    }

    #[test]
    fn ticks_are_hundredths() {
        let mut ticks = words([1, 2]);
        USED.add_to_ticks(&mut ticks);
        assert_eq!(ticks, words([171, 5]));
    }

    #[test]
    fn what_is_not_all_there_stays_as_it_is() {
        let mut short = vec![7; 31];
        USED.add_to_rusage(&mut short);
        assert_eq!(short, vec![7; 31]);
    }

    #[test]
    fn the_kernels_own_count_is_read() {
        let pid = std::process::id() as i32;
        let first = CpuTime::in_ticks(pid).expect("own CPU time");
        let mut last = first;
        while last.total_ns() == first.total_ns() {
            last = CpuTime::in_ticks(pid).expect("own CPU time");
        }
        assert!(last.user_ns >= first.user_ns && last.system_ns >= first.system_ns);
        assert!(CpuTime::in_ticks(-7).is_err());
    }
}
