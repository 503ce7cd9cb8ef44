//! Pages that somebody else fills in when they are missed: `userfaultfd(2)`,
//! `ioctl_userfaultfd(2)`.
#![allow(unsafe_code, reason = "raw userfaultfd system calls")]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Device that makes descriptors which serve faults within the kernel, too, for
/// whoever may open it. Linux 6.1.
pub const DEVICE: &str = "/dev/userfaultfd";
/// `ioctl` on [`DEVICE`]: a new descriptor for the caller's own memory.
pub const IOC_NEW: u64 = 0xaa00;

const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00;
const UFFDIO_WAKE: libc::Ioctl = 0x8010_aa02u32 as libc::Ioctl;
const UFFDIO_COPY: libc::Ioctl = 0xc028_aa03;
const UFFDIO_ZEROPAGE: libc::Ioctl = 0xc020_aa04;
const REGISTER_MODE_MISSING: u64 = 1;

const FEATURE_EVENT_FORK: u64 = 1 << 1;
const FEATURE_EVENT_REMAP: u64 = 1 << 2;
const FEATURE_EVENT_REMOVE: u64 = 1 << 3;
const FEATURE_EVENT_UNMAP: u64 = 1 << 6;

const MESSAGE_BYTES: usize = 32;

/// What happens to memory whose pages may be missing.
#[derive(Debug)]
pub enum Event {
    /// A thread waits for this page.
    Fault {
        /// Address that it touched.
        address: u64,
    },
    /// The process has forked: the child's memory, with the same pages missing.
    Fork(Userfault),
    /// A range has moved, mremap(2).
    Remap {
        /// From here.
        from: u64,
        /// To here.
        to: u64,
        /// Bytes.
        length: u64,
    },
    /// The content of a range is given up, madvise(2), or the range itself,
    /// munmap(2): what is touched there is new.
    Remove {
        /// First byte.
        start: u64,
        /// After the last one.
        end: u64,
    },
}

/// The memory of one process, as far as it was registered. When the last
/// descriptor for it is closed, pages that are still missing are zeros.
#[derive(Debug)]
pub struct Userfault {
    fd: OwnedFd,
}

/// Opens [`DEVICE`], if the kernel has it and we may.
pub fn device() -> io::Result<File> {
    File::options().read(true).write(true).open(DEVICE)
}

/// Whether we may be told of forks: that needs CAP_SYS_PTRACE.
pub fn tells_forks(device: &File) -> bool {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::ioctl(device.as_raw_fd(), IOC_NEW as libc::Ioctl, flags) };
    let Ok(fd) = crate::check(i64::from(fd)) else {
        return false;
    };
    // SAFETY: the kernel has just given us this descriptor.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    Userfault::enable(fd, true).is_ok()
}

