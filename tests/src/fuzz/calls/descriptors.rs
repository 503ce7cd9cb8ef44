//! Descriptors: where they come from, what is set on them, how they end.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::Value;
use super::Calls;

pub(super) const CALLS: Calls = &[
    (8, open),
    (3, pipe),
    (5, dup),
    (4, dup2),
    (3, dup3),
    (5, close),
    (2, close_range),
    (2, eventfd),
    (2, eventfd_io),
    (2, memfd),
    (3, seals),
    (2, epoll),
    (3, timerfd),
    (7, fcntl_flags),
    (3, fcntl_owner),
    (6, fcntl_lock),
    (3, flock_),
    (2, inotify),
    (3, ioctls),
    (2, poll_now),
    (2, select_now),
    (2, pidfd),
    (1, fcntl_pipe),
    (1, signalfd_),
];

pub(super) const OPEN_FLAGS: &[u64] = &[
    O_CREAT as u64,
    O_EXCL as u64,
    O_TRUNC as u64,
    O_APPEND as u64,
    O_CLOEXEC as u64,
];
const RARE_OPEN_FLAGS: &[u64] = &[
    O_DIRECTORY as u64,
    O_NOFOLLOW as u64,
    O_PATH as u64,
    O_NOATIME as u64,
    O_SYNC as u64,
    O_DIRECT as u64,
];

pub(super) fn open_flags(g: &mut Gen) -> u64 {
    let mut flags = O_NONBLOCK as u64 | g.random.pick(&[0, 1, 2, 2, 2, 3]);
    flags |= g.random.flags(OPEN_FLAGS);
    if g.random.percent(40) {
        flags |= O_CREAT as u64;
    }
    if g.random.percent(15) {
        flags |= g.random.pick(RARE_OPEN_FLAGS);
    }
    flags
}

pub(super) fn open(g: &mut Gen) {
    let flags = open_flags(g).into();
    let (path, mode) = (g.path(), g.mode());
    if g.random.percent(30) {
        g.opens("open", SYS_open, &[path, flags, mode]);
    } else {
        let dir = g.dirfd();
        g.opens("openat", SYS_openat, &[dir, path, flags, mode]);
    }
}

fn pipe(g: &mut Gen) {
    let at = g.out(8, "");
    let flags = g.random.pick(&[
        O_NONBLOCK as u64,
        O_NONBLOCK as u64,
        (O_NONBLOCK | O_CLOEXEC) as u64,
        (O_NONBLOCK | O_DIRECT) as u64,
        1,
    ]);
    g.call("pipe2", SYS_pipe2, &[at, flags.into()]);
    two(g, at);
}

/// The two descriptors that the last call has put there.
pub(super) fn two(g: &mut Gen, at: Value) {
    if let Value::Number(at) = at {
        g.fds.extend([Value::IntAt(at), Value::IntAt(at + 4)]);
    }
}

fn dup(g: &mut Gen) {
    let fd = g.fd();
    g.opens("dup", SYS_dup, &[fd]);
}

fn number(g: &mut Gen) -> Value {
    g.random
        .pick(&[3, 4, 5, 6, 10, 50, 100, 1023, 1024, u64::MAX, 1 << 32])
        .into()
}

fn dup2(g: &mut Gen) {
    let (fd, to) = (g.fd(), number(g));
    g.opens("dup2", SYS_dup2, &[fd, to]);
}

fn dup3(g: &mut Gen) {
    let (fd, to) = (g.fd(), number(g));
    let flags = g.random.pick(&[0, O_CLOEXEC as u64, O_CLOEXEC as u64, 1]);
    g.opens("dup3", SYS_dup3, &[fd, to, flags.into()]);
}

fn close(g: &mut Gen) {
    let fd = g.fd();
    g.call("close", SYS_close, &[fd]);
}

fn close_range(g: &mut Gen) {
    let from = g.random.pick(&[3, 4, 5, 8, 50]);
    let to = g.random.pick(&[3, 5, 9, 60, 999, 2]);
    let flags = g.random.pick(&[0, 0, 4, 4, 2, 8]);
    g.call(
        "close_range",
        SYS_close_range,
        &[from.into(), to.into(), flags.into()],
    );
}

