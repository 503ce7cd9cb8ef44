//! Rebuild: makes a body from an image under the stub of this node.
//!
//! The init of the guest's namespaces is the stub program and nothing else. A
//! body is forked from it with the pid the process has at home, unmaps what it
//! inherited, makes the image's mappings in batches from the window, gives up
//! every right, installs the filter, and is then pointed at the image's
//! registers. The window is gone before the first instruction of the guest.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use sys::process::{Ids, InitSpec};
use sys::ptrace::{self, Change, options};
use sys::seccomp::Listener;
use sys::window::{BATCH_CALLS_MAX, Call, Geometry, Slot, Window};
use sys::{fdpass, memfd, pidfd, process, stub, vm};

use crate::ImageError;
use crate::capture::from_words;
use crate::schema::{Backing, Image, Mapping, PAGE_BYTES, Thread};

/// Slots and buffers of the window of an init and its bodies. A slot is in use
/// only while a body is made, one after the other.
const GEOMETRY: Geometry = Geometry {
    slots: 4,
    data_bytes: 64 * 1024,
};
/// Where the window stands, several times, so that one place is free in any image.
const PLACES: [u64; 3] = [0x1_0000, 0x6_0000_0000, 0x3000_0000_0000];
const TASK_END: u64 = 0x7fff_ffff_f000;
const LOWEST: u64 = 0x1_0000;
/// Longest time a batch may take before the body counts as lost.
const BATCH_TIMEOUT: Duration = Duration::from_secs(20);

// Descriptors of init, and so of a body while it is made.
const SOCKET: u64 = 1;
const LAST_PID: u64 = 2;
const ARCH_MAP_VDSO_64: u64 = 0x2003;
const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;
const SECCOMP_FLAGS: u64 = 8 | 32; // NEW_LISTENER | WAIT_KILLABLE_RECV

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
    /// Hears of its system calls.
    pub listener: Listener,
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
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
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
        let step = |doing| ImageError::step(doing, pid);
        let at = self.data_address();
        // struct clone_args: exit_signal at 32, set_tid at 64, its size at 72.
        let mut args = [0u8; 88];
        args[32..40].copy_from_slice(&(libc::SIGCHLD as u64).to_ne_bytes());
        args[64..72].copy_from_slice(&(at + 128).to_ne_bytes());
        args[72..80].copy_from_slice(&1u64.to_ne_bytes());
        self.slot.data()[..88].copy_from_slice(&args);
        self.slot.data()[128..132].copy_from_slice(&pid.to_ne_bytes());
        self.slot.post(&[Call::new(libc::SYS_clone3, &[at, 88])]);
        let mut child = 0;
        while child == 0 {
            match ptrace::wait(self.pid, true).map_err(step("wait for init"))? {
                Some((_, Change::Event { event, .. })) if event != ptrace::EVENT_STOP => {
                    child = ptrace::event_message(self.pid).map_err(step("read the child's pid"))?
                        as i32;
                    ptrace::resume(self.pid, 0).map_err(step("resume init"))?;
                }
                Some((_, Change::Exited(_) | Change::Killed { .. })) => {
                    return Err(step("fork a body")(io::Error::other(
                        "the init of the namespaces has ended",
                    )));
                }
                Some(_) => ptrace::resume(self.pid, 0).map_err(step("resume init"))?,
                // Either the event is on its way, or the call has failed.
                None if self.slot.wait(Some(Duration::from_micros(20))) => break,
                None => {}
            }
        }
        self.batch_over("fork a body", pid)?;
        match ptrace::wait(child, false).map_err(step("wait for the body"))? {
            Some((_, Change::Event { .. } | Change::Signal(_))) => Ok(child),
            other => Err(step("wait for the body")(io::Error::other(format!(
                "{other:?}"
            )))),
        }
    }
}

