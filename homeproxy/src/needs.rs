//! What the programs of the job have needed: kept of each process while it lives, and told to the node
//! daemon at its end, which learns from it where such programs had better run.
//!
//! A program that has ended on a host has told the host's kernel what it needed, and that has told us.
//! The tracer does not wait for the daemon: a thread of its own tells it.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use image::cpu_time::CpuTime;
use local::daemon::{self, Client, Request};

use crate::best;
use crate::lanes::LANE_STACK_BYTES;

/// Runs that wait to be told. If there are more, the daemon learns nothing of them.
const WAITING_MAX: usize = 256;
/// Of those so many are told at once, or those that come in so much time.
const TOLD_MAX: usize = 64;
const GATHER: Duration = Duration::from_millis(50);
/// Longest time that the daemon may take for that.
const TELL_TIMEOUT: Duration = Duration::from_millis(100);
/// Longest time that the home proxy lives on for the last ones.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// What one process has needed for the program that it executes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Run {
    /// CPU time that the kernel here had counted when it left home.
    at_home_ns: u64,
    /// CPU time by node number.
    away_ns: BTreeMap<u32, u64>,
    /// Most memory on any host, in bytes.
    peak_bytes: u64,
    /// Calls that were forwarded from hosts that it has left.
    calls: u64,
    /// So many ends of bodies are yet to be heard of that executed its earlier programs.
    former: u32,
}

/// What the processes of a job have needed.
pub(crate) struct Needs {
    of: HashMap<i32, Run>,
    teller: Teller,
}

/// A process has ended.
pub(crate) struct End<'a> {
    /// The process, which still has its memory's file and arguments.
    pub(crate) pid: i32,
    /// Calls that it has forwarded from where it was last.
    pub(crate) calls: u64,
    /// Names of nodes.
    pub(crate) name: &'a dyn Fn(u32) -> String,
}

impl Needs {
    /// Of a job of a cluster, whose daemon learns from it; of another nothing is kept.
    pub(crate) fn new(is_learned: bool) -> Needs {
        Needs {
            of: HashMap::new(),
            teller: match is_learned {
                true => Teller::Idle,
                false => Teller::None,
            },
        }
    }

    /// A process has executed another program.
    pub(crate) fn executed(&mut self, pid: i32) {
        let former = self.of.remove(&pid).map_or(0, |run| run.former);
        if former > 0 {
            self.run(pid).former = former;
        }
    }

    /// What the body of a process's earlier program has used is yet to be heard.
    pub(crate) fn replaces(&mut self, pid: i32) {
        let run = self.run(pid);
        run.former = run.former.saturating_add(1);
    }

    /// A process leaves home, where it has used so much since it began.
    pub(crate) fn departs(&mut self, pid: i32, used: CpuTime) {
        self.run(pid).at_home_ns = used.total_ns();
    }

    /// A process has left node `node`, where it has used so much and forwarded so many calls.
    pub(crate) fn left(&mut self, pid: i32, node: u32, used: CpuTime, calls: u64) {
        let run = self.run(pid);
        let away = run.away_ns.entry(node).or_default();
        *away = away.saturating_add(used.total_ns());
        run.calls = run.calls.saturating_add(calls);
    }

    /// What a host on node `node` has said of a body that has ended, or is about to leave.
    pub(crate) fn used(&mut self, pid: i32, node: u32, used: CpuTime, peak_bytes: u64) {
        let run = self.run(pid);
        if run.former > 0 {
            run.former -= 1;
            return;
        }
        run.peak_bytes = run.peak_bytes.max(peak_bytes);
        self.left(pid, node, used, 0);
    }

    /// A process has ended on a host, which has told all.
    pub(crate) fn ended_away(&mut self, end: &End<'_>) {
        if self.is_learned() {
            let run = self.of.remove(&end.pid).unwrap_or_default();
            // What was forwarded is known; what would have been before it left is guessed.
            let guessed = match run.at_home_ns {
                0 => 0,
                _ => local::calls::at_home(end.pid),
            };
            self.tell(end, run, guessed, 0.0, 0);
        }
    }

    /// A process is about to end at home, where it has used so much.
    pub(crate) fn ends_here(&mut self, end: &End<'_>, cpu: f64, peak_bytes: u64) {
        if self.is_learned() {
            let run = self.of.remove(&end.pid).unwrap_or_default();
            let run = Run {
                at_home_ns: 0,
                ..run
            };
            self.tell(end, run, local::calls::at_home(end.pid), cpu, peak_bytes);
        }
    }

    /// A process is gone.
    pub(crate) fn forget(&mut self, pid: i32) {
        self.of.remove(&pid);
    }

    /// The job is over: waits until the daemon has been told, but not for ever.
    pub(crate) fn finish(&mut self) {
        self.teller.finish();
    }

    fn is_learned(&self) -> bool {
        !matches!(self.teller, Teller::None)
    }

    fn run(&mut self, pid: i32) -> &mut Run {
        self.of.entry(pid).or_default()
    }

