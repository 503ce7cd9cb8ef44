//! Deputies that become their processes again.
//!
//! 1. A process has to come home: its deputy's threads get all signals blocked,
//!    so that those wait in the kernel here until the process itself takes them.
//! 2. When that is done its host is told to send it.
//! 3. Its image arrives: memory and state are made through the stub, then the
//!    windows go and the registers come. From there on it runs natively.
//!
//! Before the registers are loaded any failure leaves the deputy a deputy, and
//! the host is told to let the body go on. Nothing else lets it go on: who runs
//! the process is decided here.

use std::collections::HashSet;
use std::fs::File;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use image::postcopy::filler::Filler;
use image::restore::{self, Returning};
use image::unfinished;
use image::{Image, ImageError};
use lane::control::{Follow, ToHost};
use sys::ptrace::{self, Change, options};
use sys::seccomp;
use sys::userfault::Userfault;
use sys::window::Slot;

use super::{Result, Tracer, home_options};
use crate::arriving::{self, Offer};
use crate::hosts::Host;
use crate::job::{Contents, DeputyThread, Order, Returned, lock};

/// All that can be, but SIGCONT, and those by which a terminal stops who is not
/// in the foreground: blocked, they are an error of the call.
const HELD_SIGNALS: u64 =
    !(1 << (libc::SIGTTIN - 1) | 1 << (libc::SIGTTOU - 1) | 1 << (libc::SIGCONT - 1));

/// Whether a deputy has this mask because we hold its signals back: from when it left home, or comes back.
fn is_ours(mask: u64) -> bool {
    [HELD_SIGNALS, u64::MAX].contains(&(mask | UNBLOCKABLE))
}

pub(super) const IN_A_CALL: &str = "one of its threads is in a call";
/// Longest time that a lane may hold a slot of a process that has left its host.
const LET_GO_MAX: Duration = Duration::from_secs(2);
/// How often it is looked meanwhile.
const LET_GO_LOOK: Duration = Duration::from_micros(50);

/// Where the memory of a process is that is to be made of its deputy.
#[derive(Clone, Copy)]
enum Memory<'a> {
    /// Its host has sent it: contents of its image's pages.
    Sent(&'a [u8]),
    /// It has never gone.
    Kept,
}

/// What is to be done with a thread's signals at its next stop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signals {
    /// Nothing.
    Leave,
    /// Hold them back.
    Hold,
    /// No more.
    Release,
}

/// A process that is to leave its host.
pub(super) struct Expected {
    /// Why.
    reason: String,
    /// That keeps it at home.
    binds: bool,
    /// Where it goes on; `None`: at home.
    pub(super) to: Option<Arc<Host>>,
    /// Threads whose signals are not held back yet.
    open: HashSet<i32>,
    /// When the host was told to send it.
    pub(super) recalled: Option<Instant>,
    /// Of pages that follow it, if they may.
    pub(super) offer: Option<Arc<Offer>>,
    /// Signals that cannot be held back otherwise.
    pub(super) stops: Vec<i32>,
}

impl Expected {
    /// Whether the host has been told to send it: it takes no signals any more.
    pub(super) fn recalled(&self) -> bool {
        self.recalled.is_some()
    }

    /// Keeps a signal that cannot be held back, until the process is here.
    pub(super) fn keep(&mut self, signal: i32) {
        self.continued_by(signal);
        self.stops.push(signal);
    }

    /// SIGCONT takes back what was to stop the process, signal(7).
    pub(super) fn continued_by(&mut self, signal: i32) {
        const STOPS: [i32; 4] = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];
        if signal == libc::SIGCONT {
            self.stops.retain(|kept| !STOPS.contains(kept));
        }
    }
}

impl Tracer {
    pub(super) fn threads_of(&self, pid: i32) -> Vec<i32> {
        let own = self.tracees.iter().filter(|(_, t)| t.pid == pid);
        own.map(|(tid, _)| *tid).collect()
    }

    /// A process has to come home. `binds`: it stays there until it executes
    /// another program.
    pub(super) fn expect_home(&mut self, pid: i32, reason: String, binds: bool) -> Result<()> {
        if let Some(expected) = self.expected.get_mut(&pid) {
            if expected.to.take().is_some() {
                let diverted = format!("it has to come home: {reason}");
                (expected.reason, expected.binds) = (reason, binds);
                self.moved(pid, &Err(diverted));
            } else if binds && !expected.binds {
                // It is on its way for another reason, and needs to stay when it is here.
                (expected.binds, expected.reason) = (true, reason);
            }
            return Ok(());
        }
        self.expect(pid, reason, binds, None)
    }

