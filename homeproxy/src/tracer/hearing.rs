//! What hosts say of processes. It is input: heard only from the host that the process's body is on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use image::cpu_time::CpuTime;
use lane::control::{ToHome, ToHost};
use sys::ptrace;

use super::{Result, Tracer};
use crate::hosts::Host;
use crate::needs::End;

impl Tracer {
    /// A host has said something of a process.
    pub(super) fn heard(&mut self, host: &Arc<Host>, message: ToHome) -> Result<()> {
        match message {
            // It has moved on before its host's word came: the kernel decides all the same.
            ToHome::StopSelf { pid, signal } if self.was_at(pid, host) => self.stop_by(pid, signal),
            ToHome::Interrupt { tid, request } if self.is_at(tid, host) => {
                self.interrupt(tid, request)
            }
            ToHome::ThreadExited { tid, .. } if self.is_at(tid, host) => self.end_thread(tid),
            // It may have come home or executed a program since.
            ToHome::Used {
                pid,
                user_ns,
                system_ns,
                peak_bytes,
            } if self.was_at(pid, host) => {
                let used = CpuTime { user_ns, system_ns };
                self.job.accounts.used(pid, used);
                self.needs.used(pid, host.node, used, peak_bytes);
                Ok(())
            }
            ToHome::BodyExited { pid, wait_status } if self.leads_at(pid, host) => {
                self.ended_away(pid);
                self.tell_command_over(pid);
                self.end(pid, wait_status)
            }
            ToHome::Cannot { pid, reason } if self.leads_at(pid, host) => {
                self.tell_command_over(pid);
                self.cannot(pid, &reason)
            }
            ToHome::Starved {
                pid,
                departure,
                reason,
            } if self.leads_at(pid, host) && self.has_left_as(pid, departure) => {
                self.tell_command_over(pid);
                self.cannot(pid, &reason)
            }
            ToHome::Say { pid, text } if self.is_at(pid, host) => {
                self.message(pid, &text);
                Ok(())
            }
            ToHome::AskReturn { pid, reason } if self.leads_at(pid, host) => {
                self.expect_home(pid, reason, true)
            }
            ToHome::Remains { pid, reason } if self.leads_at(pid, host) => {
                self.remains(pid, &reason)
            }
            // It has ended before it was there: its host did not know it yet when it was told.
            ToHome::Running { pid, .. } if !self.tracees.contains_key(&pid) => {
                host.tell(&ToHost::Kill { pid });
                Ok(())
            }
            ToHome::Running { pid, .. } if self.leads_at(pid, host) => {
                // Not if it is to leave already: those who wait then wait for that.
                if !self.expected.contains_key(&pid) {
                    self.moved(pid, &Ok(()));
                    self.release_signals(pid);
                }
                Ok(())
            }
            message => {
                let node = &host.name;
                tracing::debug!(
                    "word of node {node} about a process that is not there: {message:?}"
                );
                Ok(())
            }
        }
    }

    /// A body has ended, and its deputy is about to: what its program needed is told.
    fn ended_away(&mut self, pid: i32) {
        let deputy = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        let calls = deputy.map_or(0, |t| t.deputy.calls.load(Ordering::Relaxed));
        let end = End {
            pid,
            calls,
            name: &|node| self.job.hosts.nodes.name(node),
        };
        self.needs.ended_away(&end);
    }

    /// Whether this thread's body is on `host`.
    fn is_at(&self, tid: i32, host: &Arc<Host>) -> bool {
        let thread = self.tracees.get(&tid).and_then(|t| t.thread.as_ref());
        thread.is_some_and(|thread| thread.deputy.is_at(host))
    }

    /// Whether a process is where it went with this departure.
    fn has_left_as(&self, pid: i32, departure: u64) -> bool {
        let thread = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        thread.is_some_and(|thread| thread.deputy.kept.departure() == departure)
    }

    /// Whether this leader's body is on `host`.
    fn leads_at(&self, pid: i32, host: &Arc<Host>) -> bool {
        self.is_deputy(pid) && self.is_at(pid, host)
    }

    /// Whether this leader's body is on `host`, or was before it moved.
    fn was_at(&self, pid: i32, host: &Arc<Host>) -> bool {
        let leader = self.tracees.get(&pid).filter(|leader| leader.pid == pid);
        let left = leader.and_then(|leader| leader.left);
        left == Some(host.number) || self.leads_at(pid, host)
    }

    fn tell_command_over(&mut self, pid: i32) {
        if pid == self.command {
            self.command_over();
        }
    }

    /// A process cannot run on its host.
    fn cannot(&mut self, pid: i32, reason: &str) -> Result<()> {
        if self.has_image(pid) {
            return self.take_back(pid, reason);
        }
        self.message(
            pid,
            &format!("process {pid} cannot run on its host: {reason}"),
        );
        ptrace::kill(pid, libc::SIGKILL)
    }

    /// A host is lost. Its guests end as if killed, and one tells its user why; those that are on
    /// their way there come back.
    pub(super) fn host_lost(&mut self, host: &Arc<Host>, reason: &str) {
        self.job.leases.release_of_host(host);
        let guests = self.tracees.iter().filter(|(tid, t)| **tid == t.pid);
        let mut pids: Vec<i32> = guests.map(|(tid, _)| *tid).collect();
        pids.retain(|pid| self.is_at(*pid, host));
        let node = &host.name;
        tracing::info!("node {node} is lost ({reason})");
        let mut is_told = false;
        for pid in pids {
            self.tell_command_over(pid);
            if self.has_not_begun(pid) {
                let why = format!("node {node} is lost ({reason})");
                if let Err(error) = self.take_back(pid, &why) {
                    tracing::debug!("take process {pid} back: {error}");
                }
                continue;
            }
            if !std::mem::replace(&mut is_told, true) {
                self.message(pid, &format!("node {node} is lost ({reason}): its guests end, process {pid} and its relatives there"));
            }
            self.job.mapped.release_of(pid);
            // ESRCH: has ended by itself.
            let _ = ptrace::kill(pid, libc::SIGKILL);
        }
    }
}
