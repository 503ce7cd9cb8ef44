//! Pages that follow a process which a host has sent: those of processes that run at home already.
//!
//! Their body stands still there and offers two lanes for its pages. When all are here it
//! is told to end. If they do not come, the process ends: nobody else has them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
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

/// Pages that a host will offer: they follow a process that it sends.
pub(crate) struct Offer {
    /// In the lanes' opening.
    pub(crate) number: u64,
    open: Arc<Open>,
    all: Mutex<Receiver<Halves>>,
    wanted: Mutex<Receiver<Halves>>,
}

impl Offer {
    /// The lane on which all pages come; waits until it is opened.
    pub(crate) fn all(&self) -> Result<Halves, LaneError> {
        opened(&lock(&self.all))
    }

    /// That for those that are asked for.
    pub(crate) fn wanted(&self) -> Result<Halves, LaneError> {
        opened(&lock(&self.wanted))
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        lock(&self.open.by_number).remove(&self.number);
    }
}

fn opened(lane: &Receiver<Halves>) -> Result<Halves, LaneError> {
    let lane = lane.recv_timeout(OPEN_TIMEOUT);
    lane.map_err(|_| LaneError::Refused("a host that opens no lane for pages"))
}

/// Offers whose lanes may still be opened.
#[derive(Default)]
struct Open {
    by_number: Mutex<HashMap<u64, Awaited>>,
}

/// Where the lanes of an offer go.
#[derive(Clone)]
struct Awaited {
    host: Arc<Host>,
    all: SyncSender<Halves>,
    wanted: SyncSender<Halves>,
}

/// One process, and the children that it has forked since.
pub(crate) struct Arrival {
    number: u64,
    /// Those of them that miss pages.
    pids: Mutex<HashSet<i32>>,
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
    open: Arc<Open>,
}

impl Arrivals {
    /// None so far; whether there may be any.
    pub(crate) fn new(post_copy: bool) -> Arrivals {
        let device = sys::userfault::device().ok().filter(|_| post_copy);
        Arrivals {
            userfaults: device.filter(sys::userfault::tells_forks).map(Arc::new),
            numbers: 0.into(),
            open: Arc::default(),
        }
    }

    /// `host` will be told that it may offer pages.
    pub(crate) fn announce(&self, host: &Arc<Host>) -> Offer {
        let number = self.numbers.fetch_add(1, Ordering::SeqCst) + 1;
        // One lane each: what a host opens beside is closed.
        let (all, all_opened) = mpsc::sync_channel(1);
        let (wanted, wanted_opened) = mpsc::sync_channel(1);
        let host = Arc::clone(host);
        let awaited = Awaited { host, all, wanted };
        lock(&self.open.by_number).insert(number, awaited);
        Offer {
            number,
            open: Arc::clone(&self.open),
            all: Mutex::new(all_opened),
            wanted: Mutex::new(wanted_opened),
        }
    }

    /// A host has opened a lane with pages.
    pub(crate) fn offered(&self, host: &Arc<Host>, opening: Opening, lane: Halves) {
        let awaited = lock(&self.open.by_number).get(&opening.departure).cloned();
        let Some(awaited) = awaited.filter(|awaited| Arc::ptr_eq(&awaited.host, host)) else {
            let pid = opening.pid;
            return tracing::debug!("pages of process {pid}, for which nobody waits");
        };
        let to = match opening.which {
            Which::Offered => &awaited.all,
            _ => &awaited.wanted,
        };
        // Fails if it is over already, too.
        let _ = to.try_send(lane);
    }
}

/// The pages of process `pid`, which has been made but does not run yet, come by `offer`. What comes
/// of it is an order to the tracer.
pub(crate) fn expect(job: &Arc<Job>, pid: i32, offer: Arc<Offer>, filler: Filler) -> Arc<Arrival> {
    let arrival = Arc::new(Arrival {
        number: offer.number,
        pids: Mutex::new(HashSet::from([pid])),
    });
    let filler = Arc::new(Mutex::new(filler));
    let (own, of) = (Arc::clone(job), Arc::clone(&arrival));
    // Until it is clear that the process has its memory, or is killed.
    let last = Arc::clone(&filler);
    let started = std::thread::Builder::new()
        .name("arriving".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || {
            let brought = bring(&offer, &filler);
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

fn bring(offer: &Arc<Offer>, filler: &Arc<Mutex<Filler>>) -> Result<(), PagesError> {
    lane::fault::point("pages-home")?;
    let (mut sender, mut receiver) = offer.all()?;
    let wanted = Arc::clone(offer);
    if pages::take(filler, &mut receiver, move || wanted.wanted())? {
        sender.begin();
        sender.send(Kind::Complete, 0, 0)?;
    }
    // Else it has ended, and the host sees its lane end.
    Ok(())
}

/// An error is the end of all that miss pages. They are killed here, before what serves their faults
/// is dropped, since the tracer may wait for one of their pages itself.
fn end(job: &Job, arrival: &Arc<Arrival>, brought: Result<(), String>) {
    let mut lost = Vec::new();
    if let Err(why) = &brought {
        let pids = lock(&arrival.pids);
        for pid in pids.iter() {
            let text = format!("process {pid} ends: its memory has not come home: {why}");
            job.message(*pid, &text);
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
