//! Movements that somebody asked for: of one process, of all, from time to time.

use std::sync::mpsc::Sender;

use super::Tracer;
use crate::job::lock;
use crate::setup::HOME_NODE;

/// Told what came of a movement: pid, and why it goes on where it was.
pub(crate) type Done = Sender<(i32, Result<(), String>)>;

impl Tracer {
    /// A tool wants a process moved, or all of the job.
    pub(super) fn move_asked(&mut self, pid: i32, all: bool, to: &str, done: &Done) {
        let pids = match all {
            true => self.leaders(),
            false => vec![pid],
        };
        for pid in pids {
            match self.start_move(pid, to) {
                Ok(()) => self.movers.entry(pid).or_default().push(done.clone()),
                // Fails if the tool is gone.
                Err(why) => drop(done.send((pid, Err(why)))),
            }
        }
    }

    fn start_move(&mut self, pid: i32, to: &str) -> Result<(), String> {
        let node = match to {
            "home" | "best" => HOME_NODE,
            number => number
                .parse()
                .ok()
                .filter(|node| [HOME_NODE, self.job.node].contains(node))
                .ok_or_else(|| match self.job.node {
                    HOME_NODE => format!("there is no node {to}; this job has only node 1, home"),
                    other => format!("there is no node {to}; nodes of this job: 1 (home), {other}"),
                })?,
        };
        if node != HOME_NODE {
            return self.depart(pid);
        }
        if !self.is_deputy(pid) {
            return Err(match self.tracees.contains_key(&pid) {
                true => "it is there already".to_owned(),
                false => "there is no such process in the job".to_owned(),
            });
        }
        if self.expected.contains_key(&pid) {
            return Err("it is coming home already".into());
        }
        if self.tracees.get(&pid).is_some_and(|leader| leader.stopped) {
            return Err("it is stopped".into());
        }
        let reason = "it was asked to".to_owned();
        self.expect(pid, reason, false)
            .map_err(|error| error.to_string())
    }

    /// What came of a movement, for those who asked for it.
    pub(super) fn moved(&mut self, pid: i32, result: &Result<(), String>) {
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
        !self.expected.is_empty()
            || !self.departing.is_empty()
            || lock(&self.job.threads)
                .values()
                .any(|thread| thread.deputy.kept.is_needed())
    }

    /// Moves every process of the job that can move: away, or home.
    pub(super) fn shuffle(&mut self) {
        for pid in self.leaders() {
            let to = match self.is_deputy(pid) {
                true => HOME_NODE,
                false => self.job.node,
            };
            if let Err(why) = self.start_move(pid, &to.to_string()) {
                tracing::debug!("process {pid} is not shuffled: {why}");
            }
        }
    }
}
