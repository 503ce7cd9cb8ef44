//! Rebuild: makes a body from an image under the stub of this node.
//!
//! The init of the guest's namespaces is the stub program and nothing else. A
//! body is forked from it with the pid the process has at home, unmaps what it
//! inherited, makes the image's mappings in batches from the window, gives up
//! every right, installs the filter, and is then pointed at the image's
//! registers. The window is gone before the first instruction of the guest.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use sys::process::{Ids, InitSpec};
use sys::ptrace::{self, Change, options};
use sys::seccomp::Listener;
use sys::userfault::Userfault;
use sys::window::{Call, Geometry, Slot, Window};
use sys::{memfd, pidfd, process, stub};

use crate::ImageError;
use crate::inject::syscall_instruction;
use crate::remake::{BATCH_TIMEOUT, Device, Maker, load_registers};
use crate::restore::stands;
use crate::schema::{Backing, Image, SignalAction, Thread};

/// Slots and buffers of the window of an init and its bodies. A slot is in use
/// only while a body is made, one after the other.
const GEOMETRY: Geometry = Geometry {
    slots: 4,
    data_bytes: 64 * 1024,
};
/// Where the window stands, several times, so that one place is free in any image.
const PLACES: [u64; 3] = [0x1_0000, 0x6_0000_0000, 0x3000_0000_0000];

// Descriptors of init, and so of a body while it is made.
const SOCKET: u64 = 1;
const LAST_PID: u64 = 2;
const SECCOMP_FLAGS: u64 = 8 | 32; // NEW_LISTENER | WAIT_KILLABLE_RECV
const SECCOMP_ALL_THREADS: u64 = 1 | 16; // TSYNC | TSYNC_ESRCH
/// What threads of one process share, clone(2).
pub(crate) const THREAD_FLAGS: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM) as u64;

/// Options under which bodies and init are traced.
const BODY_OPTIONS: i32 = options::NEWBORN | options::SECCOMP | options::EXITKILL;

/// The init of one guest tree's namespaces.
pub struct Init {
    /// Its pid on this node.
    pub pid: i32,
    slot: Slot,
    window: Arc<Window>,
    socket: UnixStream,
}

/// A body, stopped by us, about to execute the first instruction of the image.
pub struct Body {
    /// Pid on this node.
    pub pid: i32,
    /// Threads: id on this node, id at home; the leader first.
    pub threads: Vec<(i32, i32)>,
    /// Hears of its system calls.
    pub listener: Listener,
    /// Serves the pages that come later, if there are any.
    pub userfault: Option<Userfault>,
}

impl Init {
    /// Starts and seizes an init. Call before any other thread exists; the
    /// calling thread becomes its tracer.
    ///
    /// # Errors
    /// What the kernel refused, in words; nothing is left behind.
    pub fn start(inside: Ids, outside: Ids, clock_offset: Option<(i64, i64)>) -> io::Result<Init> {
        let file = memfd::create(c"homenode-window")?;
        let window = Window::create(&file, GEOMETRY)?;
        let slot = window
            .take_slot()
            .ok_or_else(|| io::Error::other("a new window without a free slot"))?;
        let mut program = memfd::create(c"homenode-init")?;
        let elf = stub::init_program(0, GEOMETRY.bytes() as u64, &PLACES, slot.offset());
        io::Write::write_all(&mut program, &elf)?;
        let (socket, theirs) = UnixStream::pair()?;
        let last_pid = File::options()
            .write(true)
            .open("/proc/sys/kernel/ns_last_pid")?;
        let pid = process::start_init(&InitSpec {
            inside,
            outside,
            clock_offset,
            program: program.as_fd(),
            fds: &[file.as_fd(), theirs.as_fd(), last_pid.as_fd()],
        })?;
        ptrace::seize(pid, BODY_OPTIONS)?;
        let mut init = Init {
            pid,
            slot,
            window,
            socket,
        };
        // Children vanish as soon as we, their tracer, have seen them end.
        init.slot.data()[..8].copy_from_slice(&1u64.to_ne_bytes());
        init.slot.data()[8..32].fill(0);
        let at = init.data_address();
        let ignore = Call::new(libc::SYS_rt_sigaction, &[libc::SIGCHLD as u64, at, 0, 8]);
        init.slot.post(&[ignore]);
        if !init.slot.wait(Some(BATCH_TIMEOUT)) || init.slot.result(0) != 0 {
            return Err(io::Error::other(
                "the init of the guest's namespaces does not answer",
            ));
        }
        Ok(init)
    }