    /// A process is to leave its host.
    pub(super) fn expect(
        &mut self,
        pid: i32,
        reason: String,
        binds: bool,
        to: Option<Arc<Host>>,
    ) -> Result<()> {
        if !self.is_deputy(pid) || self.expected.contains_key(&pid) {
            return Ok(());
        }
        let threads = self.threads_of(pid);
        let expected = Expected {
            reason,
            binds,
            to,
            open: threads.iter().copied().collect(),
            recalled: None,
            offer: None,
            stops: Vec::new(),
        };
        self.expected.insert(pid, expected);
        for tid in threads {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.signals = Signals::Hold;
                if let Some(thread) = &tracee.thread {
                    thread.deputy.is_leaving.store(true, Ordering::SeqCst);
                    // Its calls need not wait: they are interrupted.
                    thread.deputy.is_withheld.store(false, Ordering::SeqCst);
                }
            }
            // ESRCH: it has ended, which is seen next.
            let _ = ptrace::interrupt(tid);
        }
        Ok(())
    }

    /// Does with a stopped thread's signals what was asked for.
    pub(super) fn mind_signals(&mut self, tid: i32) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return Ok(());
        };
        match mem::replace(&mut tracee.signals, Signals::Leave) {
            Signals::Leave => {
                let set = tracee.thread.as_ref().map_or(0, |t| t.deputy.waiting.set());
                if let Some(mask) = &mut tracee.own_mask {
                    *mask |= set;
                } else if set != 0 {
                    let mask = ptrace::signal_mask(tid)?;
                    if mask & set != set {
                        ptrace::set_signal_mask(tid, mask | set)?;
                    }
                }
            }
            Signals::Hold => {
                if tracee.own_mask.is_none() {
                    tracee.own_mask = Some(ptrace::signal_mask(tid)?);
                }
                ptrace::set_signal_mask(tid, HELD_SIGNALS)?;
                let pid = tracee.pid;
                self.is_held(pid, tid);
            }
            Signals::Release => {
                // Another mask is that of the program that it is about to execute.
                if let Some(mask) = tracee.own_mask.take()
                    && is_ours(ptrace::signal_mask(tid)?)
                {
                    ptrace::set_signal_mask(tid, mask)?;
                }
                let pid = tracee.pid;
                self.is_released(pid);
            }
        }
        Ok(())
    }

    /// One thread fewer whose signals are withheld.
    fn is_released(&self, pid: i32) {
        let mut own = self.tracees.values().filter(|t| t.pid == pid);
        let thread = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        if let Some(thread) = thread
            && own.all(|tracee| tracee.own_mask.is_none())
        {
            thread.deputy.is_withheld.store(false, Ordering::SeqCst);
            thread
                .deputy
                .is_leaving
                .store(self.expected.contains_key(&pid), Ordering::SeqCst);
        }
    }

    /// More signals of a deputy wait here from now on: its threads have to block
    /// them, which they do at each stop.
    pub(super) fn hold_signals(&mut self, pid: i32) {
        if !self.is_deputy(pid) {
            return;
        }
        let threads = self.threads_of(pid);
        // The only one has called for it and blocks them.
        for tid in threads.iter().filter(|_| threads.len() > 1) {
            // ESRCH: it has ended.
            let _ = ptrace::interrupt(*tid);
        }
    }

    /// One thread fewer whose signals are not held back, by that or by its end.
    pub(super) fn is_held(&mut self, pid: i32, tid: i32) {
        if let Some(expected) = self.expected.get_mut(&pid) {
            expected.open.remove(&tid);
            if expected.open.is_empty() && expected.recalled.is_none() {
                expected.recalled = Some(Instant::now());
                // A call that works only at home may be one that needs all of the memory: to trace,
                // or to watch it. And if the next host fails, it is home that needs the pages.
                let takes_later = match &expected.to {
                    Some(host) => host.takes_pages_later(),
                    None => !expected.binds,
                };
                if let Some(leader) = self.tracees.get(&pid).and_then(|t| t.thread.as_ref()) {
                    let (host, arrivals) = (&leader.deputy.host, &self.job.arrivals);
                    if takes_later && arrivals.userfaults.is_some() {
                        expected.offer = Some(Arc::new(arrivals.announce(host)));
                    }
                    let later = expected.offer.as_ref().map(|offer| Follow {
                        number: offer.number,
                        bytes_min: self.job.later_bytes_min,
                    });
                    host.tell(&ToHost::CallHome { pid, later });
                }
            }
        }
    }

    /// The body of a process runs: it gets what has waited here. Not if it is to leave already.
    pub(super) fn release_signals(&mut self, pid: i32) {
        if self.expected.contains_key(&pid) {
            return;
        }
        for tid in self.threads_of(pid) {
            if let Some(tracee) = self.tracees.get_mut(&tid)
                && tracee.own_mask.is_some()
            {
                tracee.signals = Signals::Release;
                // ESRCH: it has ended, which is seen next.
                let _ = ptrace::interrupt(tid);
            }
        }
    }

    /// A child of a deputy begins: with its parent's mask, which may be ours.
    pub(super) fn newborn_signals(&mut self, child: i32, pid: i32) -> Result<()> {
        if self.expected.is_empty() && !is_ours(ptrace::signal_mask(child)?) {
            return Ok(());
        }
        let waiting = self.tracees.get(&child).and_then(|t| t.thread.as_ref());
        let mask = waiting.map_or(0, |t| t.deputy.waiting.set());
        ptrace::set_signal_mask(child, mask)?;
        if self.expected.contains_key(&pid)
            && let Some(tracee) = self.tracees.get_mut(&child)
        {
            tracee.signals = Signals::Hold;
            self.mind_signals(child)?;
        }
        Ok(())
    }

    /// A process that was to come home, or was until now, has executed a program instead. Its mask
    /// is that of the thread that did.
    pub(super) fn forget_expected(&mut self, pid: i32, former: i32) -> Result<()> {
        self.expected.remove(&pid);
        let own = self.tracees.get(&former).and_then(|t| t.own_mask);
        match own {
            Some(mask) if is_ours(ptrace::signal_mask(pid)?) => ptrace::set_signal_mask(pid, mask),
            _ => Ok(()),
        }
    }

    /// A process that was to come home goes on where it is.
    pub(super) fn remains(&mut self, pid: i32, reason: &str) -> Result<()> {
        let Some(expected) = self.expected.remove(&pid) else {
            return Ok(());
        };
        tracing::info!("process {pid} stays where it is: {reason}");
        self.job.mapped.give_up(pid);
        self.moved(pid, &Err(reason.to_owned()));
        for tid in self.threads_of(pid) {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                tracee.signals = Signals::Release;
            }
            let _ = ptrace::interrupt(tid);
        }
        for signal in expected.stops {
            ptrace::kill(pid, signal)?;
        }
        Ok(())
    }

    /// Its image is here: it goes on at home, or where it is to go.
    pub(super) fn left_host(&mut self, returned: Returned) -> Result<()> {
        let pid = returned.pid;
        let current = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        if !current.is_some_and(|thread| Arc::ptr_eq(&thread.deputy, &returned.deputy)) {
            // Fails if its lane is gone.
            let _ = returned.answer.send(Err("it has gone on since".to_owned()));
            return Ok(());
        }
        if !self.expected.get(&pid).is_some_and(Expected::recalled) {
            return self.refuse(returned, "it was not recalled".to_owned());
        }
        let is_newborn = |tid: &i32| self.tracees.get(tid).is_some_and(|t| t.newborn);
        if self.threads_of(pid).iter().any(is_newborn) {
            // It does not serve its slot yet: first its birth.
            self.job.order(Order::Return(Box::new(returned)));
            return Ok(());
        }
        let threads = match self.image_threads(pid, &returned.image) {
            Ok(threads) => threads,
            Err(error) => return self.refuse_for(returned, error),
        };
        let Some(slots) = take_slots(&threads) else {
            if returned.since.elapsed() > LET_GO_MAX {
                return self.refuse(returned, IN_A_CALL.to_owned());
            }
            // A lane that has just answered, or that drops what was kept, is about to let go.
            thread::sleep(LET_GO_LOOK);
            self.job.order(Order::Return(Box::new(returned)));
            return Ok(());
        };
        let expected = self.expected.get(&pid);
        if !returned.image.later.is_empty() && expected.is_none_or(|e| e.offer.is_none()) {
            return self.refuse(returned, "its memory is not all there".to_owned());
        }
        let to = expected.and_then(|e| e.to.clone());
        match to {
            Some(to) => self.pass_on(returned, &to, &threads, slots),
            None => self.come_home(returned, &threads, slots),
        }
    }

    /// It stays with its host.
    pub(super) fn refuse(&mut self, returned: Returned, reason: String) -> Result<()> {
        let remains = self.remains(returned.pid, &reason);
        // Fails if its lane is gone: so will be the body.
        let _ = returned.answer.send(Err(reason));
        remains
    }

    /// The same for an error, which may be the end of one of its threads.
    pub(super) fn refuse_for(&mut self, returned: Returned, error: ImageError) -> Result<()> {
        let ended = end_seen(&error);
        let reason = match error {
            ImageError::Stays { reason, .. } => reason,
            other => other.to_string(),
        };
        let refused = self.refuse(returned, reason);
        if let Some((tid, change)) = ended {
            self.handle(tid, change);
        }
        refused
    }

    /// It goes on at home.
    fn come_home(
        &mut self,
        returned: Returned,
        threads: &[Arc<DeputyThread>],
        slots: Vec<MutexGuard<'_, Slot>>,
    ) -> Result<()> {
        let (pid, image, pages) = (returned.pid, &returned.image, &returned.pages);
        let made = self.restore(pid, image, Memory::Sent(pages), threads, slots);
        let (stops, userfault) = match made {
            Ok(made) => made,
            Err(error) => return self.refuse_for(returned, error),
        };
        let offer = self.expected.get_mut(&pid).and_then(|e| e.offer.take());
        self.expect_pages(pid, image, userfault, offer);
        // First: the body must be gone before the process makes others, or stand still for good.
        let _ = returned.answer.send(Ok(()));
        self.job.accounts.came_home(image);
        let old = &returned.deputy;
        let calls = old.calls.load(Ordering::Relaxed);
        self.needs.left(pid, old.host.node, image.spent, calls);
        let bytes = pages.len() as u64 + image.later_bytes();
        self.go_on_here(pid, image, bytes, threads, stops);
        Ok(())
    }

    /// The process has been made; its pages come when it runs.
    fn expect_pages(
        &mut self,
        pid: i32,
        image: &Image,
        userfault: Option<Userfault>,
        offer: Option<Arc<Offer>>,
    ) {
        if let (Some(userfault), Some(offer)) = (userfault, offer) {
            let filler = Filler::new(userfault, &image.later, pid);
            let arrival = arriving::expect(&self.job, pid, offer, filler);
            self.arriving.insert(pid, arrival);
        }
    }

    /// The process has been made; from now on it is one that runs at home.
    fn go_on_here(
        &mut self,
        pid: i32,
        image: &Image,
        page_bytes: u64,
        threads: &[Arc<DeputyThread>],
        stops: Vec<i32>,
    ) {
        let Some(expected) = self.expected.remove(&pid) else {
            return;
        };
        for thread in threads {
            lock(&self.job.threads).remove(&thread.tid);
            if let Some(tracee) = self.tracees.get_mut(&thread.tid) {
                tracee.thread = None;
                tracee.left = Some(thread.deputy.host.number);
                tracee.own_mask = None;
                tracee.interrupt = None;
            }
        }
        if let Some(leader) = self.tracees.get_mut(&pid).filter(|_| expected.binds) {
            leader.bound = Some(expected.reason.clone());
        }
        self.job.mapped.release_of(pid);
        let journal = &self.job.journal;
        journal.came_home(pid, &expected.reason, page_bytes, expected.recalled);
        self.moved(pid, &Ok(()));
        for signal in expected.stops.into_iter().chain(stops) {
            // ESRCH: killed meanwhile.
            let _ = ptrace::kill(pid, signal);
        }
        if is_to_trace(image) {
            return self.release_tracing(pid, image);
        }
        let mut options = home_options(&self.job);
        if self.arriving.contains_key(&pid) {
            options |= options::EXITKILL;
        }
        for thread in &image.threads {
            // ESRCH: killed meanwhile.
            let _ = ptrace::set_options(thread.tid, options);
            let _ = self.shortenings.resume(thread.tid, thread.unfinished);
        }
    }

    /// A process that has come home to trace, or to be traced by its parent, is let go: it can have
    /// one tracer only, and so can the children it will make. It belongs to the job no more.
    fn release_tracing(&mut self, pid: i32, image: &Image) {
        self.job.journal.released(pid);
        for thread in &image.threads {
            self.tracees.remove(&thread.tid);
            // ESRCH: killed meanwhile.
            let _ = ptrace::detach(thread.tid, 0);
        }
    }

    /// Whether the process can go on here, since its body has never run: not if that has called, which
    /// may be heard before the word of its host that it runs.
    pub(super) fn has_image(&self, pid: i32) -> bool {
        let thread = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        thread.is_some_and(|thread| {
            let begun = thread.deputy.has_begun.load(Ordering::SeqCst);
            lock(&thread.deputy.image).is_some() && !begun
        })
    }

    /// Whether a process has left another node and is not where it goes yet, as far as can be told:
    /// its host may have made the body without our knowing, but that has asked for nothing.
    pub(super) fn has_not_begun(&self, pid: i32) -> bool {
        let thread = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        self.has_image(pid) && thread.is_some_and(|thread| thread.deputy.is_on_its_way())
    }

    /// A host cannot run a process that was on its way there: it goes on here.
    pub(super) fn take_back(&mut self, pid: i32, reason: &str) -> Result<()> {
        let Some(thread) = self.tracees.get(&pid).and_then(|t| t.thread.clone()) else {
            return Ok(());
        };
        let Some(captured) = lock(&thread.deputy.image).take() else {
            return Ok(());
        };
        // Nor is anything to be kept for it there.
        thread.deputy.host.tell(&ToHost::Kill { pid });
        tracing::warn!("process {pid} cannot run on its host: {reason}");
        self.expected.remove(&pid);
        self.moved(pid, &Err(reason.to_owned()));
        let mut stops = Vec::new();
        for tid in self.threads_of(pid) {
            if let Some(tracee) = self.tracees.get_mut(&tid) {
                (tracee.signals, tracee.own_mask) = (Signals::Leave, None);
            }
            if let Err(error) = restore::stop(tid, &mut stops) {
                if let Some((tid, change)) = end_seen(&error) {
                    self.handle(tid, change);
                }
                return Err(std::io::Error::other(error));
            }
            ptrace::set_signal_mask(tid, HELD_SIGNALS)?;
            ptrace::resume(tid, 0)?;
        }
        let expected = Expected {
            reason: format!("its host could not run it: {reason}"),
            binds: false,
            to: None,
            open: HashSet::new(),
            recalled: Some(Instant::now()),
            offer: None,
            stops,
        };
        self.expected.insert(pid, expected);
        let image = &captured.image;
        let memory = match &captured.contents {
            Contents::Bytes(pages) => Memory::Sent(pages),
            Contents::Kept => Memory::Kept,
        };
        let threads = self.image_threads(pid, image);
        let made = threads.and_then(|threads| {
            let slots = take_slots(&threads);
            let slots = slots.ok_or_else(|| ImageError::Refused(IN_A_CALL.to_owned()))?;
            let (stops, userfault) = self.restore(pid, image, memory, &threads, slots)?;
            let offer = threads.first().and_then(|t| t.deputy.kept.offer());
            self.expect_pages(pid, image, userfault, offer);
            Ok((threads, stops))
        });
        match made {
            Ok((threads, stops)) => {
                self.go_on_here(pid, image, image.page_bytes(), &threads, stops);
                Ok(())
            }
            Err(error) => {
                if let Some((tid, change)) = end_seen(&error) {
                    self.handle(tid, change);
                    return Ok(());
                }
                self.message(pid, &format!("process {pid} is lost: {reason}; {error}"));
                ptrace::kill(pid, libc::SIGKILL)
            }
        }
    }

    /// Makes the process of its deputy's `threads`, in the image's order. They are stopped then. Returns
    /// signals to be sent again, and what serves pages that come later.
    fn restore(
        &mut self,
        pid: i32,
        image: &Image,
        memory: Memory<'_>,
        threads: &[Arc<DeputyThread>],
        mut slots: Vec<MutexGuard<'_, Slot>>,
    ) -> std::result::Result<(Vec<i32>, Option<Userfault>), ImageError> {
        let mut returning = returning(threads, &mut slots);
        let userfault = match memory {
            Memory::Sent(pages) => {
                let device = self.job.arrivals.userfaults.as_ref();
                returning.prepare(image, pages, &self.image_files(image)?, device)?
            }
            Memory::Kept => {
                returning.reclaim(image)?;
                None
            }
        };
        if let Err(fault) = lane::fault::point("restore") {
            drop(userfault);
            returning.undo(image);
            return Err(ImageError::step("make the process", pid)(fault));
        }
        if self.job.accounts.is_to_count(image) && !is_to_trace(image) {
            match returning.count(&seccomp::counting()) {
                Ok(()) => self.job.accounts.count(pid),
                Err(ended @ ImageError::Ended { .. }) => return Err(ended),
                Err(error) => {
                    tracing::warn!("CPU time of process {pid} elsewhere does not count: {error}")
                }
            }
        }
        let stops = returning.enter(image).inspect_err(|error| {
            if end_seen(error).is_some() {
                return;
            }
            self.message(
                pid,
                &format!("process {pid} is lost on its way home: {error}"),
            );
            // ESRCH: it has ended.
            let _ = ptrace::kill(pid, libc::SIGKILL);
        })?;
        drop(returning);
        for thread in threads {
            // A lane that waits for its slot sees it.
            thread.is_over.store(true, Ordering::SeqCst);
        }
        drop(slots);
        Ok((stops, userfault))
    }

    /// The deputy's threads in the image's order: what a host says is input.
    pub(super) fn image_threads(
        &self,
        pid: i32,
        image: &Image,
    ) -> std::result::Result<Vec<Arc<DeputyThread>>, ImageError> {
        let known = |tid: i32| {
            let tracee = self.tracees.get(&tid).filter(|t| t.pid == pid)?;
            tracee.thread.clone()
        };
        let threads: Option<Vec<_>> = image.threads.iter().map(|t| known(t.tid)).collect();
        match threads {
            Some(threads) if threads.len() == self.threads_of(pid).len() => Ok(threads),
            _ => Err(ImageError::Refused(
                "its threads are not those of the process".into(),
            )),
        }
    }

    /// The files of the image, as they are here.
    fn image_files(&self, image: &Image) -> std::result::Result<Vec<Arc<File>>, ImageError> {
        let find = |wanted: &image::files::FileIdentity| {
            let file = self.job.mapped.find(wanted, &self.job.digests);
            file.ok_or_else(|| ImageError::Stays {
                pid: image.pid,
                reason: format!("{} has changed since it was mapped", wanted.path),
            })
        };
        image.files.iter().map(find).collect()
    }
}

