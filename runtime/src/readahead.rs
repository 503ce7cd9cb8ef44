//! Files that are read ahead: reads of what home has sent before it was asked.
//!
//! A thread that reads a file from front to end asks home to go on sending
//! (`lane::ahead`). Home does so while it holds a read lease, so nobody can have
//! changed the file. What the guest reads here moves the position of the
//! descriptor at home, without waiting:
//!
//! * The reader's own next call goes over the same lane, hence comes after.
//! * A call of another thread of the process says how much home must have heard
//!   of before ([`Link::put_in_order`](crate::link::Link::put_in_order)).
//! * Whoever looks from outside, without having been told anything by the guest,
//!   sees the position at most twice [`TELL_INTERVAL`] late.
//!
//! Only descriptors whose position nobody else can share are read ahead: those
//! that the process has opened itself, until it forks, duplicates them or sends
//! messages that might carry them. A stream ends with the first call that might
//! move the position in another way.

mod calls;
mod pattern;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use abi::memory::GuestMemory;
use abi::row::Row;
use abi::wire::{CALL_BYTES_MAX, USER_END};
use lane::ahead::{Ahead, End, PUSHED_BYTES_MAX, Pushed, WINDOW_BYTES_MAX};
use lane::control::ToHome;
use lane::{Kind, LaneError, Receiver, Sender};

use crate::forward::{Verdict, Worker};
use crate::guest::Thread;
use crate::host::{Host, lock};
use crate::link::EPOCH;

use calls::opens;
pub(crate) use calls::{after, after_birth, before, before_birth, before_leaving};
use pattern::Pattern;

/// What home may send at first, in bytes.
const FIRST_BYTES: u64 = PUSHED_BYTES_MAX as u64;
/// Home hears of what was read after so many bytes.
const TELL_BYTES: u64 = PUSHED_BYTES_MAX as u64;
/// And after this time, twice at most.
const TELL_INTERVAL: Duration = Duration::from_millis(5);
/// What home sent is not used later than this after home is known to have held
/// the lease; a quarter of the time after which the kernel may break it by force.
const TERM: Duration = Duration::from_secs(5);
/// Times are noted no more often than this, so that there are few of them.
const TIME_STEP: Duration = Duration::from_millis(500);
/// A read of so many bytes, which would otherwise be cut into pieces, is worth a
/// stream by itself.
const AT_ONCE_BYTES: u64 = CALL_BYTES_MAX as u64 + 1;
/// Most bytes of one read(2), as the kernel cuts it.
const READ_BYTES_MAX: u64 = 0x7fff_f000;
const STACK_BYTES: usize = 64 * 1024;

/// All streams of the job.
pub(crate) struct Streams {
    /// Off: nothing is read ahead, or no longer.
    is_on: AtomicBool,
    last: AtomicU64,
    by_number: Mutex<HashMap<u64, Arc<Stream>>>,
    /// Something has been read that home has not heard of.
    has_news: AtomicBool,
    teller: OnceLock<Option<std::thread::Thread>>,
}

/// A process's descriptors.
#[derive(Default)]
pub(crate) struct Descriptors {
    private: Mutex<Private>,
    streams: Mutex<Vec<Arc<Stream>>>,
    /// Length of `streams`, for a look without the lock.
    streaming: AtomicUsize,
    /// Frames of [`Kind::Ahead`] that have been sent, on all lanes.
    told: AtomicU64,
}

/// Descriptors whose position nobody else can share.
#[derive(Default)]
struct Private {
    open: BTreeSet<i32>,
    /// How often descriptors may have come to be shared: one that was opened
    /// meanwhile may be shared, too.
    shared: u64,
    /// Those of them that calls under way at home may move.
    moving: Vec<i32>,
    /// Forks under way at home.
    births: u32,
}

