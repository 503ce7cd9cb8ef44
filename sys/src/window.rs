//! The window: memory shared between us and a deputy or body, holding the
//! stub, and slots through which one thread each is handed system calls.
//!
//! ```text
//! window: | stub, one page | slot 0 | slot 1 | …
//! slot:   | control, one page | data |
//! control:  0 request (u32)   64 done (u32)   128 count (u64)
//!           192 + 64 i: number, six arguments, result (u64 each)
//! ```
//! A request is posted by storing the batch, then its number at 0; it is over
//! when the same number stands at 64. In between the data belong to the
//! deputy, otherwise to the owner of the [`Slot`].
#![allow(unsafe_code, reason = "memory shared with another process")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::patience::{Patience, UNDER_WAY};
use crate::{futex, stub};

/// Most calls in one batch.
pub const BATCH_CALLS_MAX: usize = 61;
const PAGE_BYTES: usize = 4096;
const DONE: usize = 64;
const COUNT: usize = 128;
pub(crate) const CALLS: usize = 192;
const CALL_BYTES: usize = 64;

/// In [`Call::nr`]: the first argument is the result of the call before.
const ON_RESULT: u64 = 1 << 32;

/// One system call for the stub.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call {
    /// Number, and [`ON_RESULT`] in the upper half.
    pub nr: u64,
    /// Arguments.
    pub args: [u64; 6],
}

impl Call {
    /// A call with the given arguments, the rest zero.
    pub fn new(nr: i64, args: &[u64]) -> Call {
        let mut call = Call {
            nr: nr as u64,
            args: [0; 6],
        };
        call.args[..args.len()].copy_from_slice(args);
        call
    }

    /// The same call on the result of the call before it in the batch, which
    /// takes the place of the first argument.
    pub fn on_result(self) -> Call {
        Call {
            nr: self.nr | ON_RESULT,
            ..self
        }
    }
}

/// Most slots of a window.
pub const SLOTS_MAX: usize = 64;

/// Sizes of a window.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Slots, at most [`SLOTS_MAX`].
    pub slots: usize,
    /// Data area of each, in bytes, a multiple of 4096.
    pub data_bytes: usize,
}

impl Geometry {
    /// Size of the whole window in bytes.
    pub const fn bytes(self) -> usize {
        PAGE_BYTES + self.slots * self.slot_bytes()
    }
    const fn slot_bytes(self) -> usize {
        PAGE_BYTES + self.data_bytes
    }
}

/// Our mapping of a window.
pub struct Window {
    start: NonNull<u8>,
    geometry: Geometry,
    free: Mutex<u64>,
    /// Results of all requests in slots whose threads are gone; 0: it is not.
    gone: [AtomicI64; SLOTS_MAX],
}

// SAFETY: the mapping lives as long as the `Window` and is only accessed
// through atomics and through `Slot`s, each of which owns a disjoint part.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// Sizes `file` for `geometry`, maps it, and puts the stub at its start.
    pub fn create(file: &File, geometry: Geometry) -> io::Result<Arc<Window>> {
        if file.metadata()?.len() != geometry.bytes() as u64 {
            file.set_len(geometry.bytes() as u64)?;
        }
        // SAFETY: a fresh shared mapping chosen by the kernel aliases nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                geometry.bytes(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<u8>())
            .ok_or_else(|| io::Error::other("the kernel mapped the window at address 0"))?;
        let code = stub::code();
        assert!(code.len() <= PAGE_BYTES && geometry.slots <= SLOTS_MAX);
        // SAFETY: the mapping is at least a page long and the stub fits.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), start.as_ptr(), code.len()) };
        let free = if geometry.slots == SLOTS_MAX {
            u64::MAX
        } else {
            (1 << geometry.slots) - 1
        };
        Ok(Arc::new(Window {
            start,
            geometry,
            free: Mutex::new(free),
            gone: [const { AtomicI64::new(0) }; SLOTS_MAX],
        }))
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.geometry.bytes()
    }

    /// Takes a free slot; `None` if all are taken. Its counters start at zero.
    pub fn take_slot(self: &Arc<Self>) -> Option<Slot> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            return None;
        }
        let index = free.trailing_zeros() as usize;
        *free &= !(1 << index);
        drop(free);
        self.word(index, 0).store(0, Ordering::SeqCst);
        self.word(index, DONE).store(0, Ordering::SeqCst);
        self.gone[index].store(0, Ordering::SeqCst);
        Some(Slot {
            window: Arc::clone(self),
            index,
            request: 0,
            patience: Patience::new(UNDER_WAY),
        })
    }

    fn slot_offset(&self, index: usize) -> usize {
        PAGE_BYTES + index * self.geometry.slot_bytes()
    }

    fn at(&self, index: usize, offset: usize) -> *mut u8 {
        let offset = self.slot_offset(index) + offset;
        assert!(offset < self.bytes());
        // SAFETY: the offset lies within the mapping.
        unsafe { self.start.as_ptr().add(offset) }
    }

    fn word(&self, index: usize, offset: usize) -> &AtomicU32 {
        // SAFETY: aligned (offsets are multiples of 64), within the mapping,
        // which lives as long as `self`; all accesses to it are atomic.
        unsafe { AtomicU32::from_ptr(self.at(index, offset).cast()) }
    }

    /// Reports the request under way in slot `index` as over with `result` for
    /// its first call, since its thread will not: it has executed another
    /// program, or is gone. Nothing happens if no request is under way.
    pub fn finish(&self, index: usize, result: i64) {
        let request = self.word(index, 0).load(Ordering::SeqCst);
        let done = self.word(index, DONE);
        if done.load(Ordering::SeqCst) == request {
            return;
        }
        // SAFETY: within the control page of the slot; the deputy's thread,
        // the other writer, is gone.
        unsafe {
            self.at(index, CALLS + 56)
                .cast::<i64>()
                .write_volatile(result)
        };
        done.store(request, Ordering::SeqCst);
        // A failed wake-up means that nobody waits yet; they will see `done`.
        let _ = futex::wake(done, 1);
    }

    /// The same, and for all requests to come: the thread is gone for good. `result` is not 0.
    pub fn abandon(&self, index: usize, result: i64) {
        self.gone[index].store(result, Ordering::SeqCst);
        self.finish(index, result);
    }

    /// Number of the last request posted in slot `index`.
    pub fn request(&self, index: usize) -> u32 {
        self.word(index, 0).load(Ordering::SeqCst)
    }

    /// Whether a request is under way in slot `index`.
    pub fn is_busy(&self, index: usize) -> bool {
        self.word(index, 0).load(Ordering::SeqCst) != self.word(index, DONE).load(Ordering::SeqCst)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping once the window is dropped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes()) };
    }
}

