//! mmap(2) of a file: a local file of the same content is put at the guest's
//! descriptor number for this one call, which the kernel here then executes.

use std::sync::Arc;

use image::files::Mappable;
use lane::LaneError;
use sys::seccomp::Notification;

use crate::forward::{ERESTARTNOINTR, Verdict, Worker};
use crate::guest::Thread;
use crate::host::{Decision, lock};
use crate::pool::Pool;
use std::os::fd::AsFd;

const PAGE_BYTES: u64 = 4096;

pub(super) fn map(
    worker: &mut Worker,
    thread: &Arc<Thread>,
    pool: &Pool,
    notified: &Notification,
) -> Verdict {
    let [at, length, prot, flags, fd, offset] = notified.args;
    let kind = flags as i32 & libc::MAP_TYPE;
    let prot = prot as i32;
    if offset % PAGE_BYTES != 0 || (fd as i32) < 0 {
        // The kernel's own error, which looks at the file later or finds none.
        return Verdict::Native;
    }
    let is_fixed = flags as i32 & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
    let is_wrong = length == 0 || is_fixed && at % PAGE_BYTES != 0;
    let file = {
        let mut link = lock(&thread.link);
        let Some(link) = link.as_mut() else {
            return Verdict::Gone;
        };
        let shared = kind != libc::MAP_PRIVATE;
        let mut described = link.describe(fd as i32, shared, prot, false);
        if let Ok(Ok(Mappable::AtHome(what))) = &described
            && !is_wrong
        {
            let Decision::Remains(why) = worker.host.go_home(&thread.process, what) else {
                return Verdict::Answer(ERESTARTNOINTR);
            };
            let what = what.clone();
            // The content as it is now is the best there is.
            described = link.describe(fd as i32, shared, prot, true);
            if let Ok(Ok(Mappable::AtHome(_))) = described {
                worker.host.say_remains(&thread.process, &what, &why);
                return Verdict::Answer(-i64::from(libc::ENOSYS));
            }
        }
        let identity = match described {
            Ok(Err(libc::EBADF)) => return Verdict::Answer(-i64::from(libc::EBADF)),
            // Comes before everything else about the file.
            Ok(_) if is_wrong => return Verdict::Answer(-i64::from(libc::EINVAL)),
            Ok(Ok(Mappable::Copied(identity))) => identity,
            Ok(Ok(Mappable::AtHome(what))) => return worker.go_home(thread, &what),
            Ok(Err(errno)) => return Verdict::Answer(-i64::from(errno)),
            Err(error) => return worker.lost(thread, &error),
        };
        match link.file(&worker.host.files, &identity) {
            Ok(file) => file,
            // It is no more what it was a moment ago.
            Err(LaneError::Io { .. }) => {
                return worker.go_home(thread, "mmap of a file that changes");
            }
            Err(error) => return worker.lost(thread, &error),
        }
    };
    if let Err(error) = pool.listener.install(notified.id, file.as_fd(), fd as i32) {
        tracing::debug!(
            "put a file at descriptor {fd} of process {}: {error}",
            thread.process.pid
        );
        return Verdict::Answer(-i64::from(error.raw_os_error().unwrap_or(libc::ENODEV)));
    }
    Verdict::Native
}
