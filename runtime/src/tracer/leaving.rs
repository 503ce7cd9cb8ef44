//! Bodies on their way home.
//!
//! 1. A thread makes a call that works only at home (or home wants the process):
//!    home is asked, and from then on holds back the process's signals.
//! 2. Home recalls it: all threads are told to stop. Calls that wait at home are
//!    interrupted there; whatever comes of a call is first given to its thread.
//! 3. When all stand still, the process is captured and its image sent.
//! 4. Home has made the process of it: the body ends without a word, but first the
//!    pages are sent that follow it. Or home refuses: the threads go on as if
//!    nothing had been.
//!
//! Until home has answered, the body stands still; home starts the process only
//! when it has all of it. So it runs in at most one place.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use image::capture::{self, StoppedThread, Surroundings, Unidentified};
use image::maps;
use image::peak;
use image::postcopy::hot::split_later;
use image::schema::PageRun;
use image::seen::{self, Seen};
use image::unfinished::{self, Unfinished};
use image::{Image, ImageError};
use lane::LaneError;
use lane::control::{Follow, ToHome};
use sys::ptrace::{self, Registers};

use super::{Result, Tracer, is_executed_here};
use crate::guest::{Process, Thread};
use crate::host::{Decision, Host, Order, lock};
use crate::pager::{self, Stage};
use crate::signals::Sets;
use crate::{readahead, signals, stats};

const ENOSYS: i64 = -(libc::ENOSYS as i64);

/// A process on its way home.
#[derive(Default)]
pub(super) struct Leaving {
    /// Workers that wait for the decision.
    asked: Vec<Sender<Decision>>,
    /// Threads (outer id) that stand at a call of the clone family.
    parked: Vec<i32>,
    /// Home holds back its signals: the threads are to stop.
    recalled: bool,
    /// Threads that stand still, and the calls they were in.
    held: HashMap<i32, Option<Unfinished>>,
    /// Waits of threads as they were told to stop.
    waits: HashMap<i32, Seen>,
    /// It has been captured, and home decides.
    sent: bool,
    /// It asked for it: what is in its way now is there for good.
    asks: bool,
    /// When its threads were told to stop.
    since: Option<Instant>,
    /// Whether pages may follow it.
    may_follow: Option<Follow>,
    /// Those that do, and the number for their lanes.
    follows: Option<(u64, Vec<PageRun>)>,
}

/// Longest time until all threads of a process stand still. One that has made a
/// child by vfork does not before the child executes a program.
const STILL_TIMEOUT: Duration = Duration::from_secs(2);

impl Tracer {
    /// A worker's thread makes a call that works only at home.
    pub(super) fn asked_to_return(&mut self, pid: i32, reason: String, decided: Sender<Decision>) {
        let answer = match self.process(pid) {
            Some(process) => self.obstacle(&process),
            None => Some("it is ending".to_owned()),
        };
        if let Some(obstacle) = answer {
            // Fails if the worker is gone.
            let _ = decided.send(Decision::Remains(obstacle));
            return;
        }
        let is_new = !self.leaving.contains_key(&pid);
        let leaving = self.leaving.entry(pid).or_default();
        leaving.asks = true;
        if leaving.recalled {
            let _ = decided.send(Decision::Leaves);
        } else {
            leaving.asked.push(decided);
        }
        if is_new {
            self.host.tell_home(&ToHome::AskReturn { pid, reason });
        }
    }

    /// What keeps a process from going home, as far as it can be told beforehand.
    fn obstacle(&self, process: &Arc<Process>) -> Option<String> {
        let known = lock(&process.remains).clone();
        if !known.is_empty() {
            return Some(known);
        }
        let shared = |other: &&Arc<Process>| {
            other.pid != process.pid && Arc::ptr_eq(&other.memory_shared, &process.memory_shared)
        };
        let other = self.leaders.values().find(shared)?;
        Some(format!("it has the memory of process {}", other.pid))
    }

