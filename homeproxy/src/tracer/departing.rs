//! Processes that leave home while they run.
//!
//! 1. All threads are interrupted. A call that one of them waits in has not
//!    happened: where the process goes on, the kernel makes it again.
//! 2. When all stand still the process is captured and becomes a deputy, whose
//!    signals wait until that is done.
//! 3. The host is told to fetch it.
//!
//! Up to the first step of making a deputy any refusal leaves the process as it
//! was. Afterwards the image exists once, here, until the host fetches it.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use image::capture::{self, StoppedThread, Surroundings, Unidentified};
use image::deputy::{self, Standing, Stood};
use image::files::device_of;
use image::maps::{self, Line};
use image::seen::{self, Seen};
use image::unfinished::{self, Unfinished};
use image::{Image, ImageError};
use lane::control::ToHost;
use sys::ptrace::{self, options};
use sys::{pidfd, process};

use super::returning::Signals;
use super::{Tracer, home_options};
use crate::checkpoint::{NotTaken, Taken};
use crate::hosts::Host;
use crate::job::{Captured, Contents, Deputy, DeputyThread, Place, lock};
use crate::kept::Kept;
use crate::procfs::OpenFiles;
use crate::readahead::Heeded;
use crate::waiting::{self, Waiting};

/// Longest time until all threads of a process stand still. One that has made a
/// child by vfork does not before the child executes a program.
const STILL_TIMEOUT: Duration = Duration::from_secs(2);

/// A process that is to leave.
pub(super) struct Departing {
    /// Threads that stand still.
    held: HashSet<i32>,
    /// Waits of threads as they were told to stop.
    waits: HashMap<i32, Seen>,
    /// Calls that those that stand still were in.
    unfinished: HashMap<i32, Unfinished>,
    /// When they were told to stop.
    since: Instant,
    /// What for.
    goal: Goal,
}

/// What the threads of a process at home stand still for.
pub(super) enum Goal {
    /// It goes to this host.
    Leave(Arc<Host>),
    /// To be traced as a process at home again.
    GoOn,
    /// Somebody wants a checkpoint.
    Save(Sender<Taken>),
}

impl Tracer {
    /// A process is to leave home, where it runs, for `to`.
    ///
    /// # Errors
    /// In words, why it does not.
    pub(super) fn depart(&mut self, pid: i32, to: &Arc<Host>) -> std::result::Result<(), String> {
        to.check()?;
        let Some(leader) = self.tracees.get(&pid).filter(|t| t.pid == pid) else {
            return Err("there is no such process in the job".into());
        };
        if leader.thread.is_some() {
            return Err("it is there already".into());
        }
        if let Some(reason) = &leader.bound {
            return Err(reason.clone());
        }
        match self.departing.get(&pid).map(|departing| &departing.goal) {
            Some(Goal::Leave(_)) => return Err("it is leaving already".into()),
            Some(Goal::Save(_)) => return Err("a checkpoint of it is taken".into()),
            _ => {}
        }
        if self.depart_later.contains_key(&pid) {
            return Err("it is leaving already".into());
        }
        if self.arriving.contains_key(&pid) {
            self.depart_later.insert(pid, Arc::clone(to));
            return Ok(());
        }
        let threads = self.threads_of(pid);
        if threads.iter().any(|tid| self.tracees[tid].stopped) {
            return Err("it is stopped".into());
        }
        if capture::has_lost_leader(pid) {
            return Err("its leading thread has ended".into());
        }
        capture::may_leave(pid, self.job.accounts.counts(pid)).map_err(in_words)?;
        self.stop_all(pid, Goal::Leave(Arc::clone(to)));
        Ok(())
    }