/// Makes a body from `image`.
///
/// `pages` are the contents of [`Image::pages`]; `files` stand for
/// [`Image::files`], one each; `filter` is the program from
/// [`sys::seccomp::assemble`]. Returns the body stopped.
///
/// # Errors
/// What failed; the half-made body is dead and reaped.
pub fn rebuild(
    init: &mut Init,
    image: &Image,
    pages: &[u8],
    files: &[Arc<File>],
    filter: &[[u8; 8]],
) -> Result<Body, ImageError> {
    let [thread] = image.threads.as_slice() else {
        return Err(ImageError::Stays {
            pid: image.pid,
            reason: "it has several threads".into(),
        });
    };
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
    let slot = init.window.take_slot();
    let made = slot
        .ok_or_else(|| ImageError::Refused("no free slot in the window".into()))
        .and_then(|slot| {
            Builder {
                pid,
                place,
                slot,
                calls: Vec::new(),
            }
            .build(init, image, thread, pages, files, filter)
        });
    made.inspect_err(|_| {
        // ESRCH: it has ended by itself.
        let _ = ptrace::kill(pid, libc::SIGKILL);
        while !matches!(
            ptrace::wait(pid, false),
            Ok(Some((_, Change::Exited(_) | Change::Killed { .. }))) | Err(_)
        ) {}
    })
}

/// A body in the making.
struct Builder {
    pid: i32,
    place: u64,
    slot: Slot,
    calls: Vec<(Call, &'static str)>,
}

impl Builder {
    fn build(
        mut self,
        init: &Init,
        image: &Image,
        thread: &Thread,
        pages: &[u8],
        files: &[Arc<File>],
        filter: &[[u8; 8]],
    ) -> Result<Body, ImageError> {
        let pid = self.pid;
        let step = move |doing| ImageError::step(doing, pid);
        let mut regs = ptrace::registers(pid).map_err(step("read the registers"))?;
        crate::deputy::point_at_slot(&mut regs, self.place, self.place + self.slot.offset());
        ptrace::set_registers(pid, &regs).map_err(step("point the body at the stub"))?;
        ptrace::resume(pid, 0).map_err(step("start the body's stub"))?;

        self.unmap_inherited();
        let numbers = self.receive_files(init, files)?;
        self.make_mappings(image, &numbers);
        self.run()?;
        self.fill(image, pages)?;
        self.protect(image);
        self.set_memory_layout(image)?;
        self.set_process_state(image)?;
        self.give_up_rights()?;
        let listener = self.install_filter(filter)?;
        self.close_listener(&listener)?;
        self.enter(image, thread)?;
        crate::limits::apply(pid, &image.limits).map_err(step("set the limits"))?;
        Ok(Body { pid, listener })
    }

    fn add(&mut self, nr: i64, args: &[u64], doing: &'static str) {
        self.calls.push((Call::new(nr, args), doing));
    }

    /// Executes what was added. The first failed call is the error.
    fn run(&mut self) -> Result<(), ImageError> {
        for batch in std::mem::take(&mut self.calls).chunks(BATCH_CALLS_MAX) {
            let calls: Vec<Call> = batch.iter().map(|(call, _)| *call).collect();
            self.slot.post(&calls);
            if !self.slot.wait(Some(BATCH_TIMEOUT)) {
                return Err(ImageError::step(batch[0].1, self.pid)(io::Error::from(
                    io::ErrorKind::TimedOut,
                )));
            }
            for (index, (call, doing)) in batch.iter().enumerate() {
                let result = self.slot.result(index);
                if (-4095..0).contains(&result) {
                    return Err(ImageError::step(doing, self.pid)(
                        io::Error::from_raw_os_error(-result as i32),
                    ));
                }
                let fixed = call.nr == libc::SYS_mmap as u64
                    || call.nr == libc::SYS_arch_prctl as u64 && call.args[0] == ARCH_MAP_VDSO_64;
                let wanted = if call.nr == libc::SYS_mmap as u64 {
                    call.args[0]
                } else {
                    0
                };
                if fixed && wanted != 0 && result as u64 != wanted {
                    return Err(ImageError::step(doing, self.pid)(io::Error::other(
                        "mapped elsewhere",
                    )));
                }
            }
        }
        Ok(())
    }

    fn data_address(&self) -> u64 {
        self.place + self.slot.data_offset()
    }

    fn unmap_inherited(&mut self) {
        let end = self.place + GEOMETRY.bytes() as u64;
        if self.place > LOWEST {
            self.add(
                libc::SYS_munmap,
                &[LOWEST, self.place - LOWEST],
                "unmap what was inherited",
            );
        }
        self.add(
            libc::SYS_munmap,
            &[end, TASK_END - end],
            "unmap what was inherited",
        );
    }

