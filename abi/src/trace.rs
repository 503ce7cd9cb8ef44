//! Calls and results as text, in the manner of strace.

use std::fmt::Write;

use crate::command::{self, Command};
use crate::errno::Errno;
use crate::memory::GuestMemory;
use crate::row::{Arg, Row, Size};
use crate::wire::read_u64;

/// Bytes shown of data.
const DATA_BYTES_SHOWN: usize = 32;
/// Bytes shown of a path.
const PATH_BYTES_SHOWN: usize = 4095;
/// Elements shown of an array.
const ELEMENTS_SHOWN: u64 = 8;
/// Most environment variables counted.
const VARIABLES_COUNTED: u64 = 1000;
/// Numbers above this are shown in hexadecimal.
const DECIMAL_MAX: u64 = 1 << 20;

const EXITS: [u32; 2] = [60, 231];
/// Calls that return an address.
const RETURN_ADDRESS: [u32; 4] = [9, 12, 25, 30];

/// Calls that write a pair of descriptors: pipe, socketpair, pipe2.
const RETURN_PAIR: [u32; 3] = [22, 53, 293];

/// Names of bits: a mask, the value under it, the name.
type Flags = &'static [(u64, u64, &'static str)];

const OPEN: Flags = &[
    (0o3, 0, "O_RDONLY"),
    (0o3, 1, "O_WRONLY"),
    (0o3, 2, "O_RDWR"),
    (0o100, 0o100, "O_CREAT"),
    (0o200, 0o200, "O_EXCL"),
    (0o400, 0o400, "O_NOCTTY"),
    (0o1000, 0o1000, "O_TRUNC"),
    (0o2000, 0o2000, "O_APPEND"),
    (0o4000, 0o4000, "O_NONBLOCK"),
    (0o40000, 0o40000, "O_DIRECT"),
    (0o200000, 0o200000, "O_DIRECTORY"),
    (0o400000, 0o400000, "O_NOFOLLOW"),
    (0o1000000, 0o1000000, "O_NOATIME"),
    (0o2000000, 0o2000000, "O_CLOEXEC"),
    (0o4010000, 0o4010000, "O_SYNC"),
    (0o4010000, 0o10000, "O_DSYNC"),
    (0o10000000, 0o10000000, "O_PATH"),
    (0o20000000, 0o20000000, "__O_TMPFILE"),
];
const PROTECTION: Flags = &[
    (7, 0, "PROT_NONE"),
    (1, 1, "PROT_READ"),
    (2, 2, "PROT_WRITE"),
    (4, 4, "PROT_EXEC"),
];
const MAP: Flags = &[
    (0xf, 1, "MAP_SHARED"),
    (0xf, 2, "MAP_PRIVATE"),
    (0xf, 3, "MAP_SHARED_VALIDATE"),
    (0x10, 0x10, "MAP_FIXED"),
    (0x20, 0x20, "MAP_ANONYMOUS"),
    (0x100, 0x100, "MAP_GROWSDOWN"),
    (0x800, 0x800, "MAP_DENYWRITE"),
    (0x2000, 0x2000, "MAP_LOCKED"),
    (0x4000, 0x4000, "MAP_NORESERVE"),
    (0x8000, 0x8000, "MAP_POPULATE"),
    (0x20000, 0x20000, "MAP_STACK"),
    (0x40000, 0x40000, "MAP_HUGETLB"),
    (0x100000, 0x100000, "MAP_FIXED_NOREPLACE"),
];
/// Which argument of which call has named bits.
const NAMED: &[(u32, usize, Flags)] = &[
    (2, 1, OPEN),
    (257, 2, OPEN),
    (9, 2, PROTECTION),
    (9, 3, MAP),
    (10, 2, PROTECTION),
];

/// The call as text: name and arguments, before it is executed. What it will
/// write, and what cannot be read, is shown as an address.
pub fn format_call(row: &Row, args: &[u64; 6], mem: &dyn GuestMemory) -> String {
    format(row, args, None, mem)
}

/// The call as text, after it has been executed with the result `ret`: also
/// what it has written, as far as that is bytes, numbers or descriptors.
pub fn format_done(row: &Row, args: &[u64; 6], ret: i64, mem: &dyn GuestMemory) -> String {
    format(row, args, u64::try_from(ret).ok(), mem)
}

