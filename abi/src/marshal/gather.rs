//! Reads what the arguments of one call point at.

use super::{MarshalError, Marshalled, Place, Rule, TOO_LARGE};
use crate::errno::Errno;
use crate::memory::GuestMemory;
use crate::pieces::{self, Pieces, pieces};
use crate::row::{Arg, Nested, Route, Row, Size};
use crate::wire::{CALL_BYTES_MAX, read_u64};

/// Longest path with its NUL, in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Longest iovec array.
const IOVECS_MAX: u64 = 1024;
/// No pointer is that low: the kernel's default for `mmap_min_addr`.
const LOWEST_ADDRESS: u64 = 65536;
/// Read first of a string: most paths are shorter.
const STRING_STEP_BYTES: usize = 256;

/// Longest string execve takes, with its NUL (`MAX_ARG_STRLEN`).
const ARGUMENT_BYTES_MAX: usize = 128 << 10;
/// Pointers of an argument list that are read at a time.
const POINTERS_STEP: u64 = 64;

/// State while one call is read.
pub(super) struct Gather<'a> {
    pub(super) call: &'a mut Marshalled,
    pub(super) mem: &'a dyn GuestMemory,
    kinds: [Arg; 6],
    pieces: Pieces,
    /// Bytes of the stream still to be skipped: they were moved by earlier pieces.
    pub(super) skip: u64,
    /// Bytes of the stream this call may still take.
    pub(super) room: u64,
    /// An `Out(At(i))`: its range, the argument i, and the capacity.
    value_result: Option<ValueResult>,
}

/// Which way the bytes of a nested structure go, and what counts them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    In,
    Counted,
    Result,
}

#[derive(Clone, Copy)]
struct ValueResult {
    range: Option<usize>,
    length_arg: usize,
    capacity: u32,
    /// The address is NULL, so the kernel may ignore the length.
    ignored: bool,
}

/// Fills `call`, which has been cleared, up to its finish.
pub(super) fn gather(
    call: &mut Marshalled,
    row: &Row,
    args: &[u64; 6],
    mem: &dyn GuestMemory,
    done_bytes: u64,
) -> Result<(), MarshalError> {
    let resolved = row.resolve(args);
    if resolved.route == Route::GoHome {
        return Err(MarshalError::GoHome(resolved.gap));
    }
    let mut gather = Gather {
        call,
        mem,
        kinds: resolved.args,
        pieces: pieces(row.nr),
        skip: done_bytes,
        room: CALL_BYTES_MAX as u64,
        value_result: None,
    };
    for (index, value) in args.iter().enumerate() {
        // Some drivers encode a size and yet take a number.
        let number = resolved.guessed && *value < LOWEST_ADDRESS;
        if !number {
            gather.argument(index, *value)?;
        }
    }
    gather.finish_value_result();
    if let Some(index) = pieces::position(row.nr)
        && args[index] as i64 >= 0
    {
        gather.call.args[index] = args[index].wrapping_add(done_bytes);
    }
    Ok(())
}

