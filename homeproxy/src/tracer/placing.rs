//! Programs after their execve: where they run is decided, and the process
//! becomes a deputy if that is not home.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use image::ImageError;
use image::capture;
use image::deputy::{self, Deputised};
use lane::control::ToHost;
use sys::pidfd;
use sys::ptrace::{self, options};

use super::{Result, Tracer, home_options};
use crate::best;
use crate::hosts::Host;
use crate::job::{Captured, Contents, Deputy, DeputyThread, EXECUTED, Place, STAYS, lock};
use crate::procfs::OpenFiles;
use crate::setup::HOME_NODE;
use crate::waiting::{self, Waiting};

/// Why a program runs at home that nobody has sent elsewhere.
const HOME_REASON: &str = "home is where it was asked to run";

impl Tracer {
    /// An execve has succeeded.
    pub(super) fn executed(&mut self, pid: i32) -> Result<()> {
        if pid == self.command
            && let Some(restart) = self.restart.take()
        {
            return self.restart(pid, restart);
        }
        let former = ptrace::event_message(pid)? as i32;
        self.forget_expected(pid, former)?;
        self.job.mapped.release_of(pid);
        self.departing.remove(&pid);
        self.misses_nothing(pid);
        let caller = self.tracees.get(&former).and_then(|t| t.thread.clone());
        self.forget_threads_of(pid, former);
        self.needs.executed(pid);
        match self.send_away(pid, caller.as_deref()) {
            Ok(thread) => {
                if caller.is_some() {
                    self.needs.replaces(pid);
                }
                self.adopt(pid, pid, Some(Arc::clone(&thread)));
                lock(&self.job.threads).insert(pid, Arc::clone(&thread));
                match caller {
                    Some(caller) => caller.finish(EXECUTED),
                    None => thread.deputy.host.tell(&ToHost::Place { pid }),
                }
                Ok(())
            }
            Err(ImageError::Ended { change, .. }) => {
                // Its body, if it has one, waits for what becomes of its execve.
                self.adopt(pid, pid, caller);
                self.handle(pid, change);
                Ok(())
            }
            Err(reason) => {
                let why = match reason {
                    ImageError::Stays { reason, .. } => reason,
                    other => other.to_string(),
                };
                self.job.journal.stays(pid, &why);
                self.adopt(pid, pid, None);
                if let (Some(caller), Some(tracee)) = (&caller, self.tracees.get_mut(&pid)) {
                    tracee.left = Some(caller.deputy.host.number);
                }
                if let Some(caller) = caller {
                    caller.finish(STAYS);
                }
                ptrace::set_options(pid, home_options(&self.job))?;
                ptrace::resume(pid, 0)
            }
        }
    }

    /// After an execve only the caller is left, with the leader's id.
    pub(super) fn forget_threads_of(&mut self, pid: i32, former: i32) {
        let gone: Vec<i32> = self
            .tracees
            .iter()
            .filter(|(_, t)| t.pid == pid)
            .map(|(tid, _)| *tid)
            .collect();
        for tid in gone {
            if let Some(thread) = self.tracees.remove(&tid).and_then(|t| t.thread) {
                lock(&self.job.threads).remove(&tid);
                if tid != former {
                    thread.abandon();
                }
            }
        }
    }

    /// Where a program runs that has just been executed: a guest's where that was.
    fn place(
        &mut self,
        pid: i32,
        caller: Option<&DeputyThread>,
    ) -> std::result::Result<Arc<Host>, String> {
        if let Some(caller) = caller {
            return Ok(Arc::clone(&caller.deputy.host));
        }
        // The command was placed before it began.
        let is_first = !std::mem::replace(&mut self.has_placed, true);
        match self.job.setup.node {
            _ if self.job.setup.best && !is_first => best::host(&self.job, pid),
            HOME_NODE => Err(self.job.hosts.refusal().unwrap_or(HOME_REASON).to_owned()),
            node => self.job.hosts.ready(node),
        }
    }

    /// Captures a process that has just executed a program and makes a deputy of it.
    /// `caller` is the thread that called execve, if it was a deputy's.
    pub(super) fn send_away(
        &mut self,
        pid: i32,
        caller: Option<&DeputyThread>,
    ) -> std::result::Result<Arc<DeputyThread>, ImageError> {
        let host = self
            .place(pid, caller)
            .map_err(|reason| ImageError::Stays { pid, reason })?;
        let mut image = capture::after_exec(pid, &self.job.digests, self.job.accounts.counts(pid))?;
        // Timers end with an execve, signalfds need not.
        image.held = match caller {
            Some(caller) if caller.deputy.waiting.set() == 0 => 0,
            _ => waiting::of_process(pid, false),
        };
        let waiting = Waiting::new(image.held);
        image.placement = self.job.next_placement();
        let mut pages = Vec::with_capacity(image.page_bytes() as usize);
        capture::pages(&image, pid, &mut pages)?;
        self.job.mapped.offer(pid, &image);
        let step = |doing| ImageError::step(doing, pid);
        let options = home_options(&self.job) | options::EXITKILL;
        ptrace::set_options(pid, options).map_err(step("set the tracing options"))?;
        let pidfd = pidfd::open(pid).map_err(step("open the process"))?;
        let Deputised {
            window,
            address,
            slot,
            signals,
            told,
        } = deputy::deputise(pid, &image)?;
        told.put(&mut image);
        self.job.accounts.executed(&mut image);
        self.job.journal.placed(pid, host.node, pages.len() as u64);
        let proc_files = match caller {
            Some(caller) => caller.deputy.proc_files.inherit(),
            None => OpenFiles::find(pid),
        };
        // A guest that executes a program stays where it is.
        let calls = caller.map_or(0, |caller| caller.deputy.calls.load(Ordering::Relaxed));
        let place = Place { window, address };
        let deputy = Arc::new(Deputy {
            pid,
            host,
            pidfd,
            placement: image.placement,
            places: Mutex::new(vec![place.clone()]),
            signals: 0.into(),
            parent: 0.into(),
            image: Mutex::new(Some(Arc::new(Captured {
                image,
                contents: Contents::Bytes(pages),
            }))),
            proc_files,
            has_begun: false.into(),
            is_withheld: false.into(),
            is_leaving: false.into(),
            heeded: Default::default(),
            kept: Default::default(),
            waiting,
            calls: calls.into(),
        });
        for signal in signals {
            // Sent again, so that it stops the deputy and is passed on.
            ptrace::tgkill(pid, pid, signal).map_err(step("keep a signal"))?;
        }
        Ok(Arc::new(DeputyThread::new(pid, deputy, place, slot)))
    }
}
