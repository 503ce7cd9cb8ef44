//! The hot path: one call, from its notification to its answer.
//!
//! Look the call up in the table → copy its arguments out of the guest → frame
//! to home → wait → copy the results into the guest → answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use abi::errno::Errno;
use abi::looks;
use abi::marshal::{MarshalError, Marshalled};
use abi::memory::GuestMemory;
use abi::row::{Route, Row};
use abi::wire::CALL_BYTES_MAX;
use abi::{Pieces, pieces, row};
use image::unfinished::{self, Rest, Shortened, Unfinished};
use lane::control::ToHome;
use lane::guesses::GUESS_BYTES_MAX;
use lane::{Kind, LaneError};
use sys::seccomp::Notification;

use crate::guest::{TemporaryMask, Thread};
use crate::home_rows::SEEK;
use crate::host::{Decision, Host, lock};
use crate::link::GONE;
use crate::pool::Pool;
use crate::stats::Outcome;
use crate::{observe, readahead, signals, socket_limit, special};

/// Lowest and highest of the kernel's restart codes.
const RESTART_CODES: std::ops::RangeInclusive<i64> = -516..=-512;
const EINTR: i64 = -(libc::EINTR as i64);
/// The call has not happened: it is made again, whatever comes in between.
pub(crate) const ERESTARTNOINTR: i64 = -513;

/// Result of a call that is to be made again for the rest of its time. No call
/// of the kernel's has it.
const AGAIN: i64 = i64::MIN + 8;

/// A call that is to be made again.
struct Again<'a> {
    kind: Kind,
    row: &'a Row,
    args: &'a [u64; 6],
    temporary: Option<TemporaryMask>,
    began_ns: u64,
}

/// What to answer to a notification.
pub(crate) enum Verdict {
    /// This result.
    Answer(i64),
    /// Let the kernel here execute it.
    Native,
    /// Nothing: the caller is gone, or will be.
    Gone,
}

/// Serves notifications, one at a time.
pub(crate) struct Worker {
    pub(crate) host: Arc<Host>,
    /// Reused from call to call.
    pub(crate) call: Marshalled,
    /// When the call under way was notified, if somebody looks.
    pub(crate) started: Option<Instant>,
    /// How often descriptors had come to be shared when the call began.
    pub(crate) shared: u64,
    /// Descriptors that the call may move.
    pub(crate) moving: Vec<i32>,
    /// The call that is about to be sent as it travels, if calls that only look may follow it.
    encoded: Vec<u8>,
    /// The same of the one that was sent last.
    sent: Vec<u8>,
}

/// The call of a thread that has come in the midst of it, with what is left in
/// place of what it was given, and what was done of it before; as an error that
/// alone, if the rest of a write cannot be made.
fn go_on_with(
    thread: &Thread,
    mut notified: Notification,
    arrived: Option<Unfinished>,
) -> Result<(Notification, u64), u64> {
    let Some(unfinished) = arrived.filter(|call| call.nr == notified.nr as u32) else {
        return Ok((notified, 0));
    };
    let read = unfinished::memory_of(thread.outer);
    let shortened = unfinished::stack_pointer(thread.outer).and_then(|stack| {
        let now_ns = unfinished::now_ns();
        unfinished::shorten(&unfinished, &notified.args, stack, now_ns, &read)
    });
    match (shortened, unfinished.rest) {
        (Some(shortened), _) if shortened.put(thread.outer) => {
            notified.args = shortened.args;
            Ok((notified, shortened.done))
        }
        (_, Rest::Written(done)) => Err(done),
        (_, Rest::Until(_)) => Ok((notified, 0)),
    }
}

/// What the user is told of a call that cannot be sent home.
fn called(row: &Row, reason: &str) -> String {
    let why = reason.trim_start_matches("brings the process home: ");
    format!("{} ({why})", row.name)
}

