//! The job: what the tracer, the lanes and the control lanes share.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use image::Image;
use image::files::Digests;
use image::postcopy::hot::LATER_BYTES_MIN;
use lane::control::{MORE_SIGNALS, ToHome, ToHost};
use sys::pidfd;
use sys::ready::Bell;
use sys::window::{Slot, Window};

use crate::accounts::Accounts;
use crate::arriving::{Arrival, Arrivals};
use crate::checkpoint::Taken;
use crate::hosts::{Host, Hosts};
use crate::journal::Journal;
use crate::kept::Kept;
use crate::leases::Leases;
use crate::mapped::Mapped;
use crate::procfs::OpenFiles;
use crate::readahead::Heeded;
use crate::setup::Setup;
use crate::tracer::listing::Seen;
use crate::tracer::moving::{Destination, Done};
use crate::waiting::{News, Waiting, has_due_signal};

/// Result of a call that did not return: the process has executed another
/// program, whose image can be fetched.
pub(crate) const EXECUTED: i64 = i64::MIN + 1;
/// Result of a call that did not return: the deputy's thread is gone.
pub(crate) const GONE: i64 = i64::MIN + 2;
/// Result of a call that did not return: the process has executed another
/// program, which runs at home.
pub(crate) const STAYS: i64 = i64::MIN + 3;

/// Locks `mutex`; a panic of another holder does not matter, since all shared
/// state is consistent between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longest time from a body's first call until the tracer hears that it runs.
const WITHHELD_MAX: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile.
const WITHHELD_LOOK: Duration = Duration::from_micros(50);

/// What other threads ask of the tracer.
#[derive(Debug)]
pub(crate) enum Order {
    /// Interrupt this thread's call, if it is still this one.
    Interrupt { tid: i32, request: u64 },
    /// The body has ended with this wait status: so must the deputy.
    End { pid: i32, wait_status: i32 },
    /// A thread of the body has ended.
    EndThread { tid: i32 },
    /// A host has said something of a process.
    Said { host: Arc<Host>, message: ToHome },
    /// Somebody wants to write a file that the process may have mapped.
    FileChanges { pid: i32 },
    /// A tool wants a process moved, or all of the job.
    Move {
        pid: i32,
        all: bool,
        to: Destination,
        done: Done,
    },
    /// Somebody wants a checkpoint.
    Save { pid: i32, done: Sender<Taken> },
    /// A tool wants to know of all processes.
    List { done: Sender<Vec<Seen>> },
    /// More signals of the process wait here from now on.
    HoldSignals { pid: i32 },
    /// Its image is here.
    Return(Box<Returned>),
    /// All pages of processes that run here already have come, or will not: then they have been killed.
    Arrived {
        arrival: Arc<Arrival>,
        result: Result<(), String>,
    },
    /// A host is lost: end its guests.
    HostLost { host: Arc<Host>, reason: String },
}

/// A process that has left its host, as that has sent it.
pub(crate) struct Returned {
    pub(crate) pid: i32,
    /// Its deputy then.
    pub(crate) deputy: Arc<Deputy>,
    pub(crate) image: Image,
    pub(crate) pages: Vec<u8>,
    /// When it was all here.
    pub(crate) since: Instant,
    /// Told whether it goes on elsewhere.
    pub(crate) answer: Sender<Result<(), String>>,
}

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, bytes) = (self.pid, self.pages.len());
        write!(f, "process {pid} with {bytes} bytes of pages")
    }
}

/// One window of a deputy and where it stands there.
#[derive(Clone)]
pub(crate) struct Place {
    /// Our mapping.
    pub(crate) window: Arc<Window>,
    /// Its address in the deputy.
    pub(crate) address: u64,
}

/// What was captured of a process.
pub(crate) struct Captured {
    pub(crate) image: Image,
    pub(crate) contents: Contents,
}

/// Contents of an image's pages.
pub(crate) enum Contents {
    /// Read, since the process has none of them any more.
    Bytes(Vec<u8>),
    /// Still in the deputy: [`Deputy::kept`].
    Kept,
}

