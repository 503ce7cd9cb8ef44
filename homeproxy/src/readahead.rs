//! Files that are read ahead: their content is sent before the guest asks.
//!
//! The host decides what is worth it and keeps count of what the guest has read
//! (`lane::ahead`). Here the lease is taken, the content is sent as far as the
//! host allows, and the descriptor's position is moved by what was read. A lane's
//! thread never waits for a host that does not read: what it has to say about
//! positions must be heard at any time.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use abi::wire::WireCall;
use lane::ahead::{Ahead, End, PUSHED_BYTES_MAX, Pushed, WINDOW_BYTES_MAX};
use lane::{Kind, LaneError, PAYLOAD_START, Sender};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::fstatfs;
use nix::unistd::{Whence, lseek};
use sys::pidfd;
use sys::window::Call;

use crate::job::{Deputy, DeputyThread, Job, lock};
use crate::leases::{Lease, StreamId};
use crate::waiting;

/// How often a lane that waits for words of another looks whether its thread is
/// still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Lowest result of a call that has returned.
const LOWEST_RESULT: i64 = -4095;

/// `f_type` of file systems whose files change by nothing that a lease does not
/// see, statfs(2).
const FILE_SYSTEMS: &[i64] = &[
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // Btrfs
    0x0102_1994, // tmpfs
    0xf2f5_2010, // F2FS
    0x2fc1_2fc1, // ZFS
    0xca45_1a4e, // bcachefs
    0x794c_7630, // overlayfs
];

/// How many words of the host about a process's files have been heeded.
#[derive(Default)]
pub(crate) struct Heeded {
    count: Mutex<u64>,
    changed: Condvar,
    /// Threads that wait, nearly always none: to wake nobody is a system call, too.
    waiting: AtomicU32,
}

impl Heeded {
    /// One more has been.
    pub(crate) fn one_more(&self) {
        *lock(&self.count) += 1;
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until `count` have been. `false`: not for a while.
    pub(crate) fn wait(&self, count: u64) -> bool {
        let heeded = lock(&self.count);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let waited = self
            .changed
            .wait_timeout_while(heeded, LOOK_INTERVAL, |heeded| *heeded < count);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// The stream of one lane.
#[derive(Default)]
pub(crate) struct Reading {
    stream: Option<Stream>,
}

struct Stream {
    id: StreamId,
    job: Arc<Job>,
    /// `None`: there was none to have.
    lease: Option<Arc<Lease>>,
    /// Where in the file it starts.
    start: u64,
    sent: u64,
    consumed: u64,
    limit: u64,
    stopped: bool,
    /// Its last frame is sent.
    ended: bool,
    deputy: Arc<Deputy>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.lease.is_some() {
            self.job.leases.release(self.id);
        }
    }
}

impl Reading {
    /// Heeds what the host says.
    ///
    /// # Errors
    /// What of it is nonsense.
    pub(crate) fn heed(
        &mut self,
        job: &Arc<Job>,
        thread: &DeputyThread,
        said: &Ahead,
    ) -> Result<(), &'static str> {
        if said.consumed > 0 {
            advance(thread, said.fd, said.consumed);
        }
        if said.start {
            if self.stream.is_some() {
                return Err("a stream begun before the last has ended");
            }
            self.stream = Some(Stream::start(job, thread, said));
        }
        if let Some(stream) = self.stream.as_mut().filter(|s| s.id.stream == said.stream) {
            stream.consumed = stream.consumed.saturating_add(said.consumed);
            stream.limit = stream.limit.max(said.limit);
            if said.stop {
                stream.stopped = true;
                job.leases.release(stream.id);
            }
            if stream.stopped && stream.ended {
                self.stream = None;
            }
        }
        thread.deputy.heeded.one_more();
        Ok(())
    }

    /// Whether there is something to send.
    pub(crate) fn wants(&self) -> bool {
        self.stream.as_ref().is_some_and(Stream::wants)
    }

    /// Sends one frame, or as much of it as goes without waiting.
    pub(crate) fn push(&mut self, sender: &mut Sender) -> Result<(), LaneError> {
        let Some(stream) = self.stream.as_mut() else {
            return Ok(());
        };
        stream.push(sender)?;
        if stream.stopped && stream.ended {
            self.stream = None;
        }
        Ok(())
    }

    /// The lane serves another thread from now on.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
    }
}

impl Stream {
    fn start(job: &Arc<Job>, thread: &DeputyThread, said: &Ahead) -> Stream {
        let opened = open(&thread.deputy, said.fd);
        let id = thread.deputy.host.stream(said.stream);
        let lease = opened.and_then(|(file, start)| {
            let lease = job.leases.take(job, &thread.deputy, id, file)?;
            Some((lease, start))
        });
        let mut stream = Stream {
            id,
            job: Arc::clone(job),
            start: lease.as_ref().map_or(0, |(_, start)| *start),
            lease: lease.map(|(lease, _)| lease),
            sent: 0,
            consumed: 0,
            limit: 0,
            stopped: false,
            ended: false,
            deputy: Arc::clone(&thread.deputy),
        };
        if stream.lease.is_some() && !stream.is_in_order(thread) {
            job.leases.release(id);
            stream.lease = None;
        }
        tracing::debug!(
            "descriptor {} of process {} is read ahead, stream {}: {}",
            said.fd,
            stream.deputy.pid,
            id.stream,
            stream.lease.is_some()
        );
        stream
    }

