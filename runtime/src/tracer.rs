//! The tracer: the one thread on the host that traces init and all bodies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use abi::GuestMemory;
use abi::row::Route;
use abi::{filter, row};
use anyhow::Context;
use image::ImageError;
use image::deputy::CHILD_FLAGS;
use image::postcopy::filler::Filler;
use image::rebuild::{self, Ground, Init};
use image::schema::SignalAction;
use image::unfinished::{self, Rest, Shortenings, Unfinished};
use lane::Kind;
use lane::control::{ToHome, ToHost};
use sys::ptrace::{self, Change, EVENT_STOP};
use sys::seccomp::{Condition, Rules, assemble};

use crate::births::{Birth, Refusal};
use crate::guest::{Borrowed, Disposition, Dispositions, Process, Received, Sent, Thread};
use crate::host::{Arrival, Host, Order, lock};
use crate::link::GONE;
use crate::memory::{BodyMemory, MemoryFiles};
use crate::pager::{self, Pages, Stage};
use crate::pool::Pool;
use crate::{readahead, signals, stats};
use leaving::{Leaving, make_again};

mod leaving;

const ERESTARTSYS: i64 = -512;
const ERESTARTNOHAND: i64 = -514;

type Result<T> = std::io::Result<T>;

/// The tracer of one runtime.
pub(crate) struct Tracer {
    host: Arc<Host>,
    init: Init,
    filter: Vec<[u8; 8]>,
    /// Births under way, by the parent's outer id.
    births: HashMap<i32, Birth>,
    /// Newborn children whose first stop is to come, with their parent's birth.
    newborn: HashMap<i32, Birth>,
    /// Stopped at birth before their parent's event.
    early: HashSet<i32>,
    /// Programs to run once the old body of the same pid has ended.
    arrivals: HashMap<i32, Box<Arrival>>,
    /// Signals for programs (pid at home) that are about to run here.
    waiting: HashMap<i32, Vec<(i32, Sent)>>,
    /// Number of the last signal that home has sent for a process (pid at home).
    sent: HashMap<i32, u64>,
    /// Processes (pid at home) that are frozen, and their threads held so far.
    frozen: HashMap<i32, Vec<i32>>,
    /// Ended threads' processes, until the leader is gone: by outer id.
    leaders: HashMap<i32, Arc<Process>>,
    /// Processes (pid at home) that are on their way home.
    leaving: HashMap<i32, Leaving>,
    /// Processes (pid at home) that home wants back as soon as all of their
    /// pages have come.
    recall_later: HashSet<i32>,
    /// Threads that make an interrupted call again.
    shortenings: Shortenings,
}

impl Tracer {
    /// The calling thread must be the one that started `init`.
    pub(crate) fn new(host: Arc<Host>, init: Init) -> anyhow::Result<Tracer> {
        let filter = assemble(&rules())
            .map_err(anyhow::Error::msg)
            .context("assemble the bodies' filter")?;
        Ok(Tracer {
            host,
            init,
            filter,
            births: HashMap::new(),
            newborn: HashMap::new(),
            early: HashSet::new(),
            arrivals: HashMap::new(),
            waiting: HashMap::new(),
            sent: HashMap::new(),
            frozen: HashMap::new(),
            leaders: HashMap::new(),
            leaving: HashMap::new(),
            recall_later: HashSet::new(),
            shortenings: Shortenings::new(is_executed_here),
        })
    }

    /// Traces until home is gone or says so. Bodies still there end with init.
    pub(crate) fn run(mut self) {
        loop {
            while let Ok(Some((outer, change))) = ptrace::wait(-1, true) {
                if outer == self.init.pid
                    && matches!(change, Change::Exited(_) | Change::Killed { .. })
                {
                    tracing::error!("the init of the guests' namespaces has ended: {change:?}");
                    return;
                }
                self.handle(outer, change);
            }
            for order in self.host.take_orders() {
                if let Order::Over | Order::Home(ToHost::Shutdown) = order {
                    // Init's end is the end of all bodies.
                    let _ = ptrace::kill(self.init.pid, libc::SIGKILL);
                    return;
                }
                self.obey(order);
            }
            let patience_ms = self.patience_ms();
            self.host.bell.wait(patience_ms);
            self.give_up_leaving();
        }
    }

