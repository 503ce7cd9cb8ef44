//! How much memory this node has, how much of it is free, and how fast that is taken.
//!
//! A node has what is smallest: the machine's memory, the limit of a cgroup, what is configured. Towards what is
//! configured counts what guests and the processes of own jobs have, towards the others what counts with the kernel.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::ensure;
use cluster::footprints::{Footprints, Seen};
use cluster::load::NodeId;

use crate::cgroup::Cgroups;

const PAGE_BYTES: u64 = 4096;
/// Less memory is no node's, in bytes.
pub const LIMIT_MIN: u64 = 16 << 20;
/// Pressure is looked at over so long: for a shorter time it is mere chance.
const PRESSURE_OVER: Duration = Duration::from_secs(1);
/// How growth is kept in [`Footprints`] that belongs to no process: of the machine or a cgroup.
const REST: u64 = u64::MAX;
/// All that is looked at is on one node.
const HERE: NodeId = NodeId(0);

/// Memory of this node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// All of it, in bytes.
    pub total: u64,
    /// Free or at once reclaimable, in bytes.
    pub free: u64,
    /// What guests and the processes of own jobs have, in bytes.
    pub used: u64,
    /// Bytes by which what is in use grows in a second; not what comes with processes that move.
    pub growth: f64,
    /// Share of time in which some process waited for memory, 0 to 1.
    pub pressure: f64,
}

/// A process that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// It.
    pub pid: u32,
    /// Its memory is coming or leaving.
    pub moving: bool,
}

/// One of the limits that a node has, with what counts towards it; in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Limit {
    total: u64,
    free: u64,
}

/// Measures the memory of one node.
#[derive(Debug)]
pub struct Meter {
    /// As it is configured.
    limit: Option<u64>,
    /// `None`: a node that is a part of this machine and has only what is configured.
    machine: Option<Cgroups>,
    began: Instant,
    prints: Footprints,
    waited: Option<(Instant, u64)>,
    pressure: f64,
}

impl Meter {
    /// Of this machine, of which a node uses so much at most.
    pub fn of_machine(limit: Option<u64>) -> Meter {
        Meter::new(limit, Some(Cgroups::own()))
    }

    /// Of a private node, which is nothing but its processes.
    pub fn of_part(limit: u64) -> Meter {
        Meter::new(Some(limit), None)
    }

    fn new(limit: Option<u64>, machine: Option<Cgroups>) -> Meter {
        Meter {
            limit,
            machine,
            began: Instant::now(),
            prints: Footprints::default(),
            waited: None,
            pressure: 0.0,
        }
    }

    /// Measures, with these processes: guests and those of own jobs.
    pub fn measure(&mut self, processes: &[Counted]) -> Memory {
        let now = self.began.elapsed();
        let mut used = 0_u64;
        for Counted { pid, moving } in processes {
            // It may have ended.
            let memory = resident(*pid).unwrap_or(0);
            used = used.saturating_add(memory);
            self.see(u64::from(*pid), *moving, memory, now);
        }
        let mut limits: Vec<Limit> = self
            .limit
            .iter()
            .map(|limit| Limit::of(*limit, used))
            .collect();
        if let Some(cgroups) = &self.machine {
            limits.push(machine());
            let bounds = cgroups.bounds();
            limits.extend(
                bounds
                    .iter()
                    .map(|bound| Limit::of(bound.limit, bound.used)),
            );
        }
        // What grows beside the processes counts where it takes what is scarce.
        let scarce = (0..limits.len()).min_by_key(|at| limits[*at].free);
        if let Some(at) = scarce.filter(|at| *at > 0 || self.limit.is_none()) {
            let all = limits[at].total - limits[at].free;
            let rest = all.saturating_sub(used);
            self.see(REST - at as u64, false, rest, now);
        }
        let is_there = |id: u64| {
            id > u64::from(u32::MAX) || processes.iter().any(|process| u64::from(process.pid) == id)
        };
        self.prints.looked(is_there, now);
        self.press();
        let total = limits.iter().map(|limit| limit.total).min().unwrap_or(0);
        let free = limits.iter().map(|limit| limit.free).min().unwrap_or(0);
        Memory {
            total,
            free: free.min(total),
            used,
            growth: self.prints.growth_of_all(),
            pressure: self.pressure,
        }
    }

    fn see(&mut self, process: u64, moving: bool, memory: u64, now: Duration) {
        let seen = Seen {
            here: HERE,
            moving,
            memory,
        };
        self.prints.see(process, seen, now);
    }

    /// What processes have waited since it was looked last, of the machine or our cgroup, where it is worse.
    fn press(&mut self) {
        let Some(cgroups) = &self.machine else {
            return;
        };
        let now = Instant::now();
        if self
            .waited
            .is_some_and(|(at, _)| now.duration_since(at) < PRESSURE_OVER)
        {
            return;
        }
        let machine = fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
        let own = cgroups.pressure().unwrap_or_default();
        let waited = waited_us(&machine).max(waited_us(&own));
        if let Some((at, before)) = self.waited {
            let passed = now.duration_since(at).as_micros() as f64;
            self.pressure = (waited.saturating_sub(before) as f64 / passed).clamp(0.0, 1.0);
        }
        self.waited = Some((now, waited));
    }
}

