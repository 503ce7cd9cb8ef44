//! Checkpoints: a process at home stands still while it is captured, then goes on.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use image::checkpoint::{Checkpoint, THREADS_MAX};
use image::{ImageError, capture, deputy, restart};
use sys::ptrace::{self, options};

use super::departing::{Departing, Goal};
use super::{Result, Tracer, home_options};
use crate::checkpoint::{NotTaken, Restarted, Taken, surroundings};
use crate::setup::HOME_NODE;

impl Tracer {
    /// Somebody wants a checkpoint of a process.
    pub(super) fn save(&mut self, pid: i32, done: Sender<Taken>) {
        if let Err(why) = self.may_save(pid) {
            // Fails if who asked is gone.
            let _ = done.send(Err(why));
            return;
        }
        self.stop_all(pid, Goal::Save(done));
    }

    fn may_save(&self, pid: i32) -> std::result::Result<(), NotTaken> {
        let refuse = |why: &str| Err(NotTaken::Refused(why.to_owned()));
        let Some(leader) = self.tracees.get(&pid).filter(|t| t.pid == pid) else {
            return refuse("there is no such process in the job");
        };
        let is_on_its_way = self.expected.contains_key(&pid)
            || self.departing.contains_key(&pid)
            || self.depart_later.contains_key(&pid)
            || self.arriving.contains_key(&pid)
            || self.has_image(pid);
        if is_on_its_way || self.restart.is_some() {
            return Err(NotTaken::Busy);
        }
        let threads = self.threads_of(pid);
        if threads.len() > THREADS_MAX {
            return Err(NotTaken::Refused(format!(
                "it has {} threads, a checkpoint at most {THREADS_MAX}",
                threads.len()
            )));
        }
        if threads
            .iter()
            .any(|tid| self.tracees.get(tid).is_some_and(|t| t.stopped))
        {
            return refuse("it is stopped");
        }
        // First: what is refused does not come home for it.
        surroundings::of(pid, &self.streams)
            .map_err(|why| NotTaken::Refused(format!("{why:#}")))?;
        if let Some(thread) = &leader.thread {
            return Err(NotTaken::Away(Arc::clone(&thread.deputy.host)));
        }
        if capture::has_lost_leader(pid) {
            return refuse("its leading thread has ended");
        }
        capture::may_leave(pid, self.job.accounts.counts(pid))
            .map_err(|error| NotTaken::Refused(reason(error)))
    }

    /// All threads stand still: what a checkpoint has in it.
    pub(super) fn take(
        &mut self,
        pid: i32,
        threads: &[i32],
        departing: &Departing,
    ) -> std::result::Result<Checkpoint, ImageError> {
        let mut image = self.captured(pid, threads, departing, false)?;
        let step = |doing| ImageError::step(doing, pid);
        restart::leave_sequences(&image).map_err(step("let go of a thread"))?;
        let mut head = surroundings::of(pid, &self.streams).map_err(|why| ImageError::Stays {
            pid,
            reason: format!("{why:#}"),
        })?;
        head.timers = restart::timers_of(pid)?;
        for thread in &image.threads {
            let mut name = std::fs::read(format!("/proc/{pid}/task/{}/comm", thread.tid))
                .map_err(step("read the name of a thread"))?;
            name.pop_if(|last| *last == b'\n');
            head.names.push(name);
        }
        image.departure = 0;
        let mut pages = Vec::with_capacity(image.page_bytes() as usize);
        capture::pages(&image, pid, &mut pages)?;
        Ok(Checkpoint { head, image, pages })
    }

    /// The command has executed its program, to go on as a checkpoint of it.
    pub(super) fn restart(&mut self, pid: i32, mut restarted: Box<Restarted>) -> Result<()> {
        self.has_placed = true;
        let made = self.remake(pid, &mut restarted);
        let stops = match made {
            Ok(stops) => stops,
            Err(ImageError::Ended { pid, change }) => {
                self.handle(pid, change);
                return Ok(());
            }
            Err(error) => {
                self.message(pid, &format!("the checkpoint cannot go on: {error}"));
                return ptrace::kill(pid, libc::SIGKILL);
            }
        };
        self.job
            .journal
            .stays(pid, "it was restarted from a checkpoint");
        for signal in stops {
            // ESRCH: killed meanwhile.
            let _ = ptrace::kill(pid, signal);
        }
        for thread in &restarted.checkpoint.image.threads {
            self.adopt(thread.tid, pid, None);
        }
        for thread in &restarted.checkpoint.image.threads {
            // ESRCH: killed meanwhile.
            let _ = ptrace::set_options(thread.tid, home_options(&self.job));
            let _ = self.shortenings.resume(thread.tid, thread.unfinished);
        }
        let node = self.job.setup.node;
        if node != HOME_NODE {
            let host = self.job.hosts.ready(node);
            if let Err(why) = host.and_then(|host| self.depart(pid, &host)) {
                self.job.journal.refused(pid, &why);
            }
        }
        Ok(())
    }

    fn remake(
        &mut self,
        pid: i32,
        restarted: &mut Restarted,
    ) -> std::result::Result<Vec<i32>, ImageError> {
        let mut image = capture::after_exec(pid, &self.job.digests, false)?;
        // Where the window may not be; and nothing is delivered until the process is there.
        image
            .mappings
            .extend(restarted.checkpoint.image.mappings.iter().cloned());
        image.held = u64::MAX;
        let options = home_options(&self.job) | options::EXITKILL;
        ptrace::set_options(pid, options)
            .map_err(ImageError::step("set the tracing options", pid))?;
        let deputy = deputy::deputise(pid, &image)?;
        let Restarted { checkpoint, mapped } = restarted;
        restart::restart(pid, deputy, checkpoint, mapped)
    }
}

/// The words of an error.
pub(super) fn reason(error: ImageError) -> String {
    match error {
        ImageError::Stays { reason, .. } => reason,
        other => other.to_string(),
    }
}
