//! ioctl(2) with a command of which nobody knows what its argument points at:
//! only a device can make something of it, anything else answers without
//! following the pointer.

use std::cell::Cell;
use std::sync::Arc;

use abi::memory::GuestMemory;
use abi::row::{Route, Row};
use lane::Kind;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::home_rows::{STATUS, UNKNOWN_CONTROL};

/// Where the status from home seems to go.
const LITERAL: u64 = 0x1000;

pub(super) fn control(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let resolved = row.resolve(args);
    if resolved.route != Route::GoHome || resolved.command.is_some() {
        return worker.home(thread, row, args);
    }
    let status = Status(Cell::new([0; STATUS_BYTES]));
    let asked = [args[0], LITERAL, 0, 0, 0, 0];
    match worker.own(thread, &STATUS, &asked, &status) {
        Verdict::Answer(0) if status.is_device() => worker.go_home(thread, resolved.gap),
        Verdict::Answer(0) => {
            let memory = thread.memory();
            worker.forward(thread, Kind::Call, &UNKNOWN_CONTROL, args, &memory, None)
        }
        other => other,
    }
}

const STATUS_BYTES: usize = 144;

/// A `struct stat` that home fills.
struct Status(Cell<[u8; STATUS_BYTES]>);

impl Status {
    /// A device with commands of its own: neither a terminal nor one of the
    /// devices that are nothing but memory (null, zero, random).
    fn is_device(&self) -> bool {
        const MEMORY: u32 = 1;
        let bytes = self.0.get();
        let word = |at: usize| {
            let bytes = bytes[at..at + 4].iter().rev();
            bytes.fold(0u32, |word, byte| word << 8 | u32::from(*byte))
        };
        let (mode, device) = (word(24), word(40));
        match mode & libc::S_IFMT {
            libc::S_IFBLK => true,
            libc::S_IFCHR => {
                let major = libc::major(u64::from(device));
                // Virtual and serial terminals; /dev/tty and consoles; pseudo-terminals.
                !matches!(major, MEMORY | 4 | 5 | 128..=143)
            }
            _ => false,
        }
    }
}

impl GuestMemory for Status {
    fn read_some(&self, _at: u64, _into: &mut [u8]) -> usize {
        0
    }

    fn write_some(&self, at: u64, from: &[u8]) -> usize {
        let mut bytes = self.0.get();
        let Some(into) = at
            .checked_sub(LITERAL)
            .and_then(|offset| bytes.get_mut(offset as usize..))
        else {
            return 0;
        };
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        self.0.set(bytes);
        n
    }

    fn writable(&self, _at: u64, bytes: u64) -> u64 {
        bytes
    }
}
