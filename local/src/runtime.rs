//! The runtime of a job on this machine, for a private node or for another node's job: how it is started, and
//! which guests it has.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::Context;
use lane::setup::RuntimeSetup;

/// Longest log line that stays in one piece, in bytes.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Starts the runtime among the `programs`, and tells it what to do. Returns what it logs too.
///
/// # Errors
/// It cannot be started. That it cannot do what it is told it says itself, and ends.
pub fn start(programs: &Path, told: &RuntimeSetup) -> anyhow::Result<(Child, Option<ChildStderr>)> {
    let program = programs.join("homenode-runtime");
    let mut child = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        // Fails if the runtime has ended already, which is noticed next.
        let _ = input.write_all(&line);
    }
    let log = child.stderr.take();
    Ok((child, log))
}

/// Hands over what is logged line by line, until its end.
pub fn each_line(log: impl Read, mut take: impl FnMut(&[u8])) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = Read::take(&mut log, LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        take(&line);
    }
}

/// A runtime's guests: children of its init, which is its child.
pub fn guests(runtime: u32) -> Vec<u32> {
    let mut guests = Vec::new();
    let mut parents = children(runtime);
    // Children of the init at most; a bound, should the tree change while it is read.
    for _ in 0..4 {
        parents = parents.iter().flat_map(|pid| children(*pid)).collect();
        guests.extend(&parents);
        if parents.is_empty() {
            break;
        }
    }
    guests
}

/// Whether pages of a guest are still coming to this runtime: it watches those that are missing.
pub fn is_filling(runtime: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{runtime}/fd"));
    let open = open.into_iter().flatten().flatten();
    let mut shown = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    shown.any(|target| target.as_os_str().as_encoded_bytes() == b"anon_inode:[userfaultfd]")
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let pids = lists.flat_map(|list| {
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        pids.collect::<Vec<u32>>()
    });
    pids.collect()
}
