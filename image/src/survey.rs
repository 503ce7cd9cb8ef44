//! Survey: what /proc tells of the memory of a process that stands still.
//!
//! For flags of mappings, and for which pages were written, the kernel walks
//! all page tables, tens of milliseconds for each GiB of small pages. Flags are read while
//! the threads are looked into, pages when that is done.

use std::collections::HashMap;
use std::io;

use crate::maps::{self, Line};
use crate::schema::PageRun;

/// Mappings from this size on are walked by a thread of their own.
const LARGE_BYTES: u64 = 16 << 20;

/// Memory as /proc shows it.
pub(crate) struct Survey {
    /// All mappings, with their flags.
    pub(crate) lines: Vec<Line>,
    /// Written pages of large private mappings, by their start.
    written: HashMap<u64, io::Result<Vec<PageRun>>>,
}

impl Survey {
    /// One in which pages are looked up when they are asked for.
    pub(crate) fn of(lines: Vec<Line>) -> Survey {
        Survey {
            lines,
            written: HashMap::new(),
        }
    }

    /// [`maps::written_pages`] of a mapping of the survey.
    ///
    /// # Errors
    /// Those of `maps::written_pages`.
    pub(crate) fn written(
        &mut self,
        page_map: &std::fs::File,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<PageRun>> {
        match self.written.remove(&start) {
            Some(runs) => runs,
            None => maps::written_pages(page_map, start, end),
        }
    }
}

/// Surveys process `pid`, of which `lines` are the mappings, while the caller
/// does `meanwhile`. The process stands still.
pub(crate) fn during<R>(
    pid: i32,
    lines: &[Line],
    meanwhile: impl FnOnce() -> R,
) -> (R, io::Result<Survey>) {
    let large: Vec<(u64, u64)> = lines
        .iter()
        .filter(|line| !line.shared && line.inode == 0 && line.end - line.start >= LARGE_BYTES)
        .map(|line| (line.start, line.end))
        .collect();
    if large.is_empty() {
        let done = meanwhile();
        return (done, maps::read_with_flags(pid).map(Survey::of));
    }
    std::thread::scope(|scope| {
        let flags = scope.spawn(|| maps::read_with_flags(pid));
        // First: where as many threads are busy as there are processors, each call that a thread of
        // the process makes for us waits for its turn.
        let done = meanwhile();
        let written = maps::page_map(pid).map(|page_map| {
            let runs = |(start, end)| (start, maps::written_pages(&page_map, start, end));
            large.into_iter().map(runs).collect()
        });
        let failed = |_| Err(io::Error::other("a thread failed"));
        let lines = flags.join().unwrap_or_else(failed);
        let survey = lines.and_then(|lines| {
            let written = written?;
            Ok(Survey { lines, written })
        });
        (done, survey)
    })
}
