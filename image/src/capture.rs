//! Capture: reads a stopped process into an [`Image`].

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use sys::ptrace::{self, Registers};
use sys::vm;

use crate::cpu_time::{self, CpuTime};
use crate::cpu_timers::CpuTimers;
use crate::files::{Digests, FileIdentity, device_of};
use crate::inject::{Injector, Loan};
use crate::maps::{self, Line};
use crate::postcopy::source::Source;
use crate::schema::{
    Backing, Image, MmFields, PAGE_BYTES, PAGES_BYTES_MAX, PageRun, PendingSignal, SignalAction,
    Thread, VERSION,
};
use crate::settings::{OfMemory, OfThread};
use crate::survey::{self, Survey};
use crate::unfinished::{self, Unfinished};
use crate::{ImageError, proc_file};

/// Program header of an executable that has gained privileges, getauxval(3).
const AT_SECURE: u64 = 23;
const AT_NULL: u64 = 0;

/// Captures process `pid`, which is stopped by us right after an execve: one
/// thread, no handlers, nothing registered with the kernel yet.
///
/// Changes nothing in the process; so what it has used is not known yet. `is_counted` as that of [`may_leave`].
///
/// # Errors
/// [`ImageError::Stays`] with the reason why this program cannot run elsewhere.
pub fn after_exec(pid: i32, digests: &Digests, is_counted: bool) -> Result<Image, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    let status = proc_file(pid, "status").map_err(step("read the status"))?;
    let status = String::from_utf8_lossy(&status);
    refuse_foreign(pid, &status, is_counted)?;
    let regs = ptrace::registers(pid).map_err(step("read the registers"))?;
    let lines = maps::read(pid).map_err(step("read the mappings"))?;
    let mut image = empty(pid, pid)?;
    image.actions = ignored_signals(&status);
    image.threads.push(Thread {
        tid: pid,
        registers: to_words(&regs),
        xstate: ptrace::xstate(pid).map_err(step("read the extended registers"))?,
        mask: ptrace::signal_mask(pid).map_err(step("read the signal mask"))?,
        altstack: [0, libc::SS_DISABLE as u64, 0],
        rseq: (0, 0, 0),
        robust_list: (0, 0),
        clear_tid: 0,
        spent: CpuTime::default(),
        settings: OfThread::default(),
        unfinished: None,
    });
    let mut surroundings = Surroundings {
        // What is deleted, replaced or unreadable is part of the program, which nobody may write.
        identify: &mut |line| at_home(line, digests).map_err(|_| Unidentified::Shipped),
        sharer: &|_| None,
    };
    add_mappings(&mut image, pid, Survey::of(lines), &mut surroundings)?;
    Ok(image)
}

/// What a capture asks of the node it happens on.
pub struct Surroundings<'a> {
    /// Which file is behind a mapping, by content.
    pub identify: &'a mut dyn FnMut(&Line) -> Result<FileIdentity, Unidentified>,
    /// Another process that has the same shared memory mapped.
    pub sharer: &'a dyn Fn(&Line) -> Option<i32>,
}

/// Identifies the file behind a mapping of a process that runs at home.
///
/// # Errors
/// There is none with this content, or it may be written through the mapping.
pub fn at_home(line: &Line, digests: &Digests) -> std::io::Result<FileIdentity> {
    if line.shared && line.has(b"mw") {
        return Err(std::io::Error::other("it is shared and can be written"));
    }
    let file = File::open(&line.name)?;
    let meta = file.metadata()?;
    if meta.ino() != line.inode || device_of(&meta) != line.device {
        return Err(std::io::Error::other("another file has this name now"));
    }
    let (digest, bytes) = digests.of(&file)?;
    Ok(FileIdentity {
        digest,
        bytes,
        path: line.name.clone(),
        device: line.device,
        inode: line.inode,
    })
}

/// Why a mapped file cannot be told to another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unidentified {
    /// It does not change: what is mapped of it is shipped instead.
    Shipped,
    /// It may change, which the process must see; in words.
    Stays(String),
}

/// A stopped thread: its id on this node, and at home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoppedThread {
    /// Here.
    pub tid: i32,
    /// At home.
    pub at_home: i32,
    /// The wait that it was in when it was told to stop.
    pub unfinished: Option<Unfinished>,
}

