//! Programs that run where it is best: the node daemon is asked.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use local::daemon::{Client, Reply, Request};

use crate::hosts::{self, Host};
use crate::job::Job;
use crate::setup::{HOME_NODE, Setup};

/// Longest time that the daemon may take: the job stands still meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);
/// Arguments that are told, as many as the daemon looks at.
const ARGUMENTS_MAX: usize = 64;
/// More bytes of each than it looks at.
const ARGUMENT_BYTES_MAX: usize = 128;

/// Where the program that process `pid` has executed runs best.
///
/// # Errors
/// At home, for this reason.
pub(crate) fn host(job: &Arc<Job>, pid: i32) -> Result<Arc<Host>, String> {
    if let Some(refusal) = job.hosts.refusal() {
        return Err(refusal.to_owned());
    }
    let (executable, arguments) = program(pid);
    let name = ask(&executable, arguments)?;
    let node = job.hosts.nodes.find(&name)?;
    job.hosts
        .ready(node)
        .inspect_err(|_| hosts::start_soon(job, node))
}

/// Number of the node where the command of a job is to begin, and why it is that.
pub(crate) fn first(job_setup: &Setup, nodes: &hosts::nodes::Nodes) -> (u32, String) {
    let Some((name, arguments)) = job_setup.command.split_first() else {
        return (HOME_NODE, "there is no command".to_owned());
    };
    let arguments = arguments.iter().take(ARGUMENTS_MAX).cloned().collect();
    let place = ask(&executable(name), arguments).and_then(|name| nodes.find(&name));
    match place {
        Ok(node) => (node, String::new()),
        Err(why) => (HOME_NODE, why),
    }
}

/// What process `pid` has executed, and its arguments without the first.
pub(crate) fn program(pid: i32) -> (PathBuf, Vec<String>) {
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = words.strip_suffix(&[0]).unwrap_or(&words);
    let words = words.split(|byte| *byte == 0).skip(1).take(ARGUMENTS_MAX);
    let words = words.map(|word| &word[..word.len().min(ARGUMENT_BYTES_MAX)]);
    let arguments = words.map(|word| String::from_utf8_lossy(word).into_owned());
    (executable, arguments.collect())
}

/// The file that a command's name means, as execvp(3) finds it.
fn executable(name: &str) -> PathBuf {
    if name.contains('/') {
        return fs::canonicalize(name).unwrap_or_else(|_| name.into());
    }
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(name));
    let found = files.find(|file| sys::process::may_execute(file));
    found.map_or_else(
        || name.into(),
        |file| fs::canonicalize(&file).unwrap_or(file),
    )
}

/// The name of the node; the reason if that is home.
fn ask(executable: &Path, arguments: Vec<String>) -> Result<String, String> {
    let request = Request::Place {
        executable: executable.to_string_lossy().into_owned(),
        arguments,
    };
    let reply = Client::connect().and_then(|client| client.within(ANSWER_TIMEOUT)?.ask(&request));
    match reply {
        Ok(Reply::Place {
            node: Some(name), ..
        }) => Ok(name),
        Ok(Reply::Place { node: None, why }) => Err(why),
        Ok(_) => Err("the node daemon gives another reply".to_owned()),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_execvp_finds_them() {
        assert!(executable("sh").is_absolute());
        assert_eq!(executable("no such command"), Path::new("no such command"));
    }
}
