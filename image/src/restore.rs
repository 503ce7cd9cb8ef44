//! Restore: a deputy becomes the process it was, with the image of its body.
//!
//! While it is done nothing is delivered to the deputy: its signals wait in the
//! kernel until its threads have their own masks again. Up to the last step it
//! can be undone.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use sys::pidfd;
use sys::ptrace::{self, Change, EVENT_STOP};
use sys::userfault::Userfault;
use sys::window::Slot;

use crate::ImageError;
use crate::deputy::{GEOMETRY, raise_limits};
use crate::pending::{forgotten, queue, take_all};
use crate::rebuild::{borrowed_instruction, unmap_from_outside};
use crate::remake::{Device, Maker, load_registers};
use crate::schema::{Image, PendingSignal, SignalAction};

/// One thread of a deputy, waiting in its slot with all signals blocked.
pub struct DeputyThread<'a> {
    /// Its id.
    pub tid: i32,
    /// Address of its window in the deputy.
    pub place: u64,
    /// Its slot.
    pub slot: &'a mut Slot,
}

/// A deputy that is to become its process again.
pub struct Returning<'a> {
    /// Its threads, in the order of the image's.
    pub threads: Vec<DeputyThread<'a>>,
    /// Addresses of all its windows.
    pub windows: Vec<u64>,
}

