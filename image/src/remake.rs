//! Remake: memory and state of an image, made through a stub. The same at both
//! ends: a body on a host, and a process that comes home.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sys::ptrace::{self, Change};
use sys::userfault::{self, Userfault};
use sys::window::{BATCH_CALLS_MAX, Call, Slot};
use sys::{fdpass, pidfd, vm};

use crate::ImageError;
use crate::capture::from_words;
use crate::schema::{Backing, Image, PAGE_BYTES, SignalAction, Thread};

pub(crate) const TASK_END: u64 = 0x7fff_ffff_f000;
pub(crate) const LOWEST: u64 = 0x1_0000;
/// Longest time a batch may take before its process counts as lost.
pub(crate) const BATCH_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked whether the thread stands still.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const ARCH_MAP_VDSO_64: u64 = 0x2003;
const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;
const RSEQ_FLAG_UNREGISTER: u64 = 1;

/// What makes a process's memory tell of missing pages.
#[derive(Clone, Copy)]
pub(crate) struct Device {
    /// Descriptor of [`userfault::DEVICE`] in the process.
    pub(crate) number: u64,
    /// Whether a fork is told of, so that the child misses the same pages.
    pub(crate) tells_forks: bool,
}

/// Calls in the making for one thread that serves a slot.
pub(crate) struct Maker<'a> {
    /// Thread on this node, for errors and for writing its memory.
    pub(crate) tid: i32,
    /// Address of the window in the process.
    pub(crate) place: u64,
    pub(crate) slot: &'a mut Slot,
    calls: Vec<(Call, &'static str)>,
    /// A SIGSTOP, which cannot be blocked, came meanwhile.
    to_stop: bool,
}

