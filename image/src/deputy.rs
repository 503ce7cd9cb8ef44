//! Deputise: what is left at home of a process whose user code goes elsewhere.
//!
//! The window is mapped into the original process, its thread is pointed at
//! the stub, and its memory is dropped, except the pages that hold arguments
//! and environment, so that `ps` still shows them.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use sys::limits::{self, Raised, UNLIMITED};
use sys::ptrace::{self, Change, Registers};
use sys::window::{Call, Geometry, Slot, Window};
use sys::{pidfd, stub};

use crate::ImageError;
use crate::cpu_time::{self, CpuTime};
use crate::cpu_timers::{self, CpuTimers};
use crate::inject::{Injector, Loan};
use crate::pending::{forgotten, queue, take_all};
use crate::remake::{LOWEST, Maker, TASK_END};
use crate::schema::{Image, PAGE_BYTES, PendingSignal, SignalAction};
use crate::settings::{OfMemory, OfThread};

/// Slots and buffers of a deputy: room for 16 threads or children before
/// another window is needed, and for the largest call with its structures.
pub const GEOMETRY: Geometry = Geometry {
    slots: 16,
    data_bytes: 5 << 19,
};

/// Where the window may stand in a deputy; the first that is free is taken.
pub const PLACES: [u64; 4] = [
    0x1_0000_0000,
    0x10_0000_0000,
    0x100_0000_0000,
    0x6000_0000_0000,
];
/// Distance between the windows of one deputy.
pub const WINDOW_STRIDE: u64 = 64 << 20;
/// Most windows of one deputy: 64 × 16 threads and children at once.
pub const WINDOWS_MAX: u64 = 64;
/// Flags of SIGCHLD that act where the children are.
pub const CHILD_FLAGS: u64 = (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT) as u64;
const ALL_SIGNALS_BUT_TRAP: u64 = !(1 << (libc::SIGTRAP - 1));

/// A mapped window and the leader's slot in it.
pub struct Deputised {
    /// Our mapping.
    pub window: Arc<Window>,
    /// Address of the window in the deputy.
    pub address: u64,
    /// Slot of the thread. A batch that drops the memory is under way in it:
    /// wait for it before the first call.
    pub slot: Slot,
    /// Signals that arrived meanwhile, to be treated as if they came now.
    pub signals: Vec<i32>,
    /// What only the process could tell.
    pub told: Told,
}

/// What a process that has just executed a program tells of itself, and its only thread.
pub struct Told {
    spent: [CpuTime; 2],
    of_memory: OfMemory,
    of_thread: OfThread,
    cpu_timers: CpuTimers,
}

impl Told {
    fn ask(injector: &mut Injector) -> io::Result<Told> {
        Ok(Told {
            spent: [
                cpu_time::ask(injector, libc::RUSAGE_SELF)?,
                cpu_time::ask(injector, libc::RUSAGE_THREAD)?,
            ],
            of_memory: OfMemory::ask(injector)?,
            of_thread: OfThread::ask(injector)?,
            cpu_timers: CpuTimers::ask(injector)?,
        })
    }

    /// Puts it into the image of that process.
    pub fn put(self, image: &mut Image) {
        [image.spent, image.threads[0].spent] = self.spent;
        image.settings = self.of_memory;
        image.threads[0].settings = self.of_thread;
        image.cpu_timers = self.cpu_timers;
    }
}

/// Turns process `pid`, captured as `image` and stopped right after an execve,
/// into a deputy and lets it run.
///
/// # Errors
/// The process is as it was before, stopped, and may go on natively.
pub fn deputise(pid: i32, image: &Image) -> Result<Deputised, ImageError> {
    let address = place(image, 1).ok_or_else(|| ImageError::Stays {
        pid,
        reason: "its address space has no room for the window".into(),
    })?;
    let step = |doing| ImageError::step(doing, pid);
    let _limits = raise_limits(pid)?;
    let old = ptrace::registers(pid).map_err(step("read the registers"))?;
    let mask = ptrace::signal_mask(pid).map_err(step("read the signal mask"))?;
    ptrace::set_signal_mask(pid, ALL_SIGNALS_BUT_TRAP).map_err(step("block the signals"))?;
    let mut signals = Vec::new();
    let made = map_window(pid, &old, address, &mut signals);
    let restore = || -> io::Result<()> {
        ptrace::set_registers(pid, &old)?;
        ptrace::set_signal_mask(pid, mask)
    };
    let (window, fd) = match made {
        Ok(made) => made,
        Err(error) => {
            // Fails only if the process has ended, which its exit will report.
            let _ = restore();
            return Err(error);
        }
    };
    let mut slot = window
        .take_slot()
        .ok_or_else(|| ImageError::Refused("a new window without a free slot".into()))?;
    let told = ask(pid, address, &slot, &mut signals)?;
    let mut regs = old;
    point_at_slot(&mut regs, address, address + slot.offset());
    ptrace::set_registers(pid, &regs).map_err(step("point the thread at the stub"))?;
    // Else nothing is blocked in a deputy: every signal stops it and is passed on.
    ptrace::set_signal_mask(pid, image.held).map_err(step("unblock the signals"))?;
    slot.data()[..cpu_timers::BYTES].fill(0);
    let zeros = address + slot.data_offset();
    let mut calls: Vec<Call> = told.cpu_timers.disarming(zeros).collect();
    calls.extend(drop_memory(image, address, window.bytes() as u64, fd));
    slot.post(&calls);
    ptrace::resume(pid, 0).map_err(step("start the stub"))?;
    Ok(Deputised {
        window,
        address,
        slot,
        signals,
        told,
    })
}

