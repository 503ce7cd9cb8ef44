//! Clocks, sleeping, timers, times used.

use super::{bytes, here, home, special};
use crate::row::Arg::*;
use crate::row::Row;

const ITIMER: crate::row::Size = bytes(32);
const CPU_TIME: &str = "what was used on other nodes is added; less than 10 ms before the program was \
     executed is not; what children killed by SIGKILL have used is not always";
const CPU_CLOCK: &str = "of the clocks of CPU time, CLOCK_PROCESS_CPUTIME_ID and CLOCK_THREAD_CPUTIME_ID \
     count what was used on other nodes, too; those that name a process or thread count this node only";
const ON_HOME: &str = "on a clock of CPU time it brings the process home, where it stays";

pub(super) const ROWS: &[Row] = &[
    here(35, "nanosleep", &[In(bytes(16)), Out(bytes(16))], ""),
    special(
        36,
        "getitimer",
        &[Int32, Out(ITIMER)],
        "ITIMER_REAL is kept at home, the others in the body",
    ),
    home(37, "alarm", &[Int32], ""),
    special(
        38,
        "setitimer",
        &[Int32, In(ITIMER), Out(ITIMER)],
        "ITIMER_REAL is kept at home, the others in the body",
    ),
    here(
        96,
        "gettimeofday",
        &[Out(bytes(16)), Out(bytes(8))],
        "the host node's clock",
    ),
    special(98, "getrusage", &[Int32, Out(bytes(144))], CPU_TIME),
    special(100, "times", &[Out(bytes(32))], CPU_TIME),
    home(159, "adjtimex", &[InOut(bytes(208))], ""),
    home(
        164,
        "settimeofday",
        &[In(bytes(16)), In(bytes(8))],
        "sets the home node's clock only",
    ),
    here(201, "time", &[Out(bytes(8))], "the host node's clock"),
    special(
        222,
        "timer_create",
        &[Int32, In(bytes(64)), Out(bytes(4))],
        ON_HOME,
    ),
    home(
        223,
        "timer_settime",
        &[Int32, Int32, In(bytes(32)), Out(bytes(32))],
        ON_HOME,
    ),
    home(224, "timer_gettime", &[Int32, Out(bytes(32))], ON_HOME),
    home(225, "timer_getoverrun", &[Int32], ""),
    home(226, "timer_delete", &[Int32], ""),
    home(
        227,
        "clock_settime",
        &[Int32, In(bytes(16))],
        "sets the home node's clock only",
    ),
    here(228, "clock_gettime", &[Int32, Out(bytes(16))], CPU_CLOCK),
    here(229, "clock_getres", &[Int32, Out(bytes(16))], ""),
    here(
        230,
        "clock_nanosleep",
        &[Int32, Int32, In(bytes(16)), InOutAny(bytes(16))],
        "",
    ),
    home(283, "timerfd_create", &[Int32, Int32], ""),
    home(
        286,
        "timerfd_settime",
        &[Fd, Int32, In(bytes(32)), Out(bytes(32))],
        "",
    ),
    home(287, "timerfd_gettime", &[Fd, Out(bytes(32))], ""),
    home(305, "clock_adjtime", &[Int32, InOut(bytes(208))], ""),
];
