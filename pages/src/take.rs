//! Where pages go.

use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use image::postcopy::filler::{Filled, Filler, Heeded, Missed};
use image::postcopy::parcel;
use lane::pages::Wanted;
use lane::{Kind, LaneError, Receiver};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{Halves, PagesError};

/// How long it is waited until an event of the memory has been read.
const BUSY_INTERVAL: Duration = Duration::from_micros(20);
/// Stack of the thread that serves missed pages, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// Takes all pages in the order in which they are sent on `all`; a thread of its own
/// hears which are missed meanwhile, and asks for those alone on the lane that `wanted`
/// opens. Either puts what it gets in place, whichever is first. Returns `false` if the
/// process has ended.
///
/// # Errors
/// Some pages do not come. The process must be killed before `filler` is dropped: from
/// then on what is missing is zeros.
pub fn take(
    filler: &Arc<Mutex<Filler>>,
    all: &mut Receiver,
    wanted: impl FnOnce() -> Result<Halves, LaneError> + Send + 'static,
) -> Result<bool, PagesError> {
    // Closed when all have come.
    let (stop, stopper) = std::io::pipe()?;
    let server = {
        let filler = Arc::clone(filler);
        std::thread::Builder::new()
            .name("faults".into())
            .stack_size(STACK_BYTES)
            .spawn(move || serve_faults(&filler, wanted, &stop))?
    };
    let taken = take_all(filler, all);
    drop(stopper);
    let served = server
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("the thread for faults failed").into()));
    if !taken? {
        return Ok(false);
    }
    served?;
    Ok(true)
}

fn lock(filler: &Mutex<Filler>) -> MutexGuard<'_, Filler> {
    filler.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_parcel(receiver: &mut Receiver) -> Result<&[u8], LaneError> {
    let frame = receiver.recv()?;
    match frame.kind {
        Kind::Parcel => Ok(frame.payload),
        _ => Err(LaneError::Refused("another frame than pages")),
    }
}

/// Puts all pages in place as they come. Returns `false` if the process has ended.
fn take_all(filler: &Mutex<Filler>, receiver: &mut Receiver) -> Result<bool, PagesError> {
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
    filler: &Mutex<Filler>,
    wanted: impl FnOnce() -> Result<Halves, LaneError>,
    stop: &PipeReader,
) -> Result<(), PagesError> {
    let mut memories = lock(filler).userfaults(0)?;
    let mut known = lock(filler).processes();
    let (mut sender, mut receiver) = wanted()?;
    let mut queue = VecDeque::new();
    loop {
        let mut fds = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        let memory = memories.iter().map(AsFd::as_fd);
        fds.extend(memory.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        if fds[0].any() == Some(true) || !heed(filler, &mut queue) {
            return Ok(());
        }
        while let Some(missed) = queue.pop_front() {
            let Some(gap) = lock(filler).still_missing(missed)? else {
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
        let filler = lock(filler);
        memories.extend(filler.userfaults(known)?);
        known = filler.processes();
    }
}

/// Heeds what has happened to the memory; what is missed goes to `queue`.
/// Returns `false` if the process has ended.
fn heed(filler: &Mutex<Filler>, queue: &mut VecDeque<Missed>) -> bool {
    loop {
        match lock(filler).heed() {
            Ok(None) => return true,
            Ok(Some(Heeded::Done | Heeded::Forked)) => {}
            Ok(Some(Heeded::Missed(missed))) => queue.push_back(missed),
            Err(error) => {
                tracing::debug!("events of a process's memory: {error}");
                return false;
            }
        }
    }
}
