//! Memory of one's own: anonymous, and files mapped privately or only to be read.

use libc::*;

use super::super::arena::{PLAYGROUND, PLAYGROUND_PAGES};
use super::super::generate::Gen;
use super::super::sequence::{Shown, Value, What};
use super::Calls;

pub(super) const CALLS: Calls = &[
    (6, map_anonymous),
    (6, map_file),
    (4, protect),
    (3, unmap),
    (4, remap),
    (3, advise),
    (2, sync),
    (8, peek),
    (6, touch),
    (3, read_into),
    (3, write_from),
    (1, lock),
    (1, grow),
    (1, child),
];

fn pages(g: &mut Gen) -> (u64, u64) {
    let first = g.random.below(PLAYGROUND_PAGES);
    let count = 1 + g.random.below((PLAYGROUND_PAGES - first).min(6));
    (PLAYGROUND + first * 4096, count * 4096)
}

/// The second half, where no file is mapped: into what lies behind a file's end the kernel reads as
/// far as it gets, which nobody elsewhere can foresee.
fn pages_without_file(g: &mut Gen) -> (u64, u64) {
    let first = PLAYGROUND_PAGES / 2 + g.random.below(PLAYGROUND_PAGES / 2 - 4);
    (PLAYGROUND + first * 4096, (1 + g.random.below(4)) * 4096)
}

fn protection(g: &mut Gen) -> u64 {
    g.random.pick(&[0, 1, 1, 2, 3, 3, 3, 3, 5, 7])
}

fn map_anonymous(g: &mut Gen) {
    let (at, bytes) = pages(g);
    let flags = MAP_PRIVATE
        | MAP_ANONYMOUS
        | g.random
            .pick(&[MAP_FIXED, MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE]);
    let flags = flags | g.random.pick(&[0, 0, MAP_NORESERVE, MAP_POPULATE]);
    let protection = protection(g);
    let bytes = if g.random.percent(95) { bytes } else { 0 };
    let arguments = &[
        at.into(),
        bytes.into(),
        protection.into(),
        (flags as u64).into(),
        u64::MAX.into(),
    ];
    g.call_shown("mmap", SYS_mmap, Shown::Address, arguments);
}

fn map_file(g: &mut Gen) {
    let first = g.random.below(PLAYGROUND_PAGES / 2 - 6);
    let (at, bytes) = (PLAYGROUND + first * 4096, (1 + g.random.below(6)) * 4096);
    // Shared and written, or open for that, brings the process home.
    let (kind, protection, modes) = if g.random.percent(75) {
        (MAP_PRIVATE, protection(g), &[0, 0, 0, 1, 2][..])
    } else {
        (MAP_SHARED, 1, &[0][..])
    };
    let fd = if kind == MAP_SHARED || g.random.percent(85) {
        let path = g.text("fixed");
        let mode = g.random.pick(modes);
        let flags: u64 = if g.random.percent(50) {
            0
        } else {
            O_CLOEXEC as u64
        };
        g.call("open", SYS_open, &[path, (flags | mode).into()])
    } else {
        g.fd()
    };
    let flags = (kind | MAP_FIXED) as u64;
    let offset = g.random.pick(&[0, 0, 4096, 8192, 40960, 5]);
    let arguments = &[
        at.into(),
        bytes.into(),
        protection.into(),
        flags.into(),
        fd,
        offset.into(),
    ];
    g.call_shown("mmap", SYS_mmap, Shown::Address, arguments);
    if g.random.percent(50) {
        g.call("close", SYS_close, &[fd]);
    }
}

fn protect(g: &mut Gen) {
    let (at, bytes) = pages(g);
    let protection = protection(g);
    let at = if g.random.percent(95) { at } else { at + 1 };
    g.call(
        "mprotect",
        SYS_mprotect,
        &[at.into(), bytes.into(), protection.into()],
    );
}

fn unmap(g: &mut Gen) {
    let (at, bytes) = pages(g);
    g.call("munmap", SYS_munmap, &[at.into(), bytes.into()]);
}

fn remap(g: &mut Gen) {
    let ((from, old), (to, new)) = if g.random.percent(50) {
        (pages_without_file(g), pages_without_file(g))
    } else {
        let ((from, old), (to, new)) = (pages(g), pages(g));
        let half = PLAYGROUND + PLAYGROUND_PAGES * 2048;
        (
            (from, old),
            (
                if to < half {
                    to
                } else {
                    to - (half - PLAYGROUND)
                },
                new.min(4096),
            ),
        )
    };
    let flags = g.random.pick(&[3, 3, 3, 7, 0, 8]);
    let arguments = &[from.into(), old.into(), new.into(), flags.into(), to.into()];
    // Where it goes is printed by the kinds of fault that peeks show.
    g.call_shown("mremap", SYS_mremap, Shown::Some, arguments);
}

fn advise(g: &mut Gen) {
    let (at, bytes) = pages(g);
    let advice = g.random.pick(&[0, 1, 2, 3, 4, 4, 10, 11, 18, 19, 99]);
    g.call(
        "madvise",
        SYS_madvise,
        &[at.into(), bytes.into(), advice.into()],
    );
}

fn sync(g: &mut Gen) {
    let (at, bytes) = pages(g);
    let flags = g.random.pick(&[1, 4, 2, 6, 5, 8]);
    g.call("msync", SYS_msync, &[at.into(), bytes.into(), flags.into()]);
}

fn peek(g: &mut Gen) {
    let (at, bytes) = pages(g);
    g.push(What::Peek(at, bytes));
}

fn touch(g: &mut Gen) {
    let (at, bytes) = pages(g);
    g.push(What::Touch(at, bytes));
}

fn file(g: &mut Gen) -> Value {
    let path = g.text("fixed");
    g.call("open", SYS_open, &[path, 0.into()])
}

fn read_into(g: &mut Gen) {
    let fd = file(g);
    let (at, bytes) = pages_without_file(g);
    let skip = g.random.pick(&[0, 0, 100, 4090]);
    g.call("read", SYS_read, &[fd, (at + skip).into(), bytes.into()]);
}

fn write_from(g: &mut Gen) {
    let path = g.text("b");
    let flags = (O_CREAT | O_RDWR) as u64;
    let fd = g.opens("open", SYS_open, &[path, flags.into(), 0o644.into()]);
    let (at, bytes) = pages(g);
    let skip = g.random.pick(&[0, 0, 100, 4090]);
    g.call("write", SYS_write, &[fd, (at + skip).into(), bytes.into()]);
}

fn lock(g: &mut Gen) {
    let (at, bytes) = pages(g);
    g.call("mlock", SYS_mlock, &[at.into(), bytes.into()]);
}

fn grow(g: &mut Gen) {
    g.call_shown("brk", SYS_brk, Shown::Some, &[0.into()]);
}

fn child(g: &mut Gen) {
    g.block(super::super::sequence::Who::Child);
}
