//! The command's end, held until its statistics are written. Only where they
//! are kept; otherwise nothing stops at its end.

use std::time::{Duration, Instant};

use image::capture::status_field;
use image::peak;
use lane::control::ToHost;
use sys::ptrace;

use super::{Result, Tracer};
use crate::job::Deputy;
use crate::needs::End;
use crate::proc_text::Usage;
use crate::waiting::bit;

/// Longest time that a killed command waits for its statistics.
const HOLD_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a thread ends without stopping for it. One that was about to end when another ended the
/// whole process does not stop: it has been killed by then, `ptrace(2)`, PTRACE_EVENT_EXIT.
fn is_ending(tid: i32) -> bool {
    let Ok(status) = sys::proc_text::read(format!("/proc/{tid}/status")) else {
        return true;
    };
    let own = status_field(&status, "SigPnd:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let is_killed = own.is_some_and(|set| set & bit(libc::SIGKILL) != 0);
    is_killed || status_field(&status, "State:").is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// A thread that stands at its end.
pub(super) struct Held {
    tid: i32,
    status: i32,
    until: Instant,
}

impl Tracer {
    /// A thread is about to end. The statistics are written while the last one
    /// of the command is held, so that who waits for the command finds them.
    pub(super) fn exiting(&mut self, tid: i32) -> Result<()> {
        let status = ptrace::event_message(tid)? as i32;
        if self.job.setup.best
            && let Some(tracee) = self.tracees.get(&tid)
            && tracee.pid == tid
            && tracee.thread.is_none()
        {
            self.ends_here(tid);
        }
        let tracee = self.tracees.get_mut(&tid);
        let of_command = tracee.is_some_and(|tracee| {
            tracee.exiting = Some(status);
            tracee.pid == self.command
        });
        let mut threads = self.tracees.iter().filter(|(_, t)| t.pid == self.command);
        if of_command && threads.all(|(tid, t)| t.exiting.is_some() || is_ending(*tid)) {
            let leader = self.tracees.get(&self.command);
            let status = leader.and_then(|t| t.exiting).unwrap_or(status);
            let thread = leader.and_then(|t| t.thread.clone());
            if !self.command_over
                && let Some(thread) = thread
            {
                return self.hold(tid, status, &thread.deputy);
            }
            self.finish_journal(status);
        }
        ptrace::resume(tid, 0)
    }

    /// A process at home is about to end: what its program needed is told. It may have been started by one
    /// that has used some of that.
    fn ends_here(&mut self, pid: i32) {
        let stat = sys::proc_text::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let (Some(Usage { cpu, .. }), Some(peak_bytes)) = (Usage::of(&stat), peak::of(pid)) else {
            return;
        };
        let end = End {
            pid,
            calls: 0,
            name: &|node| self.job.hosts.nodes.name(node),
        };
        self.needs.ends_here(&end, cpu, peak_bytes);
    }

    /// The command's deputy has been killed, and its body does not know yet.
    fn hold(&mut self, tid: i32, status: i32, deputy: &Deputy) -> Result<()> {
        let until = Instant::now() + HOLD_TIMEOUT;
        self.held = Some(Held { tid, status, until });
        let mut info = [0; 128];
        info[..4].copy_from_slice(&libc::SIGKILL.to_ne_bytes());
        self.job.tell_signal(deputy, |seq| ToHost::Signal {
            pid: deputy.pid,
            tid: 0,
            seq,
            info,
        });
        Ok(())
    }

    /// The command's host has told everything: the command may end.
    pub(super) fn command_over(&mut self) {
        self.command_over = true;
        if let Some(held) = self.held.take() {
            self.finish_journal(held.status);
            // ESRCH: killed once more.
            let _ = ptrace::resume(held.tid, 0);
        }
    }

    /// How long the command is held, if it is.
    pub(super) fn held_until(&mut self) -> Option<Instant> {
        let until = self.held.as_ref()?.until;
        if until <= Instant::now() {
            self.command_over();
            return None;
        }
        Some(until)
    }

    /// The command ends with `status`.
    pub(super) fn finish_journal(&self, status: i32) {
        if let Err(error) = self.job.journal.finish(self.command, status) {
            self.message(self.command, &error);
        }
    }
}
