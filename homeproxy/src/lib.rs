//! The home proxy: the process at home that traces one job and serves its lanes.
//!
//! | file | concept |
//! |---|---|
//! | `setup.rs` | what mosexec says at the start |
//! | `job.rs` | the job: its deputies, its hosts, what threads ask of the tracer |
//! | `tracer.rs` | the one thread that traces: births, execs, signals, ends |
//! | `tracer/departing.rs` | processes that leave home while they run |
//! | `tracer/placing.rs` | programs after their execve: where they run |
//! | `tracer/passing.rs` | processes that go from one host to another |
//! | `tracer/hearing.rs` | what hosts say of processes; hosts that are lost |
//! | `tracer/ending.rs` | ends of bodies |
//! | `tracer/exiting.rs` | the command's end, held until its statistics are written |
//! | `lanes.rs` | one thread per lane: executes a guest's calls through its deputy |
//! | `tracer/moving.rs` | movements that somebody asked for |
//! | `tracer/listing.rs` | what the tracer knows of all processes |
//! | `checkpoint.rs` | checkpoints: taken, written, read again |
//! | `checkpoint/surroundings.rs` | what a process has at home besides its image |
//! | `tracer/saving.rs` | a process captured for a checkpoint, and made of one |
//! | `control.rs` | what tools ask of a job |
//! | `listing.rs` | what it is told of its processes |
//! | `bodies.rs` | what their bodies have used, as their hosts tell it |
//! | `shipping.rs` | images and pages on their way to a host |
//! | `kept.rs` | memory of a deputy until its body has all of it |
//! | `tracer/returning.rs` | deputies that become their processes again |
//! | `coming.rs` | the image of a process that comes home |
//! | `arriving.rs`, `tracer/arriving.rs` | processes that have come home before their pages |
//! | `direct.rs` | calls that a lane's thread answers itself |
//! | `guesses.rs` | calls that a guest will probably make next |
//! | `journal.rs` | what happens to processes, for the log and the statistics |
//! | `stats.rs` | the statistics of a job |
//! | `procfs.rs` | reads of files in /proc that describe a guest's body |
//! | `proc_text.rs` | those that describe deputy and body: stat, status |
//! | `hosts.rs` | the nodes that programs may run on, each started when it is first used |
//! | `hosts/nodes.rs` | which nodes there are |
//! | `best.rs` | programs that run where the node daemon finds it best |
//! | `needs.rs` | what programs have needed, told to the node daemon |
//! | `hosts/host.rs` | one of them: its state and its control lane |
//! | `hosts/start.rs` | starting its runtime |
//! | `hosts/accept.rs` | its connections |
//! | `inspector.rs` | the lane on which home asks about bodies |
//! | `requests.rs` | numbers of a lane's requests |
//! | `readahead.rs` | files whose content is sent before the guest asks |
//! | `leases.rs` | the leases that make this right |
//! | `mapped.rs` | files that guests have mapped, and the leases on them |
//! | `ushering.rs` | private nodes with a memory limit: what leaves one before its memory runs out |
//! | `limits.rs` | resource limits that serving guests needs |

mod accounts;
mod arriving;
mod best;
mod bodies;
pub mod checkpoint;
mod coming;
mod control;
mod direct;
mod guesses;
#[cfg(test)]
mod hostile;
mod hosts;
mod inspector;
mod job;
mod journal;
mod kept;
mod lanes;
mod leases;
mod limits;
mod listing;
mod mapped;
mod needs;
mod proc_text;
mod procfs;
mod readahead;
mod requests;
pub mod setup;
mod shipping;
mod stats;
mod tracer;
mod ushering;
mod waiting;

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
    lane::log::start(setup.log.as_deref());
    let refusal = limits::raise().err();
    if let Some(limit) = &refusal {
        tracing::info!("the job stays at home: {limit}");
        setup.node = setup::HOME_NODE;
    }
    if setup.best && refusal.is_none() {
        let nodes = hosts::nodes::Nodes::of(&setup);
        let (node, why) = best::first(&setup, &nodes);
        tracing::info!("the command begins on {}: {why}", nodes.name(node));
        setup.node = node;
    }
    let bell = Bell::new().context("prepare to wait for processes")?;
    let job = Arc::new(job::Job::new(setup, bell, refusal));
    let started = sys::features::check(sys::features::Where::Home)
        .map_err(anyhow::Error::msg)
        .and_then(|()| match job.setup.node {
            setup::HOME_NODE => Ok(()),
            node => hosts::reach(&job, node).map(drop),
        })
        .and_then(|()| {
            let path = job.setup.restart.as_ref();
            path.map(|path| checkpoint::Restarted::prepare(path.as_ref(), &job))
                .transpose()
        })
        .and_then(|restart| tracer::Tracer::attach(&job, restart));
    match started {
        Ok(tracer) => {
            channel
                .stream
                .write_all(b"ready\n")
                .context("tell mosexec")?;
            drop(channel);
            control::start(&job);
            checkpoint::start(&job);
            ushering::start(&job);
            if job.setup.shuffle_ms.is_some() {
                hosts::start_all(&job);
            }
            tracer.run()?;
            job.close();
            // A checkpoint that is being written is whole, or gone.
            drop(job::lock(&job.saving));
            if job.setup.log.is_some() {
                job.hosts.finish_logs();
            }
            job.journal.close();
            Ok(())
        }
        Err(error) => {
            let _ = write!(channel.stream, "{error:#}");
            Err(error)
        }
    }
}
