//! Read leases of a job on files that are read ahead.
//!
//! While we hold one, nobody can have changed the file, so what a host got of it
//! is what a read would give. Somebody who wants to write it waits in the kernel
//! until the host has forgotten what it got and said so; then the lease is given
//! back. Each lease belongs to a descriptor of our own, so that none of the
//! guest's is touched.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use lane::control::ToHost;
use sys::lease::{self, Watch};

use crate::hosts::Host;
use crate::job::{Deputy, Job, lock};

/// Most leases of one job.
const LEASES_MAX: usize = 64;
/// Longest time that a guest who wants to write waits for our leases, beyond
/// what the kernel makes it wait.
const RECALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Least time in seconds after which the kernel breaks a lease by force; a host
/// reads nothing that is half as old.
const BREAK_SECONDS_MIN: u64 = 20;
const STACK_BYTES: usize = 128 * 1024;

/// A stream of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StreamId {
    /// [`Host::number`].
    pub(crate) host: u64,
    /// Its number for it.
    pub(crate) stream: u64,
}

/// A lease, until it is given back.
pub(crate) struct Lease {
    host: Arc<Host>,
    stream: StreamId,
    pid: i32,
    fd: RawFd,
    /// Empty: given back.
    file: Mutex<Option<File>>,
    breaking: AtomicBool,
}

impl Lease {
    /// Reads at `offset`; `None` if the lease is about to be given back, or has been.
    pub(crate) fn read_at(&self, into: &mut [u8], offset: u64) -> Option<std::io::Result<usize>> {
        let file = lock(&self.file);
        let file = file.as_ref().filter(|_| !self.is_breaking())?;
        Some(file.read_at(into, offset))
    }

    fn is_breaking(&self) -> bool {
        self.breaking.load(Ordering::SeqCst)
    }
}

/// All leases of a job.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<StreamId, Arc<Lease>>>,
    changed: Condvar,
    /// Streams that were over before they had a lease.
    early: Mutex<BTreeSet<StreamId>>,
    /// Thread that hears of breaks, once one is needed; 0: there is none.
    watcher: Mutex<Option<i32>>,
}

impl Leases {
    /// Takes a lease on `file` for `stream` of a guest's host; `None` if there is none to have.
    pub(crate) fn take(
        &self,
        job: &Arc<Job>,
        deputy: &Deputy,
        stream: StreamId,
        file: File,
    ) -> Option<Arc<Lease>> {
        let watcher = self.watcher(job)?;
        let lease = Arc::new(Lease {
            host: Arc::clone(&deputy.host),
            stream,
            pid: deputy.pid,
            fd: file.as_raw_fd(),
            file: Mutex::new(None),
            breaking: AtomicBool::new(false),
        });
        let mut held = lock(&self.held);
        let is_over = lock(&self.early).remove(&stream);
        if is_over || held.len() >= LEASES_MAX || held.contains_key(&stream) {
            return None;
        }
        // Whoever breaks it finds it: the list is ours until it is complete.
        lease::take(file.as_fd(), watcher).ok()?;
        *lock(&lease.file) = Some(file);
        held.insert(stream, Arc::clone(&lease));
        Some(lease)
    }

    /// Gives the lease of `stream` back, if there is one.
    pub(crate) fn release(&self, stream: StreamId) {
        let lease = lock(&self.held).remove(&stream);
        if let Some(lease) = lease {
            drop(lock(&lease.file).take());
            self.changed.notify_all();
        }
    }

    /// The same, where the stream may be over before it has begun: this is said
    /// on another connection.
    pub(crate) fn release_early(&self, stream: StreamId) {
        let held = lock(&self.held);
        if !held.contains_key(&stream) {
            let mut early = lock(&self.early);
            early.insert(stream);
            let all = StreamId {
                stream: 0,
                ..stream
            }..=StreamId {
                stream: u64::MAX,
                ..stream
            };
            let mut of_host = early.range(all).copied();
            if let Some(oldest) = of_host.next()
                && of_host.count() >= LEASES_MAX
            {
                early.remove(&oldest);
            }
        }
        drop(held);
        self.release(stream);
    }

    /// Gives back the leases of a process that has ended, or is about to.
    pub(crate) fn release_of(&self, pid: i32) {
        self.release_where(|lease| lease.pid == pid);
    }

    /// Gives those of a lost host back.
    pub(crate) fn release_of_host(&self, host: &Host) {
        self.release_where(|lease| lease.stream.host == host.number);
    }

    fn release_where(&self, is_meant: impl Fn(&Lease) -> bool) {
        for lease in self.those(is_meant) {
            self.release(lease.stream);
        }
    }

    fn those(&self, is_meant: impl Fn(&Lease) -> bool) -> Vec<Arc<Lease>> {
        let held = lock(&self.held);
        let meant = held.values().filter(|lease| is_meant(lease));
        meant.cloned().collect()
    }

    /// Has their hosts forget what it got of those meant; they are given back when
    /// it says so.
    fn recall_where(&self, is_meant: impl Fn(&Lease) -> bool) {
        let first = |lease: &Lease| is_meant(lease) && !lease.breaking.swap(true, Ordering::SeqCst);
        for lease in self.those(first) {
            let StreamId { host, stream } = lease.stream;
            tracing::debug!("stream {stream} of host {host} is recalled");
            lease.host.tell(&ToHost::Recall { stream });
        }
    }

    /// Has all given back and waits for it. Whether there have ever been any: the
    /// last may have been given back a moment ago.
    pub(crate) fn recall_all(&self) -> bool {
        if lock(&self.watcher).is_none() {
            return false;
        }
        self.recall_where(|_| true);
        let held = lock(&self.held);
        let waited = self
            .changed
            .wait_timeout_while(held, RECALL_TIMEOUT, |held| {
                held.values().any(|lease| lease.is_breaking())
            });
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        true
    }

    /// The thread that hears of breaks.
    pub(crate) fn watcher(&self, job: &Arc<Job>) -> Option<i32> {
        let mut watcher = lock(&self.watcher);
        let tid = *watcher.get_or_insert_with(|| start(job).unwrap_or(0));
        (tid != 0).then_some(tid)
    }
}

/// Starts the thread that hears of breaks.
fn start(job: &Arc<Job>) -> Option<i32> {
    let seconds = std::fs::read_to_string("/proc/sys/fs/lease-break-time").ok()?;
    if seconds.trim().parse::<u64>().ok()? < BREAK_SECONDS_MIN {
        tracing::info!(
            "nothing is read ahead: fs.lease-break-time is below {BREAK_SECONDS_MIN} seconds"
        );
        return None;
    }
    let (started, has_started) = mpsc::channel();
    let job = Arc::clone(job);
    std::thread::Builder::new()
        .name("leases".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let Ok(watch) = Watch::begin() else { return };
            if started.send(lease::own_thread()).is_ok() {
                hear(&job, &watch);
            }
        })
        .ok()?;
    has_started.recv().ok()
}

fn hear(job: &Job, watch: &Watch) {
    loop {
        let began = Instant::now();
        match watch.next() {
            Ok(fd) => {
                job.leases
                    .recall_where(|lease| fd.is_none_or(|fd| lease.fd == fd));
                job.mapped.broken(job, fd);
            }
            // Interrupted; if that comes at once, not without end.
            Err(_) if began.elapsed() < Duration::from_millis(1) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => {}
        }
    }
}