/// Captures a process that was running, all `threads` of which are stopped by
/// us; the leader is the first of them. Each makes a few calls for that.
///
/// Threads that were interrupted in a call have its restart code in their
/// image: where they go on, the kernel makes the call again.
///
/// # Errors
/// [`ImageError::Stays`] with the reason why it cannot go; the threads are as
/// they were.
pub fn running(
    threads: &[StoppedThread],
    surroundings: &mut Surroundings<'_>,
) -> Result<Image, ImageError> {
    let Some(leader) = threads.first() else {
        return Err(ImageError::Refused("a process without threads".into()));
    };
    let pid = leader.tid;
    let step = |doing| ImageError::step(doing, pid);
    for thread in threads {
        let regs = ptrace::registers(thread.tid).map_err(step("read the registers"))?;
        // Neither which call that is nor what is left of it can be told.
        if regs.orig_rax as i64 == libc::SYS_restart_syscall && (regs.rax as i64) < 0 {
            let tid = thread.tid;
            let reason = format!("thread {tid} waits in a call that a stop has interrupted before");
            return Err(ImageError::Stays { pid, reason });
        }
    }
    let status = proc_file(pid, "status").map_err(step("read the status"))?;
    let status = String::from_utf8_lossy(&status);
    let lines = maps::read(pid).map_err(step("read the mappings"))?;
    let loan = Loan::of(pid, &lines)?;
    let mut image = empty(pid, leader.at_home)?;
    let (looked, survey) = survey::during(pid, &lines, || {
        look_into_threads(&mut image, pid, threads, loan, &status)
    });
    looked?;
    let survey = survey.map_err(step("read the mappings"))?;
    add_mappings(&mut image, pid, survey, surroundings)?;
    Ok(image)
}

/// State of the threads, and signals that wait.
fn look_into_threads(
    image: &mut Image,
    pid: i32,
    threads: &[StoppedThread],
    loan: Loan,
    status: &str,
) -> Result<(), ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    for thread in threads {
        let mut injector = Injector::begin(thread.tid, loan)
            .map_err(ImageError::step("take over a thread", thread.tid))?;
        let mut captured = capture_thread(thread, &mut injector);
        if thread.tid == pid && captured.is_ok() {
            let process = capture_process(image, status, &mut injector);
            captured = process.and(captured);
        }
        let captured = captured.map_err(injector.step("look into a thread"));
        if let Err(ended @ ImageError::Ended { .. }) = captured {
            return Err(ended);
        }
        injector.end_keeping_signals(pid)?;
        image.threads.push(captured?);
        let own =
            ptrace::pending_signals(thread.tid, false).map_err(step("read the waiting signals"))?;
        let tid = thread.at_home;
        let own = own.into_iter().map(|info| PendingSignal { tid, info });
        image.pending.extend(own);
    }
    add_signals_of_all(image, pid, loan)
}

/// Signals that wait for the whole process, and what its timers and limits of CPU time have left when they do:
/// that runs out while the threads are asked, too, and then is either a signal or left over, never both.
fn add_signals_of_all(image: &mut Image, pid: i32, loan: Loan) -> Result<(), ImageError> {
    /// One whose interval is shorter than this takes runs out each time.
    const TRIES: u32 = 16;
    let step = |doing| ImageError::step(doing, pid);
    for last in (0..TRIES).rev() {
        let all = ptrace::pending_signals(pid, true).map_err(step("read the waiting signals"))?;
        let limits = crate::limits::of(pid).map_err(step("read the limits"))?;
        let timers = match image.cpu_timers.are_armed() {
            true => {
                let mut leader = Injector::begin(pid, loan).map_err(step("take over a thread"))?;
                let asked = CpuTimers::ask(&mut leader);
                let asked = asked.map_err(leader.step("ask for timers"));
                if let Err(ended @ ImageError::Ended { .. }) = asked {
                    return Err(ended);
                }
                leader.end_keeping_signals(pid)?;
                asked?
            }
            false => image.cpu_timers,
        };
        let is_same = limits == image.limits && !timers.have_run_out_since(&image.cpu_timers);
        (image.limits, image.cpu_timers) = (limits, timers);
        if is_same || last == 0 {
            let all = all.into_iter().map(|info| PendingSignal { tid: 0, info });
            image.pending.extend(all);
            break;
        }
    }
    Ok(())
}

