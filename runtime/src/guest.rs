//! A guest's processes and threads as the host knows them.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use image::cpu_time::CpuTime;
use image::unfinished::Unfinished;
use lane::control::MORE_SIGNALS;
use sys::ptrace::SignalInfo;

use crate::guesses::Step;
use crate::host::lock;
use crate::link::Link;
use crate::memory::{BodyMemory, MemoryFiles};
use crate::pager::Pages;
use crate::pool::Pool;
use crate::readahead::Descriptors;
use crate::signals;
use crate::stats::Calls;

/// From so much CPU time on a program is taken to have read a clock that it may have read unseen.
const UNSEEN_NS: u64 = 100_000_000;

/// What a signal does, as far as we must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Disposition {
    #[default]
    Default,
    Ignored,
    Handled,
}

/// Dispositions of all signals, index 1 to 64, and the flags of SIGCHLD that
/// home must know.
#[derive(Debug, Clone)]
pub(crate) struct Dispositions {
    pub(crate) of: [Disposition; 65],
    pub(crate) child_flags: u64,
}

impl Dispositions {
    /// Handled signals get their default action, as by CLONE_CLEAR_SIGHAND.
    pub(crate) fn clear_handlers(&mut self) {
        for of in &mut self.of {
            if *of == Disposition::Handled {
                *of = Disposition::Default;
            }
        }
    }
}

/// A signal on its way into the body, with the details to put in place.
pub(crate) struct Incoming {
    pub(crate) signal: i32,
    pub(crate) info: SignalInfo,
}

/// What is sent into a body.
#[derive(Clone, Copy)]
pub(crate) enum Sent {
    /// A signal with its details.
    Signal(SignalInfo),
    /// Word of a signal of this number that waits at home.
    Word(i32),
}

impl Sent {
    /// The signal's number.
    pub(crate) fn signal(&self) -> i32 {
        match self {
            Sent::Signal([a, b, c, d, ..]) => i32::from_ne_bytes([*a, *b, *c, *d]),
            Sent::Word(signal) => *signal,
        }
    }
}

/// How a thread has received word of a signal that waits at home.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Received {
    /// It is about to be delivered.
    Delivered(i32),
    /// By sigtimedwait.
    Waited {
        /// Where its details go; 0: nowhere.
        at: u64,
        /// The rest of a call that the thread goes on with.
        rest: Option<Unfinished>,
    },
}

/// A process of a guest.
pub(crate) struct Process {
    /// Pid at home and in the guest's namespace.
    pub(crate) pid: i32,
    /// Pid on this node.
    pub(crate) outer: i32,
    /// Who hears of its calls.
    pub(crate) pool: Arc<Pool>,
    pub(crate) dispositions: Mutex<Dispositions>,
    /// Sent into the body and not yet seen at its delivery.
    pub(crate) incoming: Mutex<VecDeque<Incoming>>,
    /// How many were ever sent into the body.
    pub(crate) arrivals: AtomicU64,
    /// Signals that wait at home until the body takes them, bit n-1 for signal
    /// n: one that was sent here only tells of it.
    pub(crate) held: AtomicU64,
    /// Number of the last signal from home that has been sent into the body.
    signals: Mutex<u64>,
    signals_changed: Condvar,
    /// Held while a signal is sent into the body.
    pub(crate) executing: Mutex<Executing>,
    /// What the guest's user has been told of this process.
    pub(crate) said: Mutex<HashSet<String>>,
    /// Its end is not to be told: it goes on elsewhere, or home knows.
    pub(crate) silent: AtomicBool,
    /// Its threads are interrupted, to be captured: no call is made any more.
    /// Set once all of them have been told to stop.
    pub(crate) leaving: AtomicBool,
    /// Its threads stand still: calls are ours, and executed here.
    pub(crate) captured: AtomicBool,
    /// Why it cannot go home; empty while nothing is in the way.
    pub(crate) remains: Mutex<String>,
    /// How many calls home was sent by all processes that have the same memory; held by each of them.
    pub(crate) memory_shared: Arc<AtomicU64>,
    /// Its calls since home was told last; `None`: nobody wants to know.
    pub(crate) calls: Option<Mutex<Calls>>,
    /// How far its pages are; of all processes that have the same memory.
    pub(crate) pages: Arc<Pages>,
    /// Its descriptors, as far as files are read ahead.
    pub(crate) ahead: Arc<Descriptors>,
    /// CPU time that it had used when it came.
    pub(crate) spent: CpuTime,
    /// All that it asks for its CPU time is seen: else clocks are read unseen.
    pub(crate) is_counted: bool,
    /// It has asked for its CPU time.
    pub(crate) asks_cpu_time: AtomicBool,
}

