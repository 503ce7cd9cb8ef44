//! Running commands: each with a time limit, none outliving the bench.
//!
//! A command gets a process group of its own and a unique [`RUN_ID`] in its environment, by which
//! whatever it started is found again, daemons included. Its output goes to unnamed files, so a
//! process that keeps a descriptor open cannot hold the bench up.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::placement;

/// Environment variable that marks every process of one run.
pub const RUN_ID: &str = "HOMENODE_BENCH_ID";
/// How long the processes of an ended run may take to go away.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Time between two looks at who is left.
const SETTLE_STEP: Duration = Duration::from_millis(5);
/// A child's end is looked for this often even without a signal: other threads may have taken it.
const RECHECK: Duration = Duration::from_millis(100);
/// Longest part of a command's error output worth repeating.
const COMPLAINT_BYTES_MAX: usize = 600;
/// Signals that end the bench.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Why a run gave no result. In every case its processes are gone.
#[derive(Debug)]
pub enum RunError {
    /// The bench was told to end.
    Interrupted(Signal),
    /// This run failed; others may work.
    Failed(String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(signal) => write!(f, "interrupted by {signal}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RunError {}

impl From<anyhow::Error> for RunError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// Program and arguments; never empty.
    pub line: Vec<OsString>,
    /// The core it starts on, and stays on.
    pub core: Option<usize>,
    /// After this it is killed.
    pub limit: Duration,
}

/// What a successful run left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its standard output.
    pub stdout: String,
    /// From before its start to after its end.
    pub took: Duration,
    /// Processes that had to be killed after the command had ended, by name.
    pub left_behind: Vec<String>,
}

/// Starts commands and outlives them all.
#[derive(Debug)]
pub struct Nursery {
    signals: SignalFd,
    directory: PathBuf,
    started: Cell<u32>,
}

impl Nursery {
    /// Takes over SIGCHLD and the signals that end the bench, for the calling thread: call it
    /// before any other thread exists. Output files are made in `directory`.
    pub fn new(directory: &Path) -> anyhow::Result<Self> {
        let mut awaited = SigSet::from(Signal::SIGCHLD);
        for signal in ENDING {
            awaited.add(signal);
        }
        awaited.thread_block().context("blocking signals")?;
        let signals =
            SignalFd::with_flags(&awaited, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .context("making a signalfd")?;
        Ok(Self {
            signals,
            directory: directory.to_owned(),
            started: Cell::new(0),
        })
    }

    /// Runs `job` to its end; anything but status 0 is a failure.
    pub fn run(&self, job: &Job) -> Result<Finished, RunError> {
        self.start(job)?.finish()
    }

    /// Starts `job`.
    pub fn start(&self, job: &Job) -> Result<Running<'_>, RunError> {
        let number = self.started.get() + 1;
        self.started.set(number);
        let run_id = format!("{}-{number}", std::process::id());
        let file = || tempfile::tempfile_in(&self.directory).context("making an output file");
        let (stdout, stderr) = (file()?, file()?);
        let (program, arguments) = job.line.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(RUN_ID, &run_id)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().context("duplicating a descriptor")?)
            .stderr(stderr.try_clone().context("duplicating a descriptor")?);
        let (start, spawned) =
            placement::inherited(job.core, || (Instant::now(), command.spawn()))?;
        let child = spawned.with_context(|| format!("starting {}", program.display()))?;
        Ok(Running {
            nursery: self,
            child,
            run_id,
            stdout,
            stderr,
            start,
            limit: job.limit,
            ended: None,
        })
    }

    /// Waits up to `timeout` for a child to change; an ending signal is an error.
    fn await_signal(&self, timeout: Duration) -> Result<(), RunError> {
        let mut ready = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        // Rounded up, so that a rest of a fraction of a millisecond does not spin.
        let wait =
            PollTimeout::try_from(timeout + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(anyhow::Error::new(error).context("poll").into()),
        }
        while let Some(info) = self.signals.read_signal().context("reading the signalfd")? {
            if let Some(signal) = ENDING
                .into_iter()
                .find(|signal| *signal as u32 == info.ssi_signo)
            {
                return Err(RunError::Interrupted(signal));
            }
        }
        Ok(())
    }
}

/// A command that runs; dropping it kills it and all it started.
#[derive(Debug)]
pub struct Running<'n> {
    nursery: &'n Nursery,
    child: Child,
    run_id: String,
    stdout: File,
    stderr: File,
    start: Instant,
    limit: Duration,
    ended: Option<(ExitStatus, Duration)>,
}