/// A process whose user code is on another node.
pub(crate) struct Deputy {
    /// Its pid.
    pub(crate) pid: i32,
    /// Where its body is, or is about to be.
    pub(crate) host: Arc<Host>,
    /// The process by descriptor.
    pub(crate) pidfd: OwnedFd,
    /// Number of its way to its host; 0: it was born there.
    pub(crate) placement: u64,
    /// Windows mapped in it; children inherit them.
    pub(crate) places: Mutex<Vec<Place>>,
    /// Signals passed on to the body so far.
    pub(crate) signals: AtomicU64,
    /// What getppid returned last; 0: not called yet.
    pub(crate) parent: AtomicI32,
    /// The process, until its body runs: with it, it can go on here if it cannot
    /// there.
    pub(crate) image: Mutex<Option<Arc<Captured>>>,
    /// Its memory, while its body does not have all of it.
    pub(crate) kept: Kept,
    /// Its body has asked for something: it runs, or did, whatever is heard of that.
    pub(crate) has_begun: AtomicBool,
    /// What has come for it since it left waits until it is heard that its body runs.
    pub(crate) is_withheld: AtomicBool,
    /// It is to leave its host: its signals wait, too.
    pub(crate) is_leaving: AtomicBool,
    /// What it has open of procfs.
    pub(crate) proc_files: OpenFiles,
    /// What has come of the host's words about files that are read ahead.
    pub(crate) heeded: Heeded,
    /// Its signals that wait here until the body takes them.
    pub(crate) waiting: Waiting,
    /// Calls that its body has forwarded since it came where it is.
    pub(crate) calls: AtomicU64,
}

/// One thread of a deputy.
pub(crate) struct DeputyThread {
    /// Its id.
    pub(crate) tid: i32,
    /// Its process.
    pub(crate) deputy: Arc<Deputy>,
    /// Its window.
    pub(crate) place: Place,
    /// Number of its slot, also while a lane thread holds the slot.
    pub(crate) slot_index: usize,
    /// Address of its slot in the deputy.
    pub(crate) slot_address: u64,
    /// Its slot; held by the lane thread during a call.
    pub(crate) slot: Arc<Mutex<Slot>>,
    /// Request under way, for interruption.
    pub(crate) request: AtomicU64,
    /// Request that is to be interrupted; it may not have arrived yet, since
    /// it comes on another connection.
    pub(crate) interrupt: AtomicU64,
    /// Slot and kind (thread or process) of the child that the call under way makes.
    pub(crate) newborn: Mutex<Option<(Place, Slot)>>,
    /// Whether that child is a thread.
    pub(crate) newborn_is_thread: AtomicBool,
    /// In a group-stop, as far as the tracer has heard.
    pub(crate) is_stopped: AtomicBool,
    /// It is this deputy's no more: its process has gone on at home, or on another host.
    pub(crate) is_over: AtomicBool,
}

/// A job: one command and all its descendants.
pub(crate) struct Job {
    /// How it was started.
    pub(crate) setup: Setup,
    /// Where its programs may run besides home.
    pub(crate) hosts: Hosts,
    /// Wakes the tracer.
    pub(crate) bell: Bell,
    /// Digests of files on this node.
    pub(crate) digests: Digests,
    /// From how many bytes on pages may follow a process that moves.
    pub(crate) later_bytes_min: u64,
    /// What happens to its processes.
    pub(crate) journal: Journal,
    /// Deputies' threads by id.
    pub(crate) threads: Mutex<HashMap<i32, Arc<DeputyThread>>>,
    /// Processes whose pages are still to come home.
    pub(crate) arrivals: Arrivals,
    /// Files that guests have mapped.
    pub(crate) mapped: Mapped,
    /// On files that are read ahead.
    pub(crate) leases: Leases,
    /// CPU time that its processes have used elsewhere.
    pub(crate) accounts: Accounts,
    /// Calls that were forwarded here.
    pub(crate) calls: AtomicU64,
    /// Number of the last way to a host.
    placements: AtomicU64,
    /// Of signals that wait here.
    pub(crate) news: News,
    /// Number of the last signal that the host was told of.
    signals: Mutex<u64>,
    /// Held while a checkpoint is taken and written.
    pub(crate) saving: Mutex<()>,
    /// `None`: there is no tracer any more, and who waits for an answer hears so.
    orders: Mutex<Option<Vec<Order>>>,
}

