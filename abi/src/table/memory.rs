//! Memory, futexes, and what the processor keeps for a thread.

use super::{bytes, go_home, here, home, special};
use crate::row::Arg::*;
use crate::row::Row;

const NUMA: &str = "brings the process home: the nodes named are those of the home node's memory";
const KEY: &str =
    "protection keys are taken along by a migration, else the process stays where it is";

pub(super) const ROWS: &[Row] = &[
    special(
        9,
        "mmap",
        &[Addr, Int, Int32, Int32, Fd, Int],
        "anonymous mappings are made natively; private and read-only mappings of files map a local \
         copy of the same content; a writable shared mapping, a file over 1 GiB, one that somebody \
         has open for writing, and a device bring the process home, and so does whoever opens a \
         mapped file for writing later",
    ),
    here(10, "mprotect", &[Addr, Int, Int32], ""),
    here(11, "munmap", &[Addr, Int], ""),
    here(12, "brk", &[Addr], ""),
    here(25, "mremap", &[Addr, Int, Int, Int32, Addr], ""),
    here(26, "msync", &[Addr, Int, Int32], ""),
    here(
        27,
        "mincore",
        &[Addr, Int, Addr],
        "shows what is resident on the host node",
    ),
    here(
        28,
        "madvise",
        &[Addr, Int, Int32],
        "advice on file mappings is given to the host node's kernel; MADV_REMOVE does not reach the file",
    ),
    here(
        149,
        "mlock",
        &[Addr, Int],
        "locked on the host node, within the host's limit",
    ),
    here(150, "munlock", &[Addr, Int], ""),
    here(
        151,
        "mlockall",
        &[Int32],
        "locked on the host node, within the host's limit",
    ),
    here(152, "munlockall", &[], ""),
    go_home(
        154,
        "modify_ldt",
        &[Int32, Addr, Int],
        "brings the process home: a local descriptor table does not travel",
    ),
    here(158, "arch_prctl", &[Int32, Addr], ""),
    here(202, "futex", &[Addr, Int32, Int32, Addr, Addr, Int32], ""),
    go_home(
        216,
        "remap_file_pages",
        &[Addr, Int, Int32, Int, Int32],
        "brings the process home: it rearranges a shared mapping of a file",
    ),
    go_home(237, "mbind", &[Addr, Int, Int32, Addr, Int, Int32], NUMA),
    go_home(238, "set_mempolicy", &[Int32, Addr, Int], NUMA),
    home(
        239,
        "get_mempolicy",
        &[InOut(bytes(4)), ByCommand, Int, Addr, Int],
        "see the table of get_mempolicy commands",
    ),
    go_home(256, "migrate_pages", &[Int32, Int, Addr, Addr], NUMA),
    here(273, "set_robust_list", &[Addr, Int], ""),
    here(
        274,
        "get_robust_list",
        &[Int32, Addr, Addr],
        "for another process it fails with ESRCH unless that process runs on the same host node",
    ),
    go_home(
        279,
        "move_pages",
        &[Int32, Int, Addr, Addr, Addr, Int32],
        NUMA,
    ),
    go_home(
        323,
        "userfaultfd",
        &[Int32],
        "brings the process home: its pages are filled by the program itself",
    ),
    here(324, "membarrier", &[Int32, Int32, Int32], ""),
    here(
        325,
        "mlock2",
        &[Addr, Int, Int32],
        "locked on the host node, within the host's limit",
    ),
    here(329, "pkey_mprotect", &[Addr, Int, Int32, Int32], KEY),
    here(330, "pkey_alloc", &[Int32, Int32], KEY),
    here(331, "pkey_free", &[Int32], KEY),
    here(
        334,
        "rseq",
        &[Addr, Int32, Int32, Int32],
        "the processor number is the host node's",
    ),
    here(
        335,
        "uretprobe",
        &[],
        "entered by the kernel's own probes only",
    ),
    here(
        336,
        "uprobe",
        &[],
        "entered by the kernel's own probes only",
    ),
    go_home(
        440,
        "process_madvise",
        &[Fd, Addr, Int, Int32, Int32],
        "brings the process home: it acts on the memory of another process, but does not reach that of \
         one that is elsewhere",
    ),
    go_home(
        447,
        "memfd_secret",
        &[Int32],
        "brings the process home: secret memory cannot be read, hence not be sent",
    ),
    here(449, "futex_waitv", &[Addr, Int32, Int32, Addr, Int32], ""),
    go_home(450, "set_mempolicy_home_node", &[Addr, Int, Int, Int], NUMA),
    here(453, "map_shadow_stack", &[Addr, Int, Int32], ""),
    here(454, "futex_wake", &[Addr, Int, Int32, Int32], ""),
    here(455, "futex_wait", &[Addr, Int, Int, Int32, Addr, Int32], ""),
    here(456, "futex_requeue", &[Addr, Int32, Int32, Int32], ""),
    here(
        462,
        "mseal",
        &[Addr, Int, Int],
        "sealed mappings keep the process on the host node it is on",
    ),
];