fn eventfd(g: &mut Gen) {
    let first = g.random.pick(&[0, 1, 7, 0xffff_ffff]);
    let flags = O_NONBLOCK as u64 | g.random.pick(&[0, 1, O_CLOEXEC as u64]);
    g.opens("eventfd2", SYS_eventfd2, &[first.into(), flags.into()]);
}

fn eventfd_io(g: &mut Gen) {
    let fd = g.fd();
    if g.random.percent(50) {
        let value: u64 = g.random.pick(&[0, 1, 5, u64::MAX, u64::MAX - 1]);
        let at = g.stream_of(&value.to_le_bytes());
        let bytes = g.random.pick(&[8, 8, 8, 7, 16]);
        g.call("write", SYS_write, &[fd, at, bytes.into()]);
    } else {
        let at = g.stream(16);
        let bytes = g.random.pick(&[8, 8, 8, 7, 16]);
        g.call("read", SYS_read, &[fd, at, bytes.into()]);
    }
}

fn memfd(g: &mut Gen) {
    let name = g.text("memory");
    let flags = g
        .random
        .flags(&[u64::from(MFD_CLOEXEC), u64::from(MFD_ALLOW_SEALING)]);
    g.opens("memfd_create", SYS_memfd_create, &[name, flags.into()]);
}

fn seals(g: &mut Gen) {
    let fd = g.fd();
    if g.random.percent(50) {
        let seals = g.random.below(32);
        g.call(
            "fcntl(F_ADD_SEALS)",
            SYS_fcntl,
            &[fd, (F_ADD_SEALS as u64).into(), seals.into()],
        );
    } else {
        g.call(
            "fcntl(F_GET_SEALS)",
            SYS_fcntl,
            &[fd, (F_GET_SEALS as u64).into()],
        );
    }
}

fn epoll(g: &mut Gen) {
    let flags = g.random.pick(&[0, O_CLOEXEC as u64, 1]);
    let set = g.opens("epoll_create1", SYS_epoll_create1, &[flags.into()]);
    for _ in 0..g.random.below(4) {
        let what = g.random.pick(&[1, 1, 1, 2, 3, 0, 4]);
        let fd = g.fd();
        let events = g.random.pick(&[1, 4, 5, 0x8000_0001, 0x4000_0001, 0x2001]);
        let data = g.random.below(1 << 40);
        let event = g.halves(&[
            events.into(),
            (data & 0xffff_ffff).into(),
            (data >> 32).into(),
        ]);
        g.call("epoll_ctl", SYS_epoll_ctl, &[set, what.into(), fd, event]);
    }
    let at = g.out(60, "");
    let count = g.random.pick(&[5, 5, 1, 0, u64::MAX]);
    g.call(
        "epoll_wait",
        SYS_epoll_wait,
        &[set, at, count.into(), 0.into()],
    );
}

fn timerfd(g: &mut Gen) {
    let clock = g.random.pick(&[0, 1, 7, 99]);
    let flags = O_NONBLOCK as u64 | g.random.pick(&[0, O_CLOEXEC as u64, 1]);
    let fd = g.opens(
        "timerfd_create",
        SYS_timerfd_create,
        &[clock.into(), flags.into()],
    );
    let seconds = g.random.pick(&[0, 1000, u64::MAX]);
    let interval = g.random.pick(&[0, 5]);
    let nanoseconds = g.random.pick(&[0, 1_000_000_000, 0]);
    let new = g.words(&[
        interval.into(),
        0.into(),
        seconds.into(),
        nanoseconds.into(),
    ]);
    let old = g.out(32, "left");
    let flags = g.random.pick(&[0, 0, 8]);
    g.call(
        "timerfd_settime",
        SYS_timerfd_settime,
        &[fd, flags.into(), new, old],
    );
    let at = g.out(32, "left");
    g.call("timerfd_gettime", SYS_timerfd_gettime, &[fd, at]);
    let at = g.stream(8);
    g.call("read", SYS_read, &[fd, at, 8.into()]);
}