/// Process `pid`, stopped and with all signals blocked, asks the kernel by means of the window at
/// `address`.
fn ask(pid: i32, address: u64, slot: &Slot, signals: &mut Vec<i32>) -> Result<Told, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    let loan = Loan {
        instruction: address + stub::calling_offset() - 2,
        scratch: address + slot.data_offset(),
    };
    let mut injector = Injector::begin(pid, loan).map_err(step("take over the thread"))?;
    let asked = Told::ask(&mut injector).map_err(injector.step("look into the program"))?;
    signals.extend(injector.end().map_err(step("let go of the thread"))?);
    Ok(asked)
}

/// A window of a deputy.
pub struct Standing {
    /// Our mapping.
    pub window: Arc<Window>,
    /// Its address in the deputy.
    pub address: u64,
}

/// What is known of a deputy that was a running process.
pub struct Stood {
    /// Its windows.
    pub windows: Vec<Standing>,
    /// For each thread of the image the window (an index) and slot that it serves.
    pub slots: Vec<(usize, Slot)>,
    /// The signals that waited and are not its image's held ones: they wait no more, and are to be
    /// told to its host before the body runs.
    pub pending: Vec<PendingSignal>,
}

/// Turns a process that was running, captured as `image`, into a deputy. All
/// its threads are stopped by us; `image` has them in the order wanted for the
/// slots. All signals of its threads are blocked then. Its memory is still
/// there: [`to_drop`].
///
/// # Errors
/// [`ImageError::Stays`]: the process is as it was before, stopped. Another
/// error: it has ended, or is lost.
pub fn deputise_running(image: &Image) -> Result<Stood, ImageError> {
    let pid = image.pid;
    let step = |doing| ImageError::step(doing, pid);
    let count = image.threads.len().div_ceil(GEOMETRY.slots);
    // While its memory is there further windows need room, too.
    let first = place(image, WINDOWS_MAX)
        .or_else(|| place(image, count as u64))
        .ok_or_else(|| ImageError::Stays {
            pid,
            reason: "its address space has no room for the window".into(),
        })?;
    let _limits = raise_limits(pid)?;
    let lines = crate::maps::read(pid).map_err(step("read the mappings"))?;
    let mut injector = Injector::begin(pid, Loan::of(pid, &lines)?)
        .map_err(step("take over the leading thread"))?;
    let windows = (0..count as u64)
        .map(|index| map_window_by(&mut injector, pid, first + index * WINDOW_STRIDE))
        .collect::<Result<Vec<_>, _>>();
    if let Err(ended @ ImageError::Ended { .. }) = windows {
        return Err(ended);
    }
    injector.end_keeping_signals(pid)?;
    let windows = windows?;
    let mut slots = Vec::new();
    for (index, thread) in image.threads.iter().enumerate() {
        let standing = &windows[index / GEOMETRY.slots];
        let slot = standing
            .window
            .take_slot()
            .ok_or_else(|| ImageError::Refused("a new window without a free slot".into()))?;
        let step = |doing| ImageError::step(doing, thread.tid);
        ptrace::set_signal_mask(thread.tid, u64::MAX).map_err(step("block the signals"))?;
        let mut regs = ptrace::registers(thread.tid).map_err(step("read the registers"))?;
        point_at_slot(
            &mut regs,
            standing.address,
            standing.address + slot.offset(),
        );
        ptrace::set_registers(thread.tid, &regs).map_err(step("point it at the stub"))?;
        ptrace::resume(thread.tid, 0).map_err(step("start the stub"))?;
        slots.push((index / GEOMETRY.slots, slot));
    }
    let pending = forget_process(image, &windows, &mut slots)?;
    Ok(Stood {
        windows,
        slots,
        pending,
    })
}

