//! System calls that a stopped thread makes on our behalf, one at a time.
//!
//! For what only a thread itself can tell, and to get a first foothold in a
//! process; whatever comes in numbers goes through the stub. A `syscall`
//! instruction of the process is borrowed and executed by a single step, so
//! nothing of its code is changed.

use std::io;

use sys::ptrace::{self, Change, Registers};
use sys::vm;

use crate::ImageError;
use crate::maps::Line;

/// All but SIGTRAP, which ends a step. SIGKILL and SIGSTOP cannot be blocked.
const ALL_SIGNALS_BUT_TRAP: u64 = !(1 << (libc::SIGTRAP - 1));
/// Bytes of the process's memory that are borrowed.
const SCRATCH_BYTES: usize = 256;
/// Most bytes of one mapping that are searched for an instruction.
const SEARCHED_BYTES_MAX: usize = 1 << 20;

/// What is borrowed of a process: an instruction, and memory for results.
#[derive(Debug, Clone, Copy)]
pub struct Loan {
    /// Address of a `syscall` instruction.
    pub instruction: u64,
    /// Address of [`SCRATCH_BYTES`] that may be written, aligned to a page.
    pub scratch: u64,
}

impl Loan {
    /// Finds what can be borrowed of process `pid`, whose mappings are `lines`.
    ///
    /// # Errors
    /// [`ImageError::Stays`] if it has no such instruction or memory.
    pub fn of(pid: i32, lines: &[Line]) -> Result<Loan, ImageError> {
        let stays = |what| ImageError::Stays {
            pid,
            reason: format!("its address space has no {what} to borrow"),
        };
        let executable = |line: &&Line| line.prot & libc::PROT_EXEC != 0;
        let vdso = lines.iter().filter(|line| line.name == "[vdso]");
        let others = lines.iter().filter(|line| line.name != "[vdso]");
        let instruction = vdso
            .chain(others)
            .filter(executable)
            .find_map(|line| syscall_instruction(pid, line.start, line.end));
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        let own = |line: &&Line| line.prot & writable == writable && !line.shared;
        let scratch = lines
            .iter()
            .filter(own)
            .filter(|line| line.inode == 0 && !line.name.starts_with("[v"))
            .map(|line| line.start)
            .next();
        Ok(Loan {
            instruction: instruction.ok_or_else(|| stays("system call instruction"))?,
            scratch: scratch.ok_or_else(|| stays("writable memory"))?,
        })
    }
}

/// Address of a `syscall` instruction between two addresses of process `pid`.
pub(crate) fn syscall_instruction(pid: i32, start: u64, end: u64) -> Option<u64> {
    let bytes = ((end - start) as usize).min(SEARCHED_BYTES_MAX);
    let mut text = vec![0; bytes];
    let read = vm::read(pid, start, &mut text).ok()?;
    let at = text[..read]
        .windows(2)
        .position(|pair| pair == [0x0f, 0x05])?;
    Some(start + at as u64)
}

/// A stopped thread that makes calls for us. [`Injector::end`] makes it what it
/// was before.
#[must_use = "the thread keeps changed registers until `end`"]
pub struct Injector {
    tid: i32,
    loan: Loan,
    saved: Registers,
    mask: u64,
    scratch: [u8; SCRATCH_BYTES],
    /// Signals that could not be held back: SIGSTOP.
    taken: Vec<i32>,
    /// Its end, if that has been seen here.
    ended: Option<Change>,
}

