//! A guest's memory, read and written as `abi` asks.
//!
//! `process_vm_readv` and `process_vm_writev` do the work. They are stricter
//! than the kernel on behalf of the program itself: they do not let a stack
//! grow, and do not read what may only be written. So what they refuse is
//! looked at again.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, OnceLock};

use abi::memory::GuestMemory;
use sys::maps::{self, Area};
use sys::vm;

use crate::host::lock;

const PAGE_BYTES: u64 = 4096;

/// Files of a process's memory, opened when first needed.
#[derive(Default)]
pub(crate) struct MemoryFiles {
    maps: OnceLock<Option<File>>,
    content: OnceLock<Option<File>>,
}

/// Memory of the process with this pid on this node.
#[derive(Clone, Copy)]
pub(crate) struct BodyMemory<'a> {
    pub(crate) pid: i32,
    pub(crate) files: &'a MemoryFiles,
}

impl BodyMemory<'_> {
    /// What is mapped at `at`; an error where the kernel cannot tell.
    fn area(&self, at: u64) -> std::io::Result<Option<Area>> {
        let open = || File::open(format!("/proc/{}/maps", self.pid)).ok();
        match self.files.maps.get_or_init(open) {
            Some(file) => maps::at(file.as_fd(), at),
            None => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Reads as a debugger may: lets a stack grow, and minds no protection.
    fn read_by_force(&self, at: u64, into: &mut [u8]) -> usize {
        let open = || File::open(format!("/proc/{}/mem", self.pid)).ok();
        let file = self.files.content.get_or_init(open).as_ref();
        file.and_then(|file| file.read_at(into, at).ok())
            .unwrap_or(0)
    }

    /// Lets a stack that ends above `at` grow down to it; what is there then.
    #[cold]
    fn grown(&self, at: u64) -> Option<Area> {
        let is_there = matches!(self.area(at), Ok(None)) && self.read_by_force(at, &mut [0]) == 1;
        is_there.then(|| self.area(at).ok().flatten()).flatten()
    }

    /// Goes on where `vm::read` has stopped.
    #[cold]
    fn read_on(&self, at: u64, into: &mut [u8]) -> usize {
        match self.area(at) {
            Ok(Some(area)) if area.writable && !area.readable => {
                let bytes = (area.end - at).min(into.len() as u64) as usize;
                self.read_by_force(at, &mut into[..bytes])
            }
            Ok(None) if self.grown(at).is_some() => vm::read(self.pid, at, into).unwrap_or(0),
            _ => 0,
        }
    }

    /// [`GuestMemory::writable`] where the kernel cannot tell what is mapped:
    /// how far it can be read, which is as far as it is looked at.
    #[cold]
    fn readable(&self, at: u64, bytes: u64) -> u64 {
        let is_there = |at| vm::read(self.pid, at, &mut [0]).is_ok();
        if is_there(at) && is_there(at + (bytes - 1)) {
            return bytes;
        }
        let mut fits = 0;
        while fits < bytes && is_there(at + fits) {
            fits += PAGE_BYTES - (at + fits) % PAGE_BYTES;
        }
        fits.min(bytes)
    }
}

impl GuestMemory for BodyMemory<'_> {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        if into.is_empty() {
            return 0;
        }
        let got = vm::read(self.pid, at, into).unwrap_or(0);
        if got == into.len() {
            return got;
        }
        got + self.read_on(at.saturating_add(got as u64), &mut into[got..])
    }

    fn write_some(&self, at: u64, from: &[u8]) -> usize {
        if from.is_empty() {
            return 0;
        }
        let wrote = vm::write(self.pid, at, from).unwrap_or(0);
        let hole = at.saturating_add(wrote as u64);
        if wrote == from.len() || self.grown(hole).is_none() {
            return wrote;
        }
        wrote + vm::write(self.pid, hole, &from[wrote..]).unwrap_or(0)
    }

    fn writable(&self, at: u64, bytes: u64) -> u64 {
        let Some(end) = at.checked_add(bytes) else {
            return 0;
        };
        let mut fits_to = at;
        while fits_to < end {
            let area = match self.area(fits_to) {
                Ok(area) => area.or_else(|| self.grown(fits_to)),
                Err(_) => return self.readable(at, bytes),
            };
            match area {
                Some(area) if area.writable => fits_to = area.end,
                _ => break,
            }
        }
        fits_to.min(end) - at
    }
}

/// Bytes of ours that a call to home points at, as if at address `at`.
pub(crate) struct Literal<'a> {
    pub(crate) at: u64,
    pub(crate) bytes: &'a [u8],
}

impl GuestMemory for Literal<'_> {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        let from = at
            .checked_sub(self.at)
            .and_then(|offset| self.bytes.get(offset as usize..))
            .unwrap_or(&[]);
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        n
    }

    fn write_some(&self, _at: u64, from: &[u8]) -> usize {
        from.len()
    }

    fn writable(&self, _at: u64, bytes: u64) -> u64 {
        bytes
    }
}

/// Room of ours that a call to home points at and may write to, as if at address
/// `at`.
pub(crate) struct Scratch<const N: usize> {
    at: u64,
    bytes: Mutex<[u8; N]>,
}

impl<const N: usize> Scratch<N> {
    pub(crate) fn new(at: u64, bytes: [u8; N]) -> Scratch<N> {
        Scratch {
            at,
            bytes: Mutex::new(bytes),
        }
    }

    /// What is there now.
    pub(crate) fn bytes(&self) -> [u8; N] {
        *lock(&self.bytes)
    }

    fn offset(&self, at: u64) -> usize {
        at.checked_sub(self.at)
            .map_or(N, |offset| offset.min(N as u64) as usize)
    }
}

impl<const N: usize> GuestMemory for Scratch<N> {
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        let bytes = lock(&self.bytes);
        let from = &bytes[self.offset(at)..];
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        n
    }

    fn write_some(&self, at: u64, from: &[u8]) -> usize {
        let mut bytes = lock(&self.bytes);
        let into = &mut bytes[self.offset(at)..];
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        n
    }

    fn writable(&self, at: u64, bytes: u64) -> u64 {
        bytes.min((N - self.offset(at)) as u64)
    }
}