/// One file that is read ahead for one thread.
pub(crate) struct Stream {
    number: u64,
    pid: i32,
    /// The reader.
    tid: i32,
    fd: i32,
    /// Of the reader's lane.
    sender: Arc<Mutex<Sender>>,
    /// Frames of [`Kind::Ahead`] on that lane.
    lane_told: Arc<AtomicU64>,
    process: Arc<Descriptors>,
    state: Mutex<State>,
}

struct State {
    /// Bytes that the guest has read since the stream's start.
    consumed: u64,
    /// Of these, what home has been told.
    told: u64,
    /// When it was.
    told_at: Instant,
    /// What home may send.
    limit: u64,
    /// Nothing is read from it any more.
    is_over: bool,
    /// Somebody wants to write the file.
    is_recalled: bool,
    /// Home has been told so, and given the lease back.
    is_given_back: bool,
    /// Home has been told so on the lane.
    is_over_told: bool,
    /// When home is known to have held the lease.
    valid_at: Instant,
    /// What comes from this byte on was sent after that time.
    valid_from: VecDeque<(u64, Instant)>,
}

impl Stream {
    /// Tells home what it does not know yet, on the reader's own account.
    fn tell(&self) {
        self.tell_on_lane(true);
    }

    /// The same on account of another thread. Its next call must not wait for
    /// the reader's, which may wait at home for ever; so that the stream is over
    /// is told on the control lane. What was read has been told before the
    /// reader made a call.
    fn tell_for(&self, host: &Host) {
        self.tell_on_lane(false);
        let mut state = lock(&self.state);
        if state.is_over && !state.is_given_back {
            state.is_given_back = true;
            host.tell_home(&ToHome::ReadOver {
                pid: self.pid,
                stream: self.number,
            });
            self.process.told.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn tell_on_lane(&self, may_stop: bool) {
        // Held until it is sent: who waits for it must know that it is under way.
        let mut state = lock(&self.state);
        let consumed = state.consumed - state.told;
        let stop = may_stop && state.is_over && !state.is_over_told;
        if consumed == 0 && !stop {
            return;
        }
        state.is_given_back |= stop;
        state.told = state.consumed;
        state.is_over_told |= stop;
        let limit = state.consumed + WINDOW_BYTES_MAX;
        let before = std::mem::replace(&mut state.limit, limit);
        let now = Instant::now();
        state.told_at = now;
        let last = state
            .valid_from
            .back()
            .map_or(state.valid_at, |(_, at)| *at);
        if now.duration_since(last) >= TIME_STEP {
            state.valid_from.push_back((before, now));
        }
        self.say(&Ahead {
            stream: self.number,
            fd: self.fd,
            start: false,
            stop,
            consumed,
            limit,
        });
    }

    fn say(&self, said: &Ahead) {
        let mut sender = lock(&self.sender);
        said.encode(sender.begin());
        // A lane that is lost is the business of the reader's next call.
        let _ = sender.send(Kind::Ahead, EPOCH, 0);
        self.process.told.fetch_add(1, Ordering::SeqCst);
        self.lane_told.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on nothing is read from it.
    fn end(&self) {
        lock(&self.state).is_over = true;
    }
}

impl Streams {
    pub(crate) fn new(is_on: bool) -> Arc<Streams> {
        Arc::new(Streams {
            is_on: is_on.into(),
            last: 0.into(),
            by_number: Mutex::default(),
            has_news: false.into(),
            teller: OnceLock::new(),
        })
    }

    /// Somebody wants to write the file. When this returns, nothing that home
    /// sent of it will be read.
    pub(crate) fn recall(&self, number: u64) {
        let stream = lock(&self.by_number).get(&number).cloned();
        if let Some(stream) = stream {
            let mut state = lock(&stream.state);
            state.is_over = true;
            state.is_recalled = true;
        }
    }

    /// Nothing is read ahead from now on: processes share descriptors in ways
    /// that nobody keeps count of.
    fn turn_off(&self, host: &Host) {
        self.is_on.store(false, Ordering::SeqCst);
        for stream in self.all() {
            stream.end();
            stream.tell_for(host);
        }
    }

    fn all(&self) -> Vec<Arc<Stream>> {
        lock(&self.by_number).values().cloned().collect()
    }

    /// Has home told within [`TELL_INTERVAL`].
    fn news(self: &Arc<Self>) {
        if self.has_news.swap(true, Ordering::SeqCst) {
            return;
        }
        let teller = self.teller.get_or_init(|| {
            let streams = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("ahead".into())
                .stack_size(STACK_BYTES)
                .spawn(move || streams.keep_telling());
            started.ok().map(|thread| thread.thread().clone())
        });
        // Without a thread, whoever looks may see an old position.
        if let Some(thread) = teller {
            thread.unpark();
        }
    }

    fn keep_telling(&self) {
        loop {
            while !self.has_news.load(Ordering::SeqCst) {
                std::thread::park();
            }
            std::thread::sleep(TELL_INTERVAL);
            self.tell_news();
        }
    }

    fn tell_news(&self) {
        self.has_news.store(false, Ordering::SeqCst);
        let now = Instant::now();
        for stream in self.all() {
            let told_at = lock(&stream.state).told_at;
            if now.duration_since(told_at) >= TELL_INTERVAL {
                stream.tell_on_lane(false);
            } else {
                // The reader goes on and tells by itself, or is asked for next time.
                self.has_news.store(true, Ordering::SeqCst);
            }
        }
    }
}

impl Descriptors {
    fn forget(&self, fds: &[i32]) {
        let mut private = lock(&self.private);
        private.shared += 1;
        for fd in fds {
            private.open.remove(fd);
        }
    }

    fn forget_all(&self) {
        let mut private = lock(&self.private);
        private.shared += 1;
        private.open.clear();
    }

    /// Ends the streams that are meant, and tells home of all, before thread
    /// `tid` makes a call.
    fn settle(&self, host: &Host, tid: i32, ends: impl Fn(i32) -> bool) {
        if self.streaming.load(Ordering::SeqCst) == 0 {
            return;
        }
        let streams = lock(&self.streams).clone();
        for stream in streams {
            if ends(stream.fd) {
                stream.end();
            }
            if stream.tid == tid {
                stream.tell();
            } else {
                stream.tell_for(host);
            }
        }
    }
}

/// What a lane's thread reads: the host's side of [`lane::ahead`].
#[derive(Default)]
pub(crate) struct Reader {
    reading: Option<Reading>,
    pattern: Pattern,
    /// Process that the lane's thread is of.
    process: Option<Arc<Descriptors>>,
    /// Frames of [`Kind::Ahead`] on this lane.
    lane_told: Arc<AtomicU64>,
    /// Those on other lanes that home has heard of before what comes next here.
    ordered: u64,
    /// A stream that home and others have ended while a call was under way here, which home has to be
    /// told before it is asked for another. Not earlier: it would be heard only when the call is over,
    /// and who waits for all words of the process would wait for that.
    owed: Option<Arc<Stream>>,
}

/// A stream that home has not ended yet.
struct Reading {
    stream: Arc<Stream>,
    streams: Arc<Streams>,
    received: u64,
    end: End,
    /// Content that had to make room in the lane's buffer, and where it goes on.
    kept: Vec<u8>,
    kept_from: usize,
    /// Content in the payload of the lane's last frame, after what is kept.
    current: Range<usize>,
    /// Signals that come before what is here.
    signals: u64,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stream.end();
        self.stream.tell_on_lane(false);
        lock(&self.streams.by_number).remove(&self.stream.number);
        let process = &self.stream.process;
        let mut streams = lock(&process.streams);
        streams.retain(|stream| !Arc::ptr_eq(stream, &self.stream));
        process.streaming.store(streams.len(), Ordering::SeqCst);
    }
}

impl Reader {
    /// The number that goes home in a frame of [`Kind::After`], if one must.
    pub(crate) fn unordered(&mut self, of: &Arc<Descriptors>) -> Option<u64> {
        self.tell_owed();
        if !self
            .process
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, of))
        {
            self.process = Some(Arc::clone(of));
            self.lane_told = Arc::default();
            self.ordered = 0;
        }
        let own = self.lane_told.load(Ordering::SeqCst);
        let told = of.told.load(Ordering::SeqCst);
        let others = told.saturating_sub(own);
        (others > std::mem::replace(&mut self.ordered, others)).then_some(told)
    }

