//! What is known of this node's processes from one look to the next: what they use and how often they
//! forward a call, from the differences. Values in, values out.

use std::collections::HashMap;
use std::time::Duration;

use cluster::candidates::Rules;
use cluster::load::{Features, Load, NodeId};
use cluster::program::Need;
use local::job::{self, Kept, Process};

/// A process wants a core if it has used this share of what each of those gets that want one.
const WANTS_SHARE: f64 = 0.2;
/// Less CPU time, in seconds, tells nothing of how often a process calls.
const TELLING_SECONDS: f64 = 0.05;
/// Time until it is tried again to move a process that could not; twice as long after each failure.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// No longer than RETRY_AFTER so often doubled: some four minutes.
const DOUBLINGS_MAX: u32 = 7;

/// A process as it was looked at last, in the policy's words.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    /// Its home proxy.
    pub(crate) proxy: i32,
    /// Its name, fit for a line of text.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) here: NodeId,
    /// What it needs; no CPU time if it does not want a core.
    pub(crate) need: Need,
    /// CPU time it has used, in seconds at reference speed; none if it does not want a core.
    pub(crate) used: f64,
    /// When it came there.
    pub(crate) since: Duration,
    /// What its user has said.
    pub(crate) rules: Rules,
    /// It is on its way.
    pub(crate) leaving: bool,
    /// Bytes by which it grows in a second, for who has looked before to fill in.
    pub(crate) growth: f64,
}

/// What a look has found beside the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    /// The process.
    pub(crate) process: &'a Process,
    /// What its user has said of its job.
    pub(crate) kept: Kept,
    /// Load of the node where it runs.
    pub(crate) here: &'a Load,
    /// Calls that would be forwarded if it were elsewhere, or are, since it began or came.
    pub(crate) calls: u64,
    /// What programs like it need.
    pub(crate) expected: Need,
    /// The present.
    pub(crate) now: Duration,
}

/// What is remembered of a process.
#[derive(Debug, Clone)]
struct Record {
    began: u64,
    /// When it was looked at.
    at: Duration,
    here: NodeId,
    cpu: f64,
    /// CPU time and calls when it was last told from them how often it calls.
    told: (f64, u64),
    /// CPU time in seconds at reference speed.
    used: f64,
    /// Calls for each of those.
    calls_each: Option<f64>,
    wants: bool,
    failures: u32,
    not_before: Duration,
}

/// What is remembered of all of this node's processes that live.
#[derive(Debug, Default)]
pub(crate) struct Looks(HashMap<i32, Record>);

impl Looks {
    /// Forgets all but these processes.
    pub(crate) fn retain(&mut self, lives: impl Fn(i32) -> bool) {
        self.0.retain(|pid, _| lives(*pid));
    }

    /// It was tried to move this process.
    pub(crate) fn tried(&mut self, pid: i32, has_moved: bool, now: Duration) {
        let Some(record) = self.0.get_mut(&pid) else {
            return;
        };
        if has_moved {
            record.failures = 0;
            return;
        }
        let wait = RETRY_AFTER * 2_u32.pow(record.failures.min(DOUBLINGS_MAX));
        record.not_before = now + wait;
        record.failures += 1;
    }

    /// Takes in what is seen of a process now.
    pub(crate) fn look(&mut self, look: &Look<'_>, proxy: i32, leaving: bool) -> Looked {
        let process = look.process;
        let record = self.0.entry(process.pid);
        let record = record.or_insert_with(|| Record::first(look));
        if record.began != process.began {
            *record = Record::first(look);
        }
        record.add(look);
        let needed = match record.wants {
            true => look.expected.cpu,
            false => 0.0,
        };
        Looked {
            proxy,
            name: name(&process.command),
            here: look.here.node,
            need: Need {
                cpu: needed,
                memory: process.memory.unwrap_or(look.expected.memory),
                calls: record.calls_each.unwrap_or(look.expected.calls),
                features: Features::default(),
            },
            used: if record.wants { record.used } else { 0.0 },
            since: look.now.saturating_sub(seconds(process.stay)),
            rules: Rules {
                locked: look.kept == Kept::Locked || process.bound || look.now < record.not_before,
                home: look.kept == Kept::Home,
                allowed: None,
            },
            leaving: leaving || process.moving,
            growth: 0.0,
        }
    }
}

impl Record {
    fn first(look: &Look<'_>) -> Record {
        let process = look.process;
        Record {
            began: process.began,
            at: look.now,
            here: look.here.node,
            cpu: process.cpu_there.unwrap_or(0.0),
            told: (process.cpu_there.unwrap_or(0.0), look.calls),
            used: sane(process.cpu) * f64::from(look.here.speed),
            calls_each: None,
            wants: false,
            failures: 0,
            not_before: Duration::ZERO,
        }
    }

    fn add(&mut self, look: &Look<'_>) {
        // A host that does not answer: as if there had been no look.
        let Some(cpu) = look.process.cpu_there.map(sane) else {
            self.wants = false;
            return;
        };
        let speed = f64::from(look.here.speed);
        let passed = look.now.saturating_sub(self.at).as_secs_f64();
        let has_moved = self.here != look.here.node || cpu < self.cpu;
        if !has_moved && passed > 0.0 {
            let more = cpu - self.cpu;
            self.used += more * speed;
            self.wants = more / passed >= WANTS_SHARE * each(look.here);
            let since = cpu - self.told.0;
            if since >= TELLING_SECONDS {
                let calls = look.calls.saturating_sub(self.told.1) as f64;
                let now = calls / (since * speed);
                self.calls_each = Some(self.calls_each.map_or(now, |old| (old + now) / 2.0));
                self.told = (cpu, look.calls);
            }
        } else {
            self.told = (cpu, look.calls);
        }
        (self.at, self.here, self.cpu) = (look.now, look.here.node, cpu);
    }
}