    /// All threads of a process at home are to stand still, for `goal`.
    pub(super) fn stop_all(&mut self, pid: i32, goal: Goal) {
        if let Some(departing) = self.departing.get_mut(&pid) {
            // Whatever it stops for, it can be traced otherwise from then on.
            if !matches!(goal, Goal::GoOn) {
                departing.goal = goal;
            }
            return;
        }
        let threads = self.threads_of(pid);
        let wait = |tid: &i32| Some((*tid, seen::of_blocked(*tid)?));
        let departing = Departing {
            held: HashSet::new(),
            waits: threads.iter().filter_map(wait).collect(),
            unfinished: HashMap::new(),
            since: Instant::now(),
            goal,
        };
        self.departing.insert(pid, departing);
        for tid in threads {
            // ESRCH: it has ended.
            let _ = ptrace::interrupt(tid);
        }
    }

    /// A thread of a process that leaves is to stop again after whatever it has
    /// just stopped for.
    pub(super) fn remind(&self, tid: i32) {
        if self.departing.is_empty() {
            return;
        }
        if let Some(tracee) = self.tracees.get(&tid)
            && let Some(departing) = self.departing.get(&tracee.pid)
            && !departing.held.contains(&tid)
        {
            // ESRCH: it has ended.
            let _ = ptrace::interrupt(tid);
        }
    }

    /// A thread has stopped by our interruption, before the rest of a call if
    /// that is known. Returns whether it is held, since its process leaves.
    pub(super) fn hold_still(
        &mut self,
        tid: i32,
        unfinished: Option<Unfinished>,
    ) -> std::io::Result<bool> {
        let Some(pid) = self.tracees.get(&tid).map(|t| t.pid) else {
            return Ok(false);
        };
        let Some(departing) = self.departing.get_mut(&pid) else {
            return Ok(false);
        };
        let mask = unfinished::with_mask(tid, unfinished)?.and_then(|wait| wait.mask);
        if waiting::has_due_signal(tid, mask) {
            // A call that it interrupts must see it here; what it waits in next is another one.
            departing.waits.remove(&tid);
            return Ok(false);
        }
        let seen = departing.waits.remove(&tid);
        let known = self.shortenings.interrupted(tid)?.or(unfinished);
        let unfinished = known.or_else(|| seen::of_stopped(tid, seen));
        let unfinished = unfinished::with_mask(tid, unfinished)?;
        departing.held.insert(tid);
        departing
            .unfinished
            .extend(unfinished.map(|call| (tid, call)));
        self.leave_if_still(pid);
        Ok(true)
    }

    /// If all threads stand still, the process leaves, or goes on here.
    pub(super) fn leave_if_still(&mut self, pid: i32) {
        let threads = self.threads_of(pid);
        let Some(departing) = self.departing.get(&pid) else {
            return;
        };
        if threads.is_empty() || !threads.iter().all(|tid| departing.held.contains(tid)) {
            return;
        }
        let Some(departing) = self.departing.remove(&pid) else {
            return;
        };
        let left = match &departing.goal {
            Goal::Leave(to) => self.leave(pid, &threads, &departing, to),
            Goal::GoOn => return self.release(&threads, &departing.unfinished),
            Goal::Save(done) => return self.save_still(pid, &threads, &departing, done),
        };
        let Err(error) = left else {
            return;
        };
        self.job.mapped.release_of(pid);
        match error {
            ImageError::Stays { reason, .. } => {
                tracing::info!("process {pid} stays at home: {reason}");
                self.moved(pid, &Err(reason));
                self.release(&threads, &departing.unfinished);
            }
            ImageError::Ended { pid, change } => self.handle(pid, change),
            lost => {
                self.message(
                    pid,
                    &format!("process {pid} is lost while it left home: {lost}"),
                );
                // ESRCH: it has ended.
                let _ = ptrace::kill(pid, libc::SIGKILL);
            }
        }
    }

