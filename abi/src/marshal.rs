//! A call ready to be sent home, on the host's side.

mod gather;
mod message;
mod vectors;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{I32, U32, U64};

use crate::errno::Errno;
use crate::memory::GuestMemory;
use crate::row::Row;
use crate::wire::{
    ALWAYS, Allowance, CallHeader, LIMIT_COUNT, LIMIT_RESULT, LIMIT_WHOLE, OWN_MAPPING, OutRange,
    RANGES_MAX, SLACK_BYTES_MAX, read_u32,
};

pub use crate::wire::{CALL_BYTES_MAX, Malformed, WireCall};

/// Why a call is not sent home. The process has not been touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarshalError {
    /// The guest's answer, as the kernel would give it.
    Errno(Errno),
    /// The call cannot work at a distance, for this reason.
    GoHome(&'static str),
}

impl From<Errno> for MarshalError {
    fn from(errno: Errno) -> Self {
        MarshalError::Errno(errno)
    }
}

pub(crate) const TOO_LARGE: MarshalError =
    MarshalError::GoHome("one call moves more than a mebibyte and cannot be cut");

/// Calls that write, or try to, also when they fail.
const WRITES_ANYWAY: &[u32] = &[
    40,  // sendfile
    247, // waitid
];

/// Place in the space. Until the input is complete, nobody knows where the
/// regions behind it start; those are counted from there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Bytes from the start of the space.
    Input(usize),
    /// Bytes from the end of the input.
    Behind(usize),
}

/// Where a range goes in the guest.
#[derive(Clone, Copy, Debug)]
struct GuestRange {
    at: u64,
    /// Memory that cannot be written is no error.
    lenient: bool,
}

/// How much of an out range is copied back, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    limit: u32,
    of: u32,
    head: u32,
    least: i32,
    lenient: bool,
}

impl Rule {
    /// All of it, on success.
    pub(crate) const WHOLE: Rule = Rule {
        limit: LIMIT_WHOLE,
        of: 0,
        head: 0,
        least: 0,
        lenient: false,
    };
    /// All of it, whatever the result.
    pub(crate) const ANY: Rule = Rule {
        least: ALWAYS,
        ..Rule::WHOLE
    };
    /// All of it, whatever the result, and if it can be written.
    pub(crate) const TIMEOUT: Rule = Rule {
        lenient: true,
        ..Rule::ANY
    };

    /// `head` bytes and `unit` for each 1 of the result.
    pub(crate) const fn per_result(unit: u32, head: u32) -> Rule {
        Rule {
            limit: LIMIT_RESULT,
            of: unit,
            head,
            ..Rule::WHOLE
        }
    }

    /// As many as the u32 at `input_offset` says after the call.
    pub(crate) const fn counted(input_offset: usize) -> Rule {
        Rule {
            limit: LIMIT_COUNT,
            of: input_offset as u32,
            ..Rule::WHOLE
        }
    }

    /// The same, but only for results of at least `least`.
    pub(crate) const fn at_least(self, least: i32) -> Rule {
        Rule { least, ..self }
    }
}

/// A call ready to be sent home: a relocatable copy of everything its pointers
/// point at.
///
/// Reused from call to call; in the steady state nothing is allocated.
#[derive(Debug, Default)]
pub struct Marshalled {
    nr: u32,
    args: [u64; 6],
    places: [Option<Place>; 6],
    /// Only the first `input_bytes` belong to this call.
    input: Vec<u8>,
    input_bytes: usize,
    behind_bytes: usize,
    out_bytes: usize,
    relocations: Vec<U32>,
    targets: Vec<Place>,
    ranges: Vec<OutRange>,
    range_places: Vec<Place>,
    guests: Vec<GuestRange>,
    cut: bool,
    /// Most bytes of input, hence of anything reserved behind it.
    bytes_max: usize,
    /// The space must be a mapping of its own, whatever its size.
    kept: bool,
}

impl Marshalled {
    /// An empty one; allocates nothing until the first call.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the arguments of `row` from guest memory.
    ///
    /// An `Errno` is the guest's answer; a `GoHome` says that the call cannot
    /// be forwarded. After either, `self` must not be encoded.
    pub fn marshal(
        &mut self,
        row: &Row,
        args: &[u64; 6],
        mem: &dyn GuestMemory,
    ) -> Result<(), MarshalError> {
        self.marshal_rest(row, args, mem, 0)
    }

