//! The processes of jobs: asked for, put in rows and columns, explained.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use local::daemon;
use local::job::{self, Client, Kept, Listing, Process};
use nix::unistd::{Uid, User};
use serde::Serialize;

/// Longest time that one job may take to answer.
const JOB_TIMEOUT: Duration = Duration::from_secs(6);
/// The same for the node daemon.
pub(crate) const DAEMON_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of home among a job's nodes.
pub(crate) const HOME_NODE: u32 = 1;

/// What is shown of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// `PID`.
    Pid,
    /// `USER`.
    User,
    /// `HOME`.
    Home,
    /// `HOST`.
    Host,
    /// `MIGR`.
    Migr,
    /// `NMIGS`.
    Nmigs,
    /// `WHY`.
    Why,
    /// `CPU`.
    Cpu,
    /// `RSS`.
    Rss,
    /// `FWD`.
    Fwd,
    /// `TIME`.
    Time,
    /// `COMMAND`.
    Command,
}

/// A process and what its job says of all.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What its job says of it.
    #[serde(flatten)]
    pub process: Process,
    /// Name of its user.
    pub user: String,
    /// Its home node.
    pub home: String,
    /// What its user has said of where it runs.
    pub kept: Kept,
    /// CPU time of its time, in per cent of a core.
    pub percent_cpu: f64,
    /// Calls forwarded in a second.
    pub forwarded_per_second: f64,
}

/// What the jobs say, and what those that may be asked have not said.
///
/// # Errors
/// The jobs cannot be found.
pub fn listings() -> anyhow::Result<(Vec<Listing>, Vec<String>)> {
    let (mut listings, mut failures) = (Vec::new(), Vec::new());
    for (proxy, answer) in job::ask_all(|job| job.within(JOB_TIMEOUT).list())? {
        match answer {
            Ok(listing) => listings.push(listing),
            Err(error) => failures.push(format!("the job of home proxy {proxy}: {error:#}")),
        }
    }
    for listing in listings.iter().filter(|listing| listing.left_out > 0) {
        let left_out = listing.left_out;
        failures.push(format!(
            "{left_out} processes of one job are left out: it has too many"
        ));
    }
    Ok((listings, failures))
}

/// Its processes.
pub fn rows(listing: Listing, names: &mut Names) -> Vec<Row> {
    let Listing {
        home,
        kept,
        processes,
        ..
    } = listing;
    processes
        .into_iter()
        .map(|process| Row {
            user: names.of(process.uid),
            home: home.clone(),
            kept,
            percent_cpu: per(process.cpu * 100.0, process.age),
            forwarded_per_second: per(process.calls as f64, process.stay),
            process,
        })
        .collect()
}

/// So much in each of so many seconds. A moment counts as a tenth: it tells nothing yet.
pub(crate) fn per(amount: f64, seconds: f64) -> f64 {
    amount / seconds.max(0.1)
}

/// Names of users.
#[derive(Default)]
pub struct Names(HashMap<u32, String>);

impl Names {
    fn of(&mut self, uid: u32) -> String {
        let name = self.0.entry(uid).or_insert_with(|| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        });
        name.clone()
    }
}

impl Column {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Column::Pid => "PID",
            Column::User => "USER",
            Column::Home => "HOME",
            Column::Host => "HOST",
            Column::Migr => "MIGR",
            Column::Nmigs => "NMIGS",
            Column::Why => "WHY",
            Column::Cpu => "%CPU",
            Column::Rss => "RSS",
            Column::Fwd => "FWD/S",
            Column::Time => "TIME",
            Column::Command => "COMMAND",
        }
    }

    /// Whether it is shown to the right.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Column::Pid | Column::Nmigs | Column::Cpu | Column::Rss | Column::Fwd | Column::Time
        )
    }

    /// What it shows of a process: nothing that a terminal would obey.
    pub fn text(self, row: &Row) -> String {
        let process = &row.process;
        let text = match self {
            Column::Pid => process.pid.to_string(),
            Column::User => row.user.clone(),
            Column::Home => row.home.clone(),
            Column::Host => process.host.clone(),
            Column::Migr if process.node == HOME_NODE => "-".to_owned(),
            Column::Migr => format!(">{}", process.host),
            Column::Nmigs => process.moves.to_string(),
            Column::Why => process.why.clone().unwrap_or_else(|| "-".to_owned()),
            Column::Cpu => format!("{:.1}", row.percent_cpu),
            Column::Rss => process.memory.map_or_else(|| "?".to_owned(), size),
            Column::Fwd => format!("{:.0}", row.forwarded_per_second),
            Column::Time => time(process.cpu),
            Column::Command => process.command.clone(),
        };
        job::shown(&text)
    }

    /// Names by the alphabet, numbers with the largest first; pids as they rise.
    pub fn order(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Column::Pid => a.process.pid.cmp(&b.process.pid),
            Column::Nmigs => b.process.moves.cmp(&a.process.moves),
            Column::Cpu => b.percent_cpu.total_cmp(&a.percent_cpu),
            Column::Rss => b.process.memory.cmp(&a.process.memory),
            Column::Fwd => b.forwarded_per_second.total_cmp(&a.forwarded_per_second),
            Column::Time => b.process.cpu.total_cmp(&a.process.cpu),
            _ => self.text(a).cmp(&self.text(b)),
        }
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{}K", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{:.1}M", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1}G", bytes as f64 / f64::from(1 << 30)),
    }
}

