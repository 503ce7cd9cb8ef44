//! Calls that we make at home on our own account, as rows of the table.

use abi::row::{Arg, Route, Row, Size};

const fn row(nr: i64, name: &'static str, args: &'static [Arg]) -> Row {
    Row {
        nr: nr as u32,
        name,
        route: Route::Home,
        args,
        gap: "",
    }
}

/// rt_sigaction with a new disposition and nothing back.
pub(crate) static SET_ACTION: Row = row(
    libc::SYS_rt_sigaction,
    "rt_sigaction",
    &[Arg::Int, Arg::In(Size::Bytes(32)), Arg::Int, Arg::Int],
);
/// rt_sigprocmask with a new mask and nothing back.
pub(crate) static SET_MASK: Row = row(
    libc::SYS_rt_sigprocmask,
    "rt_sigprocmask",
    &[Arg::Int, Arg::In(Size::Bytes(8)), Arg::Int, Arg::Int],
);
/// clone of a process or thread; the third argument receives a pidfd if asked for.
pub(crate) static CLONE: Row = row(
    libc::SYS_clone,
    "clone",
    &[
        Arg::Int,
        Arg::Int,
        Arg::Out(Size::Bytes(4)),
        Arg::Int,
        Arg::Int,
    ],
);
/// lseek, to learn whether a descriptor has a position.
pub(crate) static SEEK: Row = row(libc::SYS_lseek, "lseek", &[Arg::Fd, Arg::Int, Arg::Int]);
/// rt_tgsigqueueinfo: a signal with its details, to the deputy's own thread.
pub(crate) static QUEUE_SIGNAL: Row = row(
    libc::SYS_rt_tgsigqueueinfo,
    "rt_tgsigqueueinfo",
    &[Arg::Int, Arg::Int, Arg::Int, Arg::In(Size::Bytes(128))],
);
/// rt_sigqueueinfo: the same to the deputy.
pub(crate) static QUEUE_PROCESS_SIGNAL: Row = row(
    libc::SYS_rt_sigqueueinfo,
    "rt_sigqueueinfo",
    &[Arg::Int, Arg::Int, Arg::In(Size::Bytes(128))],
);
/// rt_sigpending: which signals wait for the deputy's thread.
pub(crate) static PENDING: Row = row(
    libc::SYS_rt_sigpending,
    "rt_sigpending",
    &[Arg::Out(Size::Bytes(8)), Arg::Int],
);
/// rt_sigtimedwait: takes a pending signal with its details; the time is argument 2.
pub(crate) static TAKE_DETAILS: Row = row(
    libc::SYS_rt_sigtimedwait,
    "rt_sigtimedwait",
    &[
        Arg::In(Size::Bytes(8)),
        Arg::Out(Size::Bytes(128)),
        Arg::In(Size::Bytes(16)),
        Arg::Int,
    ],
);
/// rt_sigtimedwait: takes a pending signal; the time is argument 2.
pub(crate) static TAKE_SIGNAL: Row = row(
    libc::SYS_rt_sigtimedwait,
    "rt_sigtimedwait",
    &[
        Arg::In(Size::Bytes(8)),
        Arg::Int,
        Arg::In(Size::Bytes(16)),
        Arg::Int,
    ],
);
/// getsockopt with a value of sixteen bytes.
pub(crate) static GET_OPTION: Row = row(
    libc::SYS_getsockopt,
    "getsockopt",
    &[
        Arg::Fd,
        Arg::Int,
        Arg::Int,
        Arg::Out(Size::Bytes(16)),
        Arg::InOut(Size::Bytes(4)),
    ],
);
/// setsockopt, likewise.
pub(crate) static SET_OPTION: Row = row(
    libc::SYS_setsockopt,
    "setsockopt",
    &[
        Arg::Fd,
        Arg::Int,
        Arg::Int,
        Arg::In(Size::Bytes(16)),
        Arg::Int,
    ],
);
/// fstat, to learn what kind of thing a descriptor is.
pub(crate) static STATUS: Row = row(
    libc::SYS_fstat,
    "fstat",
    &[Arg::Fd, Arg::Out(Size::Bytes(144))],
);
/// ioctl with a command that nobody knows, of something that is not a device.
pub(crate) static UNKNOWN_CONTROL: Row = row(
    libc::SYS_ioctl,
    "ioctl",
    &[Arg::Fd, Arg::Int32, Arg::Unknown],
);
/// fcntl(F_GETFL), to learn which end of a pipe a descriptor is.
pub(crate) static DESCRIPTOR_FLAGS: Row =
    row(libc::SYS_fcntl, "fcntl", &[Arg::Fd, Arg::Int32, Arg::Int]);
/// vmsplice from a pipe to memory; the table's row is the other way.
pub(crate) static VMSPLICE_OUT: Row = row(
    libc::SYS_vmsplice,
    "vmsplice",
    &[Arg::Fd, Arg::IovOut(2), Arg::Int, Arg::Int32],
);
/// getuid, for the details of a signal that a guest sends to itself.
pub(crate) static USER: Row = row(libc::SYS_getuid, "getuid", &[]);
/// process_vm_readv from where nothing is, to learn whether it may be made.
pub(crate) static PROBE_MEMORY: Row = row(
    libc::SYS_process_vm_readv,
    "process_vm_readv",
    &[
        Arg::Int32,
        Arg::In(Size::Bytes(16)),
        Arg::Int,
        Arg::In(Size::Bytes(16)),
        Arg::Int,
        Arg::Int,
    ],
);
