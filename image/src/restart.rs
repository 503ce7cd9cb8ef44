//! Restart: a process of a checkpoint, made of one that has just executed the same program.
//!
//! That one is a deputy already; its descriptors, directory and threads are made first, then
//! the rest as of a process that comes home. Pid and thread ids are other ones than before:
//! where a thread keeps the word that the kernel clears at its end, its id is replaced, since
//! C libraries have it there.

use std::fs::File;
use std::sync::Arc;

use sys::limits::{self, Limit, Raised};
use sys::ptrace;
use sys::window::Slot;

use crate::ImageError;
use crate::checkpoint::{Checkpoint, Head, OpenFile};
use crate::deputy::Deputised;
use crate::rebuild::{THREAD_FLAGS, give_birth, start_stub};
use crate::remake::{BATCH_TIMEOUT, Maker};
use crate::restore::{DeputyThread, Returning};
use crate::schema::{Image, PAGE_BYTES, PageRun};
use crate::unfinished::{self, FOREVER, Rest};

/// Flags with which a file is opened again; the others act only when it is opened first.
const KEPT_FLAGS: u32 = (libc::O_ACCMODE
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_DIRECT
    | libc::O_SYNC
    | libc::O_NOATIME
    | libc::O_DIRECTORY
    | libc::O_PATH) as u32;
/// Lowest number of descriptors that are on their way to theirs.
const BASE_MIN: i32 = 64;
const ITIMERS: [u64; 3] = [0, 1, 2];

/// Makes the process of `checkpoint` from deputy `pid`; `mapped` stand for its image's files.
/// All its threads are stopped then, in the image's order. Returns signals to be sent to it.
///
/// # Errors
/// The deputy is of no use any more.
pub fn restart(
    pid: i32,
    deputy: Deputised,
    checkpoint: &mut Checkpoint,
    mapped: &[Arc<File>],
) -> Result<Vec<i32>, ImageError> {
    let Deputised {
        window,
        address,
        mut slot,
        signals,
        ..
    } = deputy;
    if !slot.wait(Some(BATCH_TIMEOUT)) {
        return Err(ImageError::step("drop the memory", pid)(
            std::io::ErrorKind::TimedOut.into(),
        ));
    }
    let wanted = base(&checkpoint.head) as u64 + checkpoint.head.files.len() as u64 + 16;
    let raised = Raised::to(pid, libc::RLIMIT_NOFILE, wanted)
        .map_err(ImageError::step("raise the limit of open files", pid))?;
    let mut leader = Maker::new(pid, address, &mut slot);
    open_files(&mut leader, &checkpoint.head)?;
    set_surroundings(&mut leader, &checkpoint.head)?;
    let mut threads: Vec<(i32, Slot)> = Vec::new();
    for _ in &checkpoint.image.threads[1..] {
        let tid = give_birth(pid, address, &mut slot, 0, THREAD_FLAGS, None)?;
        let own = window
            .take_slot()
            .ok_or_else(|| ImageError::Refused("no free slot in the window".into()))?;
        start_stub(tid, address, &own)?;
        threads.push((tid, own));
    }
    let tids: Vec<i32> = std::iter::once(pid)
        .chain(threads.iter().map(|(tid, _)| *tid))
        .collect();
    renumber(&mut checkpoint.image, &mut checkpoint.pages, &tids);
    postpone(
        &mut checkpoint.image,
        checkpoint.head.taken_ns,
        unfinished::now_ns(),
    );
    let others = threads.iter_mut().map(|(tid, slot)| (*tid, slot));
    let mut returning = Returning {
        threads: std::iter::once((pid, &mut slot))
            .chain(others)
            .map(|(tid, slot)| DeputyThread {
                tid,
                place: address,
                slot,
            })
            .collect(),
        windows: vec![address],
    };
    for (thread, name) in returning.threads.iter_mut().zip(&checkpoint.head.names) {
        set_name(&mut Maker::new(thread.tid, address, thread.slot), name)?;
    }
    returning.prepare(&checkpoint.image, &checkpoint.pages, mapped, None)?;
    if let Some(leader) = returning.threads.first_mut() {
        set_timers(&mut Maker::new(pid, address, leader.slot), &checkpoint.head)?;
    }
    let mut stops = returning.enter(&checkpoint.image)?;
    drop(raised);
    for limit in &checkpoint.head.limits {
        // More than this user may have here is as much as that.
        let hard =
            limits::get(pid, limit.resource).map_or(limit.hard, |now| now.hard.min(limit.hard));
        let wanted = Limit {
            soft: limit.soft.min(hard),
            hard,
        };
        limits::set(pid, limit.resource, wanted)
            .map_err(ImageError::step("set the limits", pid))?;
    }
    stops.extend(signals);
    Ok(stops)
}

