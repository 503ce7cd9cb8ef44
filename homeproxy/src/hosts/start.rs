//! Starting a runtime: on this machine, or on another by the node daemons.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use lane::setup::RuntimeSetup;
use local::daemon::{Client, Request};
use local::runtime::{self, LINE_BYTES_MAX};

use crate::job::lock;
use crate::lanes::LANE_STACK_BYTES;

/// Longest time that its last log lines may take after the job.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// A runtime that has been started and told what to do. It says by its control lane that it is ready.
pub(super) struct Runtime {
    /// `None`: it is on another machine.
    child: Option<Child>,
    log: Log,
}

/// Starts the runtime of a node of the cluster: the node daemon here asks the one there.
pub(super) fn by_daemon(node: &str, told: RuntimeSetup) -> anyhow::Result<Runtime> {
    let request = Request::Start {
        node: node.to_owned(),
        setup: Box::new(told),
    };
    let (_, log) = Client::connect()?.ask_and_listen(&request)?;
    Ok(Runtime {
        child: None,
        log: Log::of(Box::new(log))?,
    })
}

/// Starts the runtime of a node of a private cluster: another process on this machine.
pub(super) fn on_this_machine(programs: &str, told: &RuntimeSetup) -> anyhow::Result<Runtime> {
    let (child, errors) = runtime::start(Path::new(programs), told)?;
    let errors: Box<dyn Read + Send> = match errors {
        Some(errors) => Box::new(errors),
        None => Box::new(std::io::empty()),
    };
    let log = Log::of(errors)?;
    Ok(Runtime {
        child: Some(child),
        log,
    })
}

impl Runtime {
    /// Its process, if that is on this machine.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        match &mut self.child {
            // ECHILD: it has, and the tracer has reaped it.
            Some(child) => !matches!(child.try_wait(), Ok(None)),
            None => lock(&self.log.lines).has_ended,
        }
    }

    /// It did not become ready: ends it. Returns what it has said of that.
    pub(super) fn give_up(mut self) -> String {
        let ended = self.has_ended();
        if let Some(child) = self.child.as_mut().filter(|_| !ended) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A runtime elsewhere ends by itself when it finds home gone.
        if self.child.is_some() || ended {
            let _ = self.log.ended.recv_timeout(LOG_TIMEOUT);
        }
        let lines = lock(&self.log.lines);
        match String::from_utf8_lossy(&lines.kept).trim() {
            "" => "its runtime ended, or was silent for too long".to_owned(),
            why => why.to_owned(),
        }
    }

    /// Its log lines go where ours go from now on.
    pub(super) fn log(self) -> Log {
        self.log.pass_on();
        self.log
    }
}

/// Log lines of a runtime: kept until it is ready, then written where ours go.
pub(crate) struct Log {
    lines: Arc<Mutex<Lines>>,
    /// Tells that there are no more.
    ended: mpsc::Receiver<()>,
}

#[derive(Default)]
struct Lines {
    /// No more than [`LINE_BYTES_MAX`] or so.
    kept: Vec<u8>,
    is_passed_on: bool,
    has_ended: bool,
}

impl Lines {
    /// Whole lines, so that they do not mix with ours.
    fn take(&mut self, line: &[u8]) {
        if self.is_passed_on {
            // Nobody can be told if this fails.
            let _ = std::io::stderr().write_all(line);
        } else if self.kept.len() < LINE_BYTES_MAX as usize {
            self.kept.extend(line);
        }
    }
}

impl Log {
    fn of(log: Box<dyn Read + Send>) -> anyhow::Result<Log> {
        let (end, ended) = mpsc::channel();
        let lines = Arc::new(Mutex::new(Lines::default()));
        let taking = Arc::clone(&lines);
        thread::Builder::new()
            .name("log".into())
            .stack_size(LANE_STACK_BYTES)
            .spawn(move || {
                runtime::each_line(log, |line| lock(&taking).take(line));
                lock(&taking).has_ended = true;
                // Nobody waits any more.
                let _ = end.send(());
            })?;
        Ok(Log { lines, ended })
    }

    fn pass_on(&self) {
        let mut lines = lock(&self.lines);
        lines.is_passed_on = true;
        let kept = std::mem::take(&mut lines.kept);
        lines.take(&kept);
    }

    /// Waits until the runtime has ended and its last line is written.
    pub(super) fn finish(self) {
        // On time-out its last lines are lost.
        let _ = self.ended.recv_timeout(LOG_TIMEOUT);
    }
}
