//! The clone family at the body's end: fork(2), vfork(2), clone(2), clone3(2).
//!
//! The filter stops these calls for the tracer. Home forks first, which gives
//! the pid; then the body's call is rewritten to a clone whose child has that
//! pid and is a child of the namespace's init, so that no second SIGCHLD and no
//! zombie comes of it. After the fork parent and child get their registers back.

use std::time::Instant;

use abi::marshal::Marshalled;
use abi::memory::GuestMemory;
use sys::ptrace::Registers;

use crate::guest::Thread;
use crate::home_rows::CLONE;
use crate::memory::BodyMemory;
use crate::observe;
use crate::stats::Outcome;

const CLONE_PIDFD: u64 = libc::CLONE_PIDFD as u64;
/// What the deputy's clone does not do: its child gets no memory of the body's,
/// no stack, no thread pointer, and nobody waits for it by vfork.
const BODY_ONLY: u64 = (libc::CLONE_VM
    | libc::CLONE_VFORK
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_SETTID
    | libc::CLONE_CHILD_CLEARTID
    | libc::CLONE_SIGHAND) as u64;
/// New namespaces, and what else works only at home.
const ONLY_AT_HOME: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_PTRACE) as u64;
const CLEAR_SIGHAND: u64 = 1 << 32;
const INTO_CGROUP: u64 = 1 << 33;
/// Beyond the flags that exist.
const FLAGS_END: u64 = 1 << 34;
const THREAD: u64 = libc::CLONE_THREAD as u64;
const SIGNAL: u64 = 0xff;

/// A birth under way in a body thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth {
    /// Number of the call that the guest made.
    nr: u32,
    /// When, if somebody looks.
    started: Option<Instant>,
    /// Flags and signal as of clone(2).
    pub(crate) flags: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
    /// Where the guest wants a pidfd of the child; 0: nowhere.
    pidfd: u64,
    /// Address of the guest's `struct clone_args` and the words of it that are
    /// changed for the call: only clone3 can clear signal handlers.
    clone3: Option<(u64, [u64; 5])>,
    /// Arguments as the guest gave them, to be put back.
    registers: [u64; 5],
    /// Pid that home has given; 0: not yet.
    pub(crate) pid: i32,
}

