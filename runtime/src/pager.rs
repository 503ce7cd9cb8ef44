//! Pages of a body that come when it runs already, and those that follow one home.
//!
//! When all have come, home is told that it need not keep them any more.

use std::sync::{Arc, Condvar, Mutex};

use image::postcopy::filler::Filler;
use image::schema::PageRun;
use lane::control::ToHome;
use lane::pages::{Opening, Which};
use lane::{Kind, LaneError};
use pages::{Halves, PagesError};
use sys::ptrace;

use crate::guest::Process;
use crate::host::{Host, Order, STACK_BYTES, lock};

/// How far the pages of a process are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Stage {
    /// Some are still to come.
    Coming,
    /// All are here.
    Here,
    /// And home has none of them any more.
    #[default]
    Alone,
}

/// [`Stage`] of a process, for those who wait for it.
#[derive(Default)]
pub(crate) struct Pages {
    stage: Mutex<Stage>,
    changed: Condvar,
}

impl Pages {
    /// Those of a process that has just come.
    pub(crate) fn coming() -> Pages {
        Pages {
            stage: Mutex::new(Stage::Coming),
            changed: Condvar::new(),
        }
    }

    /// Whether they are so far.
    pub(crate) fn are(&self, stage: Stage) -> bool {
        *lock(&self.stage) >= stage
    }

    /// Waits until they are so far, or the process has ended.
    pub(crate) fn wait_for(&self, stage: Stage) {
        let now = lock(&self.stage);
        drop(self.changed.wait_while(now, |now| *now < stage));
    }

    fn set(&self, stage: Stage) {
        *lock(&self.stage) = stage;
        self.changed.notify_all();
    }
}

/// Brings the pages of `process` that are missing, if any are; then tells home
/// to drop its own.
pub(crate) fn start(
    host: &Arc<Host>,
    process: &Arc<Process>,
    departure: u64,
    filler: Option<Filler>,
) {
    let (own, of) = (Arc::clone(host), Arc::clone(process));
    let mut filler = filler.map(|filler| Arc::new(Mutex::new(filler)));
    // Until it is clear that the process has its memory, or is killed.
    let last = filler.clone();
    let started = std::thread::Builder::new()
        .name("pages".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let brought = bring(&own, &of, departure, &mut filler);
            let brought = brought.map_err(|error| error.to_string());
            end(&own, &of, departure, brought);
        });
    if let Err(error) = started {
        end(host, process, departure, Err(format!("no thread: {error}")));
    }
    drop(last);
}

/// An error is the end of the process: some of its pages are nowhere here.
fn end(host: &Host, process: &Process, departure: u64, brought: Result<(), String>) {
    let pid = process.pid;
    let lost = brought.err().filter(|_| !process.pages.are(Stage::Here));
    process.pages.set(Stage::Alone);
    if let Some(error) = lost {
        let reason = format!("its pages do not come: {error}");
        host.tell_home(&ToHome::Starved {
            pid,
            departure,
            reason,
        });
        // It must not see zeros in their place.
        let _ = ptrace::kill(process.outer, libc::SIGKILL);
    }
}

fn bring(
    host: &Arc<Host>,
    process: &Arc<Process>,
    departure: u64,
    filler: &mut Option<Arc<Mutex<Filler>>>,
) -> Result<(), PagesError> {
    let opening = |which| Opening {
        pid: process.pid,
        departure,
        which,
    };
    let which = match filler {
        Some(_) => Which::All,
        None => Which::None,
    };
    let (mut sender, mut receiver) = open(host, opening(which))?;
    if let Some(filler) = filler {
        lane::fault::point("pages")?;
        let wanted = {
            let (host, opening) = (Arc::clone(host), opening(Which::Wanted));
            move || open(&host, opening)
        };
        if !pages::take(filler, &mut receiver, wanted)? {
            // It has ended.
            return Ok(());
        }
    }
    // First: who looks at its memory then finds that nobody watches it.
    *filler = None;
    process.pages.set(Stage::Here);
    host.order(Order::PagesHere { pid: process.pid });
    sender.begin();
    sender.send(Kind::Complete, 0, 0)?;
    match receiver.recv()?.kind {
        Kind::Complete => Ok(()),
        _ => Err(LaneError::Refused("no answer about pages").into()),
    }
}

fn open(host: &Host, opening: Opening) -> Result<Halves, LaneError> {
    let (mut sender, receiver) = host.lane()?.split()?;
    opening.encode(sender.begin());
    sender.send(Kind::Pages, 0, 0)?;
    Ok((sender, receiver))
}

/// Sends the pages that follow `process` home, where it goes on, from its body, which stands still;
/// then, or if home does not want them any more, that ends.
pub(crate) fn follow(host: &Arc<Host>, process: &Arc<Process>, number: u64, later: Vec<PageRun>) {
    let (own, of) = (Arc::clone(host), Arc::clone(process));
    let started = std::thread::Builder::new()
        .name("pages".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            if let Err(error) = send_home(&own, &of, number, later.into()) {
                tracing::debug!("pages of process {} on their way home: {error}", of.pid);
            }
            // ESRCH: it has been killed.
            let _ = ptrace::kill(of.outer, libc::SIGKILL);
        });
    if let Err(error) = started {
        // Home waits in vain, and ends the process.
        tracing::warn!("pages of process {} cannot follow: {error}", process.pid);
        let _ = ptrace::kill(process.outer, libc::SIGKILL);
    }
}

fn send_home(
    host: &Arc<Host>,
    process: &Arc<Process>,
    number: u64,
    later: Arc<[PageRun]>,
) -> Result<(), PagesError> {
    let opening = |which| Opening {
        pid: process.pid,
        departure: number,
        which,
    };
    let (mut sender, mut receiver) = open(host, opening(Which::Offered))?;
    let (mut asks, mut asked) = open(host, opening(Which::OfferedWanted))?;
    let pid = process.outer;
    let wanted = Arc::clone(&later);
    // Ends with its lane, which home closes.
    std::thread::Builder::new()
        .name("wanted".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let from = pages::From {
                pid,
                later: &wanted,
            };
            let sent = pages::send_wanted(from, &mut asks, &mut asked, || Ok(()));
            tracing::debug!("pages that home asked for: {sent:?}");
        })?;
    let from = pages::From { pid, later: &later };
    pages::send_all(from, &mut sender, || Ok(()))?;
    match receiver.recv()?.kind {
        Kind::Complete => Ok(()),
        _ => Err(LaneError::Refused("no answer about pages").into()),
    }
}
