//! Who one is and what one may: ids, limits, mask, priority.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::Value;
use super::Calls;

pub(super) const CALLS: Calls = &[
    (4, umask_),
    (6, limit),
    (4, show_ids),
    (2, set_ids),
    (2, groups),
    (3, priority),
    (2, host),
    (2, super::processes::prctls),
    (2, personality_),
    (2, capabilities),
    (2, scheduling),
    (2, clocks),
    (2, random),
    (3, super::descriptors::open),
    (2, file_size),
];

fn umask_(g: &mut Gen) {
    let mask = g.random.pick(&[0, 0o22, 0o77, 0o777, 0xffff_ffff]);
    g.call("umask", SYS_umask, &[mask.into()]);
}

fn limit(g: &mut Gen) {
    let (what, values) = g.random.pick(&[
        (RLIMIT_NOFILE, &[1024u64, 1010, 2048][..]),
        (RLIMIT_CORE, &[0, 0]),
        (RLIMIT_STACK, &[8 << 20, 4 << 20, u64::MAX]),
        (RLIMIT_DATA, &[u64::MAX, 1 << 30]),
        (RLIMIT_FSIZE, &[u64::MAX, 100_000, 5_000_000]),
        (RLIMIT_NPROC, &[5000, 3000]),
        (RLIMIT_MEMLOCK, &[65536, 1 << 20]),
        (RLIMIT_SIGPENDING, &[1000, 100]),
    ]);
    let what: Value = if g.random.percent(96) {
        u64::from(what)
    } else {
        99
    }
    .into();
    let old = g.out(16, "");
    let new = if g.random.percent(50) {
        let soft = g.random.pick(values);
        let hard = g.random.pick(values);
        g.words(&[soft.into(), hard.into()])
    } else {
        0.into()
    };
    match g.random.below(3) {
        0 => g.call("getrlimit", SYS_getrlimit, &[what, old]),
        1 => g.call("setrlimit", SYS_setrlimit, &[what, new]),
        _ => g.call("prlimit64", SYS_prlimit64, &[0.into(), what, new, old]),
    };
}

/// Writing beyond what a file may have: SIGXFSZ, EFBIG.
fn file_size(g: &mut Gen) {
    let bytes = g.random.pick(&[0, 100, 5000]);
    let new = g.words(&[bytes.into(), u64::MAX.into()]);
    g.call(
        "setrlimit",
        SYS_setrlimit,
        &[u64::from(RLIMIT_FSIZE).into(), new],
    );
    let path = g.text("b");
    let flags = (O_CREAT | O_RDWR) as u64;
    let fd = g.opens("open", SYS_open, &[path, flags.into(), 0o644.into()]);
    let (data, bytes) = g.data();
    g.call("write", SYS_write, &[fd, data, bytes]);
    let (data, bytes) = g.data();
    g.call("pwrite64", SYS_pwrite64, &[fd, data, bytes, 4990.into()]);
    let new = g.words(&[u64::MAX.into(), u64::MAX.into()]);
    g.call(
        "setrlimit",
        SYS_setrlimit,
        &[u64::from(RLIMIT_FSIZE).into(), new],
    );
}

fn show_ids(g: &mut Gen) {
    match g.random.below(4) {
        0 => g.call("getuid", SYS_getuid, &[]),
        1 => g.call("getegid", SYS_getegid, &[]),
        _ => {
            let (a, b, c) = (g.out(4, ""), g.out(4, ""), g.out(4, ""));
            g.call("getresuid", SYS_getresuid, &[a, b, c])
        }
    };
}

fn set_ids(g: &mut Gen) {
    let id = |g: &mut Gen| Value::Number(g.random.pick(&[u64::MAX, 0, 1000, 65534, 0xffff_ffff]));
    match g.random.below(4) {
        0 => {
            let (a, b, c) = (id(g), id(g), Value::Number(u64::MAX));
            g.call("setresuid", SYS_setresuid, &[a, b, c])
        }
        1 => {
            let (a, b, c) = (id(g), id(g), Value::Number(u64::MAX));
            g.call("setresgid", SYS_setresgid, &[a, b, c])
        }
        2 => {
            let a = id(g);
            g.call("setfsuid", SYS_setfsuid, &[a])
        }
        _ => {
            let a = id(g);
            g.call("setgid", SYS_setgid, &[a])
        }
    };
}

fn groups(g: &mut Gen) {
    if g.random.percent(50) {
        let at = g.halves(&[1.into(), 2.into(), 3.into()]);
        let count = g.random.pick(&[3, 1, 0, u64::MAX, 70000]);
        g.call("setgroups", SYS_setgroups, &[count.into(), at]);
    } else {
        let at = g.out(64, "");
        let count = g.random.pick(&[16, 0, 1, u64::MAX]);
        g.call("getgroups", SYS_getgroups, &[count.into(), at]);
    }
}

fn priority(g: &mut Gen) {
    if g.random.percent(40) {
        let nice = g.random.pick(&[1, 5, 30]);
        g.call(
            "setpriority",
            SYS_setpriority,
            &[0.into(), 0.into(), nice.into()],
        );
    } else {
        let which = g.random.pick(&[0, 0, 1, 2, 5]);
        g.call("getpriority", SYS_getpriority, &[which.into(), 0.into()]);
    }
}

fn host(g: &mut Gen) {
    if g.random.percent(50) {
        let at = g.out(390, "");
        g.call("uname", SYS_uname, &[at]);
    } else {
        let at = g.out(112, "some");
        g.call("sysinfo", SYS_sysinfo, &[at]);
    }
}

fn personality_(g: &mut Gen) {
    let persona = g.random.pick(&[0xffff_ffff, 0xffff_ffff, 0, 0x0004_0000]);
    g.call("personality", SYS_personality, &[persona.into()]);
}

fn capabilities(g: &mut Gen) {
    let version = g.random.pick(&[0x2008_0522, 0x1998_0330, 0]);
    let head = g.halves(&[version.into(), 0.into()]);
    let at = g.out(24, "");
    g.call("capget", SYS_capget, &[head, at]);
}

fn scheduling(g: &mut Gen) {
    match g.random.below(4) {
        0 => g.call("sched_getscheduler", SYS_sched_getscheduler, &[0.into()]),
        1 => {
            let policy = g.random.pick(&[0, 1, 3, 99]);
            g.call(
                "sched_get_priority_max",
                SYS_sched_get_priority_max,
                &[policy.into()],
            )
        }
        2 => {
            let at = g.out(4, "");
            g.call("sched_getparam", SYS_sched_getparam, &[0.into(), at])
        }
        _ => g.call("sched_yield", SYS_sched_yield, &[]),
    };
}

fn clocks(g: &mut Gen) {
    let clock = g.random.pick(&[0, 1, 2, 3, 4, 7, 11, 99]);
    let at = g.out(16, "some");
    if g.random.percent(50) {
        g.call("clock_gettime", SYS_clock_gettime, &[clock.into(), at]);
    } else {
        g.call("clock_getres", SYS_clock_getres, &[clock.into(), at]);
    }
}

fn random(g: &mut Gen) {
    let at = g.out(16, "some");
    let flags = g.random.pick(&[0, 1, 2, 8]);
    g.call("getrandom", SYS_getrandom, &[at, 16.into(), flags.into()]);
}
