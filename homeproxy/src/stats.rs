//! Statistics of a job: what `mosexec --stats` writes at the end.
//!
//! Pure: times come in as microseconds since the start of the job.

use std::collections::{BTreeMap, HashMap};

use lane::control::{BUCKETS_MAX, Latencies};
use serde::Serialize;

/// Version of the written object.
const VERSION: u32 = 1;
/// Most processes in one object; later ones are only counted.
pub(crate) const PROCESSES_MAX: usize = 65_536;

/// The whole job, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    version: u32,
    command: Vec<String>,
    node: u32,
    /// Of a job whose processes are moved from time to time: where to.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    processes: Vec<Process>,
    /// Processes beyond [`PROCESSES_MAX`].
    left_out: u64,
    /// Of private nodes with a limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    memory: Vec<Memory>,
    /// Indices of processes by pid; the latest of a pid.
    #[serde(skip)]
    index: HashMap<i32, usize>,
}

/// One process, through all the programs it has executed.
#[derive(Debug, Clone, Default, Serialize)]
struct Process {
    pid: i32,
    /// Name of its last program, and arguments at the execve.
    comm: String,
    command: Vec<String>,
    /// Where its user code ran, in order.
    hosts: Vec<Stay>,
    migrations: u32,
    /// Of images shipped.
    bytes: u64,
    /// Time in which it ran nowhere because it moved.
    downtime_us: u64,
    /// Time from then until all of its memory had come.
    transfer_us: u64,
    calls: Calls,
    /// Why it does not leave home.
    stays: Option<String>,
    /// As wait(2) reports it; none while it runs.
    status: Option<i32>,
    /// When it stopped in order to move.
    #[serde(skip)]
    stopped_us: Option<u64>,
    /// When it stopped, until its memory has come.
    #[serde(skip)]
    transfer_from_us: Option<u64>,
}

/// Memory of a private node, in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    node: u32,
    limit: u64,
    /// Most that its processes had whenever it was measured.
    most: u64,
}

/// A time on one node.
#[derive(Debug, Clone, Serialize)]
struct Stay {
    node: u32,
    from_us: u64,
    to_us: Option<u64>,
}

/// Notified calls by name.
#[derive(Debug, Clone, Default, Serialize)]
struct Calls {
    forwarded: BTreeMap<String, Histogram>,
    native_after_notification: BTreeMap<String, u64>,
}

/// Counts by latency.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(into = "Quantiles")]
struct Histogram {
    /// Upper bound of a bucket in microseconds, count.
    buckets: BTreeMap<u32, u64>,
    max_us: u32,
}

/// A histogram as it is written.
#[derive(Serialize)]
struct Quantiles {
    count: u64,
    p50_us: u32,
    p90_us: u32,
    p99_us: u32,
    max_us: u32,
}

impl Statistics {
    /// Of a job that starts now and whose programs go to `node`.
    pub(crate) fn new(command: Vec<String>, node: u32, seed: Option<u64>) -> Statistics {
        Statistics {
            version: VERSION,
            command,
            node,
            seed,
            processes: Vec::new(),
            left_out: 0,
            memory: Vec::new(),
            index: HashMap::new(),
        }
    }

    fn process(&mut self, pid: i32) -> Option<&mut Process> {
        let index = *self.index.get(&pid)?;
        self.processes.get_mut(index)
    }

    /// So much of a private node's memory is in use.
    pub(crate) fn memory(&mut self, node: u32, limit: u64, used: u64) {
        match self.memory.iter_mut().find(|memory| memory.node == node) {
            Some(memory) => memory.most = memory.most.max(used),
            None => self.memory.push(Memory {
                node,
                limit,
                most: used,
            }),
        }
    }

    /// A process begins, on `node`; it is as its parent was, if there is one.
    pub(crate) fn born(&mut self, pid: i32, parent: Option<i32>, node: u32, now_us: u64) {
        self.index.remove(&pid);
        if self.processes.len() >= PROCESSES_MAX {
            self.left_out += 1;
            return;
        }
        let parent = parent.and_then(|pid| self.process(pid)).cloned();
        let parent = parent.unwrap_or_default();
        self.index.insert(pid, self.processes.len());
        self.processes.push(Process {
            pid,
            comm: parent.comm,
            command: parent.command,
            stays: parent.stays,
            hosts: vec![Stay {
                node,
                from_us: now_us,
                to_us: None,
            }],
            ..Process::default()
        });
    }