/// Of what a process has registered with the kernel nothing stays with a deputy. Returns the signals
/// that waited, but those that are held at home.
fn forget_process(
    image: &Image,
    windows: &[Standing],
    slots: &mut [(usize, Slot)],
) -> Result<Vec<PendingSignal>, ImageError> {
    const SIG_IGN: u64 = 1;
    const ROBUST_LIST_BYTES: u64 = 24;
    let handled = image.actions.iter().filter(|a| a.action[0] > SIG_IGN);
    let default: Vec<SignalAction> = handled
        .map(|a| {
            let flags = match a.signal {
                libc::SIGCHLD => a.action[1] & CHILD_FLAGS,
                _ => 0,
            };
            SignalAction {
                signal: a.signal,
                action: [0, flags, 0, 0],
            }
        })
        .collect();
    let (mut pending, mut waiting) = (Vec::new(), Vec::new());
    for (thread, (window, slot)) in image.threads.iter().zip(&mut *slots) {
        let mut maker = Maker::new(thread.tid, windows[*window].address, slot);
        maker.unregister_sequences(thread);
        let nothing = [0, ROBUST_LIST_BYTES];
        maker.add(
            libc::SYS_set_robust_list,
            &nothing,
            "forget the robust list",
        );
        maker.add(libc::SYS_set_tid_address, &[0], "forget the tid's address");
        maker.run()?;
        take_all(&mut maker, !image.held, &mut pending)?;
        take_all(&mut maker, forgotten(&default) & image.held, &mut waiting)?;
    }
    let Some((window, slot)) = slots.first_mut() else {
        return Ok(pending);
    };
    let mut maker = Maker::new(image.pid, windows[*window].address, slot);
    maker.set_actions(&default)?;
    maker.run()?;
    image.cpu_timers.disarm(&mut maker)?;
    for (thread, (window, slot)) in image.threads.iter().zip(slots) {
        let mut maker = Maker::new(thread.tid, windows[*window].address, slot);
        let is_leader = thread.tid == image.pid;
        let its = |s: &&PendingSignal| s.tid == thread.tid || s.tid == 0 && is_leader;
        for signal in waiting.iter().filter(its) {
            queue(&mut maker, image.pid, signal)?;
        }
    }
    Ok(pending)
}

/// Ranges of a deputy made of `image` that are dropped when nobody needs them
/// any more: its memory, but the pages of arguments and environment. Windows
/// and what its threads map for their calls lie elsewhere.
pub fn to_drop(image: &Image) -> Vec<(u64, u64)> {
    let kept = arguments(image).unwrap_or_default();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let parts = image.mappings.iter().flat_map(|m| {
        [
            (m.start, m.end.min(kept.0.max(m.start))),
            (m.start.max(kept.1.min(m.end)), m.end),
        ]
    });
    for (start, end) in parts.filter(|(start, end)| start < end) {
        match ranges.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => ranges.push((start, end)),
        }
    }
    ranges
}

/// Makes a window at `address` by calls of a stopped thread.
fn map_window_by(injector: &mut Injector, pid: i32, address: u64) -> Result<Standing, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    let bytes = GEOMETRY.bytes() as u64;
    let at = injector
        .put(b"homenode-window\0")
        .map_err(step("name the window"))?;
    let mut call = |nr, args: &[u64], doing| match injector.call(nr, args) {
        Ok(result) if result >= 0 => Ok(result as u64),
        Ok(errno) => Err(no_window(pid, doing, errno)),
        Err(error) => Err(injector.step(doing)(error)),
    };
    let flags = u64::from(libc::MFD_CLOEXEC);
    let fd = call(libc::SYS_memfd_create, &[at, flags], "make the window")?;
    let made = call(libc::SYS_ftruncate, &[fd, bytes], "size the window").and_then(|_| {
        let flags = (libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE) as u64;
        let args = [address, bytes, 7, flags, fd, 0];
        call(libc::SYS_mmap, &args, "map the window")
    });
    let window = made.and_then(|_| {
        let process = pidfd::open(pid).map_err(step("open the process"))?;
        let file = pidfd::getfd(process.as_fd(), fd as i32).map_err(step("fetch the window"))?;
        Window::create(&File::from(file), GEOMETRY).map_err(step("map the window here"))
    });
    call(libc::SYS_close, &[fd], "close the window's descriptor")?;
    Ok(Standing {
        window: window?,
        address,
    })
}

