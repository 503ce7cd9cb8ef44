//! Reads and writes of those files of `/proc/PID` that describe a body.
//!
//! The deputy opens such a file as any other, and all but its content stays the
//! kernel's: the descriptor, its position, its copies, what fstat says of it. A
//! read of it is answered here, with the body's text where natively the kernel
//! would have made it from the process's memory. Which object a descriptor
//! refers to is asked of the kernel at each such read; that a number is worth
//! asking about is noted when a file of procfs is opened, or a descriptor that
//! is noted is duplicated.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abi::wire::{CALL_BYTES_MAX, WireCall};
use image::deputy::GEOMETRY;
use lane::inspect::{BodyFile, Doing, Question};
use sys::pidfd;
use sys::window::{Call, Slot};

use crate::hosts::Host;
use crate::job::{DeputyThread, Job, lock};
use crate::proc_text::{self, Circumstances};
use crate::waiting;

/// `f_type` of procfs, statfs(2).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// Where in a slot's data the kernel writes the `struct statfs` of what was
/// opened, after the call has read its path.
const STATFS_AT: usize = GEOMETRY.data_bytes - 128;
/// Texts that one process may have half read.
const TEXTS_MAX: usize = 16;
/// How often, and how long each time, to wait for the tracer to say whether a
/// traced thread is in a group-stop.
const STOP_LOOKS: u32 = 40;
const STOP_INTERVAL: Duration = Duration::from_micros(100);

/// What a process has open of procfs.
#[derive(Default)]
pub(crate) struct OpenFiles {
    /// Whether `noted` has ever had a member.
    any: AtomicBool,
    /// Numbers of descriptors that may be such files.
    noted: Mutex<BTreeSet<i32>>,
    /// Texts read from their start and not yet to their end: descriptor, link, text.
    texts: Mutex<Vec<(i32, String, Vec<u8>)>>,
}

impl OpenFiles {
    /// Those of a child, or of the same process after an execve.
    pub(crate) fn inherit(&self) -> OpenFiles {
        let noted = lock(&self.noted).clone();
        OpenFiles {
            any: AtomicBool::new(!noted.is_empty()),
            noted: Mutex::new(noted),
            texts: Mutex::default(),
        }
    }

    /// Those of a process that was not watched until now.
    pub(crate) fn find(pid: i32) -> OpenFiles {
        let own = OpenFiles::default();
        let entries = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            let link = fs::read_link(entry.path()).unwrap_or_default();
            let fd = entry.file_name().to_str().and_then(|fd| fd.parse().ok());
            if let Some(fd) = fd
                && Named::parse(&link.to_string_lossy()).is_some()
            {
                own.note(fd, true);
            }
        }
        own
    }

    fn note(&self, fd: i32, is_noted: bool) {
        if is_noted {
            lock(&self.noted).insert(fd);
            self.any.store(true, Ordering::SeqCst);
        } else if self.any.load(Ordering::SeqCst) {
            lock(&self.noted).remove(&fd);
        }
    }

    fn is_noted(&self, fd: i32) -> bool {
        self.any.load(Ordering::SeqCst) && lock(&self.noted).contains(&fd)
    }
}

/// A file of procfs by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    tid: i32,
    of_thread: bool,
    file: BodyFile,
}

impl Named {
    /// `/proc/PID/file` or `/proc/PID/task/TID/file`, if the body has it.
    fn parse(link: &str) -> Option<Named> {
        let mut words = link.strip_prefix("/proc/")?.split('/');
        let pid = words.next()?.parse().ok()?;
        let (tid, of_thread, name) = match (words.next()?, words.next(), words.next()) {
            ("task", Some(tid), Some(name)) => (tid.parse().ok()?, true, name),
            (name, None, None) => (pid, false, name),
            _ => return None,
        };
        let file = BodyFile::named(name).filter(|_| words.next().is_none())?;
        Some(Named {
            tid,
            of_thread,
            file,
        })
    }
}

/// What a call does, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Opens,
    Duplicates,
    Reads,
    Writes,
    /// Moves data in the kernel, from the descriptor in this argument. Callers
    /// must be prepared for EINVAL, and read then.
    Moves(usize),
    Other,
}

