//! Reads what the arguments of one call point at.
//!
//! What cannot be read or written is no error here: the call goes home with
//! a pointer to the [`HOLE`] instead, and the home kernel answers as it would
//! have answered the guest, in its own order of checks.

use super::vectors::Vectors;
use super::{MarshalError, Marshalled, Place, Rule, TOO_LARGE};
use crate::errno::Errno;
use crate::looks::leads;
use crate::memory::GuestMemory;
use crate::pieces::{self, Pieces, pieces};
use crate::row::{Arg, Nested, Route, Row, Size};
use crate::wire::{CALL_BYTES_MAX, EXEC_BYTES_MAX, HOLE, USER_END, read_u64};

/// Longest path with its NUL, in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Most bytes that one call moves (`MAX_RW_COUNT`).
pub(super) const MOVED_BYTES_MAX: u64 = 0x7fff_f000;
/// No pointer is that low: the kernel's default for `mmap_min_addr`.
const LOWEST_ADDRESS: u64 = 65536;
/// Read first of a string: most paths are shorter.
const STRING_STEP_BYTES: usize = 256;

/// Longest string execve takes, with its NUL (`MAX_ARG_STRLEN`).
const ARGUMENT_BYTES_MAX: usize = 128 << 10;
/// Most bytes of a structure that the kernel fills as far as it has something.
const CAPACITY_BYTES_MAX: u64 = 512 << 10;
/// Pointers of an argument list that are read at a time.
const POINTERS_STEP: u64 = 64;

/// Calls beside the reading streams that take something away or make
/// something, and of which the kernel undoes that if the result has nowhere to
/// go. It must learn so at once: the targets of these calls are looked at first.
const UNDONE: &[u32] = &[
    22,  // pipe
    43,  // accept
    53,  // socketpair
    78,  // getdents
    217, // getdents64
    222, // timer_create
    232, // epoll_wait
    278, // vmsplice
    281, // epoll_pwait
    288, // accept4
    293, // pipe2
    299, // recvmmsg
    441, // epoll_pwait2
];

/// Calls that write how long an address is before the address.
const LENGTH_FIRST: &[u32] = &[
    43,  // accept
    45,  // recvfrom
    51,  // getsockname
    52,  // getpeername
    288, // accept4
];

/// State while one call is read.
pub(super) struct Gather<'a> {
    pub(super) call: &'a mut Marshalled,
    pub(super) mem: &'a dyn GuestMemory,
    kinds: [Arg; 6],
    pieces: Pieces,
    /// What the kernel would write to is looked at before it is asked.
    looks: bool,
    /// Bytes of the stream still to be skipped: they were moved by earlier pieces.
    pub(super) skip: u64,
    /// Whether earlier pieces were moved.
    pub(super) is_rest: bool,
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
}

/// What goes home for a wild pointer.
fn wild(at: u64) -> u64 {
    if at < USER_END { HOLE } else { at }
}

