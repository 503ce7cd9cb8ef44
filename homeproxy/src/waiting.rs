//! Signals that wait at home until the body takes them.
//!
//! Else every signal stops the deputy at once and goes to the body, where it
//! waits if the body blocks it. But what waits there no signalfd at home sees,
//! and no timer counts as its overrun. So signals that a signalfd of the
//! process is for, or a timer of its own, are blocked in the deputy, and wait
//! in the kernel here. The host is told that one waits and sends a plain one
//! into the body, which waits there as long as the body blocks it. When the
//! body receives that, or takes it by sigtimedwait, the deputy takes the real
//! one. If a signalfd was read meanwhile there is none, and the body has
//! received nothing.
//!
//! A blocked signal stops nobody. What tells of it is a signalfd of the
//! deputy's in an epoll set, put there by the deputy, since a signalfd belongs
//! to who waits for it, and both moved here. Whoever looks at a signalfd sees
//! signals of its own, so the thread that waits for such news has one that it
//! never takes. It is edge-triggered: news comes once.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use abi::wire::WireCall;
use image::capture::status_field;
use image::deputy::{GEOMETRY, raise_limits};
use lane::control::{HELD_MAX, ToHost};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal, raise};
use sys::pidfd;
use sys::window::{Call, Slot};

use crate::job::{Deputy, DeputyThread, Job, Order, lock};

/// Where in a slot's data the kernel writes the set of waiting signals.
const PENDING_AT: usize = GEOMETRY.data_bytes - 256;
/// A thread's own signal, by which it sees others'.
const OWN_SIGNAL: Signal = Signal::SIGURG;
/// Stack of the thread that waits for news, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// Signals of one deputy that wait at home.
#[derive(Default)]
pub(crate) struct Waiting {
    /// Which do, bit n-1 for signal n.
    set: AtomicU64,
    /// What the host was told of and has not asked for since: thread (0: the
    /// process) and signal.
    told: Mutex<BTreeSet<(i32, i32)>>,
    watch: OnceLock<Watch>,
}

/// What has news of a deputy's signals, for as long as it lives.
struct Watch {
    epoll: Epoll,
    _signals: OwnedFd,
}

/// Waits for news of all deputies.
#[derive(Default)]
pub(crate) struct News(OnceLock<Option<Epoll>>);

impl Waiting {
    pub(crate) fn new(set: u64) -> Waiting {
        Waiting {
            set: set.into(),
            ..Waiting::default()
        }
    }

    /// Which signals wait at home.
    pub(crate) fn set(&self) -> u64 {
        self.set.load(Ordering::SeqCst)
    }

    /// Whether `signal` does.
    pub(crate) fn has(&self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.set() & 1 << (signal - 1) != 0
    }
}

/// Those for which process `pid` has a signalfd or, if `timers`, a timer.
pub(crate) fn of_process(pid: i32, timers: bool) -> u64 {
    let mut set = 0;
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    for entry in entries.flatten() {
        let is_signals = fs::read_link(entry.path())
            .is_ok_and(|link| link.as_os_str() == "anon_inode:[signalfd]");
        let name = entry.file_name();
        if let Some(fd) = name.to_str().filter(|_| is_signals) {
            let text = sys::proc_text::read(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
            let mask = status_field(&text, "sigmask:");
            set |= mask.map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0));
        }
    }
    let text = match timers {
        true => sys::proc_text::read(format!("/proc/{pid}/timers")).unwrap_or_default(),
        false => String::new(),
    };
    // Timers that only count show a signal too, which does no harm.
    let signals = text
        .lines()
        .filter_map(|line| line.strip_prefix("signal: "));
    for signal in signals.filter_map(|line| line.split('/').next()?.parse().ok()) {
        set |= bit(signal);
    }
    set & HELD_MAX
}

/// Those that have to wait at home from this call on.
pub(crate) fn wanted(call: &WireCall<'_>) -> u64 {
    let nr = i64::from(call.nr);
    match image::held::bytes_of(nr) {
        0 => 0,
        bytes => image::held::signals_of(nr, call.input(1, bytes)) & HELD_MAX,
    }
}

pub(crate) fn bit(signal: i32) -> u64 {
    match signal {
        1..=64 => 1 << (signal - 1),
        _ => 0,
    }
}