    /// Returns the numbers that `files` have in the body.
    fn receive_files(&mut self, init: &Init, files: &[Arc<File>]) -> Result<Vec<u64>, ImageError> {
        let mut numbers = Vec::new();
        for part in files.chunks(fdpass::FDS_MAX) {
            let fds: Vec<BorrowedFd<'_>> = part.iter().map(|f| f.as_fd()).collect();
            fdpass::send(init.socket.as_fd(), b"f", &fds)
                .map_err(ImageError::step("hand over files", self.pid))?;
            let at = self.data_address();
            // struct msghdr at 0, iovec at 64, one byte at 96, control at 128.
            let control_bytes = (16 + part.len() as u64 * 4).next_multiple_of(8);
            let header = [0, 0, at + 64, 1, at + 128, control_bytes, 0];
            let iovec = [at + 96, 1];
            let data = self.slot.data();
            for (index, word) in header.iter().enumerate() {
                data[index * 8..index * 8 + 8].copy_from_slice(&word.to_ne_bytes());
            }
            for (index, word) in iovec.iter().enumerate() {
                data[64 + index * 8..72 + index * 8].copy_from_slice(&word.to_ne_bytes());
            }
            self.add(libc::SYS_recvmsg, &[SOCKET, at, 0], "take over files");
            self.run()?;
            let data = self.slot.data();
            numbers.extend((0..part.len()).map(|index| {
                let mut number = [0; 4];
                number.copy_from_slice(&data[144 + index * 4..148 + index * 4]);
                u64::from(u32::from_ne_bytes(number))
            }));
        }
        Ok(numbers)
    }

    fn make_mappings(&mut self, image: &Image, numbers: &[u64]) {
        let vvar = image
            .mappings
            .iter()
            .find(|m| m.backing == Backing::Vvar)
            .map(|m| m.start);
        let special = vvar.or(image
            .mappings
            .iter()
            .find(|m| m.backing == Backing::Vdso)
            .map(|m| m.start));
        if let Some(start) = special {
            self.add(
                libc::SYS_arch_prctl,
                &[ARCH_MAP_VDSO_64, start],
                "map the vDSO",
            );
        }
        for m in &image.mappings {
            let length = m.end - m.start;
            let prot = if has_pages(image, m) {
                m.prot | libc::PROT_WRITE
            } else {
                m.prot
            } as u64;
            let mut flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
            if m.grows_down {
                flags |= libc::MAP_GROWSDOWN;
            }
            match m.backing {
                Backing::Vvar | Backing::Vdso => {}
                Backing::Anonymous => {
                    let flags = (flags | libc::MAP_ANONYMOUS) as u64;
                    self.add(
                        libc::SYS_mmap,
                        &[m.start, length, prot, flags, u64::MAX, 0],
                        "map memory",
                    );
                }
                Backing::File { file, offset } => {
                    let fd = numbers.get(file as usize).copied().unwrap_or(u64::MAX);
                    self.add(
                        libc::SYS_mmap,
                        &[m.start, length, prot, flags as u64, fd, offset],
                        "map a file",
                    );
                }
            }
        }
    }

    fn fill(&self, image: &Image, pages: &[u8]) -> Result<(), ImageError> {
        let mut from = 0;
        for run in &image.pages {
            let bytes = (run.count * PAGE_BYTES) as usize;
            let mut done = 0;
            while done < bytes {
                let chunk = &pages[from + done..from + bytes];
                match vm::write(self.pid, run.start + done as u64, chunk) {
                    Ok(n) if n > 0 => done += n,
                    Ok(_) => {
                        return Err(ImageError::step("fill memory", self.pid)(
                            io::Error::from_raw_os_error(libc::EFAULT),
                        ));
                    }
                    // Past the end of a file mapping: nothing there natively either.
                    Err(e)
                        if e.raw_os_error() == Some(libc::EFAULT) && is_file(image, run.start) =>
                    {
                        done = bytes
                    }
                    Err(e) => return Err(ImageError::step("fill memory", self.pid)(e)),
                }
            }
            from += bytes;
        }
        Ok(())
    }