    /// A process has executed a program, which runs on `node`; at home for
    /// the reason given.
    pub(crate) fn executed(
        &mut self,
        pid: i32,
        program: Program,
        node: u32,
        stays: Option<String>,
        now_us: u64,
    ) {
        let Some(process) = self.process(pid) else {
            return;
        };
        process.comm = program.comm;
        process.command = program.command;
        process.stopped_us = stays.is_none().then_some(now_us);
        process.stays = stays;
        if process.hosts.last().is_some_and(|stay| stay.node == node) {
            return;
        }
        process.leave(now_us);
        process.hosts.push(Stay {
            node,
            from_us: now_us,
            to_us: None,
        });
    }

    /// It stopped at `stopped_us` in order to move, or runs again already.
    pub(crate) fn stopped(&mut self, pid: i32, stopped_us: u64) {
        if let Some(process) = self.process(pid) {
            process.stopped_us = Some(stopped_us);
            process.transfer_from_us = Some(stopped_us);
        }
    }

    /// All of its memory has come.
    pub(crate) fn complete(&mut self, pid: i32, now_us: u64) {
        if let Some(process) = self.process(pid)
            && let Some(from_us) = process.transfer_from_us.take()
        {
            process.transfer_us += now_us.saturating_sub(from_us);
        }
    }

    /// It has moved while it ran, to `node`: home for the reason given.
    pub(crate) fn moved(
        &mut self,
        pid: i32,
        node: u32,
        stays: Option<String>,
        bytes: u64,
        now_us: u64,
    ) {
        if let Some(process) = self.process(pid) {
            process.stays = stays;
            process.migrations += 1;
            process.bytes += bytes;
            process.leave(now_us);
            process.hosts.push(Stay {
                node,
                from_us: now_us,
                to_us: None,
            });
        }
    }

    /// So much of its image has been sent.
    pub(crate) fn shipped(&mut self, pid: i32, bytes: u64) {
        if let Some(process) = self.process(pid) {
            process.bytes += bytes;
        }
    }

    /// It runs again after it has moved.
    pub(crate) fn running(&mut self, pid: i32, now_us: u64) {
        if let Some(process) = self.process(pid)
            && let Some(stopped_us) = process.stopped_us.take()
        {
            process.downtime_us += now_us.saturating_sub(stopped_us);
        }
    }

    /// What the host on `node` has counted. Comes from another machine: numbers that
    /// are no system call are left out, and what is about a process that was never there.
    pub(crate) fn called(
        &mut self,
        pid: i32,
        node: u32,
        forwarded: &[Latencies],
        native: &[(u32, u64)],
    ) {
        let was_there = |process: &&mut Process| process.hosts.iter().any(|stay| stay.node == node);
        let Some(process) = self.process(pid).filter(was_there) else {
            return;
        };
        let calls = &mut process.calls;
        for latencies in forwarded {
            if let Some(row) = abi::row(latencies.nr) {
                let name = row.name.to_owned();
                calls.forwarded.entry(name).or_default().add(latencies);
            }
        }
        for (nr, count) in native {
            if let Some(row) = abi::row(*nr) {
                let name = row.name.to_owned();
                let sum = calls.native_after_notification.entry(name).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }

    /// A process has ended.
    pub(crate) fn ended(&mut self, pid: i32, status: i32, now_us: u64) {
        if let Some(process) = self.process(pid)
            && process.status.is_none()
        {
            process.status = Some(status);
            process.leave(now_us);
        }
    }
}

impl Process {
    fn leave(&mut self, now_us: u64) {
        if let Some(stay) = self.hosts.last_mut() {
            stay.to_us = Some(now_us);
        }
    }
}

impl Histogram {
    fn add(&mut self, latencies: &Latencies) {
        for (us, count) in &latencies.buckets {
            if self.buckets.len() < BUCKETS_MAX || self.buckets.contains_key(us) {
                let sum = self.buckets.entry(*us).or_default();
                *sum = sum.saturating_add(u64::from(*count));
            }
        }
        self.max_us = self.max_us.max(latencies.max_us);
    }

    /// Latency that `percent` of the calls did not exceed.
    fn quantile(&self, count: u64, percent: u64) -> u32 {
        let rank = count.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0u64;
        for (us, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return *us;
            }
        }
        self.max_us
    }
}

impl From<Histogram> for Quantiles {
    fn from(histogram: Histogram) -> Quantiles {
        let counts = histogram.buckets.values();
        let count = counts.fold(0u64, |sum, count| sum.saturating_add(*count));
        Quantiles {
            count,
            p50_us: histogram.quantile(count, 50),
            p90_us: histogram.quantile(count, 90),
            p99_us: histogram.quantile(count, 99),
            max_us: histogram.max_us,
        }
    }
}

/// A program as at its execve.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) comm: String,
    pub(crate) command: Vec<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    fn cat() -> Program {
        Program {
            comm: "cat".into(),
            command: vec!["cat".into(), "file".into()],
        }
    }

