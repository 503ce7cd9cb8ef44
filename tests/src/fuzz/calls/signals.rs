//! Signals to oneself: dispositions, masks, and what is pending.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Part, Value};
use super::Calls;

pub(super) const CALLS: Calls = &[
    (8, action),
    (3, action_asked),
    (8, mask),
    (5, pending),
    (10, send),
    (4, queue),
    (6, timed_wait),
    (3, suspend),
    (3, masked_poll),
    (2, alt_stack),
    (1, timer),
    (2, raise_by_pipe),
];

/// Not those with which the interpreter ends a sequence or catches its own faults, nor those that
/// stop.
const SIGNALS: &[u64] = &[1, 2, 10, 10, 12, 12, 13, 15, 17, 18, 23, 28, 34, 35, 64];
/// Which must never be blocked.
const NEVER_BLOCKED: u64 = 1 << (SIGSEGV - 1) | 1 << (SIGBUS - 1) | 1 << (SIGALRM - 1);

pub(super) fn set(g: &mut Gen) -> u64 {
    let mut set = 0;
    for _ in 0..g.random.below(5) {
        set |= 1 << (g.random.pick(SIGNALS) - 1);
    }
    if g.random.percent(5) {
        !NEVER_BLOCKED
    } else {
        set
    }
}

pub(super) fn action(g: &mut Gen) {
    let signal = g.random.pick(SIGNALS);
    let flags = g.random.flags(&[
        SA_RESTART as u64,
        SA_NODEFER as u64,
        SA_RESETHAND as u32 as u64,
        SA_ONSTACK as u64,
        SA_NOCLDWAIT as u64,
        SA_NOCLDSTOP as u64,
    ]);
    let (handler, flags) = match g.random.below(8) {
        0 => (0.into(), flags),
        1 => (1.into(), flags),
        _ => (Value::Handler, flags | SA_SIGINFO as u64 | 0x0400_0000),
    };
    let mask = set(g);
    let new = g.words(&[handler, flags.into(), Value::Restorer, mask.into()]);
    let signal = if g.random.percent(4) {
        g.random.pick(&[0, 9, 19, 65, u64::MAX])
    } else {
        signal
    };
    let bytes = if g.random.percent(97) { 8 } else { 4 };
    g.call(
        "rt_sigaction",
        SYS_rt_sigaction,
        &[signal.into(), new, 0.into(), bytes.into()],
    );
}

/// What is set: flags and mask only, the handler is an address.
fn action_asked(g: &mut Gen) {
    let signal = g.random.pick(SIGNALS);
    let at = g.room(32);
    g.part(Part::Out(at + 8, 8, ""));
    g.part(Part::Out(at + 24, 8, ""));
    g.call(
        "rt_sigaction",
        SYS_rt_sigaction,
        &[signal.into(), 0.into(), at.into(), 8.into()],
    );
}

pub(super) fn mask(g: &mut Gen) {
    let how = g.random.pick(&[0, 0, 1, 2, 2, 3]);
    let new = if g.random.percent(90) {
        let set = set(g);
        g.words(&[set.into()])
    } else {
        0.into()
    };
    let old = g.out(8, "");
    g.call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[how.into(), new, old, 8.into()],
    );
}

fn pending(g: &mut Gen) {
    let at = g.out(8, "");
    g.call("rt_sigpending", SYS_rt_sigpending, &[at, 8.into()]);
}

pub(super) fn send(g: &mut Gen) {
    let signal = if g.random.percent(5) {
        g.random.pick(&[0, 65, u64::MAX, 9])
    } else {
        g.random.pick(SIGNALS)
    };
    match g.random.below(3) {
        0 => g.call("kill", SYS_kill, &[Value::OwnPid, signal.into()]),
        1 => g.call("tkill", SYS_tkill, &[Value::OwnTid, signal.into()]),
        _ => g.call(
            "tgkill",
            SYS_tgkill,
            &[Value::OwnPid, Value::OwnTid, signal.into()],
        ),
    };
}

