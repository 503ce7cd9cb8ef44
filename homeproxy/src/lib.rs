//! The home proxy: the process at home that traces one job and serves its lanes.
//!
//! | file | concept |
//! |---|---|
//! | `setup.rs` | what mosexec says at the start |
//! | `job.rs` | the job: its deputies, its hosts, what threads ask of the tracer |
//! | `tracer.rs` | the one thread that traces: births, execs, signals, ends |
//! | `lanes.rs` | one thread per lane: executes a guest's calls through its deputy |
//! | `procfs.rs` | reads of files in /proc that describe a guest's body |
//! | `proc_text.rs` | those that describe deputy and body: stat, status |
//! | `hosts.rs` | runtimes on other nodes and the control lanes to them |
//! | `inspector.rs` | the lane on which home asks about bodies |
//! | `limits.rs` | resource limits that serving guests needs |

#[cfg(test)]
mod hostile;
mod hosts;
mod inspector;
mod job;
mod lanes;
mod limits;
mod proc_text;
mod procfs;
pub mod setup;
mod tracer;

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use sys::ready::Bell;

/// Serves one job from the setup on descriptor [`setup::DESCRIPTOR`] to its end.
///
/// # Errors
/// Before the job has started: told to mosexec too, which reports it.
pub fn run() -> anyhow::Result<()> {
    let mut channel =
        setup::Channel::inherited().context("this program is started by mosexec, not by hand")?;
    let mut setup = channel.receive().context("read what mosexec wants")?;
    setup::start_log(setup.log.as_deref());
    if let Err(reason) = limits::raise() {
        tracing::info!("the job stays at home: {reason}");
        setup.node = setup::HOME_NODE;
    }
    let bell = Bell::new().context("prepare to wait for processes")?;
    let job = Arc::new(job::Job::new(&setup, bell)?);
    let started = sys::features::check(sys::features::Where::Home)
        .map_err(anyhow::Error::msg)
        .and_then(|()| hosts::start(&job, &setup))
        .and_then(|()| tracer::Tracer::attach(&job, &setup));
    match started {
        Ok(tracer) => {
            channel
                .stream
                .write_all(b"ready\n")
                .context("tell mosexec")?;
            drop(channel);
            tracer.run()
        }
        Err(error) => {
            let _ = write!(channel.stream, "{error:#}");
            Err(error)
        }
    }
}
