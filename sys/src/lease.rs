//! Read leases on files: `fcntl(2)`, F_SETLEASE.
//!
//! Whoever wants to write a leased file waits in open(2) or truncate(2) until
//! the holder has let go, at most `/proc/sys/fs/lease-break-time` seconds. The
//! holder is told by a signal.
#![allow(unsafe_code, reason = "raw fcntl and signal system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// A thread that hears when leases are to be given back.
#[derive(Debug)]
pub struct Watch {
    signals: libc::sigset_t,
}

/// `struct f_owner_ex`.
#[repr(C)]
struct Owner {
    kind: i32,
    pid: i32,
}

const F_OWNER_TID: i32 = 0;
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
/// Where `siginfo_t` has the descriptor that a signal is about.
const FD_AT: usize = 24;

/// The signal that breaks are told by.
fn signal() -> i32 {
    libc::SIGRTMIN() + 3
}

/// Number of the calling thread, for [`take`].
pub fn own_thread() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

impl Watch {
    /// From now on the calling thread can be told of breaks, and only by
    /// [`Watch::next`].
    pub fn begin() -> io::Result<Watch> {
        // SAFETY: all bits zero are a valid set.
        let mut signals: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: a live local.
        unsafe { libc::sigemptyset(&mut signals) };
        // SIGIO comes instead when the queue of signals is full.
        for signal in [signal(), libc::SIGIO] {
            // SAFETY: a live local; the numbers are signals.
            unsafe { libc::sigaddset(&mut signals, signal) };
        }
        // SAFETY: a live set; the old mask is not asked for.
        let errno =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut()) };
        match errno {
            0 => Ok(Watch { signals }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Waits for the next break: the number of the descriptor whose lease it is,
    /// `None` if the kernel could not queue that.
    pub fn next(&self) -> io::Result<Option<RawFd>> {
        let mut info = [0u64; 16];
        // SAFETY: `info` is aligned and as large as a siginfo_t.
        let got = unsafe { libc::sigwaitinfo(&self.signals, info.as_mut_ptr().cast()) };
        crate::check(i64::from(got))?;
        let fd = (got != libc::SIGIO).then(|| info[FD_AT / 8] as u32 as RawFd);
        Ok(fd)
    }
}

/// Takes a read lease on `file`, which must be open for reading only; thread
/// `watcher` hears of its break. Closing the last duplicate of `file` gives it
/// back.
///
/// `EAGAIN`: somebody has it open for writing; `EACCES`: not our file.
pub fn take(file: BorrowedFd<'_>, watcher: i32) -> io::Result<()> {
    let fd = file.as_raw_fd();
    let owner = Owner {
        kind: F_OWNER_TID,
        pid: watcher,
    };
    // SAFETY: no pointers are passed.
    crate::check(i64::from(unsafe { libc::fcntl(fd, F_SETSIG, signal()) }))?;
    // SAFETY: a live structure of the kind that the kernel reads.
    crate::check(i64::from(unsafe {
        libc::fcntl(fd, F_SETOWN_EX, &raw const owner)
    }))?;
    // SAFETY: no pointers are passed.
    crate::check(i64::from(unsafe {
        libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK)
    }))?;
    Ok(())
}

/// Whether the lease on `file` is held and nobody waits for it.
pub fn is_whole(file: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers are passed.
    let kind = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) };
    kind == libc::F_RDLCK
}

/// Gives the lease on `file` back, also where duplicates of it live on: a mapping is one.
pub fn give_back(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    crate::check(i64::from(unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK)
    }))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_writer_waits_until_the_lease_is_given_back() {
        let path = std::env::temp_dir().join(format!("homenode-lease-{}", std::process::id()));
        fs::write(&path, b"old").unwrap();
        let (ready, is_ready) = mpsc::channel();
        let (broken, is_broken) = mpsc::channel();
        std::thread::spawn(move || {
            let watch = Watch::begin().unwrap();
            ready.send(own_thread()).unwrap();
            broken.send(watch.next().unwrap()).unwrap();
        });
        let watcher = is_ready.recv().unwrap();
        let writer = File::options().append(true).open(&path).unwrap();
        let file = File::open(&path).unwrap();
        let refused = take(file.as_fd(), watcher).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN));
        drop(writer);
        take(file.as_fd(), watcher).unwrap();
        let writing = std::thread::spawn({
            let path = path.clone();
            move || {
                fs::write(path, b"new").unwrap();
                Instant::now()
            }
        });
        let fd = is_broken.recv_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(fd, Some(file.as_raw_fd()));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let given_back = Instant::now();
        drop(file);
        assert!(writing.join().unwrap() >= given_back);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::remove_file(&path).unwrap();
    }
}
