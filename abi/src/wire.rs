//! The wire form of a forwarded call, and the home's view of it.
//!
//! A call travels as: header, relocations, out ranges, input. The input is the
//! front of the *space*, a range of bytes in the deputy's data area; behind it
//! lie the regions that are only written. All pointers are offsets into the
//! space until [`WireCall::place`] makes them addresses. Nothing here knows a
//! system call by name, and nothing here trusts the sender.

use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most payload of one call in one direction, in bytes.
pub const CALL_BYTES_MAX: usize = 1 << 20;
/// Where the user's addresses end: the kernel refuses a range that goes beyond
/// before it looks at anything in it.
pub const USER_END: u64 = 0x7fff_ffff_f000;
/// An address at which nothing is mapped in any deputy, nor in the 2 GiB after
/// it. A pointer that is wild in the guest goes home as this one, so that the
/// home kernel finds the fault, when and if it would have found the guest's.
pub const HOLE: u64 = 0x1000;
/// Room beside the payload: structures, arrays of them, alignment.
pub const SLACK_BYTES_MAX: usize = 256 << 10;
/// Largest data area one call can need, in bytes.
pub const SPACE_BYTES_MAX: usize = 2 * (CALL_BYTES_MAX + SLACK_BYTES_MAX);
/// Most input of an execve: the 6 MiB of strings and pointers to them that the
/// kernel takes, and the path.
pub const EXEC_BYTES_MAX: usize = (6 << 20) + (16 << 10);
/// Most out ranges in one call.
pub const RANGES_MAX: usize = 8192;
/// Largest response payload, in bytes.
pub const RESPONSE_BYTES_MAX: usize = CALL_BYTES_MAX + SLACK_BYTES_MAX + 4 * RANGES_MAX;
/// Largest encoded call, in bytes. Relocated words lie in the input, 8 bytes
/// each, hence the half.
pub const WIRE_BYTES_MAX: usize = size_of::<CallHeader>()
    + (CALL_BYTES_MAX + SLACK_BYTES_MAX) * 3 / 2
    + RANGES_MAX * size_of::<OutRange>();

/// Largest encoded execve, likewise.
pub const EXEC_WIRE_BYTES_MAX: usize = size_of::<CallHeader>() + EXEC_BYTES_MAX * 3 / 2;

/// Bit of the header's `pointers`: the space is to be a mapping of its own.
pub(crate) const OWN_MAPPING: u32 = 1 << 31;

/// Start of every encoded call.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct CallHeader {
    /// System call number.
    pub(crate) nr: U32,
    /// Bit i set: argument i is an offset into the space. Bit 31: [`OWN_MAPPING`].
    pub(crate) pointers: U32,
    /// Number of relocations.
    pub(crate) relocations: U32,
    /// Number of out ranges.
    pub(crate) ranges: U32,
    /// Bytes of input, the front of the space.
    pub(crate) input_bytes: U32,
    /// Bytes of the whole space.
    pub(crate) space_bytes: U32,
    /// The arguments: numbers, or offsets into the space.
    pub(crate) args: [U64; 6],
}

const _: () = assert!(size_of::<CallHeader>() == 72);

/// Part of the space that is copied back.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct OutRange {
    /// Where it starts in the space.
    pub(crate) offset: U32,
    /// How long it is at most.
    pub(crate) bytes: U32,
    /// Which bytes count: one of the `LIMIT_` numbers.
    pub(crate) limit: U32,
    /// What the limit refers to.
    pub(crate) of: U32,
    /// Copied only if the result is at least this.
    pub(crate) least: I32,
    /// Bytes allowed in any case by `LIMIT_RESULT`.
    pub(crate) head: U32,
}

const _: () = assert!(size_of::<OutRange>() == 24);

/// The whole range.
pub(crate) const LIMIT_WHOLE: u32 = 0;
/// Result times `of` bytes plus `head`, shared in order by the adjacent ranges
/// of the same limit (the buffers of one `readv`).
pub(crate) const LIMIT_RESULT: u32 = 1;
/// As many bytes as the u32 at offset `of` of the space says after the call,
/// shared in order by the adjacent ranges of the same limit. The response
/// carries the length, a u32, before the bytes.
pub(crate) const LIMIT_COUNT: u32 = 2;

/// `least` of a range that is copied back whatever the result.
pub(crate) const ALWAYS: i32 = i32::MIN;

