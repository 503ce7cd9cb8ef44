//! Where the pages go: the memory of a process that runs already.

use std::io;

use sys::userfault::{Event, Userfault};

use super::missing::{Gap, Missing};
use super::parcel;
use crate::ImageError;
use crate::schema::{PAGE_BYTES, PageRun};

/// Most bytes that are asked for when one page is missed.
const WANTED_BYTES_MAX: u64 = 64 * 1024;

/// A process of which pages are missing.
///
/// Whoever uses it holds it alone: between the look whether a page is still
/// wanted and its being put in place no event may be read.
pub struct Filler {
    userfault: Userfault,
    missing: Missing,
}

/// What came of putting pages in place.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// They are there, or nobody wants them.
    All,
    /// The memory is being changed: events must be read, then again.
    Busy,
    /// The process has ended.
    Gone,
}

impl Filler {
    /// `userfault` has the mappings of all of `later` registered.
    pub fn new(userfault: Userfault, later: &[PageRun]) -> Filler {
        Filler {
            userfault,
            missing: Missing::new(later),
        }
    }

    /// Becomes readable when a page is missed.
    pub fn userfault(&self) -> &Userfault {
        &self.userfault
    }

    /// Whether all pages have come.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// What of a gap is missing still. If its first page is not, who waits for it
    /// is woken.
    ///
    /// # Errors
    /// The process has gone.
    pub fn still_missing(&self, gap: Gap) -> io::Result<Option<Gap>> {
        let missing = self.missing.at(gap.at, gap.bytes);
        if missing.is_none() {
            self.userfault.wake(gap.at, PAGE_BYTES)?;
        }
        Ok(missing)
    }

    /// Puts the pages of a parcel in place that are still missing. Once more
    /// with the same parcel does no harm.
    ///
    /// # Errors
    /// The parcel is malformed, or there is no memory.
    pub fn fill(&mut self, parcel: &[u8]) -> Result<Filled, ImageError> {
        for (run, contents) in parcel::open(parcel)? {
            let filled = self.fill_run(run, contents).map_err(|source| {
                let doing = "put pages in place";
                ImageError::Step {
                    doing,
                    pid: 0,
                    source,
                }
            })?;
            if filled != Filled::All {
                return Ok(filled);
            }
        }
        Ok(Filled::All)
    }

    fn fill_run(&mut self, run: PageRun, contents: Option<&[u8]>) -> io::Result<Filled> {
        let end = run.start + run.count * PAGE_BYTES;
        let mut at = run.start;
        while let Some(gap) = self.missing.from(at, end - at) {
            let offset = (gap.origin - run.start) as usize;
            let contents = contents.map(|all| &all[offset..offset + gap.bytes as usize]);
            match self.put(gap.at, gap.bytes, contents)? {
                Filled::All => self.missing.forget(gap.at, gap.at + gap.bytes),
                other => return Ok(other),
            }
            at = gap.origin + gap.bytes;
        }
        Ok(Filled::All)
    }

    /// Puts pages in place, but where some are there already.
    fn put(&self, start: u64, bytes: u64, contents: Option<&[u8]>) -> io::Result<Filled> {
        let mut done = 0;
        let mut length_max = bytes;
        while done < bytes {
            let at = start + done;
            let length = length_max.min(bytes - done);
            let result = match contents {
                Some(contents) => {
                    let part = &contents[done as usize..(done + length) as usize];
                    self.userfault.copy(at, part)
                }
                None => self.userfault.zero(at, length),
            };
            match result.map_err(|error| (error.raw_os_error(), error)) {
                Ok(n) => {
                    done += n as u64;
                    length_max = bytes;
                }
                // Not within one mapping: it has been divided, or ends here.
                Err((Some(libc::ENOENT), _)) if length > PAGE_BYTES => {
                    length_max = (length / 2).next_multiple_of(PAGE_BYTES);
                }
                Err((Some(libc::EEXIST), _)) => {
                    self.userfault.wake(at, PAGE_BYTES)?;
                    done += PAGE_BYTES;
                }
                // Unmapped; its event has been read or is about to be.
                Err((Some(libc::ENOENT), _)) => done += PAGE_BYTES,
                Err((Some(libc::EAGAIN), _)) => return Ok(Filled::Busy),
                Err((Some(libc::ESRCH), _)) => return Ok(Filled::Gone),
                Err((_, error)) => return Err(error),
            }
        }
        Ok(Filled::All)
    }

    /// Heeds the next event. Returns what is to be asked for, if a page is
    /// missed that has not come; `Ok(None)` with nothing left to heed.
    ///
    /// # Errors
    /// The process has gone, or there is no memory.
    pub fn heed(&mut self) -> io::Result<Option<Heeded>> {
        let Some(event) = self.userfault.event()? else {
            return Ok(None);
        };
        match event {
            Event::Fault { address } => {
                let page = address & !(PAGE_BYTES - 1);
                if let Some(gap) = self.missing.at(page, WANTED_BYTES_MAX) {
                    return Ok(Some(Heeded::Missed(gap)));
                }
                // New memory.
                return Ok(match self.put(page, PAGE_BYTES, None)? {
                    Filled::All => Some(Heeded::Done),
                    // The thread touches it again.
                    Filled::Busy => {
                        self.userfault.wake(page, PAGE_BYTES)?;
                        Some(Heeded::Done)
                    }
                    Filled::Gone => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
                });
            }
            Event::Remap { from, to, length } => self.missing.remap(from, to, length),
            Event::Remove { start, end } => self.missing.forget(start, end),
            // Nobody forks before all is there.
            Event::Fork(_) => {}
        }
        Ok(Some(Heeded::Done))
    }
}

/// What an event was.
#[derive(Debug, PartialEq, Eq)]
pub enum Heeded {
    /// Nothing more is to be done.
    Done,
    /// A thread waits for the first page of this gap.
    Missed(Gap),
}