impl Injector {
    /// Takes over thread `tid`, which is stopped; its signals are held back.
    pub fn begin(tid: i32, loan: Loan) -> io::Result<Injector> {
        let saved = ptrace::registers(tid)?;
        let mask = ptrace::signal_mask(tid)?;
        let mut scratch = [0; SCRATCH_BYTES];
        if vm::read(tid, loan.scratch, &mut scratch)? != SCRATCH_BYTES {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        ptrace::set_signal_mask(tid, ALL_SIGNALS_BUT_TRAP)?;
        Ok(Injector {
            tid,
            loan,
            saved,
            mask,
            scratch,
            taken: Vec::new(),
            ended: None,
        })
    }

    /// Makes one call. Returns its result, or -errno.
    ///
    /// # Errors
    /// The thread has ended, or does not come back to us.
    pub fn call(&mut self, nr: i64, args: &[u64]) -> io::Result<i64> {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        let mut regs = self.saved;
        regs.rip = self.loan.instruction;
        regs.rax = nr as u64;
        regs.orig_rax = u64::MAX;
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9] = six;
        ptrace::set_registers(self.tid, &regs)?;
        loop {
            ptrace::step(self.tid)?;
            match ptrace::wait(self.tid, false)? {
                // Before the call.
                Some((
                    _,
                    Change::Event {
                        event: libc::PTRACE_EVENT_SECCOMP,
                        ..
                    },
                )) => continue,
                Some((_, Change::Signal(libc::SIGTRAP) | Change::Event { .. })) | None => {}
                Some((_, Change::Signal(signal))) => self.taken.push(signal),
                Some((_, change @ (Change::Exited(_) | Change::Killed { .. }))) => {
                    self.ended = Some(change);
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
            }
            let after = ptrace::registers(self.tid)?;
            if after.rip == self.loan.instruction + 2 {
                return Ok(after.rax as i64);
            }
        }
    }

    /// Makes a call that writes `N` words to the scratch memory, whose address
    /// is put in place of argument `at`.
    pub fn words<const N: usize>(
        &mut self,
        nr: i64,
        args: &[u64],
        at: usize,
    ) -> io::Result<[u64; N]> {
        let mut six = [0; 6];
        six[..args.len()].copy_from_slice(args);
        six[at] = self.loan.scratch;
        let result = self.call(nr, &six)?;
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result as i32));
        }
        let mut bytes = [0; SCRATCH_BYTES];
        if vm::read(self.tid, self.loan.scratch, &mut bytes[..N * 8])? != N * 8 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        Ok(std::array::from_fn(|index| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[index * 8..index * 8 + 8]);
            u64::from_ne_bytes(word)
        }))
    }

    /// Puts `bytes`, at most [`SCRATCH_BYTES`], into the scratch memory.
    pub fn put(&self, bytes: &[u8]) -> io::Result<u64> {
        vm::write(self.tid, self.loan.scratch, bytes)?;
        Ok(self.loan.scratch)
    }

    /// Registers as they were when the thread was taken over.
    pub fn registers(&self) -> &Registers {
        &self.saved
    }

    /// Signal mask as it was then.
    pub fn mask(&self) -> u64 {
        self.mask
    }

    /// For `map_err` of what a call returned: names the step, and tells the
    /// thread's end if that was seen.
    pub fn step(&self, doing: &'static str) -> impl FnOnce(io::Error) -> ImageError {
        let (pid, ended) = (self.tid, self.ended);
        move |source| match ended {
            Some(change) => ImageError::Ended { pid, change },
            None => ImageError::Step { doing, pid, source },
        }
    }

    /// Gives everything back. Returns the signals that arrived and could not be
    /// held back, to be sent again.
    pub fn end(self) -> io::Result<Vec<i32>> {
        vm::write(self.tid, self.loan.scratch, &self.scratch)?;
        ptrace::set_registers(self.tid, &self.saved)?;
        ptrace::set_signal_mask(self.tid, self.mask)?;
        Ok(self.taken)
    }

    /// The same for a thread of process `pid`, to which those signals are sent again.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn end_keeping_signals(self, pid: i32) -> Result<(), ImageError> {
        let tid = self.tid;
        let taken = self.end();
        for signal in taken.map_err(ImageError::step("let go of a thread", tid))? {
            ptrace::tgkill(pid, tid, signal).map_err(ImageError::step("keep a signal", tid))?;
        }
        Ok(())
    }
}
