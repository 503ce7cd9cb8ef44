//! Waits that threads are seen in before they are stopped: when one has stopped, the kernel does not tell how
//! long it has waited.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use sys::ptrace;

use crate::capture::status_field;
use crate::socket_limit::Socket;
use crate::unfinished::{
    ERESTART_RESTARTBLOCK, Unfinished, arguments, hexadecimal, is_limited, now_ns, of_call,
    of_socket, says_how_long,
};

/// A wait that a thread was seen in.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    wait: Unfinished,
    /// How often the thread had stood still by itself, this time included.
    stops: u64,
}

impl Seen {
    /// The wait that thread `tid` was in until now, where it stands still.
    pub(crate) fn until_now(tid: i32, wait: Unfinished) -> Option<Seen> {
        let stops = stops_of(tid)?;
        Some(Seen { wait, stops })
    }

    /// The wait, if thread `tid`, which has stopped since, has done so in it and in no other.
    pub(crate) fn if_of(self, tid: i32) -> Option<Unfinished> {
        (stops_of(tid)? == self.stops + 1).then_some(self.wait)
    }
}

/// How often thread `tid` of this node has stood still by itself.
fn stops_of(tid: i32) -> Option<u64> {
    let status = sys::proc_text::read(format!("/proc/{tid}/status")).ok()?;
    status_field(&status, "voluntary_ctxt_switches:")?
        .parse()
        .ok()
}

/// The wait that thread `tid` of this node is in, if it has an end. Where the
/// kernel does not tell when it began, it begins now.
pub fn of_blocked(tid: i32) -> Option<Seen> {
    let look = || {
        let call = sys::proc_text::read(format!("/proc/{tid}/syscall")).ok()?;
        Some((call, stops_of(tid)?))
    };
    let (call, stops) = look()?;
    let wait = of_blocked_in(tid, &call)?;
    // Else what was read was not that call's.
    (look()? == (call, stops)).then_some(Seen { wait, stops })
}

fn of_blocked_in(tid: i32, call: &str) -> Option<Unfinished> {
    let mut words = call.split_whitespace();
    let nr: u32 = words.next()?.parse().ok()?;
    if !is_limited(nr) {
        return None;
    }
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = hexadecimal(words.next()?)?;
    }
    let since_ns = || {
        // In this order: to find out may take a while, and rather too late than too early.
        let waited_ns = waited_ns(tid).unwrap_or(0);
        now_ns().saturating_sub(waited_ns)
    };
    if says_how_long(nr, &args)
        && let Some(wait) = of_call(tid, nr, &args, since_ns())
    {
        return Some(wait);
    }
    let limit = Socket::of(tid, nr, args[0])?.limit()?;
    of_socket(nr, limit, since_ns())
}

/// How long a sleeping thread has not run: by the scheduler's clock, which both
/// threads' entries in `/proc/TID/sched` show. Each processor has a clock of its
/// own, so it is read where that thread has run.
fn waited_ns(tid: i32) -> Option<u64> {
    let last_run_ns = |whose: &str| {
        let text = sys::proc_text::read(format!("/proc/{whose}/sched")).ok()?;
        let line = text
            .lines()
            .find(|line| line.starts_with("se.exec_start"))?;
        let (milliseconds, rest) = line.rsplit_once(':')?.1.trim().split_once('.')?;
        let milliseconds: u64 = milliseconds.parse().ok()?;
        Some(milliseconds * 1_000_000 + rest.parse::<u64>().ok()?)
    };
    let processor = processor_of(tid)?;
    let ourselves = Pid::from_raw(0);
    let own = sched_getaffinity(ourselves).ok()?;
    let mut there = CpuSet::new();
    there.set(processor).ok()?;
    sched_setaffinity(ourselves, &there).ok()?;
    // The scheduler notes its own time when it is entered.
    std::thread::yield_now();
    let (now, then) = (last_run_ns("thread-self"), last_run_ns(&tid.to_string()));
    // Can fail only if the processor is being taken away.
    let _ = sched_setaffinity(ourselves, &own);
    if processor_of(tid)? != processor {
        // It has woken up.
        return None;
    }
    now?.checked_sub(then?)
}