fn fcntl_flags(g: &mut Gen) {
    let fd = g.fd();
    let (command, argument) = match g.random.below(6) {
        0 => (F_GETFD, 0),
        1 => (F_SETFD, g.random.pick(&[0, 1, 2, u64::MAX])),
        2 => (F_GETFL, 0),
        3 => {
            let flags = g
                .random
                .flags(&[O_APPEND as u64, O_NOATIME as u64, O_DIRECT as u64]);
            (F_SETFL, flags | O_NONBLOCK as u64)
        }
        4 => (F_DUPFD, g.random.pick(&[0, 3, 20, 1024, u64::MAX])),
        _ => (F_DUPFD_CLOEXEC, g.random.pick(&[0, 3, 20])),
    };
    let result = g.call(
        "fcntl",
        SYS_fcntl,
        &[fd, (command as u64).into(), argument.into()],
    );
    if command == F_DUPFD || command == F_DUPFD_CLOEXEC {
        g.fds.push(result);
    }
}

fn fcntl_owner(g: &mut Gen) {
    use super::super::sequence::Shown::Pid;
    let fd = g.fd();
    match g.random.below(6) {
        0 => {
            let pid = Value::OwnPid;
            g.call(
                "fcntl(F_SETOWN)",
                SYS_fcntl,
                &[fd, (F_SETOWN as u64).into(), pid],
            );
        }
        1 => {
            g.call_shown(
                "fcntl(F_GETOWN)",
                SYS_fcntl,
                Pid,
                &[fd, (F_GETOWN as u64).into()],
            );
        }
        2 => {
            let signal = g.random.pick(&[0, 10, 34, 65]);
            g.call(
                "fcntl(F_SETSIG)",
                SYS_fcntl,
                &[fd, 10.into(), signal.into()],
            );
        }
        3 => {
            g.call("fcntl(F_GETSIG)", SYS_fcntl, &[fd, 11.into()]);
        }
        4 => {
            let kind = g.random.pick(&[0, 1, 2, 3]);
            let owner = g.halves(&[kind.into(), Value::OwnPid]);
            g.call("fcntl(F_SETOWN_EX)", SYS_fcntl, &[fd, 15.into(), owner]);
        }
        _ => {
            let at = g.out(4, "");
            let number = g.random.pick(&[99, 38, 1036]);
            g.call("fcntl(unknown)", SYS_fcntl, &[fd, number.into(), at]);
        }
    }
}

/// `struct flock`: type, whence, start, length, pid.
fn fcntl_lock(g: &mut Gen) {
    let fd = g.fd();
    let command = g.random.pick(&[
        F_GETLK,
        F_SETLK,
        F_SETLK,
        F_OFD_GETLK,
        F_OFD_SETLK,
        F_OFD_SETLK,
    ]);
    let kind = g.random.pick(&[0, 1, 2, 2, 3]);
    let whence = g.random.pick(&[0, 0, 1, 2, 5]);
    let start = g.random.pick(&[0, 5, 100, u64::MAX, 1 << 62]);
    let length = g.random.pick(&[0, 1, 10, u64::MAX - 3]);
    let pid = if g.random.percent(90) { 0 } else { 5 };
    let at = g.out(32, "lock");
    if let Value::Number(at) = at {
        use super::super::sequence::Part;
        g.part(Part::Word(at, (kind | whence << 16).into()));
        g.part(Part::Word(at + 8, start.into()));
        g.part(Part::Word(at + 16, length.into()));
        g.part(Part::Word(at + 24, pid.into()));
    }
    g.call("fcntl(lock)", SYS_fcntl, &[fd, (command as u64).into(), at]);
}

fn flock_(g: &mut Gen) {
    let fd = g.fd();
    let what = g.random.pick(&[LOCK_SH, LOCK_EX, LOCK_UN, 0]) | LOCK_NB;
    g.call("flock", SYS_flock, &[fd, (what as u64).into()]);
}

fn inotify(g: &mut Gen) {
    let flags = O_NONBLOCK as u64 | g.random.pick(&[0, O_CLOEXEC as u64, 1]);
    let fd = g.opens("inotify_init1", SYS_inotify_init1, &[flags.into()]);
    let path = g.path();
    let mask = g.random.pick(&[0xfff, 0x3ff, 0, 0x100, 0x2000_0100]);
    let watch = g.call(
        "inotify_add_watch",
        SYS_inotify_add_watch,
        &[fd, path, mask.into()],
    );
    super::paths::any(g);
    super::paths::any(g);
    let (at, bytes) = g.target();
    g.call("read", SYS_read, &[fd, at, bytes]);
    if g.random.percent(30) {
        g.call("inotify_rm_watch", SYS_inotify_rm_watch, &[fd, watch]);
    }
}