    /// Whether it is ending, which kills all bodies before we hear of it.
    pub fn is_ending(&self) -> bool {
        const PF_EXITING: u64 = 4;
        let stat = sys::proc_text::read(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // Field 9 of proc_pid_stat(5), the seventh after the name.
        let flags = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
        flags.is_none_or(|flags| flags & PF_EXITING != 0)
    }

    fn data_address(&self) -> u64 {
        PLACES[0] + self.slot.data_offset()
    }

    /// Makes `pid` the next one that the kernel gives in the guest's namespace.
    pub fn set_next_pid(&mut self, pid: i32) -> Result<(), ImageError> {
        let text = (pid - 1).to_string();
        self.slot.data()[..text.len()].copy_from_slice(text.as_bytes());
        let at = self.data_address();
        self.slot.post(&[Call::new(
            libc::SYS_pwrite64,
            &[LAST_PID, at, text.len() as u64, 0],
        )]);
        self.batch_over("set the next pid", pid)
    }

    fn batch_over(&mut self, doing: &'static str, pid: i32) -> Result<(), ImageError> {
        let step = ImageError::step(doing, pid);
        if !self.slot.wait(Some(BATCH_TIMEOUT)) {
            return Err(step(io::Error::from(io::ErrorKind::TimedOut)));
        }
        match self.slot.result(0) {
            error if error < 0 => Err(step(io::Error::from_raw_os_error(-error as i32))),
            _ => Ok(()),
        }
    }

    /// Forks a child that has `pid` in the guest's namespace. Returns its pid
    /// here; it is seized and stopped.
    fn fork_with_pid(&mut self, pid: i32) -> Result<i32, ImageError> {
        let signal = libc::SIGCHLD as u64;
        give_birth(self.pid, PLACES[0], &mut self.slot, signal, 0, Some(pid))
    }
}

/// Makes traced thread `parent`, which serves `slot` of the window at `place`,
/// clone a child with `signal` and `flags` that has `tid` in the guest's
/// namespace, or any id. Returns its id here; it is seized and stopped.
pub(crate) fn give_birth(
    parent: i32,
    place: u64,
    slot: &mut Slot,
    signal: u64,
    flags: u64,
    tid: Option<i32>,
) -> Result<i32, ImageError> {
    let step = |doing| ImageError::step(doing, tid.unwrap_or(parent));
    let at = place + slot.data_offset();
    // struct clone_args: flags at 0, exit_signal at 32, set_tid at 64, its size at 72.
    let mut args = [0u8; 88];
    args[..8].copy_from_slice(&flags.to_ne_bytes());
    args[32..40].copy_from_slice(&signal.to_ne_bytes());
    if let Some(tid) = tid {
        args[64..72].copy_from_slice(&(at + 128).to_ne_bytes());
        args[72..80].copy_from_slice(&1u64.to_ne_bytes());
        slot.data()[128..132].copy_from_slice(&tid.to_ne_bytes());
    }
    slot.data()[..88].copy_from_slice(&args);
    slot.post(&[Call::new(libc::SYS_clone3, &[at, 88])]);
    let mut child = 0;
    while child == 0 {
        match ptrace::wait(parent, true).map_err(step("wait for the parent"))? {
            Some((_, Change::Event { event, .. })) if event != ptrace::EVENT_STOP => {
                child = ptrace::event_message(parent).map_err(step("read the child's id"))? as i32;
                ptrace::resume(parent, 0).map_err(step("resume the parent"))?;
            }
            Some((_, Change::Exited(_) | Change::Killed { .. })) => {
                return Err(step("clone")(io::Error::other("the parent has ended")));
            }
            Some(_) => ptrace::resume(parent, 0).map_err(step("resume the parent"))?,
            // Either the event is on its way, or the call has failed.
            None if slot.wait(Some(Duration::from_micros(20))) => break,
            None => {}
        }
    }
    if !slot.wait(Some(BATCH_TIMEOUT)) {
        return Err(step("clone")(io::ErrorKind::TimedOut.into()));
    }
    if slot.result(0) < 0 {
        let errno = -slot.result(0) as i32;
        return Err(step("clone")(io::Error::from_raw_os_error(errno)));
    }
    wait_stopped(child)?;
    Ok(child)
}

/// Waits until thread `tid`, of which a stop is due, has stopped.
fn wait_stopped(tid: i32) -> Result<(), ImageError> {
    let step = |doing| ImageError::step(doing, tid);
    match ptrace::wait(tid, false).map_err(step("wait for a thread"))? {
        Some((_, Change::Event { .. } | Change::Signal(_))) => Ok(()),
        other => Err(step("wait for a thread")(io::Error::other(format!(
            "{other:?}"
        )))),
    }
}

/// What a node has ready for every body.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The bodies' filter, from [`sys::seccomp::assemble`].
    pub filter: &'a [[u8; 8]],
    /// That of [`sys::userfault::DEVICE`]; without it no pages can come later.
    pub userfaults: Option<&'a Arc<File>>,
}

