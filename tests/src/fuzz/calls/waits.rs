//! Calls that wait for what a process beside does, and signals that come meanwhile.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Shown, Value, Who};
use super::Calls;

pub(super) const CALLS: Calls = &[
    (5, read_waits),
    (4, read_interrupted),
    (4, wait_waits),
    (3, poll_waits),
    (2, lock_waits),
    (3, signal_awaited),
    (2, suspended),
    (3, write_waits),
    (2, sleep_interrupted),
    (2, socket_waits),
];

fn sleep(g: &mut Gen, milliseconds: u64) {
    let time = g.words(&[0.into(), (milliseconds * 1_000_000).into()]);
    g.call("nanosleep", SYS_nanosleep, &[time, 0.into()]);
}

fn pipe(g: &mut Gen) -> (Value, Value) {
    let at = g.room(8);
    g.call("pipe2", SYS_pipe2, &[at.into(), 0.into()]);
    (Value::IntAt(at), Value::IntAt(at + 4))
}

fn handler(g: &mut Gen, signal: u64) {
    let flags = 0x0400_0000 | SA_SIGINFO as u64 | g.random.pick(&[0, SA_RESTART as u64]);
    let new = g.words(&[Value::Handler, flags.into(), Value::Restorer, 0.into()]);
    g.call(
        "rt_sigaction",
        SYS_rt_sigaction,
        &[signal.into(), new, 0.into(), 8.into()],
    );
}

/// Waits so that the one beside ends inside the sequence.
fn join(g: &mut Gen, child: Value) {
    for _ in 0..2 {
        let status = g.out(4, "");
        g.call_shown(
            "wait4",
            SYS_wait4,
            Shown::Pid,
            &[child, status, 0.into(), 0.into()],
        );
    }
}

fn read_waits(g: &mut Gen) {
    let (read, write) = pipe(g);
    let writes = g.random.percent(70);
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 3);
        if writes {
            let (data, bytes) = (g.stream_of(b"some text"), 9);
            g.call("write", SYS_write, &[write, data, bytes.into()]);
        }
    });
    g.call("close", SYS_close, &[write]);
    for _ in 0..2 {
        let at = g.stream(20);
        g.call("read", SYS_read, &[read, at, 20.into()]);
    }
    join(g, child);
    g.call("close", SYS_close, &[read]);
}

fn read_interrupted(g: &mut Gen) {
    let (read, write) = pipe(g);
    let signal = g.random.pick(&[10, 12, 34]);
    handler(g, signal);
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 40);
        g.call("kill", SYS_kill, &[Value::ParentPid, signal.into()]);
        sleep(g, 40);
        let data = g.stream_of(b"late");
        g.call("write", SYS_write, &[write, data, 4.into()]);
    });
    let at = g.stream(8);
    g.call("read", SYS_read, &[read, at, 4.into()]);
    join(g, child);
    g.call("close", SYS_close, &[read]);
    g.call("close", SYS_close, &[write]);
}

fn wait_waits(g: &mut Gen) {
    let code = g.random.pick(&[0, 5, 200]);
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 3);
        g.call("exit_group", SYS_exit_group, &[code.into()]);
    });
    if g.random.percent(50) {
        let info = g.out(128, "info");
        g.call(
            "waitid",
            SYS_waitid,
            &[1.into(), child, info, 4.into(), 0.into()],
        );
    }
    join(g, child);
}

fn poll_waits(g: &mut Gen) {
    let (read, write) = pipe(g);
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 5);
        let data = g.stream_of(b"x");
        g.call("write", SYS_write, &[write, data, 1.into()]);
    });
    match g.random.below(3) {
        0 => {
            let fds = g.halves(&[read, 1.into()]);
            if let Value::Number(at) = fds {
                g.part(super::super::sequence::Part::Out(at + 4, 4, ""));
                g.part(super::super::sequence::Part::Half(at + 4, 1.into()));
            }
            g.call("poll", SYS_poll, &[fds, 1.into(), 20000.into()]);
        }
        1 => {
            let fds = g.halves(&[read, 1.into()]);
            let time = g.words(&[20.into(), 0.into()]);
            let mask = g.words(&[0.into()]);
            g.call("ppoll", SYS_ppoll, &[fds, 1.into(), time, mask, 8.into()]);
        }
        _ => {
            let set = g.call("epoll_create1", SYS_epoll_create1, &[0.into()]);
            let event = g.halves(&[1.into(), 7.into(), 8.into()]);
            g.call("epoll_ctl", SYS_epoll_ctl, &[set, 1.into(), read, event]);
            let at = g.out(24, "");
            g.call(
                "epoll_wait",
                SYS_epoll_wait,
                &[set, at, 2.into(), 20000.into()],
            );
            g.call("close", SYS_close, &[set]);
        }
    }
    join(g, child);
    g.call("close", SYS_close, &[read]);
    g.call("close", SYS_close, &[write]);
}

