//! setrlimit(2), prlimit64(2): home decides and answers; limits of memory and
//! CPU time are then set on the body too, where they act.

use std::sync::Arc;

use abi::memory::GuestMemory;
use abi::row::Row;
use sys::limits::Limit;

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;

pub(super) fn limit(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    row: &'static Row,
    args: &[u64; 6],
) -> Verdict {
    let (pid, resource, new) = match i64::from(row.nr) {
        libc::SYS_prlimit64 => (args[0] as i32, args[1] as u32, args[2]),
        _ => (0, args[0] as u32, args[1]),
    };
    let process = &thread.process;
    // As it is before home looks: what is set there must be set here.
    let mut wanted = [0; 16];
    let sets = new != 0
        && (pid == 0 || pid == process.pid)
        && image::limits::acts_in_body(resource)
        && thread.memory().read(new, &mut wanted).is_ok();
    let verdict = worker.home(thread, row, args);
    if sets && matches!(verdict, Verdict::Answer(0)) {
        let [soft, hard] = [0, 8].map(|at| {
            let mut word = [0; 8];
            word.copy_from_slice(&wanted[at..at + 8]);
            u64::from_ne_bytes(word)
        });
        // Fails only if the body is gone.
        let left = image::limits::rest(resource, Limit { soft, hard }, process.spent);
        let _ = image::limits::change(process.outer, resource, left);
    }
    verdict
}
