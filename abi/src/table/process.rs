//! Processes, credentials, scheduling, limits.

use super::{both, bytes, counted_by, go_home, gone, here, home, special};
use crate::row::Arg::*;
use crate::row::{Row, Size};

const CHILDS_RESOURCES: &str = "of the resources of a guest child, CPU time is what it has used on all \
     nodes; the others are those of its deputy";
const LIMIT: &str = "limits on memory and CPU time act in the body, the others at home";
const PLACED: &str = "acts on the deputy: the home node's scheduler obeys it, the host's does not";
const TRACED: &str = "brings the process home: it looks into another process";
const OTHER_MEMORY: &str = "between two guests on one host it is carried out there; with any other \
     process it brings the caller home, from where it does not reach the memory of one that is elsewhere";
const PORTS: &str = "brings the process home: it opens the machine's ports";
const NAMESPACE: &str = "brings the process home: its namespaces would have to be made on the host \
     too";
const CLONE: &str = "new namespaces and shared memory between processes bring the process home";

pub(super) const ROWS: &[Row] = &[
    here(24, "sched_yield", &[], ""),
    here(39, "getpid", &[], ""),
    special(56, "clone", &[Int, Addr, Addr, Addr, Int], CLONE),
    special(57, "fork", &[], CLONE),
    special(58, "vfork", &[], CLONE),
    special(59, "execve", &[Path, Strv, Strv], ""),
    here(60, "exit", &[Int32], ""),
    home(
        61,
        "wait4",
        // The status is written before the resources, which may have nowhere to go.
        &[Int32, InOutAny(bytes(4)), Int32, InOut(bytes(144))],
        CHILDS_RESOURCES,
    ),
    both(97, "getrlimit", &[Int32, Out(bytes(16))], ""),
    go_home(101, "ptrace", &[Int, Int, Addr, Addr], TRACED),
    home(102, "getuid", &[], ""),
    home(104, "getgid", &[], ""),
    special(105, "setuid", &[Int32], ""),
    home(106, "setgid", &[Int32], ""),
    home(107, "geteuid", &[], ""),
    home(108, "getegid", &[], ""),
    home(109, "setpgid", &[Int32, Int32], ""),
    home(110, "getppid", &[], ""),
    home(111, "getpgrp", &[], ""),
    home(112, "setsid", &[], ""),
    special(113, "setreuid", &[Int32, Int32], ""),
    home(114, "setregid", &[Int32, Int32], ""),
    home(115, "getgroups", &[Int32, OutRet(Size::Times(0, 4), 4)], ""),
    home(116, "setgroups", &[Int32, In(Size::Times(0, 4))], ""),
    special(117, "setresuid", &[Int32, Int32, Int32], ""),
    home(
        118,
        "getresuid",
        // Written one after another, until one cannot be.
        &[InOutAny(bytes(4)), InOutAny(bytes(4)), Out(bytes(4))],
        "",
    ),
    home(119, "setresgid", &[Int32, Int32, Int32], ""),
    home(
        120,
        "getresgid",
        // Written one after another, until one cannot be.
        &[InOutAny(bytes(4)), InOutAny(bytes(4)), Out(bytes(4))],
        "",
    ),
    home(121, "getpgid", &[Int32], ""),
    home(122, "setfsuid", &[Int32], ""),
    home(123, "setfsgid", &[Int32], ""),
    home(124, "getsid", &[Int32], ""),
    home(
        125,
        "capget",
        &[InOutAny(bytes(8)), InOut(bytes(24))],
        "the data must be 24 bytes, as since Linux 2.6.25",
    ),
    home(
        126,
        "capset",
        &[InOutAny(bytes(8)), In(bytes(24))],
        "the data must be 24 bytes, as since Linux 2.6.25",
    ),
    both(135, "personality", &[Int32], ""),
    home(140, "getpriority", &[Int32, Int32], ""),
    both(
        141,
        "setpriority",
        &[Int32, Int32, Int32],
        "a raise above what the host allows acts at home only",
    ),
    home(142, "sched_setparam", &[Int32, In(bytes(4))], PLACED),
    home(143, "sched_getparam", &[Int32, Out(bytes(4))], ""),
    home(
        144,
        "sched_setscheduler",
        &[Int32, Int32, In(bytes(4))],
        PLACED,
    ),
    home(145, "sched_getscheduler", &[Int32], ""),
    home(146, "sched_get_priority_max", &[Int32], ""),
    home(147, "sched_get_priority_min", &[Int32], ""),
    home(148, "sched_rr_get_interval", &[Int32, Out(bytes(16))], ""),
    both(
        157,
        "prctl",
        &[Int32, ByCommand, Int, Int, Int],
        "see the table of prctl commands",
    ),
    both(160, "setrlimit", &[Int32, In(bytes(16))], LIMIT),
    go_home(172, "iopl", &[Int32], PORTS),
    go_home(173, "ioperm", &[Int, Int, Int32], PORTS),
    gone(185, "security"),
    here(186, "gettid", &[], ""),
    home(
        203,
        "sched_setaffinity",
        &[Int32, Int32, In(counted_by(1))],
        PLACED,
    ),
    home(
        204,
        "sched_getaffinity",
        &[Int32, Int32, OutRet(counted_by(1), 1)],
        "the home node's processors",
    ),
    gone(205, "set_thread_area"),
    gone(211, "get_thread_area"),
    here(218, "set_tid_address", &[Addr], ""),
    here(219, "restart_syscall", &[], ""),
    here(231, "exit_group", &[Int32], ""),
    home(
        247,
        "waitid",
        // Some of its fields are written, also when there is nobody to wait for.
        &[Int32, Int32, InOutAny(bytes(128)), Int32, InOut(bytes(144))],
        CHILDS_RESOURCES,
    ),
    home(251, "ioprio_set", &[Int32, Int32, Int32], ""),
    home(252, "ioprio_get", &[Int32, Int32], ""),
    go_home(272, "unshare", &[Int], NAMESPACE),
    both(
        302,
        "prlimit64",
        &[Int32, Int32, In(bytes(16)), Out(bytes(16))],
        LIMIT,
    ),
    go_home(
        298,
        "perf_event_open",
        &[Addr, Int32, Int32, Fd, Int],
        "brings the process home: events are counted where it runs",
    ),
    go_home(308, "setns", &[Fd, Int32], NAMESPACE),
    here(
        309,
        "getcpu",
        &[Out(bytes(4)), Out(bytes(4)), Addr],
        "the processor number is the host node's",
    ),
    special(
        310,
        "process_vm_readv",
        &[Int32, Addr, Int, Addr, Int, Int],
        OTHER_MEMORY,
    ),
    special(
        311,
        "process_vm_writev",
        &[Int32, Addr, Int, Addr, Int, Int],
        OTHER_MEMORY,
    ),
    home(
        312,
        "kcmp",
        &[Int32, Int32, Int32, Int, ByCommand],
        "see the table of kcmp commands",
    ),
    home(
        314,
        "sched_setattr",
        // The size that the kernel knows comes back where the one given is refused.
        &[Int32, InSomeHead(bytes(4096), 4), Int32],
        PLACED,
    ),
    home(
        315,
        "sched_getattr",
        &[Int32, InOut(counted_by(2)), Int32, Int32],
        "",
    ),
    go_home(
        317,
        "seccomp",
        &[Int32, Int32, Addr],
        "brings the process home: its filter would judge the calls of the deputy",
    ),
    here(318, "getrandom", &[Addr, Int, Int32], ""),
    go_home(
        321,
        "bpf",
        &[Int32, Addr, Int32],
        "brings the process home: programs and maps are shared memory of the home kernel",
    ),
    special(322, "execveat", &[Fd, Path, Strv, Strv, Int32], ""),
    home(434, "pidfd_open", &[Int32, Int32], ""),
    special(435, "clone3", &[In(counted_by(1)), Int], CLONE),
    home(438, "pidfd_getfd", &[Fd, Int32, Int32], ""),
    home(
        444,
        "landlock_create_ruleset",
        &[In(counted_by(1)), Int, Int32],
        "",
    ),
    home(
        445,
        "landlock_add_rule",
        &[Fd, Int32, ByCommand, Int32],
        "see the table of landlock_add_rule commands",
    ),
    home(446, "landlock_restrict_self", &[Fd, Int32], ""),
    home(448, "process_mrelease", &[Fd, Int32], ""),
    home(
        459,
        "lsm_get_self_attr",
        &[Int32, InOut(Size::At(2)), InOutAny(bytes(4)), Int32],
        "with LSM_FLAG_SINGLE the size given must be that of a context (32) at least",
    ),
    home(
        460,
        "lsm_set_self_attr",
        &[Int32, In(counted_by(2)), Int32, Int32],
        "",
    ),
    home(
        461,
        "lsm_list_modules",
        &[Out(Size::At(1)), InOutAny(bytes(4)), Int32],
        "",
    ),
];
