//! Sockets of one machine: pairs, names in the file system, messages and what they carry.

use libc::*;

use super::super::generate::Gen;
use super::super::sequence::{Part, Value};
use super::Calls;
use super::descriptors::two;

pub(super) const CALLS: Calls = &[
    (6, pair),
    (4, socket_),
    (5, bind_),
    (3, listen_),
    (5, connect_),
    (4, accept_),
    (6, send_to),
    (6, receive_from),
    (5, send_message),
    (5, receive_message),
    (4, options),
    (3, set_option),
    (3, shutdown_),
    (3, names),
    (2, send_many),
    (2, receive_many),
    (2, close),
];

const KINDS: &[u64] = &[1, 1, 2, 5, 3, 99];

fn pair(g: &mut Gen) {
    let kind =
        g.random.pick(KINDS) | SOCK_NONBLOCK as u64 | g.random.pick(&[0, SOCK_CLOEXEC as u64]);
    let at = g.out(8, "");
    let family = g.random.pick(&[1, 1, 1, 1, 2, 99]);
    g.call(
        "socketpair",
        SYS_socketpair,
        &[family.into(), kind.into(), 0.into(), at],
    );
    two(g, at);
}

fn socket_(g: &mut Gen) {
    let kind = g.random.pick(KINDS) | SOCK_NONBLOCK as u64;
    let family = g.random.pick(&[1, 1, 1, 2, 10, 16]);
    g.opens(
        "socket",
        SYS_socket,
        &[family.into(), kind.into(), 0.into()],
    );
}

/// A name in the file system, or none; with its length.
fn address(g: &mut Gen) -> (Value, Value) {
    let name = g
        .random
        .pick(&["socket", "socket", "other", "a", "d/s", ""]);
    let mut bytes = vec![1, 0];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    let length = g.random.pick(&[
        bytes.len() as u64,
        bytes.len() as u64,
        bytes.len() as u64,
        2,
        0,
        1,
        200,
        u64::MAX,
    ]);
    (g.bytes(&bytes), length.into())
}

fn bind_(g: &mut Gen) {
    let fd = g.fd();
    let (at, length) = address(g);
    g.call("bind", SYS_bind, &[fd, at, length]);
}

fn listen_(g: &mut Gen) {
    let fd = g.fd();
    let backlog = g.random.pick(&[5, 0, 1]);
    g.call("listen", SYS_listen, &[fd, backlog.into()]);
}

fn connect_(g: &mut Gen) {
    let fd = g.fd();
    let (at, length) = address(g);
    g.call("connect", SYS_connect, &[fd, at, length]);
}

/// Where an address is written, and where its length lies.
fn named(g: &mut Gen) -> (Value, Value) {
    if g.random.percent(30) {
        return (0.into(), 0.into());
    }
    let at = g.out(110, "");
    let length = g.random.pick(&[110, 110, 2, 0, 5, 200]);
    let length_at = g.out(4, "");
    if let Value::Number(length_at) = length_at {
        g.part(Part::Half(length_at, length.into()));
    }
    (at, length_at)
}

fn accept_(g: &mut Gen) {
    let fd = g.fd();
    let (at, length) = named(g);
    let flags = SOCK_NONBLOCK as u64 | g.random.pick(&[0, SOCK_CLOEXEC as u64, 1]);
    g.opens("accept4", SYS_accept4, &[fd, at, length, flags.into()]);
}

const FLAGS: &[u64] = &[0, 0, 0, 1, 2, 4, 0x20, 0x4000, 0x8000, 0x100, 0x80, 0x10000];

fn send_to(g: &mut Gen) {
    let fd = g.fd();
    // No strange length: of a stream that cannot be read as far a first part is sent natively.
    let content = vec![g.random.next() as u8; g.count() as usize];
    let (data, bytes) = (g.stream_of(&content), content.len() as u64);
    let flags = MSG_DONTWAIT as u64 | g.random.pick(FLAGS);
    let (at, length) = if g.random.percent(70) {
        (0.into(), 0.into())
    } else {
        address(g)
    };
    g.call(
        "sendto",
        SYS_sendto,
        &[fd, data, bytes.into(), flags.into(), at, length],
    );
}

fn receive_from(g: &mut Gen) {
    let fd = g.fd();
    let (target, bytes) = g.target();
    let flags = MSG_DONTWAIT as u64 | g.random.pick(FLAGS);
    let (at, length) = named(g);
    g.call(
        "recvfrom",
        SYS_recvfrom,
        &[fd, target, bytes, flags.into(), at, length],
    );
}

