//! System V and POSIX interprocess communication, keys.

use super::{bytes, counted_by, go_home, home};
use crate::row::Arg::*;
use crate::row::{Row, Size};

pub(super) const ROWS: &[Row] = &[
    home(
        29,
        "shmget",
        &[Int32, Int, Int32],
        "attaching the segment brings the process home",
    ),
    go_home(
        30,
        "shmat",
        &[Int32, Addr, Int32],
        "brings the process home and keeps it there while the segment is attached",
    ),
    home(
        31,
        "shmctl",
        &[Int32, Int32, ByCommand],
        "see the table of shmctl commands",
    ),
    home(64, "semget", &[Int32, Int32, Int32], ""),
    home(65, "semop", &[Int32, In(Size::Times(2, 6)), Int32], ""),
    home(
        66,
        "semctl",
        &[Int32, Int32, Int32, ByCommand],
        "see the table of semctl commands",
    ),
    home(
        67,
        "shmdt",
        &[Addr],
        "a guest has no segment attached, so this answers EINVAL",
    ),
    home(68, "msgget", &[Int32, Int32], ""),
    home(
        69,
        "msgsnd",
        &[Int32, In(Size::ArgPlus(2, 8)), Int, Int32],
        "a message that is longer than kernel.msgmax and of which not all can be read: EFAULT \
         instead of EINVAL",
    ),
    home(
        70,
        "msgrcv",
        &[Int32, OutRet(Size::ArgPlus(2, 8), 1), Int, Int, Int32],
        "",
    ),
    home(
        71,
        "msgctl",
        &[Int32, Int32, ByCommand],
        "see the table of msgctl commands",
    ),
    home(
        220,
        "semtimedop",
        &[Int32, In(Size::Times(2, 6)), Int32, In(bytes(16))],
        "",
    ),
    home(240, "mq_open", &[Str, Int32, Int32, In(bytes(64))], ""),
    home(241, "mq_unlink", &[Str], ""),
    home(
        242,
        "mq_timedsend",
        &[Fd, In(counted_by(2)), Int, Int32, In(bytes(16))],
        "",
    ),
    home(
        243,
        "mq_timedreceive",
        &[
            Fd,
            OutRet(counted_by(2), 1),
            Int,
            Out(bytes(4)),
            In(bytes(16)),
        ],
        "",
    ),
    home(
        244,
        "mq_notify",
        &[Fd, In(bytes(64))],
        "notification by a new thread (SIGEV_THREAD) fails with EFAULT: its cookie is not \
         carried home; notification by signal works",
    ),
    home(
        245,
        "mq_getsetattr",
        &[Fd, In(bytes(64)), Out(bytes(64))],
        "",
    ),
    home(
        248,
        "add_key",
        &[Str, Str, In(counted_by(3)), Int, Int32],
        "",
    ),
    home(249, "request_key", &[Str, Str, Str, Int32], ""),
    home(
        250,
        "keyctl",
        &[Int32, ByCommand, Int, Int, Int],
        "see the table of keyctl commands",
    ),
];
