//! Names: what makes, changes, moves, shows and removes them.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Part, Value};
use super::Calls;
use super::descriptors::{open, open_flags};

pub(super) const CALLS: Calls = &[
    (8, open),
    (3, openat2),
    (3, mkdir),
    (2, rmdir),
    (5, unlink),
    (5, rename),
    (4, link),
    (3, symlink),
    (3, readlink),
    (4, chmod),
    (2, chown),
    (4, utimes),
    (5, stat),
    (4, statx),
    (4, xattr),
    (4, getdents),
    (3, access),
    (2, truncate),
    (2, mknod),
    (2, chdir),
    (1, getcwd),
    (1, statfs),
    (1, creat),
    (1, handle),
];

/// Any of them.
pub(super) fn any(g: &mut Gen) {
    let at = g.random.below(CALLS.len() as u64) as usize;
    CALLS[at].1(g);
}

fn openat2(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let flags = open_flags(g);
    let mode = if flags & O_CREAT as u64 != 0 {
        0o640
    } else {
        0
    };
    let resolve = g.random.pick(&[0, 0, 1, 2, 4, 8, 16, 32, 64]);
    let how = g.words(&[flags.into(), mode.into(), resolve.into(), 0.into()]);
    let bytes = g.random.pick(&[24, 24, 24, 32, 8, 0, 5000]);
    g.opens("openat2", SYS_openat2, &[dir, path, how, bytes.into()]);
}

fn mkdir(g: &mut Gen) {
    let (dir, path, mode) = (g.dirfd(), g.path(), g.mode());
    if g.random.percent(30) {
        g.call("mkdir", SYS_mkdir, &[path, mode]);
    } else {
        g.call("mkdirat", SYS_mkdirat, &[dir, path, mode]);
    }
}

fn rmdir(g: &mut Gen) {
    let path = g.path();
    g.call("rmdir", SYS_rmdir, &[path]);
}

fn unlink(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let flags = g.random.pick(&[0, 0, 0, AT_REMOVEDIR as u64, 1]);
    g.call("unlinkat", SYS_unlinkat, &[dir, path, flags.into()]);
}

fn rename(g: &mut Gen) {
    let (from_dir, from, to_dir, to) = (g.dirfd(), g.path(), g.dirfd(), g.path());
    if g.random.percent(40) {
        g.call("rename", SYS_rename, &[from, to]);
    } else {
        let flags = g.random.pick(&[0, 0, 1, 2, 3, 4, 8]);
        g.call(
            "renameat2",
            SYS_renameat2,
            &[from_dir, from, to_dir, to, flags.into()],
        );
    }
}

fn link(g: &mut Gen) {
    let (from_dir, from, to_dir, to) = (g.dirfd(), g.path(), g.dirfd(), g.path());
    let flags = g
        .random
        .pick(&[0, 0, AT_SYMLINK_FOLLOW as u64, AT_EMPTY_PATH as u64, 1]);
    g.call(
        "linkat",
        SYS_linkat,
        &[from_dir, from, to_dir, to, flags.into()],
    );
}

fn symlink(g: &mut Gen) {
    let (target, dir, path) = (g.path(), g.dirfd(), g.path());
    g.call("symlinkat", SYS_symlinkat, &[target, dir, path]);
}

fn readlink(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let at = g.out(100, "");
    let bytes = g.random.pick(&[100, 100, 3, 0, u64::MAX]);
    if g.random.percent(30) {
        g.call("readlink", SYS_readlink, &[path, at, bytes.into()]);
    } else {
        g.call("readlinkat", SYS_readlinkat, &[dir, path, at, bytes.into()]);
    }
}

fn chmod(g: &mut Gen) {
    let (dir, path, mode, fd) = (g.dirfd(), g.path(), g.mode(), g.fd());
    match g.random.below(4) {
        0 => g.call("fchmod", SYS_fchmod, &[fd, mode]),
        1 => g.call("chmod", SYS_chmod, &[path, mode]),
        2 => {
            let flags = g
                .random
                .pick(&[0, AT_SYMLINK_NOFOLLOW as u64, AT_EMPTY_PATH as u64]);
            g.call("fchmodat2", 452, &[dir, path, mode, flags.into()])
        }
        _ => g.call("fchmodat", SYS_fchmodat, &[dir, path, mode]),
    };
}

fn chown(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let owner = g.random.pick(&[0, 1, 1000, 0xffff_ffff, u64::MAX]);
    let group = g.random.pick(&[0, 1, 1000, 0xffff_ffff, u64::MAX]);
    let flags = g
        .random
        .pick(&[0, AT_SYMLINK_NOFOLLOW as u64, AT_EMPTY_PATH as u64, 1]);
    g.call(
        "fchownat",
        SYS_fchownat,
        &[dir, path, owner.into(), group.into(), flags.into()],
    );
}

fn utimes(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let nanoseconds = g.random.pick(&[
        0,
        123_456_789,
        UTIME_NOW as u64,
        UTIME_OMIT as u64,
        2_000_000_000,
    ]);
    let seconds = g.random.pick(&[0, 1_000_000, u64::MAX - 10]);
    let times = if g.random.percent(15) {
        0.into()
    } else {
        g.words(&[
            seconds.into(),
            nanoseconds.into(),
            1_000.into(),
            nanoseconds.into(),
        ])
    };
    let flags = g.random.pick(&[0, 0, AT_SYMLINK_NOFOLLOW as u64, 1]);
    let path = if g.random.percent(10) { 0.into() } else { path };
    g.call(
        "utimensat",
        SYS_utimensat,
        &[dir, path, times, flags.into()],
    );
}