/// What only the thread itself can tell, and the rest of it.
fn capture_thread(thread: &StoppedThread, injector: &mut Injector) -> std::io::Result<Thread> {
    const ERESTART_RESTARTBLOCK: i64 = -516;
    const ERESTARTNOHAND: i64 = -514;
    const SS_ONSTACK: u64 = 1;
    const PR_GET_TID_ADDRESS: u64 = 40;
    let tid = thread.tid;
    let [clear_tid] = injector.words(libc::SYS_prctl, &[PR_GET_TID_ADDRESS], 1)?;
    let [stack, flags, bytes] = injector.words(libc::SYS_sigaltstack, &[0], 1)?;
    let mut regs = *injector.registers();
    // What a restart block knows stays behind: the call is made again.
    if regs.rax as i64 == ERESTART_RESTARTBLOCK {
        regs.rax = ERESTARTNOHAND as u64;
    }
    let rseq = ptrace::rseq(tid).unwrap_or_default();
    if rseq.address != 0 {
        leave_critical_section(tid, rseq.address, &mut regs)?;
    }
    Ok(Thread {
        tid: thread.at_home,
        registers: to_words(&regs),
        xstate: ptrace::xstate(tid)?,
        mask: injector.mask(),
        altstack: [stack, flags & 0xffff_ffff & !SS_ONSTACK, bytes],
        rseq: (rseq.address, rseq.bytes, rseq.signature),
        robust_list: ptrace::robust_list(tid)?,
        clear_tid,
        spent: cpu_time::ask(injector, libc::RUSAGE_THREAD)?,
        settings: OfThread::ask(injector)?,
        unfinished: thread
            .unfinished
            .filter(|unfinished| unfinished::is_about_to_call(&regs, unfinished.nr)),
    })
}

/// A thread that is moved within a restartable sequence is to take its abort
/// handler, rseq(2).
fn leave_critical_section(tid: i32, rseq: u64, regs: &mut Registers) -> std::io::Result<()> {
    let word = |at: u64| -> std::io::Result<u64> {
        let mut bytes = [0; 8];
        match vm::read(tid, at, &mut bytes)? {
            8 => Ok(u64::from_ne_bytes(bytes)),
            _ => Err(std::io::Error::from_raw_os_error(libc::EFAULT)),
        }
    };
    let descriptor = word(rseq.wrapping_add(8))?;
    if descriptor == 0 {
        return Ok(());
    }
    let [start, length, abort] = [8, 16, 24].map(|offset| word(descriptor.wrapping_add(offset)));
    if regs.rip.wrapping_sub(start?) < length? {
        regs.rip = abort?;
    }
    vm::write(tid, rseq + 8, &[0; 8]).map(drop)
}

/// What the leader tells of the process.
fn capture_process(image: &mut Image, status: &str, leader: &mut Injector) -> std::io::Result<()> {
    image.mm.brk = leader.call(libc::SYS_brk, &[0])? as u64;
    image.spent = cpu_time::ask(leader, libc::RUSAGE_SELF)?;
    image.settings = OfMemory::ask(leader)?;
    image.cpu_timers = CpuTimers::ask(leader)?;
    let set = |name| {
        status_field(status, name)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .unwrap_or(0)
    };
    // That of SIGCHLD has flags that count without a handler.
    let other = set("SigIgn:") | set("SigCgt:") | 1 << (libc::SIGCHLD - 1);
    for signal in (1..=64).filter(|signal| other >> (signal - 1) & 1 == 1) {
        let action = leader.words(libc::SYS_rt_sigaction, &[signal as u64, 0, 0, 8], 2)?;
        image.actions.push(SignalAction { signal, action });
    }
    Ok(())
}

/// An image of process `pid` here, `at_home` there, without threads and mappings.
fn empty(pid: i32, at_home: i32) -> Result<Image, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    Ok(Image {
        version: VERSION,
        pid: at_home,
        comm: comm(pid).map_err(step("read the name"))?,
        mm: mm_fields(pid).map_err(step("read the memory layout"))?,
        mappings: Vec::new(),
        files: Vec::new(),
        actions: Vec::new(),
        limits: crate::limits::of(pid).map_err(step("read the limits"))?,
        departure: 0,
        placement: 0,
        spent: CpuTime::default(),
        settings: OfMemory::default(),
        cpu_timers: CpuTimers::default(),
        asks_cpu_time: false,
        threads: Vec::new(),
        held: 0,
        pending: Vec::new(),
        pages: Vec::new(),
        later: Vec::new(),
    })
}

