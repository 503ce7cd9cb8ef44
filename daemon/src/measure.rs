//! This node's load: who wants its cores, how fast they are. Its memory is [`local::memory`]'s to measure.

use std::fs;
use std::hint::black_box;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Steps of [`chain`] that a core of speed 1 does in a second.
const REFERENCE_STEPS_PER_SECOND: f64 = 300e6;
/// Steps for measuring: some 10 ms.
const STEPS: u32 = 8_000_000;

/// What is measured of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wanting {
    /// Threads that run or could, on the CPUs of this node, ours excepted.
    pub(crate) all: f64,
    /// Of those, guests.
    pub(crate) guests: f64,
}

/// Measures this node.
#[derive(Debug)]
pub(crate) struct Meter {
    /// CPUs of this node, if not all of the machine.
    cpus: Option<Vec<u16>>,
    /// How many those are.
    pub(crate) cores: u16,
    /// Speed of one; 1.0 is the cluster's reference.
    pub(crate) speed: f64,
    /// Samples taken so far.
    samples: u32,
    /// The last one.
    last: Wanting,
}

impl Meter {
    /// For a node with these CPUs, with those that the daemon may use if `None`; of this speed, measured if
    /// `None`.
    pub(crate) fn new(cpus: Option<Vec<u16>>, configured: Option<f64>) -> Meter {
        let may_use = sched_getaffinity(Pid::from_raw(0)).unwrap_or_else(|_| CpuSet::new());
        let usable = (0..CpuSet::count()).filter(|cpu| may_use.is_set(*cpu) == Ok(true));
        let online = count_cpus();
        let cpus = cpus.or_else(|| {
            let usable: Vec<u16> = usable.filter_map(|cpu| u16::try_from(cpu).ok()).collect();
            (usable.len() < usize::from(online) && !usable.is_empty()).then_some(usable)
        });
        let cores = cpus
            .as_ref()
            .map_or(online, |cpus| u16::try_from(cpus.len()).unwrap_or(u16::MAX));
        Meter {
            cpus,
            cores: cores.max(1),
            speed: configured.unwrap_or_else(speed),
            samples: 0,
            last: Wanting::default(),
        }
    }

    /// Takes one sample. `runtimes` are the processes that run guests here.
    ///
    /// For a part of the machine's CPUs all processes have to be looked at, which is done for every
    /// fifth sample only.
    pub(crate) fn sample(&mut self, runtimes: &[u32]) -> Wanting {
        let number = self.samples;
        self.samples = number.wrapping_add(1);
        let all = match &self.cpus {
            Some(_) if !number.is_multiple_of(5) => return self.last,
            Some(cpus) => f64::from(running_on(cpus)),
            // We run ourselves at this moment.
            None => f64::from(procs_running().saturating_sub(1)),
        };
        let guests: f64 = runtimes.iter().map(|pid| f64::from(guests_of(*pid))).sum();
        self.last = Wanting {
            all: all.max(guests),
            guests,
        };
        self.last
    }
}

fn count_cpus() -> u16 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let is_cpu = |line: &&str| {
        let rest = line.strip_prefix("cpu");
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    u16::try_from(stat.lines().filter(is_cpu).count()).unwrap_or(u16::MAX)
}

fn procs_running() -> u32 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("procs_running "));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// State and last CPU of a thread, from its `stat` (proc_pid_stat(5), fields 3 and 39).
fn state_and_cpu(stat: &str) -> Option<(char, u16)> {
    // The name in parentheses may contain anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let cpu = fields.nth(35)?.parse().ok()?;
    Some((state, cpu))
}

/// Threads of process `pid` that run or could, each with its CPU.
fn running_threads(pid: &str) -> Vec<u16> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let running = stats.filter_map(|stat| match state_and_cpu(&stat)? {
        ('R', cpu) => Some(cpu),
        _ => None,
    });
    running.collect()
}

/// Threads of the machine that run or could on these CPUs.
fn running_on(cpus: &[u16]) -> u32 {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|b| b.is_ascii_digit()) && *name != own);
    let running = pids.flat_map(|pid| running_threads(&pid));
    running.filter(|cpu| cpus.contains(cpu)).count() as u32
}

/// Threads of a runtime's guests that run or could.
fn guests_of(runtime: u32) -> u32 {
    let guests = local::runtime::guests(runtime).into_iter();
    let running = guests.map(|pid| running_threads(&pid.to_string()).len());
    running.sum::<usize>() as u32
}

/// A chain of multiplications, each of which waits for the one before and none of which can be done
/// together with another.
fn chain(steps: u32) -> u64 {
    (0..steps).fold(1, |x: u64, _| {
        let next = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        black_box(next)
    })
}

/// Speed of a core, by the CPU time of a fixed piece of work: others' load does not count.
fn speed() -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
        Some(std::time::Duration::from(time).as_secs_f64())
    };
    let began = now();
    black_box(chain(black_box(STEPS)));
    match (began, now()) {
        (Some(began), Some(ended)) if ended > began => {
            let steps = f64::from(STEPS) / (ended - began);
            (steps / REFERENCE_STEPS_PER_SECOND).clamp(0.01, 100.0)
        }
        _ => 1.0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_whatever_the_name() {
        let own = fs::read_to_string("/proc/thread-self/stat").unwrap();
        assert_eq!(state_and_cpu(&own).map(|(state, _)| state), Some('R'));
        let tail = own.rsplit_once(") ").unwrap().1;
        let odd = format!("1 (a) R 2 (b) {tail}");
        assert_eq!(state_and_cpu(&odd), state_and_cpu(&own));
        assert_eq!(state_and_cpu("1 (a) R"), None);
    }

    #[test]
    fn a_thread_that_computes_is_seen() {
        let own = std::process::id().to_string();
        assert!(!running_threads(&own).is_empty());
        let mut meter = Meter::new(None, None);
        assert_eq!(meter.sample(&[]).guests, 0.0);
        assert!(meter.cores > 0 && meter.speed > 0.0);
        assert_eq!(Meter::new(None, Some(3.0)).speed, 3.0);
    }
}
