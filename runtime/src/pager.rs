//! Pages of a body that come when it runs already.
//!
//! One thread takes all of them in the order in which home sends them; another
//! hears which the body misses meanwhile, and asks for those alone. Either puts
//! what it gets in place, whichever is first. Then home is told that it need not
//! keep them any more.

use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use image::ImageError;
use image::postcopy::filler::{Filled, Filler, Heeded};
use image::postcopy::missing::Gap;
use image::postcopy::parcel;
use lane::control::ToHome;
use lane::pages::{Opening, Wanted, Which};
use lane::{Kind, LaneError, Receiver, Sender};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::guest::Process;
use crate::host::{Host, Order, STACK_BYTES, lock};

/// How long it is waited until an event of the body has been read.
const BUSY_INTERVAL: Duration = Duration::from_micros(20);

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

/// Why pages do not come.
#[derive(Debug, thiserror::Error)]
enum PagerError {
    #[error(transparent)]
    Lane(#[from] LaneError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
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
    let started = std::thread::Builder::new()
        .name("pages".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let brought = bring(&own, &of, departure, filler);
            end(
                &own,
                &of,
                departure,
                brought.map_err(|error| error.to_string()),
            );
        });
    if let Err(error) = started {
        end(host, process, departure, Err(format!("no thread: {error}")));
    }
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
    }
}

fn bring(
    host: &Arc<Host>,
    process: &Arc<Process>,
    departure: u64,
    filler: Option<Filler>,
) -> Result<(), PagerError> {
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
        let filler = Arc::new(Mutex::new(filler));
        // Closed when all have come.
        let (stop, stopper) = std::io::pipe()?;
        let server = {
            let (host, filler) = (Arc::clone(host), Arc::clone(&filler));
            let opening = opening(Which::Wanted);
            std::thread::Builder::new()
                .name("faults".into())
                .stack_size(STACK_BYTES)
                .spawn(move || serve_faults(&host, opening, &filler, &stop))?
        };
        let taken = take_all(&filler, &mut receiver);
        drop(stopper);
        let served = server
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread for faults failed").into()));
        if !taken? {
            // It has ended.
            return Ok(());
        }
        served?;
    }
    process.pages.set(Stage::Here);
    host.order(Order::PagesHere { pid: process.pid });
    sender.begin();
    sender.send(Kind::Complete, 0, 0)?;
    match receiver.recv()?.kind {
        Kind::Complete => Ok(()),
        _ => Err(LaneError::Refused("no answer about pages").into()),
    }
}

fn open(host: &Host, opening: Opening) -> Result<(Sender, Receiver), LaneError> {
    let (mut sender, receiver) = host.lane()?.split()?;
    opening.encode(sender.begin());
    sender.send(Kind::Pages, 0, 0)?;
    Ok((sender, receiver))
}

fn next_parcel(receiver: &mut Receiver) -> Result<&[u8], LaneError> {
    let frame = receiver.recv()?;
    match frame.kind {
        Kind::Parcel => Ok(frame.payload),
        _ => Err(LaneError::Refused("another frame than pages")),
    }
}

/// Puts all pages in place as they come. Returns `false` if the process has ended.
fn take_all(filler: &Mutex<Filler>, receiver: &mut Receiver) -> Result<bool, PagerError> {
    lane::fault::point("pages")?;
    loop {
        let parcel = next_parcel(receiver)?;
        loop {
            let filled = lock(filler).fill(parcel)?;
            match filled {
                Filled::All => break,
                // The other thread reads what happens to the memory.
                Filled::Busy => std::thread::sleep(BUSY_INTERVAL),
                Filled::Gone => return Ok(false),
            }
        }
        if parcel::open(parcel)?.is_empty() {
            return match lock(filler).is_complete() {
                true => Ok(true),
                false => Err(LaneError::Refused("fewer pages than announced").into()),
            };
        }
    }
}

/// Serves missed pages until the other end of `stop` is closed.
fn serve_faults(
    host: &Host,
    opening: Opening,
    filler: &Mutex<Filler>,
    stop: &PipeReader,
) -> Result<(), PagerError> {
    let memory = lock(filler).userfault().try_clone()?;
    let (mut sender, mut receiver) = open(host, opening)?;
    let mut queue = VecDeque::new();
    let readable = PollFlags::POLLIN;
    loop {
        let mut fds = [
            PollFd::new(memory.as_fd(), readable),
            PollFd::new(stop.as_fd(), readable),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        if fds[1].any() == Some(true) {
            return Ok(());
        }
        if !heed(filler, &mut queue) {
            return Ok(());
        }
        while let Some(gap) = queue.pop_front() {
            let Some(gap) = lock(filler).still_missing(gap)? else {
                continue;
            };
            let wanted = Wanted {
                start: gap.origin,
                bytes: gap.bytes,
            };
            wanted.encode(sender.begin());
            sender.send(Kind::Wanted, 0, 0)?;
            let parcel = next_parcel(&mut receiver)?;
            loop {
                let filled = lock(filler).fill(parcel)?;
                match filled {
                    Filled::All => break,
                    Filled::Busy if heed(filler, &mut queue) => {}
                    Filled::Busy | Filled::Gone => return Ok(()),
                }
            }
        }
    }
}

/// Heeds what has happened to the memory; what is missed goes to `queue`.
/// Returns `false` if the process has ended.
fn heed(filler: &Mutex<Filler>, queue: &mut VecDeque<Gap>) -> bool {
    loop {
        match lock(filler).heed() {
            Ok(None) => return true,
            Ok(Some(Heeded::Done)) => {}
            Ok(Some(Heeded::Missed(gap))) => queue.push_back(gap),
            Err(error) => {
                tracing::debug!("events of a body's memory: {error}");
                return false;
            }
        }
    }
}