fn add_mappings(
    image: &mut Image,
    pid: i32,
    mut survey: Survey,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), ImageError> {
    let lines = std::mem::take(&mut survey.lines);
    let mut mapped = Mapped {
        pid,
        survey,
        surroundings,
        page_map: maps::page_map(pid).map_err(ImageError::step("open the page map", pid))?,
        last: None,
    };
    for line in &lines {
        add_mapping(image, line, &mut mapped)?;
    }
    let bytes = image.page_bytes();
    if bytes > PAGES_BYTES_MAX {
        return Err(ImageError::Stays {
            pid,
            reason: format!("{} MiB would have to be moved", bytes >> 20),
        });
    }
    Ok(())
}

/// What the mappings of one process are looked up in.
struct Mapped<'a, 'b> {
    pid: i32,
    surroundings: &'a mut Surroundings<'b>,
    page_map: File,
    survey: Survey,
    /// The file of the last mapping that had one: a program is mapped in
    /// several parts one after the other.
    last: Option<(Line, FileIdentity)>,
}

/// Whether the leading thread of process `pid` has ended before the others.
pub fn has_lost_leader(pid: i32) -> bool {
    let stat = proc_file(pid, "stat").unwrap_or_default();
    let state = stat.rsplit(|byte| *byte == b')').next();
    state.is_some_and(|rest| rest.starts_with(b" Z"))
}

/// Whether process `pid` may leave home at all. `is_counted`: it has the filter of
/// [`Returning::count`](crate::restore::Returning::count).
///
/// # Errors
/// [`ImageError::Stays`] with the reason why not.
pub fn may_leave(pid: i32, is_counted: bool) -> Result<(), ImageError> {
    let status = proc_file(pid, "status").map_err(ImageError::step("read the status", pid))?;
    refuse_foreign(pid, &String::from_utf8_lossy(&status), is_counted)
}

/// Programs that must stay: other ABIs, gained privileges, own filters.
fn refuse_foreign(pid: i32, status: &str, is_counted: bool) -> Result<(), ImageError> {
    let stays = |reason: &str| ImageError::Stays {
        pid,
        reason: reason.to_owned(),
    };
    let auxv =
        proc_file(pid, "auxv").map_err(ImageError::step("read the auxiliary vector", pid))?;
    let mut ended = false;
    for pair in auxv.chunks_exact(16) {
        let word = |at: usize| {
            pair[at..at + 8]
                .iter()
                .rev()
                .fold(0u64, |n, b| n << 8 | u64::from(*b))
        };
        match (word(0), word(8)) {
            (AT_NULL, _) => {
                ended = true;
                break;
            }
            (AT_SECURE, 1) => {
                return Err(stays(
                    "it runs with privileges gained from its file (setuid)",
                ));
            }
            _ => {}
        }
    }
    // A 32-bit auxiliary vector has no 64-bit end mark in the right place.
    let mut magic = [0u8; 5];
    let class = File::open(format!("/proc/{pid}/exe"))
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut magic).map(|()| magic[4]));
    if !ended || matches!(class, Ok(1)) {
        return Err(stays("it is a 32-bit program"));
    }
    if status_field(status, "NSpid:").is_some_and(|pids| pids.split_whitespace().count() > 1) {
        return Err(stays("it is in a pid namespace of its own"));
    }
    let user = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/user"));
    if user(&pid.to_string()).ok() != user("self").ok() {
        return Err(stays("it is in a user namespace of its own"));
    }
    let filtered = status_field(status, "Seccomp:").is_some_and(|mode| mode != "0");
    let is_ours = is_counted && status_field(status, "Seccomp_filters:") == Some("1");
    if filtered && !is_ours {
        return Err(stays("it runs under a seccomp filter of its own"));
    }
    Ok(())
}

/// Value of a line of `/proc/PID/status`.
pub fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn comm(pid: i32) -> std::io::Result<Vec<u8>> {
    let mut comm = proc_file(pid, "comm")?;
    comm.pop_if(|last| *last == b'\n');
    Ok(comm)
}

