//! Calls that wait as long as their socket says: SO_RCVTIMEO and SO_SNDTIMEO,
//! socket(7). The limit is the socket's, so that what is left of a wait is put
//! there, and the limit back when the call has returned.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::TimeVal;
use sys::pidfd;

use crate::capture::status_field;

/// Which limit of its socket ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// SO_RCVTIMEO.
    Receives,
    /// SO_SNDTIMEO.
    Sends,
}

impl Direction {
    /// That of call `nr`, if it may be about a socket, in its first argument.
    pub fn of(nr: u32) -> Option<Direction> {
        match i64::from(nr) {
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_accept
            | libc::SYS_accept4 => Some(Direction::Receives),
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_connect => Some(Direction::Sends),
            _ => None,
        }
    }

    /// Name of the option at level SOL_SOCKET.
    pub fn option(self) -> i32 {
        match self {
            Direction::Receives => libc::SO_RCVTIMEO,
            Direction::Sends => libc::SO_SNDTIMEO,
        }
    }
}

/// What is left of a limit, as the option takes it: none at all would be no limit.
pub fn as_limit(left: Duration) -> Duration {
    left.max(Duration::from_micros(1))
}

/// A socket of a process of this node.
pub(crate) struct Socket {
    file: OwnedFd,
    direction: Direction,
}

impl Socket {
    /// That of call `nr` by thread `tid` with `fd` as its first argument.
    pub(crate) fn of(tid: i32, nr: u32, fd: u64) -> Option<Socket> {
        let direction = Direction::of(nr)?;
        let status = sys::proc_text::read(format!("/proc/{tid}/status")).ok()?;
        let pid = status_field(&status, "Tgid:")?.parse().ok()?;
        let process = pidfd::open(pid).ok()?;
        let file = pidfd::getfd(process.as_fd(), fd as i32).ok()?;
        Some(Socket { file, direction })
    }

    /// Its limit, if it has one.
    pub(crate) fn limit(&self) -> Option<Duration> {
        let limit = match self.direction {
            Direction::Receives => getsockopt(&self.file, sockopt::ReceiveTimeout),
            Direction::Sends => getsockopt(&self.file, sockopt::SendTimeout),
        };
        let limit = limit.ok()?;
        let seconds = u64::try_from(limit.tv_sec()).ok()?;
        let limit = Duration::new(seconds, limit.tv_usec() as u32 * 1000);
        (!limit.is_zero()).then_some(limit)
    }

    fn set(&self, limit: Duration) -> nix::Result<()> {
        let limit = TimeVal::new(limit.as_secs() as i64, i64::from(limit.subsec_micros()));
        match self.direction {
            Direction::Receives => setsockopt(&self.file, sockopt::ReceiveTimeout, &limit),
            Direction::Sends => setsockopt(&self.file, sockopt::SendTimeout, &limit),
        }
    }
}

/// A socket whose limit is what is left of a wait, until this is dropped.
pub(crate) struct Limited {
    socket: Socket,
    own: Duration,
}

impl Limited {
    /// `None`: the wait has no end any more.
    pub(crate) fn to(socket: Socket, left: Duration) -> Option<Limited> {
        let own = socket.limit()?;
        socket.set(as_limit(left)).ok()?;
        Some(Limited { socket, own })
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // It is a socket, and the limit was its own.
        let _ = self.socket.set(self.own);
    }
}