    /// A thread stands at a call of the clone family that works only at home:
    /// there it stays until it is clear where the process goes.
    pub(super) fn park(&mut self, outer: i32, thread: &Thread, what: &str) -> Result<()> {
        let process = &thread.process;
        if let Some(why) = self.obstacle(process) {
            self.host.say_remains(process, what, &why);
            return refuse(outer);
        }
        let pid = process.pid;
        let is_new = !self.leaving.contains_key(&pid);
        let leaving = self.leaving.entry(pid).or_default();
        leaving.asks = true;
        leaving.parked.push(outer);
        if is_new {
            let reason = format!("it called {what}");
            self.host.tell_home(&ToHome::AskReturn { pid, reason });
        }
        Ok(())
    }

    /// Home holds back its signals and wants the process: its threads stop.
    pub(super) fn recall(&mut self, pid: i32, may_follow: Option<Follow>) {
        if self.has_sent(pid) {
            // Home has refused the image that it was sent, and this has overtaken that answer.
            self.recall_later.insert(pid, may_follow);
            return;
        }
        let refusal = match self.process(pid) {
            Some(_) if self.frozen.contains_key(&pid) => Some("it is stopped".to_owned()),
            Some(process) if capture::has_lost_leader(process.outer) => {
                Some("its leading thread has ended".to_owned())
            }
            Some(process) => self.obstacle(&process),
            // Its end is told, or its arrival is under way.
            None => Some("it has no body now".to_owned()),
        };
        if let Some(reason) = refusal {
            return self.give_up(pid, &reason);
        }
        if !self.process(pid).is_some_and(|p| p.pages.are(Stage::Here)) {
            self.recall_later.insert(pid, may_follow);
            return;
        }
        let leaving = self.leaving.entry(pid).or_default();
        leaving.recalled = true;
        leaving.since = Some(Instant::now());
        leaving.may_follow = may_follow;
        let parked = std::mem::take(&mut leaving.parked);
        let asked = std::mem::take(&mut leaving.asked);
        let threads = self.host.threads_of(pid);
        let wait = |thread: &Arc<Thread>| Some((thread.outer, seen::of_blocked(thread.outer)?));
        leaving.waits = threads.iter().filter_map(wait).collect();
        for thread in &threads {
            self.remind(thread.outer);
        }
        // Only now: who sees it relies on its thread stopping.
        if let Some(process) = self.process(pid) {
            process.leaving.store(true, Ordering::SeqCst);
            process.changed();
        }
        for decided in asked {
            let _ = decided.send(Decision::Leaves);
        }
        for outer in parked {
            let again = ptrace::registers(outer).and_then(|regs| make_again(outer, regs));
            if let Err(error) = again {
                tracing::debug!("thread {outer} at its clone: {error}");
            }
        }
        for thread in threads {
            let request = lock(&thread.state).request;
            if let Some(request) = request {
                let tid = thread.tid;
                self.host.tell_home(&ToHome::Interrupt { tid, request });
            }
        }
    }

    /// A process has ended; whether home waits for it.
    pub(super) fn forget_recall(&mut self, pid: i32) -> bool {
        let later = self.recall_later.remove(&pid).is_some();
        let leaving = self.leaving.remove(&pid);
        later || leaving.is_some_and(|leaving| leaving.recalled && !leaving.sent)
    }

    /// A thread of a process that leaves is to stop, or to stop again after
    /// whatever it has just stopped for. Not between home's fork and its own,
    /// which an interruption would make fail for ever.
    pub(super) fn remind(&self, outer: i32) {
        if self.leaving.is_empty() {
            return;
        }
        if let Some(thread) = self.host.thread(outer)
            && let Some(leaving) = self.leaving.get(&thread.process.pid)
            && leaving.recalled
            && !leaving.held.contains_key(&outer)
            && !self.births.contains_key(&outer)
        {
            // ESRCH: it has ended.
            let _ = ptrace::interrupt(outer);
        }
    }