/// What each process that wants a core gets of one.
fn each(node: &Load) -> f64 {
    let cores = f64::from(node.cores);
    cores / f64::from(node.runnable).max(cores)
}

/// A time that a job has told.
fn sane(seconds: f64) -> f64 {
    if seconds.is_finite() {
        seconds.clamp(0.0, 1e9)
    } else {
        0.0
    }
}

/// A time that a job has told in seconds, or none if that is nonsense.
pub(crate) fn seconds(told: f64) -> Duration {
    Duration::from_secs_f64(sane(told))
}

/// The first word of a command, of letters that change nothing where they are shown.
fn name(command: &str) -> String {
    const LETTERS_MAX: usize = 64;
    let word = command.split(' ').next().unwrap_or_default();
    let file = word.rsplit('/').next().unwrap_or_default();
    let name: String = file.chars().take(LETTERS_MAX).collect();
    job::shown(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(1);

    fn load(node: NodeId, runnable: f32) -> Load {
        Load {
            node,
            seq: 1,
            speed: 2.0,
            cores: 2,
            runnable,
            runnable_own: runnable,
            memory: 1 << 30,
            memory_free: 1 << 30,
            memory_growth: 0.0,
            memory_pressure: 0.0,
            guests: 0,
            guests_max: 1,
            features: Features(0),
            version: 1,
            closed: false,
        }
    }

    fn process(cpu: f64) -> Process {
        Process {
            pid: 7,
            began: 1,
            command: "/usr/bin/si\u{1b}m 3".to_owned(),
            cpu,
            cpu_there: Some(cpu),
            memory: Some(4096),
            stay: 3.0,
            ..Process::default()
        }
    }

    fn look(looks: &mut Looks, process: &Process, here: &Load, calls: u64, now: u64) -> Looked {
        let look = Look {
            process,
            kept: Kept::Free,
            here,
            calls,
            expected: Need {
                cpu: 1.0,
                memory: 1,
                calls: 5.0,
                features: Features(0),
            },
            now: Duration::from_secs(now),
        };
        looks.look(&look, 42, false)
    }

    #[test]
    fn a_process_that_computes_wants_a_core() {
        let mut looks = Looks::default();
        let here = load(NODE, 8.0);
        let first = look(&mut looks, &process(10.0), &here, 0, 100);
        assert_eq!((first.need.cpu, first.used), (0.0, 0.0), "not known yet");
        assert_eq!(first.name, "si?m");
        let then = look(&mut looks, &process(10.25), &here, 100, 101);
        assert_eq!((then.need.cpu, then.used), (1.0, 20.5));
        assert_eq!((then.need.calls, then.need.memory), (200.0, 4096));
        assert_eq!(then.since, Duration::from_secs(98));
        let idle = look(&mut looks, &process(10.26), &here, 100, 102);
        assert_eq!((idle.need.cpu, idle.used), (0.0, 0.0));
        assert_eq!(idle.need.calls, 200.0, "remembered");
    }

    #[test]
    fn on_another_node_counting_begins_anew() {
        let mut looks = Looks::default();
        let _ = look(&mut looks, &process(10.0), &load(NODE, 1.0), 50, 100);
        let there = load(NodeId(2), 1.0);
        let moved = look(&mut looks, &process(0.5), &there, 3, 101);
        assert_eq!(moved.need.cpu, 0.0);
        let then = look(&mut looks, &process(1.5), &there, 3, 102);
        assert_eq!((then.used, then.need.calls), (22.0, 0.0));
        let another = Process {
            began: 2,
            ..process(0.0)
        };
        let another = look(&mut looks, &another, &there, 0, 103);
        assert_eq!(another.need.calls, 5.0, "as programs like it");
    }

    #[test]
    fn what_could_not_move_is_left_alone_for_longer_and_longer() {
        let mut looks = Looks::default();
        let here = load(NODE, 1.0);
        let is_locked =
            |looks: &mut Looks, now| look(looks, &process(0.0), &here, 0, now).rules.locked;
        assert!(!is_locked(&mut looks, 100));
        for (now, until) in [(100, 102), (102, 106), (106, 114)] {
            looks.tried(7, false, Duration::from_secs(now));
            assert!(is_locked(&mut looks, until - 1));
            assert!(!is_locked(&mut looks, until));
        }
        for _ in 0..100 {
            looks.tried(7, false, Duration::from_secs(200));
        }
        assert!(!is_locked(&mut looks, 200 + 256));
        looks.tried(7, true, Duration::from_secs(500));
        looks.tried(7, false, Duration::from_secs(500));
        assert!(!is_locked(&mut looks, 502));
        looks.retain(|_| false);
        looks.tried(7, false, Duration::from_secs(600));
        assert!(!is_locked(&mut looks, 600));
    }

    #[test]
    fn nonsense_changes_nothing() {
        let mut looks = Looks::default();
        let here = load(NODE, 1.0);
        for cpu in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            let mut odd = process(cpu);
            odd.stay = cpu;
            let looked = look(&mut looks, &odd, &here, u64::MAX, 100);
            assert!(looked.used.is_finite() && looked.need.calls.is_finite());
        }
    }
}