    fn handle(&mut self, outer: i32, change: Change) {
        tracing::trace!("{outer}: {change:?}");
        // Any stop uses up an interruption that was asked for; the next one must
        // be due before the thread runs. If it goes on after that very one, a
        // signal is due, which comes first.
        let is_interruption = matches!(
            change,
            Change::Event {
                event: EVENT_STOP,
                ..
            }
        );
        if !is_interruption {
            self.remind(outer);
        }
        let result = match change {
            Change::Exited(code) => {
                self.ended(outer, code << 8);
                Ok(())
            }
            Change::Killed { signal, core } => {
                self.ended(outer, signal | if core { 0x80 } else { 0 });
                Ok(())
            }
            Change::Signal(signal) => self.signal(outer, signal),
            Change::Event {
                event: EVENT_STOP,
                signal,
            } => self.stop(outer, signal),
            Change::Event {
                event: libc::PTRACE_EVENT_SECCOMP,
                ..
            } => self.asked_for_birth(outer),
            Change::Event {
                event: libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE,
                ..
            } => self.born(outer),
            Change::Event { .. } => ptrace::resume(outer, 0),
        };
        if let Err(error) = result {
            tracing::debug!("thread {outer} at {change:?}: {error}");
        }
    }

    /// A thread, or the process whose leader it is, has ended and is reaped.
    fn ended(&mut self, outer: i32, wait_status: i32) {
        self.births.remove(&outer);
        self.newborn.remove(&outer);
        self.early.remove(&outer);
        self.shortenings.forget(outer);
        let Some(thread) = self.host.remove_thread(outer) else {
            return;
        };
        let process = Arc::clone(&thread.process);
        process.pool.leave();
        // A worker that still waits at home keeps the lane until home answers.
        if let Ok(mut link) = thread.link.try_lock()
            && let Some(link) = link.take()
        {
            self.host.recycle(link);
        }
        if outer != process.outer {
            if !process.silent.load(Ordering::SeqCst) {
                self.host.tell_home(&ToHome::ThreadExited {
                    pid: process.pid,
                    tid: thread.tid,
                });
            }
            self.leave_if_still(process.pid);
            return;
        }
        self.leaders.remove(&outer);
        self.frozen.remove(&process.pid);
        let was_recalled = self.forget_recall(process.pid);
        stats::report(&self.host, &process);
        if let Some(arrival) = self.arrivals.remove(&process.pid) {
            if was_recalled {
                // Home may have meant the program that comes now, and waits for an answer.
                self.host.tell_home(&ToHome::Remains {
                    pid: process.pid,
                    reason: "it has executed a program meanwhile".into(),
                });
            }
            self.settle(arrival);
        } else if !process.silent.load(Ordering::SeqCst) && !self.init.is_ending() {
            self.host.tell_home(&ToHome::BodyExited {
                pid: process.pid,
                wait_status,
            });
        }
    }

    /// A program has arrived: its body is made now, or once its predecessor has ended.
    fn arrive(&mut self, arrival: Box<Arrival>) {
        let pid = arrival.image.pid;
        match self.process(pid) {
            Some(old) => {
                old.silent.store(true, Ordering::SeqCst);
                // What was sent to the old program and not yet seen by it.
                let left = std::mem::take(&mut *lock(&old.incoming));
                let waiting = self.waiting.entry(pid).or_default();
                waiting.extend(left.into_iter().map(|i| (0, Sent::Signal(i.info))));
                self.arrivals.insert(pid, arrival);
                // ESRCH: it is ending already.
                let _ = ptrace::kill(old.outer, libc::SIGKILL);
            }
            None => self.settle(arrival),
        }
    }

    fn process(&self, pid: i32) -> Option<Arc<Process>> {
        self.leaders.values().find(|p| p.pid == pid).cloned()
    }

