//! Whether a file may be mapped to be executed, mmap(2).
#![allow(unsafe_code, reason = "raw mmap and munmap")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Maps the first page of `file`, readable and executable, and unmaps it again: no system call but mmap
/// tells of a file system that is mounted `noexec`, or of a kind from which nothing is executed.
///
/// # Errors
/// What mmap says: EPERM, or ENODEV of a file that is never mapped.
pub fn try_map(file: BorrowedFd<'_>) -> io::Result<()> {
    const BYTES: usize = 4096;
    let access = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a fresh mapping where the kernel chooses aliases nothing; nothing of it is read.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            BYTES,
            access,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping just made, to which nobody has a pointer.
    unsafe { libc::munmap(at, BYTES) };
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn programs_and_what_is_none() {
        let program = File::open("/proc/self/exe").unwrap();
        try_map(program.as_fd()).unwrap();
        let directory = File::open("/").unwrap();
        let error = try_map(directory.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let never = File::open("/proc/self/status").unwrap();
        let error = try_map(never.as_fd()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}