fn family(call: &WireCall<'_>) -> Family {
    match i64::from(call.nr) {
        libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 => Family::Opens,
        libc::SYS_dup | libc::SYS_dup2 | libc::SYS_dup3 => Family::Duplicates,
        libc::SYS_fcntl if matches!(call.args[1] as i32, libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
            Family::Duplicates
        }
        libc::SYS_read
        | libc::SYS_pread64
        | libc::SYS_readv
        | libc::SYS_preadv
        | libc::SYS_preadv2 => Family::Reads,
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_writev
        | libc::SYS_pwritev
        | libc::SYS_pwritev2 => Family::Writes,
        libc::SYS_sendfile => Family::Moves(1),
        libc::SYS_splice | libc::SYS_copy_file_range => Family::Moves(0),
        _ => Family::Other,
    }
}

/// What must follow `call` in its batch for [`note`]: fstatfs of what it opens.
pub(crate) fn probe(call: &WireCall<'_>, base: u64) -> Option<Call> {
    let probe = Call::new(libc::SYS_fstatfs, &[0, base + STATFS_AT as u64]);
    (family(call) == Family::Opens).then_some(probe.on_result())
}

/// Notes what `call` has done to the descriptors.
pub(crate) fn note(thread: &DeputyThread, call: &WireCall<'_>, result: i64, slot: &mut Slot) {
    let Ok(fd) = i32::try_from(result) else {
        return;
    };
    let files = &thread.deputy.proc_files;
    match family(call) {
        Family::Opens if fd >= 0 => {
            let mut word = [0; 8];
            word.copy_from_slice(&slot.data()[STATFS_AT..STATFS_AT + 8]);
            let is_proc = slot.result(1) == 0 && u64::from_ne_bytes(word) == PROC_SUPER_MAGIC;
            files.note(fd, is_proc && is_of_a_process(thread, fd));
        }
        Family::Duplicates if fd >= 0 => files.note(fd, files.is_noted(call.args[0] as i32)),
        _ => {}
    }
}

fn is_of_a_process(thread: &DeputyThread, fd: i32) -> bool {
    let link = fs::read_link(format!("/proc/{}/fd/{fd}", thread.deputy.pid));
    link.is_ok_and(|link| Named::parse(&link.to_string_lossy()).is_some())
}

/// Executes `call` if it is about a file that describes a body: the result, with
/// what was read in the slot's data as if the deputy had read it.
pub(crate) fn execute(
    job: &Job,
    thread: &DeputyThread,
    slot: &mut Slot,
    call: &WireCall<'_>,
) -> Option<i64> {
    let family = family(call);
    let fd = match family {
        Family::Reads | Family::Writes => call.args[0] as i32,
        Family::Moves(index) => call.args[index] as i32,
        _ => return None,
    };
    // What needs a mapping of its own is no read or write of ours.
    if call.wants_own_mapping() || !thread.deputy.proc_files.is_noted(fd) {
        return None;
    }
    let open = Open::of(job, thread, fd)?;
    let result = match family {
        Family::Reads => open.read(job, thread, slot, call)?,
        Family::Writes if open.named.file == BodyFile::Memory => {
            open.write(job, thread, slot, call)?
        }
        Family::Moves(_) => -i64::from(libc::EINVAL),
        _ => return None,
    };
    Some(after_signals(job, thread, slot, result))
}

/// `result`, once the deputy has executed a call: it stops for signals first, so
/// that a guest does not read of an event before it has the signal of it.
fn after_signals(job: &Job, thread: &DeputyThread, slot: &mut Slot, result: i64) -> i64 {
    const ERRNO_MAX: i64 = 4095;
    match slot.call(Call::new(libc::SYS_getpid, &[])) {
        mark if mark < -ERRNO_MAX => mark,
        _ => {
            waiting::look(job, &thread.deputy);
            result
        }
    }
}

/// An open file that describes a body.
struct Open {
    fd: i32,
    /// A duplicate of the deputy's descriptor, with the same position.
    file: File,
    link: String,
    named: Named,
    subject: std::sync::Arc<DeputyThread>,
}

impl Open {
    fn of(job: &Job, thread: &DeputyThread, fd: i32) -> Option<Open> {
        let file = File::from(pidfd::getfd(thread.deputy.pidfd.as_fd(), fd).ok()?);
        let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let link = link.to_str()?.to_owned();
        let named = Named::parse(&link)?;
        let subject = job.thread(named.tid)?;
        Some(Open {
            fd,
            file,
            link,
            named,
            subject,
        })
    }

    fn question(&self, doing: Doing, position: u64, bytes: usize) -> Question {
        Question {
            tid: self.named.tid,
            of_thread: self.named.of_thread,
            file: self.named.file,
            doing,
            position,
            bytes: bytes as u64,
        }
    }