/// Whether the range ends before the user's addresses do (`access_ok`).
pub(super) fn in_user_space(at: u64, bytes: u64) -> bool {
    at.checked_add(bytes).is_some_and(|end| end <= USER_END)
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
    if leads(row.nr, args) {
        // Those that it has not: the same call looks the same each time.
        call.args
            .iter_mut()
            .skip(row.args.len())
            .for_each(|arg| *arg = 0);
    }
    let is_exec = resolved.args.contains(&Arg::Strv);
    if is_exec {
        call.bytes_max = EXEC_BYTES_MAX;
    }
    let pieces = pieces(row.nr);
    let mut gather = Gather {
        call,
        mem,
        kinds: resolved.args,
        pieces,
        looks: pieces == Pieces::Read || UNDONE.contains(&row.nr),
        skip: done_bytes,
        is_rest: done_bytes > 0,
        room: (CALL_BYTES_MAX as u64).min(MOVED_BYTES_MAX.saturating_sub(done_bytes)),
        value_result: None,
    };
    for (index, value) in args.iter().enumerate() {
        // Some drivers encode a size and yet take a number.
        let number = resolved.guessed && *value < LOWEST_ADDRESS;
        // The kernel knows whether NULL is an error here.
        if number || *value == 0 {
            continue;
        }
        match gather.argument(index, *value) {
            Err(error) if is_exec && error == TOO_LARGE => return Err(Errno::E2BIG.into()),
            other => other?,
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
            Arg::Int | Arg::Int32 | Arg::Fd | Arg::Addr | Arg::ByCommand => Ok(()),
            Arg::Unknown => {
                if value >= LOWEST_ADDRESS {
                    self.call.args[index] = wild(value);
                }
                Ok(())
            }
            Arg::Path | Arg::Str => {
                let place = self.read_string(value, PATH_BYTES_MAX)?;
                self.point(index, value, place);
                Ok(())
            }
            Arg::In(size) => self.input(index, value, size),
            Arg::InSome(size) => self.input_some(index, value, size),
            Arg::InSomeHead(size, head) => {
                self.input_some(index, value, size)?;
                match self.call.places[index] {
                    Some(place) => self
                        .call
                        .copy_back(place, head as usize, Rule::TIMEOUT, value),
                    None => Ok(()),
                }
            }
            Arg::Out(size) => self.output(index, value, size),
            Arg::OutSome(size) => {
                self.both_ways(index, value, size, Rule::WHOLE)?;
                match self.call.places[index] {
                    Some(_) => Ok(()),
                    None => self.output(index, value, size),
                }
            }
            Arg::InOut(size) => self.both_ways(index, value, size, Rule::WHOLE),
            Arg::InOutAny(size) => self.both_ways(index, value, size, Rule::ANY),
            Arg::Timeout(bytes) => self.both_ways(index, value, Size::Bytes(bytes), Rule::TIMEOUT),
            Arg::OutRet(size, unit) => self.output_by_result(index, value, size, unit),
            Arg::IovIn(count) => self.vector_argument(index, value, count, Vectors::Stream),
            Arg::IovKept(count) => {
                self.call.kept = true;
                self.vector_argument(index, value, count, Vectors::Stream)
            }
            Arg::IovOut(count) => {
                let received = Vectors::Received(Rule::per_result(1, 0));
                self.vector_argument(index, value, count, received)
            }
            Arg::MsgIn => self.message(index, value, false),
            Arg::MsgOut => self.message(index, value, true),
            Arg::MmsgIn(count) => self.messages(index, value, count, false),
            Arg::MmsgOut(count) => self.messages(index, value, count, true),
            Arg::NestedIn(nested) => self.nested(index, value, nested, Flow::In),
            Arg::NestedOut(nested) => self.nested(index, value, nested, Flow::Counted),
            Arg::NestedRet(nested) => self.nested(index, value, nested, Flow::Result),
            Arg::Strv => self.strings(index, value),
        }
    }

    /// Makes argument `index` point to `place` in the input, or to the hole.
    pub(super) fn point(&mut self, index: usize, at: u64, place: Option<usize>) {
        match place {
            Some(place) => self.call.point(index, Place::Input(place)),
            None => self.call.args[index] = wild(at),
        }
    }

    /// The same for the pointer at `input_offset`.
    pub(super) fn relocate(&mut self, input_offset: usize, at: u64, place: Option<usize>) {
        match place {
            Some(place) => self.call.relocate(input_offset, Place::Input(place)),
            None => self.put(input_offset, wild(at)),
        }
    }

    /// Writes a word of the input.
    pub(super) fn put(&mut self, input_offset: usize, word: u64) {
        self.call.input[input_offset..input_offset + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// The number in argument `index`, as the kernel sees it; `None` if it is
    /// negative there, which the home kernel will refuse.
    pub(super) fn count(&self, index: u8) -> Option<u64> {
        let index = usize::from(index);
        let value = self.call.args[index];
        let (value, max) = match self.kinds[index] {
            Arg::Int32 => (value & 0xffff_ffff, i32::MAX as u64),
            _ => (value, i64::MAX as u64),
        };
        (value <= max).then_some(value)
    }

    /// How long the thing at `at` is; `None` if the home kernel will find that
    /// it cannot tell.
    fn bytes(&self, size: Size, at: u64) -> Option<u64> {
        Some(match size {
            Size::Bytes(bytes) => u64::from(bytes),
            Size::Arg(index) => self.count(index)?,
            Size::ArgPlus(index, head) => self.count(index)?.saturating_add(u64::from(head)),
            Size::Times(index, unit) => self.count(index)?.saturating_mul(u64::from(unit)),
            Size::Bits(index) => self.count(index)?.div_ceil(64) * 8,
            Size::At(index) => {
                let length_at = self.call.args[usize::from(index)];
                if length_at == 0 {
                    return Some(0);
                }
                let length = self.read_u32(length_at)?;
                (length <= i32::MAX as u32).then_some(u64::from(length))?
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

    fn read_u32(&self, at: u64) -> Option<u32> {
        let mut word = [0; 4];
        self.mem.read(at, &mut word).ok()?;
        Some(u32::from_le_bytes(word))
    }

    /// Appends `bytes` of guest memory to the input; `None` if they cannot all
    /// be read.
    pub(super) fn read(&mut self, at: u64, bytes: u64) -> Result<Option<usize>, MarshalError> {
        if !self.call.has_room(bytes) {
            // Nobody has that much where only the count is wrong.
            let last = at.checked_add(bytes.saturating_sub(1));
            let is_there = last.is_some_and(|last| self.mem.read(last, &mut [0]).is_ok());
            return if is_there { Err(TOO_LARGE) } else { Ok(None) };
        }
        let (before, offset) = (self.call.input_bytes, self.call.append(bytes)?);
        let end = self.call.input_bytes;
        if self.mem.read(at, &mut self.call.input[offset..end]).is_ok() {
            return Ok(Some(offset));
        }
        self.call.input_bytes = before;
        Ok(None)
    }

    /// Appends up to `bytes` of guest memory, as far as they are mapped.
    pub(super) fn read_some(&mut self, at: u64, bytes: u64) -> Result<usize, MarshalError> {
        let offset = self.call.append(bytes)?;
        let end = self.call.input_bytes;
        let got = self.mem.read_some(at, &mut self.call.input[offset..end]);
        self.call.input_bytes = offset + got.min(end - offset);
        Ok(offset)
    }

    /// How much of a target the kernel may be told of.
    pub(super) fn writable(&self, at: u64, bytes: u64) -> u64 {
        if self.looks && bytes > 0 {
            self.mem.writable(at, bytes)
        } else {
            bytes
        }
    }

    /// Whether the argument is the stream of a call that may be cut.
    fn is_stream(&self, index: usize) -> bool {
        index == 1 && self.pieces != Pieces::None
    }

    /// How many bytes of the stream at `at` the call is about, by argument
    /// `count`; `None` if the kernel refuses the range, whatever is in it.
    fn stream_bytes(&self, at: u64, count: u8) -> Option<u64> {
        let count = self.call.args[usize::from(count)];
        let moved = count.min(MOVED_BYTES_MAX);
        let checked = if pieces::is_socket(self.call.nr) {
            moved
        } else {
            count
        };
        in_user_space(at, checked).then_some(moved)
    }

    fn input(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        if let Size::Arg(count) = size
            && self.is_stream(index)
        {
            return self.stream(index, at, count);
        }
        let bytes = match size {
            // msgsnd looks at the head first, and no kernel knows a message that long.
            Size::ArgPlus(count, head)
                if self
                    .count(count)
                    .is_none_or(|bytes| bytes > i32::MAX as u64) =>
            {
                Some(u64::from(head))
            }
            size => self.bytes(size, at),
        };
        let place = match bytes {
            Some(bytes) => self.read(at, bytes)?,
            None => None,
        };
        self.point(index, at, place);
        Ok(())
    }

    fn stream(&mut self, index: usize, at: u64, count: u8) -> Result<(), MarshalError> {
        let Some(bytes) = self.stream_bytes(at, count) else {
            self.call.args[index] = at.max(USER_END);
            return Ok(());
        };
        let rest = bytes.saturating_sub(self.skip);
        let take = rest.min(self.room);
        let place = self.read_some(at.wrapping_add(self.skip), take)?;
        let got = (self.call.input_bytes - place) as u64;
        // Part of a message must not go out as if it were one.
        if got < take && (got == 0 || pieces::is_socket(self.call.nr)) {
            self.call.args[index] = HOLE;
            return Ok(());
        }
        self.call.cut |= got < rest;
        self.call.args[usize::from(count)] = got;
        self.call.point(index, Place::Input(place));
        Ok(())
    }

    fn input_some(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        let Some(bytes) = self.bytes(size, at) else {
            self.point(index, at, None);
            return Ok(());
        };
        // No kernel looks at more; a claim of more is no error.
        let bytes = bytes.min(CALL_BYTES_MAX as u64);
        let place = self.read_some(at, bytes)?;
        let got = self.call.input_bytes - place;
        if got == 0 && bytes > 0 {
            self.point(index, at, None);
            return Ok(());
        }
        self.call.input_bytes = place + bytes as usize;
        self.call.input[place + got..place + bytes as usize].fill(0);
        self.call.point(index, Place::Input(place));
        Ok(())
    }

    fn output(&mut self, index: usize, at: u64, size: Size) -> Result<(), MarshalError> {
        let Some(mut bytes) = self.bytes(size, at) else {
            self.point(index, at, None);
            return Ok(());
        };
        let mut rule = Rule::WHOLE;
        let mut needed = bytes;
        if let Size::At(_) = size {
            bytes = bytes.min(CALL_BYTES_MAX as u64);
            rule = Rule::counted(0);
            // How much of it will be used nobody knows.
            needed = bytes.min(1);
        }
        if self.writable(at, bytes) < needed {
            self.point(index, at, None);
            return Ok(());
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
            let is_length = |place: &Place| matches!(place, Place::Input(at) if *at == offset);
            let at = self.call.range_places.iter().position(is_length);
            if let Some(at) = at.filter(|at| *at > range && LENGTH_FIRST.contains(&self.call.nr)) {
                self.call.ranges[range..=at].rotate_right(1);
                self.call.range_places[range..=at].rotate_right(1);
                self.call.guests[range..=at].rotate_right(1);
            }
        }
    }

    fn both_ways(
        &mut self,
        index: usize,
        at: u64,
        size: Size,
        rule: Rule,
    ) -> Result<(), MarshalError> {
        let place = match self.bytes(size, at) {
            // Also where it has no bytes: poll looks whose memory it is.
            Some(bytes) if in_user_space(at, bytes) && self.writable(at, bytes) >= bytes => {
                self.read(at, bytes)?
            }
            _ => None,
        };
        self.point(index, at, place);
        let Some(place) = place else {
            return Ok(());
        };
        let bytes = self.call.input_bytes - place;
        if bytes > 0 {
            self.call.copy_back(Place::Input(place), bytes, rule, at)?;
        }
        Ok(())
    }

    fn output_by_result(
        &mut self,
        index: usize,
        at: u64,
        size: Size,
        unit: u32,
    ) -> Result<(), MarshalError> {
        let is_stream = self.is_stream(index);
        let asked = match size {
            Size::Arg(count) if is_stream => self.stream_bytes(at, count),
            // A capacity (`size_t`): no kernel minds one that is too large.
            Size::Arg(count) if self.kinds[usize::from(count)] == Arg::Int => {
                Some(self.call.args[usize::from(count)].min(i64::MAX as u64))
            }
            _ => self.bytes(size, at),
        };
        let Some(asked) = asked else {
            self.call.args[index] = if is_stream {
                at.max(USER_END)
            } else {
                wild(at)
            };
            return Ok(());
        };
        let skip = if is_stream { self.skip } else { 0 };
        let at = at.wrapping_add(skip);
        let rest = asked.saturating_sub(skip);
        // Fewer elements than asked for is what such calls may always return.
        let (count, each, head) = match size {
            Size::Arg(count) => (Some(count), 1, 0),
            Size::ArgPlus(count, head) => (Some(count), 1, u64::from(head)),
            Size::Times(count, each) => (Some(count), u64::from(each), 0),
            _ => (None, 1, 0),
        };
        let take = if count.is_some() {
            rest.min(self.room)
        } else {
            rest
        };
        let take = take - take % each;
        let fits = self.writable(at, take);
        let bytes = fits - fits % each;
        if bytes <= head && rest > head {
            self.call.args[index] = wild(at);
            return Ok(());
        }
        if let Some(count) = count
            && bytes != asked
        {
            self.call.args[usize::from(count)] = (bytes - head) / each;
            self.call.cut |= is_stream && bytes < rest;
        }
        let place = self.call.reserve(bytes)?;
        self.call.point(index, place);
        if bytes > 0 {
            let rule = Rule::per_result(unit, head as u32);
            self.call.copy_back(place, bytes as usize, rule, at)?;
        }
        Ok(())
    }

    fn nested(
        &mut self,
        index: usize,
        at: u64,
        nested: Nested,
        flow: Flow,
    ) -> Result<(), MarshalError> {
        let head = self.read(at, 16)?;
        self.point(index, at, head);
        let Some(head) = head else {
            return Ok(());
        };
        let pointer = head + usize::from(nested.pointer);
        let count = head + usize::from(nested.count);
        let target = read_u64(&self.call.input, pointer).unwrap_or(0);
        let mut word = [0; 8];
        let width = usize::from(nested.count_bytes);
        word[..width].copy_from_slice(&self.call.input[count..count + width]);
        let mut bytes = u64::from_le_bytes(word).saturating_mul(u64::from(nested.unit));
        if flow == Flow::Counted {
            // A capacity: a negative one has no room, and nobody fills one that is too large.
            if bytes > i32::MAX as u64 {
                bytes = 0;
            } else if bytes > CAPACITY_BYTES_MAX {
                bytes = CAPACITY_BYTES_MAX;
                self.call.input[count..count + 4]
                    .copy_from_slice(&(CAPACITY_BYTES_MAX as u32).to_le_bytes());
            }
            let guest_at = at.wrapping_add(u64::from(nested.count));
            self.call
                .copy_back(Place::Input(count), width, Rule::WHOLE, guest_at)?;
        }
        if target == 0 {
            return Ok(());
        }
        let rule = match flow {
            Flow::In => {
                let place = self.read(target, bytes)?;
                self.relocate(pointer, target, place);
                return Ok(());
            }
            Flow::Counted => Rule::counted(count),
            Flow::Result => Rule::per_result(1, 0),
        };
        let place = self.call.reserve(bytes)?;
        self.call.relocate(pointer, place);
        if bytes > 0 {
            self.call.copy_back(place, bytes as usize, rule, target)?;
        }
        Ok(())
    }

    /// Appends a NUL-terminated string of at most `max` bytes with its NUL; a
    /// longer one is cut to `max` bytes and gets a NUL, hence one byte more.
    /// `None` if it cannot be read up to there.
    fn read_string(&mut self, at: u64, max: usize) -> Result<Option<usize>, MarshalError> {
        let place = self.call.extend(0)?;
        let mut step = STRING_STEP_BYTES;
        loop {
            let have = self.call.input_bytes - place;
            if have == max {
                let end = self.call.extend(1)?;
                self.call.input[end] = 0;
                return Ok(Some(place));
            }
            // Near the limit a short string may still fit.
            let mut want = step.min(max - have);
            while want > 1 && !self.call.has_room(want as u64) {
                want /= 2;
            }
            let from = self.call.extend(want as u64)?;
            let into = &mut self.call.input[from..from + want];
            let got = self
                .mem
                .read_some(at.wrapping_add(have as u64), into)
                .min(want);
            if let Some(nul) = into[..got].iter().position(|byte| *byte == 0) {
                self.call.input_bytes = from + nul + 1;
                return Ok(Some(place));
            }
            if got < want {
                self.call.input_bytes = place;
                return Ok(None);
            }
            step *= 4;
        }
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
                self.call.input_bytes = array;
                self.point(index, at, None);
                return Ok(());
            }
            count += got;
        }
        self.call.input_bytes = array + (count + 1) * 8;
        for slot in (0..count).map(|i| array + i * 8) {
            let string = read_u64(&self.call.input, slot).unwrap_or(0);
            let place = self.read_string(string, ARGUMENT_BYTES_MAX)?;
            self.relocate(slot, string, place);
        }
        self.call.point(index, Place::Input(array));
        Ok(())
    }
}