    fn written(statistics: &Statistics) -> serde_json::Value {
        serde_json::to_value(statistics).unwrap()
    }

    #[test]
    fn a_process_through_its_life() {
        let mut statistics = Statistics::new(vec!["sh".into()], 2, None);
        statistics.born(10, None, 1, 0);
        statistics.executed(10, cat(), 2, None, 100);
        statistics.shipped(10, 8192);
        statistics.running(10, 350);
        statistics.running(10, 999);
        statistics.born(11, Some(10), 2, 400);
        statistics.executed(11, Program::default(), 1, Some("setuid".into()), 500);
        let mut buckets: Vec<(u32, u32)> = (1..=99).map(|us| (us, 1)).collect();
        let max_us = 5000;
        statistics.called(
            10,
            2,
            &[Latencies {
                nr: 0,
                max_us: 99,
                buckets: buckets.clone(),
            }],
            &[(9, 2)],
        );
        buckets = vec![(5000, 1)];
        statistics.called(
            10,
            2,
            &[Latencies {
                nr: 0,
                max_us,
                buckets,
            }],
            &[(9, 1), (99_999, 1)],
        );
        statistics.ended(10, 256, 1000);
        let object = written(&statistics);
        let (cat, child) = (&object["processes"][0], &object["processes"][1]);
        assert_eq!(object["version"], 1);
        assert_eq!(cat["command"], serde_json::json!(["cat", "file"]));
        assert_eq!(
            cat["hosts"],
            serde_json::json!([
                {"node": 1, "from_us": 0, "to_us": 100},
                {"node": 2, "from_us": 100, "to_us": 1000}
            ])
        );
        assert_eq!(
            (&cat["bytes"], &cat["downtime_us"]),
            (&8192.into(), &250.into())
        );
        assert_eq!(
            cat["calls"],
            serde_json::json!({
                "forwarded": {"read": {"count": 100, "p50_us": 50, "p90_us": 90, "p99_us": 99, "max_us": 5000}},
                "native_after_notification": {"mmap": 3}
            })
        );
        assert_eq!(
            (&cat["status"], &cat["stays"]),
            (&256.into(), &serde_json::Value::Null)
        );
        assert_eq!(
            (&child["stays"], &child["status"]),
            (&"setuid".into(), &serde_json::Value::Null)
        );
        assert_eq!(child["hosts"][1]["to_us"], serde_json::Value::Null);
    }

    #[test]
    fn a_pid_that_is_used_again_is_another_process() {
        let mut statistics = Statistics::new(Vec::new(), 2, None);
        statistics.born(10, None, 1, 0);
        statistics.ended(10, 0, 5);
        statistics.called(10, 1, &[], &[(9, 1)]);
        statistics.born(10, None, 1, 6);
        let object = written(&statistics);
        assert_eq!(
            object["processes"][0]["calls"]["native_after_notification"]["mmap"],
            1
        );
        assert_eq!(object["processes"][1]["status"], serde_json::Value::Null);
    }

    #[test]
    fn memory_is_bounded() {
        let mut statistics = Statistics::new(Vec::new(), 2, None);
        for pid in 0..PROCESSES_MAX as i32 + 3 {
            statistics.born(pid, None, 1, 0);
        }
        for part in 0..3 {
            let from = part * BUCKETS_MAX as u32;
            let buckets = (0..BUCKETS_MAX as u32).map(|us| (from + us, 1)).collect();
            statistics.called(
                0,
                1,
                &[Latencies {
                    nr: 0,
                    max_us: u32::MAX,
                    buckets,
                }],
                &[],
            );
        }
        assert_eq!(statistics.left_out, 3);
        assert_eq!(
            statistics.processes[0].calls.forwarded["read"]
                .buckets
                .len(),
            BUCKETS_MAX
        );
    }
}
