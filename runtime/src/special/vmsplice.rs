//! vmsplice(2): memory into a pipe, or out of one; which, the descriptor tells.

use std::sync::Arc;

use abi::row::Row;
use lane::Kind;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::home_rows::{DESCRIPTOR_FLAGS, VMSPLICE_OUT};

pub(super) fn vmsplice(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let memory = thread.memory();
    let asked = [args[0], libc::F_GETFL as u64, 0, 0, 0, 0];
    match worker.own(thread, &DESCRIPTOR_FLAGS, &asked, &memory) {
        Verdict::Answer(flags) if flags >= 0 => {
            if flags as i32 & libc::O_ACCMODE == libc::O_RDONLY {
                worker.forward(thread, Kind::Call, &VMSPLICE_OUT, args, &memory, None)
            } else {
                worker.home(thread, row, args)
            }
        }
        other => other,
    }
}
