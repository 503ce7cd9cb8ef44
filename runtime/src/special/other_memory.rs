//! process_vm_readv(2), process_vm_writev(2): between two bodies of this host
//! here; home says whether the caller may. With anybody else, at home.

use std::sync::Arc;

use abi::memory::GuestMemory;
use abi::row::Row;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::home_rows::PROBE_MEMORY;

/// Longest array of ranges.
const RANGES_MAX: u64 = 1024;
/// Most bytes that one call moves (`MAX_RW_COUNT`).
const MOVED_BYTES_MAX: u64 = 0x7fff_f000;
/// Moved at a time.
const PIECE_BYTES: u64 = 256 << 10;
/// Where nothing is in any process, nor in a deputy.
const NOWHERE: u64 = 0x1000;

const EFAULT: i64 = -(libc::EFAULT as i64);
const EINVAL: i64 = -(libc::EINVAL as i64);

pub(super) fn copy(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let [pid, own_at, own_count, other_at, other_count, flags] = *args;
    let Some(other) = worker.host.thread_at_home(pid as i32) else {
        return worker.go_home(thread, row.name);
    };
    if other.process.is_leaving() {
        return worker.go_home(thread, row.name);
    }
    if flags != 0 {
        return Verdict::Answer(EINVAL);
    }
    let memory = thread.memory();
    let ranges = |at, count| Ranges::read(&memory, at, count);
    let own = match ranges(own_at, own_count) {
        Ok(own) if own.bytes() == 0 => return Verdict::Answer(0),
        Ok(own) => own,
        Err(errno) => return Verdict::Answer(errno),
    };
    let others = match ranges(other_at, other_count) {
        Ok(others) if others.bytes() == 0 => return Verdict::Answer(0),
        Ok(others) => others,
        Err(errno) => return Verdict::Answer(errno),
    };
    // The home kernel looks for its memory only once it has let it pass.
    let probe = [pid, NOWHERE, 1, NOWHERE, 1, 0];
    match worker.own(thread, &PROBE_MEMORY, &probe, &Nowhere) {
        Verdict::Answer(EFAULT) => {}
        answer => return answer,
    }
    let theirs = other.memory();
    let moved = if i64::from(row.nr) == libc::SYS_process_vm_readv {
        move_bytes(others, &theirs, own, &memory)
    } else {
        move_bytes(own, &memory, others, &theirs)
    };
    Verdict::Answer(if moved == 0 { EFAULT } else { moved as i64 })
}

/// Copies until one side has no more, or cannot be accessed; how many bytes.
fn move_bytes(
    mut from: Ranges,
    source: &dyn GuestMemory,
    mut to: Ranges,
    target: &dyn GuestMemory,
) -> u64 {
    let mut piece = Vec::new();
    let mut moved = 0;
    while let (Some((from_at, there)), Some((to_at, room))) = (from.next(), to.next()) {
        let bytes = there
            .min(room)
            .min(PIECE_BYTES)
            .min(MOVED_BYTES_MAX - moved);
        piece.resize(bytes as usize, 0);
        let got = source.read_some(from_at, &mut piece);
        let put = target.write_some(to_at, &piece[..got]) as u64;
        moved += put;
        if put < bytes || moved == MOVED_BYTES_MAX {
            break;
        }
        from.skip(bytes);
        to.skip(bytes);
    }
    moved
}

/// What of an array of ranges is left, the next one last.
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// As the kernel takes them, or its error.
    fn read(memory: &dyn GuestMemory, at: u64, count: u64) -> Result<Ranges, i64> {
        if count > RANGES_MAX {
            return Err(EINVAL);
        }
        let mut bytes = vec![0; count as usize * 16];
        memory.read(at, &mut bytes).map_err(|_| EFAULT)?;
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        };
        let mut ranges: Vec<(u64, u64)> = bytes
            .chunks_exact(16)
            .map(|range| (word(&range[..8]), word(&range[8..])))
            .collect();
        if ranges.iter().any(|(_, length)| *length > i64::MAX as u64) {
            return Err(EINVAL);
        }
        ranges.reverse();
        Ok(Ranges(ranges))
    }

    fn bytes(&self) -> u64 {
        let lengths = self.0.iter().map(|(_, length)| *length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Where the next bytes are, and how many.
    fn next(&mut self) -> Option<(u64, u64)> {
        while self.0.last().is_some_and(|(_, length)| *length == 0) {
            self.0.pop();
        }
        self.0.last().copied()
    }

    fn skip(&mut self, bytes: u64) {
        if let Some((at, length)) = self.0.last_mut() {
            *at = at.wrapping_add(bytes);
            *length -= bytes;
        }
    }
}

/// One range of a byte where nothing is.
struct Nowhere;

impl GuestMemory for Nowhere {
    fn read_some(&self, _at: u64, into: &mut [u8]) -> usize {
        let range = [NOWHERE.to_ne_bytes(), 1u64.to_ne_bytes()].concat();
        let n = into.len().min(range.len());
        into[..n].copy_from_slice(&range[..n]);
        n
    }

    fn write_some(&self, _at: u64, _from: &[u8]) -> usize {
        0
    }

    fn writable(&self, _at: u64, _bytes: u64) -> u64 {
        0
    }
}
