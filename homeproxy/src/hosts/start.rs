//! Starting a runtime: here on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use lane::setup::RuntimeSetup;

use crate::lanes::LANE_STACK_BYTES;

/// Longest time that its last log lines may take after the job.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest log line that stays in one piece, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A runtime that has been started and told what to do. It says by its control lane that it is ready.
pub(super) struct Runtime {
    child: Child,
    errors: Option<ChildStderr>,
}

/// Starts the runtime of a node of a private cluster: another process on this machine.
pub(super) fn on_this_machine(programs: &str, told: &RuntimeSetup) -> anyhow::Result<Runtime> {
    let program = format!("{programs}/homenode-runtime");
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program} for node {}", told.node))?;
    if let Some(mut input) = child.stdin.take() {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        // Fails if the runtime has ended already, which is noticed next.
        let _ = input.write_all(&line);
    }
    let errors = child.stderr.take();
    Ok(Runtime { child, errors })
}

impl Runtime {
    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        // ECHILD: it has, and the tracer has reaped it.
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// It did not become ready: ends it. Returns what it has said of that.
    pub(super) fn give_up(mut self) -> String {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let mut why = String::new();
        if let Some(mut errors) = self.errors {
            let _ = errors.read_to_string(&mut why);
        }
        match why.trim() {
            "" => "its runtime ended, or was silent for too long".to_owned(),
            why => why.to_owned(),
        }
    }

    /// Its log lines go where ours go from now on.
    pub(super) fn log(self) -> anyhow::Result<Option<Log>> {
        self.errors.map(Log::of).transpose()
    }
}

/// Log lines of a runtime that go where ours go.
pub(crate) struct Log {
    /// Tells that there are no more.
    ended: mpsc::Receiver<()>,
}

impl Log {
    fn of(runtime: ChildStderr) -> anyhow::Result<Log> {
        let (end, ended) = mpsc::channel();
        thread::Builder::new()
            .name("log".into())
            .stack_size(LANE_STACK_BYTES)
            .spawn(move || {
                pass_lines_on(runtime);
                // Nobody waits any more.
                let _ = end.send(());
            })?;
        Ok(Log { ended })
    }

    /// Waits until the runtime has ended and its last line is written.
    pub(super) fn finish(self) {
        // On time-out its last lines are lost.
        let _ = self.ended.recv_timeout(LOG_TIMEOUT);
    }
}

/// Whole lines, so that they do not mix with ours.
fn pass_lines_on(from: ChildStderr) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = Read::take(&mut from, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || std::io::stderr().write_all(&line).is_err() {
            return;
        }
    }
}