impl Returning<'_> {
    /// Takes the signals of `set` that wait for the deputy, which are then to be
    /// given to [`Self::queue_signals`], or told to another host.
    ///
    /// # Errors
    /// The kernel refuses, or the deputy has ended.
    pub fn take_signals(&mut self, set: u64) -> Result<Vec<PendingSignal>, ImageError> {
        let mut waiting = Vec::new();
        for own in &mut self.threads {
            let mut maker = Maker::new(own.tid, own.place, own.slot);
            take_all(&mut maker, set, &mut waiting)?;
        }
        Ok(waiting)
    }

    fn pid(&self) -> i32 {
        self.threads.first().map_or(0, |thread| thread.tid)
    }

    /// The windows as ranges, in order.
    fn kept(&self) -> Vec<(u64, u64)> {
        let bytes = GEOMETRY.bytes() as u64;
        let mut kept: Vec<_> = self.windows.iter().map(|at| (*at, at + bytes)).collect();
        kept.sort_unstable();
        kept
    }

    /// Whether image and deputy fit together.
    fn check(&self, image: &Image, pages: &[u8], files: &[Arc<File>]) -> Result<(), ImageError> {
        let pid = self.pid();
        let own = self.threads.iter().map(|thread| thread.tid);
        if image.pid != pid || !image.threads.iter().map(|t| t.tid).eq(own) {
            return Err(ImageError::Refused(
                "its threads are not those of the process".into(),
            ));
        }
        if pages.len() as u64 != image.page_bytes() || files.len() != image.files.len() {
            return Err(ImageError::Refused(
                "pages or files do not match the image".into(),
            ));
        }
        let kept = self.kept();
        let is_in_the_way =
            |m: &&crate::schema::Mapping| kept.iter().any(|(s, e)| m.start < *e && *s < m.end);
        match image.mappings.iter().find(is_in_the_way) {
            None => Ok(()),
            Some(m) => Err(ImageError::Stays {
                pid,
                reason: format!("it has mapped {:x}, where its window is at home", m.start),
            }),
        }
    }

    /// Makes memory and state of the process from `image`, with the contents of
    /// its pages, and `files` for its files. Pages that come later need `userfaults`,
    /// that of [`sys::userfault::DEVICE`]; returned is what serves them. It must be
    /// dropped before the memory is changed by us, who do not read what it tells.
    ///
    /// # Errors
    /// The deputy is a deputy as before, but `ps` shows no arguments of it.
    pub fn prepare(
        &mut self,
        image: &Image,
        pages: &[u8],
        files: &[Arc<File>],
        userfaults: Option<&Arc<File>>,
    ) -> Result<Option<Userfault>, ImageError> {
        self.check(image, pages, files)?;
        if userfaults.is_none() && !image.later.is_empty() {
            return Err(ImageError::Refused(
                "pages would come later, which this node cannot serve".into(),
            ));
        }
        let _limits = raise_limits(self.pid())?;
        self.make(image, pages, files, userfaults)
            .inspect_err(|_| self.undo(image))
    }

    /// As [`Returning::prepare`], of a deputy whose memory has not been dropped.
    ///
    /// # Errors
    /// The process cannot go on here.
    pub fn reclaim(&mut self, image: &Image) -> Result<(), ImageError> {
        self.make_state(image)
    }

    /// Dispositions, state of the threads, and what waits: the image's signals,
    /// and behind them those that have come for the deputy since.
    fn make_state(&mut self, image: &Image) -> Result<(), ImageError> {
        let pid = self.pid();
        let set = match image.pending.is_empty() {
            true => forgotten(&image.actions),
            false => u64::MAX,
        };
        let came = self.take_signals(set)?;
        let mut made = Ok(());
        if let Some(leader) = self.threads.first_mut() {
            let mut maker = Maker::new(pid, leader.place, leader.slot);
            made = maker
                .set_actions(&image.actions)
                .and_then(|()| image.cpu_timers.arm(&mut maker));
        }
        let made = made.and_then(|()| self.make_threads(image));
        let own = image.pending.iter().filter(|_| made.is_ok());
        let waiting: Vec<PendingSignal> = own.chain(&came).cloned().collect();
        self.queue_signals(&waiting).and(made)
    }

    fn make(
        &mut self,
        image: &Image,
        pages: &[u8],
        files: &[Arc<File>],
        userfaults: Option<&Arc<File>>,
    ) -> Result<Option<Userfault>, ImageError> {
        let (pid, kept) = (self.pid(), self.kept());
        let Some(leader) = self.threads.first_mut() else {
            return Err(ImageError::Refused("a process without threads".into()));
        };
        let mut maker = Maker::new(pid, leader.place, leader.slot);
        maker.unmap_all_but(&kept);
        maker.run()?;
        let (ours, numbers) = socket_pair(&mut maker)?;
        let device = userfaults.filter(|_| !image.later.is_empty());
        let all: Vec<Arc<File>> = files.iter().chain(device).cloned().collect();
        let descriptors = maker.receive_files(ours.as_fd(), numbers[1], &all)?;
        let device = device.and(descriptors.last()).map(|number| Device {
            number: *number,
            tells_forks: true,
        });
        let made = maker.make_memory(image, pages, &descriptors, device);
        for fd in descriptors.iter().chain(&numbers) {
            maker.add(libc::SYS_close, &[*fd], "close a descriptor");
        }
        maker.run()?;
        let userfault = made?;
        self.make_state(image)?;
        Ok(userfault)
    }

    fn make_threads(&mut self, image: &Image) -> Result<(), ImageError> {
        for (own, thread) in self.threads.iter_mut().zip(&image.threads) {
            let mut maker = Maker::new(own.tid, own.place, own.slot);
            maker.set_signal_stack(thread)?;
            maker.set_thread_state(thread)?;
        }
        Ok(())
    }

    /// Makes signals wait for the deputy.
    fn queue_signals(&mut self, waiting: &[PendingSignal]) -> Result<(), ImageError> {
        let pid = self.pid();
        for own in &mut self.threads {
            let mut maker = Maker::new(own.tid, own.place, own.slot);
            let is_leader = own.tid == pid;
            let its = |s: &&PendingSignal| s.tid == own.tid || s.tid == 0 && is_leader;
            for signal in waiting.iter().filter(its) {
                queue(&mut maker, pid, signal)?;
            }
        }
        Ok(())
    }

    /// Back to a deputy, from however far [`Returning::prepare`] has got.
    pub fn undo(&mut self, image: &Image) {
        const SIG_IGN: u64 = 1;
        let kept = self.kept();
        for (own, thread) in self.threads.iter_mut().zip(&image.threads) {
            let mut maker = Maker::new(own.tid, own.place, own.slot);
            // Fails where it has not been registered.
            maker.unregister_sequences(thread);
            let _ = maker.run();
        }
        let handled = image.actions.iter().filter(|a| a.action[0] != SIG_IGN);
        let default: Vec<SignalAction> = handled
            .map(|a| SignalAction {
                signal: a.signal,
                action: [0; 4],
            })
            .collect();
        // Fails only if it has ended, as all that follows.
        let waiting = self.take_signals(forgotten(&default)).unwrap_or_default();
        if let Some(leader) = self.threads.first_mut() {
            let mut maker = Maker::new(leader.tid, leader.place, leader.slot);
            let _ = image.cpu_timers.disarm(&mut maker);
            let _ = maker.set_actions(&default);
            maker.unmap_all_but(&kept);
            let _ = maker.run();
        }
        let _ = self.queue_signals(&waiting);
    }

    /// From now on the process, and what it makes, stops where it asks for CPU time: `filter` is that of
    /// [`sys::seccomp::counting`].
    ///
    /// # Errors
    /// The kernel refuses; all is as before.
    pub fn count(&mut self, filter: &[[u8; 8]]) -> Result<(), ImageError> {
        /// Of seccomp(2): SET_MODE_FILTER; TSYNC and TSYNC_ESRCH.
        const FILTER: u64 = 1;
        const ALL_THREADS: u64 = 1 | 16;
        let Some(leader) = self.threads.first_mut() else {
            return Err(ImageError::Refused("a process without threads".into()));
        };
        let mut maker = Maker::new(leader.tid, leader.place, leader.slot);
        let at = maker.data_address();
        let data = maker.slot.data();
        // struct sock_fprog, and behind it the program.
        data[..8].copy_from_slice(&(filter.len() as u64).to_ne_bytes());
        data[8..16].copy_from_slice(&(at + 16).to_ne_bytes());
        let program = filter.as_flattened();
        data[16..16 + program.len()].copy_from_slice(program);
        let install = |maker: &mut Maker<'_>| {
            maker.add(
                libc::SYS_seccomp,
                &[FILTER, ALL_THREADS, at],
                "install a filter",
            );
            maker.run()
        };
        match install(&mut maker) {
            Err(ImageError::Step { source, .. }) if source.raw_os_error() == Some(libc::EACCES) => {
                // Without privileges; it could gain none before either, since it is traced.
                let no_new = libc::PR_SET_NO_NEW_PRIVS as u64;
                maker.add(
                    libc::SYS_prctl,
                    &[no_new, 1, 0, 0, 0],
                    "give up new privileges",
                );
                install(&mut maker)
            }
            done => done,
        }
    }

    /// The last step: stops the threads, removes the windows, loads registers
    /// and masks. The threads are stopped then; when they are resumed, the
    /// process goes on. Returns stop signals that came meanwhile, to be sent again.
    ///
    /// # Errors
    /// The process is lost: it cannot go on here.
    pub fn enter(&mut self, image: &Image) -> Result<Vec<i32>, ImageError> {
        let pid = self.pid();
        let mut stops = Vec::new();
        for thread in &self.threads {
            stop(thread.tid, &mut stops)?;
        }
        let at = borrowed_instruction(pid, image).ok_or_else(|| ImageError::Stays {
            pid,
            reason: "its address space has no system call instruction to borrow".into(),
        })?;
        for window in &self.windows {
            unmap_from_outside(pid, at, *window, GEOMETRY.bytes() as u64, &mut stops)?;
        }
        for (own, thread) in self.threads.iter().zip(&image.threads) {
            load_registers(own.tid, thread)
                .map_err(ImageError::step("load the registers", own.tid))?;
        }
        Ok(stops)
    }
}

