//! The processes that a test has started, seen from outside.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// One process as /proc shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid here.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// `R`, `S`, `Z` …
    pub state: char,
    /// The name of what it executes: of the file if that can be read, else of the process, which
    /// the kernel cuts to 15 bytes.
    pub name: String,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = (stat.find('(')?, stat.rfind(')')?);
        let mut fields = stat[after + 1..].split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let executable = fs::read_link(format!("/proc/{pid}/exe")).ok();
        let name = executable
            .and_then(|path| {
                Some(
                    path.file_name()?
                        .to_string_lossy()
                        .trim_end_matches(" (deleted)")
                        .to_owned(),
                )
            })
            .unwrap_or_else(|| stat[before + 1..after].to_owned());
        Some(Process {
            pid,
            parent,
            state,
            name,
        })
    }

    /// Whether it executes the program of this name.
    #[must_use]
    pub fn is(&self, program: &str) -> bool {
        self.name == program || (program.len() > 15 && self.name == program[..15])
    }
}

/// All that descend from this process now, parents before their children, zombies included.
pub(crate) fn descendants() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for entry in entries.flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(process) = pid.and_then(Process::read) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![Pid::this().as_raw()];
    while let Some(parent) = parents.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            parents.push(process.pid);
            found.push(process);
        }
    }
    found
}

/// Takes the dead among our children off the kernel's hands, but for `keep`, and answers who is
/// left alive besides `keep`.
pub(crate) fn reap(keep: &[i32]) -> Vec<Process> {
    let me = Pid::this().as_raw();
    let mut alive = Vec::new();
    for process in descendants() {
        if keep.contains(&process.pid) {
            continue;
        }
        if process.state != 'Z' {
            alive.push(process);
        } else if process.parent == me {
            let _ = waitpid(
                Pid::from_raw(process.pid),
                Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL),
            );
        } else {
            alive.push(process);
        }
    }
    alive
}

/// Kills every descendant until there is none. `keep` is killed too but left for its own waiter.
pub(crate) fn kill_all(keep: &[i32]) {
    for _ in 0..1000 {
        let all = descendants();
        let (mut left, mut killed) = (0, HashSet::new());
        for process in &all {
            if process.state != 'Z' && killed.insert(process.pid) {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            left += usize::from(!(process.state == 'Z' && keep.contains(&process.pid)));
        }
        if left == 0 {
            return;
        }
        reap(keep);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// What our descendants are doing, for a person to read.
pub(crate) fn describe() -> String {
    let all = descendants();
    let mut text = String::new();
    let mut depths = HashMap::from([(Pid::this().as_raw(), 0)]);
    for process in &all {
        let depth = depths.get(&process.parent).copied().unwrap_or(0) + 1;
        depths.insert(process.pid, depth);
    }
    let mut ordered = Vec::new();
    order(&all, Pid::this().as_raw(), &mut ordered);
    for process in ordered {
        let read =
            |what: &str| fs::read(format!("/proc/{}/{what}", process.pid)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline"))
            .trim_end_matches('\0')
            .replace('\0', " ");
        let mut command: String = command.chars().take(200).collect();
        if command.is_empty() {
            command = format!("[{}]", process.name);
        }
        let tasks = fs::read_dir(format!("/proc/{}/task", process.pid)).map_or(0, Iterator::count);
        let waits = String::from_utf8_lossy(&read("wchan")).into_owned();
        let call = String::from_utf8_lossy(&read("syscall")).trim().to_owned();
        let indent = 2 * depths.get(&process.pid).copied().unwrap_or(0);
        let _ = writeln!(
            text,
            "{:indent$}{} {} {} threads {} in {waits} (call {call}): {command}",
            "", process.pid, process.state, tasks, process.name
        );
    }
    text
}

fn order<'a>(all: &'a [Process], parent: i32, into: &mut Vec<&'a Process>) {
    for process in all.iter().filter(|process| process.parent == parent) {
        into.push(process);
        order(all, process.pid, into);
    }
}
