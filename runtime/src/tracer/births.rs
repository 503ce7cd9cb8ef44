//! The clone family: home forks first, then the body.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lane::Kind;
use lane::control::ToHome;
use sys::ptrace::{self, Change};

use super::leaving::make_again;
use super::{Result, Tracer};
use crate::births::{Birth, Refusal};
use crate::guest::{Process, Thread};
use crate::host::{Host, Order, lock};
use crate::link::GONE;
use crate::memory::{BodyMemory, MemoryFiles};
use crate::pager::Stage;
use crate::{readahead, signals};

impl Tracer {
    /// A body thread stands at a call of the clone family.
    pub(super) fn asked_for_birth(&mut self, outer: i32) -> Result<()> {
        let Some(thread) = self.host.thread(outer) else {
            return ptrace::resume(outer, 0);
        };
        let mut regs = ptrace::registers(outer)?;
        let memory = thread.memory();
        if thread.process.is_leaving() && !self.births.contains_key(&outer) {
            return make_again(outer, regs);
        }
        if self.births.get(&outer).is_some_and(|birth| birth.pid != 0) {
            // The kernel restarts it because a signal waited.
            return self.release(outer);
        }
        let started = self.host.observed.then(Instant::now);
        let birth = match Birth::read(&regs, memory, started) {
            Ok(birth) => birth,
            Err(Refusal::GoHome(what)) => return self.park(outer, &thread, what),
            Err(Refusal::Errno(errno)) => {
                regs.rax = -i64::from(errno) as u64;
                regs.orig_rax = u64::MAX;
                ptrace::set_registers(outer, &regs)?;
                return ptrace::resume(outer, 0);
            }
        };
        self.births.insert(outer, birth);
        let host = Arc::clone(&self.host);
        let ask = move || {
            let result = ask_home(&host, &thread, &birth);
            host.order(Order::Born { outer, result });
        };
        self.host.helpers.run(Box::new(ask));
        Ok(())
    }

    /// Home has forked, or has not.
    pub(super) fn home_forked(&mut self, outer: i32, result: i64) -> Result<()> {
        let Some(birth) = self.births.get_mut(&outer) else {
            return Ok(());
        };
        let answer = if result == GONE {
            -i64::from(libc::EAGAIN)
        } else {
            result
        };
        if let Some(thread) = self.host.thread(outer) {
            birth.answered(&thread, answer);
        }
        if let Some(pid) = i32::try_from(result).ok().filter(|pid| *pid > 1) {
            birth.pid = pid;
            return self.release(outer);
        }
        self.births.remove(&outer);
        self.remind(outer);
        let mut regs = ptrace::registers(outer)?;
        regs.rax = answer as u64;
        regs.orig_rax = u64::MAX;
        ptrace::set_registers(outer, &regs)?;
        ptrace::resume(outer, 0)
    }

