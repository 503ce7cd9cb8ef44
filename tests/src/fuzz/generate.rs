//! A sequence from a seed.

use super::arena::{ARENA, ARENA_BYTES, LARGE, LARGE_BYTES, SHORT, WILD};
use super::calls;
use super::random::Random;
use super::sequence::{Op, Part, Sequence, Shown, Value, What, Who};

/// Calls of a sequence, blocks not counted.
const CALLS_MAX: u64 = 40;
/// One in so many pointers is wild.
const WILD_ONE_IN: u64 = 40;
/// Memory that no two calls share; what is beyond is used again.
const SCRATCH: u64 = ARENA + 64;
const SCRATCH_END: u64 = ARENA + ARENA_BYTES - 8192;

/// How many calls and what about: most sequences stay with a few subjects, so that their calls
/// meet.
#[must_use]
pub fn generate(seed: u64) -> Sequence {
    let mut gen_ = Gen {
        random: Random::new(seed),
        next_id: 1,
        scratch: SCRATCH,
        parts: Vec::new(),
        pointers: Vec::new(),
        streams: Vec::new(),
        fds: Vec::new(),
        pids: Vec::new(),
        ops: Vec::new(),
        depth: 0,
        subjects: Vec::new(),
    };
    for _ in 0..=gen_.random.below(3) {
        let subject = gen_.random.below(calls::SUBJECTS.len() as u64) as usize;
        gen_.subjects.push(subject);
    }
    let count = 4 + gen_.random.below(CALLS_MAX - 4);
    gen_.fill(count);
    Sequence::new(seed, gen_.ops)
}

/// A sequence in the making; the tables in `calls/` use it.
pub(crate) struct Gen {
    pub(crate) random: Random,
    next_id: u32,
    scratch: u64,
    /// Of the call in the making.
    parts: Vec<Part>,
    pointers: Vec<u64>,
    /// Those of them that a stream goes to or comes from.
    streams: Vec<u64>,
    /// Descriptors that earlier calls have made.
    pub(crate) fds: Vec<Value>,
    /// Children.
    pub(crate) pids: Vec<Value>,
    ops: Vec<Op>,
    depth: u32,
    subjects: Vec<usize>,
}

impl Gen {
    fn fill(&mut self, count: u64) {
        for _ in 0..count {
            let subject = if self.random.percent(85) {
                self.random.pick(&self.subjects.clone())
            } else {
                self.random.below(calls::SUBJECTS.len() as u64) as usize
            };
            let table = calls::SUBJECTS[subject];
            let all: u64 = table.iter().map(|(weight, _)| weight).sum();
            let mut at = self.random.below(all);
            for (weight, make) in table {
                if at < *weight {
                    make(self);
                    break;
                }
                at -= weight;
            }
        }
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Adds a call whose result is a number; gives the result.
    pub(crate) fn call(&mut self, name: &'static str, nr: i64, arguments: &[Value]) -> Value {
        self.call_shown(name, nr, Shown::Number, arguments)
    }

    pub(crate) fn call_shown(
        &mut self,
        name: &'static str,
        nr: i64,
        shown: Shown,
        given: &[Value],
    ) -> Value {
        let mut arguments = [Value::Number(0); 6];
        arguments[..given.len()].copy_from_slice(given);
        let pointers = std::mem::take(&mut self.pointers);
        let streams = std::mem::take(&mut self.streams);
        for argument in &mut arguments {
            let Value::Number(at) = *argument else {
                continue;
            };
            if pointers.contains(&at) && self.random.below(WILD_ONE_IN) == 0 {
                let is_short = !streams.contains(&at) && self.random.percent(30);
                let wild = if is_short { SHORT } else { WILD };
                *argument = self.random.pick(wild).into();
            }
        }
        let id = self.id();
        let parts = std::mem::take(&mut self.parts);
        let what = What::Call {
            name,
            nr,
            shown,
            arguments,
            parts,
        };
        self.ops.push(Op { id, what });
        Value::ResultOf(id)
    }

    /// A call whose result is a descriptor.
    pub(crate) fn opens(&mut self, name: &'static str, nr: i64, arguments: &[Value]) -> Value {
        let fd = self.call(name, nr, arguments);
        self.fds.push(fd);
        fd
    }

    /// A block of some calls; inside, only few blocks.
    pub(crate) fn block(&mut self, who: Who) -> Value {
        if self.depth >= 2 {
            return Value::OwnPid;
        }
        let count = 1 + self.random.below(8);
        let ends_by_exec = who == Who::Child && self.random.percent(10);
        self.block_of(who, |gen_| {
            gen_.fill(count);
            if ends_by_exec {
                gen_.push(What::Exec);
            }
        })
    }

    /// A block of the calls that `body` adds.
    pub(crate) fn block_of(&mut self, who: Who, body: impl FnOnce(&mut Gen)) -> Value {
        let id = self.id();
        let outer = std::mem::take(&mut self.ops);
        let (fds, pids) = (self.fds.clone(), self.pids.clone());
        self.depth += 1;
        body(self);
        self.depth -= 1;
        let body = std::mem::replace(&mut self.ops, outer);
        if who != Who::Thread {
            (self.fds, self.pids) = (fds, pids);
        }
        self.ops.push(Op {
            id,
            what: What::Block(who, body),
        });
        if who != Who::Thread {
            self.pids.push(Value::ResultOf(id));
        }
        Value::ResultOf(id)
    }

    pub(crate) fn push(&mut self, what: What) {
        let id = self.id();
        self.ops.push(Op { id, what });
    }

    /// Room in memory, at a multiple of 16.
    pub(crate) fn room(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.max(1).next_multiple_of(16);
        if self.scratch + bytes > SCRATCH_END {
            self.scratch = SCRATCH;
        }
        self.scratch += bytes;
        let at = self.scratch - bytes;
        self.pointers.push(at);
        at
    }

    /// Bytes before the call.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Value {
        let at = self.room(bytes.len() as u64);
        self.parts.push(Part::Bytes(at, bytes.to_vec()));
        at.into()
    }