impl Birth {
    /// Reads what is asked for from a thread stopped at the call.
    ///
    /// # Errors
    /// The answer to the guest: an errno, or what works only at home.
    pub(crate) fn read(
        regs: &Registers,
        memory: BodyMemory,
        started: Option<Instant>,
    ) -> Result<Birth, Refusal> {
        let fork = libc::SIGCHLD as u64;
        let mut birth = Birth {
            nr: regs.orig_rax as u32,
            started,
            flags: fork,
            stack: 0,
            parent_tid: 0,
            child_tid: 0,
            tls: 0,
            pidfd: 0,
            clone3: None,
            registers: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8],
            pid: 0,
        };
        match regs.orig_rax as i64 {
            libc::SYS_fork => {}
            libc::SYS_vfork => birth.flags |= (libc::CLONE_VM | libc::CLONE_VFORK) as u64,
            libc::SYS_clone => {
                birth.flags = regs.rdi & 0xffff_ffff;
                birth.stack = regs.rsi;
                birth.parent_tid = regs.rdx;
                birth.child_tid = regs.r10;
                birth.tls = regs.r8;
                if birth.flags & CLONE_PIDFD != 0 {
                    birth.pidfd = std::mem::take(&mut birth.parent_tid);
                    if birth.flags & (libc::CLONE_PARENT_SETTID | libc::CLONE_THREAD) as u64 != 0 {
                        return Err(Refusal::Errno(libc::EINVAL));
                    }
                }
            }
            _ => birth.read_clone3(regs, memory)?,
        }
        let needs =
            |of: i32, other: i32| birth.flags & of as u64 != 0 && birth.flags & other as u64 == 0;
        if needs(libc::CLONE_THREAD, libc::CLONE_SIGHAND)
            || needs(libc::CLONE_SIGHAND, libc::CLONE_VM)
        {
            return Err(Refusal::Errno(libc::EINVAL));
        }
        if birth.flags & (ONLY_AT_HOME | INTO_CGROUP) != 0 {
            return Err(Refusal::GoHome("clone with new namespaces"));
        }
        Ok(birth)
    }

    fn read_clone3(&mut self, regs: &Registers, memory: BodyMemory) -> Result<(), Refusal> {
        let bytes = regs.rsi as usize;
        if bytes < 64 {
            return Err(Refusal::Errno(libc::EINVAL));
        }
        if bytes > 4096 {
            return Err(Refusal::Errno(libc::E2BIG));
        }
        let mut args = [0u8; 4096];
        if memory.read(regs.rdi, &mut args[..bytes]).is_err() {
            return Err(Refusal::Errno(libc::EFAULT));
        }
        let word = |index: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&args[index * 8..index * 8 + 8]);
            u64::from_ne_bytes(word)
        };
        if args[88..].iter().any(|byte| *byte != 0) {
            return Err(Refusal::Errno(libc::E2BIG));
        }
        let [
            flags,
            pidfd,
            child_tid,
            parent_tid,
            signal,
            stack,
            stack_bytes,
            tls,
        ] = std::array::from_fn(word);
        if word(9) != 0 {
            return Err(Refusal::GoHome("clone3 with a chosen pid"));
        }
        if signal > 64
            || flags & SIGNAL != 0
            || flags >= FLAGS_END
            || (stack == 0) != (stack_bytes == 0)
        {
            return Err(Refusal::Errno(libc::EINVAL));
        }
        self.flags = (flags & !CLEAR_SIGHAND) | signal;
        self.stack = stack.wrapping_add(stack_bytes);
        self.tls = tls;
        self.child_tid = child_tid;
        self.parent_tid = parent_tid;
        if flags & CLONE_PIDFD != 0 {
            self.pidfd = pidfd;
        }
        if flags & CLEAR_SIGHAND != 0 {
            self.clone3 = Some((regs.rdi, [flags, pidfd, child_tid, parent_tid, signal]));
        }
        Ok(())
    }

    /// Whether a thread of the same process is born.
    pub(crate) fn is_thread(&self) -> bool {
        self.flags & THREAD != 0
    }

    /// Whether parent and child have the same memory.
    pub(crate) fn shares_memory(&self) -> bool {
        self.flags & libc::CLONE_VM as u64 != 0
    }

    /// The deputy's call. Its child shares what lives at home.
    pub(crate) fn marshal_home(&self, call: &mut Marshalled, memory: BodyMemory) -> bool {
        let mut flags = self.flags & !BODY_ONLY;
        if self.is_thread() {
            flags |= (libc::CLONE_VM | libc::CLONE_SIGHAND) as u64;
        }
        call.marshal(&CLONE, &[flags, 0, self.pidfd, 0, 0, 0], &memory)
            .is_ok()
    }

    /// The body's call: registers (and for clone3 the guest's structure) for a
    /// clone whose child is init's.
    pub(crate) fn rewrite(&self, regs: &mut Registers, memory: BodyMemory) {
        let parent = if self.is_thread() {
            0
        } else {
            libc::CLONE_PARENT as u64
        };
        if let Some((at, [flags, ..])) = self.clone3 {
            // clone3 takes no exit signal with CLONE_PARENT.
            let flags = (flags & !CLONE_PIDFD) | parent;
            write_words(memory, at, [flags, 0, self.child_tid, self.parent_tid, 0]);
            return;
        }
        regs.orig_rax = libc::SYS_clone as u64;
        regs.rdi = (self.flags & !CLONE_PIDFD) | parent;
        regs.rsi = self.stack;
        regs.rdx = self.parent_tid;
        regs.r10 = self.child_tid;
        regs.r8 = self.tls;
    }

    /// Home has answered: a pid, or -errno.
    pub(crate) fn answered(&self, thread: &Thread, result: i64) {
        let [a, b, c, d, e] = self.registers;
        let args = [a, b, c, d, e, 0];
        let outcome = Outcome::Result(result);
        observe::call(thread, self.nr, &args, outcome, self.started);
    }

    /// Gives a thread that has returned from the call its arguments back.
    pub(crate) fn restore(&self, regs: &mut Registers, memory: BodyMemory) {
        if let Some((at, words)) = self.clone3 {
            write_words(memory, at, words);
        }
        [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8] = self.registers;
    }

    /// Whether the child's handled signals get their default action.
    pub(crate) fn clears_handlers(&self) -> bool {
        self.clone3.is_some()
    }
}

/// Writes the first words of a `struct clone_args`.
fn write_words(memory: BodyMemory, at: u64, words: [u64; 5]) {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    // Was readable a moment ago; if it cannot be written, clone3 finds out.
    let _ = memory.write(at, &bytes);
}

/// Why a birth does not happen.
pub(crate) enum Refusal {
    /// The kernel's own error.
    Errno(i32),
    /// Only at home.
    GoHome(&'static str),
}
