//! sendmmsg(2), recvmmsg(2): messages that do not fit into one call to home follow in further ones.

use std::sync::Arc;

use abi::row::Row;
use image::{messages, unfinished};

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;

pub(super) fn exchange(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let (mut rest, mut done) = (*args, 0);
    loop {
        match worker.home(thread, row, &rest) {
            Verdict::Answer(count) if count > 0 => {
                done += count;
                let read = unfinished::memory_of(thread.outer);
                let left = unfinished::of_write(row.nr, args, done, &read);
                // Home has received fewer than there was room for: it knows why.
                let was_all = i64::from(row.nr) == libc::SYS_sendmmsg
                    || count as u64 == worker.call.argument(2);
                if left.is_none() || !was_all || !worker.goes_on(thread) {
                    return Verdict::Answer(done);
                }
                messages::skip(&mut rest, count as u64);
            }
            // What is over is over.
            Verdict::Answer(_) if done > 0 => return Verdict::Answer(done),
            other => return other,
        }
    }
}