    /// Of what is told of calls, one kind is among the other: calls that came home were made here.
    fn tell(&mut self, end: &End<'_>, run: Run, guessed: u64, cpu: f64, peak_bytes: u64) {
        let (executable, arguments) = best::program(end.pid);
        let seconds = |ns: u64| ns as f64 / 1e9;
        let away = run.away_ns.iter();
        let calls = run.calls.saturating_add(end.calls);
        self.teller.tell(daemon::Run {
            executable: executable.to_string_lossy().into_owned(),
            arguments,
            cpu: cpu + seconds(run.at_home_ns),
            away: away
                .map(|(node, ns)| ((end.name)(*node), seconds(*ns)))
                .collect(),
            memory: peak_bytes.max(run.peak_bytes),
            calls: calls.max(guessed),
        });
    }
}

/// The thread that tells.
enum Teller {
    /// Nobody wants to know.
    None,
    /// It has had nothing to do yet.
    Idle,
    Works {
        runs: SyncSender<daemon::Run>,
        /// Closed when it has ended.
        over: Receiver<()>,
    },
}

impl Teller {
    fn tell(&mut self, run: daemon::Run) {
        if matches!(self, Teller::Idle) {
            *self = Teller::start();
        }
        let Teller::Works { runs, .. } = self else {
            return;
        };
        if let Err(TrySendError::Full(_)) = runs.try_send(run) {
            tracing::debug!("the node daemon is slow: it does not learn of a run");
        }
    }

    fn start() -> Teller {
        let (runs, waiting) = mpsc::sync_channel(WAITING_MAX);
        let (end, over) = mpsc::channel();
        let started = thread::Builder::new()
            .name("needs".into())
            .stack_size(LANE_STACK_BYTES)
            .spawn(move || {
                let _end: mpsc::Sender<()> = end;
                while let Ok(first) = waiting.recv() {
                    let runs = gather(first, &waiting);
                    let told = Client::connect().and_then(|client| {
                        client.within(TELL_TIMEOUT)?.tell(&Request::Ran { runs })
                    });
                    if let Err(error) = told {
                        tracing::debug!("tell what programs needed: {error:#}");
                    }
                }
            });
        match started {
            Ok(_) => Teller::Works { runs, over },
            Err(error) => {
                tracing::warn!("no thread to tell what programs need: {error}");
                Teller::None
            }
        }
    }

    fn finish(&mut self) {
        let Teller::Works { runs, over } = std::mem::replace(self, Teller::None) else {
            return;
        };
        drop(runs);
        if let Err(RecvTimeoutError::Timeout) = over.recv_timeout(FINISH_TIMEOUT) {
            tracing::debug!("the node daemon does not learn of the last runs");
        }
    }
}

/// The first of some runs, and those that come soon after it.
fn gather(first: daemon::Run, waiting: &Receiver<daemon::Run>) -> Vec<daemon::Run> {
    let until = Instant::now() + GATHER;
    let mut runs = vec![first];
    while runs.len() < TOLD_MAX {
        let left = until.saturating_duration_since(Instant::now());
        match waiting.recv_timeout(left) {
            Ok(run) => runs.push(run),
            Err(_) => break,
        }
    }
    runs
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    const PID: i32 = 7;

    fn second(n: u64) -> CpuTime {
        CpuTime {
            user_ns: n * 1_000_000_000,
            system_ns: 0,
        }
    }

    #[test]
    fn all_that_a_process_has_used_anywhere_is_added_up() {
        let mut needs = Needs::new(true);
        needs.departs(PID, second(1));
        // It leaves node 2, whose word may come before its image or after it.
        needs.used(PID, 2, CpuTime::default(), 300);
        needs.left(PID, 2, second(2), 10);
        needs.left(PID, 3, second(3), 5);
        needs.used(PID, 3, second(4), 200);
        let run = needs.of.get(&PID).unwrap();
        assert_eq!(run.at_home_ns, 1_000_000_000);
        let away = BTreeMap::from([(2, 2_000_000_000), (3, 7_000_000_000)]);
        assert_eq!((&run.away_ns, run.peak_bytes, run.calls), (&away, 300, 15));
        needs.forget(PID);
        assert!(needs.of.is_empty());
    }

    #[test]
    fn what_earlier_programs_have_used_is_not_this_ones() {
        let mut needs = Needs::new(true);
        needs.left(PID, 2, second(9), 99);
        // Two programs one after the other, before anything was heard.
        for _ in 0..2 {
            needs.executed(PID);
            needs.replaces(PID);
        }
        needs.used(PID, 2, second(5), 500);
        needs.used(PID, 2, second(6), 600);
        needs.used(PID, 2, second(1), 100);
        let expected = Run {
            away_ns: BTreeMap::from([(2, 1_000_000_000)]),
            peak_bytes: 100,
            ..Run::default()
        };
        assert_eq!(needs.of.get(&PID), Some(&expected));
        needs.executed(PID);
        assert!(needs.of.is_empty());
    }

    #[test]
    fn figures_of_hosts_do_not_overflow() {
        let mut needs = Needs::new(true);
        let much = CpuTime {
            user_ns: u64::MAX,
            system_ns: u64::MAX,
        };
        for _ in 0..2 {
            needs.left(PID, 2, much, u64::MAX);
            needs.used(PID, 2, much, u64::MAX);
        }
        assert_eq!(needs.of.get(&PID).unwrap().calls, u64::MAX);
    }
}
