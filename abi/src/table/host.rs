//! The machine: its names, modules, swap, accounting, logs.

use super::{bytes, counted_by, go_home, gone, home};
use crate::row::Arg::*;
use crate::row::Row;

const KEXEC: &str = "brings the process home: its list of segments points at further memory";

pub(super) const ROWS: &[Row] = &[
    home(63, "uname", &[Out(bytes(390))], ""),
    home(99, "sysinfo", &[Out(bytes(112))], ""),
    home(103, "syslog", &[Int32, OutRet(counted_by(2), 1), Int32], ""),
    gone(134, "uselib"),
    home(153, "vhangup", &[], ""),
    gone(156, "_sysctl"),
    home(163, "acct", &[Path], ""),
    home(167, "swapon", &[Path, Int32], ""),
    home(168, "swapoff", &[Path], ""),
    home(
        169,
        "reboot",
        &[Int32, Int32, Int32, Str],
        "restarts the home node, not the host",
    ),
    home(170, "sethostname", &[In(counted_by(1)), Int32], ""),
    home(171, "setdomainname", &[In(counted_by(1)), Int32], ""),
    gone(174, "create_module"),
    home(
        175,
        "init_module",
        &[In(counted_by(1)), Int, Str],
        "modules of more than 1 MiB bring the process home",
    ),
    home(176, "delete_module", &[Str, Int32], ""),
    gone(177, "get_kernel_syms"),
    gone(178, "query_module"),
    gone(180, "nfsservctl"),
    gone(181, "getpmsg"),
    gone(182, "putpmsg"),
    gone(183, "afs_syscall"),
    gone(184, "tuxcall"),
    gone(236, "vserver"),
    go_home(246, "kexec_load", &[Int, Int, Addr, Int], KEXEC),
    home(313, "finit_module", &[Fd, Str, Int32], ""),
    home(320, "kexec_file_load", &[Fd, Fd, Int, Str, Int], ""),
];