    /// As [`marshal`](Self::marshal), for the next piece of a call of which
    /// `done_bytes` have been read or written already. `args` are the
    /// guest's, unchanged. Call only for rows that have [`pieces`](fn@crate::pieces).
    pub fn marshal_rest(
        &mut self,
        row: &Row,
        args: &[u64; 6],
        mem: &dyn GuestMemory,
        done_bytes: u64,
    ) -> Result<(), MarshalError> {
        self.clear(row.nr, args);
        gather::gather(self, row, args, mem, done_bytes)?;
        self.finish();
        Ok(())
    }

    fn clear(&mut self, nr: u32, args: &[u64; 6]) {
        self.nr = nr;
        self.args = *args;
        self.places = [None; 6];
        self.input_bytes = 0;
        self.behind_bytes = 0;
        self.out_bytes = 0;
        self.relocations.clear();
        self.targets.clear();
        self.ranges.clear();
        self.range_places.clear();
        self.guests.clear();
        self.cut = false;
        self.bytes_max = CALL_BYTES_MAX + SLACK_BYTES_MAX;
        self.kept = false;
    }

    /// Number of the call that was marshalled last.
    pub fn nr(&self) -> u32 {
        self.nr
    }

    /// Argument `index` as home gets it, which a count may differ in from what the guest gave.
    pub fn argument(&self, index: usize) -> u64 {
        self.args[index]
    }

    /// Whether the call asks for less than the guest did: the rest follows in
    /// further calls, or the guest sees a short count.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Bytes of guest memory that travel with the call, structures included.
    pub fn input_bytes(&self) -> usize {
        self.input_bytes
    }

    /// The space must be a mapping of its own: the arguments of execve are
    /// larger than a data area, or the kernel keeps what lies in it.
    pub fn wants_own_mapping(&self) -> bool {
        self.kept || self.input_bytes > CALL_BYTES_MAX + SLACK_BYTES_MAX
    }

    fn space_bytes(&self) -> usize {
        self.behind() + self.behind_bytes
    }