/// Threads that are in execve. Signals wait for what comes of it, as natively: what is sent into the
/// body of a program that is replaced is lost.
#[derive(Default)]
pub(crate) struct Executing {
    /// How many.
    pub(crate) threads: u32,
    /// Signals wait for them.
    pub(crate) is_awaited: bool,
}

impl Process {
    pub(crate) fn new(
        pid: i32,
        outer: i32,
        pool: Arc<Pool>,
        dispositions: Dispositions,
        memory_shared: Arc<AtomicU64>,
        stats: bool,
    ) -> Process {
        Process {
            pid,
            outer,
            pool,
            dispositions: Mutex::new(dispositions),
            incoming: Mutex::new(VecDeque::new()),
            arrivals: AtomicU64::new(0),
            held: AtomicU64::new(0),
            signals: Mutex::new(0),
            signals_changed: Condvar::new(),
            executing: Mutex::default(),
            said: Mutex::default(),
            silent: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            captured: AtomicBool::new(false),
            remains: Mutex::default(),
            memory_shared,
            calls: stats.then(Mutex::default),
            pages: Arc::default(),
            ahead: Arc::default(),
            spent: CpuTime::default(),
            is_counted: false,
            asks_cpu_time: AtomicBool::new(false),
        }
    }

    /// How far it has got.
    pub(crate) fn step(&self) -> Step {
        (
            self.memory_shared.load(Ordering::SeqCst),
            self.arrivals.load(Ordering::SeqCst),
        )
    }

    /// A call is about to be sent home; how far it has got then.
    pub(crate) fn next_step(&self) -> Step {
        // Its own number, whatever another thread sends meanwhile.
        let calls = self.memory_shared.fetch_add(1, Ordering::SeqCst) + 1;
        (calls, self.arrivals.load(Ordering::SeqCst))
    }

    /// Whether it may know what CPU time it has used, having used `spent` here.
    pub(crate) fn asks_cpu_time(&self, spent: CpuTime) -> bool {
        let unseen = !self.is_counted && spent.total_ns() >= UNSEEN_NS;
        unseen || self.asks_cpu_time.load(Ordering::SeqCst)
    }

    /// Signal number `seq` from home has been sent into the body.
    pub(crate) fn signal_sent(&self, seq: u64) {
        let mut last = lock(&self.signals);
        *last = (*last).max(seq);
        self.signals_changed.notify_all();
    }

    /// Waits until all signals up to `seq` have been sent into the body: a
    /// result must not overtake a signal that home sent before it. With
    /// [`MORE_SIGNALS`] another waits at home: until one behind them has come, or
    /// the threads are about to stop because the process leaves.
    pub(crate) fn await_signals(&self, seq: u64) {
        const LIMIT: Duration = Duration::from_secs(10);
        if seq == 0 {
            return;
        }
        let told = seq & !MORE_SIGNALS;
        let is_behind = |last: &u64| match told == seq {
            true => *last < seq,
            false => *last <= told && !self.is_leaving(),
        };
        let mut last = lock(&self.signals);
        loop {
            let waited = self
                .signals_changed
                .wait_timeout_while(last, LIMIT, |last| is_behind(last));
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            last = now;
            // What was told and does not come: the control lane is gone, and the guest with it. What
            // is kept back may wait for all of a body's pages.
            if !timeout.timed_out() || told == seq || signals::sets(self.outer).is_none() {
                return;
            }
        }
    }