    /// A checkpoint is taken, and the process goes on.
    fn save_still(
        &mut self,
        pid: i32,
        threads: &[i32],
        departing: &Departing,
        done: &Sender<Taken>,
    ) {
        let taken = self.take(pid, threads, departing);
        self.release(threads, &departing.unfinished);
        let answer = match taken {
            Ok(checkpoint) => Ok(Box::new(checkpoint)),
            Err(ImageError::Ended { pid, change }) => {
                self.handle(pid, change);
                Err(NotTaken::Refused("it has ended".to_owned()))
            }
            Err(error) => Err(NotTaken::Refused(in_words(error))),
        };
        // Fails if who asked is gone.
        let _ = done.send(answer);
    }

    fn release(&mut self, threads: &[i32], unfinished: &HashMap<i32, Unfinished>) {
        for tid in threads {
            // ESRCH: killed meanwhile.
            let _ = ptrace::set_options(*tid, home_options(&self.job));
            let _ = self.shortenings.resume(*tid, unfinished.get(tid).copied());
        }
    }

    /// Processes of which a thread does not stop go on at home.
    pub(super) fn give_up_departures(&mut self) {
        let now = Instant::now();
        let late: Vec<i32> = self
            .departing
            .iter()
            .filter(|(_, departing)| departing.since + STILL_TIMEOUT <= now)
            .map(|(pid, _)| *pid)
            .collect();
        for pid in late {
            if let Some(departing) = self.departing.remove(&pid) {
                let held: Vec<i32> = departing.held.into_iter().collect();
                let reason = "one of its threads does not stop";
                match &departing.goal {
                    Goal::Leave(_) => {
                        tracing::info!("process {pid} stays at home: {reason}");
                        self.moved(pid, &Err(reason.to_owned()));
                    }
                    // Fails if who asked is gone.
                    Goal::Save(done) => {
                        drop(done.send(Err(NotTaken::Refused(reason.to_owned()))));
                    }
                    Goal::GoOn => {}
                }
                self.release(&held, &departing.unfinished);
            }
        }
    }

    /// When the next one is given up.
    pub(super) fn departures_until(&self) -> Option<Instant> {
        self.departing
            .values()
            .map(|departing| departing.since + STILL_TIMEOUT)
            .min()
    }