fn queue(g: &mut Gen) {
    let signal = g.random.pick(SIGNALS);
    let code = g.random.pick(&[-1i32, -1, -2, -6, 5, 0]);
    let value = g.random.below(1 << 32);
    let at = g.room(128);
    g.part(Part::Half(at, signal.into()));
    g.part(Part::Half(at + 4, 0.into()));
    g.part(Part::Half(at + 8, u64::from(code as u32).into()));
    g.part(Part::Half(at + 16, Value::OwnPid));
    g.part(Part::Half(at + 20, 0.into()));
    g.part(Part::Word(at + 24, value.into()));
    let at = at.into();
    if g.random.percent(50) {
        g.call(
            "rt_sigqueueinfo",
            SYS_rt_sigqueueinfo,
            &[Value::OwnPid, signal.into(), at],
        );
    } else {
        let arguments = &[Value::OwnPid, Value::OwnTid, signal.into(), at];
        g.call("rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, arguments);
    }
}

fn timed_wait(g: &mut Gen) {
    let set = set(g) | 1 << 9;
    let set = g.words(&[set.into()]);
    let info = if g.random.percent(80) {
        g.out(128, "info")
    } else {
        0.into()
    };
    let nanoseconds = g.random.pick(&[0, 0, 1_000_000, 2_000_000_000]);
    let time = g.words(&[0.into(), nanoseconds.into()]);
    g.call(
        "rt_sigtimedwait",
        SYS_rt_sigtimedwait,
        &[set, info, time, 8.into()],
    );
}

/// Blocks a signal, sends it, and waits for it under another mask.
fn suspend(g: &mut Gen) {
    let signal = g.random.pick(&[10, 12, 34]);
    let bit = 1u64 << (signal - 1);
    let new = g.words(&[
        Value::Handler,
        0x0400_0004u64.into(),
        Value::Restorer,
        0.into(),
    ]);
    g.call(
        "rt_sigaction",
        SYS_rt_sigaction,
        &[signal.into(), new, 0.into(), 8.into()],
    );
    let set = g.words(&[bit.into()]);
    g.call(
        "rt_sigprocmask",
        SYS_rt_sigprocmask,
        &[0.into(), set, 0.into(), 8.into()],
    );
    g.call(
        "tgkill",
        SYS_tgkill,
        &[Value::OwnPid, Value::OwnTid, signal.into()],
    );
    let set = g.words(&[0.into()]);
    g.call("rt_sigsuspend", SYS_rt_sigsuspend, &[set, 8.into()]);
}

/// ppoll, pselect6 and epoll_pwait with a mask of their own.
fn masked_poll(g: &mut Gen) {
    let fd = g.fd();
    let mask = set(g);
    let time = g.words(&[0.into(), 1_000_000.into()]);
    match g.random.below(3) {
        0 => {
            let fds = g.halves(&[fd, 5.into()]);
            let mask = g.words(&[mask.into()]);
            g.call("ppoll", SYS_ppoll, &[fds, 1.into(), time, mask, 8.into()]);
        }
        1 => {
            let set = g.room(8);
            g.part(Part::Word(set, mask.into()));
            let both = g.words(&[set.into(), 8.into()]);
            let null = || Value::Number(0);
            g.call(
                "pselect6",
                SYS_pselect6,
                &[null(), null(), null(), null(), time, both],
            );
        }
        _ => {
            let at = g.out(24, "");
            let mask = g.words(&[mask.into()]);
            g.call(
                "epoll_pwait",
                SYS_epoll_pwait,
                &[fd, at, 2.into(), 1.into(), mask, 8.into()],
            );
        }
    }
}

fn alt_stack(g: &mut Gen) {
    let at = g.random.pick(&[super::super::arena::LARGE + 0x28_0000]);
    let flags = g.random.pick(&[0, 2, 4, 1]);
    let bytes = g.random.pick(&[0x8000, 0x8000, 100]);
    let new = g.words(&[at.into(), flags.into(), bytes.into()]);
    let old = g.out(24, "");
    g.call("sigaltstack", SYS_sigaltstack, &[new, old]);
}

fn timer(g: &mut Gen) {
    let which = g.random.pick(&[1, 2, 5]);
    let new = g.words(&[0.into(), 0.into(), 1000.into(), 0.into()]);
    let old = g.out(32, "left");
    g.call("setitimer", SYS_setitimer, &[which.into(), new, old]);
    let at = g.out(32, "left");
    g.call("getitimer", SYS_getitimer, &[which.into(), at]);
}

/// SIGPIPE, which the call itself makes.
fn raise_by_pipe(g: &mut Gen) {
    let at = g.out(8, "");
    g.call("pipe2", SYS_pipe2, &[at, (O_NONBLOCK as u64).into()]);
    super::descriptors::two(g, at);
    let (write, read) = (g.fds[g.fds.len() - 1], g.fds[g.fds.len() - 2]);
    g.call("close", SYS_close, &[read]);
    let (data, bytes) = g.data();
    g.call("write", SYS_write, &[write, data, bytes]);
}
