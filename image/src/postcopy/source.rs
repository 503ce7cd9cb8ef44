//! Where the pages come from: a process that stands still.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use sys::vm;

use super::parcel::{CONTENT_BYTES_MAX, RUNS_MAX, seal, sort};
use crate::schema::{PAGE_BYTES, PageRun};

/// Pages of a process, read in the order of their addresses.
pub struct Source<'a> {
    pid: i32,
    runs: &'a [PageRun],
    /// The next run, and how many of its pages have been read.
    next: (usize, u64),
    memory: OnceLock<File>,
}

impl<'a> Source<'a> {
    /// `runs` are by address; process `pid` stands still for as long as it is read.
    pub fn new(pid: i32, runs: &'a [PageRun]) -> Source<'a> {
        Source {
            pid,
            runs,
            next: (0, 0),
            memory: OnceLock::new(),
        }
    }

    /// Appends the next contents, without anything between them. Returns
    /// whether there were any.
    ///
    /// # Errors
    /// The process has gone.
    pub fn contents(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let full = out.len() + CONTENT_BYTES_MAX;
        let mut any = false;
        while let Some(part) = self.take((full - out.len()) as u64 / PAGE_BYTES) {
            self.read(part, out)?;
            any = true;
        }
        Ok(any)
    }

    /// Appends a parcel of the next pages. Returns whether there were any.
    ///
    /// # Errors
    /// The process has gone.
    pub fn parcel(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let full = out.len() + CONTENT_BYTES_MAX;
        let mut runs = Vec::new();
        // One page may begin two runs.
        while out.len() < full && runs.len() < RUNS_MAX / 2 {
            let room = (full - out.len()) as u64 / PAGE_BYTES;
            let Some(part) = self.take(room.min((RUNS_MAX / 2 - runs.len()) as u64)) else {
                break;
            };
            let from = out.len();
            self.read(part, out)?;
            sort(out, from, part.start, &mut runs);
        }
        seal(&runs, out);
        Ok(!runs.is_empty())
    }

    /// Appends a parcel of these pages alone.
    ///
    /// # Errors
    /// They are not among the source's, or too many (`InvalidInput`); the
    /// process has gone.
    pub fn wanted(&self, wanted: PageRun, out: &mut Vec<u8>) -> io::Result<()> {
        let after = self.runs.partition_point(|run| run.start <= wanted.start);
        let end = |run: &PageRun| run.start + run.count * PAGE_BYTES;
        let own = after.checked_sub(1).map(|index| &self.runs[index]);
        let fits = own.is_some_and(|run| {
            wanted.count <= (CONTENT_BYTES_MAX as u64 / PAGE_BYTES).min(RUNS_MAX as u64)
                && wanted.start.is_multiple_of(PAGE_BYTES)
                && end(&wanted) <= end(run)
        });
        if !fits {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let from = out.len();
        self.read(wanted, out)?;
        let mut runs = Vec::new();
        sort(out, from, wanted.start, &mut runs);
        seal(&runs, out);
        Ok(())
    }

    fn take(&mut self, pages_max: u64) -> Option<PageRun> {
        let run = self.runs.get(self.next.0).filter(|_| pages_max > 0)?;
        let (done, count) = (self.next.1, (run.count - self.next.1).min(pages_max));
        self.next = match done + count {
            all if all == run.count => (self.next.0 + 1, 0),
            done => (self.next.0, done),
        };
        Some(PageRun {
            start: run.start + done * PAGE_BYTES,
            count,
        })
    }

    /// Pages that cannot be read (past the end of their file) are zeros.
    fn read(&self, run: PageRun, out: &mut Vec<u8>) -> io::Result<()> {
        let from = out.len();
        let bytes = (run.count * PAGE_BYTES) as usize;
        out.resize(from + bytes, 0);
        let mut done = 0;
        while done < bytes {
            let (at, rest) = (run.start + done as u64, &mut out[from + done..]);
            match vm::read(self.pid, at, rest) {
                Ok(n) if n > 0 => done += n,
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(error),
                _ => {
                    // Memory that the program may not read itself.
                    let memory = match self.memory.get() {
                        Some(memory) => memory,
                        None => {
                            let memory = File::open(format!("/proc/{}/mem", self.pid))?;
                            self.memory.get_or_init(|| memory)
                        }
                    };
                    let page = &mut rest[..PAGE_BYTES as usize];
                    if memory.read_exact_at(page, at).is_err() {
                        page.fill(0);
                    }
                    done += PAGE_BYTES as usize;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;
    use crate::postcopy::parcel::open;

    #[test]
    fn all_pages_come_in_order_and_some_when_wanted() {
        let page = PAGE_BYTES as usize;
        let memory: Vec<u8> = (0..700 * page).map(|at| (at / page % 251) as u8).collect();
        let start = (memory.as_ptr() as u64).next_multiple_of(PAGE_BYTES);
        let skipped = (start - memory.as_ptr() as u64) as usize;
        let runs = [(0, 1), (2, 300), (310, 2), (400, 200)].map(|(at, count)| PageRun {
            start: start + at * PAGE_BYTES,
            count,
        });
        let me = std::process::id() as i32;
        let mut source = Source::new(me, &runs);
        let mut got: Vec<(u64, Vec<u8>)> = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = source.parcel(&mut out).unwrap();
            assert!(out.len() < CONTENT_BYTES_MAX + 32 * RUNS_MAX);
            for (run, contents) in open(&out).unwrap() {
                let zeros = vec![0; run.count as usize * page];
                let contents = contents.map_or(zeros, <[u8]>::to_vec);
                for (index, contents) in contents.chunks(page).enumerate() {
                    let at = run.start + index as u64 * PAGE_BYTES;
                    got.push((at, contents.to_vec()));
                }
            }
            if !more {
                break;
            }
        }
        let at = |address: u64| &memory[skipped + (address - start) as usize..][..page];
        let pages = runs
            .iter()
            .flat_map(|run| (0..run.count).map(|n| run.start + n * PAGE_BYTES));
        let wanted: Vec<_> = pages.map(|page| (page, at(page).to_vec())).collect();
        assert!(got == wanted);
        let mut out = Vec::new();
        let some = PageRun {
            start: runs[1].start + 5 * PAGE_BYTES,
            count: 3,
        };
        source.wanted(some, &mut out).unwrap();
        let opened = open(&out).unwrap();
        assert_eq!(opened[0].0, some);
        assert_eq!(opened[0].1.unwrap()[..page], *at(some.start));
        for (start, count) in [
            (runs[0].start - PAGE_BYTES, 1),
            (runs[0].start, 2),
            (runs[1].start + 8, 1),
            (runs[1].start, 200),
        ] {
            assert!(source.wanted(PageRun { start, count }, &mut out).is_err());
        }
    }
}
