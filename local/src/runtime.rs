//! Starting the runtime of a job on this machine, for a private node or for another node's job.

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
