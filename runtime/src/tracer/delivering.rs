//! Signals of bodies: those that home has sent, and those that a body is about to receive.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::GuestMemory;
use abi::row;
use abi::row::Route;
use image::unfinished::{self, Rest, Unfinished};
use lane::control::ToHome;
use sys::ptrace;

use super::{ERESTARTNOHAND, ERESTARTSYS, Result, Tracer};
use crate::guest::{Disposition, Process, Received, Sent, Thread};
use crate::host::{Host, Order, lock};
use crate::signals;

impl Tracer {
    /// About to receive a signal.
    pub(super) fn signal(&mut self, outer: i32, signal: i32) -> Result<()> {
        if signal == libc::SIGTRAP && self.shortenings.stopped(outer)? {
            return Ok(());
        }
        self.shortenings.signalled(outer)?;
        let written = self.host.thread(outer).and_then(|thread| {
            let arrived = &mut lock(&thread.state).arrived;
            arrived.take_if(|call| matches!(call.rest, Rest::Written(_)))
        });
        if let Some(unfinished) = written {
            unfinished::end_before_signal(outer, &unfinished)?;
        }
        let Some(thread) = self.host.thread(outer) else {
            return ptrace::resume(outer, signal);
        };
        match origin(outer, &thread.process, signal)? {
            Origin::Here => {}
            Origin::Sent(info) => ptrace::set_signal_info(outer, &info)?,
            Origin::Word if self.births.contains_key(&outer) => {
                lock(&thread.held_back).push(Sent::Word(signal));
                return ptrace::resume(outer, 0);
            }
            Origin::Word => {
                take_at_home(&self.host, thread, signal, Received::Delivered(signal));
                return Ok(());
            }
        }
        if self.births.contains_key(&outer) {
            return self.hold_back(outer, &thread);
        }
        self.deliver(outer, &thread, signal)
    }

    /// A thread that is about to receive a signal does, with the details that are
    /// in place.
    pub(super) fn deliver(&mut self, outer: i32, thread: &Arc<Thread>, signal: i32) -> Result<()> {
        let process = &thread.process;
        self.undo_early_interruption(outer, thread)?;
        self.end_suspension(outer, thread)?;
        let disposition = lock(&process.dispositions).of[signal.clamp(0, 64) as usize];
        let stops = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if stops && disposition == Disposition::Default {
            self.host.tell_home(&ToHome::StopSelf {
                pid: process.pid,
                signal,
            });
            return ptrace::resume(outer, 0);
        }
        if disposition == Disposition::Handled {
            // That ends the call that was answered so: the next may be interrupted early again.
            lock(&thread.state).restarting = false;
        }
        ptrace::resume(outer, signal)
    }

    /// A signal must not come between home's fork and the body's: it is sent
    /// again when the child is there.
    pub(super) fn hold_back(&mut self, outer: i32, thread: &Thread) -> Result<()> {
        let info = ptrace::signal_info(outer)?;
        lock(&thread.held_back).push(Sent::Signal(info));
        ptrace::resume(outer, 0)
    }

    /// A forwarded call that no worker has received yet did not happen: the
    /// signal has come before it.
    pub(super) fn undo_early_interruption(&self, outer: i32, thread: &Thread) -> Result<()> {
        let mut regs = ptrace::registers(outer)?;
        if regs.rax as i64 != ERESTARTSYS
            || (regs.orig_rax as i64) < 0
            || lock(&thread.state).restarting
        {
            return Ok(());
        }
        if row(regs.orig_rax as u32).is_none_or(|row| row.route == Route::Here) {
            return Ok(());
        }
        regs.rip -= 2;
        regs.rax = regs.orig_rax;
        regs.orig_rax = u64::MAX;
        ptrace::set_registers(outer, &regs)
    }

    /// The signal that a call with a temporary mask waited for has come: the
    /// call is the guest's own again.
    pub(super) fn end_suspension(&self, outer: i32, thread: &Thread) -> Result<()> {
        let Some(own) = lock(&thread.state).suspended.take() else {
            return Ok(());
        };
        let mut regs = ptrace::registers(outer)?;
        if (regs.orig_rax as i64) < 0 && regs.rax == libc::SYS_rt_sigsuspend as u64 {
            // Its own mask lets the signal through too, so that it did not get
            // as far as to wait.
            regs.rip += 2;
            regs.rax = ERESTARTNOHAND as u64;
        }
        regs.orig_rax = own.nr;
        regs.rdi = own.rdi;
        regs.rsi = own.rsi;
        ptrace::set_registers(outer, &regs)
    }

