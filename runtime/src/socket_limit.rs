//! The rest of a wait on a socket with a limit of its own, at home: as in
//! [`image::socket_limit`], by calls that the deputy makes.

use std::time::Duration;

use image::socket_limit::{Direction, as_limit};
use image::unfinished::{self, Rest, Unfinished};

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::home_rows::{GET_OPTION, SET_OPTION};
use crate::memory::Scratch;

/// Where values and their lengths seem to lie.
const SCRATCH: u64 = 0x1000;
/// Bytes of a `struct timeval`.
const VALUE_BYTES: u64 = 16;

/// A socket whose limit is what is left of a wait. To be given to [`restore`].
pub(crate) struct Limited {
    fd: u64,
    direction: Direction,
    own: Duration,
}

/// The limit of the socket that a call is about, if there is one.
fn limit(worker: &mut Worker, thread: &Thread, nr: u32, fd: u64) -> Option<(Direction, Duration)> {
    let direction = Direction::of(nr)?;
    let mut bytes = [0; 20];
    bytes[16..].copy_from_slice(&(VALUE_BYTES as u32).to_le_bytes());
    let memory = Scratch::new(SCRATCH, bytes);
    let (level, option) = (libc::SOL_SOCKET as u64, direction.option() as u64);
    let args = [fd, level, option, SCRATCH, SCRATCH + VALUE_BYTES, 0];
    let Verdict::Answer(0) = worker.own(thread, &GET_OPTION, &args, &memory) else {
        return None;
    };
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&memory.bytes()[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let limit = Duration::new(word(0), (word(8) as u32).checked_mul(1000)?);
    (!limit.is_zero()).then_some((direction, limit))
}

fn set(worker: &mut Worker, thread: &Thread, fd: u64, direction: Direction, limit: Duration) {
    let words = [limit.as_secs(), u64::from(limit.subsec_micros())].map(u64::to_le_bytes);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(words.as_flattened());
    let memory = Scratch::new(SCRATCH, bytes);
    let (level, option) = (libc::SOL_SOCKET as u64, direction.option() as u64);
    let args = [fd, level, option, SCRATCH, VALUE_BYTES, 0];
    // Fails only if another thread has closed it.
    worker.own(thread, &SET_OPTION, &args, &memory);
}

/// The wait of a call on a socket that began at `since_ns`, if it has an end.
pub(crate) fn wait(
    worker: &mut Worker,
    thread: &Thread,
    nr: u32,
    args: &[u64; 6],
    since_ns: u64,
) -> Option<Unfinished> {
    let (_, limit) = limit(worker, thread, nr, args[0])?;
    unfinished::of_socket(nr, limit, since_ns)
}

/// Gives the socket of a call what is left of its wait.
pub(crate) fn shorten(
    worker: &mut Worker,
    thread: &Thread,
    args: &[u64; 6],
    unfinished: &Unfinished,
) -> Option<Limited> {
    let Rest::Until(deadline_ns) = unfinished.rest else {
        return None;
    };
    if unfinished::is_timed(unfinished.nr) {
        return None;
    }
    let fd = args[0];
    let (direction, own) = limit(worker, thread, unfinished.nr, fd)?;
    let left = Duration::from_nanos(deadline_ns.saturating_sub(unfinished::now_ns()));
    set(worker, thread, fd, direction, as_limit(left));
    Some(Limited { fd, direction, own })
}

/// The call is over: the limit is the socket's own again.
pub(crate) fn restore(worker: &mut Worker, thread: &Thread, limited: &Limited) {
    set(worker, thread, limited.fd, limited.direction, limited.own);
}