    /// Whoever wrote the file before the lease may have sent a signal before or
    /// after. The deputy stops for it before it executes another call, so that
    /// the content is told with the number of that signal.
    fn is_in_order(&self, thread: &DeputyThread) -> bool {
        let result = thread.own_slot().call(Call::new(libc::SYS_getpid, &[]));
        waiting::look(&self.job, &thread.deputy);
        if thread.deputy.tells_later() && thread.withholds_signal() {
            return false;
        }
        // A process that has ended meanwhile has given its leases back before.
        result >= LOWEST_RESULT && self.job.thread(thread.tid).is_some()
    }

    fn wants(&self) -> bool {
        // Whole frames: a host that waits has consumed all, and so allows them.
        !self.ended
            && (self.stopped || self.lease.is_none() || self.room() >= PUSHED_BYTES_MAX as u64)
    }

    /// Bytes that may be sent now.
    fn room(&self) -> u64 {
        let unread = self.sent.saturating_sub(self.consumed);
        let window = WINDOW_BYTES_MAX.saturating_sub(unread);
        self.limit.saturating_sub(self.sent).min(window)
    }

    fn push(&mut self, sender: &mut Sender) -> Result<(), LaneError> {
        let room = (self.room() as usize).min(PUSHED_BYTES_MAX);
        let out = sender.begin_sized(Pushed::BYTES + room);
        let content = PAYLOAD_START + Pushed::BYTES;
        let read = match &self.lease {
            _ if self.stopped => None,
            None => None,
            Some(lease) => Some(lease.read_at(&mut out[content..], self.start + self.sent)),
        };
        let (bytes, end) = match read {
            None => (0, End::Refused),
            Some(None) => (0, End::Recalled),
            // The guest's own read meets the error, too.
            Some(Some(Err(_))) => (0, End::Refused),
            Some(Some(Ok(bytes))) if bytes < room => (bytes, End::OfFile),
            Some(Some(Ok(bytes))) => (bytes, End::No),
        };
        out.truncate(content + bytes);
        let front = Pushed {
            stream: self.id.stream,
            signals: self.deputy.signals.load(Ordering::SeqCst),
            end,
        };
        if let Some(into) = out[PAYLOAD_START..].first_chunk_mut() {
            front.encode(into);
        }
        self.sent += bytes as u64;
        self.ended = end != End::No;
        sender.send_some(Kind::Pushed, 0, 0).map(drop)
    }
}

/// A descriptor of our own for the file behind descriptor `fd`, and the position
/// of that; `None` if the file is not to be read ahead.
fn open(deputy: &Deputy, fd: i32) -> Option<(File, u64)> {
    let theirs = pidfd::getfd(deputy.pidfd.as_fd(), fd).ok()?;
    let flags = OFlag::from_bits_retain(fcntl(&theirs, FcntlArg::F_GETFL).ok()?);
    let is_plain = flags & OFlag::O_ACCMODE == OFlag::O_RDONLY
        && !flags.intersects(OFlag::O_DIRECT | OFlag::O_PATH);
    let stat = fstat(&theirs).ok()?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    let system = fstatfs(&theirs).ok()?.filesystem_type().0;
    if !is_plain || kind != SFlag::S_IFREG || !FILE_SYSTEMS.contains(&(system as i64)) {
        return None;
    }
    let start = lseek(&theirs, 0, Whence::SeekCur).ok()?;
    // Not if somebody else's lease would have to be broken for it.
    let quiet = libc::O_NONBLOCK | (flags & OFlag::O_NOATIME).bits();
    let ours = OpenOptions::new()
        .read(true)
        .custom_flags(quiet)
        .open(format!("/proc/self/fd/{}", theirs.as_raw_fd()));
    (start < stat.st_size).then_some((ours.ok()?, start as u64))
}

/// Moves the position of descriptor `fd`, as the guest's reads would have.
fn advance(thread: &DeputyThread, fd: i32, bytes: u64) {
    let own = pidfd::getfd(thread.deputy.pidfd.as_fd(), fd);
    let moved = own.and_then(|file| Ok(lseek(&file, bytes as i64, Whence::SeekCur)?));
    if moved.is_err() {
        // The process's leader has ended before its other threads.
        let args = [fd as u64, bytes, libc::SEEK_CUR as u64];
        let moved = thread.own_slot().call(Call::new(libc::SYS_lseek, &args));
        if moved < 0 {
            // It has just been killed.
            tracing::debug!("move the position of descriptor {fd} by {bytes}: {moved}");
        }
    }
}

/// Whether `call` needs that no lease of ours is on a file.
pub(crate) fn minds_leases(call: &WireCall<'_>) -> bool {
    i64::from(call.nr) == libc::SYS_fcntl && call.args[1] as i32 == libc::F_SETLEASE
}

/// Whether `call` may have failed only because a lease of ours was on a file.
pub(crate) fn was_put_off(call: &WireCall<'_>, result: i64) -> bool {
    result == -i64::from(libc::EAGAIN)
        && matches!(
            i64::from(call.nr),
            libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 | libc::SYS_creat
        )
}