impl Job {
    /// An empty job; `refusal`: why no host may be started.
    pub(crate) fn new(setup: Setup, bell: Bell, refusal: Option<String>) -> Job {
        Job {
            hosts: Hosts::of(&setup, refusal),
            bell,
            digests: Digests::default(),
            later_bytes_min: setup.later_min.unwrap_or(LATER_BYTES_MIN),
            journal: Journal::new(&setup),
            threads: Mutex::new(HashMap::new()),
            arrivals: Arrivals::new(setup.post_copy),
            mapped: Mapped::within_limits(),
            leases: Leases::default(),
            accounts: Accounts::default(),
            calls: 0.into(),
            placements: 0.into(),
            news: News::default(),
            signals: Mutex::new(0),
            saving: Mutex::new(()),
            orders: Mutex::new(Some(Vec::new())),
            setup,
        }
    }

    /// Asks something of the tracer.
    pub(crate) fn order(&self, order: Order) {
        if let Some(orders) = lock(&self.orders).as_mut() {
            orders.push(order);
        }
        self.bell.ring();
    }

    /// What was asked of the tracer, in order.
    pub(crate) fn take_orders(&self) -> Vec<Order> {
        let mut orders = lock(&self.orders);
        orders.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The tracer has ended: nothing is asked of it any more.
    pub(crate) fn close(&self) {
        // Dropped outside of the lock.
        let left = lock(&self.orders).take();
        drop(left);
    }

    /// Writes to the standard error of `pid`.
    pub(crate) fn message(&self, pid: i32, text: &str) {
        let stderr = pidfd::open(pid).and_then(|process| pidfd::getfd(process.as_fd(), 2));
        match stderr
            .map(File::from)
            .and_then(|mut stderr| writeln!(stderr, "mosexec: {text}"))
        {
            Ok(()) => {}
            Err(_) => tracing::error!("{text}"),
        }
    }

    /// Tells the host of `deputy` of a signal, by the message made for its number.
    pub(crate) fn tell_signal(&self, deputy: &Deputy, message: impl FnOnce(u64) -> ToHost) {
        let number = self.tell_host_of_signal(&deputy.host, message);
        deputy.signals.store(number, Ordering::SeqCst);
    }

    /// The same for a host that has no deputy for the process yet. Returns the number.
    pub(crate) fn tell_host_of_signal(
        &self,
        host: &Host,
        message: impl FnOnce(u64) -> ToHost,
    ) -> u64 {
        let mut last = lock(&self.signals);
        *last += 1;
        // In the order of their numbers: who has seen one has seen those before.
        host.tell(&message(*last));
        *last
    }

    /// A number for another way to a host.
    pub(crate) fn next_placement(&self) -> u64 {
        self.placements.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The thread of a deputy.
    pub(crate) fn thread(&self, tid: i32) -> Option<Arc<DeputyThread>> {
        lock(&self.threads).get(&tid).cloned()
    }

    /// The thread of a deputy whose body is on `host`.
    pub(crate) fn thread_at(&self, host: &Arc<Host>, tid: i32) -> Option<Arc<DeputyThread>> {
        let thread = self.thread(tid);
        thread.filter(|thread| thread.deputy.is_at(host))
    }

    /// The body of a process that has gone its way with this number runs: its image is not
    /// needed any more. Returns whether it is not home or elsewhere by now.
    pub(crate) fn body_runs(&self, host: &Arc<Host>, pid: i32, placement: u64) -> bool {
        let thread = self.thread_at(host, pid);
        let current = thread.filter(|thread| thread.deputy.placement == placement);
        match current {
            Some(thread) => {
                *lock(&thread.deputy.image) = None;
                true
            }
            None => false,
        }
    }

    /// The deputy of process `pid`, whose leader may have ended.
    pub(crate) fn deputy(&self, pid: i32) -> Option<Arc<Deputy>> {
        let threads = lock(&self.threads);
        let thread = threads.values().find(|thread| thread.deputy.pid == pid);
        thread.map(|thread| Arc::clone(&thread.deputy))
    }

    /// The deputy of process `pid`, if its body is on `host`.
    pub(crate) fn deputy_at(&self, host: &Arc<Host>, pid: i32) -> Option<Arc<Deputy>> {
        self.deputy(pid).filter(|deputy| deputy.is_at(host))
    }

    /// Threads of this deputy.
    pub(crate) fn threads_of(&self, deputy: &Arc<Deputy>) -> Vec<Arc<DeputyThread>> {
        let threads = lock(&self.threads);
        let own = threads.values().filter(|t| Arc::ptr_eq(&t.deputy, deputy));
        own.cloned().collect()
    }
}

impl Deputy {
    /// Whether its body is on `host`, or about to be.
    pub(crate) fn is_at(&self, host: &Arc<Host>) -> bool {
        Arc::ptr_eq(&self.host, host)
    }

    /// Whether signals that come for it are told later: when its body runs, or never, since it leaves.
    pub(crate) fn tells_later(&self) -> bool {
        self.is_withheld.load(Ordering::SeqCst) || self.is_leaving.load(Ordering::SeqCst)
    }

    /// Whether it was running when it left where it was, and is not where it goes yet.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.kept.departure() != 0 && lock(&self.image).is_some()
    }
}

impl DeputyThread {
    /// A thread serving `slot` of the window at `place`.
    pub(crate) fn new(tid: i32, deputy: Arc<Deputy>, place: Place, slot: Slot) -> DeputyThread {
        DeputyThread::serving(tid, deputy, place, Arc::new(Mutex::new(slot)))
    }

