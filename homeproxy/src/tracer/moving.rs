//! Movements that somebody asked for: of one process, of all, from time to time.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use cluster::random::below;

use super::Tracer;
use crate::hosts::Host;

/// Told what came of a movement: pid, and why it goes on where it was.
pub(crate) type Done = Sender<(i32, Result<(), String>)>;

/// Where a process is to go.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// Home.
    Home,
    /// A host, which was ready when this was asked for.
    Host(Arc<Host>),
}

impl Tracer {
    /// A tool wants a process moved, or all of the job that are not there already.
    pub(super) fn move_asked(&mut self, pid: i32, all: bool, to: &Destination, done: &Done) {
        let pids = match all {
            true => self.leaders(),
            false => vec![pid],
        };
        for pid in pids {
            if all && self.is_there(pid, to) {
                continue;
            }
            match self.start_move(pid, to) {
                Ok(()) => self.movers.entry(pid).or_default().push(done.clone()),
                // Fails if the tool is gone.
                Err(why) => drop(done.send((pid, Err(why)))),
            }
        }
    }

    fn start_move(&mut self, pid: i32, to: &Destination) -> Result<(), String> {
        let leader = self.tracees.get(&pid);
        if leader.is_none_or(|leader| leader.pid != pid) {
            return Err("there is no such process in the job".to_owned());
        }
        if let Some(expected) = self.expected.get(&pid) {
            return Err(match &expected.to {
                None => "it is coming home already".to_owned(),
                Some(host) => format!("it is going to node {} already", host.name),
            });
        }
        if self.is_there(pid, to) {
            return Err("it is there already".to_owned());
        }
        let to = match to {
            Destination::Host(host) if !self.is_deputy(pid) => return self.depart(pid, host),
            Destination::Host(host) => {
                host.check()?;
                Some(Arc::clone(host))
            }
            Destination::Home => None,
        };
        if self.has_image(pid) {
            return Err("it is on its way already".to_owned());
        }
        if self.tracees.get(&pid).is_some_and(|leader| leader.stopped) {
            return Err("it is stopped".into());
        }
        let reason = "it was asked to".to_owned();
        self.expect(pid, reason, false, to)
            .map_err(|error| error.to_string())
    }

    /// Whether a process is where it is to go.
    fn is_there(&self, pid: i32, to: &Destination) -> bool {
        let thread = self.tracees.get(&pid).and_then(|t| t.thread.as_ref());
        match (thread, to) {
            (None, Destination::Home) => true,
            (Some(thread), Destination::Host(host)) => thread.deputy.is_at(host),
            _ => false,
        }
    }

    /// What came of a movement, for those who asked for it.
    pub(super) fn moved(&mut self, pid: i32, result: &Result<(), String>) {
        if let Err(why) = result {
            self.job.journal.refused(pid, why);
        }
        for done in self.movers.remove(&pid).unwrap_or_default() {
            // Fails if the tool is gone.
            let _ = done.send((pid, result.clone()));
        }
    }

    fn leaders(&self) -> Vec<i32> {
        let own = self.tracees.iter().filter(|(tid, t)| **tid == t.pid);
        own.map(|(tid, _)| *tid).collect()
    }

    /// Whether a process of the job is on its way, or its memory is.
    pub(super) fn is_moving(&self) -> bool {
        let threads = || self.tracees.values().filter_map(|t| t.thread.as_ref());
        !self.expected.is_empty()
            || !self.departing.is_empty()
            || !self.arriving.is_empty()
            || threads().any(|thread| thread.deputy.kept.is_needed())
            || threads().any(|thread| thread.deputy.is_on_its_way())
    }

    /// Moves every process of the job that can move, to one of the other nodes. In the order of
    /// their pids, so that the same seed gives the same moves as far as the processes allow.
    pub(super) fn shuffle(&mut self) {
        let hosts = self.job.hosts.all_ready();
        let nodes = hosts.into_iter().map(Destination::Host);
        let nodes: Vec<Destination> = std::iter::once(Destination::Home).chain(nodes).collect();
        let mut pids = self.leaders();
        pids.sort_unstable();
        for pid in pids {
            let mut others: Vec<&Destination> = nodes.iter().collect();
            others.retain(|to| !self.is_there(pid, to));
            if others.is_empty() {
                continue;
            }
            let to = others[below(&mut self.random, others.len())];
            if let Err(why) = self.start_move(pid, to) {
                tracing::debug!("process {pid} is not shuffled: {why}");
            }
        }
    }
}
