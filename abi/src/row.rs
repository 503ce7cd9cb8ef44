//! The words of the table: routes, argument kinds and rows.

use crate::command::{self, Command};

/// Where a system call of a guest is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// By the body itself, at native speed: the filter lets it pass.
    ///
    /// A call of such a row that is notified all the same (a condition of its
    /// filter rule did not hold) is forwarded as if the route were `Home`.
    Here,
    /// By the deputy, at home.
    Home,
    /// By both: the body's kernel and the deputy's must know.
    Both,
    /// By a handler of its own.
    Special,
    /// Nowhere but at home, natively: the process migrates home first.
    GoHome,
}

impl Route {
    /// All routes, in the order in which the coverage page lists them.
    pub const ALL: [Route; 5] = [
        Route::Here,
        Route::Home,
        Route::Both,
        Route::Special,
        Route::GoHome,
    ];

    /// The route's name as written in the design and in the coverage page.
    pub const fn name(self) -> &'static str {
        match self {
            Route::Here => "Here",
            Route::Home => "Home",
            Route::Both => "Both",
            Route::Special => "Special",
            Route::GoHome => "GoHome",
        }
    }
}

/// How many bytes an argument points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes.
    Bytes(u32),
    /// As many bytes as argument i says.
    Arg(u8),
    /// As many bytes as argument i says, after a head of n bytes.
    ArgPlus(u8, u32),
    /// Argument i elements of n bytes.
    Times(u8, u32),
    /// A bitmap of argument i bits, in words of 8 bytes (`fd_set`).
    Bits(u8),
    /// As many bytes as the u32 says that argument i points at, and after the
    /// call only as many as it says then (`socklen_t *`).
    At(u8),
    /// `base` bytes, then `unit` times the u32 found at byte `at` of the thing
    /// itself (`struct file_handle`, `struct fiemap`).
    Counted {
        /// Where the count lies, in bytes from the start.
        at: u8,
        /// Bytes for each counted element.
        unit: u32,
        /// Bytes that are there in any case; covers the count.
        base: u32,
    },
}

/// A structure of 16 bytes made of a pointer, a count and perhaps more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested {
    /// Where the pointer lies, in bytes from the start: 0 or 8.
    pub pointer: u8,
    /// Where the count lies, and how many bytes it has: 2, 4 or 8.
    pub count: u8,
    /// Bytes of the count.
    pub count_bytes: u8,
    /// Bytes for each counted element.
    pub unit: u32,
}

impl Nested {
    /// `struct { const sigset_t *mask; size_t bytes; }` of `pselect6`.
    pub const MASK: Nested = Nested {
        pointer: 0,
        count: 8,
        count_bytes: 8,
        unit: 1,
    };
    /// `struct sock_fprog`, a classic BPF program.
    pub const PROGRAM: Nested = Nested {
        pointer: 8,
        count: 0,
        count_bytes: 2,
        unit: 8,
    };
    /// `struct xattr_args`.
    pub const XATTR: Nested = Nested {
        pointer: 0,
        count: 8,
        count_bytes: 4,
        unit: 1,
    };
    /// `struct ifconf`.
    pub const IFCONF: Nested = Nested {
        pointer: 8,
        count: 0,
        count_bytes: 4,
        unit: 1,
    };
}