    /// A thread has taken a signal by sigtimedwait: details of one that we sent
    /// are put at `at`. If another thread was faster, it waits again. Returns
    /// whether it goes on: else it has taken word of a signal at home.
    pub(super) fn give_details(
        &self,
        outer: i32,
        thread: &Arc<Thread>,
        at: u64,
        rest: Option<Unfinished>,
    ) -> Result<bool> {
        let regs = ptrace::registers(outer)?;
        let signal = regs.rax as i64;
        if signal == -i64::from(libc::EINTR) {
            wait_again(outer)?;
        }
        if signal == -i64::from(libc::EFAULT) {
            // It has taken one all the same, and had nowhere to put its details.
            let mut set = [0; 8];
            if thread.memory().read(regs.rdi, &mut set).is_ok() {
                signals::forget_taken(&self.host, &thread.process, u64::from_ne_bytes(set));
            }
        }
        let Some(signal) = i32::try_from(signal).ok().filter(|n| (1..=64).contains(n)) else {
            return Ok(true);
        };
        match signals::take_incoming(&thread.process, signal) {
            Some(info) if at != 0 => {
                // Was writable for the kernel a moment ago.
                let _ = thread.memory().write(at, &info);
            }
            None if thread.process.holds(signal) => {
                let received = Received::Waited { at, rest };
                take_at_home(&self.host, Arc::clone(thread), signal, received);
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Home has given a signal that waited there, or has none any more.
    pub(super) fn taken(
        &mut self,
        outer: i32,
        received: Received,
        info: Option<ptrace::SignalInfo>,
    ) -> Result<()> {
        let Some(thread) = self.host.thread(outer) else {
            return Ok(());
        };
        match (received, info) {
            (Received::Delivered(signal), Some(info)) => {
                ptrace::set_signal_info(outer, &info)?;
                self.remind(outer);
                self.deliver(outer, &thread, signal)
            }
            (Received::Delivered(_), None) => {
                // Nothing has come: what it was in goes on.
                self.end_suspension(outer, &thread)?;
                self.remind(outer);
                ptrace::resume(outer, 0)
            }
            (Received::Waited { at, rest }, info) => {
                match info {
                    Some(info) if at != 0 => {
                        // Was writable for the kernel a moment ago.
                        let _ = thread.memory().write(at, &info);
                    }
                    Some(_) => {}
                    None => wait_again(outer)?,
                }
                self.remind(outer);
                self.shortenings.resume(outer, rest)
            }
        }
    }

    pub(super) fn sent_by_home(&mut self, pid: i32, tid: i32, seq: u64, sent: Sent) {
        self.sent.insert(pid, seq);
        self.waiting.entry(pid).or_default().push((tid, sent));
        if self.has_sent(pid) {
            // For this body if it remains, else for the next one, which may come here, too.
            return;
        }
        let process = self.process(pid);
        let Some(process) = process.filter(|process| !process.silent.load(Ordering::SeqCst)) else {
            // Its body is about to be made.
            return;
        };
        let mut executing = lock(&process.executing);
        if executing.threads > 0 {
            executing.is_awaited = true;
            // The result of the call must not wait for it.
            return process.signal_sent(seq);
        }
        self.deliver_waiting(&process);
    }

    /// Sends into the body what home has sent for the process.
    pub(super) fn deliver_waiting(&mut self, process: &Arc<Process>) {
        for (tid, sent) in self.waiting.remove(&process.pid).unwrap_or_default() {
            if (1..=64).contains(&sent.signal()) {
                signals::inject(&self.host, process, tid, &sent);
            }
        }
        if let Some(seq) = self.sent.get(&process.pid) {
            process.signal_sent(*seq);
        }
    }
}

/// Where a signal comes from that a body is about to receive.
enum Origin {
    /// The body, or its kernel.
    Here,
    /// We sent it: its original details.
    Sent(ptrace::SignalInfo),
    /// We sent it, to tell of one that waits at home.
    Word,
}

fn origin(outer: i32, process: &Process, signal: i32) -> Result<Origin> {
    let info = ptrace::signal_info(outer)?;
    let word = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    let (code, sender) = (word(8), word(16));
    if !(code == signals::SI_USER || code == signals::SI_TKILL) {
        return Ok(Origin::Here);
    }
    // Ours come from outside the namespace, which shows as pid 0.
    let sent = (sender == 0).then(|| signals::take_incoming(process, signal));
    Ok(match sent.flatten() {
        Some(info) => Origin::Sent(info),
        // Also one that the guest sent itself before such signals waited at home.
        None if process.holds(signal) => Origin::Word,
        None => Origin::Here,
    })
}

/// A thread that has just returned from sigtimedwait makes that call again.
fn wait_again(outer: i32) -> Result<()> {
    let mut regs = ptrace::registers(outer)?;
    regs.rip -= 2;
    regs.rax = libc::SYS_rt_sigtimedwait as u64;
    regs.orig_rax = u64::MAX;
    ptrace::set_registers(outer, &regs)
}

/// Takes a signal that waits at home for a thread that stands still until then.
fn take_at_home(host: &Arc<Host>, thread: Arc<Thread>, signal: i32, received: Received) {
    let asking = Arc::clone(host);
    host.helpers.run(Box::new(move || {
        let info = signals::take_at_home(&thread, signal);
        asking.order(Order::Taken {
            outer: thread.outer,
            received,
            info,
        });
    }));
}