/// Descriptors from here on are not the process's.
fn base(head: &Head) -> i32 {
    let last = head.descriptors.last().map_or(0, |last| last.number + 1);
    last.max(BASE_MIN)
}

/// Opens everything and puts it where it was; what else is open is closed.
fn open_files(maker: &mut Maker<'_>, head: &Head) -> Result<(), ImageError> {
    let base = base(head) as u64;
    let mut numbers = Vec::new();
    // Of what mosexec was started with, before anything takes its place.
    for file in &head.files {
        numbers.push(match file {
            OpenFile::Inherited(stream) => {
                let args = [u64::from(*stream), libc::F_DUPFD_CLOEXEC as u64, base];
                Some(call(
                    maker,
                    libc::SYS_fcntl,
                    &args,
                    "keep a standard stream",
                )?)
            }
            _ => None,
        });
    }
    call(
        maker,
        libc::SYS_close_range,
        &[0, base - 1, 0],
        "close what is open",
    )?;
    for (file, number) in head.files.iter().zip(&mut numbers) {
        if number.is_none() {
            let opened = open(maker, file)?;
            let args = [opened, libc::F_DUPFD_CLOEXEC as u64, base];
            *number = Some(call(maker, libc::SYS_fcntl, &args, "keep a file")?);
            call(maker, libc::SYS_close, &[opened], "close a descriptor")?;
        }
    }
    for descriptor in &head.descriptors {
        let number = numbers.get(descriptor.file as usize).copied().flatten();
        let flags = if descriptor.close_on_exec {
            libc::O_CLOEXEC
        } else {
            0
        };
        let args = [
            number.unwrap_or(u64::MAX),
            descriptor.number as u64,
            flags as u64,
        ];
        call(
            maker,
            libc::SYS_dup3,
            &args,
            "put a descriptor in its place",
        )?;
    }
    let args = [base, u64::from(u32::MAX), 0];
    call(maker, libc::SYS_close_range, &args, "close what is open").map(drop)
}

fn open(maker: &mut Maker<'_>, file: &OpenFile) -> Result<u64, ImageError> {
    let (path, flags): (&[u8], u32) = match file {
        OpenFile::Terminal { flags } => (b"/dev/tty", *flags),
        OpenFile::File { path, flags, .. } | OpenFile::Device { path, flags } => (path, *flags),
        OpenFile::Inherited(_) => (b"/dev/null", 0),
    };
    let at = put_text(maker, path);
    let flags = u64::from(flags & KEPT_FLAGS) | (libc::O_CLOEXEC | libc::O_NOCTTY) as u64;
    let directory = libc::AT_FDCWD as u64;
    let opened = call(
        maker,
        libc::SYS_openat,
        &[directory, at, flags, 0],
        "open a file",
    );
    let opened = opened.map_err(|error| {
        let path = String::from_utf8_lossy(path);
        ImageError::Refused(format!("{path}, which was open: {error}"))
    })?;
    if let OpenFile::File { position, .. } = file
        && *position != 0
    {
        let args = [opened, *position, libc::SEEK_SET as u64];
        call(
            maker,
            libc::SYS_lseek,
            &args,
            "go to the position in a file",
        )?;
    }
    Ok(opened)
}

fn set_surroundings(maker: &mut Maker<'_>, head: &Head) -> Result<(), ImageError> {
    let at = put_text(maker, &head.directory);
    call(maker, libc::SYS_chdir, &[at], "go to the working directory")?;
    let args = [u64::from(head.umask & 0o777)];
    call(maker, libc::SYS_umask, &args, "set the file mode mask")?;
    let args = [u64::from(head.personality)];
    call(maker, libc::SYS_personality, &args, "set the personality")?;
    if head.no_new_privileges {
        let args = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0];
        call(maker, libc::SYS_prctl, &args, "forbid new privileges")?;
    }
    Ok(())
}

fn set_name(maker: &mut Maker<'_>, name: &[u8]) -> Result<(), ImageError> {
    let at = put_text(maker, &name[..name.len().min(15)]);
    let args = [libc::PR_SET_NAME as u64, at];
    call(maker, libc::SYS_prctl, &args, "set the name").map(drop)
}