impl Worker {
    pub(crate) fn new(host: Arc<Host>) -> Worker {
        Worker {
            host,
            call: Marshalled::new(),
            started: None,
            shared: 0,
            moving: Vec::new(),
            encoded: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// One notification.
    pub(crate) fn serve(&mut self, pool: &Pool, notified: &Notification) {
        let Some(thread) = self.host.thread(notified.tid) else {
            // Between its end and ours hearing of it.
            return drop(pool.listener.answer(notified.id, -i64::from(libc::ENOSYS)));
        };
        if thread.process.captured.load(Ordering::SeqCst) {
            // Our own, made by a thread that stands still.
            return drop(pool.listener.proceed(notified.id));
        }
        let arrived = {
            let mut state = lock(&thread.state);
            state.restarting = false;
            state.arrived.take()
        };
        let (notified, done) = match go_on_with(&thread, *notified, arrived) {
            Ok(rest) => rest,
            Err(done) => return drop(pool.listener.answer(notified.id, done as i64)),
        };
        let notified = &notified;
        let limited = arrived
            .filter(|wait| wait.nr == notified.nr as u32)
            .and_then(|wait| socket_limit::shorten(self, &thread, &notified.args, &wait));
        let since_ns = match (notified.is_native(), notified.nr as u32) {
            (true, nr) if unfinished::is_limited(nr) => Some(unfinished::now_ns()),
            _ => None,
        };
        // Some are told in place how much time is left, which is then nothing that they began with.
        let wait = since_ns
            .filter(|_| unfinished::is_told_in_place(notified.nr as u32))
            .and_then(|since_ns| {
                let nr = notified.nr as u32;
                unfinished::of_call(thread.outer, nr, &notified.args, since_ns)
            });
        self.started = (self.host.observed && notified.is_native()).then(Instant::now);
        let verdict = self.decide(&thread, pool, notified);
        readahead::after(self, &thread);
        let (nr, args) = (notified.nr as u32, &notified.args);
        let interrupted = match (&verdict, since_ns) {
            (Verdict::Answer(result), Some(since_ns))
                if RESTART_CODES.contains(result) && thread.process.is_leaving() =>
            {
                wait.or_else(|| unfinished::of_call(thread.outer, nr, args, since_ns))
                    .or_else(|| socket_limit::wait(self, &thread, nr, args, since_ns))
            }
            _ => None,
        };
        if let Some(limited) = limited {
            socket_limit::restore(self, &thread, &limited);
        }
        let sent = match verdict {
            Verdict::Answer(result) if done > 0 && RESTART_CODES.contains(&result) => {
                // Interrupted before more was written: short, and continued.
                pool.listener.answer(notified.id, done as i64)
            }
            Verdict::Answer(result) => {
                let result = Shortened::whole(done, result);
                if RESTART_CODES.contains(&result) {
                    let mut state = lock(&thread.state);
                    state.restarting = true;
                    if interrupted.is_some() {
                        state.interrupted = interrupted;
                    }
                }
                observe::call(&thread, nr, args, Outcome::Result(result), self.started);
                pool.listener.answer(notified.id, result)
            }
            Verdict::Native => {
                observe::call(&thread, nr, args, Outcome::Native, self.started);
                pool.listener.proceed(notified.id)
            }
            Verdict::Gone => Ok(()),
        };
        if let Err(error) = sent {
            // ENOENT: killed meanwhile.
            tracing::trace!("answer to thread {}: {error}", thread.tid);
        }
    }

    fn decide(&mut self, thread: &Arc<Thread>, pool: &Pool, notified: &Notification) -> Verdict {
        if thread.process.is_leaving() {
            return Verdict::Answer(ERESTARTNOINTR);
        }
        if !notified.is_native() {
            if notified.is_x32() {
                // As on a kernel without x32, which is nearly every one.
                return Verdict::Answer(-i64::from(libc::ENOSYS));
            }
            return self.go_home(thread, "a 32-bit system call (int 0x80)");
        }
        let nr = notified.nr as u32;
        let Some(row) = row(nr) else {
            // Newer than the table: as on a kernel that does not have it.
            return Verdict::Answer(-i64::from(libc::ENOSYS));
        };
        match row.route {
            Route::Here => Verdict::Native,
            Route::Home => self.home(thread, row, &notified.args),
            Route::Both | Route::Special => special::handle(self, thread, pool, row, notified),
            Route::GoHome => self.go_home(thread, row.name),
        }
    }

    /// The thread's lane is lost, so its process ends: the deputy with a
    /// message, and then the body. If home itself is lost that ends all.
    pub(crate) fn lost(&self, thread: &Thread, error: &LaneError) -> Verdict {
        self.host.tell_home(&ToHome::Cannot {
            pid: thread.process.pid,
            reason: format!("the lane of thread {}: {error}", thread.tid),
        });
        Verdict::Gone
    }

    /// A call that cannot work at a distance: the process goes home, and makes
    /// it there.
    pub(crate) fn go_home(&self, thread: &Thread, what: &str) -> Verdict {
        match self.host.go_home(&thread.process, what) {
            Decision::Leaves => Verdict::Answer(ERESTARTNOINTR),
            Decision::Remains(why) => {
                self.host.say_remains(&thread.process, what, &why);
                Verdict::Answer(-i64::from(libc::ENOSYS))
            }
        }
    }

    /// Forwards a call as the table describes it, unless it reads what is here.
    pub(crate) fn home(&mut self, thread: &Thread, row: &Row, args: &[u64; 6]) -> Verdict {
        if let Some(verdict) = readahead::read(self, thread, row, args) {
            return verdict;
        }
        let verdict = self.forward_whole(thread, row, args);
        readahead::after(self, thread);
        if let Verdict::Answer(result) = verdict {
            readahead::note(self, thread, row, args, result);
        }
        verdict
    }

    /// Forwards a call in pieces if it is a large read or write.
    fn forward_whole(&mut self, thread: &Thread, row: &Row, args: &[u64; 6]) -> Verdict {
        let memory = thread.memory();
        let read = unfinished::memory_of(thread.outer);
        let first = self.forward(thread, Kind::Call, row, args, &memory, None);
        let Verdict::Answer(bytes) = first else {
            return first;
        };
        let full = self.call.was_cut() && bytes.max(0) as usize >= CALL_BYTES_MAX;
        if full && pieces(row.nr) != Pieces::None {
            return self.more_pieces(thread, row, args, bytes as u64);
        }
        let short = pieces(row.nr) == Pieces::Write
            && unfinished::of_write(row.nr, args, bytes, &read).is_some();
        if short && self.writes_on(thread, args) {
            return self.more_pieces(thread, row, args, bytes as u64);
        }
        first
    }

    /// Whether a write that came back short goes on: home may have been stopped for something that
    /// the guest does not see. If there was no room, the rest tells. A file with a position is never
    /// interrupted: there it was the end of the disk or of a limit, which the next write shall find.
    fn writes_on(&mut self, thread: &Thread, args: &[u64; 6]) -> bool {
        if !self.goes_on(thread) {
            return false;
        }
        let position = [args[0], 0, libc::SEEK_CUR as u64, 0, 0, 0];
        let here = self.own(thread, &SEEK, &position, &thread.memory());
        matches!(here, Verdict::Answer(errno) if errno < 0)
    }

    /// Whether neither a move nor a signal ends a call that has come back early.
    pub(crate) fn goes_on(&self, thread: &Thread) -> bool {
        !thread.process.is_leaving() && !signals::is_due(thread, None)
    }

    /// The rest of a call of which `done` bytes are over. A read goes on only
    /// where the kernel would not have returned early: on files with a position.
    pub(crate) fn more_pieces(
        &mut self,
        thread: &Thread,
        row: &Row,
        args: &[u64; 6],
        mut done: u64,
    ) -> Verdict {
        let memory = thread.memory();
        if pieces(row.nr) == Pieces::Read {
            let position = [args[0], 0, libc::SEEK_CUR as u64, 0, 0, 0];
            let here = self.own(thread, &SEEK, &position, &memory);
            match here {
                Verdict::Answer(position) if position >= 0 => {}
                Verdict::Answer(_) => return Verdict::Answer(done as i64),
                other => return other,
            }
        }
        loop {
            if self.call.marshal_rest(row, args, &memory, done).is_err() {
                return Verdict::Answer(done as i64);
            }
            let cut = self.call.was_cut();
            // Files with a position never wait: nothing interrupts the rest.
            let waits = pieces(row.nr) == Pieces::Write
                && !matches!(
                    i64::from(row.nr),
                    libc::SYS_pwrite64 | libc::SYS_pwritev | libc::SYS_pwritev2
                );
            let Verdict::Answer(bytes) = self.roundtrip(thread, Kind::Call, &memory, None, waits)
            else {
                return Verdict::Gone;
            };
            if bytes == AGAIN {
                continue;
            }
            if bytes <= 0 {
                return Verdict::Answer(done as i64);
            }
            done += bytes as u64;
            let read = unfinished::memory_of(thread.outer);
            let short = unfinished::of_write(row.nr, args, done as i64, &read).is_some();
            let full = cut && bytes as usize >= CALL_BYTES_MAX;
            if full || short && self.writes_on(thread, args) {
                continue;
            }
            return Verdict::Answer(done as i64);
        }
    }

    /// Forwards a call whose pointers lie in `memory`; `temporary` is the
    /// signal mask in force while it waits.
    pub(crate) fn forward(
        &mut self,
        thread: &Thread,
        kind: Kind,
        row: &Row,
        args: &[u64; 6],
        memory: &dyn GuestMemory,
        temporary: Option<TemporaryMask>,
    ) -> Verdict {
        readahead::before(self, thread, row, args);
        match self.call.marshal(row, args, memory) {
            Ok(()) => {}
            Err(MarshalError::Errno(Errno(errno))) => return Verdict::Answer(-i64::from(errno)),
            Err(MarshalError::GoHome(reason)) => return self.go_home(thread, &called(row, reason)),
        }
        if kind == Kind::Call
            && let Some(verdict) = self.foretold(thread, row, args, memory)
        {
            return verdict;
        }
        let began_ns = unfinished::now_ns();
        match self.roundtrip(thread, kind, memory, temporary, true) {
            Verdict::Answer(AGAIN) => {
                let again = Again {
                    kind,
                    row,
                    args,
                    temporary,
                    began_ns,
                };
                self.again(thread, memory, &again)
            }
            verdict => verdict,
        }
    }

    /// The call that has been marshalled, if home has answered it before it was asked.
    fn foretold(
        &mut self,
        thread: &Thread,
        row: &Row,
        args: &[u64; 6],
        memory: &dyn GuestMemory,
    ) -> Option<Verdict> {
        self.encoded.clear();
        if !looks::leads(row.nr, args) || self.call.input_bytes() > GUESS_BYTES_MAX / 2 {
            return None;
        }
        self.call.encode(&mut self.encoded);
        let looks = looks::only_looks(row.nr, args);
        let mut link = lock(&thread.link);
        let link = link.as_mut()?;
        let last = link.last;
        link.last = last.then(row.nr, &self.encoded, looks);
        if !looks {
            return None;
        }
        let answer = link.foretold.take(&self.encoded, thread.process.step());
        let mut table = lock(&self.host.guesses);
        table.follows(last, &self.encoded);
        let (result, data) = answer?;
        table.came_true();
        drop(table);
        self.encoded.clear();
        Some(match self.call.scatter(result, data, memory) {
            Ok(result) => Verdict::Answer(result),
            Err(malformed) => self.lost(thread, &LaneError::Refused(malformed.0)),
        })
    }

    /// A call was interrupted by nothing that the guest sees, and goes on: what
    /// waits for a time waits for the rest of it.
    fn again(&mut self, thread: &Thread, memory: &dyn GuestMemory, call: &Again<'_>) -> Verdict {
        let (row, args) = (call.row, call.args);
        let wait = unfinished::of_call(thread.outer, row.nr, args, call.began_ns)
            .or_else(|| socket_limit::wait(self, thread, row.nr, args, call.began_ns));
        let read = unfinished::memory_of(thread.outer);
        let mut limited = None;
        let verdict = loop {
            let mut rest = *args;
            if let Some(wait) = &wait {
                let now_limited = socket_limit::shorten(self, thread, args, wait);
                limited = limited.or(now_limited);
                let stack = unfinished::stack_pointer(thread.outer).unwrap_or(0);
                let now_ns = unfinished::now_ns();
                let shortened = unfinished::shorten(wait, args, stack, now_ns, &read);
                if let Some(shortened) = shortened.filter(|rest| rest.put(thread.outer)) {
                    rest = shortened.args;
                }
            }
            if self.call.marshal(row, &rest, memory).is_err() {
                // Another thread has taken its memory away meanwhile.
                break Verdict::Answer(-i64::from(libc::EFAULT));
            }
            match self.roundtrip(thread, call.kind, memory, call.temporary, true) {
                Verdict::Answer(AGAIN) => {}
                verdict => break verdict,
            }
        };
        if let Some(limited) = &limited {
            socket_limit::restore(self, thread, limited);
        }
        verdict
    }

    /// A call at home on our own account. It does not wait for anything, and no
    /// signal interrupts it: the guest would never make it again.
    pub(crate) fn own(
        &mut self,
        thread: &Thread,
        row: &Row,
        args: &[u64; 6],
        memory: &dyn GuestMemory,
    ) -> Verdict {
        match self.call.marshal(row, args, memory) {
            Ok(()) => self.roundtrip(thread, Kind::Call, memory, None, false),
            Err(MarshalError::Errno(Errno(errno))) => Verdict::Answer(-i64::from(errno)),
            Err(MarshalError::GoHome(reason)) => self.go_home(thread, &called(row, reason)),
        }
    }

    /// Sends the marshalled call, waits, and writes its results to `memory`.
    fn roundtrip(
        &mut self,
        thread: &Thread,
        kind: Kind,
        memory: &dyn GuestMemory,
        temporary: Option<TemporaryMask>,
        interruptible: bool,
    ) -> Verdict {
        let mut link = lock(&thread.link);
        let Some(link) = link.as_mut() else {
            return Verdict::Gone;
        };
        if let Err(error) = link.put_in_order(&thread.process.ahead) {
            return self.lost(thread, &error);
        }
        // Once: whatever is made after it is another one.
        std::mem::swap(&mut self.encoded, &mut self.sent);
        self.encoded.clear();
        let mut guesses = Vec::new();
        if self.sent.is_empty() {
            link.last = link.last.then_another();
        } else {
            guesses = lock(&self.host.guesses).after(link.last);
        }
        let step = thread.process.next_step();
        loop {
            if interruptible {
                thread.begin(link.next_request(), temporary);
                // Who recalls the process looks for requests after it has said so.
                if thread.process.is_leaving() {
                    thread.end();
                    return Verdict::Answer(ERESTARTNOINTR);
                }
            }
            let sent = match guesses.is_empty() {
                true => link.send_call(kind, &self.call),
                false => link.send_guessing(&self.sent, &guesses),
            };
            if let Err(error) = sent {
                return self.lost(thread, &error);
            }
            if interruptible && signals::may_be_due(thread, temporary) {
                signals::interrupt_if_due(&self.host, thread);
            }
            let answer = match guesses.is_empty() {
                true => link.receive_answer(),
                false => link.receive_answers(&guesses, step),
            };
            thread.end();
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => return self.lost(thread, &error),
            };
            thread.process.await_signals(answer.signals);
            if answer.result == GONE {
                return Verdict::Gone;
            }
            // The deputy was stopped for a signal that the guest does not
            // see: natively the call would have gone on.
            if answer.result == EINTR && !signals::is_due(thread, temporary) {
                if thread.process.is_leaving() {
                    return Verdict::Answer(ERESTARTNOINTR);
                }
                if interruptible {
                    return Verdict::Answer(AGAIN);
                }
                continue;
            }
            return match self.call.scatter(answer.result, answer.data, memory) {
                Ok(result) => Verdict::Answer(result),
                Err(malformed) => self.lost(thread, &LaneError::Refused(malformed.0)),
            };
        }
    }
}