    /// Words before the call.
    pub(crate) fn words(&mut self, words: &[Value]) -> Value {
        let at = self.room(words.len() as u64 * 8);
        for (index, word) in words.iter().enumerate() {
            self.parts.push(Part::Word(at + index as u64 * 8, *word));
        }
        at.into()
    }

    /// Halves of words before the call.
    pub(crate) fn halves(&mut self, halves: &[Value]) -> Value {
        let at = self.room(halves.len() as u64 * 4);
        for (index, half) in halves.iter().enumerate() {
            self.parts.push(Part::Half(at + index as u64 * 4, *half));
        }
        at.into()
    }

    pub(crate) fn part(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// Room that is printed after the call.
    pub(crate) fn out(&mut self, bytes: u64, kind: &'static str) -> Value {
        let at = self.room(bytes);
        self.parts.push(Part::Out(at, bytes, kind));
        at.into()
    }

    /// Room that a stream goes to, printed after the call.
    pub(crate) fn stream(&mut self, bytes: u64) -> Value {
        self.stream_shown(bytes, "")
    }

    pub(crate) fn stream_shown(&mut self, bytes: u64, kind: &'static str) -> Value {
        let at = self.room(bytes);
        self.streams.push(at);
        self.parts.push(Part::Out(at, bytes, kind));
        at.into()
    }

    /// Bytes that a stream takes.
    pub(crate) fn stream_of(&mut self, bytes: &[u8]) -> Value {
        let at = self.room(bytes.len() as u64);
        self.streams.push(at);
        self.parts.push(Part::Bytes(at, bytes.to_vec()));
        at.into()
    }

    /// A path, mostly of something that may be there. None leads out of the sequence's directory: a
    /// sequence may do anything with what it finds, also as root.
    pub(crate) fn path(&mut self) -> Value {
        const NAMES: &[&str] = &[
            "a", "a", "a", "b", "b", "c", "d", "d", "d/x", "d/x", "d/y", "e", "e/z", "l", "l2",
        ];
        const ODD: &[&str] = &[
            "",
            ".",
            "d/",
            "a/",
            "a/x",
            "./b",
            "d//x",
            "missing/x",
            "l/x",
            "fixed",
            "null",
            "zero",
            "/proc/self/fd/3",
            "/dev/fd/4",
            "/proc/self/cwd/a",
        ];
        let name = match self.random.below(20) {
            0 | 1 => self.random.pick(ODD).to_owned(),
            2 if self.random.percent(30) => {
                let length = self.random.pick(&[254, 255, 256, 4094, 4095, 4096, 5000]);
                if length < 300 {
                    "n".repeat(length)
                } else {
                    "./".repeat(length / 2) + "a"
                }
            }
            _ => self.random.pick(NAMES).to_owned(),
        };
        self.text(&name)
    }

    /// A string with its NUL.
    pub(crate) fn text(&mut self, text: &str) -> Value {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(&bytes)
    }

    /// A descriptor, mostly an open one.
    pub(crate) fn fd(&mut self) -> Value {
        if self.fds.is_empty() || self.random.percent(6) {
            return self
                .random
                .pick(&[
                    0,
                    3,
                    4,
                    5,
                    63,
                    500,
                    u64::MAX,
                    0xffff_ffff,
                    1 << 31,
                    1 << 32,
                    (1 << 32) | 3,
                ])
                .into();
        }
        if self.random.percent(50) {
            let last = self.fds.len().saturating_sub(3) as u64;
            let at = last + self.random.below(self.fds.len() as u64 - last);
            return self.fds[at as usize];
        }
        self.random.pick(&self.fds.clone())
    }

    /// The directory of a path.
    pub(crate) fn dirfd(&mut self) -> Value {
        if self.random.percent(75) {
            at_cwd()
        } else {
            self.fd()
        }
    }

    pub(crate) fn mode(&mut self) -> Value {
        self.random
            .pick(&[
                0o644,
                0o755,
                0o600,
                0o444,
                0,
                0o7777,
                0o4755,
                0o1777,
                0o20666,
                0xffff_ffff,
            ])
            .into()
    }

    /// A small number of bytes, and sometimes a strange one.
    pub(crate) fn count(&mut self) -> u64 {
        match self.random.below(12) {
            0 => 0,
            1 => 1,
            2 => 4095,
            3 => 4097,
            _ => 1 + self.random.below(200),
        }
    }

    /// An offset in a file.
    pub(crate) fn offset(&mut self) -> Value {
        match self.random.below(12) {
            0 | 1 => 0,
            2 => u64::MAX,
            3 => 1 << 33,
            4 => i64::MAX as u64,
            5 => 4096,
            _ => self.random.below(20000),
        }
        .into()
    }

    /// What is written: content and length, some of it larger than one piece.
    pub(crate) fn data(&mut self) -> (Value, Value) {
        if self.random.below(60) == 0 {
            let bytes = LARGE_BYTES / 3 + self.random.below(LARGE_BYTES / 2);
            return (LARGE.into(), bytes.into());
        }
        let bytes = self.count();
        let at = self.room(bytes.max(1));
        self.streams.push(at);
        let mut content = vec![0; bytes.min(64) as usize];
        content
            .iter_mut()
            .for_each(|byte| *byte = self.random.next() as u8);
        self.parts.push(Part::Bytes(at, content));
        (at.into(), self.strange(bytes))
    }

    /// Where something is read to, and how much.
    pub(crate) fn target(&mut self) -> (Value, Value) {
        if self.random.below(60) == 0 {
            let bytes = LARGE_BYTES / 3 + self.random.below(LARGE_BYTES / 2);
            self.parts.push(Part::Out(LARGE, bytes, ""));
            return (LARGE.into(), bytes.into());
        }
        let bytes = self.count();
        (self.stream(bytes.max(1)), self.strange(bytes))
    }

    /// Once in a while another number.
    fn strange(&mut self, number: u64) -> Value {
        if self.random.below(50) == 0 {
            return self
                .random
                .pick(&[u64::MAX, 1 << 63, u64::MAX - 4095])
                .into();
        }
        number.into()
    }

    /// An iovec array: address and count. `out`: it is read into.
    pub(crate) fn vectors(&mut self, out: bool) -> (Value, Value) {
        let count = self.random.below(4);
        let mut words = Vec::new();
        for _ in 0..count {
            let bytes = self.random.pick(&[0, 1, 7, 16, 100, 200]);
            let mut at = self.room(bytes);
            if out {
                self.parts.push(Part::Out(at, bytes.max(1), ""));
            }
            if self.random.below(WILD_ONE_IN) == 0 {
                at = self.random.pick(WILD);
            }
            words.push(at.into());
            words.push(self.strange(bytes));
        }
        let at = self.words(&words);
        let count = if self.random.below(40) == 0 {
            self.random.pick(&[u64::MAX, 1024, 1025, 1 << 32])
        } else {
            count
        };
        (at, count.into())
    }
}

/// AT_FDCWD.
pub(crate) fn at_cwd() -> Value {
    (libc::AT_FDCWD as i64 as u64).into()
}
