//! Memory that a deputy keeps until its body has all of it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use image::Image;
use image::deputy::to_drop;
use image::schema::PageRun;
use sys::window::{BATCH_CALLS_MAX, Call, Slot};

use crate::arriving::Offer;
use crate::job::{Deputy, DeputyThread, Job, lock};

/// How often it is looked whether the deputy still exists.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The memory of a process, in its deputy.
#[derive(Default)]
pub(crate) struct Kept {
    state: AtomicU8,
    /// Number of the process's departure; 0: it has left right after an execve.
    departure: u64,
    ranges: Vec<(u64, u64)>,
    /// Pages that its host may still ask for.
    later: Mutex<Arc<[PageRun]>>,
    /// They are at the host that the process was on before, which offers them.
    offer: Mutex<Option<Arc<Offer>>>,
    lock: Mutex<()>,
    changed: Condvar,
}

const NOT_HERE: u8 = 0;
const HERE: u8 = 1;
/// Nobody needs it any more: the next of its threads that can drops it.
const DUE: u8 = 2;

impl Kept {
    /// That of a process that has just become a deputy.
    pub(crate) fn of(image: &Image) -> Kept {
        Kept {
            state: HERE.into(),
            departure: image.departure,
            ranges: to_drop(image),
            ..Kept::default()
        }
    }

    /// Number of the process's departure; 0: it has left right after an execve.
    pub(crate) fn departure(&self) -> u64 {
        self.departure
    }

    /// The same when the process goes from its host to another: what is still here is dropped there.
    /// `offer` has the pages that follow.
    pub(crate) fn passed_on(&self, departure: u64, offer: Option<Arc<Offer>>) -> Kept {
        let state = if self.is_here() { DUE } else { NOT_HERE };
        Kept {
            state: state.into(),
            departure,
            ranges: self.ranges.clone(),
            offer: Mutex::new(offer),
            ..Kept::default()
        }
    }

    /// Whether it is here.
    pub(crate) fn is_here(&self) -> bool {
        self.state.load(Ordering::SeqCst) != NOT_HERE
    }

    /// Whether its body still needs some of it.
    pub(crate) fn is_needed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == HERE || lock(&self.offer).is_some()
    }

    /// Where pages are that follow, if not here.
    pub(crate) fn offer(&self) -> Option<Arc<Offer>> {
        lock(&self.offer).clone()
    }

    /// Whether a thread that is in no call is to drop it.
    pub(crate) fn is_due(&self) -> bool {
        self.state.load(Ordering::SeqCst) == DUE
    }

    /// These pages follow the image.
    pub(crate) fn follow(&self, later: &[PageRun]) {
        *lock(&self.later) = later.into();
    }

    /// Pages that follow the image.
    pub(crate) fn later(&self) -> Arc<[PageRun]> {
        Arc::clone(&lock(&self.later))
    }

    /// Nobody needs it any more. Returns when it has been dropped, which is
    /// when one of the deputy's threads is in no call, or `false` if the
    /// deputy is none any more.
    pub(crate) fn give_up(&self, job: &Job, deputy: &Arc<Deputy>) -> bool {
        *lock(&self.offer) = None;
        let due = self
            .state
            .compare_exchange(HERE, DUE, Ordering::SeqCst, Ordering::SeqCst);
        if due == Err(NOT_HERE) {
            return true;
        }
        loop {
            let threads = job.threads_of(deputy);
            for thread in &threads {
                self.try_drop_by(job, thread);
            }
            let guard = lock(&self.lock);
            if !self.is_here() || threads.is_empty() {
                return !self.is_here();
            }
            drop(self.changed.wait_timeout(guard, LOOK_INTERVAL));
        }
    }

    /// If it is due, drops it by a thread of the deputy, unless that is in a call,
    /// which may be its last.
    pub(crate) fn try_drop_by(&self, job: &Job, thread: &DeputyThread) {
        if let Ok(mut slot) = thread.slot.try_lock()
            && !thread.place.window.is_busy(thread.slot_index)
            && !thread.is_gone(job)
        {
            self.drop_by(job, thread, &mut slot);
        }
    }

    fn drop_by(&self, job: &Job, thread: &DeputyThread, slot: &mut Slot) {
        let mine = self
            .state
            .compare_exchange(DUE, HERE, Ordering::SeqCst, Ordering::SeqCst);
        if mine.is_err() {
            return;
        }
        for part in self.ranges.chunks(BATCH_CALLS_MAX) {
            let unmap =
                |(start, end): &(u64, u64)| Call::new(libc::SYS_munmap, &[*start, end - start]);
            slot.post(&part.iter().map(unmap).collect::<Vec<_>>());
            while !slot.wait(Some(LOOK_INTERVAL)) {
                if thread.is_gone(job) {
                    return;
                }
            }
        }
        self.state.store(NOT_HERE, Ordering::SeqCst);
        drop(lock(&self.lock));
        self.changed.notify_all();
    }
}