    fn read(
        &self,
        job: &Job,
        thread: &DeputyThread,
        slot: &mut Slot,
        call: &WireCall<'_>,
    ) -> Option<i64> {
        // EBADF if it is not open for reading.
        self.file.read_at(&mut [], 0).ok()?;
        // One reader at a time, as with the kernel's lock of the position.
        let mut texts = lock(&thread.deputy.proc_files.texts);
        let place = Place::of(call, thread, slot, &self.file)?;
        let wanted = place.bytes();
        let done = if self.named.file.is_positional() {
            let question = self.question(Doing::Read, place.position, wanted);
            let (answer, bytes) = self.host(job)?.inspector.ask(&question, &[])?;
            if answer.errno != 0 {
                return Some(-i64::from(answer.errno));
            }
            place.fill(slot, &bytes)
        } else {
            let known = texts
                .iter()
                .position(|(fd, link, _)| *fd == self.fd && *link == self.link);
            let known = known.map(|at| texts.swap_remove(at).2);
            let text = match known.filter(|_| place.position > 0) {
                Some(text) => text,
                None => self.text(job, thread)?,
            };
            let rest = usize::try_from(place.position).ok();
            let rest = rest.and_then(|at| text.get(at..)).unwrap_or(&[]);
            let done = place.fill(slot, rest);
            if done > 0 && texts.len() < TEXTS_MAX {
                texts.push((self.fd, self.link.clone(), text));
            }
            done
        };
        place.advance(&self.file, done);
        Some(done as i64)
    }

    fn write(
        &self,
        job: &Job,
        thread: &DeputyThread,
        slot: &mut Slot,
        call: &WireCall<'_>,
    ) -> Option<i64> {
        // EBADF if it is not open for writing.
        self.file.write_at(&[], 0).ok()?;
        let place = Place::of(call, thread, slot, &self.file)?;
        let question = self.question(Doing::Write, place.position, place.bytes());
        let data = place.gather(slot);
        let (answer, _) = self.host(job)?.inspector.ask(&question, &data)?;
        if answer.errno != 0 {
            return Some(-i64::from(answer.errno));
        }
        place.advance(&self.file, answer.bytes as usize);
        Some(answer.bytes as i64)
    }

    /// Where its body is.
    fn host(&self, job: &Job) -> Option<Arc<Host>> {
        let thread = job.thread(self.subject.tid)?;
        Some(Arc::clone(&thread.deputy.host))
    }

    /// The whole text as the guest is to see it.
    fn text(&self, job: &Job, thread: &DeputyThread) -> Option<Vec<u8>> {
        let question = self.question(Doing::Text, 0, 0);
        let host = self.host(job);
        let asked = host.and_then(|host| host.inspector.ask(&question, &[]));
        let merge = match self.named.file {
            BodyFile::Stat => proc_text::stat,
            BodyFile::Status => proc_text::status,
            // Without a body the deputy's is the best there is.
            _ => {
                return asked
                    .filter(|(answer, _)| answer.errno == 0)
                    .map(|(_, text)| text);
            }
        };
        let (deputy, is_stopped) = self.deputys_text()?;
        let answer = asked
            .as_ref()
            .map(|(answer, _)| *answer)
            .unwrap_or_default();
        let at_home = &self.subject.place;
        let is_executed = at_home.window.is_busy(self.subject.slot_index);
        let circumstances = Circumstances {
            is_reader: thread.tid == self.subject.tid,
            is_stopped,
            waits_at_home: answer.waits_at_home,
            runs: match answer.waits_at_home {
                true => !is_executed,
                // Its body is not there yet, or any more.
                false => answer.errno == libc::ESRCH,
            },
            elsewhere: {
                let thread = self.named.of_thread.then_some(self.named.tid);
                job.accounts.in_ticks(self.subject.deputy.pid, thread)
            },
        };
        let body = asked.filter(|(answer, _)| answer.errno == 0);
        let body = body.map(|(_, text)| String::from_utf8_lossy(&text).into_owned());
        Some(merge(&deputy, body.as_deref(), circumstances).into_bytes())
    }

    /// The deputy's own text, and whether it is in a group-stop. A traced
    /// thread shows as traced in either case; only its tracer knows.
    fn deputys_text(&self) -> Option<(String, bool)> {
        for look in 0.. {
            let bytes = fs::read(&self.link).ok()?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let is_traced = match self.named.file {
                BodyFile::Stat => text
                    .rsplit_once(')')
                    .is_some_and(|(_, rest)| rest.starts_with(" t")),
                _ => text.contains("\nState:\tt"),
            };
            let is_stopped = self.subject.is_stopped.load(Ordering::SeqCst);
            if !is_traced || is_stopped || look == STOP_LOOKS {
                return Some((text, is_traced && is_stopped));
            }
            std::thread::sleep(STOP_INTERVAL);
        }
        None
    }
}