/// Frame or response of a peer that no peer of ours would send; names the
/// first bad field. Nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed call: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// How many bytes the ranges of one call may still take, walked in order.
#[derive(Default)]
pub(crate) struct Allowance {
    pool: Option<(u32, u32)>,
    left: u64,
}

impl Allowance {
    /// Bytes of `range` that are copied back for result `ret`, as far as that
    /// follows from the result; `count` reads the u32 a `LIMIT_COUNT` names.
    pub(crate) fn bytes(
        &mut self,
        range: &OutRange,
        ret: i64,
        count: impl FnOnce(u32) -> u32,
    ) -> usize {
        let (limit, of) = (range.limit.get(), range.of.get());
        let bytes = range.bytes.get();
        if ret < i64::from(range.least.get()) {
            return 0;
        }
        if limit == LIMIT_WHOLE {
            return bytes as usize;
        }
        if self.pool != Some((limit, of)) {
            self.pool = Some((limit, of));
            self.left = match limit {
                LIMIT_RESULT => u64::try_from(ret)
                    .unwrap_or(0)
                    .saturating_mul(u64::from(of))
                    .saturating_add(u64::from(range.head.get())),
                _ => u64::from(count(of)),
            };
        }
        let taken = self.left.min(u64::from(bytes));
        self.left -= taken;
        taken as usize
    }
}

/// The home's view of a call: generic, knows no system call by name.
#[derive(Debug)]
pub struct WireCall<'a> {
    /// System call number.
    pub nr: u32,
    /// The arguments as they came: numbers, and offsets where the call has
    /// pointers. The ones to execute with are those `place` returns.
    pub args: [u64; 6],
    pointers: u32,
    own_mapping: bool,
    relocations: &'a [U32],
    ranges: &'a [OutRange],
    input: &'a [u8],
    space_bytes: usize,
}