    fn settle(&mut self, arrival: Box<Arrival>) {
        let Arrival {
            image,
            pages,
            files,
            links,
        } = *arrival;
        let pid = image.pid;
        let made = lane::fault::point("rebuild")
            .map_err(ImageError::step("make a body", pid))
            .and_then(|()| {
                let ground = Ground {
                    filter: &self.filter,
                    userfaults: self.host.userfaults.as_ref(),
                };
                rebuild::rebuild(&mut self.init, &image, &pages, &files, ground)
            });
        match made {
            Ok(body) => {
                let pool = Pool::new(body.listener);
                let mut process = Process::new(
                    pid,
                    body.pid,
                    Arc::clone(&pool),
                    dispositions(&image.actions),
                    Arc::default(),
                    self.host.stats,
                );
                process.held = image.held.into();
                if image.departure != 0 {
                    process.pages = Arc::new(Pages::coming());
                }
                let process = Arc::new(process);
                self.leaders.insert(body.pid, Arc::clone(&process));
                for (index, link) in links.into_iter().enumerate() {
                    let (outer, tid) = body.threads[index];
                    let thread = Thread::new(tid, outer, Arc::clone(&process), Some(link));
                    let unfinished = image.threads[index].unfinished;
                    lock(&thread.state).arrived =
                        unfinished.filter(|call| !is_executed_here(call.nr));
                    self.host.add_thread(&Arc::new(thread));
                    pool.join(&self.host);
                }
                self.deliver_waiting(&process);
                for ((outer, tid), thread) in body.threads.into_iter().zip(&image.threads) {
                    // Calls that go home are shortened when they are notified.
                    if let Err(error) = self.shortenings.resume(outer, thread.unfinished) {
                        tracing::debug!("start thread {tid} of body {pid}: {error}");
                    }
                }
                self.host.tell_home(&ToHome::Running {
                    pid,
                    placement: image.placement,
                });
                if image.departure != 0 {
                    let filler = body.userfault.map(|u| Filler::new(u, &image.later));
                    pager::start(&self.host, &process, image.departure, filler);
                }
            }
            Err(error) => self.host.tell_home(&ToHome::Cannot {
                pid,
                reason: error.to_string(),
            }),
        }
    }

    /// About to receive a signal.
    fn signal(&mut self, outer: i32, signal: i32) -> Result<()> {
        if signal == libc::SIGTRAP && self.shortenings.stopped(outer)? {
            return Ok(());
        }
        self.shortenings.signalled(outer)?;
        let written = self.host.thread(outer).and_then(|thread| {
            let arrived = &mut lock(&thread.state).arrived;
            arrived.take_if(|call| matches!(call.rest, Rest::Written(_)))
        });
        if let Some(unfinished) = written {
            unfinished::end_before_signal(outer, &unfinished)?;
        }
        let Some(thread) = self.host.thread(outer) else {
            return ptrace::resume(outer, signal);
        };
        match origin(outer, &thread.process, signal)? {
            Origin::Here => {}
            Origin::Sent(info) => ptrace::set_signal_info(outer, &info)?,
            Origin::Word if self.births.contains_key(&outer) => {
                lock(&thread.held_back).push(Sent::Word(signal));
                return ptrace::resume(outer, 0);
            }
            Origin::Word => {
                take_at_home(&self.host, thread, signal, Received::Delivered(signal));
                return Ok(());
            }
        }
        if self.births.contains_key(&outer) {
            return self.hold_back(outer, &thread);
        }
        self.deliver(outer, &thread, signal)
    }