    /// Appends the wire form, at most [`WIRE_BYTES_MAX`](crate::WIRE_BYTES_MAX)
    /// bytes; for execve [`EXEC_WIRE_BYTES_MAX`](crate::EXEC_WIRE_BYTES_MAX).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let space_bytes = self.space_bytes();
        let mut pointers = 0;
        for (index, place) in self.places.iter().enumerate() {
            pointers |= u32::from(place.is_some()) << index;
        }
        if self.wants_own_mapping() {
            pointers |= OWN_MAPPING;
        }
        let header = CallHeader {
            nr: U32::new(self.nr),
            pointers: U32::new(pointers),
            relocations: U32::new(self.relocations.len() as u32),
            ranges: U32::new(self.ranges.len() as u32),
            input_bytes: U32::new(self.input_bytes as u32),
            space_bytes: U32::new(space_bytes as u32),
            args: self.args.map(U64::new),
        };
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(self.relocations.as_bytes());
        out.extend_from_slice(self.ranges.as_bytes());
        out.extend_from_slice(&self.input[..self.input_bytes]);
    }

    /// After the call came back: writes the results to guest memory and returns
    /// the value for the guest, `ret` or -EFAULT.
    ///
    /// A wild out pointer is noticed only here: the call then did take effect.
    /// `Malformed` means that the response does not fit the call; some of it
    /// may have been written.
    pub fn scatter(
        &self,
        ret: i64,
        response: &[u8],
        mem: &dyn GuestMemory,
    ) -> Result<i64, Malformed> {
        let mut rest = response;
        let mut wild = false;
        let mut allowance = Allowance::default();
        for (range, guest) in self.ranges.iter().zip(&self.guests) {
            if ret < i64::from(range.least.get()) {
                continue;
            }
            let mut bytes = allowance.bytes(range, ret, |_| u32::MAX);
            if range.limit.get() == LIMIT_COUNT {
                bytes = read_u32(rest, 0).ok_or(Malformed("response cut short"))? as usize;
                rest = &rest[4..];
                if bytes > range.bytes.get() as usize {
                    return Err(Malformed("count in response"));
                }
            }
            let (piece, after) = rest
                .split_at_checked(bytes)
                .ok_or(Malformed("response cut short"))?;
            rest = after;
            // A call that failed has mostly not come as far as to write.
            let offset = range.offset.get() as usize;
            let sent = self.input[..self.input_bytes].get(offset..offset + bytes);
            if ret < 0 && sent == Some(piece) && !WRITES_ANYWAY.contains(&self.nr) {
                continue;
            }
            // As in the kernel, what comes after a wild pointer is not written.
            if piece.is_empty() || wild && !guest.lenient {
                continue;
            }
            if mem.write(guest.at, piece).is_err() {
                wild |= !guest.lenient;
            }
        }
        if !rest.is_empty() {
            return Err(Malformed("response too long"));
        }
        Ok(if wild { Errno::EFAULT.as_return() } else { ret })
    }

    /// Whether `bytes` more of input fit, or of what is reserved behind it.
    fn has_room(&self, bytes: u64) -> bool {
        let at = self.behind().max(self.behind_bytes) as u64;
        at.saturating_add(bytes) <= self.bytes_max as u64 - 8
    }

    /// Room for `bytes` more of input, at a multiple of 8; returns its offset.
    /// The caller fills it completely.
    fn append(&mut self, bytes: u64) -> Result<usize, MarshalError> {
        let at = self.behind();
        // What lies between two regions must not be a rest of an earlier call.
        self.input[self.input_bytes..]
            .iter_mut()
            .take(8)
            .for_each(|b| *b = 0);
        let before = std::mem::replace(&mut self.input_bytes, at);
        self.extend(bytes)
            .inspect_err(|_| self.input_bytes = before)
    }

    /// Room for `bytes` more of input, right behind what there is.
    fn extend(&mut self, bytes: u64) -> Result<usize, MarshalError> {
        if !self.has_room(bytes) {
            return Err(TOO_LARGE);
        }
        let at = self.input_bytes;
        let end = at + bytes as usize;
        if self.input.len() < end {
            self.input.resize(end, 0);
        }
        self.input_bytes = end;
        Ok(at)
    }

    /// Room for `bytes` that are only written.
    fn reserve(&mut self, bytes: u64) -> Result<Place, MarshalError> {
        if !self.has_room(bytes) {
            return Err(TOO_LARGE);
        }
        let at = self.behind_bytes;
        self.behind_bytes = (at + bytes as usize).next_multiple_of(8);
        Ok(Place::Behind(at))
    }

    fn point(&mut self, index: usize, place: Place) {
        self.places[index] = Some(place);
    }

    /// Makes the word at `input_offset` point to `place`.
    fn relocate(&mut self, input_offset: usize, place: Place) {
        self.relocations.push(U32::new(input_offset as u32));
        self.targets.push(place);
    }

    fn copy_back(
        &mut self,
        place: Place,
        bytes: usize,
        rule: Rule,
        guest_at: u64,
    ) -> Result<(), MarshalError> {
        self.out_bytes += bytes;
        if self.ranges.len() == RANGES_MAX || self.out_bytes > CALL_BYTES_MAX + SLACK_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        self.ranges.push(OutRange {
            offset: U32::new(0),
            bytes: U32::new(bytes as u32),
            limit: U32::new(rule.limit),
            of: U32::new(rule.of),
            least: I32::new(rule.least),
            head: U32::new(rule.head),
        });
        self.range_places.push(place);
        self.guests.push(GuestRange {
            at: guest_at,
            lenient: rule.lenient,
        });
        Ok(())
    }

    fn behind(&self) -> usize {
        self.input_bytes.next_multiple_of(8)
    }

    fn offset(&self, place: Place) -> u64 {
        match place {
            Place::Input(at) => at as u64,
            Place::Behind(at) => (self.behind() + at) as u64,
        }
    }

    /// Turns places into offsets, once the input is complete.
    fn finish(&mut self) {
        for index in 0..6 {
            if let Some(place) = self.places[index] {
                self.args[index] = self.offset(place);
            }
        }
        for index in 0..self.relocations.len() {
            let at = self.relocations[index].get() as usize;
            let offset = self.offset(self.targets[index]);
            self.input[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        }
        for index in 0..self.ranges.len() {
            let offset = self.offset(self.range_places[index]);
            self.ranges[index].offset = U32::new(offset as u32);
        }
    }
}