fn ioctls(g: &mut Gen) {
    let fd = g.fd();
    let command = g.random.pick(&[
        0x541b, 0x5450, 0x5451, 0x5401, 0x5413, 0x8910, 0x2, 0x8901, 0x1234,
    ]);
    let at = g.out(64, "");
    g.call("ioctl", SYS_ioctl, &[fd, command.into(), at]);
}

fn poll_now(g: &mut Gen) {
    let count = g.random.below(4);
    let mut halves = Vec::new();
    for _ in 0..count {
        halves.push(g.fd());
        halves.push(g.random.pick(&[1, 4, 5, 0x2f, 0xffff]).into());
    }
    let at = g.halves(&halves);
    if let Value::Number(at) = at {
        // Only printed: the parts before it fill it.
        g.part(super::super::sequence::Part::Out(
            at,
            (count * 8).max(1),
            "",
        ));
    }
    let timeout = g.random.pick(&[0, 0, 1]);
    let count = if g.random.percent(95) { count } else { 1 << 20 };
    g.call("poll", SYS_poll, &[at, count.into(), timeout.into()]);
}

fn select_now(g: &mut Gen) {
    let count = g.random.pick(&[0, 1, 8, 65, 1024, u64::MAX]);
    let mut sets = Vec::new();
    for _ in 0..3 {
        if g.random.percent(40) {
            sets.push(0.into());
            continue;
        }
        let at = g.out(128, "");
        if let Value::Number(at) = at {
            let bits = g.random.next() & 0xfff & g.random.next();
            for word in 0..16 {
                let value = if word == 0 { bits } else { 0 };
                g.part(super::super::sequence::Part::Word(
                    at + word * 8,
                    value.into(),
                ));
            }
        }
        sets.push(at);
    }
    let time = g.words(&[0.into(), 0.into()]);
    g.call(
        "select",
        SYS_select,
        &[count.into(), sets[0], sets[1], sets[2], time],
    );
}

fn pidfd(g: &mut Gen) {
    let pid = if g.pids.is_empty() || g.random.percent(50) {
        Value::OwnPid
    } else {
        g.random.pick(&g.pids.clone())
    };
    let flags = g.random.pick(&[0, O_NONBLOCK as u64, 1]);
    let process = g.opens("pidfd_open", SYS_pidfd_open, &[pid, flags.into()]);
    match g.random.below(3) {
        0 => {
            let fd = g.fd();
            g.opens("pidfd_getfd", SYS_pidfd_getfd, &[process, fd, 0.into()]);
        }
        1 => {
            // Others to oneself may arrive after the call: the table says so.
            let signal = g.random.pick(&[0, 65]);
            g.call(
                "pidfd_send_signal",
                SYS_pidfd_send_signal,
                &[process, signal.into(), 0.into(), 0.into()],
            );
        }
        _ => {}
    }
}

fn fcntl_pipe(g: &mut Gen) {
    let fd = g.fd();
    if g.random.percent(50) {
        let bytes = g.random.pick(&[4096, 65536, 1, 8192, 0]);
        g.call(
            "fcntl(F_SETPIPE_SZ)",
            SYS_fcntl,
            &[fd, 1031.into(), bytes.into()],
        );
    } else {
        g.call("fcntl(F_GETPIPE_SZ)", SYS_fcntl, &[fd, 1032.into()]);
    }
}

/// Made, but not read: that is a limit the README names.
fn signalfd_(g: &mut Gen) {
    let mask = g.words(&[(1u64 << 9).into()]);
    let flags = O_NONBLOCK as u64;
    let fd = g.random.pick(&[u64::MAX, u64::MAX, 5]);
    g.opens(
        "signalfd4",
        SYS_signalfd4,
        &[fd.into(), mask, 8.into(), flags.into()],
    );
}