/// Interrupts thread `tid` and waits until it has stopped.
pub fn stop(tid: i32, stops: &mut Vec<i32>) -> Result<(), ImageError> {
    let step = |doing| ImageError::step(doing, tid);
    loop {
        // One that stands already must not be told once more: it would stop
        // again as soon as it is resumed.
        let mut change = ptrace::wait(tid, true).map_err(step("stop a thread"))?;
        if change.is_none() {
            ptrace::interrupt(tid).map_err(step("stop a thread"))?;
            change = ptrace::wait(tid, false).map_err(step("stop a thread"))?;
        }
        if stands(tid, change, stops)? {
            return Ok(());
        }
    }
}

/// Whether that is the stop of a thread that was told to; else it is sent on. A signal that it was
/// about to get is put to the others.
pub(crate) fn stands(
    tid: i32,
    change: Option<(i32, Change)>,
    stops: &mut Vec<i32>,
) -> Result<bool, ImageError> {
    match change {
        Some((
            _,
            Change::Event {
                event: EVENT_STOP,
                signal,
            },
        )) => {
            if signal != libc::SIGTRAP {
                stops.push(signal);
            }
            return Ok(true);
        }
        Some((pid, change @ (Change::Exited(_) | Change::Killed { .. }))) => {
            return Err(ImageError::Ended { pid, change });
        }
        Some((_, Change::Signal(signal))) => stops.push(signal),
        Some((_, Change::Event { .. })) => {}
        None => return Ok(false),
    }
    ptrace::resume(tid, 0).map_err(ImageError::step("stop a thread", tid))?;
    Ok(false)
}

/// A pair of sockets in the deputy. Returns a duplicate of the first, and the
/// numbers of both.
fn socket_pair(maker: &mut Maker<'_>) -> Result<(OwnedFd, [u64; 2]), ImageError> {
    let pid = maker.tid;
    let step = |doing| ImageError::step(doing, pid);
    let kind = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC) as u64;
    let args = [libc::AF_UNIX as u64, kind, 0, maker.data_address()];
    maker.add(libc::SYS_socketpair, &args, "make a socket for files");
    maker.run()?;
    let data = maker.slot.data();
    let numbers = [0, 4].map(|at| {
        let mut number = [0; 4];
        number.copy_from_slice(&data[at..at + 4]);
        u64::from(u32::from_ne_bytes(number))
    });
    let ours = pidfd::open(pid)
        .and_then(|process| pidfd::getfd(process.as_fd(), numbers[0] as i32))
        .map_err(step("fetch the socket for files"))?;
    Ok((ours, numbers))
}