impl Userfault {
    /// Takes a descriptor that the process has made for itself, not blocking,
    /// and agrees with the kernel on what is told. `with_forks` needs
    /// CAP_SYS_PTRACE.
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`: the kernel has not all of it.
    pub fn enable(fd: OwnedFd, with_forks: bool) -> io::Result<Userfault> {
        let mut features = FEATURE_EVENT_REMAP | FEATURE_EVENT_REMOVE | FEATURE_EVENT_UNMAP;
        if with_forks {
            features |= FEATURE_EVENT_FORK;
        }
        // struct uffdio_api: api, features, ioctls.
        let mut api = [UFFD_API, features, 0u64];
        let userfault = Userfault { fd };
        userfault.ioctl(UFFDIO_API, &mut api)?;
        Ok(userfault)
    }

    /// Another descriptor for the same memory.
    pub fn try_clone(&self) -> io::Result<Userfault> {
        let fd = self.fd.try_clone()?;
        Ok(Userfault { fd })
    }

    /// From now on a missing page of this range is told of: of private
    /// anonymous memory.
    pub fn register(&self, start: u64, bytes: u64) -> io::Result<()> {
        // struct uffdio_register: range, mode, ioctls.
        self.ioctl(
            UFFDIO_REGISTER,
            &mut [start, bytes, REGISTER_MODE_MISSING, 0],
        )
    }

    /// Puts whole pages in place and wakes who waits for them. Returns how many
    /// bytes were put there; fewer than asked if one was there already.
    ///
    /// # Errors
    /// `EEXIST`: the first is there. `EAGAIN`: the memory is being changed; read
    /// the event first. `ENOENT`: they
    /// do not lie within one registered mapping. `ESRCH`: the process
    /// has gone.
    pub fn copy(&self, at: u64, pages: &[u8]) -> io::Result<usize> {
        let source = pages.as_ptr() as u64;
        // struct uffdio_copy: dst, src, len, mode, copy.
        let mut copy = [at, source, pages.len() as u64, 0, 0];
        let result = self.ioctl(UFFDIO_COPY, &mut copy);
        installed(result, copy[4])
    }

    /// As [`Userfault::copy`], with zeros.
    pub fn zero(&self, at: u64, bytes: u64) -> io::Result<usize> {
        // struct uffdio_zeropage: range, mode, zeropage.
        let mut zero = [at, bytes, 0, 0];
        let result = self.ioctl(UFFDIO_ZEROPAGE, &mut zero);
        installed(result, zero[3])
    }

    /// Wakes who waits for pages of this range: they look again.
    pub fn wake(&self, start: u64, bytes: u64) -> io::Result<()> {
        self.ioctl(UFFDIO_WAKE, &mut [start, bytes])
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    /// The descriptor cannot be read: its process has gone.
    pub fn event(&self) -> io::Result<Option<Event>> {
        let mut words = [0u64; MESSAGE_BYTES / 8];
        // SAFETY: `words` is a live local of `MESSAGE_BYTES`.
        let n = unsafe {
            libc::read(
                self.fd.as_raw_fd(),
                words.as_mut_ptr().cast(),
                MESSAGE_BYTES,
            )
        };
        match crate::check(n as i64) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
            Ok(n) if n as usize != MESSAGE_BYTES => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(_) => {}
        }
        let [head, first, second, third] = words;
        Ok(Some(match head as u8 {
            // Flags, then the address.
            0x12 => Event::Fault { address: second },
            0x13 => {
                // SAFETY: the kernel has just given us this descriptor.
                let fd = unsafe { OwnedFd::from_raw_fd(first as u32 as i32) };
                Event::Fork(Userfault { fd })
            }
            0x14 => Event::Remap {
                from: first,
                to: second,
                length: third,
            },
            0x15 | 0x16 => Event::Remove {
                start: first,
                end: second,
            },
            other => {
                return Err(io::Error::other(format!("event {other:#x} is not known")));
            }
        }))
    }

    fn ioctl(&self, request: libc::Ioctl, words: &mut [u64]) -> io::Result<()> {
        // SAFETY: `words` is live and as long as the structure of `request`,
        // which its callers see to. What it names of our memory lives as long.
        let ret = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, words.as_mut_ptr()) };
        crate::check(i64::from(ret)).map(drop)
    }
}

impl AsFd for Userfault {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The kernel's count, which is minus an errno if nothing was done.
fn installed(result: io::Result<()>, count: u64) -> io::Result<usize> {
    match (result, count as i64) {
        (Ok(()), count) => Ok(count.max(0) as usize),
        (Err(_), count) if count > 0 => Ok(count as usize),
        (Err(error), _) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn a_missing_page_is_told_of_and_filled() {
        let Ok(device) = device() else {
            // Only root may, as a rule.
            assert_ne!(crate::process::ids().uid, 0);
            return;
        };
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::ioctl(
                device.as_raw_fd(),
                IOC_NEW as libc::Ioctl,
                libc::O_CLOEXEC | libc::O_NONBLOCK,
            )
        };
        let fd = crate::check(i64::from(fd)).unwrap();
        // SAFETY: the kernel has just given us this descriptor.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let userfault = Userfault::enable(fd, false).unwrap();
        let bytes = 4 * 4096;
        let mut map = memmap2::MmapOptions::new().len(bytes).map_anon().unwrap();
        let start = map.as_mut_ptr() as u64;
        userfault.register(start, bytes as u64).unwrap();
        assert_eq!(userfault.copy(start + 4096, &[7; 4096]).unwrap(), 4096);
        let there = userfault.copy(start + 4096, &[8; 4096]).unwrap_err();
        assert_eq!(there.raw_os_error(), Some(libc::EEXIST));
        assert_eq!(userfault.copy(start, &[9; 3 * 4096]).unwrap(), 4096);
        assert_eq!(userfault.zero(start + 2 * 4096, 4096).unwrap(), 4096);
        assert!(userfault.event().unwrap().is_none());
        let toucher = std::thread::spawn(move || (map[3 * 4096 + 5], map));
        let address = loop {
            match userfault.event().unwrap() {
                Some(Event::Fault { address }) => break address & !4095,
                Some(other) => panic!("{other:?}"),
                None => std::thread::yield_now(),
            }
        };
        assert_eq!(address, start + 3 * 4096);
        userfault.copy(address, &[3; 4096]).unwrap();
        let (byte, map) = toucher.join().unwrap();
        assert_eq!(byte, 3);
        // Its end would wait to be told of.
        drop(userfault);
        drop(map);
    }
}