/// From `/proc/PID/stat`, fields 26 to 28 and 45 to 51. Right after an execve
/// the heap is empty, so that its end is its start.
fn mm_fields(pid: i32) -> std::io::Result<MmFields> {
    let stat = proc_file(pid, "stat")?;
    let stat = String::from_utf8_lossy(&stat);
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest
        .split_whitespace()
        .skip(1)
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    // `fields[0]` is field 4 of proc_pid_stat(5).
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    Ok(MmFields {
        start_code: field(26),
        end_code: field(27),
        start_data: field(45),
        end_data: field(46),
        start_brk: field(47),
        brk: field(47),
        start_stack: field(28),
        arg_start: field(48),
        arg_end: field(49),
        env_start: field(50),
        env_end: field(51),
    })
}

/// Ignored signals are all that execve leaves of the dispositions.
fn ignored_signals(status: &str) -> Vec<SignalAction> {
    const SIG_IGN: u64 = 1;
    let set = status_field(status, "SigIgn:")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    (1..=64)
        .filter(|signal| set >> (signal - 1) & 1 == 1)
        .map(|signal| SignalAction {
            signal,
            action: [SIG_IGN, 0, 0, 0],
        })
        .collect()
}

/// What every process may map on every node: the kernel's own default for `vm.mmap_min_addr`.
const LOWEST_ADDRESS: u64 = 65536;

fn add_mapping(
    image: &mut Image,
    line: &Line,
    mapped: &mut Mapped<'_, '_>,
) -> Result<(), ImageError> {
    let pid = mapped.pid;
    let stays = |reason: String| ImageError::Stays { pid, reason };
    if let Some((_, what)) = STAYING.iter().find(|(flag, _)| line.has(flag)) {
        return Err(stays(format!("it has {what} in its memory")));
    }
    if line.start < LOWEST_ADDRESS {
        return Err(stays(
            "it has memory at addresses that only a privileged process may use (MMAP_PAGE_ZERO)"
                .into(),
        ));
    }
    let backing = match line.name.as_str() {
        "[vsyscall]" => return Ok(()),
        "[vdso]" => Backing::Vdso,
        name if name.starts_with("[vvar") => Backing::Vvar,
        _ if line.shared => shared_backing(image, line, mapped)?,
        // A private mapping of the device is memory, though it shows the name.
        _ if line.inode == 0 || line.name == "/dev/zero" => Backing::Anonymous,
        _ => match identify(line, mapped) {
            Ok(identity) => Backing::File {
                file: file_index(image, identity),
                offset: line.offset,
            },
            Err(Unidentified::Shipped) => Backing::Anonymous,
            Err(Unidentified::Stays(why)) => {
                return Err(stays(format!("it has mapped {}: {why}", line.name)));
            }
        },
    };
    if !matches!(backing, Backing::Vdso | Backing::Vvar) {
        let (map, start, end) = (&mapped.page_map, line.start, line.end);
        let runs = match backing {
            Backing::Anonymous if line.shared => maps::present_pages(map, start, end),
            Backing::Anonymous if line.inode != 0 => Ok(vec![PageRun {
                start,
                count: (end - start) / PAGE_BYTES,
            }]),
            _ if line.shared => Ok(Vec::new()),
            _ => mapped.survey.written(map, start, end),
        };
        image.pages.extend(runs.map_err(|error| match error.kind() {
            std::io::ErrorKind::Unsupported => stays(error.to_string()),
            _ => ImageError::step("read the page map", pid)(error),
        })?);
    }
    let advice = ADVICE.iter().filter(|(flag, _)| line.has(flag));
    image.mappings.push(crate::schema::Mapping {
        start: line.start,
        end: line.end,
        prot: line.prot,
        grows_down: line.name == "[stack]" || line.has(b"gd"),
        shared: line.shared,
        advice: match backing {
            Backing::Vdso | Backing::Vvar => Vec::new(),
            _ => advice.map(|(_, advice)| *advice).collect(),
        },
        backing,
    });
    Ok(())
}