    /// All threads stand still: a deputy is made, and the host told.
    fn leave(
        &mut self,
        pid: i32,
        threads: &[i32],
        departing: &Departing,
        to: &Arc<Host>,
    ) -> std::result::Result<(), ImageError> {
        let since = &departing.since;
        to.check()
            .map_err(|reason| ImageError::Stays { pid, reason })?;
        capture::may_leave(pid, self.job.accounts.counts(pid))?;
        let untouched = |error| still_whole(pid, error);
        let mut image = self.captured(pid, threads, departing, true)?;
        image.held = waiting::of_process(pid, true);
        let held = image.held;
        self.needs.departs(pid, image.spent);
        self.job.accounts.departs(&mut image);
        let tids: Vec<i32> = image.threads.iter().map(|thread| thread.tid).collect();
        image.departure = self.job.next_placement();
        image.placement = image.departure;
        let step = |doing| ImageError::step(doing, pid);
        let pidfd = pidfd::open(pid)
            .map_err(step("open the process"))
            .map_err(untouched)?;
        let proc_files = OpenFiles::find(pid);
        self.job
            .journal
            .departs(pid, to.node, image.page_bytes(), *since);
        for tid in threads {
            // A deputy never outlives its proxy.
            let options = home_options(&self.job) | options::EXITKILL;
            ptrace::set_options(*tid, options).map_err(step("set the tracing options"))?;
        }
        let Stood {
            windows,
            slots,
            pending,
        } = deputy::deputise_running(&image)?;
        image.pending = pending;
        let signals = self.tell_pending(to, &image);
        let places: Vec<Place> = windows
            .into_iter()
            .map(|Standing { window, address }| Place { window, address })
            .collect();
        let deputy = Arc::new(Deputy {
            pid,
            host: Arc::clone(to),
            pidfd,
            placement: image.placement,
            places: Mutex::new(places.clone()),
            signals: signals.into(),
            parent: 0.into(),
            kept: Kept::of(&image),
            image: Mutex::new(Some(Arc::new(Captured {
                image,
                contents: Contents::Kept,
            }))),
            has_begun: false.into(),
            is_withheld: true.into(),
            is_leaving: false.into(),
            heeded: Heeded::default(),
            proc_files,
            waiting: Waiting::new(held),
            calls: 0.into(),
        });
        let mut made = HashMap::new();
        for (tid, (window, slot)) in tids.into_iter().zip(slots) {
            let place = places[window].clone();
            let thread = DeputyThread::new(tid, Arc::clone(&deputy), place, slot);
            made.insert(thread.tid, Arc::new(thread));
        }
        for (tid, thread) in made {
            lock(&self.job.threads).insert(tid, Arc::clone(&thread));
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.thread = Some(thread);
                tracee.own_mask = Some(held);
                // Until its body runs: else they would be lost if it does not.
                tracee.signals = Signals::Leave;
            }
        }
        to.tell(&ToHost::Place { pid });
        Ok(())
    }

    /// The image of a process, all threads of which stand still, by their ids. `stays_mapped`: it
    /// will be elsewhere, so that changes of files that it has mapped must be heard of.
    pub(super) fn captured(
        &mut self,
        pid: i32,
        threads: &[i32],
        departing: &Departing,
        stays_mapped: bool,
    ) -> std::result::Result<Image, ImageError> {
        let mut stopped: Vec<StoppedThread> = threads
            .iter()
            .map(|tid| StoppedThread {
                tid: *tid,
                at_home: *tid,
                unfinished: departing.unfinished.get(tid).copied(),
            })
            .collect();
        stopped.sort_by_key(|thread| (thread.tid != pid, thread.tid));
        let own = |(tid, tracee): (&i32, &super::Tracee)| {
            (*tid == tracee.pid && *tid != pid).then_some(*tid)
        };
        let others: Vec<i32> = self.tracees.iter().filter_map(own).collect();
        let twin = |other: &&i32| match process::have_same_memory(pid, **other) {
            Ok(is_same) => is_same,
            // It has just ended.
            Err(error) => error.raw_os_error() != Some(libc::ESRCH),
        };
        if let Some(other) = others.iter().find(twin) {
            return Err(ImageError::Stays {
                pid,
                reason: format!("it has the memory of process {other}"),
            });
        }
        let mut surroundings = Surroundings {
            identify: &mut |line| {
                let found = capture::at_home(line, &self.job.digests).and_then(|identity| {
                    if stays_mapped {
                        self.job.mapped.hold_at(&self.job, pid, &line.name)?;
                    }
                    Ok(identity)
                });
                found.map_err(|why| match is_program(pid, line) {
                    true => Unidentified::Shipped,
                    false => Unidentified::Stays(why.to_string()),
                })
            },
            sharer: &|line| {
                others
                    .iter()
                    .find(|other| maps::shares(**other, line))
                    .copied()
            },
        };
        lane::fault::point("capture").map_err(|error| ImageError::Stays {
            pid,
            reason: error.to_string(),
        })?;
        capture::running(&stopped, &mut surroundings).map_err(|error| still_whole(pid, error))
    }
}

/// Whether what is mapped is of the file that process `pid` executes: nobody may write that.
fn is_program(pid: i32, line: &Line) -> bool {
    let program = std::fs::metadata(format!("/proc/{pid}/exe"));
    program.is_ok_and(|meta| (meta.ino(), device_of(&meta)) == (line.inode, line.device))
}

/// What has failed has changed nothing in process `pid`: it goes on here, unless
/// it has ended.
fn still_whole(pid: i32, error: ImageError) -> ImageError {
    match error {
        ended @ ImageError::Ended { .. } => ended,
        other => ImageError::Stays {
            pid,
            reason: in_words(other),
        },
    }
}

fn in_words(error: ImageError) -> String {
    match error {
        ImageError::Stays { reason, .. } => reason,
        other => other.to_string(),
    }
}