    /// Whether `signal` waits at home until the body takes it.
    pub(crate) fn holds(&self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.held.load(Ordering::SeqCst) & 1 << (signal - 1) != 0
    }

    /// Waits until a signal has been sent into the body, or for `limit`.
    pub(crate) fn await_change(&self, limit: Duration) {
        drop(
            self.signals_changed
                .wait_timeout(lock(&self.signals), limit),
        );
    }

    /// A signal has been sent into the body, or it is to leave.
    pub(crate) fn changed(&self) {
        // Who has just looked is to hear it.
        drop(lock(&self.signals));
        self.signals_changed.notify_all();
    }

    /// Whether it is to be captured as soon as its threads stand still.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }
}

/// A call that waits with a temporary signal mask: ppoll, pselect6, epoll_pwait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TemporaryMask {
    /// The mask.
    pub(crate) mask: u64,
    /// Where the guest has it.
    pub(crate) at: u64,
}

/// Registers that were changed for a call the guest did not make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Borrowed {
    pub(crate) nr: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
}

#[derive(Debug, Default)]
pub(crate) struct CallState {
    /// Request that waits at home.
    pub(crate) request: Option<u64>,
    /// Mask in force while it waits.
    pub(crate) temporary: Option<TemporaryMask>,
    /// [`Process::arrivals`] when this thread last looked whether one is for it.
    pub(crate) looked: u64,
    /// The last notification was answered with a restart code.
    pub(crate) restarting: bool,
    /// At its next stop, wait for the signal under this mask.
    pub(crate) suspend: Option<TemporaryMask>,
    /// At its next stop it has taken a signal, whose details go to this address.
    pub(crate) takes: Option<u64>,
    /// While it does.
    pub(crate) suspended: Option<Borrowed>,
    /// The wait with which it came: its first call goes on with it.
    pub(crate) arrived: Option<Unfinished>,
    /// The wait that was interrupted since its process leaves.
    pub(crate) interrupted: Option<Unfinished>,
}

/// A thread of a guest.
pub(crate) struct Thread {
    /// Id at home and in the guest's namespace.
    pub(crate) tid: i32,
    /// Id on this node.
    pub(crate) outer: i32,
    pub(crate) process: Arc<Process>,
    /// Its lane; empty only while it is being set up.
    pub(crate) link: Mutex<Option<Link>>,
    pub(crate) state: Mutex<CallState>,
    /// Signals that came between home's fork and the body's.
    pub(crate) held_back: Mutex<Vec<Sent>>,
    /// CPU time that it had used when it came.
    pub(crate) spent: CpuTime,
    memory_files: MemoryFiles,
}

impl Thread {
    pub(crate) fn new(tid: i32, outer: i32, process: Arc<Process>, link: Option<Link>) -> Thread {
        Thread {
            tid,
            outer,
            process,
            link: Mutex::new(link),
            state: Mutex::new(CallState::default()),
            held_back: Mutex::new(Vec::new()),
            spent: CpuTime::default(),
            memory_files: MemoryFiles::default(),
        }
    }

    /// Its process's memory, by way of this thread: the leader may have ended.
    pub(crate) fn memory(&self) -> BodyMemory<'_> {
        BodyMemory {
            pid: self.outer,
            files: &self.memory_files,
        }
    }

    /// A call is about to wait at home.
    pub(crate) fn begin(&self, request: u64, temporary: Option<TemporaryMask>) {
        let mut state = lock(&self.state);
        state.request = Some(request);
        state.temporary = temporary;
    }

    /// It has come back.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.request = None;
        state.temporary = None;
    }
}