/// A lock that the one beside holds for a while.
fn lock_waits(g: &mut Gen) {
    let path = g.text("fixed");
    let fd = g.call("open", SYS_open, &[path, 2.into()]);
    let whole = g.random.percent(50);
    let take = |g: &mut Gen, fd: Value, waits: bool| {
        if whole {
            let what = LOCK_EX | if waits { 0 } else { LOCK_NB };
            g.call("flock", SYS_flock, &[fd, (what as u64).into()]);
        } else {
            let lock = g.words(&[1.into(), 0.into(), 10.into(), 0.into()]);
            let command = if waits { F_SETLKW } else { F_SETLK };
            g.call(
                "fcntl(lock)",
                SYS_fcntl,
                &[fd, (command as u64).into(), lock],
            );
        }
    };
    let child = g.block_of(Who::Background, |g| {
        let path = g.text("fixed");
        let own = g.call("open", SYS_open, &[path, 2.into()]);
        take(g, own, false);
        sleep(g, 25);
    });
    sleep(g, 10);
    take(g, fd, true);
    join(g, child);
    g.call("close", SYS_close, &[fd]);
}

fn signal_awaited(g: &mut Gen) {
    let signal = g.random.pick(&[10u64, 34, 17]);
    let set = g.words(&[(1u64 << (signal - 1)).into()]);
    g.call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[0.into(), set, 0.into(), 8.into()],
    );
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 5);
        if signal != 17 {
            g.call("kill", SYS_kill, &[Value::ParentPid, signal.into()]);
        }
    });
    let set = g.words(&[(1u64 << (signal - 1)).into()]);
    let info = g.out(128, "info");
    let time = g.words(&[20.into(), 0.into()]);
    g.call(
        "rt_sigtimedwait",
        SYS_rt_sigtimedwait,
        &[set, info, time, 8.into()],
    );
    join(g, child);
    let set = g.words(&[(1u64 << (signal - 1)).into()]);
    g.call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[1.into(), set, 0.into(), 8.into()],
    );
}

fn suspended(g: &mut Gen) {
    let signal = g.random.pick(&[10u64, 34]);
    handler(g, signal);
    let bit = 1u64 << (signal - 1);
    let set = g.words(&[bit.into()]);
    g.call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[0.into(), set, 0.into(), 8.into()],
    );
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 5);
        g.call("kill", SYS_kill, &[Value::ParentPid, signal.into()]);
    });
    let set = g.words(&[0.into()]);
    if g.random.percent(50) {
        g.call("rt_sigsuspend", SYS_rt_sigsuspend, &[set, 8.into()]);
    } else {
        g.call(
            "ppoll",
            SYS_ppoll,
            &[0.into(), 0.into(), 0.into(), set, 8.into()],
        );
    }
    join(g, child);
}

/// More than a pipe holds, which the one beside reads.
fn write_waits(g: &mut Gen) {
    let (read, write) = pipe(g);
    let child = g.block_of(Who::Background, |g| {
        g.call("close", SYS_close, &[write]);
        sleep(g, 3);
        for _ in 0..4 {
            let at = super::super::arena::LARGE + 0x10_0000;
            g.call("read", SYS_read, &[read, at.into(), 65536.into()]);
        }
    });
    g.call("close", SYS_close, &[read]);
    let bytes = g.random.pick(&[100_000, 200_000, 262_144]);
    let at = super::super::arena::LARGE;
    g.call("write", SYS_write, &[write, at.into(), bytes.into()]);
    join(g, child);
    g.call("close", SYS_close, &[write]);
}

fn sleep_interrupted(g: &mut Gen) {
    handler(g, 10);
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 40);
        g.call("kill", SYS_kill, &[Value::ParentPid, 10.into()]);
    });
    let time = g.words(&[0.into(), 400_000_000.into()]);
    let left = g.out(16, "left");
    match g.random.below(3) {
        0 => g.call("nanosleep", SYS_nanosleep, &[time, left]),
        1 => g.call(
            "clock_nanosleep",
            SYS_clock_nanosleep,
            &[1.into(), 0.into(), time, left],
        ),
        _ => g.call("poll", SYS_poll, &[0.into(), 0.into(), 400.into()]),
    };
    join(g, child);
}

fn socket_waits(g: &mut Gen) {
    let at = g.room(8);
    let kind = g.random.pick(&[1, 2, 5]);
    g.call(
        "socketpair",
        SYS_socketpair,
        &[1.into(), kind.into(), 0.into(), at.into()],
    );
    let (one, other) = (Value::IntAt(at), Value::IntAt(at + 4));
    let child = g.block_of(Who::Background, |g| {
        sleep(g, 5);
        let data = g.stream_of(b"a message");
        g.call(
            "sendto",
            SYS_sendto,
            &[other, data, 9.into(), 0.into(), 0.into(), 0.into()],
        );
    });
    let target = g.stream(20);
    let bytes = g.random.pick(&[20, 4]);
    g.call(
        "recvfrom",
        SYS_recvfrom,
        &[one, target, bytes.into(), 0.into(), 0.into(), 0.into()],
    );
    join(g, child);
    g.call("close", SYS_close, &[one]);
    g.call("close", SYS_close, &[other]);
}