/// One thread's part of a window. Freed when dropped.
pub struct Slot {
    window: Arc<Window>,
    index: usize,
    request: u32,
    patience: Patience,
}

impl Slot {
    /// Number of the slot in its window.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The window it belongs to.
    pub fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// Offset of the slot from the start of the window, in bytes.
    pub fn offset(&self) -> u64 {
        self.window.slot_offset(self.index) as u64
    }

    /// Offset of the data area from the start of the window, in bytes.
    pub fn data_offset(&self) -> u64 {
        self.offset() + PAGE_BYTES as u64
    }

    /// The data area. Borrowing the slot mutably proves that no request of
    /// ours is under way.
    pub fn data(&mut self) -> &mut [u8] {
        let start = self.window.at(self.index, PAGE_BYTES);
        // SAFETY: within the mapping; no other Slot has this index; the
        // deputy writes only during a request, and requests hold `&mut self`.
        // A body's other threads are not running while it is rebuilt.
        unsafe { std::slice::from_raw_parts_mut(start, self.window.geometry.data_bytes) }
    }

    /// Hands over a batch without waiting for it.
    pub fn post(&mut self, calls: &[Call]) {
        assert!(calls.len() <= BATCH_CALLS_MAX);
        for (position, call) in calls.iter().enumerate() {
            let at = self
                .window
                .at(self.index, CALLS + position * CALL_BYTES)
                .cast::<u64>();
            // SAFETY: entry `position` lies within the control page.
            unsafe { at.write_volatile(call.nr) };
            for (number, arg) in call.args.iter().enumerate() {
                // SAFETY: as above; seven words of the entry's eight.
                let to = unsafe { at.add(1 + number) };
                // SAFETY: as above.
                unsafe { to.write_volatile(*arg) };
            }
        }
        let count = self.window.at(self.index, COUNT).cast::<u64>();
        // SAFETY: within the control page.
        unsafe { count.write_volatile(calls.len() as u64) };
        self.request = self.request.wrapping_add(1);
        let word = self.window.word(self.index, 0);
        word.store(self.request, Ordering::SeqCst);
        let _ = futex::wake(word, 1);
        // Looked at only now: who abandons the slot finishes what was posted before.
        let gone = self.window.gone[self.index].load(Ordering::SeqCst);
        if gone != 0 {
            self.window.finish(self.index, gone);
        }
    }

    /// Waits until the batch is over, awake at first if that has paid lately.
    pub fn watch(&mut self) {
        let word = self.window.word(self.index, DONE);
        let request = self.request;
        self.patience
            .watch(|| word.load(Ordering::SeqCst) == request);
        self.wait(None);
    }

    /// Sleeps until the batch is over, or for `limit`. Returns whether it is over.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let word = self.window.word(self.index, DONE);
        let since = Instant::now();
        loop {
            let done = word.load(Ordering::SeqCst);
            if done == self.request {
                return true;
            }
            // It may be woken for nothing: by the wake of the batch before, whose end was seen without.
            let left = limit.map(|limit| limit.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            futex::wait(word, done, left);
        }
    }

    /// Result of call `position` of the last batch: a value, or -errno.
    pub fn result(&self, position: usize) -> i64 {
        assert!(position < BATCH_CALLS_MAX);
        let at = self
            .window
            .at(self.index, CALLS + position * CALL_BYTES + 56);
        // SAFETY: within the control page; the batch is over.
        unsafe { at.cast::<i64>().read_volatile() }
    }

    /// One call, start to end.
    pub fn call(&mut self, call: Call) -> i64 {
        self.post(&[call]);
        self.wait(None);
        self.result(0)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self
            .window
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *free |= 1 << self.index;
    }
}
