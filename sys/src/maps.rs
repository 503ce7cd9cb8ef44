//! What is mapped at an address of another process: `PROCMAP_QUERY` of
//! `/proc/PID/maps`, since Linux 6.11.
#![allow(unsafe_code, reason = "ioctl with a structure")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Its end; it covers the address that was asked for.
    pub end: u64,
    /// It may be read.
    pub readable: bool,
    /// It may be written.
    pub writable: bool,
}

/// `struct procmap_query` of `<linux/fs.h>`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    found: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    device: [u32; 2],
    name_bytes: u32,
    build_id_bytes: u32,
    name_at: u64,
    build_id_at: u64,
}

const _: () = assert!(size_of::<Query>() == 104);

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong = 0xc068_6611;
const READABLE: u64 = 1;
const WRITABLE: u64 = 2;

/// The mapping at `address`, if there is one, in the process whose
/// `/proc/PID/maps` is open at `maps`. `ENOTTY` from older kernels, `ESRCH` if
/// the process is gone.
pub fn at(maps: BorrowedFd<'_>, address: u64) -> io::Result<Option<Area>> {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        address,
        ..Query::default()
    };
    // SAFETY: the structure has the size it says, and lengths of zero mean that
    // the kernel writes nothing outside it.
    let result = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOENT) => Ok(None),
            _ => Err(error),
        };
    }
    Ok(Some(Area {
        end: query.end,
        readable: query.found & READABLE != 0,
        writable: query.found & WRITABLE != 0,
    }))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn own_memory() -> io::Result<()> {
        let maps = File::open("/proc/self/maps")?;
        let local = 0u8;
        let constant = "text";
        let area = |address: *const u8| at(maps.as_fd(), address as u64);
        let stack = match area(&raw const local) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => return Ok(()),
            other => other?,
        };
        assert!(stack.is_some_and(|a| a.readable && a.writable && a.end > &raw const local as u64));
        assert!(area(constant.as_ptr())?.is_some_and(|a| a.readable && !a.writable));
        assert_eq!(area(std::ptr::without_provenance(0x1000))?, None);
        Ok(())
    }
}
