//! The trace reads like strace.

use abi::trace::{format_call, format_done, format_result};
use abi::{GuestMemory, X86_64};

/// A mapping at address 4096.
struct Memory(&'static [u8]);

impl GuestMemory for Memory {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        let from = at
            .checked_sub(4096)
            .and_then(|o| self.0.get(o as usize..))
            .unwrap_or(&[]);
        let got = from.len().min(into.len());
        into[..got].copy_from_slice(&from[..got]);
        got
    }

    fn write_some(&self, _at: u64, _from: &[u8]) -> usize {
        0
    }

    fn writable(&self, _at: u64, _bytes: u64) -> u64 {
        0
    }
}

fn call(name: &str, args: [u64; 6], memory: &'static [u8]) -> String {
    let row = X86_64
        .iter()
        .find(|row| row.name == name)
        .expect("a call of that name");
    format_call(row, &args, &Memory(memory))
}

#[test]
fn calls() {
    let at_fdcwd = -100i64 as u64;
    assert_eq!(
        call(
            "openat",
            [at_fdcwd, 4096, 0o2000000, 0, 0, 0],
            b"/etc/hosts\0"
        ),
        "openat(AT_FDCWD, \"/etc/hosts\", O_RDONLY|O_CLOEXEC, 0)"
    );
    assert_eq!(
        call(
            "write",
            [1, 4096, 40, 0, 0, 0],
            b"one\ntwo\x01\x012 and so on, until it is too long"
        ),
        "write(1, \"one\\ntwo\\1\\0012 and so on, until it i\"..., 40)"
    );
    assert_eq!(
        call("read", [0, 4096, 10, 0, 0, 0], b""),
        "read(0, 0x1000, 10)"
    );
    assert_eq!(call("stat", [8, 0, 0, 0, 0, 0], b""), "stat(0x8, NULL)");
    assert_eq!(
        call("ioctl", [0, 0x5413, 4096, 0, 0, 0], b""),
        "ioctl(0, TIOCGWINSZ, 0x1000)"
    );
    assert_eq!(
        call("mmap", [0, 8192, 3, 0x22, u64::MAX, 0], b""),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)"
    );
}

#[test]
fn what_calls_have_written() {
    let done = |name: &str, args: [u64; 6], ret: i64, memory: &'static [u8]| {
        let row = X86_64.iter().find(|row| row.name == name).expect("a row");
        format_done(row, &args, ret, &Memory(memory))
    };
    let read = [0, 4096, 10, 0, 0, 0];
    assert_eq!(
        done("read", read, 3, b"one and what was there before"),
        "read(0, \"one\", 10)"
    );
    assert_eq!(done("read", read, -4, b"one"), "read(0, 0x1000, 10)");
    assert_eq!(
        done("pipe", [4096, 0, 0, 0, 0, 0], 0, b"\x03\0\0\0\x04\0\0\0"),
        "pipe([3, 4])"
    );
    let vectors = b"\x20\x10\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\
                    \x22\x10\0\0\0\0\0\0\x09\0\0\0\0\0\0\0abcdefgh";
    assert_eq!(
        done("readv", [0, 4096, 2, 0, 0, 0], 3, vectors),
        "readv(0, [{\"ab\", 2}, {\"c\", 9}], 2)"
    );
}

#[test]
fn results() {
    let row = |name: &str| X86_64.iter().find(|row| row.name == name).expect("a row");
    assert_eq!(
        format_result(row("open"), -2),
        "-1 ENOENT (No such file or directory)"
    );
    assert_eq!(format_result(row("brk"), 0x5000), "0x5000");
    assert_eq!(format_result(row("read"), 17), "17");
    assert_eq!(format_result(row("exit_group"), 0), "?");
    assert!(format_result(row("read"), -512).starts_with("? ERESTARTSYS"));
}
