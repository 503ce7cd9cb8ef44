//! A guest's memory, read and written as `abi` asks.

use abi::memory::{Fault, GuestMemory};
use sys::vm;

/// Memory of the process with this pid on this node.
#[derive(Clone, Copy)]
pub(crate) struct BodyMemory(pub(crate) i32);

impl GuestMemory for BodyMemory {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_some(at, into) == into.len() {
            Ok(())
        } else {
            Err(Fault)
        }
    }

    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        if into.is_empty() {
            return 0;
        }
        vm::read(self.0, at, into).unwrap_or(0)
    }

    fn write(&self, at: u64, from: &[u8]) -> Result<(), Fault> {
        if from.is_empty() {
            return Ok(());
        }
        match vm::write(self.0, at, from) {
            Ok(n) if n == from.len() => Ok(()),
            _ => Err(Fault),
        }
    }
}

/// Bytes of ours that a call to home points at, as if at address `at`.
pub(crate) struct Literal<'a> {
    pub(crate) at: u64,
    pub(crate) bytes: &'a [u8],
}

impl GuestMemory for Literal<'_> {
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_some(at, into) == into.len() {
            Ok(())
        } else {
            Err(Fault)
        }
    }

    fn read_some(&self, at: u64, into: &mut [u8]) -> usize {
        let from = at
            .checked_sub(self.at)
            .and_then(|offset| self.bytes.get(offset as usize..))
            .unwrap_or(&[]);
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        n
    }

    fn write(&self, _at: u64, _from: &[u8]) -> Result<(), Fault> {
        Ok(())
    }
}
