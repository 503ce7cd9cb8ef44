//! Commands of `fcntl`.

use super::{Command, new, nr};
use crate::row::{Arg, Route, Size};

const fn number(code: u64, name: &'static str) -> Command {
    new(nr::FCNTL, code, name, Arg::Int, Route::Home, "")
}

const fn pointer(code: u64, name: &'static str, arg: Arg) -> Command {
    new(nr::FCNTL, code, name, arg, Route::Home, "")
}

/// `struct flock`, `struct f_owner_ex` and two user ids, a hint.
const FLOCK: Size = Size::Bytes(32);
const EIGHT: Size = Size::Bytes(8);

pub(super) const COMMANDS: &[Command] = &[
    number(0, "F_DUPFD"),
    number(1, "F_GETFD"),
    number(2, "F_SETFD"),
    number(3, "F_GETFL"),
    number(4, "F_SETFL"),
    pointer(5, "F_GETLK", Arg::InOut(FLOCK)),
    pointer(6, "F_SETLK", Arg::In(FLOCK)),
    pointer(7, "F_SETLKW", Arg::In(FLOCK)),
    number(8, "F_SETOWN"),
    number(9, "F_GETOWN"),
    number(10, "F_SETSIG"),
    number(11, "F_GETSIG"),
    pointer(15, "F_SETOWN_EX", Arg::In(EIGHT)),
    pointer(16, "F_GETOWN_EX", Arg::Out(EIGHT)),
    pointer(17, "F_GETOWNER_UIDS", Arg::Out(EIGHT)),
    pointer(36, "F_OFD_GETLK", Arg::InOut(FLOCK)),
    pointer(37, "F_OFD_SETLK", Arg::In(FLOCK)),
    pointer(38, "F_OFD_SETLKW", Arg::In(FLOCK)),
    number(1024, "F_SETLEASE"),
    number(1025, "F_GETLEASE"),
    number(1026, "F_NOTIFY"),
    number(1027, "F_DUPFD_QUERY"),
    number(1028, "F_CREATED_QUERY"),
    number(1030, "F_DUPFD_CLOEXEC"),
    number(1031, "F_SETPIPE_SZ"),
    number(1032, "F_GETPIPE_SZ"),
    number(1033, "F_ADD_SEALS"),
    number(1034, "F_GET_SEALS"),
    pointer(1035, "F_GET_RW_HINT", Arg::Out(EIGHT)),
    pointer(1036, "F_SET_RW_HINT", Arg::In(EIGHT)),
    pointer(1037, "F_GET_FILE_RW_HINT", Arg::Out(EIGHT)),
    pointer(1038, "F_SET_FILE_RW_HINT", Arg::In(EIGHT)),
];
