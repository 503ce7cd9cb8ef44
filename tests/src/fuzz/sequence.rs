//! A sequence of calls, and the text that the interpreter reads.
//!
//! One line per call: `call ID NAME NUMBER RESULT ARGUMENT*6 PART...`. An argument is a number in
//! hexadecimal or a value that only the run knows (`$r12`: the result of call 12). A part says what
//! is put into memory before the call (`p`: bytes, `w`: a word, `i`: half a word) or printed after
//! it (`o`, and how). `child`, `background` and `thread` open a block that a child or thread
//! executes; `end` closes it.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};

/// A number, or what only the run knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(u64),
    ResultOf(u32),
    /// The int at this address, which an earlier call has written.
    IntAt(u64),
    OwnPid,
    OwnTid,
    ParentPid,
    Handler,
    Restorer,
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number)
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number:x}"),
            Value::ResultOf(id) => write!(f, "$r{id}"),
            Value::IntAt(at) => write!(f, "$m{at:x}"),
            Value::OwnPid => f.write_str("$s"),
            Value::OwnTid => f.write_str("$t"),
            Value::ParentPid => f.write_str("$p"),
            Value::Handler => f.write_str("$h"),
            Value::Restorer => f.write_str("$b"),
        }
    }
}

/// What is done with memory around a call.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// These bytes are there before.
    Bytes(u64, Vec<u8>),
    /// Eight bytes, or four.
    Word(u64, Value),
    Half(u64, Value),
    /// So many bytes are printed afterwards, in this way.
    Out(u64, u64, &'static str),
}

impl Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Bytes(at, bytes) => {
                write!(f, "p:{at:x}:")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Part::Word(at, value) => write!(f, "w:{at:x}:{value}"),
            Part::Half(at, value) => write!(f, "i:{at:x}:{value}"),
            Part::Out(at, bytes, kind) => write!(f, "o{kind}:{at:x}:{bytes}"),
        }
    }
}

/// How a result is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown {
    Number,
    Pid,
    Address,
    /// Whether it is more than 0.
    Some,
}

impl Shown {
    fn word(self) -> &'static str {
        match self {
            Shown::Number => "n",
            Shown::Pid => "p",
            Shown::Address => "a",
            Shown::Some => "t",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The parent waits for its end, but does not take its status.
    Child,
    /// Runs beside its parent and prints nothing.
    Background,
    /// Is joined at once.
    Thread,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Call {
        name: &'static str,
        nr: i64,
        shown: Shown,
        arguments: [Value; 6],
        parts: Vec<Part>,
    },
    Block(Who, Vec<Op>),
    Peek(u64, u64),
    Touch(u64, u64),
    Exec,
}

/// A call, or a block of them.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) id: u32,
    pub(crate) what: What,
}

/// What one seed makes, or what was found once and is kept.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub(crate) seed: u64,
    pub(crate) ops: Vec<Op>,
    /// Lines that come before.
    kept: String,
}

impl Sequence {
    pub(crate) fn new(seed: u64, ops: Vec<Op>) -> Sequence {
        let kept = String::new();
        Sequence { seed, ops, kept }
    }

    /// One of which only the lines are known: seeds change their meaning with the generator.
    #[must_use]
    pub fn kept(lines: &str) -> Sequence {
        Sequence {
            seed: 0,
            ops: Vec::new(),
            kept: lines.into(),
        }
    }

    /// The seed it came from.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The interpreter's lines, under this name.
    #[must_use]
    pub fn text(&self, name: usize) -> String {
        let mut text = format!("sequence {name}\n{}", self.kept);
        write_ops(&self.ops, &mut text);
        text.push_str("run\n");
        text
    }

    /// The ids of all its calls and blocks, in order. What runs in the background is one thing: in
    /// parts it would come at another time.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        collect(&self.ops, &mut ids);
        ids
    }

    /// Without these calls and blocks.
    pub(crate) fn without(&self, ids: &BTreeSet<u32>) -> Sequence {
        Sequence::new(self.seed, keep(&self.ops, ids))
    }
}

fn collect(ops: &[Op], ids: &mut Vec<u32>) {
    for op in ops {
        ids.push(op.id);
        if let What::Block(Who::Child | Who::Thread, body) = &op.what {
            collect(body, ids);
        }
    }
}

fn keep(ops: &[Op], without: &BTreeSet<u32>) -> Vec<Op> {
    let mut kept = Vec::new();
    for op in ops.iter().filter(|op| !without.contains(&op.id)) {
        let mut op = op.clone();
        if let What::Block(_, body) = &mut op.what {
            *body = keep(body, without);
        }
        kept.push(op);
    }
    kept
}

fn write_ops(ops: &[Op], text: &mut String) {
    for Op { id, what } in ops {
        let written = match what {
            What::Call {
                name,
                nr,
                shown,
                arguments,
                parts,
            } => {
                let _ = write!(text, "call {id} {name} {nr} {}", shown.word());
                for argument in arguments {
                    let _ = write!(text, " {argument}");
                }
                for part in parts {
                    let _ = write!(text, " {part}");
                }
                writeln!(text)
            }
            What::Block(who, body) => {
                let word = match who {
                    Who::Child => "child",
                    Who::Background => "background",
                    Who::Thread => "thread",
                };
                let _ = writeln!(text, "{word} {id}");
                write_ops(body, text);
                writeln!(text, "end {id}")
            }
            What::Peek(at, bytes) => writeln!(text, "peek {id} {at:x} {bytes:x} 0 0 0 0"),
            What::Touch(at, bytes) => writeln!(text, "touch {id} {at:x} {bytes:x} 0 0 0 0"),
            What::Exec => writeln!(text, "exec {id}"),
        };
        written.expect("text is written to memory");
    }
}