/// Makes a body from `image`.
///
/// `pages` are the contents of [`Image::pages`]; `files` stand for
/// [`Image::files`], one each. Returns the body stopped.
///
/// # Errors
/// What failed; the half-made body is dead and reaped.
pub fn rebuild(
    init: &mut Init,
    image: &Image,
    pages: &[u8],
    files: &[Arc<File>],
    ground: Ground<'_>,
) -> Result<Body, ImageError> {
    if ground.userfaults.is_none() && !image.later.is_empty() {
        return Err(ImageError::Refused(
            "pages would come later, which this node cannot serve".into(),
        ));
    }
    if pages.len() as u64 != image.page_bytes() || files.len() != image.files.len() {
        return Err(ImageError::Refused(
            "pages or files do not match the image".into(),
        ));
    }
    let place = PLACES.into_iter().find(|place| {
        let end = place + GEOMETRY.bytes() as u64;
        image
            .mappings
            .iter()
            .all(|m| m.end <= *place || m.start >= end)
    });
    let Some(place) = place else {
        return Err(ImageError::Stays {
            pid: image.pid,
            reason: "its address space has no room for the window".into(),
        });
    };
    let pid = init.fork_with_pid(image.pid)?;
    let mut builder = Builder {
        pid,
        place,
        threads: vec![(pid, image.pid)],
    };
    let made = match init.window.take_slot() {
        Some(mut slot) => builder.build(init, &mut slot, image, pages, files, ground),
        None => Err(ImageError::Refused("no free slot in the window".into())),
    };
    let threads = builder.threads;
    match made {
        Ok((listener, userfault)) => Ok(Body {
            pid,
            threads,
            listener,
            userfault,
        }),
        Err(error) => {
            // ESRCH: it has ended by itself.
            let _ = ptrace::kill(pid, libc::SIGKILL);
            // The leader's end is told last.
            for (tid, _) in threads.into_iter().rev() {
                while !matches!(
                    ptrace::wait(tid, false),
                    Ok(Some((_, Change::Exited(_) | Change::Killed { .. }))) | Err(_)
                ) {}
            }
            Err(error)
        }
    }
}

/// A body in the making.
struct Builder {
    pid: i32,
    place: u64,
    /// Those that exist so far: id here, id at home.
    threads: Vec<(i32, i32)>,
}

impl Builder {
    fn build(
        &mut self,
        init: &Init,
        slot: &mut Slot,
        image: &Image,
        pages: &[u8],
        files: &[Arc<File>],
        ground: Ground<'_>,
    ) -> Result<(Listener, Option<Userfault>), ImageError> {
        let pid = self.pid;
        let step = move |doing| ImageError::step(doing, pid);
        start_stub(pid, self.place, slot)?;
        let mut leader = Maker::new(pid, self.place, slot);
        let end = self.place + GEOMETRY.bytes() as u64;
        leader.unmap_all_but(&[(self.place, end)]);
        let device = ground.userfaults.filter(|_| !image.later.is_empty());
        let all: Vec<Arc<File>> = files.iter().chain(device).cloned().collect();
        let numbers = leader.receive_files(init.socket.as_fd(), SOCKET, &all)?;
        // Nobody forks here before all is there.
        let device = device.and(numbers.last()).map(|number| Device {
            number: *number,
            tells_forks: false,
        });
        let userfault = leader.make_memory(image, pages, &numbers, device)?;
        set_process_state(&mut leader, image)?;
        set_signal_stack(&mut leader, &image.threads[0])?;
        leader.set_thread_state(&image.threads[0])?;
        self.make_threads(init, &mut leader, &image.threads[1..])?;
        image.cpu_timers.arm(&mut leader)?;
        give_up_capabilities(&mut leader)?;
        leader.run()?;
        let listener = self.install_filter(leader.slot, ground.filter)?;
        self.close_listener(leader.slot, &listener)?;
        self.remove_window(image)?;
        for (thread, (tid, _)) in image.threads.iter().zip(&self.threads) {
            load_registers(*tid, thread).map_err(step("load the registers"))?;
        }
        crate::limits::apply(pid, &image.limits, image.spent).map_err(step("set the limits"))?;
        Ok((listener, userfault))
    }