/// `struct msghdr`: name and its length, vectors and their count, control and its length, flags.
fn header(g: &mut Gen, out: bool) -> u64 {
    let (vectors, count) = g.vectors(out);
    let (mut name, mut name_bytes) = (0.into(), 0.into());
    if g.random.percent(30) {
        if out {
            (name, name_bytes) = (g.out(110, ""), 110.into());
        } else {
            (name, name_bytes) = address(g);
        }
    }
    let (mut control, mut control_bytes) = (0.into(), 0.into());
    if g.random.percent(50) {
        if out {
            let bytes = g.random.pick(&[64, 64, 24, 20, 16, 3]);
            (control, control_bytes) = (g.out(64, ""), bytes.into());
        } else {
            let fds = 1 + g.random.below(2);
            let at = g.room(32);
            let kind = g.random.pick(&[1, 1, 1, 2, 9]);
            let length = g.random.pick(&[16 + fds * 4, 16 + fds * 4, 5, 100]);
            g.part(Part::Word(at, length.into()));
            g.part(Part::Word(at + 8, (kind << 32 | 1).into()));
            for index in 0..fds {
                let fd = g.fd();
                g.part(Part::Half(at + 16 + index * 4, fd));
            }
            (control, control_bytes) = (at.into(), (16 + fds * 8).into());
        }
    }
    let at = g.room(56);
    for (index, word) in [
        name,
        name_bytes,
        vectors,
        count,
        control,
        control_bytes,
        0.into(),
    ]
    .into_iter()
    .enumerate()
    {
        g.part(Part::Word(at + index as u64 * 8, word));
    }
    if out {
        g.part(Part::Out(at + 8, 4, ""));
        g.part(Part::Word(at + 8, name_bytes));
        g.part(Part::Out(at + 40, 16, ""));
        g.part(Part::Word(at + 40, control_bytes));
        g.part(Part::Word(at + 48, 0.into()));
    }
    at
}

fn send_message(g: &mut Gen) {
    let fd = g.fd();
    let at = header(g, false);
    let flags = MSG_DONTWAIT as u64 | g.random.pick(FLAGS);
    g.call("sendmsg", SYS_sendmsg, &[fd, at.into(), flags.into()]);
}

fn receive_message(g: &mut Gen) {
    let fd = g.fd();
    let at = header(g, true);
    let flags = MSG_DONTWAIT as u64 | g.random.pick(&[0, 0, 2, 0x20, MSG_CMSG_CLOEXEC as u64]);
    g.call("recvmsg", SYS_recvmsg, &[fd, at.into(), flags.into()]);
}

/// Two `struct mmsghdr`, of which the second is empty.
fn many(g: &mut Gen, out: bool) -> Value {
    let (vectors, count) = g.vectors(out);
    let at = g.room(128);
    let words = [0, 0]
        .map(Value::Number)
        .into_iter()
        .chain([vectors, count]);
    for (index, word) in words.chain([0u64; 12].map(Value::Number)).enumerate() {
        g.part(Part::Word(at + index as u64 * 8, word));
    }
    at.into()
}

fn send_many(g: &mut Gen) {
    let fd = g.fd();
    let at = many(g, false);
    g.call(
        "sendmmsg",
        SYS_sendmmsg,
        &[fd, at, 2.into(), (MSG_DONTWAIT as u64).into()],
    );
}

fn receive_many(g: &mut Gen) {
    let fd = g.fd();
    let at = many(g, true);
    g.call(
        "recvmmsg",
        SYS_recvmmsg,
        &[fd, at, 2.into(), (MSG_DONTWAIT as u64).into(), 0.into()],
    );
}

fn options(g: &mut Gen) {
    let fd = g.fd();
    let (level, name) = g.random.pick(&[
        (1u64, 3u64),
        (1, 4),
        (1, 16),
        (1, 17),
        (1, 30),
        (1, 38),
        (1, 39),
        (1, 20),
        (6, 1),
        (0, 2),
        (1, 999),
    ]);
    let at = g.out(32, if name == 17 { "cred" } else { "" });
    let length_at = g.out(4, "");
    if let Value::Number(length_at) = length_at {
        let length = g.random.pick(&[32, 32, 4, 2, 0, 0xffff_ffff]);
        g.part(Part::Half(length_at, length.into()));
    }
    g.call(
        "getsockopt",
        SYS_getsockopt,
        &[fd, level.into(), name.into(), at, length_at],
    );
}

fn set_option(g: &mut Gen) {
    let fd = g.fd();
    let name = g.random.pick(&[2, 7, 8, 9, 16, 20, 42, 999]);
    let value = g.random.pick(&[0, 1, 5000, 0xffff_ffff]);
    let at = g.words(&[value.into(), 0.into()]);
    let length = g.random.pick(&[4, 4, 16, 2, 0, u64::MAX]);
    g.call(
        "setsockopt",
        SYS_setsockopt,
        &[fd, 1.into(), name.into(), at, length.into()],
    );
}

fn shutdown_(g: &mut Gen) {
    let fd = g.fd();
    let how = g.random.below(4);
    g.call("shutdown", SYS_shutdown, &[fd, how.into()]);
}

fn names(g: &mut Gen) {
    let fd = g.fd();
    let (at, length) = named(g);
    if g.random.percent(50) {
        g.call("getsockname", SYS_getsockname, &[fd, at, length]);
    } else {
        g.call("getpeername", SYS_getpeername, &[fd, at, length]);
    }
}

fn close(g: &mut Gen) {
    let fd = g.fd();
    g.call("close", SYS_close, &[fd]);
}