impl WireCall<'_> {
    /// Checks every offset and length of an encoded call; hostile input.
    pub fn parse(bytes: &[u8]) -> Result<WireCall<'_>, Malformed> {
        let (header, rest) =
            CallHeader::ref_from_prefix(bytes).map_err(|_| Malformed("header cut short"))?;
        let input_bytes = header.input_bytes.get() as usize;
        let space_bytes = header.space_bytes.get() as usize;
        let own_mapping = header.pointers.get() & OWN_MAPPING != 0;
        let (input_max, space_max) = if own_mapping {
            (EXEC_BYTES_MAX, EXEC_BYTES_MAX + 8)
        } else {
            (CALL_BYTES_MAX + SLACK_BYTES_MAX, SPACE_BYTES_MAX)
        };
        if input_bytes > input_max {
            return Err(Malformed("input_bytes"));
        }
        if space_bytes > space_max || space_bytes < input_bytes {
            return Err(Malformed("space_bytes"));
        }
        let relocations = header.relocations.get() as usize;
        if relocations > input_bytes / 8 {
            return Err(Malformed("relocations"));
        }
        let ranges = header.ranges.get() as usize;
        if ranges > RANGES_MAX {
            return Err(Malformed("ranges"));
        }
        let (relocations, rest) = <[U32]>::ref_from_prefix_with_elems(rest, relocations)
            .map_err(|_| Malformed("relocations cut short"))?;
        let (ranges, input) = <[OutRange]>::ref_from_prefix_with_elems(rest, ranges)
            .map_err(|_| Malformed("ranges cut short"))?;
        if input.len() != input_bytes {
            return Err(Malformed("input length"));
        }
        let call = WireCall {
            nr: header.nr.get(),
            args: header.args.map(U64::get),
            pointers: header.pointers.get() & !OWN_MAPPING,
            own_mapping,
            relocations,
            ranges,
            input,
            space_bytes,
        };
        call.check_pointers()?;
        call.check_ranges()?;
        Ok(call)
    }

    fn check_pointers(&self) -> Result<(), Malformed> {
        if self.pointers >= 1 << 6 {
            return Err(Malformed("pointers"));
        }
        let in_space = |offset: u64| offset <= self.space_bytes as u64;
        for (index, arg) in self.args.iter().enumerate() {
            if self.pointers & 1 << index != 0 && !in_space(*arg) {
                return Err(Malformed("pointer argument"));
            }
        }
        for at in self.relocations.iter().map(|at| at.get() as usize) {
            // Aligned words cannot overlap, so patching one never spoils another.
            if at % 8 != 0 {
                return Err(Malformed("relocation alignment"));
            }
            match read_u64(self.input, at) {
                Some(target) if in_space(target) => {}
                Some(_) => return Err(Malformed("relocation target")),
                None => return Err(Malformed("relocation offset")),
            }
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), Malformed> {
        let space = self.space_bytes as u64;
        let mut total = 0u64;
        for range in self.ranges {
            let (offset, bytes) = (u64::from(range.offset.get()), u64::from(range.bytes.get()));
            if offset + bytes > space {
                return Err(Malformed("out range"));
            }
            match range.limit.get() {
                LIMIT_WHOLE | LIMIT_RESULT => {}
                LIMIT_COUNT if u64::from(range.of.get()) + 4 <= space => {}
                LIMIT_COUNT => return Err(Malformed("count offset")),
                _ => return Err(Malformed("limit")),
            }
            total += bytes;
        }
        if self.own_mapping && total > 0 {
            return Err(Malformed("out range in a mapping of its own"));
        }
        if total > (CALL_BYTES_MAX + SLACK_BYTES_MAX) as u64 {
            return Err(Malformed("total of out ranges"));
        }
        Ok(())
    }

    /// The space must be a mapping of its own, made for this call: it is larger
    /// than the deputy's data area, or the kernel keeps what lies in it. Such a
    /// call writes nothing, so that there is nothing to [`collect`](Self::collect).
    pub fn wants_own_mapping(&self) -> bool {
        self.own_mapping
    }

    /// Room the call needs in the deputy's data area, in bytes; at most
    /// [`SPACE_BYTES_MAX`] unless it wants a mapping of its own.
    pub fn space_bytes(&self) -> usize {
        self.space_bytes
    }

    /// The first `bytes` bytes that argument `index` points at, if they are input.
    pub fn input(&self, index: usize, bytes: usize) -> Option<&[u8]> {
        if self.pointers & 1 << index == 0 {
            return None;
        }
        let from = *self.args.get(index)? as usize;
        self.input.get(from..from.checked_add(bytes)?)
    }

    /// Bytes of `data` that [`place`](Self::place) fills.
    pub fn input_bytes(&self) -> usize {
        self.input.len()
    }

    /// Where in the call's space lies what argument `index` points at; `None` if it points nowhere.
    pub fn offset(&self, index: usize) -> Option<usize> {
        let is_pointer = self.pointers & 1 << index != 0;
        is_pointer.then(|| self.args[index] as usize)
    }

    /// Copies the input into the front of `data` and turns offsets into
    /// addresses; returns the six arguments to execute with.
    ///
    /// `data` must have at least [`space_bytes`](Self::space_bytes) bytes and
    /// start at an address divisible by 8; `base` is the address of `data` in
    /// the deputy. Regions that are only written keep what was there.
    pub fn place(&self, data: &mut [u8], base: u64) -> [u64; 6] {
        assert!(
            data.len() >= self.space_bytes,
            "data area is smaller than the call's space"
        );
        data[..self.input.len()].copy_from_slice(self.input);
        for at in self.relocations.iter().map(|at| at.get() as usize) {
            let target = read_u64(self.input, at).unwrap_or(0);
            data[at..at + 8].copy_from_slice(&base.wrapping_add(target).to_le_bytes());
        }
        let mut args = self.args;
        for (index, arg) in args.iter_mut().enumerate() {
            if self.pointers & 1 << index != 0 {
                *arg = base.wrapping_add(*arg);
            }
        }
        args
    }

    /// Appends to `out` what must be copied back for result `ret`.
    ///
    /// `data` is the area given to [`place`](Self::place), after the call. At
    /// most [`RESPONSE_BYTES_MAX`] bytes are appended.
    pub fn collect(&self, ret: i64, data: &[u8], out: &mut Vec<u8>) {
        assert!(
            data.len() >= self.space_bytes,
            "data area is smaller than the call's space"
        );
        let mut allowance = Allowance::default();
        for range in self.ranges {
            if ret < i64::from(range.least.get()) {
                continue;
            }
            let bytes = allowance.bytes(range, ret, |of| read_u32(data, of as usize).unwrap_or(0));
            if range.limit.get() == LIMIT_COUNT {
                out.extend_from_slice(&(bytes as u32).to_le_bytes());
            }
            let offset = range.offset.get() as usize;
            out.extend_from_slice(&data[offset..offset + bytes]);
        }
    }
}

pub(crate) fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}
