//! What a tool is told of a job's processes. The tool's thread gathers it: the tracer only says what it
//! has in memory, and hosts are waited for so long at most.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use image::{ImageError, capture};
use local::job::{Kept, Listing, PROCESSES_MAX, Process, TEXT_BYTES_MAX};
use nix::time::{ClockId, clock_gettime};

use crate::bodies;
use crate::hosts::Host;
use crate::job::{Job, Order};
use crate::proc_text::{TICKS_PER_SECOND, Usage};
use crate::setup::HOME_NODE;
use crate::tracer::listing::Seen;

/// Longest time that the tracer may take: it may just be capturing a process.
const TRACER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time that hosts may take to tell what their bodies use.
const HOSTS_TIMEOUT: Duration = Duration::from_millis(500);

/// All processes of the job.
///
/// # Errors
/// The tracer does not say in time, in words.
pub(crate) fn of(job: &Job) -> Result<Listing, String> {
    let began = cpu_of_thread();
    let (done, answer) = mpsc::channel();
    job.order(Order::List { done });
    let mut seen = answer
        .recv_timeout(TRACER_TIMEOUT)
        .map_err(|_| "the job is over, or its home proxy is busy: try again".to_owned())?;
    let left_out = seen.len().saturating_sub(PROCESSES_MAX) as u64;
    seen.truncate(PROCESSES_MAX);
    let away = usage_away(&seen);
    let uptime = uptime();
    // Some may have ended since.
    let processes = seen
        .iter()
        .filter_map(|process| describe(job, process, &away, uptime))
        .collect();
    Ok(Listing {
        home: job.hosts.nodes.name(HOME_NODE),
        cluster: job.setup.cluster.as_ref().map(|own| own.key.clone()),
        kept: job.setup.kept,
        processes,
        left_out,
        calls: job.calls.load(Ordering::Relaxed),
        cost: cpu_of_thread().saturating_sub(began).as_secs_f64(),
    })
}

/// What the bodies of these processes use, by pid, as far as their hosts tell.
fn usage_away(seen: &[Seen]) -> HashMap<i32, Usage> {
    let mut by_host: BTreeMap<u64, (Arc<Host>, Vec<i32>)> = BTreeMap::new();
    for process in seen {
        if let Some(deputy) = &process.deputy {
            let host = Arc::clone(&deputy.host);
            let (_, pids) = by_host
                .entry(host.number)
                .or_insert_with(|| (host, Vec::new()));
            pids.push(process.pid);
        }
    }
    for (host, pids) in by_host.values() {
        bodies::ask(host, pids.clone());
    }
    let until = Instant::now() + HOSTS_TIMEOUT;
    let known = by_host.values().map(|(host, _)| host.bodies.wait(until));
    known.flatten().collect()
}

fn describe(job: &Job, seen: &Seen, away: &HashMap<i32, Usage>, uptime: f64) -> Option<Process> {
    let pid = seen.pid;
    let stat = sys::proc_text::read(format!("/proc/{pid}/stat")).ok()?;
    let home = Usage::of(&stat)?;
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let stay = job.journal.stay(pid);
    let node = seen.deputy.as_ref().map_or(HOME_NODE, |d| d.host.node);
    let there = match &seen.deputy {
        Some(_) => away.get(&pid).copied(),
        None => Some(home),
    };
    let why = why(
        job,
        seen,
        stay.as_ref().and_then(|stay| stay.refused.as_deref()),
    );
    let calls = seen.deputy.as_ref();
    let calls = calls.map_or(0, |deputy| deputy.calls.load(Ordering::Relaxed));
    let left = job.accounts.elsewhere(pid).total_ns() as f64 / 1e9;
    let abroad = there.filter(|_| seen.deputy.is_some());
    Some(Process {
        pid,
        parent: home.parent,
        uid,
        command: command(pid),
        began: home.began,
        age: (uptime - home.began as f64 / TICKS_PER_SECOND).max(0.0),
        node,
        host: job.hosts.nodes.name(node),
        moves: stay.as_ref().map_or(0, |stay| stay.moves),
        stay: stay.map_or(0.0, |stay| stay.since.elapsed().as_secs_f64()),
        moving: seen.is_moving,
        bound: seen.bound.is_some(),
        why: why.map(|why| cut(&why)),
        cpu: home.cpu + abroad.map_or(0.0, |usage| usage.cpu) + left,
        cpu_there: there.map(|usage| usage.cpu),
        memory: there.map(|usage| usage.memory),
        calls,
    })
}

/// Why it cannot move, or could not when that was tried last.
fn why(job: &Job, seen: &Seen, refused: Option<&str>) -> Option<String> {
    if let Some(bound) = &seen.bound {
        return Some(bound.clone());
    }
    if seen.is_stopped {
        return Some("it is stopped".to_owned());
    }
    if seen.deputy.is_some() {
        let locked = job.setup.kept == Kept::Locked;
        return locked
            .then(|| "its user keeps it where it is (--lock)".to_owned())
            .or_else(|| refused.map(str::to_owned));
    }
    if let Some(refusal) = job.hosts.refusal() {
        return Some(refusal.to_owned());
    }
    match job.setup.kept {
        Kept::Free => {}
        Kept::Home => return Some("its user keeps it at home (--home)".to_owned()),
        Kept::Locked => return Some("its user keeps it where it is (--lock)".to_owned()),
    }
    if capture::has_lost_leader(seen.pid) {
        return Some("its leading thread has ended".to_owned());
    }
    match capture::may_leave(seen.pid, job.accounts.counts(seen.pid)) {
        Err(ImageError::Stays { reason, .. }) => Some(reason),
        _ => refused.map(str::to_owned),
    }
}

/// Arguments of process `pid`; its name if it has none. What is no text is shown as if it were.
fn command(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.strip_suffix(&[0]).unwrap_or(&words);
    if words.is_empty() {
        let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        return format!("[{}]", String::from_utf8_lossy(name.trim_ascii_end()));
    }
    let shown = &words[..words.len().min(TEXT_BYTES_MAX)];
    let shown: Vec<u8> = shown
        .iter()
        .map(|byte| if *byte == 0 { b' ' } else { *byte })
        .collect();
    cut(&String::from_utf8_lossy(&shown))
}

/// No more of `text` than a listing may have.
fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// CPU time that this thread has used.
fn cpu_of_thread() -> Duration {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    used.map_or(Duration::ZERO, Duration::from)
}

/// Seconds since the kernel began, or 0.
fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        let long = format!("a{}", "ä".repeat(TEXT_BYTES_MAX));
        assert_eq!(cut(&long).len(), TEXT_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
        let own = command(std::process::id() as i32);
        assert!(!own.is_empty() && own.len() <= TEXT_BYTES_MAX, "{own:?}");
        assert!(uptime() > 0.0);
    }
}
