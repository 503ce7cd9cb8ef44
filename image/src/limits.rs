//! Resource limits of a body: getrlimit(2).
//!
//! Limits of memory and CPU time act where these are used, so the body has its
//! deputy's. All others are about objects at home and act there; the body's own
//! must not be in the way: a file to be mapped is put at the very number it has
//! at home, and how many processes there may be is decided by home's fork. A
//! core is never dumped on the host, whose core_pattern may be a program.
//!
//! Not done: limits of all bodies of a job together, by cgroup (cpu.weight,
//! memory.max, pids.max). They need a v2 group delegated to the node daemon, in
//! which `Init::start` would put init before its first fork.

use std::io;

use sys::limits::{self, KINDS, Limit, Resource, UNLIMITED};

use crate::cpu_time::CpuTime;
use crate::schema::MemoryLimit;

/// Limits that act in the body.
const IN_BODY: [Resource; 6] = [
    libc::RLIMIT_AS,
    libc::RLIMIT_CPU,
    libc::RLIMIT_DATA,
    libc::RLIMIT_MEMLOCK,
    libc::RLIMIT_RTTIME,
    libc::RLIMIT_STACK,
];

/// Whether a limit of this kind acts in the body.
pub fn acts_in_body(resource: u32) -> bool {
    IN_BODY.contains(&resource)
}

/// Limits of process `pid` that its body will have.
pub(crate) fn of(pid: i32) -> io::Result<Vec<MemoryLimit>> {
    IN_BODY
        .into_iter()
        .map(|resource| {
            let Limit { soft, hard } = limits::get(pid, resource)?;
            Ok(MemoryLimit {
                resource,
                soft,
                hard,
            })
        })
        .collect()
}

const SECOND_NS: u64 = 1_000_000_000;

/// What is left of a limit of kind `resource` where the kernel has not counted `spent`: one of CPU time, in
/// whole seconds, is less.
pub fn rest(resource: u32, limit: Limit, spent: CpuTime) -> Limit {
    let of = |value: u64| match (resource, value) {
        (_, libc::RLIM_INFINITY) => value,
        (libc::RLIMIT_CPU, _) => value.saturating_sub(spent.total_ns() / SECOND_NS),
        _ => value,
    };
    Limit {
        soft: of(limit.soft),
        hard: of(limit.hard),
    }
}

/// The limits of which a body had what [`rest`] leaves of them.
pub fn make_whole(limits: &mut [MemoryLimit], spent: CpuTime) {
    let seconds = spent.total_ns() / SECOND_NS;
    for limit in limits.iter_mut().filter(|l| l.resource == libc::RLIMIT_CPU) {
        for value in [&mut limit.soft, &mut limit.hard] {
            // RLIM_INFINITY stays it.
            *value = value.saturating_add(seconds);
        }
    }
}

/// Gives body `pid` its limits, of a process that has `spent` so much elsewhere.
pub(crate) fn apply(pid: i32, wanted: &[MemoryLimit], spent: CpuTime) -> io::Result<()> {
    for resource in (0..KINDS).filter(|resource| !acts_in_body(*resource)) {
        match resource {
            libc::RLIMIT_CORE => limits::set(pid, resource, Limit { soft: 0, hard: 0 })?,
            libc::RLIMIT_NOFILE => drop(limits::raise(pid, resource, 1 << 20)?),
            _ => drop(limits::raise(pid, resource, UNLIMITED)?),
        }
    }
    for MemoryLimit {
        resource,
        soft,
        hard,
    } in wanted.iter().filter(|limit| acts_in_body(limit.resource))
    {
        let limit = Limit {
            soft: *soft,
            hard: *hard,
        };
        change(pid, *resource, rest(*resource, limit, spent))?;
    }
    Ok(())
}

/// Sets one limit of body `pid`, within what this host allows us.
pub fn change(pid: i32, resource: u32, limit: Limit) -> io::Result<()> {
    if limits::set(pid, resource, limit).is_ok() {
        return Ok(());
    }
    let hard = limits::get(pid, resource)?.hard;
    let lower = Limit {
        soft: limit.soft.min(hard),
        hard: limit.hard.min(hard),
    };
    limits::set(pid, resource, lower)
}
