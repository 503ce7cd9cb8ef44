//! What came out of a simulation, and the table of all.

use std::fmt::Write;

use crate::sim::policy::Policy;
use crate::sim::world::{Fate, Nanos, Process, SECOND};

/// What came out of one run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Seconds from start to end ÷ CPU seconds at reference speed, of each process that ended,
    /// sorted. Processes that were not done when the simulation ended count with what they have so
    /// far.
    pub slowdowns: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Processes that were done.
    pub done: u64,
    /// Processes that ended with a failed node.
    pub lost: u64,
    /// Processes that were not started, since their home was down.
    pub never_started: u64,
    /// Processes that were not done when the simulation ended.
    pub unfinished: u64,
    /// Programs started elsewhere and processes moved.
    pub moved: u64,
    /// Moves of one process that had run before, mean.
    pub moves_each: f64,
    /// Most moves of one process.
    pub moves_most: u32,
    /// Offers made, and those that were refused or not answered.
    pub offers: u64,
    /// See `offers`.
    pub refused: u64,
    /// Offers that home took back.
    pub taken_back: u64,
    /// Node-seconds with more memory in use than there is.
    pub seconds_over_memory: f64,
    /// Longest of them in a row.
    pub longest_over_memory: f64,
    /// Processes that ran on two nodes at once: there must not be any.
    pub doubled: u64,
    /// When a process last began to run on another node, in seconds.
    pub last_move: f64,
    /// Nodes whose memory did not suffice at the end.
    pub over_memory_at_end: u64,
    /// Simulated seconds.
    pub seconds: f64,
}

impl Outcome {
    pub(crate) fn finish(&mut self, processes: &[Process], now: Nanos) {
        let mut moves = 0u64;
        for p in processes {
            self.doubled += u64::from(p.runs_most > 1);
            moves += u64::from(p.moves);
            self.moves_most = self.moves_most.max(p.moves);
            let ended = match p.fate {
                Fate::Coming => continue,
                Fate::Lost => {
                    self.lost += 1;
                    continue;
                }
                Fate::Done => {
                    self.done += 1;
                    p.ended
                }
                Fate::There => {
                    self.unfinished += 1;
                    now
                }
            };
            let at = p.job.at.as_nanos() as Nanos;
            let took = ended.saturating_sub(at) as f64 / SECOND as f64;
            self.slowdowns.push(took / p.job.need.cpu);
        }
        self.slowdowns.sort_by(f64::total_cmp);
        let count = self.slowdowns.len().max(1) as f64;
        self.mean = self.slowdowns.iter().sum::<f64>() / count;
        self.moves_each = moves as f64 / count;
        self.lost -= self.never_started.min(self.lost);
        self.seconds = now as f64 / SECOND as f64;
    }

    /// The slowdown that this share of processes does not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = (self.slowdowns.len() as f64 * share) as usize;
        let last = self.slowdowns.len().saturating_sub(1);
        self.slowdowns.get(at.min(last)).copied().unwrap_or(0.0)
    }
}

/// The table of all policies, as Markdown.
pub fn table(outcomes: &[(Policy, Outcome)]) -> String {
    let best = outcomes
        .iter()
        .find(|(p, _)| *p == Policy::Omniscient)
        .map(|(_, o)| o.mean);
    let mut text = String::from(
        "| policy | mean slowdown | ÷ omniscient | median | 99 % | moves and remote starts | refused | seconds over memory | not done |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (policy, o) in outcomes {
        let ratio = best.map_or("".into(), |b| format!("{:.3}", o.mean / b));
        let _ = writeln!(
            text,
            "| {} | {:.3} | {ratio} | {:.2} | {:.1} | {} | {:.1} % | {:.0} | {} |",
            policy.name(),
            o.mean,
            o.quantile(0.5),
            o.quantile(0.99),
            o.moved,
            100.0 * o.refused as f64 / o.offers.max(1) as f64,
            o.seconds_over_memory,
            o.unfinished,
        );
    }
    text
}
