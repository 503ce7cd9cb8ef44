//! What the tracer knows of all processes, for tools that ask. It only looks at what it has in memory.

use std::sync::Arc;

use super::Tracer;
use crate::job::Deputy;

/// A process as the tracer knows it.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Its pid.
    pub(crate) pid: i32,
    /// If its user code is elsewhere.
    pub(crate) deputy: Option<Arc<Deputy>>,
    /// Why it stays at home until it executes another program.
    pub(crate) bound: Option<String>,
    /// In a group-stop.
    pub(crate) is_stopped: bool,
    /// On its way, or its memory is.
    pub(crate) is_moving: bool,
}

impl Tracer {
    /// All processes of the job, by pid.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let leaders = self.tracees.iter().filter(|(tid, t)| **tid == t.pid);
        let mut seen: Vec<Seen> = leaders
            .map(|(pid, leader)| {
                let deputy = leader.thread.as_ref().map(|t| Arc::clone(&t.deputy));
                let arrives = deputy
                    .as_ref()
                    .is_some_and(|deputy| deputy.is_on_its_way() || deputy.kept.is_needed());
                Seen {
                    pid: *pid,
                    bound: leader.bound.clone(),
                    is_stopped: leader.stopped,
                    is_moving: arrives
                        || self.expected.contains_key(pid)
                        || self.departing.contains_key(pid)
                        || self.arriving.contains_key(pid),
                    deputy,
                }
            })
            .collect();
        seen.sort_unstable_by_key(|process| process.pid);
        seen
    }
}