    /// Lets a body fork, with the pid that home has given. One at a time: the
    /// pid is the next one of the whole namespace.
    pub(super) fn release(&mut self, outer: i32) -> Result<()> {
        let Some(birth) = self.births.get(&outer).copied() else {
            return ptrace::resume(outer, 0);
        };
        let Some(thread) = self.host.thread(outer) else {
            return Ok(());
        };
        let memory = thread.memory();
        self.init
            .set_next_pid(birth.pid)
            .map_err(std::io::Error::other)?;
        let mut regs = ptrace::registers(outer)?;
        birth.rewrite(&mut regs, memory);
        ptrace::set_registers(outer, &regs)?;
        ptrace::resume_to_call_end(outer)?;
        match ptrace::wait(outer, false)? {
            Some((_, Change::Signal(libc::SIGTRAP))) => self.not_forked(outer, &birth, memory),
            Some((_, change)) => {
                self.handle(outer, change);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The body's fork has failed. If only because a signal waits, the kernel
    /// does it again after that.
    pub(super) fn not_forked(
        &mut self,
        outer: i32,
        birth: &Birth,
        memory: BodyMemory,
    ) -> Result<()> {
        const ERESTARTNOINTR: i64 = -513;
        let mut regs = ptrace::registers(outer)?;
        if regs.rax as i64 != ERESTARTNOINTR {
            birth.restore(&mut regs, memory);
            ptrace::set_registers(outer, &regs)?;
            self.births.remove(&outer);
            self.remind(outer);
            let errno = -(regs.rax as i64);
            let reason = format!("its body could not be forked (errno {errno})");
            self.host.tell_home(&ToHome::Cannot {
                pid: birth.pid,
                reason,
            });
        }
        ptrace::resume(outer, 0)
    }

    /// The body has forked: it is stopped, its child stops or has stopped.
    pub(super) fn born(&mut self, parent: i32) -> Result<()> {
        let child = ptrace::event_message(parent)? as i32;
        let (Some(thread), Some(birth)) = (self.host.thread(parent), self.births.remove(&parent))
        else {
            return ptrace::resume(parent, 0);
        };
        self.remind(parent);
        let mut regs = ptrace::registers(parent)?;
        birth.restore(&mut regs, thread.memory());
        ptrace::set_registers(parent, &regs)?;
        let process = if birth.is_thread() {
            Arc::clone(&thread.process)
        } else {
            let mut dispositions = lock(&thread.process.dispositions).clone();
            if birth.clears_handlers() {
                dispositions.clear_handlers();
            }
            let mut process = Process::new(
                birth.pid,
                child,
                Arc::clone(&thread.process.pool),
                dispositions,
                if birth.shares_memory() {
                    Arc::clone(&thread.process.memory_shared)
                } else {
                    Arc::default()
                },
                self.host.stats,
            );
            if birth.shares_memory() {
                process.pages = Arc::clone(&thread.process.pages);
            }
            // It has the same filter.
            process.is_counted = thread.process.is_counted;
            // It has the same signalfds.
            process.held = thread.process.held.load(Ordering::SeqCst).into();
            let process = Arc::new(process);
            self.leaders.insert(child, Arc::clone(&process));
            process
        };
        let link = self.host.link(birth.pid).map_err(std::io::Error::other)?;
        let newborn = Arc::new(Thread::new(birth.pid, child, process, Some(link)));
        self.host.add_thread(&newborn);
        newborn.process.pool.join(&self.host);
        self.deliver_waiting(&newborn.process);
        self.newborn.insert(child, birth);
        if self.early.remove(&child) {
            self.start_newborn(child)?;
        }
        for sent in std::mem::take(&mut *lock(&thread.held_back)) {
            signals::inject(&self.host, &thread.process, thread.tid, &sent);
        }
        ptrace::resume(parent, 0)
    }

    pub(super) fn start_newborn(&mut self, child: i32) -> Result<()> {
        let Some(birth) = self.newborn.remove(&child) else {
            return Ok(());
        };
        self.remind(child);
        let mut regs = ptrace::registers(child)?;
        let files = MemoryFiles::default();
        let memory = BodyMemory {
            pid: child,
            files: &files,
        };
        birth.restore(&mut regs, memory);
        ptrace::set_registers(child, &regs)?;
        ptrace::resume(child, 0)
    }
}

/// Makes the deputy fork. Returns the pid of its child, or -errno.
fn ask_home(host: &Host, thread: &Thread, birth: &Birth) -> i64 {
    if !birth.shares_memory() {
        // What is missing would be missing in the child, too, and nobody would know.
        thread.process.pages.wait_for(Stage::Alone);
    }
    let mut call = abi::marshal::Marshalled::new();
    let memory = thread.memory();
    if !birth.marshal_home(&mut call, memory) {
        return -i64::from(libc::EFAULT);
    }
    readahead::before_birth(host, thread, birth.flags);
    let mut link = lock(&thread.link);
    let Some(link) = link.as_mut() else {
        return GONE;
    };
    let answer = link
        .put_in_order(&thread.process.ahead)
        .and_then(|()| link.send_call(Kind::Fork, &call))
        .and_then(|()| link.receive_answer());
    readahead::after_birth(&thread.process, birth.flags);
    match answer {
        Ok(answer) => call
            .scatter(answer.result, answer.data, &memory)
            .unwrap_or(answer.result),
        Err(error) => {
            tracing::debug!("fork at home of process {}: {error}", thread.process.pid);
            let _ = host;
            GONE
        }
    }
}