    /// The same thread, which is `deputy`'s from now on.
    pub(crate) fn passed_to(&self, deputy: &Arc<Deputy>) -> DeputyThread {
        let (place, slot) = (self.place.clone(), Arc::clone(&self.slot));
        DeputyThread::serving(self.tid, Arc::clone(deputy), place, slot)
    }

    fn serving(
        tid: i32,
        deputy: Arc<Deputy>,
        place: Place,
        slot: Arc<Mutex<Slot>>,
    ) -> DeputyThread {
        let (slot_index, offset) = {
            let slot = lock(&slot);
            (slot.index(), slot.offset())
        };
        DeputyThread {
            tid,
            deputy,
            slot_address: place.address + offset,
            place,
            slot_index,
            slot,
            request: AtomicU64::new(0),
            interrupt: AtomicU64::new(0),
            newborn: Mutex::new(None),
            newborn_is_thread: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// Its body calls, so it runs. The signals that came before the call are told before it is
    /// executed: waits until they are, but not for ever.
    pub(crate) fn begins(&self) {
        let deputy = &self.deputy;
        deputy.has_begun.store(true, Ordering::SeqCst);
        let since = Instant::now();
        while deputy.is_withheld.load(Ordering::SeqCst) && since.elapsed() < WITHHELD_MAX {
            thread::sleep(WITHHELD_LOOK);
        }
    }

    /// Number of the last signal that its host was told of, for an answer to that; with
    /// [`MORE_SIGNALS`] if another waits here that natively would be taken before the call returns.
    pub(crate) fn last_signal(&self, job: &Job) -> u64 {
        if self.deputy.tells_later() {
            // First: what is told from here on, to any process, has a higher number.
            let told = *lock(&job.signals);
            if self.withholds_signal() {
                return told | MORE_SIGNALS;
            }
        }
        self.deputy.signals.load(Ordering::SeqCst)
    }

    /// Whether a signal waits for it that its host is to hear of.
    pub(crate) fn withholds_signal(&self) -> bool {
        has_due_signal(self.tid, Some(self.deputy.waiting.set()))
    }

    /// Its slot, for the thread of a lane. What was posted there without waiting is over: the end of its
    /// memory, or its own.
    pub(crate) fn own_slot(&self) -> MutexGuard<'_, Slot> {
        let slot = lock(&self.slot);
        slot.wait(None);
        slot
    }

    /// It has ended, or its program was replaced by another thread's: it makes no call any more.
    pub(crate) fn abandon(&self) {
        self.place.window.abandon(self.slot_index, GONE);
    }

    /// Ends the call under way, if any, with `result`, since the thread will not.
    pub(crate) fn finish(&self, result: i64) {
        self.place.window.finish(self.slot_index, result);
    }

    /// Whether it has ended, or is no deputy's any more: another may have its id.
    pub(crate) fn is_gone(&self, job: &Job) -> bool {
        let now = job.thread(self.tid);
        self.is_over.load(Ordering::SeqCst)
            || now.is_none_or(|now| !Arc::ptr_eq(&now.deputy, &self.deputy))
    }

    /// Whether request `request` is under way.
    pub(crate) fn is_executing(&self, request: u64) -> bool {
        self.request.load(Ordering::SeqCst) == request && self.place.window.is_busy(self.slot_index)
    }
}