/// From now on these wait at home, too. The deputy's other threads are told by
/// the tracer; until then one of them that stops for such a signal is made to
/// block it then.
pub(crate) fn hold(job: &Arc<Job>, thread: &DeputyThread, slot: &mut Slot, set: u64) {
    let waiting = &thread.deputy.waiting;
    if set & !waiting.set.fetch_or(set, Ordering::SeqCst) == 0 {
        return;
    }
    let base = thread.place.address + slot.data_offset();
    slot.data()[..8].copy_from_slice(&set.to_ne_bytes());
    let how = libc::SIG_BLOCK as u64;
    slot.call(Call::new(libc::SYS_rt_sigprocmask, &[how, base, 0, 8]));
    let pid = thread.deputy.pid;
    job.order(Order::HoldSignals { pid });
    watch(job, thread, slot);
}

/// From now on there is news of a deputy's signals, if some of them wait here.
pub(crate) fn watch(job: &Arc<Job>, thread: &DeputyThread, slot: &mut Slot) {
    let waiting = &thread.deputy.waiting;
    if waiting.set() == 0 || waiting.watch.get().is_some() {
        return;
    }
    let Some(news) = job.news.epoll(job) else {
        return;
    };
    match make_watch(thread, slot) {
        Ok(watch) => {
            // Edge-triggered as what is in it: nobody has to empty it.
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
            let event = EpollEvent::new(flags, thread.deputy.pid as u64);
            if let Err(error) = news.add(&watch.epoll.0, event) {
                tracing::warn!("wait for news of signals: {error}");
            }
            // Another lane may have been faster: one is enough.
            let _ = waiting.watch.set(watch);
        }
        Err(error) => {
            let pid = thread.deputy.pid;
            tracing::warn!("no news of the signals of process {pid}: {error}");
        }
    }
    look(job, &thread.deputy);
}

/// Makes the deputy's thread make what has the news.
fn make_watch(thread: &DeputyThread, slot: &mut Slot) -> std::io::Result<Watch> {
    let deputy = &thread.deputy;
    let _limits = raise_limits(deputy.pid).map_err(std::io::Error::other)?;
    let base = thread.place.address + slot.data_offset();
    let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
    let data = slot.data();
    data[..8].fill(0xff);
    // A packed `struct epoll_event`.
    data[8..12].copy_from_slice(&events.to_ne_bytes());
    data[12..20].fill(0);
    let mut call = |nr, args: &[u64]| match slot.call(Call::new(nr, args)) {
        result if result < 0 => Err(std::io::Error::from_raw_os_error(-result as i32)),
        result => Ok(result as u64),
    };
    let flags = (libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) as u64;
    let signals = call(libc::SYS_signalfd4, &[u64::MAX, base, 8, flags])?;
    let made = call(libc::SYS_epoll_create1, &[libc::EPOLL_CLOEXEC as u64]).and_then(|epoll| {
        let add = libc::EPOLL_CTL_ADD as u64;
        let added = call(libc::SYS_epoll_ctl, &[epoll, add, signals, base + 8]).and_then(|_| {
            let fetch = |fd: u64| pidfd::getfd(deputy.pidfd.as_fd(), fd as i32);
            Ok(Watch {
                epoll: Epoll(fetch(epoll)?),
                _signals: fetch(signals)?,
            })
        });
        let closed = call(libc::SYS_close, &[epoll]);
        added.and_then(|watch| closed.map(|_| watch))
    });
    call(libc::SYS_close, &[signals])?;
    made
}

/// What must follow a call in its batch for [`after`]: which signals wait then.
pub(crate) fn probe(thread: &DeputyThread, slot: &mut Slot) -> Option<Call> {
    if thread.deputy.waiting.set() == 0 {
        return None;
    }
    // It may not be executed.
    slot.data()[PENDING_AT..PENDING_AT + 8].fill(0);
    let at = thread.place.address + slot.data_offset() + PENDING_AT as u64;
    Some(Call::new(libc::SYS_rt_sigpending, &[at, 8]))
}

/// A call is over, behind which the [`probe`] was executed. If a signal waits,
/// the host is told before the guest gets the result.
pub(crate) fn after(job: &Job, thread: &DeputyThread, slot: &mut Slot) {
    let mut word = [0; 8];
    word.copy_from_slice(&slot.data()[PENDING_AT..PENDING_AT + 8]);
    if u64::from_ne_bytes(word) & thread.deputy.waiting.set() != 0 {
        look(job, &thread.deputy);
    }
}