    /// A thread has stopped by our interruption, before the rest of a call if
    /// that is known. Returns whether it is held, since its process leaves.
    pub(super) fn hold(
        &mut self,
        outer: i32,
        thread: &Arc<Thread>,
        unfinished: Option<Unfinished>,
    ) -> Result<bool> {
        let pid = thread.process.pid;
        let Some(leaving) = self.leaving.get_mut(&pid).filter(|l| l.recalled) else {
            return Ok(false);
        };
        if self.births.contains_key(&outer) {
            return Ok(false);
        }
        let waiting = unfinished::with_mask(outer, unfinished)?;
        let mask = waiting.and_then(|wait| wait.mask);
        let due = |sets: Sets| sets.pending & !mask.unwrap_or(sets.blocked) != 0;
        if signals::sets(outer).is_some_and(due) {
            // A call that it interrupts must see it here; what it waits in next is another one.
            leaving.waits.remove(&outer);
            return Ok(false);
        }
        let own = lock(&thread.state).suspended.take();
        if let Some(own) = own {
            let mut regs = ptrace::registers(outer)?;
            match (regs.orig_rax as i64) < 0 {
                // It stands before the call that it was to make instead.
                true => regs.rax = own.nr,
                false => regs.orig_rax = own.nr,
            }
            regs.rdi = own.rdi;
            regs.rsi = own.rsi;
            ptrace::set_registers(outer, &regs)?;
        }
        let (interrupted, arrived) = {
            let mut state = lock(&thread.state);
            // It came with the rest of a call and leaves before it has made it.
            (state.interrupted.take(), state.arrived.take())
        };
        let known = unfinished
            .filter(|_| own.is_none())
            .or(interrupted)
            .or(arrived);
        let seen = leaving.waits.remove(&outer);
        let known = self.shortenings.interrupted(outer)?.or(known);
        let unfinished = known.or_else(|| seen::of_stopped(outer, seen));
        let unfinished = unfinished::with_mask(outer, unfinished)?;
        leaving.held.insert(outer, unfinished);
        self.leave_if_still(pid);
        Ok(true)
    }

    /// If all threads stand still, captures the process and sends its image.
    pub(super) fn leave_if_still(&mut self, pid: i32) {
        let threads = self.host.threads_of(pid);
        let Some(leaving) = self.leaving.get_mut(&pid) else {
            return;
        };
        let still = |thread: &Arc<Thread>| leaving.held.contains_key(&thread.outer);
        if leaving.sent || threads.is_empty() || !threads.iter().all(still) {
            return;
        }
        leaving.sent = true;
        let process = Arc::clone(&threads[0].process);
        // It may have made a child with its own memory before it stood still.
        if let Some(reason) = self.obstacle(&process) {
            return self.give_up(pid, &reason);
        }
        let captured = self.capture(&process, &threads);
        let mut image = match captured {
            Ok(image) => image,
            Err(ImageError::Ended { pid, change }) => return self.handle(pid, change),
            Err(error) => {
                let reason = match error {
                    ImageError::Stays { reason, .. } => reason,
                    other => other.to_string(),
                };
                return self.give_up(pid, &reason);
            }
        };
        if let Some(leaving) = self.leaving.get_mut(&pid)
            && let Some(follow) = leaving.may_follow
        {
            split_later(&mut image, follow.bytes_min);
            if !image.later.is_empty() {
                leaving.follows = Some((follow.number, image.later.clone()));
            }
        }
        stats::report(&self.host, &process);
        if let Some(peak_bytes) = peak::of(process.outer) {
            self.host.tell_home(&ToHome::Used {
                pid,
                user_ns: 0,
                system_ns: 0,
                peak_bytes,
            });
        }
        let host = Arc::clone(&self.host);
        let outer = process.outer;
        self.host.helpers.run(Box::new(move || {
            let sent = send(&host, &threads, &image);
            let result = match sent {
                Ok(answer) => answer,
                Err(error) => {
                    // Nobody can know what home has got: home decides by its end.
                    tracing::debug!("send process {pid} home: {error}");
                    host.tell_home(&ToHome::Cannot {
                        pid,
                        reason: format!("its lane, while it went home: {error}"),
                    });
                    return;
                }
            };
            host.order(Order::Returned { outer, result });
        }));
    }

