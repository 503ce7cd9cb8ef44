//! Threads that hear of forwarded calls: as many as calls wait at once.
//!
//! A listener serves all threads under one filter. Whichever worker is free
//! takes the next notification and stays with it until it is answered, so a
//! guest of one thread is served by one worker, without a dispatcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sys::seccomp::Listener;

use crate::forward::Worker;
use crate::host::Host;

/// Stack of a worker in bytes: buffers are on the heap.
const WORKER_STACK_BYTES: usize = 128 * 1024;
/// Workers that may wait without anything to do.
const IDLE_WORKERS_MAX: usize = 4;

/// Workers of one listener.
pub(crate) struct Pool {
    pub(crate) listener: Listener,
    /// Threads under the filter.
    users: AtomicUsize,
    workers: AtomicUsize,
    idle: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(listener: Listener) -> Arc<Pool> {
        Arc::new(Pool {
            listener,
            users: 0.into(),
            workers: 0.into(),
            idle: 0.into(),
        })
    }

    /// One more thread under the filter.
    pub(crate) fn join(self: &Arc<Self>, host: &Arc<Host>) {
        self.users.fetch_add(1, Ordering::SeqCst);
        self.reinforce(host);
    }

    /// One fewer.
    pub(crate) fn leave(&self) {
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// Starts a worker if nobody listens while somebody could call.
    fn reinforce(self: &Arc<Self>, host: &Arc<Host>) {
        if self.idle.load(Ordering::SeqCst) > 0
            || self.workers.load(Ordering::SeqCst) >= self.users.load(Ordering::SeqCst)
        {
            return;
        }
        self.workers.fetch_add(1, Ordering::SeqCst);
        self.idle.fetch_add(1, Ordering::SeqCst);
        let (pool, serving) = (Arc::clone(self), Arc::clone(host));
        let started = std::thread::Builder::new()
            .name("worker".into())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || pool.work(&serving));
        if let Err(error) = started {
            self.idle.fetch_sub(1, Ordering::SeqCst);
            self.workers.fetch_sub(1, Ordering::SeqCst);
            tracing::error!("no thread for a guest's calls: {error}");
        }
    }

    fn work(self: &Arc<Self>, host: &Arc<Host>) {
        let mut worker = Worker::new(Arc::clone(host));
        loop {
            match self.listener.receive() {
                Ok(call) => {
                    self.idle.fetch_sub(1, Ordering::SeqCst);
                    self.reinforce(host);
                    worker.serve(self, &call);
                    if self.idle.fetch_add(1, Ordering::SeqCst) >= IDLE_WORKERS_MAX {
                        break;
                    }
                }
                // The caller was killed or interrupted, or nobody is left.
                Err(_) if self.listener.is_over() => break,
                Err(_) => {}
            }
        }
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.workers.fetch_sub(1, Ordering::SeqCst);
    }
}
