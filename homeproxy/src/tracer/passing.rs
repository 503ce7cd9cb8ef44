//! Processes that go from one host to another, by way of home but without running there.
//!
//! 1. It is recalled as if it came home, and its image arrives.
//! 2. The deputy stays what it is, with all that it has at home, and is the other host's from now on:
//!    what the first one still sends is refused. The first body ends, or stands still until the pages
//!    have gone that follow the image, through home.
//! 3. The other host is told of the signals that wait in the image, and to fetch it. If it cannot run
//!    the process, that goes on at home. What has come for the deputy since waits until it is clear.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use image::Image;
use lane::control::ToHost;
use sys::ptrace;
use sys::window::Slot;

use super::returning::{IN_A_CALL, Signals, returning};
use super::{Result, Tracer};
use crate::hosts::Host;
use crate::job::{Captured, Contents, Deputy, DeputyThread, Returned, lock};
use crate::waiting::Waiting;

impl Tracer {
    /// Its image is here, and it goes on to `to`.
    pub(super) fn pass_on(
        &mut self,
        returned: Returned,
        to: &Arc<Host>,
        threads: &[Arc<DeputyThread>],
        mut slots: Vec<MutexGuard<'_, Slot>>,
    ) -> Result<()> {
        let pid = returned.pid;
        let pidfd = match Self::may_pass(&returned, to, threads) {
            Ok(pidfd) => pidfd,
            Err(reason) => return self.refuse(returned, reason),
        };
        // Behind those of the image, as they have come.
        let held = returned.deputy.waiting.set();
        let came = returning(threads, &mut slots).take_signals(!held);
        let came = match came {
            Ok(came) => came,
            Err(error) => return self.refuse_for(returned, error),
        };
        for thread in threads {
            // A lane that waits for its slot sees it.
            thread.is_over.store(true, Ordering::SeqCst);
        }
        drop(slots);
        let Returned {
            deputy: old,
            mut image,
            pages,
            answer,
            ..
        } = returned;
        let departure = self.job.next_placement();
        (image.departure, image.placement) = (departure, departure);
        image.held = held;
        let calls = old.calls.load(Ordering::Relaxed);
        self.needs.left(pid, old.host.node, image.spent, calls);
        self.job.accounts.passes_on(&mut image);
        image.pending.extend(came);
        let signals = self.tell_pending(to, &image);
        let offer = self.expected.get_mut(&pid).and_then(|e| e.offer.take());
        let offer = offer.filter(|_| !image.later.is_empty());
        let since = self.expected.get(&pid).and_then(|e| e.recalled);
        self.job.journal.passed_on(
            pid,
            to.node,
            image.page_bytes() + image.later_bytes(),
            since,
        );
        let deputy = Arc::new(Deputy {
            pid,
            host: Arc::clone(to),
            pidfd,
            placement: departure,
            places: Mutex::new(lock(&old.places).clone()),
            signals: signals.into(),
            parent: 0.into(),
            image: Mutex::new(Some(Arc::new(Captured {
                image,
                contents: Contents::Bytes(pages),
            }))),
            kept: old.kept.passed_on(departure, offer),
            has_begun: false.into(),
            is_withheld: true.into(),
            is_leaving: false.into(),
            proc_files: old.proc_files.inherit(),
            heeded: Default::default(),
            waiting: Waiting::new(held),
            calls: 0.into(),
        });
        for thread in threads {
            let passed = Arc::new(thread.passed_to(&deputy));
            lock(&self.job.threads).insert(passed.tid, Arc::clone(&passed));
            if let Some(tracee) = self.tracees.get_mut(&passed.tid) {
                tracee.thread = Some(passed);
                tracee.interrupt = None;
                tracee.left = Some(old.host.number);
                tracee.signals = Signals::Leave;
            }
        }
        let expected = self.expected.remove(&pid);
        // First: no two bodies.
        let _ = answer.send(Ok(()));
        to.tell(&ToHost::Place { pid });
        for signal in expected.into_iter().flat_map(|e| e.stops) {
            ptrace::kill(pid, signal)?;
        }
        Ok(())
    }

    /// Tells a host of the signals that wait in the image, before it fetches that. Returns the number of
    /// the last.
    pub(super) fn tell_pending(&mut self, to: &Host, image: &Image) -> u64 {
        let mut last = 0;
        for waiting in &image.pending {
            let mut info = waiting.info;
            self.job.accounts.add_to_details(&mut info);
            last = self.job.tell_host_of_signal(to, |seq| ToHost::Signal {
                pid: image.pid,
                tid: waiting.tid,
                seq,
                info,
            });
        }
        last
    }

    /// Whether the deputy can be another host's; its own handle of the process then.
    fn may_pass(
        returned: &Returned,
        to: &Host,
        threads: &[Arc<DeputyThread>],
    ) -> std::result::Result<OwnedFd, String> {
        to.check()?;
        let busy = |thread: &Arc<DeputyThread>| thread.place.window.is_busy(thread.slot_index);
        if threads.iter().any(busy) {
            return Err(IN_A_CALL.to_owned());
        }
        let pidfd = returned.deputy.pidfd.try_clone();
        pidfd.map_err(|error| error.to_string())
    }
}