    /// A thread that is about to receive a signal does, with the details that are
    /// in place.
    fn deliver(&mut self, outer: i32, thread: &Arc<Thread>, signal: i32) -> Result<()> {
        let process = &thread.process;
        self.undo_early_interruption(outer, thread)?;
        self.end_suspension(outer, thread)?;
        let disposition = lock(&process.dispositions).of[signal.clamp(0, 64) as usize];
        let stops = matches!(signal, libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
        if stops && disposition == Disposition::Default {
            self.host.tell_home(&ToHome::StopSelf {
                pid: process.pid,
                signal,
            });
            return ptrace::resume(outer, 0);
        }
        if disposition == Disposition::Handled {
            // That ends the call that was answered so: the next may be interrupted early again.
            lock(&thread.state).restarting = false;
        }
        ptrace::resume(outer, signal)
    }

    /// A signal must not come between home's fork and the body's: it is sent
    /// again when the child is there.
    fn hold_back(&mut self, outer: i32, thread: &Thread) -> Result<()> {
        let info = ptrace::signal_info(outer)?;
        lock(&thread.held_back).push(Sent::Signal(info));
        ptrace::resume(outer, 0)
    }

    /// A forwarded call that no worker has received yet did not happen: the
    /// signal has come before it.
    fn undo_early_interruption(&self, outer: i32, thread: &Thread) -> Result<()> {
        let mut regs = ptrace::registers(outer)?;
        if regs.rax as i64 != ERESTARTSYS
            || (regs.orig_rax as i64) < 0
            || lock(&thread.state).restarting
        {
            return Ok(());
        }
        if row(regs.orig_rax as u32).is_none_or(|row| row.route == Route::Here) {
            return Ok(());
        }
        regs.rip -= 2;
        regs.rax = regs.orig_rax;
        regs.orig_rax = u64::MAX;
        ptrace::set_registers(outer, &regs)
    }

    /// The signal that a call with a temporary mask waited for has come: the
    /// call is the guest's own again.
    fn end_suspension(&self, outer: i32, thread: &Thread) -> Result<()> {
        let Some(own) = lock(&thread.state).suspended.take() else {
            return Ok(());
        };
        let mut regs = ptrace::registers(outer)?;
        if (regs.orig_rax as i64) < 0 && regs.rax == libc::SYS_rt_sigsuspend as u64 {
            // Its own mask lets the signal through too, so that it did not get
            // as far as to wait.
            regs.rip += 2;
            regs.rax = ERESTARTNOHAND as u64;
        }
        regs.orig_rax = own.nr;
        regs.rdi = own.rdi;
        regs.rsi = own.rsi;
        ptrace::set_registers(outer, &regs)
    }

    /// PTRACE_EVENT_STOP: birth, or our own interruption.
    fn stop(&mut self, outer: i32, signal: i32) -> Result<()> {
        let Some(thread) = self.host.thread(outer) else {
            if outer != self.init.pid {
                self.early.insert(outer);
                return Ok(());
            }
            return ptrace::resume(outer, 0);
        };
        if self.newborn.contains_key(&outer) {
            return self.start_newborn(outer);
        }
        if let Some(held) = self.frozen.get_mut(&thread.process.pid) {
            held.push(outer);
            return Ok(());
        }
        if signal != libc::SIGTRAP {
            return ptrace::listen(outer);
        }
        let takes = lock(&thread.state).takes.take();
        let had_business = takes.is_some() || lock(&thread.state).suspend.is_some();
        let mut wait = self.shortenings.end(outer)?;
        if !had_business && self.hold(outer, &thread, wait)? {
            return Ok(());
        }
        if let Some(at) = takes
            && !self.give_details(outer, &thread, at, wait)?
        {
            return Ok(());
        }
        let suspend = lock(&thread.state).suspend.take();
        if let Some(temporary) = suspend {
            let mut regs = ptrace::registers(outer)?;
            if regs.rax as i64 == ERESTARTNOHAND {
                lock(&thread.state).suspended = Some(Borrowed {
                    nr: regs.orig_rax,
                    rdi: regs.rdi,
                    rsi: regs.rsi,
                });
                regs.rip -= 2;
                regs.rax = libc::SYS_rt_sigsuspend as u64;
                regs.orig_rax = u64::MAX;
                regs.rdi = temporary.at;
                regs.rsi = 8;
                ptrace::set_registers(outer, &regs)?;
                wait = Some(Unfinished::suspension(temporary.mask));
            }
        }
        if had_business {
            // Due before it runs, as after any other stop.
            self.remind(outer);
        }
        self.shortenings.resume(outer, wait)
    }

    /// A thread has taken a signal by sigtimedwait: details of one that we sent
    /// are put at `at`. If another thread was faster, it waits again. Returns
    /// whether it goes on: else it has taken word of a signal at home.
    fn give_details(
        &self,
        outer: i32,
        thread: &Arc<Thread>,
        at: u64,
        rest: Option<Unfinished>,
    ) -> Result<bool> {
        let regs = ptrace::registers(outer)?;
        let signal = regs.rax as i64;
        if signal == -i64::from(libc::EINTR) {
            wait_again(outer)?;
        }
        if signal == -i64::from(libc::EFAULT) {
            // It has taken one all the same, and had nowhere to put its details.
            let mut set = [0; 8];
            if thread.memory().read(regs.rdi, &mut set).is_ok() {
                signals::forget_taken(&self.host, &thread.process, u64::from_ne_bytes(set));
            }
        }
        let Some(signal) = i32::try_from(signal).ok().filter(|n| (1..=64).contains(n)) else {
            return Ok(true);
        };
        match signals::take_incoming(&thread.process, signal) {
            Some(info) if at != 0 => {
                // Was writable for the kernel a moment ago.
                let _ = thread.memory().write(at, &info);
            }
            None if thread.process.holds(signal) => {
                let received = Received::Waited { at, rest };
                take_at_home(&self.host, Arc::clone(thread), signal, received);
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Home has given a signal that waited there, or has none any more.
    fn taken(
        &mut self,
        outer: i32,
        received: Received,
        info: Option<ptrace::SignalInfo>,
    ) -> Result<()> {
        let Some(thread) = self.host.thread(outer) else {
            return Ok(());
        };
        match (received, info) {
            (Received::Delivered(signal), Some(info)) => {
                ptrace::set_signal_info(outer, &info)?;
                self.remind(outer);
                self.deliver(outer, &thread, signal)
            }
            (Received::Delivered(_), None) => {
                // Nothing has come: what it was in goes on.
                self.end_suspension(outer, &thread)?;
                self.remind(outer);
                ptrace::resume(outer, 0)
            }
            (Received::Waited { at, rest }, info) => {
                match info {
                    Some(info) if at != 0 => {
                        // Was writable for the kernel a moment ago.
                        let _ = thread.memory().write(at, &info);
                    }
                    Some(_) => {}
                    None => wait_again(outer)?,
                }
                self.remind(outer);
                self.shortenings.resume(outer, rest)
            }
        }
    }

    /// A body thread stands at a call of the clone family.
    fn asked_for_birth(&mut self, outer: i32) -> Result<()> {
        let Some(thread) = self.host.thread(outer) else {
            return ptrace::resume(outer, 0);
        };
        let mut regs = ptrace::registers(outer)?;
        let memory = thread.memory();
        if thread.process.is_leaving() && !self.births.contains_key(&outer) {
            return make_again(outer, regs);
        }
        if self.births.get(&outer).is_some_and(|birth| birth.pid != 0) {
            // The kernel restarts it because a signal waited.
            return self.release(outer);
        }
        let started = self.host.observed.then(Instant::now);
        let birth = match Birth::read(&regs, memory, started) {
            Ok(birth) => birth,
            Err(Refusal::GoHome(what)) => return self.park(outer, &thread, what),
            Err(Refusal::Errno(errno)) => {
                regs.rax = -i64::from(errno) as u64;
                regs.orig_rax = u64::MAX;
                ptrace::set_registers(outer, &regs)?;
                return ptrace::resume(outer, 0);
            }
        };
        self.births.insert(outer, birth);
        let host = Arc::clone(&self.host);
        let ask = move || {
            let result = ask_home(&host, &thread, &birth);
            host.order(Order::Born { outer, result });
        };
        self.host.helpers.run(Box::new(ask));
        Ok(())
    }

    /// Home has forked, or has not.
    fn home_forked(&mut self, outer: i32, result: i64) -> Result<()> {
        let Some(birth) = self.births.get_mut(&outer) else {
            return Ok(());
        };
        let answer = if result == GONE {
            -i64::from(libc::EAGAIN)
        } else {
            result
        };
        if let Some(thread) = self.host.thread(outer) {
            birth.answered(&thread, answer);
        }
        if let Some(pid) = i32::try_from(result).ok().filter(|pid| *pid > 1) {
            birth.pid = pid;
            return self.release(outer);
        }
        self.births.remove(&outer);
        self.remind(outer);
        let mut regs = ptrace::registers(outer)?;
        regs.rax = answer as u64;
        regs.orig_rax = u64::MAX;
        ptrace::set_registers(outer, &regs)?;
        ptrace::resume(outer, 0)
    }

    /// Lets a body fork, with the pid that home has given. One at a time: the
    /// pid is the next one of the whole namespace.
    fn release(&mut self, outer: i32) -> Result<()> {
        let Some(birth) = self.births.get(&outer).copied() else {
            return ptrace::resume(outer, 0);
        };
        let Some(thread) = self.host.thread(outer) else {
            return Ok(());
        };
        let memory = thread.memory();
        self.init
            .set_next_pid(birth.pid)
            .map_err(std::io::Error::other)?;
        let mut regs = ptrace::registers(outer)?;
        birth.rewrite(&mut regs, memory);
        ptrace::set_registers(outer, &regs)?;
        ptrace::resume_to_call_end(outer)?;
        match ptrace::wait(outer, false)? {
            Some((_, Change::Signal(libc::SIGTRAP))) => self.not_forked(outer, &birth, memory),
            Some((_, change)) => {
                self.handle(outer, change);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The body's fork has failed. If only because a signal waits, the kernel
    /// does it again after that.
    fn not_forked(&mut self, outer: i32, birth: &Birth, memory: BodyMemory) -> Result<()> {
        const ERESTARTNOINTR: i64 = -513;
        let mut regs = ptrace::registers(outer)?;
        if regs.rax as i64 != ERESTARTNOINTR {
            birth.restore(&mut regs, memory);
            ptrace::set_registers(outer, &regs)?;
            self.births.remove(&outer);
            self.remind(outer);
            let errno = -(regs.rax as i64);
            let reason = format!("its body could not be forked (errno {errno})");
            self.host.tell_home(&ToHome::Cannot {
                pid: birth.pid,
                reason,
            });
        }
        ptrace::resume(outer, 0)
    }

    /// The body has forked: it is stopped, its child stops or has stopped.
    fn born(&mut self, parent: i32) -> Result<()> {
        let child = ptrace::event_message(parent)? as i32;
        let (Some(thread), Some(birth)) = (self.host.thread(parent), self.births.remove(&parent))
        else {
            return ptrace::resume(parent, 0);
        };
        self.remind(parent);
        let mut regs = ptrace::registers(parent)?;
        birth.restore(&mut regs, thread.memory());
        ptrace::set_registers(parent, &regs)?;
        let process = if birth.is_thread() {
            Arc::clone(&thread.process)
        } else {
            let mut dispositions = lock(&thread.process.dispositions).clone();
            if birth.clears_handlers() {
                dispositions.clear_handlers();
            }
            let mut process = Process::new(
                birth.pid,
                child,
                Arc::clone(&thread.process.pool),
                dispositions,
                if birth.shares_memory() {
                    Arc::clone(&thread.process.memory_shared)
                } else {
                    Arc::default()
                },
                self.host.stats,
            );
            if birth.shares_memory() {
                process.pages = Arc::clone(&thread.process.pages);
            }
            // It has the same signalfds.
            process.held = thread.process.held.load(Ordering::SeqCst).into();
            let process = Arc::new(process);
            self.leaders.insert(child, Arc::clone(&process));
            process
        };
        let link = self.host.link(birth.pid).map_err(std::io::Error::other)?;
        let newborn = Arc::new(Thread::new(birth.pid, child, process, Some(link)));
        self.host.add_thread(&newborn);
        newborn.process.pool.join(&self.host);
        self.deliver_waiting(&newborn.process);
        self.newborn.insert(child, birth);
        if self.early.remove(&child) {
            self.start_newborn(child)?;
        }
        for sent in std::mem::take(&mut *lock(&thread.held_back)) {
            signals::inject(&self.host, &thread.process, thread.tid, &sent);
        }
        ptrace::resume(parent, 0)
    }

    fn start_newborn(&mut self, child: i32) -> Result<()> {
        let Some(birth) = self.newborn.remove(&child) else {
            return Ok(());
        };
        self.remind(child);
        let mut regs = ptrace::registers(child)?;
        let files = MemoryFiles::default();
        let memory = BodyMemory {
            pid: child,
            files: &files,
        };
        birth.restore(&mut regs, memory);
        ptrace::set_registers(child, &regs)?;
        ptrace::resume(child, 0)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Arrive(arrival) => self.arrive(arrival),
            Order::Born { outer, result } => {
                if let Err(error) = self.home_forked(outer, result) {
                    tracing::debug!("fork of thread {outer}: {error}");
                }
            }
            Order::Taken {
                outer,
                received,
                info,
            } => {
                if let Err(error) = self.taken(outer, received, info) {
                    tracing::debug!("signal of thread {outer}: {error}");
                }
            }
            Order::Interrupt { outer, done } => {
                // ESRCH: it has ended. The sender goes on in any case.
                let _ = ptrace::interrupt(outer);
                let _ = done.send(());
            }
            Order::Deliver { pid, done } => {
                if let Some(process) = self.process(pid) {
                    self.deliver_waiting(&process);
                }
                // Its thread may have been killed.
                let _ = done.send(());
            }
            Order::Discard { pid } => {
                if let Some(process) = self.process(pid) {
                    let _ = ptrace::kill(process.outer, libc::SIGKILL);
                }
            }
            Order::GoHome {
                pid,
                reason,
                decided,
            } => self.asked_to_return(pid, reason, decided),
            Order::Returned { outer, result } => self.returned(outer, result),
            Order::PagesHere { pid } => {
                if self.recall_later.remove(&pid) {
                    self.recall(pid);
                }
            }
            Order::Home(message) => self.told_by_home(message),
            Order::Over => {}
        }
    }

    fn told_by_home(&mut self, message: ToHost) {
        match message {
            ToHost::Signal {
                pid,
                tid,
                seq,
                info,
            } => self.sent_by_home(pid, tid, seq, Sent::Signal(info)),
            ToHost::Waits {
                pid,
                tid,
                seq,
                signal,
            } => self.sent_by_home(pid, tid, seq, Sent::Word(signal)),
            ToHost::Kill { pid } => {
                self.waiting.remove(&pid);
                self.sent.remove(&pid);
                if let Some(process) = self.process(pid) {
                    process.silent.store(true, Ordering::SeqCst);
                    let _ = ptrace::kill(process.outer, libc::SIGKILL);
                }
            }
            ToHost::Freeze { pid } => self.freeze(pid),
            ToHost::Thaw { pid } => {
                for outer in self.frozen.remove(&pid).unwrap_or_default() {
                    let _ = self.shortenings.go_on(outer);
                }
            }
            ToHost::CallHome { pid } => self.recall(pid),
            ToHost::Remain { pid, reason } => self.remain(pid, &reason),
            ToHost::Place { .. } | ToHost::Recall { .. } | ToHost::Shutdown => {}
        }
    }

    fn sent_by_home(&mut self, pid: i32, tid: i32, seq: u64, sent: Sent) {
        self.sent.insert(pid, seq);
        self.waiting.entry(pid).or_default().push((tid, sent));
        let process = self.process(pid);
        let Some(process) = process.filter(|process| !process.silent.load(Ordering::SeqCst)) else {
            // Its body is about to be made.
            return;
        };
        let mut executing = lock(&process.executing);
        if executing.threads > 0 {
            executing.is_awaited = true;
            // The result of the call must not wait for it.
            return process.signal_sent(seq);
        }
        self.deliver_waiting(&process);
    }

    /// Sends into the body what home has sent for the process.
    fn deliver_waiting(&mut self, process: &Arc<Process>) {
        for (tid, sent) in self.waiting.remove(&process.pid).unwrap_or_default() {
            if (1..=64).contains(&sent.signal()) {
                signals::inject(&self.host, process, tid, &sent);
            }
        }
        if let Some(seq) = self.sent.get(&process.pid) {
            process.signal_sent(*seq);
        }
    }

    fn freeze(&mut self, pid: i32) {
        self.frozen.entry(pid).or_default();
        for thread in self.host.threads_of(pid) {
            // A thread that waits at home stops when it comes back.
            let _ = ptrace::interrupt(thread.outer);
        }
    }
}

/// Where a signal comes from that a body is about to receive.
enum Origin {
    /// The body, or its kernel.
    Here,
    /// We sent it: its original details.
    Sent(ptrace::SignalInfo),
    /// We sent it, to tell of one that waits at home.
    Word,
}

fn origin(outer: i32, process: &Process, signal: i32) -> Result<Origin> {
    let info = ptrace::signal_info(outer)?;
    let word = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    let (code, sender) = (word(8), word(16));
    if !(code == signals::SI_USER || code == signals::SI_TKILL) {
        return Ok(Origin::Here);
    }
    // Ours come from outside the namespace, which shows as pid 0.
    let sent = (sender == 0).then(|| signals::take_incoming(process, signal));
    Ok(match sent.flatten() {
        Some(info) => Origin::Sent(info),
        // Also one that the guest sent itself before such signals waited at home.
        None if process.holds(signal) => Origin::Word,
        None => Origin::Here,
    })
}

/// A thread that has just returned from sigtimedwait makes that call again.
fn wait_again(outer: i32) -> Result<()> {
    let mut regs = ptrace::registers(outer)?;
    regs.rip -= 2;
    regs.rax = libc::SYS_rt_sigtimedwait as u64;
    regs.orig_rax = u64::MAX;
    ptrace::set_registers(outer, &regs)
}

/// Takes a signal that waits at home for a thread that stands still until then.
fn take_at_home(host: &Arc<Host>, thread: Arc<Thread>, signal: i32, received: Received) {
    let asking = Arc::clone(host);
    host.helpers.run(Box::new(move || {
        let info = signals::take_at_home(&thread, signal);
        asking.order(Order::Taken {
            outer: thread.outer,
            received,
            info,
        });
    }));
}

fn is_executed_here(nr: u32) -> bool {
    row(nr).is_some_and(|row| row.route == Route::Here)
}

/// Makes the deputy fork. Returns the pid of its child, or -errno.
fn ask_home(host: &Host, thread: &Thread, birth: &Birth) -> i64 {
    if !birth.shares_memory() {
        // What is missing would be missing in the child, too, and nobody would know.
        thread.process.pages.wait_for(Stage::Alone);
    }
    let mut call = abi::marshal::Marshalled::new();
    let memory = thread.memory();
    if !birth.marshal_home(&mut call, memory) {
        return -i64::from(libc::EFAULT);
    }
    readahead::before_birth(host, thread, birth.flags);
    let mut link = lock(&thread.link);
    let Some(link) = link.as_mut() else {
        return GONE;
    };
    let answer = link
        .put_in_order(&thread.process.ahead)
        .and_then(|()| link.send_call(Kind::Fork, &call))
        .and_then(|()| link.receive_answer());
    readahead::after_birth(&thread.process, birth.flags);
    match answer {
        Ok(answer) => call
            .scatter(answer.result, answer.data, &memory)
            .unwrap_or(answer.result),
        Err(error) => {
            tracing::debug!("fork at home of process {}: {error}", thread.process.pid);
            let _ = host;
            GONE
        }
    }
}

fn dispositions(actions: &[SignalAction]) -> Dispositions {
    let mut of = [Disposition::Default; 65];
    for action in actions {
        of[action.signal.clamp(0, 64) as usize] = match action.action[0] {
            0 => Disposition::Default,
            1 => Disposition::Ignored,
            _ => Disposition::Handled,
        };
    }
    // As the deputy has them.
    let of_children = actions.iter().find(|a| a.signal == libc::SIGCHLD);
    Dispositions {
        of,
        child_flags: of_children.map_or(0, |a| a.action[1] & CHILD_FLAGS),
    }
}

/// The table's filter rules in the assembler's terms.
fn rules() -> Rules {
    let mut rules = Rules {
        allow: Vec::new(),
        trace: Vec::new(),
    };
    for rule in filter::rules() {
        let conditions = rule
            .when
            .iter()
            .map(|c| Condition {
                arg: c.arg,
                mask: c.mask,
                value: c.value,
            })
            .collect();
        match rule.action {
            filter::Action::Allow => rules.allow.push((rule.nr, conditions)),
            filter::Action::Trace => rules.trace.push(rule.nr),
            filter::Action::Notify => {}
        }
    }
    rules
}
