//! Memory of another process: `process_vm_readv(2)`, `process_vm_writev(2)`.
#![allow(unsafe_code, reason = "raw system calls on another process's memory")]

use std::io;

/// Reads up to `into.len()` bytes at `at` in the address space of `pid`.
///
/// Returns how many bytes could be read: fewer than asked where the range
/// runs into an unmapped or unreadable page. `EFAULT` if the first byte cannot
/// be read, `ESRCH` if the process is gone.
pub fn read(pid: i32, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: at as *mut libc::c_void,
        iov_len: into.len(),
    };
    // SAFETY: `local` describes `into`, exclusively borrowed for the call; the
    // kernel checks `remote` against the other process and never touches ours.
    let n = unsafe { libc::process_vm_readv(pid, &local, 1, &remote, 1, 0) };
    crate::check(n as i64).map(|n| n as usize)
}

/// Writes up to `from.len()` bytes at `at` in the address space of `pid`.
///
/// Honours the pages' protection. Returns how many bytes were written.
pub fn write(pid: i32, at: u64, from: &[u8]) -> io::Result<usize> {
    let local = libc::iovec {
        iov_base: from.as_ptr().cast_mut().cast(),
        iov_len: from.len(),
    };
    let remote = libc::iovec {
        iov_base: at as *mut libc::c_void,
        iov_len: from.len(),
    };
    // SAFETY: `local` is only read by the kernel in this direction; `remote`
    // is checked by the kernel against the other process.
    let n = unsafe { libc::process_vm_writev(pid, &local, 1, &remote, 1, 0) };
    crate::check(n as i64).map(|n| n as usize)
}
