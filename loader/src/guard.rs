//! The guard: the home proxy's parent, which tells the user if the proxy dies.
//!
//! The deputies die with the proxy, so nobody else is left to say why. The
//! guard holds the command's standard error as long as the command lives, and
//! no longer: a reader of it hears of the command's end as natively.

use std::fs;
use std::io::{PipeWriter, Write};
use std::os::fd::AsFd;

use sys::pidfd;
use sys::process::{self, Side};

/// Where the guard keeps the command's standard error.
const STDERR: i32 = 3;

/// Starts the proxy of process `command` by `become_proxy`, writes its pid to
/// `pid_to`, and waits for its end. Returns the exit code of this process.
pub(crate) fn guard(
    command: i32,
    mut pid_to: PipeWriter,
    become_proxy: impl FnOnce() -> i32,
) -> i32 {
    let proxy = match process::fork() {
        Ok(Side::Parent(proxy)) => proxy,
        Ok(Side::Child) => return become_proxy(),
        Err(_) => return 1,
    };
    if pid_to.write_all(&proxy.to_ne_bytes()).is_err() {
        return 1;
    }
    drop(pid_to);
    let kept = process::place(std::io::stderr().as_fd(), STDERR).is_ok();
    let detached = process::detach(false).is_ok();
    process::close_from(STDERR as u32 + u32::from(kept && detached));
    if !command_outlived_by(proxy, command) {
        // Killed together: the deputies die when their tracer does.
        match process::wait_for(proxy) {
            Ok(status) if libc::WIFSIGNALED(status) => say(proxy, libc::WTERMSIG(status)),
            _ => {}
        }
        return 0;
    }
    process::close_from(STDERR as u32);
    // The proxy serves what the command has left behind.
    let _ = process::wait_for(proxy);
    0
}

/// Waits for the command's or the proxy's end. Whether the proxy is still alive.
fn command_outlived_by(proxy: i32, command: i32) -> bool {
    if let (Ok(command), Ok(proxy)) = (pidfd::open(command), pidfd::open(proxy)) {
        pidfd::await_end(&[command.as_fd(), proxy.as_fd()]);
    }
    // The tracees are killed while the tracer's thread becomes a zombie.
    let stat = sys::proc_text::read(format!("/proc/{proxy}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Writes to the command's standard error.
fn say(proxy: i32, signal: i32) {
    let text = format!(
        "mosexec: the home proxy (process {proxy}) was killed by signal {signal}: \
         the guests of this command end\n"
    );
    // A reader that is gone wants no message.
    let _ = fs::File::options()
        .append(true)
        .open(format!("/proc/self/fd/{STDERR}"))
        .and_then(|mut stderr| stderr.write_all(text.as_bytes()));
}
