//! Sockets.

use super::{bytes, counted_by, home, special};
use crate::row::Arg::*;
use crate::row::{Row, Size};

/// Written before the address, which may have nowhere to go.
const LENGTH: crate::row::Arg = InOutAny(bytes(4));
const PIECES: &str = "more than 1 MiB on a stream is moved in pieces of 1 MiB";

pub(super) const ROWS: &[Row] = &[
    home(41, "socket", &[Int32, Int32, Int32], ""),
    home(42, "connect", &[Fd, In(counted_by(2)), Int32], ""),
    home(43, "accept", &[Fd, Out(Size::At(2)), LENGTH], ""),
    home(
        44,
        "sendto",
        &[Fd, In(counted_by(2)), Int, Int32, In(counted_by(5)), Int32],
        PIECES,
    ),
    home(
        45,
        "recvfrom",
        &[
            Fd,
            OutRet(counted_by(2), 1),
            Int,
            Int32,
            Out(Size::At(5)),
            LENGTH,
        ],
        "more than 1 MiB on a stream is moved in pieces of 1 MiB; what a call takes that fails for a \
         negative address length is not written",
    ),
    home(46, "sendmsg", &[Fd, MsgIn, Int32], PIECES),
    home(
        47,
        "recvmsg",
        &[Fd, MsgOut, Int32],
        "more than 1 MiB on a stream is moved in pieces of 1 MiB; at most 64 KiB of control data",
    ),
    home(48, "shutdown", &[Fd, Int32], ""),
    home(49, "bind", &[Fd, In(counted_by(2)), Int32], ""),
    home(50, "listen", &[Fd, Int32], ""),
    home(51, "getsockname", &[Fd, Out(Size::At(2)), LENGTH], ""),
    home(52, "getpeername", &[Fd, Out(Size::At(2)), LENGTH], ""),
    // The numbers are written before anything else can fail.
    home(
        53,
        "socketpair",
        &[Int32, Int32, Int32, InOutAny(bytes(8))],
        "",
    ),
    home(
        54,
        "setsockopt",
        &[Fd, Int32, Int32, ByCommand, Int32],
        "see the table of setsockopt commands",
    ),
    home(
        55,
        "getsockopt",
        &[Fd, Int32, Int32, ByCommand, LENGTH],
        "see the table of getsockopt commands",
    ),
    home(288, "accept4", &[Fd, Out(Size::At(2)), LENGTH, Int32], ""),
    special(
        299,
        "recvmmsg",
        &[Fd, MmsgOut(2), Int32, Int32, Timeout(16)],
        "at most 1 MiB for each message, and with MSG_WAITFORONE or a time limit for all; at most \
         64 KiB of control data for each",
    ),
    special(
        307,
        "sendmmsg",
        &[Fd, MmsgIn(2), Int32, Int32],
        "at most 1 MiB for each message",
    ),
];