/// Where a call reads or writes: in the file, and in the slot's data.
struct Place {
    position: u64,
    /// The file's own position is meant, and moves.
    moves: bool,
    buffers: Vec<Range<usize>>,
}

impl Place {
    /// `None`: nothing that the deputy's kernel would accept either.
    fn of(
        call: &WireCall<'_>,
        thread: &DeputyThread,
        slot: &mut Slot,
        file: &File,
    ) -> Option<Place> {
        let base = thread.place.address + slot.data_offset();
        let args = call.place(slot.data(), base);
        let given = match i64::from(call.nr) {
            libc::SYS_read | libc::SYS_write | libc::SYS_readv | libc::SYS_writev => None,
            libc::SYS_preadv2 | libc::SYS_pwritev2 if args[3] == u64::MAX => None,
            _ => Some(args[3]),
        };
        let position = match given {
            Some(position) => position,
            None => { file }.stream_position().ok()?,
        };
        let data = slot.data();
        let range = |at: u64, bytes: u64| {
            let start = usize::try_from(at.checked_sub(base)?).ok()?;
            let end = start.checked_add(usize::try_from(bytes).ok()?)?;
            data.get(start..end).map(|_| start..end)
        };
        let buffers = match i64::from(call.nr) {
            libc::SYS_read | libc::SYS_write | libc::SYS_pread64 | libc::SYS_pwrite64 => {
                vec![if args[2] == 0 {
                    0..0
                } else {
                    range(args[1], args[2])?
                }]
            }
            _ => {
                let vectors = range(args[1], args[2].checked_mul(16)?)?;
                let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
                data[vectors]
                    .chunks_exact(16)
                    .map(|vector| (word(&vector[..8]), word(&vector[8..])))
                    .filter(|(_, bytes)| *bytes > 0)
                    .map(|(at, bytes)| range(at, bytes))
                    .collect::<Option<_>>()?
            }
        };
        Some(Place {
            position,
            moves: given.is_none(),
            buffers,
        })
    }

    fn bytes(&self) -> usize {
        let bytes: usize = self.buffers.iter().map(Range::len).sum();
        bytes.min(CALL_BYTES_MAX)
    }

    /// Puts `from` into the buffers. Returns how much fitted.
    fn fill(&self, slot: &mut Slot, from: &[u8]) -> usize {
        let mut done = 0;
        for buffer in &self.buffers {
            let part = buffer.len().min(from.len() - done);
            slot.data()[buffer.start..buffer.start + part]
                .copy_from_slice(&from[done..done + part]);
            done += part;
        }
        done
    }

    fn gather(&self, slot: &mut Slot) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes());
        for buffer in &self.buffers {
            all.extend_from_slice(&slot.data()[buffer.clone()]);
        }
        all.truncate(CALL_BYTES_MAX);
        all
    }

    fn advance(&self, mut file: &File, done: usize) {
        if self.moves && done > 0 {
            // Fails only past the end of all positions, where nothing is read.
            let _ = file.seek(SeekFrom::Start(self.position + done as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_body() {
        let named = |tid, of_thread, file| {
            Some(Named {
                tid,
                of_thread,
                file,
            })
        };
        let cases = [
            ("/proc/12/maps", named(12, false, BodyFile::Maps)),
            ("/proc/12/task/13/stat", named(13, true, BodyFile::Stat)),
            ("/proc/12/mem", named(12, false, BodyFile::Memory)),
            ("/proc/12/fd", None),
            ("/proc/12/task", None),
            ("/proc/12/task/13", None),
            ("/proc/12/task/13/stat/x", None),
            ("/proc/12/task/x/stat", None),
            ("/proc/12/net/stat", None),
            ("/proc/self/stat", None),
            ("/proc/stat", None),
            ("/tmp/proc/12/stat", None),
            ("/proc/12/maps (deleted)", None),
        ];
        for (link, wanted) in cases {
            assert_eq!(Named::parse(link), wanted, "{link}");
        }
    }

    #[test]
    fn notes_follow_the_numbers() {
        let files = OpenFiles::default();
        assert!(!files.is_noted(3));
        files.note(3, true);
        assert!(files.is_noted(3) && files.inherit().is_noted(3));
        files.note(3, false);
        assert!(!files.is_noted(3));
        let status = File::open("/proc/self/status").expect("own status");
        let found = OpenFiles::find(std::process::id() as i32);
        assert!(found.is_noted(status.as_raw_fd()));
    }
}
