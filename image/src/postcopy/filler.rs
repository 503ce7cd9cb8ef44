//! Where the pages go: the memory of a process that runs already, and of the
//! children that it has forked meanwhile.

use std::io;

use sys::userfault::{Event, Userfault};

use super::missing::{Gap, Missing};
use super::parcel;
use crate::schema::{PAGE_BYTES, PageRun};
use crate::{ImageError, maps};

/// Of a mapping in smaps: MADV_WIPEONFORK.
const WIPED: &[u8; 2] = b"wf";
/// Most bytes that are asked for when one page is missed.
const WANTED_BYTES_MAX: u64 = 64 * 1024;

/// Processes of which pages are missing.
///
/// Whoever uses it holds it alone: between the look whether a page is still
/// wanted and its being put in place no event may be read.
pub struct Filler {
    /// The first is the process that came; a child misses what its parent did
    /// when it was forked. Those that have ended are `None`.
    memories: Vec<Option<Memory>>,
}

/// One of them.
struct Memory {
    userfault: Userfault,
    missing: Missing,
    /// Whose it is; of a child nobody says that.
    pid: Option<i32>,
}

/// What came of putting pages in place.
#[derive(Debug, PartialEq, Eq)]
pub enum Filled {
    /// They are there, or nobody wants them.
    All,
    /// The memory is being changed: events must be read, then again.
    Busy,
    /// The process has ended, and so have its children.
    Gone,
}

/// A missed page, and what is to be asked for with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    memory: usize,
    /// Which pages.
    pub gap: Gap,
}

impl Filler {
    /// `userfault` has the mappings of all of `later` registered, of process `pid`.
    pub fn new(userfault: Userfault, later: &[PageRun], pid: i32) -> Filler {
        Filler {
            memories: vec![Some(Memory {
                userfault,
                missing: Missing::new(later),
                pid: Some(pid),
            })],
        }
    }

    /// One for each process that is there, in no order: they become readable when a
    /// page is missed. Since `known` of them were taken, only those that have come.
    ///
    /// # Errors
    /// Too many descriptors are open.
    pub fn userfaults(&self, known: usize) -> io::Result<Vec<Userfault>> {
        let later = self.memories.iter().skip(known).flatten();
        later.map(|memory| memory.userfault.try_clone()).collect()
    }

    /// How many processes there have been.
    pub fn processes(&self) -> usize {
        self.memories.len()
    }

    /// Whether all pages have come.
    pub fn is_complete(&self) -> bool {
        let mut memories = self.memories.iter().flatten();
        memories.all(|memory| memory.missing.is_empty())
    }

    /// What is missing still of what was missed. If the first page is not, who waits
    /// for it is woken.
    ///
    /// # Errors
    /// The process has gone.
    pub fn still_missing(&self, missed: Missed) -> io::Result<Option<Gap>> {
        let Some(memory) = &self.memories[missed.memory] else {
            return Ok(None);
        };
        let missing = memory.missing.at(missed.gap.at, missed.gap.bytes);
        if missing.is_none() {
            memory.userfault.wake(missed.gap.at, PAGE_BYTES)?;
        }
        Ok(missing)
    }

    /// Puts the pages of a parcel in place that are still missing. Once more
    /// with the same parcel does no harm.
    ///
    /// # Errors
    /// The parcel is malformed, or there is no memory.
    pub fn fill(&mut self, parcel: &[u8]) -> Result<Filled, ImageError> {
        let parts = parcel::open(parcel)?;
        for slot in &mut self.memories {
            let Some(memory) = slot else { continue };
            let filled = memory.fill(&parts).map_err(|source| {
                let doing = "put pages in place";
                ImageError::Step {
                    doing,
                    pid: 0,
                    source,
                }
            })?;
            match filled {
                Filled::All => {}
                Filled::Busy => return Ok(Filled::Busy),
                Filled::Gone => *slot = None,
            }
        }
        Ok(match self.memories.iter().any(Option::is_some) {
            true => Filled::All,
            false => Filled::Gone,
        })
    }

    /// Heeds the next event. Returns what is to be asked for, if a page is
    /// missed that has not come; `Ok(None)` with nothing left to heed.
    ///
    /// # Errors
    /// All processes have gone, or there is no memory.
    pub fn heed(&mut self) -> io::Result<Option<Heeded>> {
        let mut gone = None;
        for index in 0..self.memories.len() {
            let Some(memory) = &mut self.memories[index] else {
                continue;
            };
            match memory.heed() {
                Ok(None) => {}
                Ok(Some(Happened::Nothing)) => return Ok(Some(Heeded::Done)),
                Ok(Some(Happened::Missed(gap))) => {
                    let memory = index;
                    return Ok(Some(Heeded::Missed(Missed { memory, gap })));
                }
                Ok(Some(Happened::Forked(child))) => {
                    self.memories.push(Some(child));
                    return Ok(Some(Heeded::Forked));
                }
                Err(error) => {
                    self.memories[index] = None;
                    gone = Some(error);
                }
            }
        }
        match gone {
            Some(error) if self.memories.iter().all(Option::is_none) => Err(error),
            _ => Ok(None),
        }
    }
}

/// What an event was, for one process.
enum Happened {
    Nothing,
    Missed(Gap),
    Forked(Memory),
}

impl Memory {
    fn fill(&mut self, parts: &[parcel::Part<'_>]) -> io::Result<Filled> {
        for (run, contents) in parts {
            let filled = self.fill_run(*run, *contents)?;
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

    /// What a child misses that is forked now: zeros have its place where MADV_WIPEONFORK says so.
    fn inherited(&self) -> Missing {
        let mut missing = self.missing.clone();
        // Fails if the process has ended, and its child has nobody who would look.
        let lines = self.pid.map(maps::read_with_flags).transpose();
        for line in lines.ok().flatten().unwrap_or_default() {
            if line.has(WIPED) {
                missing.forget(line.start, line.end);
            }
        }
        missing
    }

    fn heed(&mut self) -> io::Result<Option<Happened>> {
        let Some(event) = self.userfault.event()? else {
            return Ok(None);
        };
        match event {
            Event::Fault { address } => {
                let page = address & !(PAGE_BYTES - 1);
                if let Some(gap) = self.missing.at(page, WANTED_BYTES_MAX) {
                    return Ok(Some(Happened::Missed(gap)));
                }
                // New memory.
                match self.put(page, PAGE_BYTES, None)? {
                    Filled::All => {}
                    // The thread touches it again.
                    Filled::Busy => self.userfault.wake(page, PAGE_BYTES)?,
                    Filled::Gone => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
                }
            }
            Event::Remap { from, to, length } => self.missing.remap(from, to, length),
            Event::Remove { start, end } => self.missing.forget(start, end),
            // The kernel puts nothing in place between the fork and this.
            Event::Fork(userfault) => {
                let missing = self.inherited();
                return Ok(Some(Happened::Forked(Memory {
                    userfault,
                    missing,
                    pid: None,
                })));
            }
        }
        Ok(Some(Happened::Nothing))
    }
}

/// What an event was.
#[derive(Debug, PartialEq, Eq)]
pub enum Heeded {
    /// Nothing more is to be done.
    Done,
    /// A thread waits for the first page of a gap.
    Missed(Missed),
    /// There is one process more: [`Filler::userfaults`].
    Forked,
}