/// `result`: of a call that has been executed and has succeeded.
fn format(row: &Row, args: &[u64; 6], result: Option<u64>, mem: &dyn GuestMemory) -> String {
    let resolved = row.resolve(args);
    let mut text = format!("{}(", row.name);
    for index in 0..row.args.len().min(6) {
        if index > 0 {
            text.push_str(", ");
        }
        let known = resolved
            .command
            .filter(|_| command::selector(row.nr) == Some(index));
        let flags = NAMED
            .iter()
            .find(|(nr, at, _)| *nr == row.nr && *at == index);
        let value = args[index];
        match (known, flags) {
            (Some(Command { name, .. }), _) => text.push_str(name),
            (None, Some((_, _, flags))) => text.push_str(&flag_names(value, flags)),
            _ => {
                let written =
                    result.and_then(|ret| output(row.nr, &resolved.args, args, index, ret, mem));
                text.push_str(
                    &written.unwrap_or_else(|| argument(&resolved.args, args, index, mem)),
                );
            }
        }
    }
    text.push(')');
    text
}

/// The result as text: a number, an address, or `-1` with the error.
pub fn format_result(row: &Row, ret: i64) -> String {
    if EXITS.contains(&row.nr) {
        return "?".to_string();
    }
    match Errno::from_return(ret) {
        Some(restart) if restart.0 >= Errno::ERESTARTSYS.0 => format!("? {restart}"),
        Some(errno) => format!("-1 {errno}"),
        None if RETURN_ADDRESS.contains(&row.nr) => format!("{ret:#x}"),
        None => ret.to_string(),
    }
}

fn argument(kinds: &[Arg; 6], args: &[u64; 6], index: usize, mem: &dyn GuestMemory) -> String {
    let value = args[index];
    let shown = match kinds[index] {
        Arg::Int | Arg::Unknown | Arg::ByCommand => Some(number(value as i64)),
        Arg::Int32 => Some(number(i64::from(value as i32))),
        Arg::Fd if value as i32 == -100 => Some("AT_FDCWD".to_string()),
        Arg::Fd => Some((value as i32).to_string()),
        _ if value == 0 => Some("NULL".to_string()),
        Arg::Path => string(value, PATH_BYTES_SHOWN, mem),
        Arg::Str => string(value, DATA_BYTES_SHOWN, mem),
        Arg::In(Size::Arg(length)) => data(value, args[usize::from(length)], mem),
        Arg::IovIn(count) | Arg::IovKept(count) => vectors(value, args[usize::from(count)], mem),
        Arg::Strv if kinds[..index].contains(&Arg::Strv) => variables(value, mem),
        Arg::Strv => strings(value, mem),
        _ => None,
    };
    shown.unwrap_or_else(|| {
        if value == 0 {
            "NULL".into()
        } else {
            format!("{value:#x}")
        }
    })
}

/// What a call that returned `ret` has written through argument `index`.
fn output(
    nr: u32,
    kinds: &[Arg; 6],
    args: &[u64; 6],
    index: usize,
    ret: u64,
    mem: &dyn GuestMemory,
) -> Option<String> {
    let value = args[index];
    if value == 0 {
        return None;
    }
    match kinds[index] {
        Arg::OutRet(Size::Arg(_), 1) => data(value, ret, mem),
        Arg::IovOut(count) => filled_vectors(value, args[usize::from(count)], ret, mem),
        Arg::Out(Size::Bytes(4)) | Arg::InOut(Size::Bytes(4)) => ints(value, 1, mem),
        Arg::Out(Size::Bytes(8)) if RETURN_PAIR.contains(&nr) => ints(value, 2, mem),
        _ => None,
    }
}

fn ints(at: u64, count: u64, mem: &dyn GuestMemory) -> Option<String> {
    let parts = (0..count).map(|index| {
        let mut int = [0; 4];
        mem.read(at.wrapping_add(index * 4), &mut int).ok()?;
        Some(i32::from_le_bytes(int).to_string())
    });
    Some(list(parts.collect::<Option<_>>()?, false))
}

