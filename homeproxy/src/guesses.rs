//! Guesses: calls that a guest will probably make next and that only look. The deputy makes them behind the
//! call that they came with, in the same batch.

use std::time::{Duration, Instant};

use abi::looks::only_looks;
use abi::wire::{Malformed, WireCall};
use image::deputy::GEOMETRY;
use lane::guesses::{self, ANSWER_BYTES_MAX};
use smallvec::SmallVec;
use sys::window::{BATCH_CALLS_MAX, Call, Slot};

/// Most bytes that all of them have in a slot's data, and the call before them.
const ALL_BYTES_MAX: usize = 256 << 10;
const CALL_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(CALL_BYTES_MAX + ALL_BYTES_MAX < GEOMETRY.data_bytes / 2);
/// Calls that may come before them in their batch: the call, and two that look at its result.
const BEFORE_MAX: usize = 3;
const _: () = assert!(guesses::GUESSES_MAX + BEFORE_MAX <= BATCH_CALLS_MAX);
/// If they take longer than this they are left alone for a while: a file system that is slow.
const SLOW: Duration = Duration::from_millis(2);
/// For how many calls.
const LEFT_ALONE: u32 = 256;

/// Calls that a deputy makes at once; mostly few.
pub(crate) type Batch = SmallVec<[Call; 4]>;

/// Guesses that came with a call.
#[derive(Default)]
pub(crate) struct Guesses<'a> {
    calls: Vec<WireCall<'a>>,
    /// Where each lies in the slot's data.
    places: Vec<usize>,
    /// What each has answered.
    results: Vec<i64>,
}

impl<'a> Guesses<'a> {
    /// Reads them.
    ///
    /// # Errors
    /// One is no call, or one that does not only look.
    pub(crate) fn parse(encoded: &[&'a [u8]]) -> Result<Guesses<'a>, Malformed> {
        let mut calls = Vec::with_capacity(encoded.len());
        for guess in encoded {
            let call = WireCall::parse(guess)?;
            if !only_looks(call.nr, &call.args) || call.wants_own_mapping() {
                return Err(Malformed("a guess that does not only look"));
            }
            calls.push(call);
        }
        Ok(Guesses {
            calls,
            ..Guesses::default()
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether there are answers to any.
    pub(crate) fn are_made(&self) -> bool {
        !self.results.is_empty()
    }

    /// Puts them into a slot's `data` from offset `from` on, which lies at `base` in the deputy, and
    /// appends them to its batch.
    pub(crate) fn place(&mut self, from: usize, data: &mut [u8], base: u64, batch: &mut Batch) {
        self.places.clear();
        self.results.clear();
        if from > CALL_BYTES_MAX {
            return;
        }
        let mut at = from.next_multiple_of(8);
        for call in &self.calls {
            let end = at + call.space_bytes();
            if end > from + ALL_BYTES_MAX || call.space_bytes() > ANSWER_BYTES_MAX {
                break;
            }
            let args = call.place(&mut data[at..end], base + at as u64);
            let nr = u64::from(call.nr);
            batch.push(Call { nr, args });
            self.places.push(at);
            at = end.next_multiple_of(8);
        }
    }

    /// The batch is over; they began at `position` of it.
    pub(crate) fn made(&mut self, slot: &Slot, position: usize) {
        let made = self.places.len();
        let results = (position..position + made).map(|position| slot.result(position));
        self.results = results.collect();
    }

    /// Appends their answers.
    pub(crate) fn collect(&self, data: &[u8], out: &mut Vec<u8>) {
        let made = self.calls.iter().zip(&self.places).zip(&self.results);
        for ((call, at), result) in made {
            let space = &data[*at..at + call.space_bytes()];
            guesses::push_answer(*result, out, |out| call.collect(*result, space, out));
        }
    }
}

/// Whether a lane's guesses are made: not where that is slow.
#[derive(Default)]
pub(crate) struct Willing {
    left_alone: u32,
}

impl Willing {
    /// Asked at each call that comes with some.
    pub(crate) fn is(&mut self) -> bool {
        self.left_alone = self.left_alone.saturating_sub(1);
        self.left_alone == 0
    }

    /// A batch with some began `since` then and is over.
    pub(crate) fn learn(&mut self, since: Instant) {
        if since.elapsed() > SLOW {
            self.left_alone = LEFT_ALONE;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use abi::marshal::Marshalled;
    use abi::memory::GuestMemory;

    use super::*;

    struct Paths;

    impl GuestMemory for Paths {
        fn read_some(&self, _: u64, into: &mut [u8]) -> usize {
            into.fill(0);
            into.len()
        }
        fn write_some(&self, _: u64, from: &[u8]) -> usize {
            from.len()
        }
        fn writable(&self, _: u64, bytes: u64) -> u64 {
            bytes
        }
    }

    fn encoded(nr: i64) -> Vec<u8> {
        let mut call = Marshalled::new();
        let row = abi::row(nr as u32).unwrap();
        call.marshal(row, &[0x1000, 0x2000, 100, 0, 0, 0], &Paths)
            .unwrap();
        let mut bytes = Vec::new();
        call.encode(&mut bytes);
        bytes
    }

    #[test]
    fn only_what_looks_is_made() {
        let (look, change) = (encoded(libc::SYS_readlink), encoded(libc::SYS_unlink));
        assert!(Guesses::parse(&[&look, &change]).is_err());
        let mut guesses = Guesses::parse(&[&look, &look]).unwrap();
        let (mut data, mut batch) = (vec![0; 4096], Batch::new());
        guesses.place(13, &mut data, 0x10_0000, &mut batch);
        assert_eq!(batch.len(), 2);
        assert_eq!(batch[0].nr, libc::SYS_readlink as u64);
        assert_eq!(batch[0].args[0], 0x10_0010);
        assert!(batch[1].args[0] > batch[0].args[0]);
    }

    #[test]
    fn none_is_made_behind_a_large_call() {
        let look = encoded(libc::SYS_readlink);
        let mut guesses = Guesses::parse(&[&look]).unwrap();
        let (mut data, mut batch) = (vec![0; 4096], Batch::new());
        guesses.place(GEOMETRY.data_bytes - 8, &mut data, 0x10_0000, &mut batch);
        assert!(batch.is_empty() && !guesses.are_made());
    }

    #[test]
    fn what_was_slow_is_left_alone() {
        let mut willing = Willing::default();
        assert!(willing.is());
        willing.learn(Instant::now() - SLOW * 2);
        assert!(!willing.is());
        assert!((0..LEFT_ALONE).any(|_| willing.is()));
    }
}
