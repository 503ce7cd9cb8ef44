//! Runtimes that run here for jobs of other nodes.

use std::process::{Child, ChildStderr};
use std::sync::Arc;

use anyhow::{Context, ensure};
use lane::setup::RuntimeSetup;
use local::runtime;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::wire::{self, Answer};
use crate::{Daemon, lock};

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
    let (mut child, log) = match launch(daemon, setup, home) {
        Ok(launched) => launched,
        Err(error) => {
            daemon.event(&format!("no guests of {home} here: {error:#}"));
            return wire::send(sender, &Answer::Refused(format!("{error:#}")));
        }
    };
    let pid = child.id();
    daemon.event(&format!("runtime {pid} runs guests of {home}"));
    let mut listening = wire::send(sender, &Answer::Started).is_ok();
    if let Some(log) = log {
        runtime::each_line(log, |line| {
            let text = String::from_utf8_lossy(line).into_owned();
            listening = listening && wire::send(sender, &Answer::Log(text)).is_ok();
        });
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
fn launch(
    daemon: &Daemon,
    setup: &RuntimeSetup,
    home: &str,
) -> anyhow::Result<(Child, Option<ChildStderr>)> {
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
    let (child, log) = runtime::start(&daemon.programs, setup)?;
    runtimes.push(Running {
        pid: child.id(),
        home: home.to_owned(),
    });
    Ok((child, log))
}