impl<'a> Maker<'a> {
    pub(crate) fn new(tid: i32, place: u64, slot: &'a mut Slot) -> Maker<'a> {
        Maker {
            tid,
            place,
            slot,
            calls: Vec::new(),
            to_stop: false,
        }
    }

    /// One more call; `doing` is said if it fails.
    pub(crate) fn add(&mut self, nr: i64, args: &[u64], doing: &'static str) {
        self.calls.push((Call::new(nr, args), doing));
    }

    /// Executes what was added. The first failed call is the error. A SIGSTOP that
    /// came meanwhile is sent again.
    pub(crate) fn run(&mut self) -> Result<(), ImageError> {
        let done = self.run_all();
        if std::mem::take(&mut self.to_stop) {
            // ESRCH: it has ended, which is seen next.
            let _ = ptrace::kill(self.tid, libc::SIGSTOP);
        }
        done
    }

    fn run_all(&mut self) -> Result<(), ImageError> {
        for batch in std::mem::take(&mut self.calls).chunks(BATCH_CALLS_MAX) {
            let calls: Vec<Call> = batch.iter().map(|(call, _)| *call).collect();
            self.slot.post(&calls);
            self.await_batch(batch[0].1)?;
            for (index, (call, doing)) in batch.iter().enumerate() {
                let result = self.slot.result(index);
                if (-4095..0).contains(&result) {
                    return Err(ImageError::step(doing, self.tid)(
                        io::Error::from_raw_os_error(-result as i32),
                    ));
                }
                let wanted = if call.nr == libc::SYS_mmap as u64 {
                    call.args[0]
                } else {
                    0
                };
                if wanted != 0 && result as u64 != wanted {
                    return Err(ImageError::step(doing, self.tid)(io::Error::other(
                        "mapped elsewhere",
                    )));
                }
            }
        }
        Ok(())
    }

    /// Waits until the batch is over. A thread that has stopped meanwhile, since
    /// it was told to before, is sent on.
    fn await_batch(&mut self, doing: &'static str) -> Result<(), ImageError> {
        let (tid, since) = (self.tid, Instant::now());
        let step = |error: io::Error| ImageError::step(doing, tid)(error);
        while !self.slot.wait(Some(LOOK_INTERVAL)) {
            match ptrace::wait(tid, true).map_err(step)? {
                Some((pid, change @ (Change::Exited(_) | Change::Killed { .. }))) => {
                    return Err(ImageError::Ended { pid, change });
                }
                Some((_, change)) => {
                    self.to_stop |= change == Change::Signal(libc::SIGSTOP);
                    ptrace::resume(tid, 0).map_err(step)?;
                }
                None if since.elapsed() > BATCH_TIMEOUT => {
                    return Err(step(io::ErrorKind::TimedOut.into()));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Address of the slot's data.
    pub(crate) fn data_address(&self) -> u64 {
        self.place + self.slot.data_offset()
    }

    /// Writes words to the start of the slot's data.
    pub(crate) fn put_words(&mut self, words: &[u64]) -> u64 {
        let data = self.slot.data();
        for (index, word) in words.iter().enumerate() {
            data[index * 8..index * 8 + 8].copy_from_slice(&word.to_ne_bytes());
        }
        self.data_address()
    }

    /// Unmaps all but these ranges, which are in order.
    pub(crate) fn unmap_all_but(&mut self, keep: &[(u64, u64)]) {
        let mut at = LOWEST;
        for (start, end) in keep.iter().chain([&(TASK_END, TASK_END)]) {
            if *start > at {
                let args = [at, start - at];
                self.add(libc::SYS_munmap, &args, "unmap what was there");
            }
            at = *end;
        }
    }

    /// Hands over `files` by `ours`, whose other end is descriptor `theirs`.
    /// Returns the numbers they have there.
    pub(crate) fn receive_files(
        &mut self,
        ours: BorrowedFd<'_>,
        theirs: u64,
        files: &[Arc<File>],
    ) -> Result<Vec<u64>, ImageError> {
        let mut numbers = Vec::new();
        for part in files.chunks(fdpass::FDS_MAX) {
            let fds: Vec<BorrowedFd<'_>> = part.iter().map(|f| f.as_fd()).collect();
            fdpass::send(ours, b"f", &fds)
                .map_err(ImageError::step("hand over files", self.tid))?;
            let at = self.data_address();
            // struct msghdr at 0, iovec at 64, one byte at 96, control at 128.
            let control_bytes = (16 + part.len() as u64 * 4).next_multiple_of(8);
            self.put_words(&[0, 0, at + 64, 1, at + 128, control_bytes, 0, 0, at + 96, 1]);
            let flags = libc::MSG_CMSG_CLOEXEC as u64;
            self.add(libc::SYS_recvmsg, &[theirs, at, flags], "take over files");
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

    /// Makes the image's mappings, fills and protects them. `numbers` are those
    /// of the image's files in the process; `device` is for pages that come later.
    /// Returns what serves those.
    pub(crate) fn make_memory(
        &mut self,
        image: &Image,
        pages: &[u8],
        numbers: &[u64],
        device: Option<Device>,
    ) -> Result<Option<Userfault>, ImageError> {
        self.map(image, numbers);
        self.run()?;
        let userfault = match device {
            Some(device) if !image.later.is_empty() => Some(self.watch_missing(image, device)?),
            _ => None,
        };
        self.fill(image, pages, userfault.as_ref())?;
        self.protect(image);
        self.set_memory_layout(image)?;
        Ok(userfault)
    }

    /// From now on pages that are missing where some come later are told of.
    fn watch_missing(&mut self, image: &Image, device: Device) -> Result<Userfault, ImageError> {
        let tid = self.tid;
        let step = |doing| ImageError::step(doing, tid);
        let flags = (libc::O_CLOEXEC | libc::O_NONBLOCK) as u64;
        let args = [device.number, userfault::IOC_NEW, flags];
        self.add(libc::SYS_ioctl, &args, "make a userfault descriptor");
        self.run()?;
        let number = self.slot.result(0);
        let fetched = pidfd::open(tid)
            .and_then(|process| pidfd::getfd(process.as_fd(), number as i32))
            .map_err(step("fetch the userfault descriptor"))?;
        let args = [number as u64];
        self.add(libc::SYS_close, &args, "close the userfault descriptor");
        self.run()?;
        let userfault = Userfault::enable(fetched, device.tells_forks)
            .map_err(step("agree on userfault events"))?;
        for m in image.mappings.iter().filter(|m| image.has_later(m)) {
            let watched = userfault.register(m.start, m.end - m.start);
            watched.map_err(step("watch for missing pages"))?;
        }
        Ok(userfault)
    }

    fn map(&mut self, image: &Image, numbers: &[u64]) {
        let first = |backing| image.mappings.iter().find(|m| m.backing == backing);
        if let Some(special) = first(Backing::Vvar).or(first(Backing::Vdso)) {
            let args = [ARCH_MAP_VDSO_64, special.start];
            self.add(libc::SYS_arch_prctl, &args, "map the vDSO");
        }
        for m in &image.mappings {
            let length = m.end - m.start;
            let prot = if image.has_pages(m) && !image.has_later(m) {
                m.prot | libc::PROT_WRITE
            } else {
                m.prot
            } as u64;
            let kind = if m.shared {
                libc::MAP_SHARED
            } else {
                libc::MAP_PRIVATE
            };
            let mut flags = kind | libc::MAP_FIXED_NOREPLACE | libc::MAP_NORESERVE;
            if m.grows_down {
                flags |= libc::MAP_GROWSDOWN;
            }
            match m.backing {
                Backing::Vvar | Backing::Vdso => {}
                Backing::Anonymous => {
                    let flags = (flags | libc::MAP_ANONYMOUS) as u64;
                    let args = [m.start, length, prot, flags, u64::MAX, 0];
                    self.add(libc::SYS_mmap, &args, "map memory");
                }
                Backing::File { file, offset } => {
                    let fd = numbers.get(file as usize).copied().unwrap_or(u64::MAX);
                    let args = [m.start, length, prot, flags as u64, fd, offset];
                    self.add(libc::SYS_mmap, &args, "map a file");
                }
            }
            for advice in &m.advice {
                let args = [m.start, length, *advice as u64];
                self.add(libc::SYS_madvise, &args, "give advice on memory");
            }
        }
    }

    /// Where pages come later these are put in place by `userfault`: to write
    /// them might put zeros beside them.
    fn fill(
        &self,
        image: &Image,
        pages: &[u8],
        userfault: Option<&Userfault>,
    ) -> Result<(), ImageError> {
        let mut from = 0;
        let mut mappings = image.mappings.iter().peekable();
        for run in &image.pages {
            let bytes = (run.count * PAGE_BYTES) as usize;
            while mappings.next_if(|m| m.end <= run.start).is_some() {}
            let watched = userfault.filter(|_| mappings.peek().is_some_and(|m| image.has_later(m)));
            let mut done = 0;
            while done < bytes {
                let chunk = &pages[from + done..from + bytes];
                let at = run.start + done as u64;
                let written = match watched {
                    Some(userfault) => userfault.copy(at, chunk),
                    None => vm::write(self.tid, at, chunk),
                };
                match written {
                    Ok(n) if n > 0 => done += n,
                    Ok(_) => {
                        return Err(ImageError::step("fill memory", self.tid)(
                            io::Error::from_raw_os_error(libc::EFAULT),
                        ));
                    }
                    // Past the end of a file mapping: nothing there natively either.
                    Err(e)
                        if e.raw_os_error() == Some(libc::EFAULT) && is_file(image, run.start) =>
                    {
                        done = bytes
                    }
                    Err(e) => return Err(ImageError::step("fill memory", self.tid)(e)),
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
            .filter(|m| m.prot & libc::PROT_WRITE == 0 && image.has_pages(m) && !image.has_later(m))
        {
            let args = [m.start, m.end - m.start, m.prot as u64];
            self.add(libc::SYS_mprotect, &args, "protect memory");
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
        let at = self.put_words(&words);
        let args = [PR_SET_MM, PR_SET_MM_MAP, at, words.len() as u64 * 8, 0];
        self.add(libc::SYS_prctl, &args, "set the memory layout");
        self.run()
    }

    /// Sets dispositions of signals, at most 64.
    pub(crate) fn set_actions(&mut self, actions: &[SignalAction]) -> Result<(), ImageError> {
        let words: Vec<u64> = actions.iter().take(64).flat_map(|a| a.action).collect();
        let at = self.put_words(&words);
        for (index, action) in actions.iter().take(64).enumerate() {
            let args = [action.signal as u64, at + index as u64 * 32, 0, 8];
            self.add(libc::SYS_rt_sigaction, &args, "set a signal disposition");
        }
        self.run()
    }

    /// Sets or disables the thread's signal stack.
    pub(crate) fn set_signal_stack(&mut self, thread: &Thread) -> Result<(), ImageError> {
        let at = self.put_words(&thread.altstack);
        self.add(libc::SYS_sigaltstack, &[at, 0], "set the signal stack");
        self.run()
    }

    /// What the kernel keeps for a thread, made by the thread itself. Memory
    /// must be as the image has it: the kernel writes to the thread's `rseq`.
    pub(crate) fn set_thread_state(&mut self, thread: &Thread) -> Result<(), ImageError> {
        let (head, bytes) = thread.robust_list;
        if bytes != 0 {
            let args = [head, bytes];
            self.add(libc::SYS_set_robust_list, &args, "set the robust list");
        }
        let args = [thread.clear_tid];
        self.add(
            libc::SYS_set_tid_address,
            &args,
            "set the address of the tid",
        );
        let (address, bytes, signature) = thread.rseq;
        if address != 0 {
            let args = [address, u64::from(bytes), 0, u64::from(signature)];
            self.add(libc::SYS_rseq, &args, "register restartable sequences");
        }
        thread.settings.add_to(self);
        self.run()
    }

    /// Ends the registration, before memory is dropped.
    pub(crate) fn unregister_sequences(&mut self, thread: &Thread) {
        let (address, bytes, signature) = thread.rseq;
        if address != 0 {
            let flag = RSEQ_FLAG_UNREGISTER;
            let args = [address, u64::from(bytes), flag, u64::from(signature)];
            self.add(libc::SYS_rseq, &args, "unregister restartable sequences");
        }
    }
}

/// Loads the registers of a stopped thread. Where it was interrupted in a call,
/// the kernel makes the call again when it goes on, or ends it for a signal.
pub(crate) fn load_registers(tid: i32, thread: &Thread) -> io::Result<()> {
    const RESTARTS: std::ops::RangeInclusive<i64> = -514..=-512;
    let mut regs = from_words(&thread.registers);
    if !RESTARTS.contains(&(regs.rax as i64)) {
        regs.orig_rax = u64::MAX;
    }
    ptrace::set_xstate(tid, &thread.xstate)?;
    ptrace::set_registers(tid, &regs)?;
    ptrace::set_signal_mask(tid, thread.mask)
}

fn is_file(image: &Image, at: u64) -> bool {
    image
        .mappings
        .iter()
        .any(|m| m.start <= at && at < m.end && matches!(m.backing, Backing::File { .. }))
}