    fn capture(
        &self,
        process: &Arc<Process>,
        threads: &[Arc<Thread>],
    ) -> std::result::Result<Image, ImageError> {
        process.captured.store(true, Ordering::SeqCst);
        let held = self.leaving.get(&process.pid).map(|leaving| &leaving.held);
        let stopped: Vec<StoppedThread> = threads
            .iter()
            .map(|thread| StoppedThread {
                tid: thread.outer,
                at_home: thread.tid,
                unfinished: held.and_then(|held| *held.get(&thread.outer)?),
            })
            .collect();
        let others: Vec<i32> = self
            .leaders
            .values()
            .filter(|other| other.outer != process.outer)
            .map(|other| other.outer)
            .collect();
        let mut surroundings = Surroundings {
            identify: &mut |line| {
                let home = self.host.files.home_of(line.inode, &line.name);
                home.ok_or(Unidentified::Shipped)
            },
            sharer: &|line| {
                let mapped = |outer: &&i32| maps::shares(**outer, line);
                others.iter().find(mapped).copied()
            },
        };
        lane::fault::point("capture")
            .map_err(ImageError::step("look into the threads", process.pid))?;
        let mut image = capture::running(&stopped, &mut surroundings)?;
        image::limits::make_whole(&mut image.limits, process.spent);
        image.asks_cpu_time = process.asks_cpu_time(image.spent);
        image.pending.retain_mut(|waiting| {
            let word = |at: usize| {
                let mut word = [0; 4];
                word.copy_from_slice(&waiting.info[at..at + 4]);
                i32::from_ne_bytes(word)
            };
            // Ours come from outside the namespace, which shows as pid 0.
            let (signal, code, sender) = (word(0), word(8), word(16));
            let is_plain = code == signals::SI_USER || code == signals::SI_TKILL;
            let is_ours = sender == 0 && is_plain;
            let sent = is_ours.then(|| signals::take_incoming(process, signal));
            match sent.flatten() {
                Some(info) => waiting.info = info,
                // It waits at home.
                None if is_plain && process.holds(signal) => return false,
                None => {}
            }
            true
        });
        Ok(image)
    }

    /// When it is to be looked next whether threads stand still, in
    /// milliseconds; -1: there is nothing to look for.
    pub(super) fn patience_ms(&self) -> i32 {
        let waits = |leaving: &Leaving| leaving.recalled && !leaving.sent;
        match self.leaving.values().any(waits) {
            true => STILL_TIMEOUT.as_millis() as i32 / 4,
            false => -1,
        }
    }

    /// Processes of which a thread does not stop go on here.
    pub(super) fn give_up_leaving(&mut self) {
        let late = |leaving: &Leaving| {
            let since = leaving.since.filter(|_| !leaving.sent);
            since.is_some_and(|since| since.elapsed() > STILL_TIMEOUT)
        };
        let late: Vec<i32> = self
            .leaving
            .iter()
            .filter(|(_, leaving)| late(leaving))
            .map(|(pid, _)| *pid)
            .collect();
        for pid in late {
            self.give_up(pid, "one of its threads does not stop");
        }
    }

    fn give_up(&mut self, pid: i32, reason: &str) {
        let reason_told = reason.to_owned();
        self.host.tell_home(&ToHome::Remains {
            pid,
            reason: reason_told,
        });
        self.remain(pid, reason);
    }