    /// Saves what lies in the lane's buffer, before that is used again.
    pub(crate) fn keep(&mut self, receiver: &Receiver) {
        if let Some(reading) = &mut self.reading
            && !reading.current.is_empty()
        {
            let current = std::mem::take(&mut reading.current);
            reading.compact();
            if let Some(frame) = receiver.last() {
                reading.kept.extend_from_slice(&frame.payload[current]);
            }
        }
    }

    /// Content has come while something else was waited for.
    pub(crate) fn arrived(&mut self, payload: &[u8]) -> Result<(), LaneError> {
        let content = self.accept(payload)?;
        match &mut self.reading {
            Some(reading) if !content.is_empty() => {
                reading.compact();
                reading.kept.extend_from_slice(&payload[content]);
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks what home sends unasked; where its content lies in `payload`, if
    /// anybody wants it.
    fn accept(&mut self, payload: &[u8]) -> Result<Range<usize>, LaneError> {
        let (pushed, content) = Pushed::decode(payload)?;
        let Some(reading) = self
            .reading
            .as_mut()
            .filter(|reading| reading.stream.number == pushed.stream && reading.end == End::No)
        else {
            return Err(LaneError::Refused("a stream that nobody asked for"));
        };
        let mut state = lock(&reading.stream.state);
        let start = reading.received;
        reading.received += content.len() as u64;
        if reading.received > state.limit {
            return Err(LaneError::Refused("more of a stream than was asked for"));
        }
        while let Some((from, at)) = state.valid_from.front()
            && *from <= start
        {
            state.valid_at = *at;
            state.valid_from.pop_front();
        }
        reading.end = pushed.end;
        reading.signals = reading.signals.max(pushed.signals);
        let (is_over, is_recalled) = (state.is_over, state.is_recalled);
        drop(state);
        if is_over && pushed.end != End::No {
            self.finish(is_recalled);
        }
        Ok(if is_over {
            0..0
        } else {
            payload.len() - content.len()..payload.len()
        })
    }

    /// Tells home what it is owed; no call is under way.
    fn tell_owed(&mut self) {
        if let Some(stream) = self.owed.take() {
            stream.tell();
        }
    }

    /// Ends the stream, and forgets it if home has ended it, too. No call is under way.
    fn stop(&mut self) {
        self.tell_owed();
        let Some(reading) = &mut self.reading else {
            return;
        };
        reading.stream.end();
        reading.stream.tell();
        (reading.kept, reading.kept_from, reading.current) = (Vec::new(), 0, 0..0);
        if reading.end != End::No {
            let is_recalled = lock(&reading.stream.state).is_recalled;
            self.finish(is_recalled);
        }
    }

    /// Home has ended a stream that is over here.
    fn finish(&mut self, is_recalled: bool) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        self.owed = Some(Arc::clone(&reading.stream));
        let consumed = lock(&reading.stream.state).consumed;
        self.pattern.learn(consumed, reading.end);
        // A file that is written or that home does not send is left alone.
        if is_recalled || matches!(reading.end, End::Recalled | End::Refused) && consumed == 0 {
            let mut private = lock(&reading.stream.process.private);
            private.open.remove(&reading.stream.fd);
        }
    }

    /// The thread has ended. Whether home has something left to send.
    pub(crate) fn leaves(&mut self) -> bool {
        self.stop();
        self.reading.is_some()
    }
}

impl Reading {
    /// Makes room behind what is kept and not read.
    fn compact(&mut self) {
        self.kept.drain(..self.kept_from);
        self.kept_from = 0;
    }
}

/// Answers a read of the guest from what is here; `None`: home must.
pub(crate) fn read(
    worker: &mut Worker,
    thread: &Thread,
    row: &Row,
    args: &[u64; 6],
) -> Option<Verdict> {
    if i64::from(row.nr) != libc::SYS_read {
        return None;
    }
    let (fd, at, wanted) = (args[0] as i32, args[1], args[2]);
    let streams = &worker.host.streams;
    let is_large = wanted >= AT_ONCE_BYTES && streams.is_on.load(Ordering::SeqCst);
    if !is_large && thread.process.ahead.streaming.load(Ordering::SeqCst) == 0
        || wanted == 0
        || wanted > READ_BYTES_MAX
        || at.checked_add(wanted)? > USER_END
    {
        return None;
    }
    let mut link = lock(&thread.link);
    let own = link.as_mut()?;
    if is_large && own.reader.reading.is_none() {
        start(streams, own, thread, fd);
    }
    let mut done = 0;
    let outcome = loop {
        match step(own, thread, fd, at + done, wanted - done) {
            Step::Read(bytes) if done + bytes < wanted => done += bytes,
            Step::Read(bytes) => break Verdict::Answer((done + bytes) as i64),
            Step::Fault(bytes) if done + bytes > 0 => break Verdict::Answer((done + bytes) as i64),
            Step::Fault(_) => break Verdict::Answer(-i64::from(libc::EFAULT)),
            Step::EndOfFile if done > 0 => break Verdict::Answer(done as i64),
            Step::EndOfFile | Step::Nothing if done == 0 => return None,
            Step::EndOfFile | Step::Nothing => {
                drop(link);
                return Some(worker.more_pieces(thread, row, args, done));
            }
            Step::Lost(error) => {
                drop(link);
                return Some(worker.lost(thread, &error));
            }
        }
    };
    if let Some(reading) = &own.reader.reading {
        let state = lock(&reading.stream.state);
        let untold = state.consumed - state.told;
        drop(state);
        if untold >= TELL_BYTES {
            reading.stream.tell();
        } else if untold > 0 {
            worker.host.streams.news();
        }
    }
    Some(outcome)
}

/// What became of a part of a read.
enum Step {
    /// So many bytes are in the guest, as many as were here or were wanted.
    Read(u64),
    /// So many, and there its memory ends.
    Fault(u64),
    /// The file ends here.
    EndOfFile,
    /// The stream is over, or is of another file.
    Nothing,
    Lost(LaneError),
}

/// Copies what is here of the next `wanted` bytes to `at`; waits if it is still
/// on its way.
fn step(link: &mut crate::link::Link, thread: &Thread, fd: i32, at: u64, wanted: u64) -> Step {
    loop {
        let Some(reading) = link.reader.reading.as_mut().filter(|r| r.stream.fd == fd) else {
            return Step::Nothing;
        };
        let kept = reading.kept.get(reading.kept_from..).unwrap_or(&[]);
        let is_kept = !kept.is_empty();
        let here = if is_kept {
            kept
        } else {
            let payload = link.receiver.last().map_or(&[][..], |frame| frame.payload);
            payload.get(reading.current.clone()).unwrap_or(&[])
        };
        if here.is_empty() {
            let end = reading.end;
            if end != End::No {
                link.reader.stop();
                return match end {
                    End::OfFile => Step::EndOfFile,
                    _ => Step::Nothing,
                };
            }
            // Home must know that there is room.
            reading.stream.tell();
            if let Err(error) = more(link) {
                return Step::Lost(error);
            }
            continue;
        }
        thread.process.await_signals(reading.signals);
        let bytes = here.len().min(wanted as usize);
        let mut state = lock(&reading.stream.state);
        if state.is_over || state.valid_at.elapsed() > TERM {
            drop(state);
            link.reader.stop();
            return Step::Nothing;
        }
        // Whoever wants to write the file waits until this is done.
        let wrote = thread.memory().write_some(at, &here[..bytes]);
        state.consumed += wrote as u64;
        drop(state);
        if is_kept {
            reading.kept_from += wrote;
        } else {
            reading.current.start += wrote;
        }
        return if wrote < bytes {
            Step::Fault(wrote as u64)
        } else {
            Step::Read(wrote as u64)
        };
    }
}

/// Waits for more of the stream; it stays in the lane's buffer.
fn more(link: &mut crate::link::Link) -> Result<(), LaneError> {
    let frame = link.receiver.recv()?;
    if frame.kind != Kind::Pushed {
        return Err(LaneError::Refused("an answer to no request"));
    }
    let content = link.reader.accept(frame.payload)?;
    if let Some(reading) = &mut link.reader.reading {
        reading.compact();
        reading.current = content;
    }
    Ok(())
}

/// A forwarded call has come back with `result`: whether it opened something, or
/// reads a file from front to end.
pub(crate) fn note(worker: &Worker, thread: &Thread, row: &Row, args: &[u64; 6], result: i64) {
    let process = &thread.process.ahead;
    match i64::from(row.nr) {
        _ if opens(row) && result >= 0 => {
            let mut private = lock(&process.private);
            if private.shared == worker.shared {
                private.open.insert(result as i32);
            }
            drop(private);
            if let Some(link) = lock(&thread.link).as_mut()
                && link.reader.pattern.fd == result as i32
            {
                link.reader.pattern = Pattern::default();
            }
        }
        libc::SYS_read if result >= 0 && worker.host.streams.is_on.load(Ordering::SeqCst) => {
            let mut link = lock(&thread.link);
            let Some(link) = link.as_mut() else { return };
            let (fd, is_full) = (args[0] as i32, result as u64 == args[2] && result > 0);
            if link
                .reader
                .pattern
                .is_sequential(fd, is_full, result as u64)
                && link.reader.reading.is_none()
            {
                start(&worker.host.streams, link, thread, fd);
            }
        }
        _ => {}
    }
}

/// Asks home to send what follows.
fn start(streams: &Arc<Streams>, link: &mut crate::link::Link, thread: &Thread, fd: i32) {
    link.reader.tell_owed();
    let process = &thread.process.ahead;
    // Until it is in the list: who shares the descriptor must find the stream.
    let private = lock(&process.private);
    if !private.open.contains(&fd) || private.moving.contains(&fd) || private.births > 0 {
        return;
    }
    let number = streams.last.fetch_add(1, Ordering::SeqCst) + 1;
    let stream = Arc::new(Stream {
        number,
        pid: thread.process.pid,
        tid: thread.tid,
        fd,
        sender: Arc::clone(&link.sender),
        lane_told: Arc::clone(&link.reader.lane_told),
        process: Arc::clone(process),
        state: Mutex::new(State {
            consumed: 0,
            told: 0,
            told_at: Instant::now(),
            limit: FIRST_BYTES,
            is_over: false,
            is_recalled: false,
            is_given_back: false,
            is_over_told: false,
            valid_at: Instant::now(),
            valid_from: VecDeque::new(),
        }),
    });
    lock(&streams.by_number).insert(number, Arc::clone(&stream));
    let mut all = lock(&process.streams);
    all.push(Arc::clone(&stream));
    process.streaming.store(all.len(), Ordering::SeqCst);
    drop(all);
    // Others tell of it only after this.
    let state = lock(&stream.state);
    drop(private);
    stream.say(&Ahead {
        stream: number,
        fd,
        start: true,
        stop: false,
        consumed: 0,
        limit: FIRST_BYTES,
    });
    drop(state);
    link.reader.reading = Some(Reading {
        stream,
        streams: Arc::clone(streams),
        received: 0,
        end: End::No,
        kept: Vec::new(),
        kept_from: 0,
        current: 0..0,
        signals: 0,
    });
}

#[cfg(test)]
mod tests;
