//! Descriptors over a Unix socket: `SCM_RIGHTS`, unix(7).
#![allow(unsafe_code, reason = "control messages are built in raw memory")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Most descriptors in one message (the kernel's SCM_MAX_FD).
pub const FDS_MAX: usize = 253;
const CONTROL_BYTES: usize = 16 + FDS_MAX * 4 + 8;

/// Control buffer with the alignment of `cmsghdr`.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// Sends `bytes` with duplicates of `fds` attached. `bytes` must not be empty.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    assert!(fds.len() <= FDS_MAX && !bytes.is_empty());
    let mut control = Control([0; CONTROL_BYTES]);
    let length = 16 + fds.len() * 4;
    control.0[..8].copy_from_slice(&(length as u64).to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::SCM_RIGHTS.to_ne_bytes());
    for (index, fd) in fds.iter().enumerate() {
        let at = 16 + index * 4;
        control.0[at..at + 4].copy_from_slice(&fd.as_raw_fd().to_ne_bytes());
    }
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = length.next_multiple_of(8);
    }
    // SAFETY: every pointer in `message` refers to a live local for the call.
    let n = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) };
    if crate::check(n as i64)? as usize == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::WriteZero))
    }
}

/// Receives a message of at most `into.len()` bytes and the descriptors with it.
///
/// Returns the length; zero means that the peer has closed.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut part = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = CONTROL_BYTES;
    // SAFETY: every pointer in `message` refers to a live local for the call.
    let n = crate::check(unsafe {
        libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC)
    } as i64)?;
    let mut fds = Vec::new();
    if message.msg_controllen >= 16 {
        let mut word = [0; 8];
        word.copy_from_slice(&control.0[..8]);
        let length = (u64::from_ne_bytes(word) as usize).min(message.msg_controllen);
        for at in (16..length.saturating_sub(3)).step_by(4) {
            let mut number = [0; 4];
            number.copy_from_slice(&control.0[at..at + 4]);
            // SAFETY: the kernel installed this descriptor for us in this message.
            fds.push(unsafe { OwnedFd::from_raw_fd(i32::from_ne_bytes(number)) });
        }
    }
    Ok((n as usize, fds))
}
