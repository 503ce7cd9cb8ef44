//! The journal: what happens to the job's processes, told to the log and to
//! the statistics. Neither costs anything unless it was asked for. What is
//! always kept of a process that lives is how it came where it is.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use lane::control::Latencies;
use lane::log::CALL;
use nix::sys::signal::Signal;

use crate::job::lock;
use crate::setup::{HOME_NODE, Setup};
use crate::stats::{Program, Statistics};

/// Most bytes of a program's arguments that are told.
const COMMAND_BYTES_MAX: usize = 4096;

/// The journal of one job.
pub(crate) struct Journal {
    /// The start of the job: its first entry.
    started: OnceLock<Instant>,
    /// File for the statistics; `-`: standard error.
    file: Option<String>,
    /// Until they are written; `None` also where nobody asked for them.
    statistics: Mutex<Option<Statistics>>,
    /// Of processes that live.
    stays: Mutex<HashMap<i32, Stay>>,
    /// The last process, and its status as of wait(2): its end is the last line of the log.
    last: OnceLock<(i32, i32)>,
}

/// How a process came where it is.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    /// The node.
    node: u32,
    /// When it began, or came there.
    pub(crate) since: Instant,
    /// How often it has moved before.
    pub(crate) moves: u32,
    /// Why it did not go when that was tried last.
    pub(crate) refused: Option<String>,
}

impl Journal {
    pub(crate) fn new(setup: &Setup) -> Journal {
        let statistics = || {
            Statistics::new(
                setup.command.clone(),
                setup.node,
                setup.shuffle_ms.map(|_| setup.seed),
            )
        };
        Journal {
            started: OnceLock::new(),
            file: setup.stats.clone(),
            statistics: Mutex::new(setup.stats.as_ref().map(|_| statistics())),
            stays: Mutex::default(),
            last: OnceLock::new(),
        }
    }

    /// Whether statistics are to be written.
    pub(crate) fn keeps_statistics(&self) -> bool {
        self.file.is_some()
    }

    fn note(&self, entry: impl FnOnce(&mut Statistics, u64)) {
        if self.keeps_statistics()
            && let Some(statistics) = lock(&self.statistics).as_mut()
        {
            let started = self.started.get_or_init(Instant::now);
            entry(statistics, started.elapsed().as_micros() as u64);
        }
    }

    /// How process `pid`, which lives, came where it is.
    pub(crate) fn stay(&self, pid: i32) -> Option<Stay> {
        lock(&self.stays).get(&pid).cloned()
    }

    fn comes(&self, pid: i32, node: u32, moves: u32) {
        let stay = Stay {
            node,
            since: Instant::now(),
            moves,
            refused: None,
        };
        lock(&self.stays).insert(pid, stay);
    }

    fn moves(&self, pid: i32, node: u32) {
        let moves = self.stay(pid).map_or(0, |stay| stay.moves);
        self.comes(pid, node, moves.saturating_add(1));
    }

    /// A program is executed: what was true of the one before may not be of this one.
    fn executes(&self, pid: i32, node: u32) {
        let stay = self.stay(pid);
        match stay {
            Some(stay) if stay.node == node => {
                let refused = None;
                lock(&self.stays).insert(pid, Stay { refused, ..stay });
            }
            stay => self.comes(pid, node, stay.map_or(0, |stay| stay.moves)),
        }
    }

    /// A private node has so much memory, and so much of it was in use at a moment, in bytes.
    pub(crate) fn memory(&self, node: u32, limit: u64, used: u64) {
        self.note(|statistics, _| statistics.memory(node, limit, used));
    }

    /// It was to move, and goes on where it was.
    pub(crate) fn refused(&self, pid: i32, why: &str) {
        if let Some(stay) = lock(&self.stays).get_mut(&pid) {
            stay.refused = Some(why.to_owned());
        }
    }

    /// A process begins on `node`, as a copy of `parent`.
    pub(crate) fn born(&self, pid: i32, parent: Option<i32>, node: u32) {
        self.comes(pid, node, 0);
        self.note(|statistics, now_us| statistics.born(pid, parent, node, now_us));
    }

    /// A process that has executed a program goes to `node`.
    pub(crate) fn placed(&self, pid: i32, node: u32, page_bytes: u64) {
        self.executes(pid, node);
        let Some(program) = self.program(pid) else {
            return;
        };
        let name = &program.command;
        tracing::info!(target: CALL, "[pid {pid}] +++ {name:?}: to node {node}, {page_bytes} bytes of pages +++");
        self.note(|statistics, now_us| statistics.executed(pid, program, node, None, now_us));
    }

    /// A process that has executed a program runs at home.
    pub(crate) fn stays(&self, pid: i32, reason: &str) {
        self.executes(pid, HOME_NODE);
        let Some(program) = self.program(pid) else {
            return;
        };
        let name = &program.command;
        tracing::info!(target: CALL, "[pid {pid}] +++ {name:?}: at home, {reason} +++");
        let stays = Some(reason.to_owned());
        self.note(|statistics, now_us| {
            statistics.executed(pid, program, HOME_NODE, stays, now_us);
        });
    }

    /// A running process that stopped at `since` goes to `node` with so many
    /// bytes of pages.
    pub(crate) fn departs(&self, pid: i32, node: u32, page_bytes: u64, since: Instant) {
        self.moves(pid, node);
        tracing::info!(target: CALL, "[pid {pid}] +++ goes to node {node}; {page_bytes} bytes of pages +++");
        self.note(|statistics, now_us| {
            statistics.moved(pid, node, None, 0, now_us);
            statistics.stopped(pid, before(now_us, since));
        });
    }

