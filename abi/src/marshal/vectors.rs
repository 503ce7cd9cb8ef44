//! Arrays of `struct iovec`, and the bytes that they point at.

use super::gather::{Gather, MOVED_BYTES_MAX, in_user_space};
use super::{MarshalError, Place, Rule};
use crate::wire::{HOLE, USER_END, read_u64};

/// Longest iovec array.
const IOVECS_MAX: u64 = 1024;
/// Bytes of a `struct iovec`.
const VECTOR_BYTES: usize = 16;

/// What becomes of the bytes a vector points at.
#[derive(Clone, Copy)]
pub(super) enum Vectors {
    /// They are sent, as far as they can be read.
    Stream,
    /// They are sent together or not at all.
    Message,
    /// They are received, and copied back by this rule.
    Received(Rule),
}

impl Gather<'_> {
    pub(super) fn vector_argument(
        &mut self,
        index: usize,
        at: u64,
        count: u8,
        vectors: Vectors,
    ) -> Result<(), MarshalError> {
        let place = match self.count(count) {
            Some(count) if count <= IOVECS_MAX => self.vectors(at, count, vectors)?,
            _ => None,
        };
        self.point(index, at, place);
        Ok(())
    }

    /// Appends an iovec array and what it points at; returns the array's
    /// offset, `None` if it cannot be read.
    pub(super) fn vectors(
        &mut self,
        at: u64,
        count: u64,
        vectors: Vectors,
    ) -> Result<Option<usize>, MarshalError> {
        let array = match self.read(at, count * VECTOR_BYTES as u64)? {
            Some(array) => array,
            None => match self.refused_vectors(at, count)? {
                Some(array) => array,
                None => return Ok(None),
            },
        };
        let mut faulted = false;
        for slot in (0..count as usize).map(|index| array + index * 16) {
            let base = read_u64(&self.call.input, slot).unwrap_or(0);
            let length = read_u64(&self.call.input, slot + 8).unwrap_or(0);
            // A single vector is cut before it is checked.
            let checked = if count == 1 && length <= i64::MAX as u64 {
                length.min(MOVED_BYTES_MAX)
            } else {
                length
            };
            if length > i64::MAX as u64 || !in_user_space(base, checked) {
                // The kernel refuses the whole array.
                self.put(slot, base.max(USER_END));
                continue;
            }
            let skipped = length.min(self.skip);
            self.skip -= skipped;
            let (base, length) = (base.wrapping_add(skipped), length - skipped);
            let take = length.min(self.room);
            self.call.cut |= take < length;
            self.room -= take;
            if faulted || take == 0 {
                self.put(slot, if take == 0 { 0 } else { HOLE });
                self.put(slot + 8, take);
                continue;
            }
            let took = match vectors {
                Vectors::Stream | Vectors::Message => self.vector_in(slot, base, take, vectors)?,
                Vectors::Received(rule) => self.vector_out(slot, base, take, rule)?,
            };
            faulted = took < take;
            self.call.cut |= faulted;
            if took == 0 {
                self.put(slot, HOLE);
                self.put(slot + 8, take);
            } else {
                self.put(slot + 8, took);
            }
        }
        Ok(Some(array))
    }

    /// An array that cannot be read to its end, if one of its vectors before that is refused: the kernel
    /// goes through them one by one. The others are then of no concern.
    fn refused_vectors(&mut self, at: u64, count: u64) -> Result<Option<usize>, MarshalError> {
        let bytes = count as usize * VECTOR_BYTES;
        let before = self.call.input_bytes;
        let array = self.read_some(at, bytes as u64)?;
        let whole = (self.call.input_bytes - array) / VECTOR_BYTES;
        let is_refused = |index: &usize| {
            let length = read_u64(&self.call.input, array + index * VECTOR_BYTES + 8);
            length.is_some_and(|length| length > i64::MAX as u64)
        };
        let Some(refused) = (0..whole).find(is_refused) else {
            self.call.input_bytes = before;
            return Ok(None);
        };
        let end = array + (refused + 1) * VECTOR_BYTES;
        self.call.input_bytes = array + bytes;
        self.call.input[end..array + bytes].fill(0);
        Ok(Some(array))
    }

    fn vector_in(
        &mut self,
        slot: usize,
        base: u64,
        take: u64,
        vectors: Vectors,
    ) -> Result<u64, MarshalError> {
        let place = self.read_some(base, take)?;
        let got = (self.call.input_bytes - place) as u64;
        // Part of a message must not go out as if it were one.
        if got == 0 || got < take && matches!(vectors, Vectors::Message) {
            return Ok(0);
        }
        self.call.relocate(slot, Place::Input(place));
        Ok(got)
    }

    fn vector_out(
        &mut self,
        slot: usize,
        base: u64,
        take: u64,
        rule: Rule,
    ) -> Result<u64, MarshalError> {
        let take = self.writable(base, take);
        if take > 0 {
            let place = self.call.reserve(take)?;
            self.call.relocate(slot, place);
            self.call.copy_back(place, take as usize, rule, base)?;
        }
        Ok(take)
    }
}
