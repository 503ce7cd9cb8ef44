//! Processes that have come home and ask for CPU time: what they have used elsewhere is added.
//!
//! Those that have asked while they were away have a filter from then on, under which they stop before such
//! calls, and so have their children. Nothing else of the job has one.

use sys::ptrace;
use sys::seccomp::COUNTING_MARK;

use super::returning::Signals;
use super::{Result, Tracer};

impl Tracer {
    /// A thread stands at a call that a filter does not let pass.
    pub(super) fn stopped_by_filter(&mut self, tid: i32) -> Result<()> {
        if ptrace::event_message(tid)? != u64::from(COUNTING_MARK) {
            // The program's own, which has no tracer.
            let mut regs = ptrace::registers(tid)?;
            regs.orig_rax = u64::MAX;
            regs.rax = -i64::from(libc::ENOSYS) as u64;
            ptrace::set_registers(tid, &regs)?;
            return ptrace::resume(tid, 0);
        }
        let Some(tracee) = self.tracees.get(&tid) else {
            return ptrace::resume(tid, 0);
        };
        if tracee.thread.is_none() {
            self.counting.insert(tid);
            return ptrace::resume_to_call_end(tid);
        }
        // A deputy's, for its body.
        let is_told_to_stop = tracee.interrupt.is_some()
            || tracee.ending.is_some()
            || tracee.signals != Signals::Leave;
        if is_told_to_stop {
            // This stop has used up that one.
            ptrace::interrupt(tid)?;
        }
        ptrace::resume(tid, 0)
    }

    /// The call is over.
    pub(super) fn has_asked(&mut self, tid: i32) -> Result<()> {
        if let Some(pid) = self.tracees.get(&tid).map(|tracee| tracee.pid) {
            let added = self.job.accounts.add_to_result(pid, tid);
            added
                .inspect_err(|error| tracing::debug!("CPU time of thread {tid}: {error}"))
                .ok();
        }
        ptrace::resume(tid, 0)
    }
}