/// Process `pid` could not make itself a window, for a call has answered `errno`, negative.
fn no_window(pid: i32, doing: &str, errno: i64) -> ImageError {
    let reason = match io::Error::from_raw_os_error(-errno as i32) {
        // Of a file that is ours nothing else is denied.
        error if error.kind() == io::ErrorKind::PermissionDenied => {
            "its memory takes no new code (PR_SET_MDWE)".to_owned()
        }
        error => format!("{doing}: {error}"),
    };
    ImageError::Stays { pid, reason }
}

/// Registers of a thread that is about to serve the slot at address `slot` of
/// the window at `window`.
pub fn point_at_slot(regs: &mut Registers, window: u64, slot: u64) {
    regs.rip = window;
    regs.r12 = slot;
    regs.r13 = 0;
    // The stub has no stack: the thread may have been on its signal stack, which cannot be
    // changed as long as it seems to be there.
    regs.rsp = 0;
    regs.orig_rax = u64::MAX;
    regs.eflags &= !0x400;
}

/// Raises the limits of process `pid` that are in the way of a window, until
/// the result is dropped: one descriptor above those it has, a file and a
/// mapping of the window's size.
///
/// # Errors
/// [`ImageError::Stays`] if a limit cannot be raised: it would fail at home too.
pub fn raise_limits(pid: i32) -> Result<Vec<Raised>, ImageError> {
    let bytes = GEOMETRY.bytes() as u64;
    let files = limits::get(pid, libc::RLIMIT_NOFILE).map_or(0, |limit| limit.soft);
    let wanted = [
        (libc::RLIMIT_NOFILE, files.saturating_add(1)),
        (libc::RLIMIT_FSIZE, bytes),
        (libc::RLIMIT_AS, UNLIMITED),
    ];
    let raise = |(resource, wanted)| Raised::to(pid, resource, wanted);
    let raised: Vec<Raised> = wanted
        .into_iter()
        .map(raise)
        .collect::<io::Result<_>>()
        .map_err(ImageError::step("raise the limits", pid))?;
    // Exceeding it is not only an error, but a signal.
    match limits::get(pid, libc::RLIMIT_FSIZE) {
        Ok(limit) if limit.soft < bytes => Err(ImageError::Stays {
            pid,
            reason: format!(
                "its limit of file size is {}, a window has {bytes} bytes",
                limit.soft
            ),
        }),
        _ => Ok(raised),
    }
}

/// First place for `count` windows that no mapping of `image` touches.
fn place(image: &Image, count: u64) -> Option<u64> {
    let bytes = (count - 1) * WINDOW_STRIDE + GEOMETRY.bytes() as u64;
    PLACES.into_iter().find(|at| {
        image
            .mappings
            .iter()
            .all(|m| m.end <= *at || m.start >= at + bytes)
    })
}

/// Runs a few instructions in the process that make a memfd and map it.
/// Returns our mapping and the descriptor's number in the process.
fn map_window(
    pid: i32,
    old: &Registers,
    address: u64,
    signals: &mut Vec<i32>,
) -> Result<(Arc<Window>, u64), ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    let code = map_window_code(address);
    let mut saved = vec![0; code.len().next_multiple_of(8)];
    let n = sys::vm::read(pid, old.rip, &mut saved).map_err(step("read the entry point"))?;
    if n != saved.len() {
        return Err(ImageError::Stays {
            pid,
            reason: "its entry point is at the end of a mapping".into(),
        });
    }
    ptrace::poke(pid, old.rip, &code).map_err(step("write to the entry point"))?;
    let result = run_to_trap(pid, signals);
    if !matches!(result, Err(ImageError::Ended { .. })) {
        ptrace::poke(pid, old.rip, &saved).map_err(step("restore the entry point"))?;
    }
    let regs = result?;
    if regs.rax != address {
        return Err(no_window(pid, "map the window", regs.rax as i64));
    }
    let process = pidfd::open(pid).map_err(step("open the process"))?;
    let file = pidfd::getfd(process.as_fd(), regs.r14 as i32).map_err(step("fetch the window"))?;
    let window =
        Window::create(&File::from(file), GEOMETRY).map_err(step("map the window here"))?;
    Ok((window, regs.r14))
}