fn stat(g: &mut Gen) {
    let (dir, path, fd) = (g.dirfd(), g.path(), g.fd());
    let at = g.out(144, "stat");
    match g.random.below(4) {
        0 => g.call("fstat", SYS_fstat, &[fd, at]),
        1 => g.call("stat", SYS_stat, &[path, at]),
        2 => g.call("lstat", SYS_lstat, &[path, at]),
        _ => {
            let flags = g
                .random
                .pick(&[0, AT_SYMLINK_NOFOLLOW as u64, AT_EMPTY_PATH as u64, 1]);
            g.call("newfstatat", SYS_newfstatat, &[dir, path, at, flags.into()])
        }
    };
}

fn statx(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let at = g.out(256, "statx");
    let flags = g
        .random
        .pick(&[0, AT_SYMLINK_NOFOLLOW as u64, AT_EMPTY_PATH as u64, 0x6000]);
    let mask = g.random.pick(&[0x7ff, 0xfff, 0, 0x8000_0000]);
    g.call(
        "statx",
        SYS_statx,
        &[dir, path, flags.into(), mask.into(), at],
    );
}

fn xattr(g: &mut Gen) {
    let (path, fd) = (g.path(), g.fd());
    let name = g.random.pick(&[
        "user.a",
        "user.a",
        "user.b",
        "trusted.c",
        "bad",
        "user.",
        "",
    ]);
    let name = g.text(name);
    match g.random.below(7) {
        0 | 1 => {
            let (at, bytes) = g.data();
            let flags = g.random.pick(&[0, 1, 2, 3]);
            g.call(
                "setxattr",
                SYS_setxattr,
                &[path, name, at, bytes, flags.into()],
            )
        }
        2 => {
            let (at, bytes) = g.target();
            g.call("getxattr", SYS_getxattr, &[path, name, at, bytes])
        }
        3 => {
            let at = g.out(300, "");
            let bytes = g.random.pick(&[300, 300, 0, 2, 70000]);
            g.call("listxattr", SYS_listxattr, &[path, at, bytes.into()])
        }
        4 => g.call("removexattr", SYS_removexattr, &[path, name]),
        5 => {
            let (at, bytes) = g.data();
            g.call("fsetxattr", SYS_fsetxattr, &[fd, name, at, bytes, 0.into()])
        }
        _ => {
            let at = g.out(300, "");
            g.call("fgetxattr", SYS_fgetxattr, &[fd, name, at, 300.into()])
        }
    };
}

fn getdents(g: &mut Gen) {
    let fd = if g.random.percent(60) {
        let path = g.text(".");
        let flags = (O_DIRECTORY | O_RDONLY) as u64;
        g.opens("open", SYS_open, &[path, flags.into(), 0.into()])
    } else {
        g.fd()
    };
    for _ in 0..=g.random.below(2) {
        let at = g.stream_shown(1024, "dents");
        let bytes = g.random.pick(&[1024, 1024, 100, 24, 0, u64::MAX]);
        g.call("getdents64", SYS_getdents64, &[fd, at, bytes.into()]);
    }
    if g.random.percent(30) {
        g.call("lseek", SYS_lseek, &[fd, 0.into(), 0.into()]);
    }
}

fn access(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let mode = g.random.pick(&[0, 1, 2, 4, 7, 8]);
    if g.random.percent(40) {
        g.call("access", SYS_access, &[path, mode.into()]);
    } else {
        let flags = g
            .random
            .pick(&[0, AT_EACCESS as u64, AT_SYMLINK_NOFOLLOW as u64, 1]);
        g.call(
            "faccessat2",
            SYS_faccessat2,
            &[dir, path, mode.into(), flags.into()],
        );
    }
}

fn truncate(g: &mut Gen) {
    let path = g.path();
    let length = g.random.pick(&[0, 5, 5000, 100_000, u64::MAX]);
    g.call("truncate", SYS_truncate, &[path, length.into()]);
}

fn mknod(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let kind = g.random.pick(&[S_IFIFO, S_IFSOCK, S_IFREG, S_IFDIR, 0]);
    let mode = u64::from(kind) | 0o644;
    g.call("mknodat", SYS_mknodat, &[dir, path, mode.into(), 0.into()]);
}

fn chdir(g: &mut Gen) {
    if g.random.percent(30) {
        let fd = g.fd();
        g.call("fchdir", SYS_fchdir, &[fd]);
    } else {
        let path = g.random.pick(&["d", ".", "e", "a", "missing"]);
        let path = g.text(path);
        g.call("chdir", SYS_chdir, &[path]);
    }
}

fn getcwd(g: &mut Gen) {
    let at = g.out(256, "");
    let bytes = g.random.pick(&[256, 256, 2, 0, u64::MAX]);
    g.call("getcwd", SYS_getcwd, &[at, bytes.into()]);
}

fn statfs(g: &mut Gen) {
    let path = g.path();
    let at = g.out(120, "some");
    g.call("statfs", SYS_statfs, &[path, at]);
}

fn creat(g: &mut Gen) {
    let (path, mode) = (g.path(), g.mode());
    g.opens("creat", SYS_creat, &[path, mode]);
}

fn handle(g: &mut Gen) {
    let (dir, path) = (g.dirfd(), g.path());
    let at = g.out(136, "some");
    if let Value::Number(at) = at {
        let bytes = g.random.pick(&[128, 128, 0, 200]);
        g.part(Part::Word(at, bytes.into()));
    }
    let mount = g.out(4, "some");
    g.call(
        "name_to_handle_at",
        SYS_name_to_handle_at,
        &[dir, path, at, mount, 0.into()],
    );
}