fn number(value: i64) -> String {
    if value.unsigned_abs() > DECIMAL_MAX {
        format!("{value:#x}")
    } else {
        value.to_string()
    }
}

fn flag_names(value: u64, flags: Flags) -> String {
    let mut rest = value;
    let mut names = Vec::new();
    for (mask, bits, name) in flags {
        if value & mask == *bits {
            names.push((*name).to_string());
            rest &= !mask;
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    names.join("|")
}

fn string(at: u64, max: usize, mem: &dyn GuestMemory) -> Option<String> {
    let mut bytes = vec![0; max + 1];
    let got = mem.read_some(at, &mut bytes).min(max + 1);
    match bytes[..got].iter().position(|byte| *byte == 0) {
        Some(end) => Some(quoted(&bytes[..end], false)),
        None if got > max => Some(quoted(&bytes[..max], true)),
        None => None,
    }
}

fn data(at: u64, length: u64, mem: &dyn GuestMemory) -> Option<String> {
    let shown = length.min(DATA_BYTES_SHOWN as u64) as usize;
    let mut bytes = [0; DATA_BYTES_SHOWN];
    mem.read(at, &mut bytes[..shown]).ok()?;
    Some(quoted(&bytes[..shown], length > shown as u64))
}

fn vectors(at: u64, count: u64, mem: &dyn GuestMemory) -> Option<String> {
    filled_vectors(at, count, u64::MAX, mem)
}

/// Vectors of which only the first `filled` bytes hold something.
fn filled_vectors(at: u64, count: u64, mut filled: u64, mem: &dyn GuestMemory) -> Option<String> {
    let mut parts = Vec::new();
    for index in 0..count.min(ELEMENTS_SHOWN) {
        let mut vector = [0; 16];
        mem.read(at.wrapping_add(index * 16), &mut vector).ok()?;
        let (base, length) = (read_u64(&vector, 0)?, read_u64(&vector, 8)?);
        let here = length.min(filled);
        filled -= here;
        let bytes = data(base, here, mem).unwrap_or_else(|| format!("{base:#x}"));
        parts.push(format!("{{{bytes}, {length}}}"));
    }
    Some(list(parts, count > ELEMENTS_SHOWN))
}

fn strings(at: u64, mem: &dyn GuestMemory) -> Option<String> {
    let mut parts = Vec::new();
    for index in 0..=ELEMENTS_SHOWN {
        let mut word = [0; 8];
        mem.read(at.wrapping_add(index * 8), &mut word).ok()?;
        match u64::from_le_bytes(word) {
            0 => return Some(list(parts, false)),
            _ if index == ELEMENTS_SHOWN => break,
            base => parts
                .push(string(base, DATA_BYTES_SHOWN, mem).unwrap_or_else(|| format!("{base:#x}"))),
        }
    }
    Some(list(parts, true))
}

/// The environment: where it is and how long, since its contents fill screens.
fn variables(at: u64, mem: &dyn GuestMemory) -> Option<String> {
    let mut count = 0;
    loop {
        let mut word = [0; 8];
        mem.read(at.wrapping_add(count * 8), &mut word).ok()?;
        if word == [0; 8] || count == VARIABLES_COUNTED {
            return Some(format!("{at:#x} /* {count} vars */"));
        }
        count += 1;
    }
}

fn list(mut parts: Vec<String>, more: bool) -> String {
    if more {
        parts.push("...".to_string());
    }
    format!("[{}]", parts.join(", "))
}

fn quoted(bytes: &[u8], more: bool) -> String {
    let mut text = String::from("\"");
    for (index, byte) in bytes.iter().enumerate() {
        let digit_follows = bytes.get(index + 1).is_some_and(u8::is_ascii_digit);
        // Writing to a String cannot fail.
        let _ = match byte {
            b'"' => write!(text, "\\\""),
            b'\\' => write!(text, "\\\\"),
            b'\n' => write!(text, "\\n"),
            b'\t' => write!(text, "\\t"),
            b'\r' => write!(text, "\\r"),
            0x20..=0x7e => write!(text, "{}", *byte as char),
            _ if digit_follows => write!(text, "\\{byte:03o}"),
            _ => write!(text, "\\{byte:o}"),
        };
    }
    text.push('"');
    if more {
        text.push_str("...");
    }
    text
}