fn run_to_trap(pid: i32, signals: &mut Vec<i32>) -> Result<Registers, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    ptrace::resume(pid, 0).map_err(step("run"))?;
    loop {
        match ptrace::wait(pid, false).map_err(step("wait"))? {
            Some((_, Change::Signal(libc::SIGTRAP))) => {
                return ptrace::registers(pid).map_err(step("read the registers"));
            }
            Some((_, Change::Signal(signal))) => {
                signals.push(signal);
                ptrace::resume(pid, 0).map_err(step("run"))?;
            }
            Some((_, Change::Event { .. })) | None => {
                ptrace::resume(pid, 0).map_err(step("run"))?
            }
            Some((_, change @ (Change::Exited(_) | Change::Killed { .. }))) => {
                return Err(ImageError::Ended { pid, change });
            }
        }
    }
}

/// memfd_create, ftruncate, mmap; descriptor in r14, result in rax; then int3.
fn map_window_code(address: u64) -> Vec<u8> {
    let bytes = GEOMETRY.bytes() as u32;
    let mut c: Vec<u8> = Vec::new();
    c.extend([0x48, 0x8d, 0x3d]); // lea rdi, [rip + name]
    let name_at = c.len();
    c.extend([0; 4]);
    c.extend([0xbe, 1, 0, 0, 0]); // mov esi, MFD_CLOEXEC
    c.extend([0xb8]);
    c.extend(319u32.to_le_bytes()); // memfd_create
    c.extend([0x0f, 0x05]);
    c.extend([0x49, 0x89, 0xc6]); // mov r14, rax
    c.extend([0x48, 0x85, 0xc0, 0x78, 0]); // test rax, rax; js out
    let jump_1 = c.len();
    c.extend([0x4c, 0x89, 0xf7]); // mov rdi, r14
    c.push(0xbe); // mov esi, bytes
    c.extend(bytes.to_le_bytes());
    c.extend([0xb8, 77, 0, 0, 0, 0x0f, 0x05]); // ftruncate
    c.extend([0x48, 0x85, 0xc0, 0x78, 0]);
    let jump_2 = c.len();
    c.extend([0x48, 0xbf]); // mov rdi, address
    c.extend(address.to_le_bytes());
    c.push(0xbe);
    c.extend(bytes.to_le_bytes());
    c.extend([0xba, 7, 0, 0, 0]); // mov edx, read|write|exec
    c.extend([0x41, 0xba]); // mov r10d, MAP_SHARED|MAP_FIXED_NOREPLACE
    c.extend(0x10_0001u32.to_le_bytes());
    c.extend([0x4d, 0x89, 0xf0]); // mov r8, r14
    c.extend([0x45, 0x31, 0xc9]); // xor r9d, r9d
    c.extend([0xb8, 9, 0, 0, 0, 0x0f, 0x05]); // mmap
    c.extend([0x48, 0x85, 0xc0, 0x79, 0]); // test rax, rax; jns out
    let jump_3 = c.len();
    let failed = c.len();
    c.extend([0x49, 0x89, 0xc7]); // mov r15, rax
    c.extend([0x4c, 0x89, 0xf7]); // mov rdi, r14
    c.extend([0xb8, 3, 0, 0, 0, 0x0f, 0x05]); // close
    c.extend([0x4c, 0x89, 0xf8]); // mov rax, r15
    let out = c.len();
    c.push(0xcc);
    let name = c.len();
    c.extend(b"homenode-window\0");
    c[name_at..name_at + 4].copy_from_slice(&((name - name_at - 4) as u32).to_le_bytes());
    c[jump_1 - 1] = (out - jump_1) as u8;
    c[jump_2 - 1] = (failed - jump_2) as u8;
    c[jump_3 - 1] = (out - jump_3) as u8;
    c
}

/// The pages of arguments and environment.
fn arguments(image: &Image) -> Option<(u64, u64)> {
    let (from, to) = (image.mm.arg_start, image.mm.env_end);
    (from != 0 && to > from).then(|| {
        let start = from / PAGE_BYTES * PAGE_BYTES;
        (start, to.next_multiple_of(PAGE_BYTES))
    })
}

/// Calls that close descriptor `fd` and unmap all but the window and the pages
/// of arguments and environment.
fn drop_memory(image: &Image, window: u64, window_bytes: u64, fd: u64) -> Vec<Call> {
    let mut keep = vec![(window, window + window_bytes)];
    keep.extend(arguments(image));
    keep.sort_unstable();
    let mut calls = vec![Call::new(libc::SYS_close, &[fd])];
    let mut at = LOWEST;
    for (start, end) in keep.into_iter().chain([(TASK_END, TASK_END)]) {
        if start > at {
            calls.push(Call::new(libc::SYS_munmap, &[at, start - at]));
        }
        at = end;
    }
    calls
}
