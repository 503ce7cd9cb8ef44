//! Content: reading and writing at positions, and moving it without a buffer.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Part, Value};
use super::Calls;
use super::descriptors::open;

pub(super) const CALLS: Calls = &[
    (5, open),
    (3, open_plain),
    (8, read),
    (8, write),
    (5, pread),
    (5, pwrite),
    (4, readv),
    (4, writev),
    (4, preadv2),
    (4, pwritev2),
    (7, lseek),
    (4, sendfile_),
    (4, splice_),
    (2, tee_),
    (4, copy_file_range_),
    (4, fallocate_),
    (4, ftruncate_),
    (2, fsync_),
    (2, fadvise),
    (2, vmsplice_),
    (2, pipe_pair),
    (2, flags),
];

fn open_plain(g: &mut Gen) {
    let path = g.path();
    let flags = (O_RDWR | O_CREAT | O_NONBLOCK) as u64;
    g.opens("open", SYS_open, &[path, flags.into(), 0o644.into()]);
}

fn pipe_pair(g: &mut Gen) {
    let at = g.out(8, "");
    g.call("pipe2", SYS_pipe2, &[at, (O_NONBLOCK as u64).into()]);
    super::descriptors::two(g, at);
}

fn read(g: &mut Gen) {
    let fd = g.fd();
    let (at, bytes) = g.target();
    g.call("read", SYS_read, &[fd, at, bytes]);
}

fn write(g: &mut Gen) {
    let fd = g.fd();
    let (at, bytes) = g.data();
    g.call("write", SYS_write, &[fd, at, bytes]);
}

fn pread(g: &mut Gen) {
    let (fd, offset) = (g.fd(), g.offset());
    let (at, bytes) = g.target();
    g.call("pread64", SYS_pread64, &[fd, at, bytes, offset]);
}

fn pwrite(g: &mut Gen) {
    let (fd, offset) = (g.fd(), small_offset(g));
    let (at, bytes) = g.data();
    g.call("pwrite64", SYS_pwrite64, &[fd, at, bytes, offset]);
}

/// Files stay small enough to be compared.
fn small_offset(g: &mut Gen) -> Value {
    match g.random.below(8) {
        0 => u64::MAX.into(),
        1 => (i64::MAX as u64).into(),
        _ => g.random.below(20000).into(),
    }
}

fn readv(g: &mut Gen) {
    let fd = g.fd();
    let (at, count) = g.vectors(true);
    g.call("readv", SYS_readv, &[fd, at, count]);
}

fn writev(g: &mut Gen) {
    let fd = g.fd();
    let (at, count) = g.vectors(false);
    g.call("writev", SYS_writev, &[fd, at, count]);
}

const RW_FLAGS: &[u64] = &[0, 0, 0, 8, 2, 4, 16, 1, 64, 128, 3, 24];

fn preadv2(g: &mut Gen) {
    let (fd, offset) = (g.fd(), g.offset());
    let (at, count) = g.vectors(true);
    let flags = g.random.pick(RW_FLAGS);
    g.call(
        "preadv2",
        SYS_preadv2,
        &[fd, at, count, offset, 0.into(), flags.into()],
    );
}

fn pwritev2(g: &mut Gen) {
    let (fd, offset) = (g.fd(), small_offset(g));
    let (at, count) = g.vectors(false);
    let flags = g.random.pick(RW_FLAGS);
    g.call(
        "pwritev2",
        SYS_pwritev2,
        &[fd, at, count, offset, 0.into(), flags.into()],
    );
}

fn lseek(g: &mut Gen) {
    let (fd, offset) = (g.fd(), small_offset(g));
    let whence = g.random.pick(&[0, 0, 1, 2, 3, 4, 5]);
    let offset = if whence == 1 && g.random.percent(50) {
        0.into()
    } else {
        offset
    };
    g.call("lseek", SYS_lseek, &[fd, offset, whence.into()]);
}

/// Where an offset lies that a call takes and moves on; or NULL.
fn moving_offset(g: &mut Gen) -> Value {
    if g.random.percent(60) {
        return 0.into();
    }
    let at = g.out(8, "");
    if let Value::Number(at) = at {
        let offset = g.random.pick(&[0, 3, 5000, u64::MAX]);
        g.part(Part::Word(at, offset.into()));
    }
    at
}

fn sendfile_(g: &mut Gen) {
    let (to, from, offset) = (g.fd(), g.fd(), moving_offset(g));
    let bytes = g.random.pick(&[0, 5, 100, 5000, 100_000]);
    g.call("sendfile", SYS_sendfile, &[to, from, offset, bytes.into()]);
}

fn splice_(g: &mut Gen) {
    let (from, from_at, to, to_at) = (g.fd(), moving_offset(g), g.fd(), moving_offset(g));
    let bytes = g.random.pick(&[0, 5, 100, 5000]);
    let flags = 2 | g.random.pick(&[0, 1, 4, 16]);
    g.call(
        "splice",
        SYS_splice,
        &[from, from_at, to, to_at, bytes.into(), flags.into()],
    );
}

fn tee_(g: &mut Gen) {
    let (from, to) = (g.fd(), g.fd());
    let bytes = g.random.pick(&[0, 5, 100, 5000]);
    g.call("tee", SYS_tee, &[from, to, bytes.into(), 2.into()]);
}

fn vmsplice_(g: &mut Gen) {
    let fd = g.fd();
    let out = g.random.percent(40);
    let (at, count) = g.vectors(out);
    g.call("vmsplice", SYS_vmsplice, &[fd, at, count, 2.into()]);
}

fn copy_file_range_(g: &mut Gen) {
    let (from, from_at, to, to_at) = (g.fd(), moving_offset(g), g.fd(), moving_offset(g));
    let bytes = g.random.pick(&[0, 5, 100, 5000]);
    let flags = g.random.pick(&[0, 0, 0, 1]);
    g.call(
        "copy_file_range",
        SYS_copy_file_range,
        &[from, from_at, to, to_at, bytes.into(), flags.into()],
    );
}

fn fallocate_(g: &mut Gen) {
    let fd = g.fd();
    let mode = g.random.pick(&[0, 1, 3, 3, 8, 16, 32, 2, 64]);
    let offset = g.random.pick(&[0, 4096, 5, 8192, u64::MAX]);
    let bytes = g.random.pick(&[4096, 100, 8192, 0, u64::MAX]);
    g.call(
        "fallocate",
        SYS_fallocate,
        &[fd, mode.into(), offset.into(), bytes.into()],
    );
}

fn ftruncate_(g: &mut Gen) {
    let fd = g.fd();
    let bytes = g.random.pick(&[0, 5, 5000, 20000, u64::MAX]);
    g.call("ftruncate", SYS_ftruncate, &[fd, bytes.into()]);
}

fn fsync_(g: &mut Gen) {
    let fd = g.fd();
    g.call("fdatasync", SYS_fdatasync, &[fd]);
}

fn fadvise(g: &mut Gen) {
    let fd = g.fd();
    let advice = g.random.below(8);
    g.call(
        "fadvise64",
        SYS_fadvise64,
        &[fd, 0.into(), 100.into(), advice.into()],
    );
}

fn flags(g: &mut Gen) {
    let fd = g.fd();
    let flags = O_NONBLOCK as u64 | g.random.pick(&[0, O_APPEND as u64]);
    g.call(
        "fcntl(F_SETFL)",
        SYS_fcntl,
        &[fd, (F_SETFL as u64).into(), flags.into()],
    );
}
