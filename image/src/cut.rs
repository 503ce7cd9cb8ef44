//! Reads that end early when somebody interrupts them, as no file's do: those of devices that make
//! what is read. They are made again from their start: what was read before is missing nowhere.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::unfinished::memory_of;
use crate::vectors::Vectors;

/// Major number of the memory devices, and the minor ones of those meant: zero, full, random and
/// urandom; see null(4), full(4), random(4).
const MAJOR: u64 = 1;
const MINORS: [u64; 4] = [5, 7, 8, 9];

/// Whether call `nr` of thread `tid`, which was stopped by us, has come back with less than it wanted
/// for no other reason.
pub fn was_cut(tid: i32, nr: i64, args: &[u64; 6], result: i64) -> bool {
    let wanted = match nr {
        libc::SYS_read | libc::SYS_pread64 => args[2],
        libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
            match Vectors::of(nr as u32, args, &memory_of(tid)) {
                Some(pieces) => pieces.bytes(),
                None => return false,
            }
        }
        libc::SYS_getrandom => args[1],
        _ => return false,
    };
    let is_short = result > 0 && (result as u64) < wanted;
    is_short && (nr == libc::SYS_getrandom || makes_what_is_read(tid, args[0]))
}

fn makes_what_is_read(tid: i32, fd: u64) -> bool {
    let Ok(file) = fs::metadata(format!("/proc/{tid}/fd/{}", fd as i32)) else {
        return false;
    };
    let (major, minor) = (libc::major(file.rdev()), libc::minor(file.rdev()));
    let is_meant = u64::from(major) == MAJOR && MINORS.contains(&u64::from(minor));
    file.file_type().is_char_device() && is_meant
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn only_reads_of_such_devices_that_came_back_short() {
        let tid = std::process::id() as i32;
        let of = |path: &str, nr, wanted: u64, result| {
            let file = File::open(path).unwrap();
            let fd = file.as_raw_fd() as u64;
            was_cut(tid, nr, &[fd, wanted, wanted, 0, 0, 0], result)
        };
        for device in ["/dev/zero", "/dev/full", "/dev/urandom"] {
            assert!(of(device, libc::SYS_read, 100, 50), "{device}");
            assert!(of(device, libc::SYS_pread64, 100, 50), "{device}");
            for result in [100, 0, -libc::EINTR as i64] {
                assert!(
                    !of(device, libc::SYS_read, 100, result),
                    "{device} {result}"
                );
            }
            assert!(!of(device, libc::SYS_write, 100, 50), "{device}");
        }
        assert!(!of("/dev/null", libc::SYS_read, 100, 50));
        assert!(!of("/proc/self/stat", libc::SYS_read, 100, 50));
        assert!(was_cut(
            tid,
            libc::SYS_getrandom,
            &[0, 1000, 0, 0, 0, 0],
            256
        ));
        assert!(!was_cut(tid, libc::SYS_read, &[9999, 0, 100, 0, 0, 0], 50));
    }
}
