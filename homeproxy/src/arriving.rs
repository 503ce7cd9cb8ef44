//! Processes that run at home already while pages of them are still at their last host.
//!
//! Their body stands still there and offers two lanes for its pages. When all are here it
//! is told to end. If they do not come, the process ends: nobody else has them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use image::postcopy::filler::Filler;
use lane::pages::{Opening, Which};
use lane::{Kind, LaneError};
use pages::{Halves, PagesError};
use sys::ptrace;

use crate::hosts::Host;
use crate::job::{Job, Order, lock};
use crate::lanes::LANE_STACK_BYTES;

/// Longest time until a host opens the lanes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// One process, and the children that it has forked since.
pub(crate) struct Arrival {
    /// In the lanes' opening.
    number: u64,
    host: Arc<Host>,
    /// Those of them that miss pages.
    pids: Mutex<HashSet<i32>>,
    all: Sender<Halves>,
    wanted: Sender<Halves>,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arrival {}", self.number)
    }
}

impl Arrival {
    /// A child of one of them, which has not run yet.
    pub(crate) fn born(&self, pid: i32) {
        lock(&self.pids).insert(pid);
    }

    /// One of them has ended, or executed a program.
    pub(crate) fn forget(&self, pid: i32) {
        lock(&self.pids).remove(&pid);
    }
}

/// Those of a job.
pub(crate) struct Arrivals {
    /// Serves pages that come later, if this node can.
    pub(crate) userfaults: Option<Arc<File>>,
    numbers: AtomicU64,
    /// Those whose lanes may still be opened.
    open: Mutex<HashMap<u64, Arc<Arrival>>>,
}

impl Arrivals {
    /// None so far; whether there may be any.
    pub(crate) fn new(post_copy: bool) -> Arrivals {
        let device = sys::userfault::device().ok().filter(|_| post_copy);
        Arrivals {
            userfaults: device.filter(sys::userfault::tells_forks).map(Arc::new),
            numbers: 0.into(),
            open: Mutex::default(),
        }
    }

    /// A number for one more.
    pub(crate) fn next(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A host has opened a lane with pages.
    pub(crate) fn offered(&self, host: &Arc<Host>, opening: Opening, lane: Halves) {
        let arrival = lock(&self.open).get(&opening.departure).cloned();
        let Some(arrival) = arrival.filter(|arrival| Arc::ptr_eq(&arrival.host, host)) else {
            let pid = opening.pid;
            return tracing::debug!("pages of process {pid}, for which nobody waits");
        };
        let to = match opening.which {
            Which::Offered => &arrival.all,
            _ => &arrival.wanted,
        };
        // Fails if it is over already.
        let _ = to.send(lane);
    }
}

/// The pages of process `pid`, which has been made but does not run yet, will come from `host` by
/// lanes with this number. What comes of it is an order to the tracer.
pub(crate) fn expect(
    job: &Arc<Job>,
    host: &Arc<Host>,
    pid: i32,
    number: u64,
    filler: Filler,
) -> Arc<Arrival> {
    let (all, all_opened) = mpsc::channel();
    let (wanted, wanted_opened) = mpsc::channel();
    let arrival = Arc::new(Arrival {
        number,
        host: Arc::clone(host),
        pids: Mutex::new(HashSet::from([pid])),
        all,
        wanted,
    });
    lock(&job.arrivals.open).insert(number, Arc::clone(&arrival));
    let filler = Arc::new(Mutex::new(filler));
    let (own, of) = (Arc::clone(job), Arc::clone(&arrival));
    // Until it is clear that the process has its memory, or is killed.
    let last = Arc::clone(&filler);
    let started = std::thread::Builder::new()
        .name("arriving".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || {
            let brought = bring(&all_opened, wanted_opened, &filler);
            if brought.is_ok() {
                // First: who looks at its memory then finds that nobody watches it.
                drop(filler);
                return end(&own, &of, Ok(()));
            }
            end(&own, &of, brought.map_err(|error| error.to_string()));
            drop(filler);
        });
    if let Err(error) = started {
        end(job, &arrival, Err(format!("no thread: {error}")));
    }
    drop(last);
    arrival
}

fn bring(
    all: &Receiver<Halves>,
    wanted: Receiver<Halves>,
    filler: &Arc<Mutex<Filler>>,
) -> Result<(), PagesError> {
    let (mut sender, mut receiver) = opened(all)?;
    if pages::take(filler, &mut receiver, move || opened(&wanted))? {
        sender.begin();
        sender.send(Kind::Complete, 0, 0)?;
    }
    // Else it has ended, and the host sees its lane end.
    Ok(())
}

fn opened(lane: &Receiver<Halves>) -> Result<Halves, LaneError> {
    let lane = lane.recv_timeout(OPEN_TIMEOUT);
    lane.map_err(|_| LaneError::Refused("a host that opens no lane for pages"))
}

/// An error is the end of all that miss pages. They are killed here, before what serves their faults
/// is dropped, since the tracer may wait for one of their pages itself.
fn end(job: &Job, arrival: &Arc<Arrival>, brought: Result<(), String>) {
    lock(&job.arrivals.open).remove(&arrival.number);
    let mut lost = Vec::new();
    if let Err(why) = &brought {
        let pids = lock(&arrival.pids);
        for pid in pids.iter() {
            job.message(
                *pid,
                &format!("process {pid} ends: its memory has not come home: {why}"),
            );
            // ESRCH: it has ended.
            let _ = ptrace::kill(*pid, libc::SIGKILL);
        }
        lost.extend(pids.iter().copied());
    }
    tracing::debug!("{arrival:?}: {brought:?}, lost {lost:?}");
    job.order(Order::Arrived {
        arrival: Arc::clone(arrival),
        result: brought,
    });
}