impl Running<'_> {
    /// The value of [`RUN_ID`] in its processes.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Waits until the command has ended, at most for `wait`; true if it has.
    pub fn watch(&mut self, wait: Duration) -> Result<bool, RunError> {
        let until = Instant::now() + wait;
        while self.ended.is_none() {
            if let Some(status) = self.child.try_wait().context("waiting for a command")? {
                self.ended = Some((status, self.start.elapsed()));
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.nursery.await_signal(left.min(RECHECK))?;
        }
        Ok(true)
    }

    /// Waits for the end of the command and of whatever it started.
    pub fn finish(mut self) -> Result<Finished, RunError> {
        self.watch(self.limit.saturating_sub(self.start.elapsed()))?;
        let Some((status, took)) = self.ended else {
            let said = complaint(&mut self.stderr);
            return Err(RunError::Failed(format!(
                "no end within {} s{said}",
                self.limit.as_secs()
            )));
        };
        let left_behind = settle(&self.run_id);
        if !status.success() {
            return Err(RunError::Failed(format!(
                "{status}{}",
                complaint(&mut self.stderr)
            )));
        }
        let mut stdout = String::new();
        self.stdout
            .seek(SeekFrom::Start(0))
            .context("rewinding the output")?;
        self.stdout
            .read_to_string(&mut stdout)
            .context("reading the output")?;
        Ok(Finished {
            stdout,
            took,
            left_behind,
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Not reaped yet, so the group is still ours; it can only be gone already.
            let _ = killpg(
                Pid::from_raw(self.child.id().cast_signed()),
                Signal::SIGKILL,
            );
            let _ = self.child.wait();
            settle(&self.run_id);
        }
    }
}

/// The end of the error output, as part of a message.
fn complaint(stderr: &mut File) -> String {
    let mut bytes = Vec::new();
    if stderr
        .seek(SeekFrom::Start(0))
        .and_then(|_| stderr.read_to_end(&mut bytes))
        .is_err()
        || bytes.is_empty()
    {
        return String::new();
    }
    let tail = &bytes[bytes.len().saturating_sub(COMPLAINT_BYTES_MAX)..];
    format!(
        ": {}",
        String::from_utf8_lossy(tail).trim().replace('\n', "; ")
    )
}

/// Waits for the processes of a run to go away, then kills what is left; their names.
fn settle(run_id: &str) -> Vec<String> {
    let until = Instant::now() + SETTLE_MAX;
    while Instant::now() < until {
        if processes_of(run_id).is_empty() {
            return Vec::new();
        }
        std::thread::sleep(SETTLE_STEP);
    }
    let left = processes_of(run_id);
    let names = left.iter().map(|process| process.program.clone()).collect();
    for process in left {
        // It can only be gone already.
        let _ = kill(process.pid, Signal::SIGKILL);
    }
    names
}

/// A living process of a run.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid here.
    pub pid: Pid,
    /// File name of its executable, as it was when it started.
    pub program: String,
}

/// Living processes that carry `run_id` in their environment, as far as this user may look.
pub fn processes_of(run_id: &str) -> Vec<Process> {
    let mark = format!("{RUN_ID}={run_id}").into_bytes();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        // A zombie's environment reads as empty: it is no living process.
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let marked = environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark);
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
        let program = program
            .as_deref()
            .map_or_else(|| "?".to_owned(), program_name);
        marked.then(|| Process {
            pid: Pid::from_raw(pid),
            program,
        })
    })
    .collect()
}

/// File name of what /proc/PID/exe shows: also of deleted and of nameless files.
fn program_name(executable: &Path) -> String {
    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    name.strip_prefix("memfd:").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Job {
        Job {
            line: vec!["/bin/sh".into(), "-c".into(), script.into()],
            core: None,
            limit,
        }
    }

    /// One test: signals are taken over for its thread only.
    #[test]
    fn runs_end_and_leave_nothing() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let nursery = Nursery::new(directory.path())?;

        let done = nursery.run(&shell("echo out; echo err >&2", Duration::from_secs(5)))?;
        assert_eq!(done.stdout, "out\n");
        assert!(done.left_behind.is_empty());

        let failed = nursery.run(&shell("echo reason >&2; exit 3", Duration::from_secs(5)));
        assert!(
            matches!(&failed, Err(RunError::Failed(why)) if why.contains("3: reason")),
            "{failed:?}"
        );

        let start = Instant::now();
        let late = nursery.run(&shell("sleep 60 & sleep 60", Duration::from_millis(200)));
        assert!(
            matches!(&late, Err(RunError::Failed(why)) if why.contains("no end")),
            "{late:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(5));

        let daemon = nursery.run(&shell("setsid sleep 60 & exit 0", Duration::from_secs(5)))?;
        assert_eq!(daemon.left_behind, ["sleep"]);

        for number in 1..=nursery.started.get() {
            std::thread::sleep(Duration::from_millis(20));
            assert!(processes_of(&format!("{}-{number}", std::process::id())).is_empty());
        }
        Ok(())
    }

    #[test]
    fn program_names_survive_deletion_and_memfd() {
        assert_eq!(
            program_name(Path::new("/x/homenode-runtime")),
            "homenode-runtime"
        );
        assert_eq!(
            program_name(Path::new("/x/homenode-runtime (deleted)")),
            "homenode-runtime"
        );
        assert_eq!(
            program_name(Path::new("/memfd:homenode-runtime (deleted)")),
            "homenode-runtime"
        );
    }
}
