//! Commands of the System V and key calls.

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

/// Lengths of `struct shmid_ds`, `struct semid_ds`, `struct msqid_ds`.
const SHMID: u32 = 112;
const SEMID: u32 = 104;
const MSQID: u32 = 120;

pub(super) const SHMCTL: &[Command] = &[
    row(nr::SHMCTL, 0, "IPC_RMID", Arg::Addr),
    row(nr::SHMCTL, 1, "IPC_SET", input(SHMID)),
    row(nr::SHMCTL, 2, "IPC_STAT", out(SHMID)),
    row(nr::SHMCTL, 3, "IPC_INFO", out(72)),
    row(nr::SHMCTL, 11, "SHM_LOCK", Arg::Addr),
    row(nr::SHMCTL, 12, "SHM_UNLOCK", Arg::Addr),
    row(nr::SHMCTL, 13, "SHM_STAT", out(SHMID)),
    row(nr::SHMCTL, 14, "SHM_INFO", out(48)),
    row(nr::SHMCTL, 15, "SHM_STAT_ANY", out(SHMID)),
];

const ALL: &str = "brings the process home: how long the array is only the kernel knows";

const fn all(code: u64, name: &'static str) -> Command {
    let nr = nr::SEMCTL;
    Command {
        nr,
        code,
        name,
        arg: Arg::Addr,
        then: &[],
        route: Route::GoHome,
        gap: ALL,
    }
}

pub(super) const SEMCTL: &[Command] = &[
    row(nr::SEMCTL, 0, "IPC_RMID", Arg::Addr),
    row(nr::SEMCTL, 1, "IPC_SET", input(SEMID)),
    row(nr::SEMCTL, 2, "IPC_STAT", out(SEMID)),
    row(nr::SEMCTL, 3, "IPC_INFO", out(40)),
    row(nr::SEMCTL, 11, "GETPID", Arg::Addr),
    row(nr::SEMCTL, 12, "GETVAL", Arg::Addr),
    all(13, "GETALL"),
    row(nr::SEMCTL, 14, "GETNCNT", Arg::Addr),
    row(nr::SEMCTL, 15, "GETZCNT", Arg::Addr),
    row(nr::SEMCTL, 16, "SETVAL", Arg::Int),
    all(17, "SETALL"),
    row(nr::SEMCTL, 18, "SEM_STAT", out(SEMID)),
    row(nr::SEMCTL, 19, "SEM_INFO", out(40)),
    row(nr::SEMCTL, 20, "SEM_STAT_ANY", out(SEMID)),
];

pub(super) const MSGCTL: &[Command] = &[
    row(nr::MSGCTL, 0, "IPC_RMID", Arg::Addr),
    row(nr::MSGCTL, 1, "IPC_SET", input(MSQID)),
    row(nr::MSGCTL, 2, "IPC_STAT", out(MSQID)),
    row(nr::MSGCTL, 3, "IPC_INFO", out(32)),
    row(nr::MSGCTL, 11, "MSG_STAT", out(MSQID)),
    row(nr::MSGCTL, 12, "MSG_INFO", out(32)),
    row(nr::MSGCTL, 13, "MSG_STAT_ANY", out(MSQID)),
];

const fn key(code: u64, name: &'static str) -> Command {
    row(nr::KEYCTL, code, name, Arg::Int)
}

const fn key_with(code: u64, name: &'static str, arg: Arg, then: &'static [Arg]) -> Command {
    Command {
        nr: nr::KEYCTL,
        code,
        name,
        arg,
        then,
        route: Route::Home,
        gap: "",
    }
}

const fn key_inside(code: u64, name: &'static str) -> Command {
    Command {
        route: Route::GoHome,
        gap: "brings the process home: how long its buffers are is said in another one",
        ..row(nr::KEYCTL, code, name, Arg::Addr)
    }
}

/// Reads into a buffer whose size is argument 3.
const BUFFER: &[Arg] = &[Arg::OutRet(Size::Arg(3), 1), Arg::Int];
/// A payload whose size is argument 3.
const PAYLOAD: &[Arg] = &[Arg::In(Size::Arg(3)), Arg::Int, Arg::Int];

pub(super) const KEYCTL: &[Command] = &[
    key(0, "KEYCTL_GET_KEYRING_ID"),
    key_with(1, "KEYCTL_JOIN_SESSION_KEYRING", Arg::Str, &[]),
    key_with(2, "KEYCTL_UPDATE", Arg::Int, PAYLOAD),
    key(3, "KEYCTL_REVOKE"),
    key(4, "KEYCTL_CHOWN"),
    key(5, "KEYCTL_SETPERM"),
    key_with(6, "KEYCTL_DESCRIBE", Arg::Int, BUFFER),
    key(7, "KEYCTL_CLEAR"),
    key(8, "KEYCTL_LINK"),
    key(9, "KEYCTL_UNLINK"),
    key_with(
        10,
        "KEYCTL_SEARCH",
        Arg::Int,
        &[Arg::Str, Arg::Str, Arg::Int],
    ),
    key_with(11, "KEYCTL_READ", Arg::Int, BUFFER),
    key_with(12, "KEYCTL_INSTANTIATE", Arg::Int, PAYLOAD),
    key(13, "KEYCTL_NEGATE"),
    key(14, "KEYCTL_SET_REQKEY_KEYRING"),
    key(15, "KEYCTL_SET_TIMEOUT"),
    key(16, "KEYCTL_ASSUME_AUTHORITY"),
    key_with(17, "KEYCTL_GET_SECURITY", Arg::Int, BUFFER),
    key(18, "KEYCTL_SESSION_TO_PARENT"),
    key(19, "KEYCTL_REJECT"),
    key_with(
        20,
        "KEYCTL_INSTANTIATE_IOV",
        Arg::Int,
        &[Arg::IovIn(3), Arg::Int, Arg::Int],
    ),
    key(21, "KEYCTL_INVALIDATE"),
    key_with(22, "KEYCTL_GET_PERSISTENT", Arg::Int, &[Arg::Int]),
    key_inside(23, "KEYCTL_DH_COMPUTE"),
    key_with(
        24,
        "KEYCTL_PKEY_QUERY",
        Arg::Int,
        &[Arg::Int, Arg::Str, Arg::Out(Size::Bytes(56))],
    ),
    key_inside(25, "KEYCTL_PKEY_ENCRYPT"),
    key_inside(26, "KEYCTL_PKEY_DECRYPT"),
    key_inside(27, "KEYCTL_PKEY_SIGN"),
    key_inside(28, "KEYCTL_PKEY_VERIFY"),
    key_with(
        29,
        "KEYCTL_RESTRICT_KEYRING",
        Arg::Int,
        &[Arg::Str, Arg::Str],
    ),
    key(30, "KEYCTL_MOVE"),
    key_with(
        31,
        "KEYCTL_CAPABILITIES",
        Arg::OutRet(Size::Arg(2), 1),
        &[Arg::Int],
    ),
    key(32, "KEYCTL_WATCH_KEY"),
];
