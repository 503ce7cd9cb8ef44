//! Resource limits, of our own and of other processes: `getrlimit(2)`, `prlimit(2)`.
#![allow(unsafe_code, reason = "raw prlimit system call")]

use std::io;

/// A limit that is none.
pub const UNLIMITED: u64 = u64::MAX;

/// One of `libc::RLIMIT_*`.
pub type Resource = libc::__rlimit_resource_t;

/// How many kinds of limits there are.
pub const KINDS: Resource = 16;

/// Limits of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is in force.
    pub soft: u64,
    /// How far the process itself may raise it.
    pub hard: u64,
}

fn prlimit(pid: i32, resource: Resource, new: Option<Limit>) -> io::Result<Limit> {
    let new = new.map(|limit| libc::rlimit64 {
        rlim_cur: limit.soft,
        rlim_max: limit.hard,
    });
    let mut old = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let at = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `at` is null or points to a live local, `old` is a live local.
    let ret = unsafe { libc::prlimit64(pid, resource, at, &mut old) };
    crate::check(i64::from(ret))?;
    Ok(Limit {
        soft: old.rlim_cur,
        hard: old.rlim_max,
    })
}

/// Limit of process `pid` (0: our own).
pub fn get(pid: i32, resource: Resource) -> io::Result<Limit> {
    prlimit(pid, resource, None)
}

/// Sets a limit of process `pid` (0: our own). `EPERM`: the hard limit would
/// rise, or the process is another user's.
pub fn set(pid: i32, resource: Resource, limit: Limit) -> io::Result<()> {
    prlimit(pid, resource, Some(limit)).map(drop)
}

/// Raises a limit of process `pid` (0: our own) as far as we may: to `wanted`,
/// else to its hard limit. Returns what it was before.
pub fn raise(pid: i32, resource: Resource, wanted: u64) -> io::Result<Limit> {
    let old = get(pid, resource)?;
    if old.soft >= wanted {
        return Ok(old);
    }
    let full = Limit {
        soft: wanted,
        hard: old.hard.max(wanted),
    };
    if set(pid, resource, full).is_err() {
        let soft = old.hard.min(wanted);
        set(pid, resource, Limit { soft, ..old })?;
    }
    Ok(old)
}

/// A limit of another process that is raised for a moment; falls back when dropped.
pub struct Raised {
    pid: i32,
    resource: Resource,
    old: Limit,
}

impl Raised {
    /// Raises the limit to `wanted`, or as far as we may.
    pub fn to(pid: i32, resource: Resource, wanted: u64) -> io::Result<Raised> {
        let old = raise(pid, resource, wanted)?;
        Ok(Raised { pid, resource, old })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // Fails only if the process is gone.
        let _ = set(self.pid, self.resource, self.old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_falls_back() {
        let before = get(0, libc::RLIMIT_CORE).expect("a limit");
        let low = Limit { soft: 0, ..before };
        set(0, libc::RLIMIT_CORE, low).expect("lowering is always allowed");
        let raised = Raised::to(0, libc::RLIMIT_CORE, before.hard).expect("up to the hard limit");
        assert_eq!(
            get(0, libc::RLIMIT_CORE).expect("a limit"),
            Limit {
                soft: before.hard,
                ..before
            }
        );
        drop(raised);
        assert_eq!(get(0, libc::RLIMIT_CORE).expect("a limit"), low);
    }
}