/// The host is about to take a signal of `set`, or has made the body forget it:
/// whatever waits then is news.
pub(crate) fn forget(deputy: &Deputy, set: u64) {
    lock(&deputy.waiting.told).retain(|(_, signal)| set & bit(*signal) == 0);
}

/// As [`forget`], if this call is of that kind.
pub(crate) fn mind(deputy: &Deputy, call: &WireCall<'_>) {
    if deputy.waiting.set() == 0 {
        return;
    }
    match i64::from(call.nr) {
        libc::SYS_rt_sigtimedwait => {
            let set = call.input(0, 8).and_then(|bytes| bytes.first_chunk());
            forget(deputy, set.map_or(0, |bytes| u64::from_ne_bytes(*bytes)));
        }
        libc::SYS_rt_sigaction => forget(deputy, bit(call.args[0] as i32)),
        _ => {}
    }
}

/// Tells the host of signals that wait and of which it has not heard.
pub(crate) fn look(job: &Job, deputy: &Deputy) {
    let set = deputy.waiting.set();
    if set == 0 {
        return;
    }
    let mut told = lock(&deputy.waiting.told);
    let mut tell = |tid: i32, pending: u64| {
        for signal in (1..=64).filter(|signal| pending & set & bit(*signal) != 0) {
            if told.insert((tid, signal)) {
                let pid = deputy.pid;
                job.tell_signal(deputy, |seq| ToHost::Waits {
                    pid,
                    tid,
                    seq,
                    signal,
                });
            }
        }
    };
    let pid = deputy.pid;
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    for task in tasks.flatten() {
        let status = sys::proc_text::read(task.path().join("status")).unwrap_or_default();
        let field = |name| status_field(&status, name);
        let pending = |name| field(name).map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0));
        if let Some(tid) = field("Pid:").and_then(|tid| tid.parse().ok()) {
            tell(tid, pending("SigPnd:"));
            tell(0, pending("ShdPnd:"));
        }
    }
}

/// Whether a signal waits that the thread does not block; `mask`: in the call
/// that it was interrupted in.
pub(crate) fn has_due_signal(tid: i32, mask: Option<u64>) -> bool {
    let status = sys::proc_text::read(format!("/proc/{tid}/status")).unwrap_or_default();
    let set = |name| {
        status_field(&status, name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    let blocked = mask.unwrap_or_else(|| set("SigBlk:"));
    (set("SigPnd:") | set("ShdPnd:")) & !blocked != 0
}

impl News {
    /// Where news comes together; the thread that waits for it has been started.
    fn epoll(&self, job: &Arc<Job>) -> Option<&Epoll> {
        let epoll = self.0.get_or_init(|| {
            let job = Arc::clone(job);
            let started = std::thread::Builder::new()
                .name("news".into())
                .stack_size(STACK_BYTES)
                .spawn(move || job.news.spread(&job));
            let made = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from);
            match started.and(made) {
                Ok(epoll) => Some(epoll),
                Err(error) => {
                    tracing::error!("wait for news of signals: {error}");
                    None
                }
            }
        });
        epoll.as_ref()
    }

    /// Looks after each deputy of which there is news.
    fn spread(&self, job: &Job) {
        let mut own = SigSet::empty();
        own.add(OWN_SIGNAL);
        let armed = own.thread_block().and_then(|()| raise(OWN_SIGNAL));
        if let Err(error) = armed {
            return tracing::error!("wait for news of signals: {error}");
        }
        let Some(epoll) = self.0.wait() else { return };
        let mut events = [EpollEvent::empty(); 16];
        loop {
            let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => return tracing::error!("wait for news of signals: {error}"),
            };
            for event in &events[..count] {
                if let Some(deputy) = job.deputy(event.data() as i32) {
                    empty(&deputy.waiting);
                    look(job, &deputy);
                }
            }
        }
    }
}

/// Takes the news out of a deputy's own set.
fn empty(waiting: &Waiting) {
    if let Some(watch) = waiting.watch.get() {
        // It has one descriptor at most, and fails only if it has none.
        let _ = watch
            .epoll
            .wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
    }
}