impl Gather<'_> {
    fn argument(&mut self, index: usize, value: u64) -> Result<(), MarshalError> {
        match self.kinds[index] {
            Arg::Int | Arg::Int32 | Arg::Fd | Arg::Addr | Arg::ByCommand => return Ok(()),
            // The home kernel knows whether NULL is an error here.
            _ if value == 0 => return self.null(index),
            Arg::Path => self.string(index, value, true)?,
            Arg::Str => self.string(index, value, false)?,
            Arg::In(size) => self.input(index, value, size)?,
            Arg::InSome(size) => self.input_some(index, value, size)?,
            Arg::Out(size) => self.output(index, value, size)?,
            Arg::InOut(size) => self.both_ways(index, value, size, Rule::WHOLE)?,
            Arg::InOutAny(size) => self.both_ways(index, value, size, Rule::ANY)?,
            Arg::Timeout(bytes) => {
                self.both_ways(index, value, Size::Bytes(bytes), Rule::TIMEOUT)?;
            }
            Arg::OutRet(size, unit) => self.output_by_result(index, value, size, unit)?,
            Arg::IovIn(count) | Arg::IovOut(count) => {
                let count = self.count(count)?;
                if count > IOVECS_MAX {
                    return Err(Errno::EINVAL.into());
                }
                let into_guest = matches!(self.kinds[index], Arg::IovOut(_));
                let rule = into_guest.then_some(Rule::per_result(1, 0));
                let at = self.vectors(value, count, rule)?;
                self.call.point(index, Place::Input(at));
            }
            Arg::MsgIn => self.message(index, value, false)?,
            Arg::MsgOut => self.message(index, value, true)?,
            Arg::MmsgIn(count) => self.messages(index, value, count, false)?,
            Arg::MmsgOut(count) => self.messages(index, value, count, true)?,
            Arg::NestedIn(nested) => self.nested(index, value, nested, Flow::In)?,
            Arg::NestedOut(nested) => self.nested(index, value, nested, Flow::Counted)?,
            Arg::NestedRet(nested) => self.nested(index, value, nested, Flow::Result)?,
            Arg::Strv => self.strings(index, value)?,
        }
        Ok(())
    }

    fn null(&mut self, index: usize) -> Result<(), MarshalError> {
        if let Arg::Out(Size::At(length)) = self.kinds[index] {
            self.value_result = Some(ValueResult {
                range: None,
                length_arg: usize::from(length),
                capacity: 0,
                ignored: true,
            });
        }
        Ok(())
    }

    /// The number in argument `index`, as the kernel sees it. Counts that are
    /// negative there are refused as the kernel does.
    pub(super) fn count(&self, index: u8) -> Result<u64, MarshalError> {
        let index = usize::from(index);
        let value = self.call.args[index];
        let (value, max) = match self.kinds[index] {
            Arg::Int32 => (value & 0xffff_ffff, i32::MAX as u64),
            _ => (value, i64::MAX as u64),
        };
        if value > max {
            Err(Errno::EINVAL.into())
        } else {
            Ok(value)
        }
    }

    fn bytes(&self, size: Size, at: u64) -> Result<u64, MarshalError> {
        Ok(match size {
            Size::Bytes(bytes) => u64::from(bytes),
            Size::Arg(index) => self.count(index)?,
            Size::ArgPlus(index, head) => self.count(index)?.saturating_add(u64::from(head)),
            Size::Times(index, unit) => self.count(index)?.saturating_mul(u64::from(unit)),
            Size::Bits(index) => self.count(index)?.div_ceil(64) * 8,
            Size::At(index) => {
                let length_at = self.call.args[usize::from(index)];
                if length_at == 0 {
                    return Ok(0);
                }
                let length = self.read_u32(length_at)?;
                if length > i32::MAX as u32 {
                    return Err(Errno::EINVAL.into());
                }
                u64::from(length)
            }
            Size::Counted {
                at: offset,
                unit,
                base,
            } => {
                let count = self.read_u32(at.wrapping_add(u64::from(offset)))?;
                let bytes = u64::from(base) + u64::from(count) * u64::from(unit);
                bytes.max(u64::from(offset) + 4)
            }
        })
    }

    fn read_u32(&self, at: u64) -> Result<u32, MarshalError> {
        let mut word = [0; 4];
        self.mem.read(at, &mut word).map_err(|_| Errno::EFAULT)?;
        Ok(u32::from_le_bytes(word))
    }

    /// Appends `bytes` of guest memory to the input.
    pub(super) fn read(&mut self, at: u64, bytes: u64) -> Result<usize, MarshalError> {
        let offset = self.call.append(bytes)?;
        let end = self.call.input_bytes;
        self.mem
            .read(at, &mut self.call.input[offset..end])
            .map_err(|_| Errno::EFAULT)?;
        Ok(offset)
    }

    /// Appends up to `bytes` of guest memory, as far as they are mapped.
    pub(super) fn read_some(&mut self, at: u64, bytes: u64) -> Result<usize, MarshalError> {
        let offset = self.call.append(bytes)?;
        let end = self.call.input_bytes;
        let got = self.mem.read_some(at, &mut self.call.input[offset..end]);
        self.call.input_bytes = offset + got.min(end - offset);
        Ok(offset)
    }

    /// Whether the argument is the stream of a call that may be cut.
    fn is_stream(&self, index: usize) -> bool {
        index == 1 && self.pieces != Pieces::None
    }

    fn input(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        let bytes = self.bytes(size, at)?;
        if !self.is_stream(index) {
            let place = self.read(at, bytes)?;
            self.call.point(index, Place::Input(place));
            return Ok(());
        }
        let Size::Arg(count) = size else {
            return Err(TOO_LARGE);
        };
        let rest = bytes.saturating_sub(self.skip);
        let place = self.read_some(at.wrapping_add(self.skip), rest.min(self.room))?;
        let got = (self.call.input_bytes - place) as u64;
        if got == 0 && rest > 0 {
            return Err(Errno::EFAULT.into());
        }
        self.call.cut |= got < rest;
        self.call.args[usize::from(count)] = got;
        self.call.point(index, Place::Input(place));
        Ok(())
    }

    fn input_some(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        let bytes = self.bytes(size, at)?;
        let place = self.read_some(at, bytes)?;
        let got = self.call.input_bytes - place;
        if got == 0 && bytes > 0 {
            return Err(Errno::EFAULT.into());
        }
        self.call.input_bytes = place + bytes as usize;
        self.call.input[place + got..place + bytes as usize].fill(0);
        self.call.point(index, Place::Input(place));
        Ok(())
    }

    fn output(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        let mut bytes = self.bytes(size, at)?;
        let mut rule = Rule::WHOLE;
        if let Size::At(_) = size {
            bytes = bytes.min(CALL_BYTES_MAX as u64);
            rule = Rule::counted(0);
        }
        let place = self.call.reserve(bytes)?;
        self.call.point(index, place);
        let range = (bytes > 0).then_some(self.call.ranges.len());
        if bytes > 0 {
            self.call.copy_back(place, bytes as usize, rule, at)?;
        }
        if let Size::At(length) = size {
            self.value_result = Some(ValueResult {
                range,
                length_arg: usize::from(length),
                capacity: bytes as u32,
                ignored: false,
            });
        }
        Ok(())
    }

    /// Ties the range of an `Out(At(i))` to the place of argument i, which is
    /// known only once that one has been read.
    fn finish_value_result(&mut self) {
        let Some(result) = self.value_result else {
            return;
        };
        let Some(Place::Input(offset)) = self.call.places[result.length_arg] else {
            return;
        };
        if let Some(range) = result.range {
            self.call.ranges[range].of.set(offset as u32);
            let length = result.capacity.to_le_bytes();
            self.call.input[offset..offset + 4].copy_from_slice(&length);
        }
    }

    fn both_ways(
        &mut self,
        index: usize,
        at: u64,
        size: Size,
        rule: Rule,
    ) -> Result<(), MarshalError> {
        let bytes = self.bytes(size, at)?;
        let place = match self.read(at, bytes) {
            Ok(place) => place,
            Err(error) => return self.unreadable(index, error),
        };
        self.call.point(index, Place::Input(place));
        if bytes > 0 {
            self.call
                .copy_back(Place::Input(place), bytes as usize, rule, at)?;
        }
        Ok(())
    }

    /// The kernel does not look at the length beside a NULL address, so a wild
    /// one is no error.
    fn unreadable(&mut self, index: usize, error: MarshalError) -> Result<(), MarshalError> {
        let ignored = self
            .value_result
            .is_some_and(|r| r.ignored && r.length_arg == index);
        if ignored {
            self.call.args[index] = 0;
            return Ok(());
        }
        Err(error)
    }

    fn output_by_result(
        &mut self,
        index: usize,
        at: u64,
        size: Size,
        unit: u32,
    ) -> Result<(), MarshalError> {
        let asked = self.bytes(size, at)?;
        let skip = if self.is_stream(index) { self.skip } else { 0 };
        let rest = asked.saturating_sub(skip);
        // Fewer elements than asked for is what such calls may always return.
        let (count, bytes, head) = match size {
            Size::Arg(count) => (Some((count, 1)), rest.min(self.room), 0),
            Size::ArgPlus(count, head) => (Some((count, 1)), rest.min(self.room), head),
            Size::Times(count, each) => {
                let room = self.room - self.room % u64::from(each);
                (Some((count, each)), rest.min(room), 0)
            }
            _ => (None, rest, 0),
        };
        if let Some((count, each)) = count
            && bytes != asked
        {
            self.call.args[usize::from(count)] = (bytes - u64::from(head)) / u64::from(each);
            self.call.cut |= self.is_stream(index) && bytes < rest;
        }
        let place = self.call.reserve(bytes)?;
        self.call.point(index, place);
        if bytes > 0 {
            let at = at.wrapping_add(skip);
            self.call
                .copy_back(place, bytes as usize, Rule::per_result(unit, head), at)?;
        }
        Ok(())
    }

    /// Appends an iovec array and what it points at; returns the array's offset.
    ///
    /// With a `rule` the vectors receive and are copied back by it.
    pub(super) fn vectors(
        &mut self,
        at: u64,
        count: u64,
        rule: Option<Rule>,
    ) -> Result<usize, MarshalError> {
        let array = self.read(at, count * 16)?;
        let mut moved = 0u64;
        let mut stopped = false;
        for index in 0..count as usize {
            let slot = array + index * 16;
            let base = read_u64(&self.call.input, slot).unwrap_or(0);
            let length = read_u64(&self.call.input, slot + 8).unwrap_or(0);
            if length > i64::MAX as u64 {
                return Err(Errno::EINVAL.into());
            }
            let skipped = length.min(self.skip);
            self.skip -= skipped;
            let (base, length) = (base.wrapping_add(skipped), length - skipped);
            let take = if stopped { 0 } else { length.min(self.room) };
            let took = match rule {
                _ if take == 0 || base == 0 => take,
                None => self.vector_in(slot, base, take)?,
                Some(rule) => self.vector_out(slot, base, take, rule)?,
            };
            if took == 0 && length > 0 && moved == 0 && self.room > 0 {
                return Err(Errno::EFAULT.into());
            }
            stopped |= took < length;
            self.call.cut |= took < length;
            moved += took;
            self.room -= took;
            self.call.input[slot + 8..slot + 16].copy_from_slice(&took.to_le_bytes());
            if took == 0 {
                self.call.input[slot..slot + 8].fill(0);
            }
        }
        Ok(array)
    }

    fn vector_in(&mut self, slot: usize, base: u64, take: u64) -> Result<u64, MarshalError> {
        let place = self.read_some(base, take)?;
        let got = self.call.input_bytes - place;
        if got > 0 {
            self.call.relocate(slot, Place::Input(place));
        }
        Ok(got as u64)
    }

    fn vector_out(
        &mut self,
        slot: usize,
        base: u64,
        take: u64,
        rule: Rule,
    ) -> Result<u64, MarshalError> {
        let place = self.call.reserve(take)?;
        self.call.relocate(slot, place);
        self.call.copy_back(place, take as usize, rule, base)?;
        Ok(take)
    }

    fn nested(
        &mut self,
        index: usize,
        at: u64,
        nested: Nested,
        flow: Flow,
    ) -> Result<(), MarshalError> {
        let head = self.read(at, 16)?;
        self.call.point(index, Place::Input(head));
        let pointer = head + usize::from(nested.pointer);
        let count = head + usize::from(nested.count);
        let target = read_u64(&self.call.input, pointer).unwrap_or(0);
        let mut word = [0; 8];
        let width = usize::from(nested.count_bytes);
        word[..width].copy_from_slice(&self.call.input[count..count + width]);
        let bytes = u64::from_le_bytes(word).saturating_mul(u64::from(nested.unit));
        if flow == Flow::Counted {
            let guest_at = at.wrapping_add(u64::from(nested.count));
            self.call
                .copy_back(Place::Input(count), width, Rule::WHOLE, guest_at)?;
        }
        if target == 0 {
            return Ok(());
        }
        let place = match flow {
            Flow::In => Place::Input(self.read(target, bytes)?),
            Flow::Counted | Flow::Result => self.call.reserve(bytes)?,
        };
        self.call.relocate(pointer, place);
        match flow {
            Flow::Counted if bytes > 0 => {
                self.call
                    .copy_back(place, bytes as usize, Rule::counted(count), target)
            }
            Flow::Result if bytes > 0 => {
                self.call
                    .copy_back(place, bytes as usize, Rule::per_result(1, 0), target)
            }
            _ => Ok(()),
        }
    }

    fn string(&mut self, index: usize, at: u64, is_path: bool) -> Result<(), MarshalError> {
        let place = self.read_string(at, PATH_BYTES_MAX)?;
        if self.call.input_bytes - place > PATH_BYTES_MAX && is_path {
            return Err(Errno::ENAMETOOLONG.into());
        }
        self.call.point(index, Place::Input(place));
        Ok(())
    }

    /// Appends a NUL-terminated string of at most `max` bytes with its NUL; a
    /// longer one is cut to `max` bytes and gets a NUL, hence one byte more.
    fn read_string(&mut self, at: u64, max: usize) -> Result<usize, MarshalError> {
        let place = self.call.append(max as u64 + 1)?;
        let mut have = 0;
        let mut step = STRING_STEP_BYTES;
        while have < max {
            let want = step.min(max - have);
            let into = &mut self.call.input[place + have..place + have + want];
            let got = self
                .mem
                .read_some(at.wrapping_add(have as u64), into)
                .min(want);
            if let Some(nul) = into[..got].iter().position(|byte| *byte == 0) {
                self.call.input_bytes = place + have + nul + 1;
                return Ok(place);
            }
            if got < want {
                return Err(Errno::EFAULT.into());
            }
            have += got;
            step *= 4;
        }
        self.call.input[place + max] = 0;
        self.call.input_bytes = place + max + 1;
        Ok(place)
    }

    /// A NULL-terminated array of strings.
    fn strings(&mut self, index: usize, at: u64) -> Result<(), MarshalError> {
        let array = self.call.append(0)?;
        let mut count = 0;
        'array: loop {
            let chunk = self.read_some(at.wrapping_add(count as u64 * 8), POINTERS_STEP * 8)?;
            let got = (self.call.input_bytes - chunk) / 8;
            for index in 0..got {
                if read_u64(&self.call.input, chunk + index * 8) == Some(0) {
                    count += index;
                    break 'array;
                }
            }
            if (got as u64) < POINTERS_STEP {
                return Err(Errno::EFAULT.into());
            }
            count += got;
        }
        self.call.input_bytes = array + (count + 1) * 8;
        for slot in (0..count).map(|i| array + i * 8) {
            let string = read_u64(&self.call.input, slot).unwrap_or(0);
            let place = self.read_string(string, ARGUMENT_BYTES_MAX)?;
            if self.call.input_bytes - place > ARGUMENT_BYTES_MAX {
                return Err(Errno::E2BIG.into());
            }
            self.call.relocate(slot, Place::Input(place));
        }
        self.call.point(index, Place::Input(array));
        Ok(())
    }
}
