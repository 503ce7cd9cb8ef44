//! The guest's memory, as the marshalling sees it.

/// The address, or part of the range, is not mapped or not accessible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// Reads and writes the memory of one guest. Addresses are numbers; they come
/// from the guest and may be anything.
pub trait GuestMemory {
    /// Fills `into` as far as the guest's memory is mapped; returns how many
    /// bytes were read from the front, 0 if `at` itself is wild.
    fn read_some(&self, at: u64, into: &mut [u8]) -> usize;

    /// Writes `from` as far as the guest's memory can be written; returns how
    /// many bytes, from the front.
    fn write_some(&self, at: u64, from: &[u8]) -> usize;

    /// How many of the `bytes` from `at` on could be written now, from the
    /// front. May promise too much, never too little.
    fn writable(&self, at: u64, bytes: u64) -> u64;

    /// Fills `into` from address `at` completely, or fails. After a failure the
    /// content of `into` is unspecified.
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), Fault> {
        if self.read_some(at, into) == into.len() {
            Ok(())
        } else {
            Err(Fault)
        }
    }

    /// Writes `from` to address `at`, or fails. After a failure a prefix may
    /// have been written.
    fn write(&self, at: u64, from: &[u8]) -> Result<(), Fault> {
        if self.write_some(at, from) == from.len() {
            Ok(())
        } else {
            Err(Fault)
        }
    }
}
