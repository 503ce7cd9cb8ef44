//! Commands of `prctl`.

use super::{Command, new, nr};
use crate::row::{Arg, Route, Size};

const fn here(code: u64, name: &'static str) -> Command {
    new(nr::PRCTL, code, name, Arg::Addr, Route::Here, "")
}

const fn home(code: u64, name: &'static str, gap: &'static str) -> Command {
    new(nr::PRCTL, code, name, Arg::Int, Route::Home, gap)
}

const fn home_out(code: u64, name: &'static str, bytes: u32) -> Command {
    new(
        nr::PRCTL,
        code,
        name,
        Arg::Out(Size::Bytes(bytes)),
        Route::Home,
        "",
    )
}

const fn both(code: u64, name: &'static str, arg: Arg) -> Command {
    new(nr::PRCTL, code, name, arg, Route::Both, "")
}

const fn go_home(code: u64, name: &'static str, gap: &'static str) -> Command {
    new(nr::PRCTL, code, name, Arg::Addr, Route::GoHome, gap)
}

const DISPATCH: &str = "brings the process home: the dispatch of system calls to the program \
     itself cannot be combined with their forwarding";
const LAYOUT: &str = "brings the process home: it describes the memory of the process at home";
const FILTER: &str = "brings the process home: its filter would judge the calls of the deputy";
const SEALED: &str = "brings the process home, where it and its children stay: nobody can map there what moving takes";
const CORE: &str = "brings the process home: core scheduling names processes of one machine";

pub(super) const COMMANDS: &[Command] = &[
    home(1, "PR_SET_PDEATHSIG", ""),
    home_out(2, "PR_GET_PDEATHSIG", 4),
    home(3, "PR_GET_DUMPABLE", ""),
    home(4, "PR_SET_DUMPABLE", ""),
    here(5, "PR_GET_UNALIGN"),
    here(6, "PR_SET_UNALIGN"),
    home(7, "PR_GET_KEEPCAPS", ""),
    home(8, "PR_SET_KEEPCAPS", ""),
    here(9, "PR_GET_FPEMU"),
    here(10, "PR_SET_FPEMU"),
    here(11, "PR_GET_FPEXC"),
    here(12, "PR_SET_FPEXC"),
    here(13, "PR_GET_TIMING"),
    here(14, "PR_SET_TIMING"),
    new(
        nr::PRCTL,
        15,
        "PR_SET_NAME",
        Arg::InSome(Size::Bytes(16)),
        Route::Both,
        "",
    ),
    // Any thread may rename another by its file in /proc, at home.
    home_out(16, "PR_GET_NAME", 16),
    here(19, "PR_GET_ENDIAN"),
    here(20, "PR_SET_ENDIAN"),
    home(21, "PR_GET_SECCOMP", ""),
    go_home(22, "PR_SET_SECCOMP", FILTER),
    home(23, "PR_CAPBSET_READ", ""),
    home(24, "PR_CAPBSET_DROP", ""),
    here(25, "PR_GET_TSC"),
    both(26, "PR_SET_TSC", Arg::Int),
    home(27, "PR_GET_SECUREBITS", ""),
    home(28, "PR_SET_SECUREBITS", ""),
    both(29, "PR_SET_TIMERSLACK", Arg::Int),
    home(30, "PR_GET_TIMERSLACK", ""),
    home(31, "PR_TASK_PERF_EVENTS_DISABLE", ""),
    home(32, "PR_TASK_PERF_EVENTS_ENABLE", ""),
    both(33, "PR_MCE_KILL", Arg::Int),
    home(34, "PR_MCE_KILL_GET", ""),
    go_home(35, "PR_SET_MM", LAYOUT),
    home(36, "PR_SET_CHILD_SUBREAPER", ""),
    home_out(37, "PR_GET_CHILD_SUBREAPER", 4),
    home(38, "PR_SET_NO_NEW_PRIVS", ""),
    home(39, "PR_GET_NO_NEW_PRIVS", ""),
    here(40, "PR_GET_TID_ADDRESS"),
    both(41, "PR_SET_THP_DISABLE", Arg::Int),
    home(42, "PR_GET_THP_DISABLE", ""),
    here(43, "PR_MPX_ENABLE_MANAGEMENT"),
    here(44, "PR_MPX_DISABLE_MANAGEMENT"),
    here(45, "PR_SET_FP_MODE"),
    here(46, "PR_GET_FP_MODE"),
    home(47, "PR_CAP_AMBIENT", ""),
    here(50, "PR_SVE_SET_VL"),
    here(51, "PR_SVE_GET_VL"),
    here(52, "PR_GET_SPECULATION_CTRL"),
    both(53, "PR_SET_SPECULATION_CTRL", Arg::Int),
    here(54, "PR_PAC_RESET_KEYS"),
    here(55, "PR_SET_TAGGED_ADDR_CTRL"),
    here(56, "PR_GET_TAGGED_ADDR_CTRL"),
    home(57, "PR_SET_IO_FLUSHER", ""),
    home(58, "PR_GET_IO_FLUSHER", ""),
    go_home(59, "PR_SET_SYSCALL_USER_DISPATCH", DISPATCH),
    here(60, "PR_PAC_SET_ENABLED_KEYS"),
    here(61, "PR_PAC_GET_ENABLED_KEYS"),
    go_home(62, "PR_SCHED_CORE", CORE),
    here(63, "PR_SME_SET_VL"),
    here(64, "PR_SME_GET_VL"),
    go_home(65, "PR_SET_MDWE", SEALED),
    here(66, "PR_GET_MDWE"),
    both(67, "PR_SET_MEMORY_MERGE", Arg::Int),
    home(68, "PR_GET_MEMORY_MERGE", ""),
    here(69, "PR_RISCV_V_SET_CONTROL"),
    here(70, "PR_RISCV_V_GET_CONTROL"),
    here(71, "PR_RISCV_SET_ICACHE_FLUSH_CTX"),
    here(72, "PR_PPC_GET_DEXCR"),
    here(73, "PR_PPC_SET_DEXCR"),
    here(74, "PR_GET_SHADOW_STACK_STATUS"),
    here(75, "PR_SET_SHADOW_STACK_STATUS"),
    here(76, "PR_LOCK_SHADOW_STACK_STATUS"),
    home(77, "PR_TIMER_CREATE_RESTORE_IDS", ""),
    here(78, "PR_FUTEX_HASH"),
    here(0x4155_5856, "PR_GET_AUXV"),
    here(0x5356_4d41, "PR_SET_VMA"),
    home(0x5961_6d61, "PR_SET_PTRACER", ""),
];
