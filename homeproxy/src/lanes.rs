//! One thread per lane: executes a guest thread's calls through its deputy thread.
//!
//! The hot path, top to bottom: frame in → place the call in the slot → wake
//! the deputy → wait → collect the results → frame out. The call goes from the
//! lane's buffer into the slot and the results from there into the lane's
//! other buffer: one copy each way.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use abi::wire::{EXEC_WIRE_BYTES_MAX, WireCall};
use image::deputy::{GEOMETRY, PLACES, WINDOW_STRIDE, WINDOWS_MAX, raise_limits};
use image::files::Mappable;
use lane::ahead::Ahead;
use lane::{Frame, Kind, LaneError, Receiver, Sender};
use pages::PagesError;
use smallvec::smallvec;
use sys::patience::{PERHAPS, Patience};
use sys::pidfd;
use sys::window::{Call, Slot, Window};

use crate::coming::Coming;
use crate::direct;
use crate::guesses::{Batch, Guesses, Willing};
use crate::hosts::Host;
use crate::job::{DeputyThread, EXECUTED, GONE, Job, Order, Place, Returned, lock};
use crate::mapped::Wish;
use crate::procfs;
use crate::readahead::{self, Reading};
use crate::requests::{Belongs, Requests};
use crate::shipping;
use crate::waiting;

/// Stack of a lane's thread, in bytes: buffers are on the heap.
pub(crate) const LANE_STACK_BYTES: usize = 128 * 1024;
/// Bytes of an image or file in one frame.
const PART_BYTES: usize = 512 * 1024;
/// Most bytes of a reason in words.
const WORDS_BYTES_MAX: usize = 4096;
/// Lowest result of a call that has returned; below are the marks of `job.rs`.
const LOWEST_RESULT: i64 = -4095;
/// The kernel's code for a call that is made again, whatever comes in between.
const ERESTARTNOINTR: i64 = -513;

/// What ends a lane.
enum End {
    /// The lane itself.
    Lane(LaneError),
    /// The other side asked for nonsense.
    Malformed(&'static str),
}

impl From<PagesError> for End {
    fn from(error: PagesError) -> End {
        match error {
            PagesError::Lane(error) => End::Lane(error),
            PagesError::Malformed(what) => End::Malformed(what),
            // What reads it next hears that it has ended.
            _ => End::Lane(LaneError::Closed),
        }
    }
}

impl From<LaneError> for End {
    fn from(error: LaneError) -> End {
        End::Lane(error)
    }
}

/// Thread id in a Bind frame; 0: none.
pub(crate) fn bound_thread(frame: &Frame<'_>) -> i32 {
    frame
        .payload
        .first_chunk::<4>()
        .map_or(0, |bytes| i32::from_le_bytes(*bytes))
}

/// Serves a lane of `host`, bound to thread `tid`, until it ends.
pub(crate) fn serve(
    job: &Arc<Job>,
    host: &Arc<Host>,
    sender: Sender,
    mut receiver: Receiver,
    tid: i32,
) {
    let mut server = Server {
        job,
        host,
        thread: job.thread_at(host, tid),
        sender,
        requests: Requests::default(),
        parts: Vec::new(),
        coming: Coming::default(),
        reading: Reading::default(),
        willing: Willing::default(),
    };
    // A guest that has just got an answer may go on with the next call.
    let mut patience = Patience::new(PERHAPS);
    loop {
        let served = server.read_ahead(&receiver).and_then(|()| {
            patience.watch(|| receiver.is_ready());
            receiver.recv().map_err(End::from)
        });
        let served = served.and_then(|frame| server.serve(&frame));
        match served {
            Ok(()) => {}
            Err(End::Lane(LaneError::Closed)) => return,
            Err(End::Lane(error)) => return tracing::debug!("lane ended: {error}"),
            Err(End::Malformed(what)) => return tracing::warn!("lane closed: {what}"),
        }
    }
}

struct Server<'a> {
    job: &'a Arc<Job>,
    host: &'a Arc<Host>,
    thread: Option<Arc<DeputyThread>>,
    sender: Sender,
    /// Their numbers.
    requests: Requests,
    /// What has come of a request that is longer than a frame.
    parts: Vec<u8>,
    /// What has come of a process that is to go on at home.
    coming: Coming,
    /// What is read ahead for the thread.
    reading: Reading,
    /// Whether guesses are made.
    willing: Willing,
}

