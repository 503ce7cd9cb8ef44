//! Processes that have come home, and whose pages are still to come ([`crate::arriving`]).
//!
//! They are traced with EXITKILL until all are here: without the home proxy what is missing would be
//! zeros. For the same time they leave for nowhere.

use std::sync::Arc;

use sys::ptrace;

use super::departing::Goal;
use super::{Result, Tracer, home_options};
use crate::arriving::Arrival;

impl Tracer {
    /// A process at home has made a child, which has not run yet.
    pub(super) fn born_arriving(&mut self, child: i32, parent: i32) {
        if let Some(arrival) = self.arriving.get(&parent).cloned() {
            arrival.born(child);
            self.arriving.insert(child, arrival);
        }
    }

    /// A process has ended, or has other memory now.
    pub(super) fn misses_nothing(&mut self, pid: i32) {
        if let Some(arrival) = self.arriving.remove(&pid) {
            arrival.forget(pid);
        }
        if self.depart_later.remove(&pid).is_some() {
            let why = "it has executed another program meanwhile, or ended";
            self.moved(pid, &Err(why.to_owned()));
        }
    }

    /// Nothing is missing any more, or its processes have been killed.
    pub(super) fn arrived(
        &mut self,
        arrival: &Arc<Arrival>,
        result: &std::result::Result<(), String>,
    ) {
        let own = |(pid, of): (&i32, &Arc<Arrival>)| Arc::ptr_eq(of, arrival).then_some(*pid);
        let pids: Vec<i32> = self.arriving.iter().filter_map(own).collect();
        for pid in pids {
            self.arriving.remove(&pid);
            if result.is_err() {
                continue;
            }
            self.job.journal.complete(pid);
            self.relax_all(pid);
            if let Some(to) = self.depart_later.remove(&pid)
                && let Err(why) = self.depart(pid, &to)
            {
                self.moved(pid, &Err(why));
            }
        }
    }

    /// All threads of a process are to be traced as those of one at home. They are stopped for that as
    /// if it left, so that no call shows it; those that are stopped anyway, or do not stop, at their
    /// next stop.
    fn relax_all(&mut self, pid: i32) {
        let mut is_stopped = false;
        for tid in self.threads_of(pid) {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.relax = true;
                is_stopped |= tracee.stopped;
            }
        }
        if !is_stopped {
            self.stop_all(pid, Goal::GoOn);
        }
    }

    /// A stopped thread gets the options of a process at home again, if that is due.
    pub(super) fn relax(&mut self, tid: i32) -> Result<()> {
        let options = home_options(&self.job);
        let tracee = self.tracees.get_mut(&tid);
        let is_due = tracee.is_some_and(|t| std::mem::take(&mut t.relax) && t.thread.is_none());
        match is_due {
            true => ptrace::set_options(tid, options),
            false => Ok(()),
        }
    }
}