/// Processor on which thread `tid` runs or has run last: field 39 of its stat.
fn processor_of(tid: i32) -> Option<usize> {
    let stat = sys::proc_text::read(format!("/proc/{tid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(36)?.parse().ok()
}

/// What is left of the wait that stopped thread `tid` of this node was interrupted in, if it has an end; `seen` is
/// the one that it was seen in while it ran. If it has stopped in another one, that goes on with what its
/// arguments say, which is the longest that may be left.
pub fn of_stopped(tid: i32, seen: Option<Seen>) -> Option<Unfinished> {
    // Fails if it has ended. Asked first: from then on it stands still.
    let regs = ptrace::registers(tid).ok()?;
    let nr = u32::try_from(regs.orig_rax).ok()?;
    let seen = seen.and_then(|seen| seen.if_of(tid));
    // Of others the kernel keeps nothing: it makes them again from their arguments.
    let is_wait =
        seen.is_some_and(|seen| seen.nr == nr) || regs.rax as i64 == ERESTART_RESTARTBLOCK;
    let longest = is_wait.then(|| of_call(tid, nr, &arguments(&regs), now_ns()));
    match (seen, longest.flatten()) {
        (Some(seen), Some(longest)) if seen.nr == nr => Some(Unfinished {
            rest: seen.rest.min(longest.rest),
            ..seen
        }),
        (None, longest) => longest,
        (seen, _) => seen,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::unfinished::Rest;

    #[test]
    fn a_sleeping_thread_shows_its_wait() {
        let (tell, told) = std::sync::mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            let tid = nix::unistd::gettid().as_raw();
            tell.send((tid, now_ns())).expect("a listener");
            std::thread::sleep(Duration::from_millis(300));
        });
        let (tid, began_ns) = told.recv().expect("a thread id");
        std::thread::sleep(Duration::from_millis(100));
        // Rust sleeps until a point in time where it can: then nothing is left to reckon.
        if let Some(Seen {
            wait:
                Unfinished {
                    rest: Rest::Until(deadline_ns),
                    ..
                },
            ..
        }) = of_blocked(tid)
        {
            let end_ns = began_ns + 300_000_000;
            let error = deadline_ns.abs_diff(end_ns);
            assert!(error < 100_000_000, "{error} ns off");
        }
        sleeper.join().expect("a sleeper");
    }

    /// What is known of the wait of process `pid` when it is stopped, `time` after it was seen in one.
    fn seen_and_stopped(pid: i32, time: Duration) -> std::io::Result<Option<Unfinished>> {
        /// select(2) of the C library.
        const SELECT: u32 = libc::SYS_pselect6 as u32;
        ptrace::seize(pid, 0)?;
        let seen = loop {
            match of_blocked(pid) {
                Some(seen) if seen.wait.nr == SELECT => break seen,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        std::thread::sleep(time);
        ptrace::interrupt(pid)?;
        ptrace::wait(pid, false)?;
        Ok(of_stopped(pid, Some(seen)))
    }

    #[test]
    fn a_wait_that_is_over_is_not_taken_for_the_next() {
        let program = "select(undef, undef, undef, 2); select(undef, undef, undef, 60)";
        for (is_seen, time) in [(true, 0), (false, 3000)] {
            let mut perl = std::process::Command::new("perl");
            let mut child = perl.args(["-e", program]).spawn().expect("perl");
            let wait = seen_and_stopped(child.id() as i32, Duration::from_millis(time));
            child.kill().expect("a child");
            child.wait().expect("its end");
            // Of the other one its arguments say how long it is.
            let wait = wait.expect("a tracee");
            assert_eq!(wait.is_some(), is_seen, "{wait:?}");
        }
    }
}