    /// Home has decided.
    pub(super) fn returned(&mut self, outer: i32, result: std::result::Result<(), String>) {
        // Gone if it was replaced: it came home, executed a program and is here again.
        let Some(process) = self.leaders.get(&outer).cloned() else {
            return;
        };
        let pid = process.pid;
        match result {
            Ok(()) => {
                let leaving = self.leaving.remove(&pid);
                process.silent.store(true, Ordering::SeqCst);
                match leaving.and_then(|leaving| leaving.follows) {
                    // The body stands still until they have been sent.
                    Some((number, later)) => pager::follow(&self.host, &process, number, later),
                    // ESRCH: it has been killed.
                    None => drop(ptrace::kill(process.outer, libc::SIGKILL)),
                }
            }
            Err(reason) => self.remain(pid, &reason),
        }
    }

    /// Whether home decides what becomes of a process: until then it sends it no signals.
    pub(super) fn has_sent(&self, pid: i32) -> bool {
        self.leaving.get(&pid).is_some_and(|leaving| leaving.sent)
    }

    /// The process goes on here.
    pub(super) fn remain(&mut self, pid: i32, reason: &str) {
        let Some(leaving) = self.leaving.remove(&pid) else {
            return;
        };
        if let Some(process) = self.process(pid) {
            if leaving.asks {
                *lock(&process.remains) = reason.to_owned();
            }
            process.captured.store(false, Ordering::SeqCst);
            process.leaving.store(false, Ordering::SeqCst);
        }
        for decided in leaving.asked {
            let _ = decided.send(Decision::Remains(reason.to_owned()));
        }
        if leaving.sent
            && let Some(process) = self.process(pid)
        {
            self.deliver_waiting(&process);
        }
        for outer in leaving.parked {
            if let Some(thread) = self.host.thread(outer) {
                let what = "clone with new namespaces";
                self.host.say_remains(&thread.process, what, reason);
            }
            // ESRCH: it has ended.
            let _ = refuse(outer);
        }
        for (outer, wait) in leaving.held {
            if let Some(thread) = self.host.thread(outer) {
                // Home is given the rest of a call, as of a thread that has just come.
                lock(&thread.state).arrived = wait
                    .filter(|call| !is_executed_here(call.nr) && unfinished::is_next(outer, call));
            }
            // ESRCH: it has ended.
            let _ = self.shortenings.resume(outer, wait);
        }
        if leaving.sent
            && let Some(may_follow) = self.recall_later.remove(&pid)
        {
            self.recall(pid, may_follow);
        }
    }
}

/// Sends home what the threads have captured; home's answer.
fn send(
    host: &Host,
    threads: &[Arc<Thread>],
    image: &Image,
) -> std::result::Result<std::result::Result<(), String>, LaneError> {
    let [leader, ..] = threads else {
        return Ok(Err("it has ended".to_owned()));
    };
    readahead::before_leaving(host, &leader.process, leader.tid);
    for thread in threads {
        if let Some(link) = lock(&thread.link).as_mut() {
            link.drain()?;
        }
    }
    match lock(&leader.link).as_mut() {
        Some(link) => {
            link.put_in_order(&leader.process.ahead)?;
            link.send_home(image, leader.process.outer)
        }
        None => Ok(Err("its lane is gone".to_owned())),
    }
}

/// A thread at a seccomp stop is to make its call again, after the stop that
/// has been asked of it.
pub(super) fn make_again(outer: i32, mut regs: Registers) -> Result<()> {
    regs.rip -= 2;
    regs.rax = regs.orig_rax;
    regs.orig_rax = u64::MAX;
    ptrace::set_registers(outer, &regs)?;
    ptrace::interrupt(outer)?;
    ptrace::resume(outer, 0)
}

/// A thread at a seccomp stop gets ENOSYS for its call.
fn refuse(outer: i32) -> Result<()> {
    let mut regs = ptrace::registers(outer)?;
    regs.rax = ENOSYS as u64;
    regs.orig_rax = u64::MAX;
    ptrace::set_registers(outer, &regs)?;
    ptrace::resume(outer, 0)
}
