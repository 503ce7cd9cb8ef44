//! Resource limits of ours. They are inherited from the user's shell and meant
//! for the command: we raise ours as far as we may, and where that is not far
//! enough the job runs at home, natively, within the same limits as ever.

use sys::limits::{self, Resource, UNLIMITED};

/// What serving guests needs of one limit.
struct Need {
    resource: Resource,
    name: &'static str,
    /// What we raise it to.
    wanted: u64,
    /// With less, the job stays at home.
    least: u64,
}

const GIB: u64 = 1 << 30;

const NEEDS: &[Need] = &[
    // A lane, a window and a process for each guest thread; mapped files.
    need(libc::RLIMIT_NOFILE, "open files", 1 << 20, 256),
    // Threads count as processes of the user: about four for each of a guest's.
    need(libc::RLIMIT_NPROC, "processes", UNLIMITED, 512),
    // 42 MiB of address space for each deputy's window.
    need(libc::RLIMIT_AS, "address space", UNLIMITED, 4 * GIB),
    need(libc::RLIMIT_DATA, "data", UNLIMITED, GIB),
    // Copies of mapped files, see `image::files`.
    need(libc::RLIMIT_FSIZE, "file size", UNLIMITED, GIB),
    need(libc::RLIMIT_STACK, "stack", 8 << 20, 256 << 10),
    // Bodies and runtime may need more than the command by itself.
    need(libc::RLIMIT_CPU, "CPU seconds", UNLIMITED, 600),
];

const fn need(resource: Resource, name: &'static str, wanted: u64, least: u64) -> Need {
    Need {
        resource,
        name,
        wanted,
        least,
    }
}

/// Raises our limits. The runtime inherits them.
///
/// # Errors
/// Why no guest can be served, in words.
pub(crate) fn raise() -> Result<(), String> {
    for need in NEEDS {
        // Fails only for limits that this kernel does not know.
        let _ = limits::raise(0, need.resource, need.wanted);
        let soft = limits::get(0, need.resource).map_or(UNLIMITED, |limit| limit.soft);
        if soft < need.least {
            return Err(format!(
                "the limit of {} is {soft}, guests need {}",
                need.name, need.least
            ));
        }
    }
    Ok(())
}