    /// A process that was told to stop at `since` goes from its host to `node` with so many bytes of
    /// pages.
    pub(crate) fn passed_on(&self, pid: i32, node: u32, page_bytes: u64, since: Option<Instant>) {
        self.departs(pid, node, page_bytes, since.unwrap_or_else(Instant::now));
    }

    /// A process that was told to stop at `since` goes on at home, where it came
    /// with so many bytes of pages.
    pub(crate) fn came_home(
        &self,
        pid: i32,
        reason: &str,
        page_bytes: u64,
        since: Option<Instant>,
    ) {
        self.moves(pid, HOME_NODE);
        tracing::info!(target: CALL, "[pid {pid}] +++ comes home, {reason}; {page_bytes} bytes of pages +++");
        self.note(|statistics, now_us| {
            statistics.moved(pid, HOME_NODE, Some(reason.to_owned()), page_bytes, now_us);
            if let Some(since) = since {
                statistics.stopped(pid, before(now_us, since));
                statistics.running(pid, now_us);
            }
        });
    }

    /// All of its memory is where it runs.
    pub(crate) fn complete(&self, pid: i32) {
        tracing::info!(target: CALL, "[pid {pid}] +++ has all of its memory there +++");
        self.note(|statistics, now_us| statistics.complete(pid, now_us));
    }

    /// A process at home is traced by the job no more: in the statistics it runs on.
    pub(crate) fn released(&self, pid: i32) {
        lock(&self.stays).remove(&pid);
        tracing::info!(target: CALL, "[pid {pid}] +++ is released, for another tracer +++");
    }

    /// So many bytes of its image were sent.
    pub(crate) fn shipped(&self, pid: i32, bytes: u64) {
        self.note(|statistics, _| statistics.shipped(pid, bytes));
    }

    /// Its body runs.
    pub(crate) fn running(&self, pid: i32) {
        self.note(|statistics, now_us| statistics.running(pid, now_us));
    }

    /// What its host on `node` has counted of its calls.
    pub(crate) fn called(
        &self,
        pid: i32,
        node: u32,
        forwarded: &[Latencies],
        native: &[(u32, u64)],
    ) {
        self.note(|statistics, _| statistics.called(pid, node, forwarded, native));
    }

    /// A process has ended, with `status` as of wait(2). `is_last`: no other is left; the log has that when
    /// [`Journal::close`] is called.
    pub(crate) fn ended(&self, pid: i32, status: i32, is_last: bool) {
        lock(&self.stays).remove(&pid);
        match is_last {
            true => drop(self.last.set((pid, status))),
            false => log_end(pid, status),
        }
        self.note(|statistics, now_us| statistics.ended(pid, status, now_us));
    }

    /// All lines of the runtimes are in the log, which come by another way than the news of an end.
    pub(crate) fn close(&self) {
        if let Some((pid, status)) = self.last.get() {
            log_end(*pid, *status);
        }
    }

    /// Notes the end of the command and writes the statistics; what has not
    /// ended yet is written as running. Once written there are no more.
    ///
    /// # Errors
    /// In words for the user.
    pub(crate) fn finish(&self, pid: i32, status: i32) -> Result<(), String> {
        self.note(|statistics, now_us| statistics.ended(pid, status, now_us));
        let (Some(file), Some(statistics)) = (&self.file, lock(&self.statistics).take()) else {
            return Ok(());
        };
        let mut text = serde_json::to_vec(&statistics).map_err(|error| error.to_string())?;
        text.push(b'\n');
        let written = if file == "-" {
            io::stderr().lock().write_all(&text)
        } else {
            replace(Path::new(file), &text)
        };
        written.map_err(|error| format!("statistics cannot be written to {file}: {error}"))
    }

    /// The program of a process that stands at its execve, if anybody wants to know.
    fn program(&self, pid: i32) -> Option<Program> {
        if !self.keeps_statistics() && !tracing::enabled!(target: CALL, tracing::Level::INFO) {
            return None;
        }
        // Its end is told next.
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (comm, mut command) = (read("comm"), read("cmdline"));
        command.truncate(COMMAND_BYTES_MAX);
        command.pop_if(|last| *last == 0);
        let words = command.split(|byte| *byte == 0);
        Some(Program {
            comm: String::from_utf8_lossy(comm.trim_ascii_end()).into_owned(),
            command: words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect(),
        })
    }
}

/// The time of `since`, where now is `now_us`.
fn before(now_us: u64, since: Instant) -> u64 {
    now_us.saturating_sub(since.elapsed().as_micros() as u64)
}

/// The end of a process, with `status` as of wait(2).
fn log_end(pid: i32, status: i32) {
    if libc::WIFSIGNALED(status) {
        let (signal, core) = (libc::WTERMSIG(status), libc::WCOREDUMP(status));
        let core = if core { " (core dumped)" } else { "" };
        tracing::info!(target: CALL, "[pid {pid}] +++ killed by {}{core} +++", name(signal));
    } else {
        let code = libc::WEXITSTATUS(status);
        tracing::info!(target: CALL, "[pid {pid}] +++ exited with {code} +++");
    }
}

/// `SIGKILL` and so on; real-time signals have numbers only.
fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.to_string())
}

/// Gives the file this content at once; a pipe or device simply gets it.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        return File::options().write(true).open(path)?.write_all(text);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // What matters is why it could not be written.
        let _ = fs::remove_file(&temporary);
    }
    result
}
