//! Children and threads, what they inherit and how they end.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Shown, Value, Who};
use super::Calls;

pub(super) const CALLS: Calls = &[
    (6, child),
    (4, thread),
    (6, wait4_),
    (6, waitid_),
    (3, kill_child),
    (2, exit),
    (3, groups),
    (2, names),
    (3, prctls),
    (2, super::signals::action),
    (2, super::signals::mask),
    (1, super::signals::send),
    (1, subreaper),
];

fn child(g: &mut Gen) {
    g.block(Who::Child);
}

fn thread(g: &mut Gen) {
    g.block(Who::Thread);
}

fn pid(g: &mut Gen) -> Value {
    if g.pids.is_empty() || g.random.percent(20) {
        return g
            .random
            .pick(&[u64::MAX, u64::MAX, 0, 1 << 30, 0xffff_ffff])
            .into();
    }
    g.random.pick(&g.pids.clone())
}

fn wait4_(g: &mut Gen) {
    let pid = pid(g);
    let status = g.out(4, "");
    let flags = 1 | g
        .random
        .pick(&[0, 0, 2, 8, 0x4000_0000, 0x8000_0000, 0x100]);
    let usage = if g.random.percent(70) {
        0.into()
    } else {
        g.out(144, "some")
    };
    g.call_shown(
        "wait4",
        SYS_wait4,
        Shown::Pid,
        &[pid, status, flags.into(), usage],
    );
}

fn waitid_(g: &mut Gen) {
    let kind = g.random.pick(&[0, 1, 1, 2, 3, 9]);
    let id = pid(g);
    let info = g.out(128, "info");
    let flags = 1 | g.random.pick(&[4, 4, 4, 0x0100_0004, 0x0100_0000, 0, 8]);
    g.call(
        "waitid",
        SYS_waitid,
        &[kind.into(), id, info, flags.into(), 0.into()],
    );
}

fn kill_child(g: &mut Gen) {
    if let Some(pid) = g.pids.last().copied() {
        let signal = g.random.pick(&[0, 15, 9, 10]);
        g.call("kill", SYS_kill, &[pid, signal.into()]);
    }
}

/// How a child may end: only there.
fn exit(g: &mut Gen) {
    let code = g.random.pick(&[0, 1, 77, 255, 256, u64::MAX]);
    let at_once = g.random.percent(50);
    g.block_of(Who::Child, |g| {
        if at_once {
            g.call("exit_group", SYS_exit_group, &[code.into()]);
        } else {
            let signal = g.random.pick(&[6, 9, 3, 15, 24, 31, 5, 4, 8]);
            g.call(
                "tgkill",
                SYS_tgkill,
                &[Value::OwnPid, Value::OwnTid, signal.into()],
            );
        }
    });
}

fn groups(g: &mut Gen) {
    match g.random.below(5) {
        0 => {
            g.call("setpgid", SYS_setpgid, &[0.into(), 0.into()]);
        }
        1 => {
            g.call_shown("setsid", SYS_setsid, Shown::Pid, &[]);
        }
        2 => {
            g.call_shown("getpgid", SYS_getpgid, Shown::Pid, &[0.into()]);
        }
        3 => {
            g.call_shown("getsid", SYS_getsid, Shown::Pid, &[0.into()]);
        }
        _ => {
            let child = pid(g);
            g.call_shown("getpgid", SYS_getpgid, Shown::Pid, &[child]);
        }
    }
}

fn names(g: &mut Gen) {
    match g.random.below(3) {
        0 => g.call_shown("getpid", SYS_getpid, Shown::Pid, &[]),
        1 => g.call_shown("gettid", SYS_gettid, Shown::Pid, &[]),
        _ => g.call_shown("getppid", SYS_getppid, Shown::Pid, &[]),
    };
}

/// `prctl` with a command, a number or a place to write to.
pub(super) fn prctls(g: &mut Gen) {
    const GETS: &[i32] = &[
        PR_GET_DUMPABLE,
        PR_GET_KEEPCAPS,
        PR_GET_NO_NEW_PRIVS,
        PR_GET_TIMERSLACK,
        PR_GET_THP_DISABLE,
        PR_GET_SECCOMP,
        PR_GET_SECUREBITS,
        99,
    ];
    match g.random.below(8) {
        0 => {
            let name = g
                .random
                .pick(&["", "short", "a name that is too long for it"]);
            let name = g.text(name);
            g.call("prctl(PR_SET_NAME)", SYS_prctl, &[15.into(), name]);
        }
        1 => {
            let at = g.out(16, "");
            g.call("prctl(PR_GET_NAME)", SYS_prctl, &[16.into(), at]);
        }
        2 => {
            let signal = g.random.pick(&[0, 10, 65]);
            g.call(
                "prctl(PR_SET_PDEATHSIG)",
                SYS_prctl,
                &[1.into(), signal.into()],
            );
        }
        3 => {
            let at = g.out(4, "");
            g.call("prctl(PR_GET_PDEATHSIG)", SYS_prctl, &[2.into(), at]);
        }
        4 => {
            let value = g.random.pick(&[0, 1, 2]);
            let command = g.random.pick(&[8, 29, 38]);
            g.call("prctl(set)", SYS_prctl, &[command.into(), value.into()]);
        }
        5 => {
            let capability = g.random.pick(&[0, 5, 40, 64]);
            g.call(
                "prctl(PR_CAPBSET_READ)",
                SYS_prctl,
                &[23.into(), capability.into()],
            );
        }
        _ => {
            let command = g.random.pick(GETS) as u64;
            g.call("prctl(get)", SYS_prctl, &[command.into()]);
        }
    }
}

fn subreaper(g: &mut Gen) {
    let at = g.out(4, "");
    g.call(
        "prctl(PR_SET_CHILD_SUBREAPER)",
        SYS_prctl,
        &[36.into(), 1.into()],
    );
    g.call("prctl(PR_GET_CHILD_SUBREAPER)", SYS_prctl, &[37.into(), at]);
}