fn set_timers(maker: &mut Maker<'_>, head: &Head) -> Result<(), ImageError> {
    for (which, timer) in ITIMERS.into_iter().zip(&head.timers) {
        if *timer == [0; 4] {
            continue;
        }
        for (index, word) in timer.iter().enumerate() {
            maker.slot.data()[index * 8..index * 8 + 8].copy_from_slice(&word.to_ne_bytes());
        }
        let args = [which, maker.data_address(), 0];
        call(maker, libc::SYS_setitimer, &args, "set a timer")?;
    }
    Ok(())
}

fn put_text(maker: &mut Maker<'_>, text: &[u8]) -> u64 {
    let data = maker.slot.data();
    data[..text.len()].copy_from_slice(text);
    data[text.len()] = 0;
    maker.data_address()
}

/// One call, and its result.
fn call(
    maker: &mut Maker<'_>,
    nr: i64,
    args: &[u64],
    doing: &'static str,
) -> Result<u64, ImageError> {
    maker.add(nr, args, doing);
    maker.run()?;
    Ok(maker.slot.result(0) as u64)
}

/// Gives the image the ids `tids`, in the order of its threads.
fn renumber(image: &mut Image, pages: &mut [u8], tids: &[i32]) {
    let former: Vec<i32> = image.threads.iter().map(|thread| thread.tid).collect();
    for signal in &mut image.pending {
        if let Some(at) = former.iter().position(|tid| *tid == signal.tid) {
            signal.tid = tids[at];
        }
    }
    for (thread, tid) in image.threads.iter_mut().zip(tids) {
        if let Some(word) = word_at(&image.pages, pages, thread.clear_tid)
            && *word == thread.tid.to_le_bytes()
        {
            word.copy_from_slice(&tid.to_le_bytes());
        }
        thread.tid = *tid;
    }
    image.pid = tids[0];
}

/// Four bytes at an address of the image, if they are within one of its pages.
fn word_at<'a>(runs: &[PageRun], pages: &'a mut [u8], at: u64) -> Option<&'a mut [u8]> {
    let mut from = 0;
    for run in runs {
        let bytes = run.count * PAGE_BYTES;
        if (run.start..run.start + bytes).contains(&at) {
            let start = (from + at - run.start) as usize;
            return pages.get_mut(start..start.checked_add(4)?);
        }
        from += bytes;
    }
    None
}

/// What was left of a wait is left of it now.
fn postpone(image: &mut Image, taken_ns: u64, now_ns: u64) {
    for thread in &mut image.threads {
        if let Some(wait) = &mut thread.unfinished
            && let Rest::Until(until) = &mut wait.rest
            && *until != FOREVER
        {
            *until = now_ns
                .saturating_add(until.saturating_sub(taken_ns))
                .min(FOREVER - 1);
        }
    }
}

/// Lets the original take the abort handler of a restartable sequence, as its image does: the
/// capture has ended that sequence.
///
/// # Errors
/// A thread has ended.
pub fn leave_sequences(image: &Image) -> std::io::Result<()> {
    const RIP: usize = 16;
    for thread in &image.threads {
        let mut regs = ptrace::registers(thread.tid)?;
        if regs.rip != thread.registers[RIP] {
            regs.rip = thread.registers[RIP];
            ptrace::set_registers(thread.tid, &regs)?;
        }
    }
    Ok(())
}

/// Interval timers of stopped process `pid`, as [`Head::timers`].
///
/// # Errors
/// It has ended, or has nowhere to make a call.
pub fn timers_of(pid: i32) -> Result<[[u64; 4]; 3], ImageError> {
    use crate::inject::{Injector, Loan};
    let step = |doing| ImageError::step(doing, pid);
    let lines = crate::maps::read(pid).map_err(step("read the mappings"))?;
    let mut injector = Injector::begin(pid, Loan::of(pid, &lines)?)
        .map_err(step("take over the leading thread"))?;
    let mut timers = [[0; 4]; 3];
    let mut asked = Ok(());
    for (which, timer) in ITIMERS.into_iter().zip(&mut timers) {
        asked = injector
            .words(libc::SYS_getitimer, &[which], 1)
            .map(|words| *timer = words);
        if asked.is_err() {
            break;
        }
    }
    let asked = asked.map_err(injector.step("read the timers"));
    if let Err(ended @ ImageError::Ended { .. }) = asked {
        return Err(ended);
    }
    injector.end_keeping_signals(pid)?;
    // One whose signal waits stands still until that is taken, and goes on with its interval then.
    for timer in timers.iter_mut().filter(|timer| timer[2..] == [0, 0]) {
        timer.copy_within(0..2, 2);
    }
    asked.map(|()| timers)
}