    /// Clones the other threads; each makes its own state and stops.
    fn make_threads(
        &mut self,
        init: &Init,
        leader: &mut Maker<'_>,
        threads: &[Thread],
    ) -> Result<(), ImageError> {
        for thread in threads {
            let tid = give_birth(
                self.pid,
                self.place,
                leader.slot,
                0,
                THREAD_FLAGS,
                Some(thread.tid),
            )?;
            self.threads.push((tid, thread.tid));
            let no_slot = || ImageError::Refused("no free slot in the window".into());
            let mut slot = init.window.take_slot().ok_or_else(no_slot)?;
            start_stub(tid, self.place, &slot)?;
            let mut maker = Maker::new(tid, self.place, &mut slot);
            set_signal_stack(&mut maker, thread)?;
            maker.set_thread_state(thread)?;
            give_up_capabilities(&mut maker)?;
            maker.run()?;
            ptrace::interrupt(tid).map_err(ImageError::step("stop a thread", tid))?;
            wait_stopped(tid)?;
        }
        Ok(())
    }

    fn install_filter(&self, slot: &mut Slot, filter: &[[u8; 8]]) -> Result<Listener, ImageError> {
        let step = |doing| ImageError::step(doing, self.pid);
        let at = self.place + slot.data_offset();
        let data = slot.data();
        // struct sock_fprog at 0, the program at 64.
        data[..8].copy_from_slice(&(filter.len() as u64).to_ne_bytes());
        data[8..16].copy_from_slice(&(at + 64).to_ne_bytes());
        for (index, instruction) in filter.iter().enumerate() {
            data[64 + index * 8..72 + index * 8].copy_from_slice(instruction);
        }
        let mut flags = SECCOMP_FLAGS;
        if self.threads.len() > 1 {
            flags |= SECCOMP_ALL_THREADS;
        }
        slot.post(&[Call::new(libc::SYS_seccomp, &[1, flags, at])]);
        if !slot.wait(Some(BATCH_TIMEOUT)) {
            return Err(step("install the filter")(io::ErrorKind::TimedOut.into()));
        }
        let fd = slot.result(0);
        if fd < 0 {
            return Err(step("install the filter")(io::Error::from_raw_os_error(
                -fd as i32,
            )));
        }
        let process = pidfd::open(self.pid).map_err(step("open the body"))?;
        let listener =
            pidfd::getfd(process.as_fd(), fd as i32).map_err(step("fetch the listener"))?;
        Ok(Listener::new(listener))
    }

    /// The body closes its own end of the listener: the first call under the filter.
    fn close_listener(&self, slot: &mut Slot, listener: &Listener) -> Result<(), ImageError> {
        let step = |doing| ImageError::step(doing, self.pid);
        slot.post(&[Call::new(
            libc::SYS_close_range,
            &[0, u64::from(u32::MAX), 0],
        )]);
        let call = listener
            .receive()
            .map_err(step("hear of the body's first call"))?;
        listener
            .proceed(call.id)
            .map_err(step("let the body's first call go"))?;
        if slot.wait(Some(BATCH_TIMEOUT)) && slot.result(0) == 0 {
            return Ok(());
        }
        Err(step("close the body's descriptors")(io::Error::other(
            format!("result {}", slot.result(0)),
        )))
    }

    /// Stops the leader and removes the window.
    fn remove_window(&self, image: &Image) -> Result<(), ImageError> {
        let pid = self.pid;
        ptrace::interrupt(pid).map_err(ImageError::step("stop the body", pid))?;
        wait_stopped(pid)?;
        let at = borrowed_instruction(pid, image).ok_or_else(|| ImageError::Stays {
            pid: image.pid,
            reason: "its address space has no system call instruction to borrow".into(),
        })?;
        let mut stops = Vec::new();
        unmap_from_outside(pid, at, self.place, GEOMETRY.bytes() as u64, &mut stops)?;
        for signal in stops {
            // ESRCH: it has ended, which is seen next.
            let _ = ptrace::kill(pid, signal);
        }
        Ok(())
    }
}

