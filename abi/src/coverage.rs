//! The coverage page of the documentation, generated from the tables.

use std::fmt::Write;

use crate::command::{Command, TABLES};
use crate::row::{Arg, Route, Size};
use crate::table::{NR_MAX, UNASSIGNED, X86_64, row};

const HEAD: &str = "\
# System calls

This page is generated from the table in `abi/`; `HOMENODE_BLESS=1 cargo test -p homenode-abi`
writes it anew. It lists every system call of x86-64 Linux 6.18, where the call of a program that
runs away from its home is executed, and what is not honoured. An empty last column means that the
program cannot tell the difference.

| route | meaning |
|---|---|
| Here | executed on the host, at native speed |
| Home | executed by the deputy, at home |
| Both | executed on the host and told to the home |
| Special | has a handler of its own |
| GoHome | cannot work at a distance: the process goes home and the call runs there, natively |

Calls with 32-bit numbers (`int 0x80`) and of the x32 kind are refused by the filter and bring the
process home, too. True of every forwarded call: a pointer that is wild goes home as one that is
wild there, so that the home kernel answers in its own order. What a call writes is looked at
before the call where the kernel would undo it otherwise (reading, receiving, accepting, pipes);
elsewhere a wild target is noticed after the call has taken effect, as natively. A buffer of which
only the first part is mapped counts as that part: `write` sends it, `read` fills it, also where
the kernel transfers whole pages or messages or nothing. Memory that another thread unmaps while
the call is under way, and memory mapped behind a file's end, loses what was read. On hosts before Linux 6.11 memory that is mapped but
read-only is taken for writable, and what was read into it is lost.
";

const KINDS: &str = "\
Arguments: *number*; *fd*, a descriptor; *address*, passed as a number and never followed; *path*
and *string*, up to their NUL; *in*, read by the kernel; *out*, written; *in/out*, both; *iovec*,
*message* and *messages*, structures with pointers inside, followed. `[n]` is the size in bytes;
`a2` stands for the value of argument 2, counted from 0.
";

/// The whole page, as Markdown.
pub fn page() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n## Summary\n\n| route | calls |\n|---|---|\n");
    for route in Route::ALL {
        let calls = X86_64.iter().filter(|row| row.route == route).count();
        line(&mut text, &[route.name(), &calls.to_string()]);
    }
    line(&mut text, &["all", &X86_64.len().to_string()]);
    let faithful = X86_64.iter().filter(|row| row.gap.is_empty()).count();
    let _ = writeln!(
        text,
        "\n{faithful} of them are fully faithful. The newest number is {NR_MAX}; {} are not in use.",
        unassigned()
    );
    text.push_str("\n## Calls\n\n");
    text.push_str(KINDS);
    text.push_str(
        "\n| number | call | route | arguments | what is not honoured |\n|---|---|---|---|---|\n",
    );
    for row in X86_64 {
        let args: Vec<String> = row.args.iter().map(|arg| describe(*arg)).collect();
        let number = row.nr.to_string();
        line(
            &mut text,
            &[
                &number,
                row.name,
                row.route.name(),
                &args.join(", "),
                row.gap,
            ],
        );
    }
    for (nr, table) in TABLES {
        commands(&mut text, *nr, table);
    }
    text
}

fn unassigned() -> String {
    let ranges: Vec<String> = UNASSIGNED
        .iter()
        .map(|(first, last)| format!("{first} to {last}"))
        .collect();
    ranges.join(", ")
}

fn commands(text: &mut String, nr: u32, table: &[Command]) {
    let name = row(nr).map_or("", |row| row.name);
    let _ = writeln!(text, "\n## Commands of {name}\n\n{}\n", preface(name));
    text.push_str(
        "| command | name | route | argument | what is not honoured |\n|---|---|---|---|---|\n",
    );
    for command in table {
        let mut args = vec![describe(command.arg)];
        args.extend(command.then.iter().map(|arg| describe(*arg)));
        let code = code(name, command.code);
        line(
            text,
            &[
                &code,
                command.name,
                command.route.name(),
                &args.join(", "),
                command.gap,
            ],
        );
    }
}

fn code(call: &str, code: u64) -> String {
    match call {
        "setsockopt" | "getsockopt" => format!("{}, {}", code >> 32, code & 0xffff_ffff),
        "ioctl" | "quotactl" => format!("{code:#x}"),
        _ => code.to_string(),
    }
}

fn preface(call: &str) -> &'static str {
    match call {
        "ioctl" => {
            "Commands that are not listed are carried out at home with the size and direction their \
             number says. Those whose number says neither, and those of drivers that follow \
             pointers inside, bring the process home if the descriptor is a device; for files, \
             pipes, sockets and terminals the home kernel answers."
        }
        "setsockopt" | "getsockopt" => {
            "By level and name. Options that are not listed are flat values of the length given \
             and work fully."
        }
        "quotactl" => "Also of `quotactl_fd`. The command is shown without the type of quota.",
        "get_mempolicy" => {
            "By the flags. The policy is that of the deputy. With other flags the process goes home."
        }
        _ => {
            "Commands that are not listed go home with their arguments as numbers, for the home \
             kernel to refuse; one that takes an address finds nothing there."
        }
    }
}

fn line(text: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn describe(arg: Arg) -> String {
    match arg {
        Arg::Int | Arg::Int32 | Arg::Unknown => "number".into(),
        Arg::Fd => "fd".into(),
        Arg::Addr => "address".into(),
        Arg::Path => "path".into(),
        Arg::Str => "string".into(),
        Arg::In(size) => format!("in{}", bytes(size)),
        Arg::InSome(size) => format!("in{}, as far as mapped", bytes(size)),
        Arg::OutSome(size) => format!("out{}, some of it", bytes(size)),
        Arg::InSomeHead(size, head) => format!(
            "in{}, as far as mapped, of which {head} bytes come back",
            bytes(size)
        ),
        Arg::Out(size) => format!("out{}", bytes(size)),
        Arg::InOut(size) | Arg::InOutAny(size) => format!("in/out{}", bytes(size)),
        Arg::Timeout(size) => format!("in/out{}", bytes(Size::Bytes(size))),
        Arg::OutRet(size, _) => format!("out{}", bytes(size)),
        Arg::IovIn(count) | Arg::IovKept(count) => format!("in iovec[a{count}]"),
        Arg::IovOut(count) => format!("out iovec[a{count}]"),
        Arg::MsgIn => "in message".into(),
        Arg::MsgOut => "out message".into(),
        Arg::MmsgIn(count) => format!("in messages[a{count}]"),
        Arg::MmsgOut(count) => format!("out messages[a{count}]"),
        Arg::NestedIn(_) => "in, pointer inside".into(),
        Arg::NestedOut(_) | Arg::NestedRet(_) => "out, pointer inside".into(),
        Arg::Strv => "strings".into(),
        Arg::ByCommand => "by command".into(),
    }
}

fn bytes(size: Size) -> String {
    match size {
        Size::Bytes(bytes) => format!("[{bytes}]"),
        Size::Arg(index) => format!("[a{index}]"),
        Size::ArgPlus(index, head) => format!("[{head} + a{index}]"),
        Size::Times(index, unit) => format!("[a{index} × {unit}]"),
        Size::Bits(index) => format!("[a{index} bits]"),
        Size::At(index) => format!("[*a{index}]"),
        Size::Counted { unit, base, .. } => format!("[{base} + count × {unit}]"),
    }
}