fn time(seconds: f64) -> String {
    let seconds = seconds as u64;
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Where process `pid` is, and why it stays there or may move.
///
/// # Errors
/// It is in no job that may be asked.
pub fn explain(pid: i32) -> anyhow::Result<String> {
    let listing = Client::of_process(pid)?.within(JOB_TIMEOUT).list()?;
    let rows = rows(listing, &mut Names::default());
    let row = rows.into_iter().find(|row| row.process.pid == pid);
    let row = row.with_context(|| format!("process {pid} has ended, or is a thread"))?;
    let mut text = paragraph(&row);
    if !row.process.moving && row.process.why.is_none() {
        text.extend(
            policy(pid).map(|decision| format!(" By the cluster's policy it now {decision}.")),
        );
    }
    Ok(job::shown(&text))
}

/// What the node daemon would do with it, if there is one that looks after it.
fn policy(pid: i32) -> Option<String> {
    let client = daemon::Client::connect()
        .ok()?
        .within(DAEMON_TIMEOUT)
        .ok()?;
    match client.ask(&daemon::Request::Why { pid }).ok()? {
        daemon::Reply::Why(decision) => decision,
        _ => None,
    }
}

fn paragraph(row: &Row) -> String {
    let process = &row.process;
    let (pid, command, user) = (process.pid, &process.command, &row.user);
    let (host, stay) = (&process.host, time(process.stay));
    let place = match process.node {
        HOME_NODE => format!("at home, on node {host}"),
        _ => format!("on node {host}; its home is node {}", row.home),
    };
    let moves = match process.moves {
        0 => "It has not moved.".to_owned(),
        1 => "It has moved once.".to_owned(),
        times => format!("It has moved {times} times."),
    };
    let may = match (&process.why, process.moving) {
        (_, true) => "It is on its way, or some of its memory is.".to_owned(),
        (None, _) if process.node == HOME_NODE => {
            "It may move: nothing that it does keeps it at home.".to_owned()
        }
        (None, _) => "It may move on, and home.".to_owned(),
        (Some(why), _) if process.bound => {
            format!("It stays there until it executes another program: {why}.")
        }
        (Some(why), _) => format!("It stays there: {why}."),
    };
    format!("Process {pid} ({command}) of user {user} has run for {stay} {place}. {moves} {may}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A process for tests.
    pub(crate) fn row(pid: i32, node: u32, why: Option<&str>) -> Row {
        Row {
            process: Process {
                pid,
                node,
                host: node.to_string(),
                stay: 3723.0,
                cpu: 61.5,
                memory: Some(3 << 19),
                why: why.map(str::to_owned),
                command: "sleep\u{1b}[2J 1".to_owned(),
                ..Process::default()
            },
            user: "ann".to_owned(),
            home: "1".to_owned(),
            kept: Kept::Free,
            percent_cpu: 99.94,
            forwarded_per_second: 12.0,
        }
    }

    #[test]
    fn columns_sort() {
        let (first, second) = (row(7, 3, None), row(8, 1, None));
        assert_eq!(Column::Pid.order(&first, &second), Ordering::Less);
        assert_eq!(Column::Host.order(&first, &second), Ordering::Greater);
        assert_eq!(Column::Cpu.order(&first, &second), Ordering::Equal);
    }

    #[test]
    fn a_process_is_explained() {
        let said = paragraph(&row(7, 3, None));
        let expected = "has run for 1:02:03 on node 3; its home is node 1. It has not moved. It may move on, and home.";
        assert!(said.contains(expected), "{said}");
        let said = paragraph(&row(7, 1, Some("it maps a file")));
        assert!(said.ends_with("It stays there: it maps a file."), "{said}");
    }
}
