//! The table of system calls, merged from one file for each family.

mod files;
mod host;
mod ipc;
mod memory;
mod network;
mod process;
mod signals;
mod time;

use crate::row::{Arg, Route, Row, Size};

/// The newest number in the table, of Linux 6.18 (`file_setattr`).
pub const NR_MAX: u32 = 469;

/// The numbers below [`NR_MAX`] that no kernel uses, from first to last.
pub const UNASSIGNED: &[(u32, u32)] = &[(337, 423)];

const FAMILIES: &[&[Row]] = &[
    files::ROWS,
    host::ROWS,
    ipc::ROWS,
    memory::ROWS,
    network::ROWS,
    process::ROWS,
    signals::ROWS,
    time::ROWS,
];

const NUMBERS: usize = NR_MAX as usize + 1;

/// Every number's row, where it has one. A number given twice does not compile.
const BY_NUMBER: [Option<&Row>; NUMBERS] = {
    let mut by_number = [None; NUMBERS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut at = 0;
        while at < FAMILIES[family].len() {
            let row = &FAMILIES[family][at];
            assert!(
                by_number[row.nr as usize].is_none(),
                "two rows of one number"
            );
            by_number[row.nr as usize] = Some(row);
            at += 1;
        }
        family += 1;
    }
    by_number
};

const ROWS: usize = {
    let mut rows = 0;
    let mut family = 0;
    while family < FAMILIES.len() {
        rows += FAMILIES[family].len();
        family += 1;
    }
    rows
};

static SORTED: [Row; ROWS] = {
    let mut sorted = [Row {
        nr: 0,
        name: "",
        route: Route::Home,
        args: &[],
        gap: "",
    }; ROWS];
    let (mut nr, mut at) = (0, 0);
    while nr < NUMBERS {
        if let Some(row) = BY_NUMBER[nr] {
            sorted[at] = *row;
            at += 1;
        }
        nr += 1;
    }
    sorted
};

static INDEX: [u16; NUMBERS] = {
    let mut index = [u16::MAX; NUMBERS];
    let mut at = 0;
    while at < ROWS {
        index[SORTED[at].nr as usize] = at as u16;
        at += 1;
    }
    index
};

/// Every x86-64 system call, by increasing number.
pub const X86_64: &[Row] = &SORTED;

/// The row of a system call; constant time. `None` for numbers no kernel uses
/// and for calls newer than the table.
pub fn row(nr: u32) -> Option<&'static Row> {
    let at = INDEX.get(nr as usize)?;
    SORTED.get(usize::from(*at))
}

const fn new(
    nr: u32,
    name: &'static str,
    route: Route,
    args: &'static [Arg],
    gap: &'static str,
) -> Row {
    Row {
        nr,
        name,
        route,
        args,
        gap,
    }
}

const fn here(nr: u32, name: &'static str, args: &'static [Arg], gap: &'static str) -> Row {
    new(nr, name, Route::Here, args, gap)
}

const fn home(nr: u32, name: &'static str, args: &'static [Arg], gap: &'static str) -> Row {
    new(nr, name, Route::Home, args, gap)
}

const fn both(nr: u32, name: &'static str, args: &'static [Arg], gap: &'static str) -> Row {
    new(nr, name, Route::Both, args, gap)
}

const fn special(nr: u32, name: &'static str, args: &'static [Arg], gap: &'static str) -> Row {
    new(nr, name, Route::Special, args, gap)
}

const fn go_home(nr: u32, name: &'static str, args: &'static [Arg], gap: &'static str) -> Row {
    new(nr, name, Route::GoHome, args, gap)
}

/// A call current kernels do not have any more: the home kernel answers ENOSYS.
const fn gone(nr: u32, name: &'static str) -> Row {
    new(nr, name, Route::Home, &[], "")
}

const fn bytes(bytes: u32) -> Size {
    Size::Bytes(bytes)
}

const fn counted_by(argument: u8) -> Size {
    Size::Arg(argument)
}
