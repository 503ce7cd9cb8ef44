//! Ends of bodies: a deputy ends in the same way as its body.

use sys::ptrace;
use sys::stub;
use sys::window::{Call, Slot};

use super::{Result, Tracer};
use crate::job::{DeputyThread, GONE, Order};

/// How a deputy is to end.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    Code(i32),
    Signal(i32),
    /// Only this thread.
    Thread,
}

impl Tracer {
    /// The body has ended: so does the deputy, in the same way.
    pub(super) fn end(&mut self, pid: i32, wait_status: i32) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return Ok(());
        };
        let Some(thread) = tracee.thread.clone() else {
            return Ok(());
        };
        let ending = if libc::WIFSIGNALED(wait_status) {
            Ending::Signal(libc::WTERMSIG(wait_status))
        } else {
            Ending::Code(libc::WEXITSTATUS(wait_status))
        };
        // Nobody may find them after its end.
        self.job.leases.release_of(pid);
        if let Ending::Signal(libc::SIGKILL) = ending {
            return ptrace::kill(pid, libc::SIGKILL);
        }
        if let Ending::Signal(signal) = ending {
            tracee.own_signal = Some(signal);
        }
        if self.expected.contains_key(&pid) {
            // Its signals are held back: that ends first, at its next stop.
            tracee.ending = Some(ending);
            return self.remains(pid, "it has ended");
        }
        if let Ok(mut slot) = thread.slot.try_lock()
            && !thread.place.window.is_busy(thread.slot_index)
        {
            let calls = ending_calls(ending, pid, &thread, &mut slot);
            slot.post(&calls);
            return Ok(());
        }
        tracee.ending = Some(ending);
        ptrace::interrupt(pid)
    }

    /// A deputy's stopped thread is to end, whatever it is in.
    pub(super) fn end_at_stop(
        &mut self,
        tid: i32,
        thread: &DeputyThread,
        ending: Ending,
    ) -> Result<()> {
        let mut regs = ptrace::registers(tid)?;
        regs.orig_rax = u64::MAX;
        let (nr, code) = match ending {
            Ending::Code(code) => (libc::SYS_exit_group, code),
            Ending::Thread => (libc::SYS_exit, 0),
            Ending::Signal(signal) => {
                if thread.place.window.is_busy(thread.slot_index) {
                    // Its call is over.
                    regs.rip = thread.place.address;
                    regs.r13 = u64::from(thread.place.window.request(thread.slot_index));
                    ptrace::set_registers(tid, &regs)?;
                    thread.finish(GONE);
                }
                let pid = thread.deputy.pid;
                if let Some(tracee) = self.tracees.get_mut(&tid) {
                    tracee.own_signal = Some(signal);
                }
                match thread.slot.try_lock() {
                    Ok(mut slot) => {
                        let calls = ending_calls(ending, pid, thread, &mut slot);
                        slot.post(&calls);
                    }
                    // Its lane is about to let go of the slot.
                    Err(_) => self.job.order(Order::End {
                        pid,
                        wait_status: signal,
                    }),
                }
                return ptrace::resume(tid, 0);
            }
        };
        regs.rip = thread.place.address + stub::calling_offset() - 2;
        regs.rax = nr as u64;
        regs.rdi = code as u64;
        ptrace::set_registers(tid, &regs)?;
        ptrace::resume(tid, 0)
    }

    pub(super) fn end_thread(&mut self, tid: i32) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return Ok(());
        };
        let Some(thread) = tracee.thread.clone() else {
            return Ok(());
        };
        if thread.place.window.is_busy(thread.slot_index) {
            tracee.ending = Some(Ending::Thread);
            return ptrace::interrupt(tid);
        }
        match thread.slot.try_lock() {
            Ok(mut slot) => {
                let calls = ending_calls(Ending::Thread, tid, &thread, &mut slot);
                slot.post(&calls);
            }
            // Its lane is about to let go of the slot: the last answer is sent.
            Err(_) => self.job.order(Order::EndThread { tid }),
        }
        Ok(())
    }
}

/// Calls by which an idle deputy ends itself. A signal that it ignores has
/// killed the body all the same (a fault), so it gets its default action first.
fn ending_calls(ending: Ending, pid: i32, thread: &DeputyThread, slot: &mut Slot) -> Vec<Call> {
    match ending {
        Ending::Code(code) => vec![Call::new(libc::SYS_exit_group, &[code as u64])],
        Ending::Thread => vec![Call::new(libc::SYS_exit, &[0])],
        Ending::Signal(signal) => {
            let data = slot.data();
            data[..32].fill(0);
            data[32..40].copy_from_slice(&(1u64 << (signal - 1)).to_ne_bytes());
            let action = thread.place.address + slot.data_offset();
            let signal = signal as u64;
            let how = libc::SIG_UNBLOCK as u64;
            vec![
                Call::new(libc::SYS_rt_sigaction, &[signal, action, 0, 8]),
                Call::new(libc::SYS_rt_sigprocmask, &[how, action + 32, 0, 8]),
                Call::new(libc::SYS_tgkill, &[pid as u64, pid as u64, signal]),
            ]
        }
    }
}
