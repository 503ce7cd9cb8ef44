//! Runtimes that run here for jobs of other nodes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use lane::setup::RuntimeSetup;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::wire::{self, Answer};
use crate::{Daemon, lock};

/// Longest log line that stays in one piece, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A runtime and for whom it runs.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Its process.
    pub(crate) pid: u32,
    /// Name of the job's home node.
    pub(crate) home: String,
}

/// Starts a runtime, tells who asked what it says, and returns when it has ended. It goes on if
/// nobody listens any more: its job has connections of its own.
pub(crate) fn start(
    daemon: &Arc<Daemon>,
    setup: &RuntimeSetup,
    home: &str,
    sender: &mut lane::Sender,
) -> anyhow::Result<()> {
    let mut child = match launch(daemon, setup, home) {
        Ok(child) => child,
        Err(error) => {
            daemon.event(&format!("no guests of {home} here: {error:#}"));
            return wire::send(sender, &Answer::Refused(format!("{error:#}")));
        }
    };
    let pid = child.id();
    daemon.event(&format!("runtime {pid} runs guests of {home}"));
    let mut listening = wire::send(sender, &Answer::Started).is_ok();
    if let Some(errors) = child.stderr.take() {
        let mut errors = BufReader::new(errors);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = Read::take(&mut errors, LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                break;
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            listening = listening && wire::send(sender, &Answer::Log(text)).is_ok();
        }
    }
    let ended = child.wait();
    lock(&daemon.runtimes).retain(|running| running.pid != pid);
    let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    daemon.event(&format!("runtime {pid} of {home} has ended ({ended})"));
    if listening {
        // Nobody listens any more, otherwise.
        let _ = wire::send(sender, &Answer::Ended(ended));
    }
    Ok(())
}

/// Must run on a thread of its own, which gets the CPUs of guests: the runtime inherits them.
fn launch(daemon: &Daemon, setup: &RuntimeSetup, home: &str) -> anyhow::Result<Child> {
    let guests = &daemon.config.guests;
    let mut runtimes = lock(&daemon.runtimes);
    ensure!(
        !daemon.is_closed(),
        "this node is being drained and takes no guests"
    );
    ensure!(
        runtimes.len() < guests.jobs_max as usize,
        "it has guests of {} jobs, which is the most that its configuration allows",
        runtimes.len()
    );
    if let Some(cpus) = &guests.cpus {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(usize::from(*cpu))
                .with_context(|| format!("guests.cpus: there is no CPU {cpu}"))?;
        }
        sched_setaffinity(Pid::from_raw(0), &set).context("give guests the CPUs of guests.cpus")?;
    }
    let program = daemon.programs.join("homenode-runtime");
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    runtimes.push(Running {
        pid: child.id(),
        home: home.to_owned(),
    });
    drop(runtimes);
    if let Some(mut input) = child.stdin.take() {
        let mut line = serde_json::to_vec(setup)?;
        line.push(b'\n');
        // Fails if the runtime has ended already, which is noticed next.
        let _ = input.write_all(&line);
    }
    Ok(child)
}