/// Flags of mappings that keep a process where it is, and what they mean.
const STAYING: &[(&[u8; 2], &str)] = &[
    (b"ss", "a shadow stack"),
    (b"sl", "sealed mappings"),
    (b"um", "pages that the program itself fills (userfaultfd)"),
    (b"uw", "pages that the program itself watches (userfaultfd)"),
    (b"ui", "pages that the program itself fills (userfaultfd)"),
    (b"ht", "huge pages of a reserve"),
];

/// Flags of mappings and the advice of madvise(2) that sets them.
pub(crate) const ADVICE: &[(&[u8; 2], i32)] = &[
    (b"dc", libc::MADV_DONTFORK),
    (b"wf", libc::MADV_WIPEONFORK),
    (b"dd", libc::MADV_DONTDUMP),
    (b"hg", libc::MADV_HUGEPAGE),
    (b"nh", libc::MADV_NOHUGEPAGE),
    (b"mg", libc::MADV_MERGEABLE),
    (b"sr", libc::MADV_SEQUENTIAL),
    (b"rr", libc::MADV_RANDOM),
];

/// What is behind a shared mapping, if it can go: a file that can only be read,
/// or memory that nobody shares.
fn shared_backing(
    image: &mut Image,
    line: &Line,
    mapped: &mut Mapped<'_, '_>,
) -> Result<Backing, ImageError> {
    let pid = mapped.pid;
    let stays = |reason: String| ImageError::Stays { pid, reason };
    let is_memory = line.name.is_empty() || line.name == "/dev/zero (deleted)";
    if line.flags.is_empty() || line.has(b"io") || line.has(b"pf") {
        return Err(stays(format!("it has shared memory ({})", line.name)));
    }
    if is_memory {
        return match (mapped.surroundings.sharer)(line) {
            Some(other) => Err(stays(format!("it shares memory with process {other}"))),
            None => Ok(Backing::Anonymous),
        };
    }
    match identify(line, mapped) {
        Ok(identity) => Ok(Backing::File {
            file: file_index(image, identity),
            offset: line.offset,
        }),
        Err(_) => Err(stays(format!(
            "it shares memory with a file ({})",
            line.name
        ))),
    }
}

fn identify(line: &Line, mapped: &mut Mapped<'_, '_>) -> Result<FileIdentity, Unidentified> {
    let key = |line: &Line| (line.name.clone(), line.device, line.inode);
    if let Some((last, identity)) = &mapped.last
        && key(last) == key(line)
    {
        return Ok(identity.clone());
    }
    let identity = (mapped.surroundings.identify)(line)?;
    mapped.last = Some((line.clone(), identity.clone()));
    Ok(identity)
}

fn file_index(image: &mut Image, identity: FileIdentity) -> u32 {
    let known = image.files.iter().position(|f| *f == identity);
    known.unwrap_or_else(|| {
        image.files.push(identity);
        image.files.len() - 1
    }) as u32
}

/// Contents of the pages of `image`, read from process `pid`, of which it was
/// captured, appended to `into`.
pub fn pages(image: &Image, pid: i32, into: &mut Vec<u8>) -> Result<(), ImageError> {
    let mut source = Source::new(pid, &image.pages);
    while source
        .contents(into)
        .map_err(ImageError::step("read the memory", pid))?
    {}
    Ok(())
}

/// Registers as words in the kernel's order.
pub fn to_words(r: &Registers) -> [u64; 27] {
    [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx,
        r.rsi, r.rdi, r.orig_rax, r.rip, r.cs, r.eflags, r.rsp, r.ss, r.fs_base, r.gs_base, r.ds,
        r.es, r.fs, r.gs,
    ]
}

/// The reverse of [`to_words`].
pub fn from_words(w: &[u64; 27]) -> Registers {
    Registers {
        r15: w[0],
        r14: w[1],
        r13: w[2],
        r12: w[3],
        rbp: w[4],
        rbx: w[5],
        r11: w[6],
        r10: w[7],
        r9: w[8],
        r8: w[9],
        rax: w[10],
        rcx: w[11],
        rdx: w[12],
        rsi: w[13],
        rdi: w[14],
        orig_rax: w[15],
        rip: w[16],
        cs: w[17],
        eflags: w[18],
        rsp: w[19],
        ss: w[20],
        fs_base: w[21],
        gs_base: w[22],
        ds: w[23],
        es: w[24],
        fs: w[25],
        gs: w[26],
    }
}