/// Whether a process comes home to trace, or to be traced.
fn is_to_trace(image: &Image) -> bool {
    let calls_ptrace = |thread| unfinished::will_call(thread, libc::SYS_ptrace);
    image.threads.iter().any(calls_ptrace)
}

/// The deputy's `threads` with their slots, to make a process of them.
pub(super) fn returning<'a>(
    threads: &[Arc<DeputyThread>],
    slots: &'a mut [MutexGuard<'_, Slot>],
) -> Returning<'a> {
    let places = threads.first().map(|leader| lock(&leader.deputy.places));
    let places = places.iter().flat_map(|places| places.iter());
    Returning {
        windows: places.map(|place| place.address).collect(),
        threads: threads
            .iter()
            .zip(slots)
            .map(|(thread, slot)| restore::DeputyThread {
                tid: thread.tid,
                place: thread.place.address,
                slot,
            })
            .collect(),
    }
}

/// The slots of all threads, unless a lane holds one.
fn take_slots(threads: &[Arc<DeputyThread>]) -> Option<Vec<MutexGuard<'_, Slot>>> {
    let taken = threads.iter().map(|thread| thread.slot.try_lock().ok());
    taken.collect()
}

/// A thread's end that was seen on the way, and that nobody else will see.
fn end_seen(error: &ImageError) -> Option<(i32, Change)> {
    match error {
        ImageError::Ended { pid, change } => Some((*pid, *change)),
        _ => None,
    }
}

/// SIGKILL and SIGSTOP are never in a mask.
const UNBLOCKABLE: u64 = 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1);
