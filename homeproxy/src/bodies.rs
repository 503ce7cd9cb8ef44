//! What the bodies on a host use, as the host tells it when a tool asks.
//!
//! A host that stands still answers nothing, and its lane cannot be given up: a thread of its own asks, at
//! most one for each host, and who wants to know waits for it only so long.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use lane::inspect::{BodyFile, Doing, Question};

use crate::hosts::Host;
use crate::job::lock;
use crate::lanes::LANE_STACK_BYTES;
use crate::proc_text::Usage;

/// What is known of the bodies of one host.
#[derive(Default)]
pub(crate) struct Bodies {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// A thread asks.
    is_asking: bool,
    /// By pid at home.
    known: HashMap<i32, Usage>,
}

impl Bodies {
    /// Waits until the host has been asked, but not longer than `until`. What was known before is given
    /// for bodies that it has not told of by then.
    pub(crate) fn wait(&self, until: Instant) -> HashMap<i32, Usage> {
        let state = lock(&self.state);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self
            .changed
            .wait_timeout_while(state, left, |state| state.is_asking);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.known.clone()
    }
}

/// Starts to ask `host` about these bodies, given in order, unless it is being asked already.
pub(crate) fn ask(host: &Arc<Host>, pids: Vec<i32>) {
    {
        let mut state = lock(&host.bodies.state);
        if state.is_asking {
            return;
        }
        state.is_asking = true;
        state.known.retain(|pid, _| pids.binary_search(pid).is_ok());
    }
    let asked = Arc::clone(host);
    let started = thread::Builder::new()
        .name("bodies".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || {
            for pid in pids {
                let usage = usage(&asked, pid);
                let mut state = lock(&asked.bodies.state);
                match usage {
                    Some(usage) => drop(state.known.insert(pid, usage)),
                    None => drop(state.known.remove(&pid)),
                }
            }
            finish(&asked.bodies);
        });
    if let Err(error) = started {
        tracing::warn!("no thread to ask node {}: {error}", host.name);
        finish(&host.bodies);
    }
}

fn finish(bodies: &Bodies) {
    lock(&bodies.state).is_asking = false;
    bodies.changed.notify_all();
}

fn usage(host: &Host, pid: i32) -> Option<Usage> {
    let question = Question {
        tid: pid,
        of_thread: false,
        file: BodyFile::Stat,
        doing: Doing::Text,
        position: 0,
        bytes: 0,
    };
    let (_, text) = host.inspector.ask(&question, &[])?;
    Usage::of(&String::from_utf8_lossy(&text))
}
