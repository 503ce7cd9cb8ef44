//! Anonymous files: `memfd_create(2)`.
#![allow(unsafe_code, reason = "raw memfd_create system call")]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

/// A new empty anonymous file, close-on-exec.
pub fn create(name: &CStr) -> io::Result<File> {
    // SAFETY: `name` is a valid C string for the length of the call.
    let fd = crate::check(i64::from(unsafe {
        libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC)
    }))?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}