impl Server<'_> {
    /// Sends what is read ahead until the host says something.
    fn read_ahead(&mut self, receiver: &Receiver) -> Result<(), End> {
        loop {
            let is_stuck = self.sender.has_rest();
            if !is_stuck && !self.reading.wants() || receiver.ready(is_stuck, is_stuck)? {
                return Ok(());
            }
            if is_stuck {
                self.sender.send_rest()?;
            } else {
                self.reading.push(&mut self.sender)?;
            }
        }
    }

    fn serve(&mut self, frame: &Frame<'_>) -> Result<(), End> {
        let belongs = self.requests.heed(frame.kind, frame.request);
        if belongs.map_err(End::Malformed)? == Belongs::New {
            self.parts.clear();
            self.coming = Coming::default();
        }
        if frame.kind == Kind::Bind {
            self.thread = self.job.thread_at(self.host, bound_thread(frame));
            self.reading.leave();
            if let Some(thread) = self.thread.as_ref().filter(|t| t.deputy.waiting.set() != 0) {
                // A child, which has its parent's signalfds.
                waiting::watch(self.job, thread, &mut thread.own_slot());
            }
            return Ok(());
        }
        if frame.kind == Kind::Part {
            if self.parts.len() + frame.payload.len() > EXEC_WIRE_BYTES_MAX {
                return Err(End::Malformed("a request that is too long"));
            }
            self.parts.extend_from_slice(frame.payload);
            return Ok(());
        }
        self.thread
            .take_if(|thread| thread.is_over.load(Ordering::SeqCst));
        let Some(thread) = self.thread.clone() else {
            self.parts = Vec::new();
            // It has ended while this frame was on its way.
            return match frame.kind {
                Kind::Ahead | Kind::After => Ok(()),
                _ => self.answer(frame, GONE, None),
            };
        };
        if matches!(
            frame.kind,
            Kind::Call | Kind::Calls | Kind::Exec | Kind::Fork
        ) {
            thread.deputy.calls.fetch_add(1, Ordering::Relaxed);
            self.job.calls.fetch_add(1, Ordering::Relaxed);
        }
        let served = match frame.kind {
            Kind::Call | Kind::Calls | Kind::Exec => self.call(frame, &thread),
            Kind::Fork => self.fork(frame, &thread),
            Kind::FetchImage => self.image(frame, &thread),
            Kind::DescribeFile => self.describe(frame, &thread),
            Kind::FetchFile => self.file(frame, &thread),
            Kind::Return => self.come_home(frame, &thread),
            Kind::Ahead => {
                let said = Ahead::decode(frame.payload)?;
                let heeded = self.reading.heed(self.job, &thread, &said);
                heeded.map_err(End::Malformed)
            }
            Kind::After => self.after(frame, &thread),
            _ => Err(End::Malformed("a frame that home does not take")),
        };
        // Only now: who makes it due looks for a thread whose slot is free.
        if thread.deputy.kept.is_due() {
            thread.deputy.kept.try_drop_by(self.job, &thread);
        }
        served
    }

    /// Waits for what other lanes of the process have to say.
    fn after(&self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let count = frame.payload.first_chunk::<8>();
        let count = count.ok_or(End::Malformed("no count of words"))?;
        // As long as its process is stopped, if need be.
        while !thread.deputy.heeded.wait(u64::from_le_bytes(*count)) {
            if self.job.thread(thread.tid).is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Sends a result without data.
    fn answer(
        &mut self,
        frame: &Frame<'_>,
        result: i64,
        thread: Option<&DeputyThread>,
    ) -> Result<(), End> {
        let signals = thread.map_or(0, |thread| thread.last_signal(self.job));
        let out = self.sender.begin();
        out.extend_from_slice(&result.to_le_bytes());
        out.extend_from_slice(&signals.to_le_bytes());
        Ok(self
            .sender
            .send(Kind::Result, frame.lease_epoch, frame.request)?)
    }

    /// Any call that the table can describe, execve included.
    fn call(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let mut parts = std::mem::take(&mut self.parts);
        let encoded = if parts.is_empty() {
            frame.payload
        } else {
            parts.extend_from_slice(frame.payload);
            &parts
        };
        let (mut encoded, mut guesses) = (encoded, Guesses::default());
        if frame.kind == Kind::Calls {
            let calls = lane::guesses::calls(encoded)?;
            encoded = calls[0];
            if self.willing.is() {
                guesses = Guesses::parse(&calls[1..]).map_err(|e| End::Malformed(e.0))?;
            }
        }
        let call = WireCall::parse(encoded).map_err(|e| End::Malformed(e.0))?;
        if let Some(result) = direct::answer(&thread.deputy, &call) {
            return self.answer(frame, result, Some(thread));
        }
        thread.begins();
        let mut slot = thread.own_slot();
        if thread.is_over.load(Ordering::SeqCst) {
            return self.answer(frame, GONE, None);
        }
        match waiting::wanted(&call) {
            0 => waiting::mind(&thread.deputy, &call),
            set => waiting::hold(self.job, thread, &mut slot, set),
        }
        let result = match procfs::execute(self.job, thread, &mut slot, &call) {
            Some(result) => result,
            None => {
                if readahead::minds_leases(&call) {
                    self.job.leases.recall_all();
                }
                let request = frame.request;
                let since = (!guesses.is_empty()).then(Instant::now);
                let mut result = execute(self.job, thread, &mut slot, &call, request, &mut guesses);
                if let Some(since) = since {
                    self.willing.learn(since);
                }
                if readahead::was_put_off(&call, result) && self.give_way(frame, thread) {
                    // Interrupted: it has not happened, and happens where the process goes on.
                    result = match thread.interrupt.load(Ordering::SeqCst) == frame.request {
                        true => ERESTARTNOINTR,
                        false => execute(self.job, thread, &mut slot, &call, request, &mut guesses),
                    };
                }
                direct::learn(&thread.deputy, &call, result);
                procfs::note(thread, &call, result, &mut slot);
                let (accounts, pid) = (&self.job.accounts, thread.deputy.pid);
                accounts.add_to(pid, &call, result, slot.data());
                result
            }
        };
        let answered = self.answer_call(frame, thread, (&call, &guesses), result, slot);
        if result == EXECUTED {
            // The process has a new thread object, window and slot.
            self.thread = self.job.thread_at(self.host, thread.deputy.pid);
        }
        answered
    }

    /// A call may have failed only because of our leases: gives them back. Whether it may be that.
    fn give_way(&self, frame: &Frame<'_>, thread: &DeputyThread) -> bool {
        let ahead = self.job.leases.recall_all();
        let mapped = self
            .job
            .mapped
            .await_writers(self.job, &thread.interrupt, frame.request);
        ahead || mapped
    }

    /// Sends a result with what the call has written.
    fn answer_call(
        &mut self,
        frame: &Frame<'_>,
        thread: &DeputyThread,
        (call, guesses): (&WireCall<'_>, &Guesses<'_>),
        result: i64,
        mut slot: MutexGuard<'_, Slot>,
    ) -> Result<(), End> {
        let signals = thread.last_signal(self.job);
        let out = self.sender.begin();
        out.extend_from_slice(&result.to_le_bytes());
        out.extend_from_slice(&signals.to_le_bytes());
        let mut kind = Kind::Result;
        if guesses.are_made() {
            kind = Kind::Results;
            let data = slot.data();
            lane::guesses::push_data(out, |out| call.collect(result, data, out));
            guesses.collect(data, out);
        } else if !call.wants_own_mapping() {
            call.collect(result, slot.data(), out);
        }
        // First: who has the answer may leave with the next frame.
        drop(slot);
        Ok(self.sender.send(kind, frame.lease_epoch, frame.request)?)
    }

    /// A call of the clone family. The child's slot must exist before the
    /// child does.
    fn fork(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let call = WireCall::parse(frame.payload).map_err(|e| End::Malformed(e.0))?;
        let is_thread = call.args[0] & libc::CLONE_THREAD as u64 != 0;
        thread.begins();
        let mut slot = thread.own_slot();
        if thread.is_over.load(Ordering::SeqCst) {
            return self.answer(frame, GONE, None);
        }
        let newborn = match free_slot(thread, &mut slot) {
            Ok(newborn) => newborn,
            Err(errno) => {
                drop(slot);
                return self.answer(frame, -i64::from(errno), Some(thread));
            }
        };
        thread.newborn_is_thread.store(is_thread, Ordering::SeqCst);
        *lock(&thread.newborn) = Some(newborn);
        let mut none = Guesses::default();
        let result = execute(self.job, thread, &mut slot, &call, frame.request, &mut none);
        *lock(&thread.newborn) = None;
        self.answer_call(frame, thread, (&call, &none), result, slot)
    }

    /// The image of a process that has just executed a program, then its pages.
    fn image(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        waiting::watch(self.job, thread, &mut thread.own_slot());
        let Some(captured) = lock(&thread.deputy.image).clone() else {
            return self.answer(frame, GONE, Some(thread));
        };
        let (job, deputy) = (self.job, &thread.deputy);
        Ok(shipping::send_image(
            job,
            deputy,
            &captured,
            frame,
            &mut self.sender,
        )?)
    }

    /// A part of the image of a process that is to go on at home. With the last
    /// one the tracer takes over, and the answer is why it does not.
    fn come_home(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let Some((image, pages)) = self.coming.add(frame.payload).map_err(End::Malformed)? else {
            return Ok(());
        };
        self.requests.finish();
        let (answer, decision) = mpsc::channel();
        let pid = thread.deputy.pid;
        self.job.order(Order::Return(Box::new(Returned {
            pid,
            deputy: Arc::clone(&thread.deputy),
            image,
            pages,
            since: Instant::now(),
            answer,
        })));
        // The tracer ends with the job.
        let decision = decision
            .recv()
            .unwrap_or_else(|_| Err("the job is over".into()));
        let out = self.sender.begin();
        if let Err(why) = decision {
            let why = if why.is_empty() { "no reason" } else { &why };
            out.extend_from_slice(&why.as_bytes()[..why.len().min(WORDS_BYTES_MAX)]);
        }
        Ok(self
            .sender
            .send(Kind::Returned, frame.lease_epoch, frame.request)?)
    }

    /// What is behind a descriptor, for mapping it: the answer is errno and, if
    /// that is zero, what is to be done. Flags: those of [`Wish`], from bit 0 on.
    fn describe(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let (fd, rest) = frame
            .payload
            .split_first_chunk::<4>()
            .ok_or(End::Malformed("no descriptor to describe"))?;
        let flags = rest.first().copied().unwrap_or(0);
        let described = describe(self.job, thread, i32::from_le_bytes(*fd), flags);
        let out = self.sender.begin();
        match described {
            Ok(mappable) => {
                out.extend_from_slice(&0i32.to_le_bytes());
                lane::control::encode(&mappable, out)?;
            }
            Err(errno) => out.extend_from_slice(&errno.to_le_bytes()),
        }
        Ok(self
            .sender
            .send(Kind::FileDescribed, frame.lease_epoch, frame.request)?)
    }

    /// A part of a file that was described before: digest, offset in; bytes out.
    fn file(&mut self, frame: &Frame<'_>, thread: &DeputyThread) -> Result<(), End> {
        let (digest, rest) = frame
            .payload
            .split_first_chunk::<32>()
            .ok_or(End::Malformed("no digest"))?;
        let offset = rest
            .first_chunk::<8>()
            .map(|b| u64::from_le_bytes(*b))
            .ok_or(End::Malformed("no offset"))?;
        let file = self.job.mapped.by_digest(thread.deputy.pid, digest);
        let file = file.ok_or(End::Malformed("a file that was never described"))?;
        let out = self.sender.begin();
        let from = out.len();
        out.resize(from + PART_BYTES, 0);
        // A failed read is an empty part: the host sees that the file is short.
        let n = file.read_at(&mut out[from..], offset).unwrap_or(0);
        out.truncate(from + n);
        Ok(self
            .sender
            .send(Kind::FilePart, frame.lease_epoch, frame.request)?)
    }
}

/// Executes `call` on the deputy's thread. Returns its result, or one of the
/// marks of `job.rs` if it did not return.
fn execute(
    job: &Job,
    thread: &DeputyThread,
    slot: &mut Slot,
    call: &WireCall<'_>,
    request: u64,
    guesses: &mut Guesses<'_>,
) -> i64 {
    if call.wants_own_mapping() {
        return execute_mapped(job, thread, slot, call, request);
    }
    let base = thread.place.address + slot.data_offset();
    let args = call.place(slot.data(), base);
    let nr = u64::from(call.nr);
    let mut batch: Batch = smallvec![Call { nr, args }];
    batch.extend(procfs::probe(call, base));
    let before = batch.len();
    guesses.place(call.space_bytes(), slot.data(), base, &mut batch);
    let result = run(job, thread, slot, batch, request);
    if result >= LOWEST_RESULT {
        guesses.made(slot, before);
    }
    result
}

/// Executes a call, and what stands behind it. Its result.
fn run(job: &Job, thread: &DeputyThread, slot: &mut Slot, mut batch: Batch, request: u64) -> i64 {
    thread.request.store(request, Ordering::SeqCst);
    // Last: nothing may be told that came after a signal which is not.
    let signals = waiting::probe(thread, slot);
    batch.extend(signals);
    slot.post(&batch);
    if thread.interrupt.load(Ordering::SeqCst) == request {
        let tid = thread.tid;
        job.order(Order::Interrupt { tid, request });
    }
    slot.watch();
    let result = slot.result(0);
    if signals.is_some() && result >= LOWEST_RESULT {
        waiting::after(job, thread, slot);
    }
    result
}

/// As `execute`, with the call's space in a mapping made for it.
fn execute_mapped(
    job: &Job,
    thread: &DeputyThread,
    slot: &mut Slot,
    call: &WireCall<'_>,
    request: u64,
) -> i64 {
    let bytes = call.space_bytes().max(1) as u64;
    let access = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    let no_file = u64::MAX;
    let mapped = slot.call(Call::new(
        libc::SYS_mmap,
        &[0, bytes, access, flags, no_file, 0],
    ));
    let Ok(address) = u64::try_from(mapped) else {
        return mapped;
    };
    let mut space = vec![0; call.space_bytes()];
    let args = call.place(&mut space, address);
    let nr = u64::from(call.nr);
    let result = match fill(thread, slot, address, &space) {
        Ok(()) => run(job, thread, slot, smallvec![Call { nr, args }], request),
        Err(errno) => errno,
    };
    // Unless the memory is gone, and the thread perhaps too.
    if result >= LOWEST_RESULT {
        slot.call(Call::new(libc::SYS_munmap, &[address, bytes]));
    }
    result
}

/// Copies `bytes` to `address` in the deputy, which does it itself: that needs
/// no right to access it, whatever credentials it has taken.
fn fill(thread: &DeputyThread, slot: &mut Slot, address: u64, bytes: &[u8]) -> Result<(), i64> {
    let base = thread.place.address + slot.data_offset();
    let mut to = address;
    for part in bytes.chunks(PART_BYTES) {
        let length = part.len() as u64;
        // Two vectors, then what they are about.
        let head = [base + 32, length, to, length].map(u64::to_le_bytes);
        let data = slot.data();
        data[..32].copy_from_slice(head.as_flattened());
        data[32..32 + part.len()].copy_from_slice(part);
        let pid = thread.deputy.pid as u64;
        let result = slot.call(Call::new(
            libc::SYS_process_vm_writev,
            &[pid, base, 1, base + 16, 1, 0],
        ));
        match result {
            n if n == length as i64 => to += length,
            n if n < 0 => return Err(n),
            _ => return Err(-i64::from(libc::EFAULT)),
        }
    }
    Ok(())
}

/// A slot for a child of `thread`, in a window that the child will inherit; if
/// all are taken, another window is made through the thread's own slot.
fn free_slot(thread: &DeputyThread, slot: &mut Slot) -> Result<(Place, Slot), i32> {
    let mut places = lock(&thread.deputy.places);
    for place in places.iter() {
        if let Some(slot) = place.window.take_slot() {
            return Ok((place.clone(), slot));
        }
    }
    let first = places.first().map_or(PLACES[0], |place| place.address);
    let address = first + places.len() as u64 * WINDOW_STRIDE;
    if places.len() as u64 >= WINDOWS_MAX {
        return Err(libc::EAGAIN);
    }
    // The errors of fork(2) are EAGAIN and ENOMEM.
    let place = more_window(thread, slot, address).map_err(|_| libc::EAGAIN)?;
    let free = place.window.take_slot().ok_or(libc::EAGAIN)?;
    places.push(place.clone());
    Ok((place, free))
}

fn more_window(thread: &DeputyThread, slot: &mut Slot, address: u64) -> Result<Place, i32> {
    let pid = thread.deputy.pid;
    let _limits = raise_limits(pid).map_err(|_| libc::EAGAIN)?;
    let name = thread.place.address + slot.data_offset();
    let bytes = GEOMETRY.bytes() as u64;
    slot.data()[..16].copy_from_slice(b"homenode-window\0");
    let check = |result: i64| {
        if result < 0 {
            Err(-result as i32)
        } else {
            Ok(result as u64)
        }
    };
    let fd = check(slot.call(Call::new(
        libc::SYS_memfd_create,
        &[name, u64::from(libc::MFD_CLOEXEC)],
    )))?;
    let made = check(slot.call(Call::new(libc::SYS_ftruncate, &[fd, bytes]))).and_then(|_| {
        let flags = (libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE) as u64;
        check(slot.call(Call::new(
            libc::SYS_mmap,
            &[address, bytes, 7, flags, fd, 0],
        )))?;
        let file = pidfd::getfd(thread.deputy.pidfd.as_fd(), fd as i32);
        let window = file.and_then(|file| Window::create(&File::from(file), GEOMETRY));
        window.map_err(|error| error.raw_os_error().unwrap_or(libc::ENOMEM))
    });
    slot.call(Call::new(libc::SYS_close, &[fd]));
    Ok(Place {
        window: made?,
        address,
    })
}

fn describe(job: &Arc<Job>, thread: &DeputyThread, fd: i32, flags: u8) -> Result<Mappable, i32> {
    let pid = thread.deputy.pid;
    let file = pidfd::getfd(thread.deputy.pidfd.as_fd(), fd)
        .map_err(|error| error.raw_os_error().unwrap_or(libc::ENODEV))?;
    let wish = Wish {
        shared: flags & 1 != 0,
        written: flags & 2 != 0,
        anyway: flags & 4 != 0,
        executed: flags & 8 != 0,
    };
    job.mapped.describe(job, pid, &File::from(file), wish)
}

// A call that was parsed fits the data area, and its results fit a frame.
const _: () = assert!(GEOMETRY.data_bytes >= abi::wire::SPACE_BYTES_MAX);
const _: () = assert!(lane::PAYLOAD_BYTES_MAX >= abi::wire::RESPONSE_BYTES_MAX + 16);