    fn protect(&mut self, image: &Image) {
        for m in image
            .mappings
            .iter()
            .filter(|m| m.prot & libc::PROT_WRITE == 0 && has_pages(image, m))
        {
            self.add(
                libc::SYS_mprotect,
                &[m.start, m.end - m.start, m.prot as u64],
                "protect memory",
            );
        }
    }

    /// prctl(2) PR_SET_MM_MAP: where heap, stack, arguments are.
    fn set_memory_layout(&mut self, image: &Image) -> Result<(), ImageError> {
        let mm = image.mm;
        let words = [
            mm.start_code,
            mm.end_code,
            mm.start_data,
            mm.end_data,
            mm.start_brk,
            mm.brk,
            mm.start_stack,
            mm.arg_start,
            mm.arg_end,
            mm.env_start,
            mm.env_end,
            0,
            u64::from(u32::MAX) << 32,
        ];
        let at = self.data_address();
        for (index, word) in words.iter().enumerate() {
            self.slot.data()[index * 8..index * 8 + 8].copy_from_slice(&word.to_ne_bytes());
        }
        self.add(
            libc::SYS_prctl,
            &[PR_SET_MM, PR_SET_MM_MAP, at, words.len() as u64 * 8, 0],
            "set the memory layout",
        );
        self.run()
    }

    fn set_process_state(&mut self, image: &Image) -> Result<(), ImageError> {
        let at = self.data_address();
        let data = self.slot.data();
        data[..16].fill(0);
        let length = image.comm.len().min(15);
        data[..length].copy_from_slice(&image.comm[..length]);
        data[64..96].fill(0);
        for (index, action) in image.actions.iter().take(64).enumerate() {
            for (position, word) in action.action.iter().enumerate() {
                let to = 96 + index * 32 + position * 8;
                data[to..to + 8].copy_from_slice(&word.to_ne_bytes());
            }
        }
        self.add(
            libc::SYS_prctl,
            &[libc::PR_SET_NAME as u64, at],
            "set the name",
        );
        // Init ignores SIGCHLD, which was inherited.
        self.add(
            libc::SYS_rt_sigaction,
            &[libc::SIGCHLD as u64, at + 64, 0, 8],
            "set a signal disposition",
        );
        for (index, action) in image.actions.iter().take(64).enumerate() {
            let entry = at + 96 + index as u64 * 32;
            self.add(
                libc::SYS_rt_sigaction,
                &[action.signal as u64, entry, 0, 8],
                "set a signal disposition",
            );
        }
        self.run()
    }

    /// No descriptors, no capabilities, no way to gain any.
    fn give_up_rights(&mut self) -> Result<(), ImageError> {
        let at = self.data_address();
        let data = self.slot.data();
        data[..8].copy_from_slice(&[0x22, 0x05, 0x08, 0x20, 0, 0, 0, 0]);
        data[8..32].fill(0);
        self.add(
            libc::SYS_close_range,
            &[0, u64::from(u32::MAX), 0],
            "close descriptors",
        );
        self.add(libc::SYS_capset, &[at, at + 8], "give up capabilities");
        self.add(
            libc::SYS_prctl,
            &[libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0],
            "forbid new privileges",
        );
        self.run()
    }

