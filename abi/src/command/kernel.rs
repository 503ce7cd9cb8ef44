//! Commands of calls that configure the kernel.

use super::{Command, nr};
use crate::row::{Arg, Route, Size};

const fn row(nr: u32, code: u64, name: &'static str, arg: Arg) -> Command {
    Command {
        nr,
        code,
        name,
        arg,
        then: &[],
        route: Route::Home,
        gap: "",
    }
}

const fn out(bytes: u32) -> Arg {
    Arg::Out(Size::Bytes(bytes))
}

const fn input(bytes: u32) -> Arg {
    Arg::In(Size::Bytes(bytes))
}

pub(super) const SYSFS: &[Command] = &[
    row(nr::SYSFS, 1, "index of a type of file system", Arg::Str),
    Command {
        nr: nr::SYSFS,
        code: 2,
        name: "name of a type of file system",
        arg: Arg::Int,
        then: &[],
        route: Route::GoHome,
        gap: "brings the process home: the length of the buffer is not given",
    },
    row(nr::SYSFS, 3, "number of types of file system", Arg::Int),
];

pub(super) const QUOTACTL: &[Command] = &[
    row(nr::QUOTACTL, 0x5801, "Q_XQUOTAON", input(4)),
    row(nr::QUOTACTL, 0x5802, "Q_XQUOTAOFF", input(4)),
    row(nr::QUOTACTL, 0x5803, "Q_XGETQUOTA", out(112)),
    row(nr::QUOTACTL, 0x5804, "Q_XSETQLIM", input(112)),
    row(nr::QUOTACTL, 0x5805, "Q_XGETQSTAT", out(80)),
    row(nr::QUOTACTL, 0x5806, "Q_XQUOTARM", input(4)),
    row(nr::QUOTACTL, 0x5807, "Q_XQUOTASYNC", Arg::Addr),
    row(
        nr::QUOTACTL,
        0x5808,
        "Q_XGETQSTATV",
        Arg::InOut(Size::Bytes(160)),
    ),
    row(nr::QUOTACTL, 0x5809, "Q_XGETNEXTQUOTA", out(112)),
    row(nr::QUOTACTL, 0x80_0001, "Q_SYNC", Arg::Addr),
    row(nr::QUOTACTL, 0x80_0002, "Q_QUOTAON", Arg::Path),
    row(nr::QUOTACTL, 0x80_0003, "Q_QUOTAOFF", Arg::Addr),
    row(nr::QUOTACTL, 0x80_0004, "Q_GETFMT", out(4)),
    row(nr::QUOTACTL, 0x80_0005, "Q_GETINFO", out(24)),
    row(nr::QUOTACTL, 0x80_0006, "Q_SETINFO", input(24)),
    row(nr::QUOTACTL, 0x80_0007, "Q_GETQUOTA", out(72)),
    row(nr::QUOTACTL, 0x80_0008, "Q_SETQUOTA", input(72)),
    row(nr::QUOTACTL, 0x80_0009, "Q_GETNEXTQUOTA", out(72)),
];

/// By the flags, argument 4. The node mask has argument 2 bits.
pub(super) const GET_MEMPOLICY: &[Command] = &[
    row(
        nr::GET_MEMPOLICY,
        0,
        "policy of the thread",
        Arg::InOut(Size::Bits(2)),
    ),
    row(
        nr::GET_MEMPOLICY,
        4,
        "MPOL_F_MEMS_ALLOWED",
        Arg::InOut(Size::Bits(2)),
    ),
];

pub(super) const KCMP: &[Command] = &[
    row(nr::KCMP, 0, "KCMP_FILE", Arg::Int),
    row(nr::KCMP, 1, "KCMP_VM", Arg::Int),
    row(nr::KCMP, 2, "KCMP_FILES", Arg::Int),
    row(nr::KCMP, 3, "KCMP_FS", Arg::Int),
    row(nr::KCMP, 4, "KCMP_SIGHAND", Arg::Int),
    row(nr::KCMP, 5, "KCMP_IO", Arg::Int),
    row(nr::KCMP, 6, "KCMP_SYSVSEM", Arg::Int),
    row(nr::KCMP, 7, "KCMP_EPOLL_TFD", input(12)),
];

pub(super) const FSCONFIG: &[Command] = &[
    row(nr::FSCONFIG, 0, "FSCONFIG_SET_FLAG", Arg::Addr),
    row(nr::FSCONFIG, 1, "FSCONFIG_SET_STRING", Arg::Str),
    row(
        nr::FSCONFIG,
        2,
        "FSCONFIG_SET_BINARY",
        Arg::In(Size::Arg(4)),
    ),
    row(nr::FSCONFIG, 3, "FSCONFIG_SET_PATH", Arg::Path),
    row(nr::FSCONFIG, 4, "FSCONFIG_SET_PATH_EMPTY", Arg::Path),
    row(nr::FSCONFIG, 5, "FSCONFIG_SET_FD", Arg::Addr),
    row(nr::FSCONFIG, 6, "FSCONFIG_CMD_CREATE", Arg::Addr),
    row(nr::FSCONFIG, 7, "FSCONFIG_CMD_RECONFIGURE", Arg::Addr),
    row(nr::FSCONFIG, 8, "FSCONFIG_CMD_CREATE_EXCL", Arg::Addr),
];

pub(super) const LANDLOCK_ADD_RULE: &[Command] = &[
    row(
        nr::LANDLOCK_ADD_RULE,
        1,
        "LANDLOCK_RULE_PATH_BENEATH",
        input(12),
    ),
    row(
        nr::LANDLOCK_ADD_RULE,
        2,
        "LANDLOCK_RULE_NET_PORT",
        input(16),
    ),
];
