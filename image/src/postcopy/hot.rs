//! Which pages must be there when a process goes on, and which may follow.

use crate::schema::{Backing, Image, Mapping, PAGE_BYTES, PageRun, Thread};

/// Fewer bytes are not worth two connections: they travel with the image.
pub const LATER_BYTES_MIN: u64 = 1 << 20;
/// What a thread is about to use of its stack: this much above its pointer, and
/// below it.
const STACK_ABOVE_BYTES: u64 = 32 * 1024;
const STACK_BELOW_BYTES: u64 = 8 * 1024;

/// Pages of `image` that may follow it: those of private anonymous memory that
/// no thread is about to use, unless they are fewer than `bytes_min`.
///
/// The others stay in [`Image::pages`].
pub fn split_later(image: &mut Image, bytes_min: u64) {
    let mut now = Vec::new();
    let mut later = Vec::new();
    let mut hot: Vec<(u64, u64)> = image.threads.iter().flat_map(used_by).collect();
    hot.sort_unstable();
    let mut mappings = image.mappings.iter().peekable();
    for run in &image.pages {
        while mappings.next_if(|m| m.end <= run.start).is_some() {}
        match mappings.peek() {
            Some(m) if can_follow(m) => split(*run, &hot, &mut now, &mut later),
            _ => now.push(*run),
        }
    }
    let bytes: u64 = later.iter().map(|run| run.count * PAGE_BYTES).sum();
    if bytes >= bytes_min && !later.is_empty() {
        image.pages = now;
        image.later = later;
    }
}

/// Whether pages of a mapping may be missing. Code is needed whole where we
/// look for instructions; and a child has zeros where MADV_WIPEONFORK says so, whatever
/// its parent misses.
pub fn can_follow(m: &Mapping) -> bool {
    let is_wiped = m.advice.contains(&libc::MADV_WIPEONFORK);
    m.backing == Backing::Anonymous && !m.shared && m.prot & libc::PROT_EXEC == 0 && !is_wiped
}

/// Ranges that a thread needs at once: the kernel's own structures for it, and
/// what it uses when it goes on. In no order.
fn used_by(thread: &Thread) -> [(u64, u64); 4] {
    const RSP: usize = 19;
    const FS_BASE: usize = 21;
    let around = |at: u64, below: u64, above: u64| {
        (at.saturating_sub(below), at.saturating_add(above.max(1)))
    };
    let rsp = thread.registers[RSP];
    let (rseq, rseq_bytes, _) = thread.rseq;
    [
        around(rsp, STACK_BELOW_BYTES, STACK_ABOVE_BYTES),
        around(thread.registers[FS_BASE], PAGE_BYTES, PAGE_BYTES),
        around(rseq, 0, u64::from(rseq_bytes)),
        around(thread.clear_tid, 0, 4),
    ]
}

/// Divides a run by the ranges of `hot`, which are in order and may overlap.
fn split(run: PageRun, hot: &[(u64, u64)], now: &mut Vec<PageRun>, later: &mut Vec<PageRun>) {
    let mut at = run.start;
    let end = run.start + run.count * PAGE_BYTES;
    let push = |into: &mut Vec<PageRun>, from: u64, to: u64| {
        if from < to {
            into.push(PageRun {
                start: from,
                count: (to - from) / PAGE_BYTES,
            });
        }
    };
    for (from, to) in hot {
        let first = (from & !(PAGE_BYTES - 1)).clamp(at, end);
        let last = to
            .checked_next_multiple_of(PAGE_BYTES)
            .unwrap_or(end)
            .clamp(first, end);
        push(later, at, first);
        push(now, first, last);
        at = last;
    }
    push(later, at, end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_divided_by_what_is_hot() {
        let run = |start: u64, count| PageRun {
            start: start * PAGE_BYTES,
            count,
        };
        let divide = |hot: &[(u64, u64)]| {
            let (mut now, mut later) = (Vec::new(), Vec::new());
            split(run(10, 10), hot, &mut now, &mut later);
            (now, later)
        };
        let p = PAGE_BYTES;
        assert_eq!(divide(&[]), (vec![], vec![run(10, 10)]));
        assert_eq!(
            divide(&[(0, 5 * p), (12 * p + 1, 12 * p + 2), (30 * p, 40 * p)]),
            (vec![run(12, 1)], vec![run(10, 2), run(13, 7)])
        );
        assert_eq!(
            divide(&[(0, 11 * p), (10 * p, 12 * p), (19 * p, u64::MAX)]),
            (vec![run(10, 1), run(11, 1), run(19, 1)], vec![run(12, 7)])
        );
        assert_eq!(divide(&[(0, u64::MAX)]), (vec![run(10, 10)], vec![]));
    }
}