/// What kind of thing an argument is, hence what must travel with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A number of up to 64 bits.
    Int,
    /// A number of which the kernel looks at the lower 32 bits only. Programs
    /// leave garbage in the upper half.
    Int32,
    /// A file descriptor, of the deputy.
    Fd,
    /// An address that is passed as a number and never followed.
    Addr,
    /// A number that may be an address, of which nobody knows what lies there.
    /// It goes home as it is if it cannot be one, else as an address at which
    /// nothing is: a kernel that does not know it either says so, one that
    /// follows it faults.
    Unknown,
    /// NUL-terminated path. One of more than 4096 bytes with its NUL
    /// (`PATH_MAX`) is cut there, without the NUL, so that the home kernel finds
    /// that it is too long.
    Path,
    /// Any other NUL-terminated string, likewise; 4096 bytes are too long for
    /// every call that takes one.
    Str,
    /// Bytes the kernel reads.
    In(Size),
    /// As `In`, but only as much as is mapped, the rest zeros (the data of
    /// `mount`).
    InSome(Size),
    /// As `InSome`; the first n bytes are copied back whatever the result, where
    /// they can be written.
    InSomeHead(Size, u32),
    /// Bytes the kernel writes, all of them, when the call succeeds.
    Out(Size),
    /// Bytes the kernel may write some of: the others stay as they are, unless
    /// they cannot be read.
    OutSome(Size),
    /// Bytes the kernel reads and writes, or writes only sometimes.
    InOut(Size),
    /// As `InOut`, copied back also when the call fails.
    InOutAny(Size),
    /// A time span of so many bytes which the kernel updates in place whatever
    /// the result; memory that cannot be written is no error (`ppoll`).
    Timeout(u32),
    /// Capacity and unit: only return value times unit bytes are copied back.
    /// The head of an `ArgPlus` capacity comes on top.
    OutRet(Size, u32),
    /// `struct iovec` array the kernel reads from; argument i is the count.
    IovIn(u8),
    /// As `IovIn`; the kernel keeps the memory itself, not what is in it.
    IovKept(u8),
    /// `struct iovec` array the kernel writes to; argument i is the count.
    IovOut(u8),
    /// `struct msghdr` of `sendmsg`.
    MsgIn,
    /// `struct msghdr` of `recvmsg`.
    MsgOut,
    /// `struct mmsghdr` array of `sendmmsg`; argument i is the count.
    MmsgIn(u8),
    /// `struct mmsghdr` array of `recvmmsg`; argument i is the count.
    MmsgOut(u8),
    /// A structure of 16 bytes that points at bytes the kernel reads.
    NestedIn(Nested),
    /// The same for bytes the kernel writes, as many as the count in the
    /// structure says afterwards; the count is copied back.
    NestedOut(Nested),
    /// The same for bytes the kernel writes, as many as the call returns.
    NestedRet(Nested),
    /// NULL-terminated array of strings (argv), for execve.
    Strv,
    /// Decided by another argument: see the command tables.
    ByCommand,
}

/// One system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number.
    pub nr: u32,
    /// Its name, as in the kernel's table.
    pub name: &'static str,
    /// Where it is executed.
    pub route: Route,
    /// What its arguments are. Arguments beyond the list are numbers.
    pub args: &'static [Arg],
    /// What is not honoured, in words a user can act on; empty means fully
    /// faithful.
    pub gap: &'static str,
}

/// A row made definite for one call: the command tables have been consulted.
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// Where this call is executed.
    pub route: Route,
    /// What the six arguments are; never `ByCommand`.
    pub args: [Arg; 6],
    /// What is not honoured for this call.
    pub gap: &'static str,
    /// The command, when the call has commands and this one is known.
    pub command: Option<&'static Command>,
    /// The command is not known; size and direction are those its number says.
    pub guessed: bool,
}

impl Row {
    /// The argument kind at `index`; what the row does not name is a number.
    pub const fn arg(&self, index: usize) -> Arg {
        if index < self.args.len() {
            self.args[index]
        } else {
            Arg::Int
        }
    }

    /// Makes the row definite for a call with these arguments.
    pub fn resolve(&self, args: &[u64; 6]) -> Resolved {
        let mut kinds = [Arg::Int; 6];
        for (kind, given) in kinds.iter_mut().zip(self.args) {
            *kind = *given;
        }
        let plain = Resolved {
            route: self.route,
            args: kinds,
            gap: self.gap,
            command: None,
            guessed: false,
        };
        match self.args.iter().position(|a| *a == Arg::ByCommand) {
            None => plain,
            Some(at) => command::resolve(self, args, at, plain),
        }
    }
}
