//! The guard: the home proxy's parent, which tells the user if the proxy dies.
//!
//! The deputies die with the proxy, so nobody else is left to say why. The
//! guard holds the command's standard error by path only: that keeps no pipe
//! open, and is opened for writing when there is something to say.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use sys::process::{self, Side};

/// Where the guard keeps the path to standard error.
const STDERR_PATH: i32 = 3;

/// Starts the proxy by `become_proxy`, writes its pid to `pid_to`, and waits
/// for its end. Returns the exit code of this process.
pub(crate) fn guard(mut pid_to: PipeWriter, become_proxy: impl FnOnce() -> i32) -> i32 {
    let stderr = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open("/proc/self/fd/2");
    let proxy = match process::fork() {
        Ok(Side::Parent(proxy)) => proxy,
        Ok(Side::Child) => {
            drop(stderr);
            return become_proxy();
        }
        Err(_) => return 1,
    };
    if pid_to.write_all(&proxy.to_ne_bytes()).is_err() {
        return 1;
    }
    drop(pid_to);
    let kept = process::detach(false).is_ok()
        && stderr.is_ok_and(|stderr| process::place(stderr.as_fd(), STDERR_PATH).is_ok());
    process::close_from(STDERR_PATH as u32 + u32::from(kept));
    match process::wait_for(proxy) {
        Ok(status) if libc::WIFSIGNALED(status) && kept => say(proxy, libc::WTERMSIG(status)),
        _ => {}
    }
    0
}

/// Writes to the command's standard error; a socket or a pipe without readers
/// cannot be opened again, and then nobody is told.
fn say(proxy: i32, signal: i32) {
    let stderr = File::options()
        .append(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{STDERR_PATH}"));
    if let Ok(mut stderr) = stderr {
        let _ = writeln!(
            stderr,
            "mosexec: the home proxy (process {proxy}) was killed by signal {signal}: \
             the guests of this command end"
        );
    }
}