    fn install_filter(&mut self, filter: &[[u8; 8]]) -> Result<Listener, ImageError> {
        let step = |doing| ImageError::step(doing, self.pid);
        let at = self.data_address();
        let data = self.slot.data();
        // struct sock_fprog at 0, the program at 64.
        data[..8].copy_from_slice(&(filter.len() as u64).to_ne_bytes());
        data[8..16].copy_from_slice(&(at + 64).to_ne_bytes());
        for (index, instruction) in filter.iter().enumerate() {
            data[64 + index * 8..72 + index * 8].copy_from_slice(instruction);
        }
        self.slot
            .post(&[Call::new(libc::SYS_seccomp, &[1, SECCOMP_FLAGS, at])]);
        if !self.slot.wait(Some(BATCH_TIMEOUT)) {
            return Err(step("install the filter")(io::Error::from(
                io::ErrorKind::TimedOut,
            )));
        }
        let fd = self.slot.result(0);
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
    fn close_listener(&mut self, listener: &Listener) -> Result<(), ImageError> {
        let step = |doing| ImageError::step(doing, self.pid);
        self.slot.post(&[Call::new(
            libc::SYS_close_range,
            &[0, u64::from(u32::MAX), 0],
        )]);
        let call = listener
            .receive()
            .map_err(step("hear of the body's first call"))?;
        listener
            .proceed(call.id)
            .map_err(step("let the body's first call go"))?;
        if self.slot.wait(Some(BATCH_TIMEOUT)) && self.slot.result(0) == 0 {
            return Ok(());
        }
        Err(step("close the body's descriptors")(io::Error::other(
            format!("result {}", self.slot.result(0)),
        )))
    }

    /// Removes the window and loads the image's registers.
    fn enter(&self, image: &Image, thread: &Thread) -> Result<(), ImageError> {
        let pid = self.pid;
        let step = |doing| ImageError::step(doing, pid);
        ptrace::interrupt(pid).map_err(step("stop the body"))?;
        match ptrace::wait(pid, false).map_err(step("stop the body"))? {
            Some((_, Change::Event { .. } | Change::Signal(_))) => {}
            other => {
                return Err(step("stop the body")(io::Error::other(format!(
                    "{other:?}"
                ))));
            }
        }
        let at = syscall_instruction(pid, image).ok_or_else(|| ImageError::Stays {
            pid: image.pid,
            reason: "its address space has no system call instruction to borrow".into(),
        })?;
        let mut regs = ptrace::registers(pid).map_err(step("read the registers"))?;
        regs.rip = at;
        regs.rax = libc::SYS_munmap as u64;
        regs.orig_rax = u64::MAX;
        regs.rdi = self.place;
        regs.rsi = GEOMETRY.bytes() as u64;
        ptrace::set_registers(pid, &regs).map_err(step("remove the window"))?;
        loop {
            ptrace::step(pid).map_err(step("remove the window"))?;
            match ptrace::wait(pid, false).map_err(step("remove the window"))? {
                Some((_, Change::Signal(libc::SIGTRAP))) => break,
                Some((_, Change::Event { .. })) => {}
                other => {
                    return Err(step("remove the window")(io::Error::other(format!(
                        "{other:?}"
                    ))));
                }
            }
        }
        let after = ptrace::registers(pid).map_err(step("read the registers"))?;
        if after.rip != at + 2 || after.rax != 0 {
            return Err(step("remove the window")(io::Error::other(format!(
                "result {}",
                after.rax as i64
            ))));
        }
        let mut regs = from_words(&thread.registers);
        regs.orig_rax = u64::MAX;
        ptrace::set_xstate(pid, &thread.xstate).map_err(step("load the extended registers"))?;
        ptrace::set_registers(pid, &regs).map_err(step("load the registers"))?;
        ptrace::set_signal_mask(pid, thread.mask).map_err(step("load the signal mask"))
    }
}

/// Runs are in order and within one mapping each.
fn has_pages(image: &Image, m: &Mapping) -> bool {
    let first = image.pages.partition_point(|run| run.start < m.start);
    image.pages.get(first).is_some_and(|run| run.start < m.end)
}

fn is_file(image: &Image, at: u64) -> bool {
    image
        .mappings
        .iter()
        .any(|m| m.start <= at && at < m.end && matches!(m.backing, Backing::File { .. }))
}

/// Address of a `syscall` instruction in the image, in the vDSO if it has one.
fn syscall_instruction(pid: i32, image: &Image) -> Option<u64> {
    let executable = |m: &&Mapping| m.prot & libc::PROT_EXEC != 0;
    let vdso = image.mappings.iter().filter(|m| m.backing == Backing::Vdso);
    let others = image
        .mappings
        .iter()
        .filter(|m| m.backing != Backing::Vdso)
        .filter(executable);
    vdso.chain(others).find_map(|m| {
        let mut text = vec![0; (m.end - m.start).min(1 << 20) as usize];
        let n = vm::read(pid, m.start, &mut text).ok()?;
        text[..n]
            .windows(2)
            .position(|pair| pair == [0x0f, 0x05])
            .map(|at| m.start + at as u64)
    })
}
