//! Signals.

use super::{both, bytes, counted_by, here, home, special};
use crate::row::Arg::*;
use crate::row::Row;

const SIGNALFD: &str = "timers of the body's own CPU time, faults and signals that stop are not seen; nor is \
     anything by a signalfd that came by a message";

pub(super) const ROWS: &[Row] = &[
    both(
        13,
        "rt_sigaction",
        &[Int32, In(bytes(32)), Addr, Int],
        "the deputy learns whether a signal is ignored, default or caught; the handler stays in the body",
    ),
    here(14, "rt_sigprocmask", &[Int32, Addr, Addr, Int], ""),
    here(15, "rt_sigreturn", &[], ""),
    here(34, "pause", &[], ""),
    special(62, "kill", &[Int32, Int32], ""),
    special(
        127,
        "rt_sigpending",
        &[Addr, Int],
        "a signal on its way from home is not shown yet",
    ),
    special(128, "rt_sigtimedwait", &[Addr, Addr, Addr, Int], ""),
    special(129, "rt_sigqueueinfo", &[Int32, Int32, In(bytes(128))], ""),
    here(130, "rt_sigsuspend", &[Addr, Int], ""),
    here(131, "sigaltstack", &[Addr, Addr], ""),
    special(200, "tkill", &[Int32, Int32], ""),
    special(234, "tgkill", &[Int32, Int32, Int32], ""),
    special(282, "signalfd", &[Fd, In(counted_by(2)), Int], SIGNALFD),
    special(
        289,
        "signalfd4",
        &[Fd, In(counted_by(2)), Int, Int32],
        SIGNALFD,
    ),
    special(
        297,
        "rt_tgsigqueueinfo",
        &[Int32, Int32, Int32, In(bytes(128))],
        "",
    ),
    home(
        424,
        "pidfd_send_signal",
        &[Fd, Int32, In(bytes(128)), Int32],
        "a signal to the caller itself may arrive shortly after the call has returned",
    ),
];