impl Limit {
    fn of(total: u64, used: u64) -> Limit {
        let free = total.saturating_sub(used);
        Limit { total, free }
    }
}

/// Bytes of a process that are no pages of files; `None` if it has ended.
pub fn resident(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    resident_of(&text)
}

/// In a text as of proc_pid_statm(5).
fn resident_of(statm: &str) -> Option<u64> {
    let mut fields = statm.split_whitespace().skip(1);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let (all, of_files) = (next()?, next()?);
    Some(all.saturating_sub(of_files).saturating_mul(PAGE_BYTES))
}

fn machine() -> Limit {
    machine_of(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// In a text as of proc_meminfo(5). What is missing is 0.
fn machine_of(info: &str) -> Limit {
    let bytes = |name: &str| -> u64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        let value = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        value.unwrap_or(0).saturating_mul(1024)
    };
    let total = bytes("MemTotal:");
    Limit {
        total,
        free: bytes("MemAvailable:").min(total),
    }
}

/// Microseconds in which some process waited, in a text as of `/proc/pressure/memory`.
fn waited_us(pressure: &str) -> u64 {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "));
    let total = some.and_then(|rest| {
        let mut words = rest.split_whitespace();
        words.find_map(|word| word.strip_prefix("total=")?.parse().ok())
    });
    total.unwrap_or(0)
}

/// What a limit of memory may be, in words.
pub const LIMIT_WORDS: &str =
    "a number of bytes with K, M, G or T for powers of 1024, at least 16M";

/// The limit that a user has written.
///
/// # Errors
/// It is none, with what is allowed.
pub fn limit(text: &str) -> anyhow::Result<u64> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        Some((at, 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse::<u64>().ok().filter(|_| is_number);
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    let bytes = bytes.filter(|bytes| (LIMIT_MIN..=1 << 60).contains(bytes));
    ensure!(bytes.is_some(), "\"{text}\" is not {LIMIT_WORDS}");
    Ok(bytes.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        let info = "MemTotal:  2000 kB\nMemFree: 1 kB\nMemAvailable:   500 kB\n";
        let expected = Limit {
            total: 2000 * 1024,
            free: 500 * 1024,
        };
        assert_eq!(machine_of(info), expected);
        assert_eq!(machine_of(""), Limit::default());
        let pressure =
            "some avg10=12.50 avg60=0.00 avg300=0.00 total=17\nfull avg10=3.00 total=3\n";
        assert_eq!((waited_us(pressure), waited_us("some")), (17, 0));
        assert_eq!(resident_of("100 30 10 1 0 9 0\n"), Some(20 * PAGE_BYTES));
        assert_eq!(resident_of("100 x"), None);
    }

    #[test]
    fn limits_are_read_or_refused_with_what_is_allowed() {
        for (text, bytes) in [
            ("16777216", 16 << 20),
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("1T", 1 << 40),
            ("32768K", 32 << 20),
        ] {
            assert_eq!(limit(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "M",
            "15M",
            "-1G",
            "+1G",
            "1.5G",
            "2g",
            "99999999T",
            "1 G",
            "G1",
            "1Ä",
        ] {
            let error = limit(text).unwrap_err().to_string();
            assert!(error.contains("at least 16M"), "{text}: {error}");
        }
    }

    #[test]
    fn the_smallest_limit_counts() {
        let own = Counted {
            pid: std::process::id(),
            moving: false,
        };
        let all = Meter::of_machine(None).measure(&[own]);
        assert!(all.total > LIMIT_MIN && all.free > 0);
        let mut limited = Meter::of_machine(Some(LIMIT_MIN));
        let memory = limited.measure(&[own]);
        let used = resident(own.pid).unwrap();
        assert_eq!(memory.total, LIMIT_MIN);
        assert!(memory.free <= LIMIT_MIN && memory.free > 0 && used > 0);
        assert_eq!(Meter::of_part(LIMIT_MIN).measure(&[]).free, LIMIT_MIN);
    }

    #[test]
    fn growth_of_the_processes_counts_and_what_moves_does_not() {
        for (moving, expected) in [(false, true), (true, false)] {
            let mut meter = Meter::of_part(1 << 40);
            let own = Counted {
                pid: std::process::id(),
                moving,
            };
            let _ = meter.measure(&[own]);
            let more = std::hint::black_box(vec![7_u8; 64 << 20]);
            std::thread::sleep(Duration::from_millis(5));
            let memory = meter.measure(&[own]);
            assert_eq!(memory.growth > 1e6, expected, "{memory:?}");
            drop(more);
        }
    }
}