/// Points a stopped thread at its slot and lets it serve.
pub(crate) fn start_stub(tid: i32, place: u64, slot: &Slot) -> Result<(), ImageError> {
    let step = |doing| ImageError::step(doing, tid);
    let mut regs = ptrace::registers(tid).map_err(step("read the registers"))?;
    crate::deputy::point_at_slot(&mut regs, place, place + slot.offset());
    ptrace::set_registers(tid, &regs).map_err(step("point the thread at the stub"))?;
    ptrace::resume(tid, 0).map_err(step("start the stub"))
}

/// Makes a stopped thread unmap something, by a borrowed `syscall` instruction
/// at `at`. Signals that it was about to get meanwhile are put to `stops`, to be sent again.
pub(crate) fn unmap_from_outside(
    tid: i32,
    at: u64,
    start: u64,
    bytes: u64,
    stops: &mut Vec<i32>,
) -> Result<(), ImageError> {
    let step = |source| ImageError::step("remove the window", tid)(source);
    let mut regs = ptrace::registers(tid).map_err(step)?;
    regs.rip = at;
    regs.rax = libc::SYS_munmap as u64;
    regs.orig_rax = u64::MAX;
    regs.rdi = start;
    regs.rsi = bytes;
    ptrace::set_registers(tid, &regs).map_err(step)?;
    // To the beginning of the call, and to its end. A step would end by a SIGTRAP that resets what the
    // program does with it where that is blocked.
    for _ in 0..2 {
        loop {
            ptrace::resume_to_call_end(tid).map_err(step)?;
            match ptrace::wait(tid, false).map_err(step)? {
                Some((_, Change::Signal(libc::SIGTRAP))) => break,
                Some((_, Change::Signal(signal))) => stops.push(signal),
                Some((pid, change @ (Change::Exited(_) | Change::Killed { .. }))) => {
                    return Err(ImageError::Ended { pid, change });
                }
                Some((_, Change::Event { .. })) | None => {}
            }
        }
    }
    let after = ptrace::registers(tid).map_err(step)?;
    // Only from here a call that the registers tell of is made again.
    ptrace::interrupt(tid).map_err(step)?;
    ptrace::resume(tid, 0).map_err(step)?;
    while !stands(tid, ptrace::wait(tid, false).map_err(step)?, stops)? {}
    if after.rip == at + 2 && after.rax == 0 {
        return Ok(());
    }
    Err(step(io::Error::other(format!(
        "result {}",
        after.rax as i64
    ))))
}

/// Only where there is one: for the kernel a stack that was never set is not the same as one that
/// was disabled, and a new thread has none.
fn set_signal_stack(maker: &mut Maker<'_>, thread: &Thread) -> Result<(), ImageError> {
    if thread.altstack[2] == 0 {
        return Ok(());
    }
    maker.set_signal_stack(thread)
}

fn set_process_state(leader: &mut Maker<'_>, image: &Image) -> Result<(), ImageError> {
    let at = leader.data_address();
    let data = leader.slot.data();
    data[..16].fill(0);
    let length = image.comm.len().min(15);
    data[..length].copy_from_slice(&image.comm[..length]);
    let args = [libc::PR_SET_NAME as u64, at];
    leader.add(libc::SYS_prctl, &args, "set the name");
    leader.run()?;
    // Init ignores SIGCHLD, which was inherited.
    leader.set_actions(&[SignalAction {
        signal: libc::SIGCHLD,
        action: [0; 4],
    }])?;
    leader.set_actions(&image.actions)?;
    // No descriptors, and no way to gain any rights.
    let args = [0, u64::from(u32::MAX), 0];
    leader.add(libc::SYS_close_range, &args, "close descriptors");
    image.settings.set(leader)?;
    let args = [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0];
    leader.add(libc::SYS_prctl, &args, "forbid new privileges");
    leader.run()
}

/// Of one thread. Its slot's data are in use until it has run.
fn give_up_capabilities(maker: &mut Maker<'_>) -> Result<(), ImageError> {
    let at = maker.data_address();
    let data = maker.slot.data();
    data[..8].copy_from_slice(&[0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0]);
    data[8..32].fill(0);
    maker.add(libc::SYS_capset, &[at, at + 8], "give up capabilities");
    Ok(())
}

/// Address of a `syscall` instruction in the image, in the vDSO if it has one.
pub(crate) fn borrowed_instruction(pid: i32, image: &Image) -> Option<u64> {
    let vdso = image.mappings.iter().filter(|m| m.backing == Backing::Vdso);
    let others = image
        .mappings
        .iter()
        .filter(|m| m.backing != Backing::Vdso && m.prot & libc::PROT_EXEC != 0);
    vdso.chain(others)
        .find_map(|m| syscall_instruction(pid, m.start, m.end))
}
