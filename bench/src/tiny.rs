//! The smallest static program there is: `exit_group(0)`.
//!
//! Written by hand so that the bench needs no compiler for it and nothing but the kernel's exec
//! is measured.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the one page of the program lies.
const BASE: u64 = 0x40_0000;
const HEADER_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_GNU_STACK: u32 = 0x6474_e551;
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const READ: u32 = 4;

/// `xor edi, edi; mov eax, 231 (exit_group); syscall`
const CODE: [u8; 9] = [0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];

/// Writes the program to `path`, executable.
pub(crate) fn write(path: &Path) -> io::Result<()> {
    fs::write(path, image())?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn image() -> Vec<u8> {
    let code_at = HEADER_BYTES + 2 * SEGMENT_BYTES;
    let bytes = code_at + CODE.len() as u64;
    let mut elf = Vec::new();
    elf.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64 bit, little endian, System V
    half(&mut elf, 2); // ET_EXEC
    half(&mut elf, 62); // EM_X86_64
    word(&mut elf, 1); // version
    long(&mut elf, BASE + code_at); // entry
    long(&mut elf, HEADER_BYTES); // program headers
    long(&mut elf, 0); // no section headers
    word(&mut elf, 0); // flags
    half(&mut elf, HEADER_BYTES as u16);
    half(&mut elf, SEGMENT_BYTES as u16);
    half(&mut elf, 2); // program headers: count
    half(&mut elf, 0);
    half(&mut elf, 0);
    half(&mut elf, 0);
    segment(&mut elf, PT_LOAD, READ | EXECUTE, BASE, bytes, 0x1000);
    segment(&mut elf, PT_GNU_STACK, READ | WRITE, 0, 0, 16);
    elf.extend(CODE);
    elf
}

fn segment(elf: &mut Vec<u8>, kind: u32, flags: u32, address: u64, bytes: u64, align: u64) {
    word(elf, kind);
    word(elf, flags);
    for value in [0, address, address, bytes, bytes, align] {
        long(elf, value);
    }
}

fn half(elf: &mut Vec<u8>, value: u16) {
    elf.extend(value.to_le_bytes());
}

fn word(elf: &mut Vec<u8>, value: u32) {
    elf.extend(value.to_le_bytes());
}

fn long(elf: &mut Vec<u8>, value: u64) {
    elf.extend(value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_runs_it() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("tiny");
        super::write(&path)?;
        // A fork of a parallel test may hold the file open for writing for a moment.
        let status = loop {
            match std::process::Command::new(&path).status() {
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => continue,
                other => break other?,
            }
        };
        assert!(status.success(), "{status}");
        Ok(())
    }
}
