//! The tracer: the one thread on the host that traces init and all bodies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi::row::Route;
use abi::{filter, row};
use anyhow::Context;
use image::ImageError;
use image::cpu_time::{self, CpuTime, Elsewhere, TICK_NS};
use image::deputy::CHILD_FLAGS;
use image::postcopy::filler::Filler;
use image::rebuild::{self, Ground, Init};
use image::schema::SignalAction;
use image::shortening::Shortenings;
use image::unfinished::Unfinished;
use lane::control::{Follow, ToHome, ToHost};
use sys::ptrace::{self, Change, EVENT_STOP, Usage};
use sys::seccomp::{Condition, Rules, assemble};

use crate::births::Birth;
use crate::guest::{Borrowed, Disposition, Dispositions, Process, Sent, Thread};
use crate::host::{Arrival, Host, Order, lock};
use crate::pager::{self, Pages};
use crate::pool::Pool;
use crate::stats;
use leaving::Leaving;

mod births;
mod delivering;
mod leaving;

const ERESTARTSYS: i64 = -512;
const ERESTARTNOHAND: i64 = -514;

type Result<T> = std::io::Result<T>;

/// The tracer of one runtime.
pub(crate) struct Tracer {
    host: Arc<Host>,
    init: Init,
    filter: Vec<[u8; 8]>,
    /// That of bodies which have used CPU time elsewhere.
    counting_filter: Vec<[u8; 8]>,
    /// Births under way, by the parent's outer id.
    births: HashMap<i32, Birth>,
    /// Newborn children whose first stop is to come, with their parent's birth.
    newborn: HashMap<i32, Birth>,
    /// Stopped at birth before their parent's event.
    early: HashSet<i32>,
    /// Programs to run once the old body of the same pid has ended.
    arrivals: HashMap<i32, Box<Arrival>>,
    /// Programs whose signals have not all been heard of.
    unheard: HashMap<i32, Box<Arrival>>,
    /// Number of the last signal that home has sent, for whichever process.
    heard: u64,
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
    /// Processes (pid at home) that home wants back as soon as its last
    /// answer is here and all of their pages have come, and whether pages
    /// may follow them.
    recall_later: HashMap<i32, Option<Follow>>,
    /// Threads that make an interrupted call again.
    shortenings: Shortenings,
}

impl Tracer {
    /// The calling thread must be the one that started `init`.
    pub(crate) fn new(host: Arc<Host>, init: Init) -> anyhow::Result<Tracer> {
        let filter = |trace_with: &[(u32, u32)]| {
            assemble(&rules(trace_with))
                .map_err(anyhow::Error::msg)
                .context("assemble the bodies' filter")
        };
        Ok(Tracer {
            host,
            init,
            filter: filter(&[])?,
            counting_filter: filter(&filter::CPU_TIME_CALLS)?,
            births: HashMap::new(),
            newborn: HashMap::new(),
            early: HashSet::new(),
            arrivals: HashMap::new(),
            unheard: HashMap::new(),
            heard: 0,
            waiting: HashMap::new(),
            sent: HashMap::new(),
            frozen: HashMap::new(),
            leaders: HashMap::new(),
            leaving: HashMap::new(),
            recall_later: HashMap::new(),
            shortenings: Shortenings::new(is_executed_here),
        })
    }

    /// Traces until home is gone or says so. Bodies still there end with init.
    pub(crate) fn run(mut self) {
        loop {
            while let Ok(Some((outer, change, usage))) = ptrace::wait_counting(-1, true) {
                if outer == self.init.pid
                    && matches!(change, Change::Exited(_) | Change::Killed { .. })
                {
                    tracing::error!("the init of the guests' namespaces has ended: {change:?}");
                    return;
                }
                if matches!(change, Change::Exited(_) | Change::Killed { .. }) {
                    self.has_used(outer, usage);
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
            } => self.stopped_by_filter(outer),
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

    /// A thread stands at a call that the filter does not let pass.
    fn stopped_by_filter(&mut self, outer: i32) -> Result<()> {
        let regs = ptrace::registers(outer)?;
        match self.host.thread(outer) {
            Some(thread) if cpu_time::is_read_by(regs.orig_rax) => {
                self.read_cpu_time(outer, &thread)
            }
            _ => self.asked_for_birth(outer),
        }
    }

    /// A thread asks for its CPU time.
    fn read_cpu_time(&mut self, outer: i32, thread: &Thread) -> Result<()> {
        thread.process.asks_cpu_time.store(true, Ordering::SeqCst);
        let elsewhere = Elsewhere {
            process: thread.process.spent,
            thread: thread.spent,
            ..Elsewhere::default()
        };
        if let Some(end) = cpu_time::read_by(outer, &elsewhere)? {
            self.handle(outer, end);
            return Ok(());
        }
        self.remind(outer);
        ptrace::resume(outer, 0)
    }

    /// A body is about to be told as ended that has used this.
    fn has_used(&mut self, outer: i32, usage: Usage) {
        let used = CpuTime::from_us(usage.cpu_us);
        let Some(process) = self.leaders.get(&outer) else {
            return;
        };
        let pid = process.pid;
        let has_left = process.captured.load(Ordering::SeqCst);
        if has_left && self.arrivals.contains_key(&pid) {
            // It is back before its body has ended, and its image told what that had used.
            return;
        }
        if let Some(arrival) = self.arrivals.get_mut(&pid) {
            // Home did not know that when it captured the program.
            let image = &mut arrival.image;
            image.spent = image.spent.plus(used);
            for thread in &mut image.threads {
                // Most programs had one thread.
                thread.spent = thread.spent.plus(used);
            }
        } else if process.silent.load(Ordering::SeqCst) {
            // It has left, and its image tells.
            return;
        }
        self.host.tell_home(&ToHome::Used {
            pid,
            user_ns: used.user_ns,
            system_ns: used.system_ns,
            peak_bytes: usage.peak_bytes,
        });
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

    /// Its predecessor is gone: its body is made when all signals have been heard of that came for it before.
    fn settle(&mut self, arrival: Box<Arrival>) {
        match arrival.signals <= self.heard {
            true => self.make_body(arrival),
            false => drop(self.unheard.insert(arrival.image.pid, arrival)),
        }
    }

    /// Home has sent the signal with this number.
    fn hear(&mut self, seq: u64) {
        self.heard = self.heard.max(seq);
        let heard = self.heard;
        let ready = |_: &i32, arrival: &mut Box<Arrival>| arrival.signals <= heard;
        let ready: Vec<_> = self.unheard.extract_if(ready).collect();
        for (_, arrival) in ready {
            self.make_body(arrival);
        }
    }

    fn make_body(&mut self, arrival: Box<Arrival>) {
        let Arrival {
            signals: _,
            image,
            pages,
            files,
            links,
        } = *arrival;
        let pid = image.pid;
        // Right after an execve it is a moment at home, which no program looks for.
        let counts = image.departure != 0 || image.spent.total_ns() >= TICK_NS;
        let made = lane::fault::point("rebuild")
            .map_err(ImageError::step("make a body", pid))
            .and_then(|()| {
                let ground = Ground {
                    filter: match counts {
                        true => &self.counting_filter,
                        false => &self.filter,
                    },
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
                let spent = |spent: CpuTime| match counts {
                    true => spent,
                    false => CpuTime::default(),
                };
                process.spent = spent(image.spent);
                process.is_counted = counts;
                if image.departure != 0 {
                    process.pages = Arc::new(Pages::coming());
                }
                let process = Arc::new(process);
                self.leaders.insert(body.pid, Arc::clone(&process));
                for (index, link) in links.into_iter().enumerate() {
                    let (outer, tid) = body.threads[index];
                    let mut thread = Thread::new(tid, outer, Arc::clone(&process), Some(link));
                    thread.spent = spent(image.threads[index].spent);
                    let unfinished = image.threads[index].unfinished;
                    lock(&thread.state).arrived =
                        unfinished.filter(|call| !is_executed_here(call.nr));
                    self.host.add_thread(&Arc::new(thread));
                    pool.join(&self.host);
                }
                self.deliver_waiting(&process);
                self.host.tell_home(&ToHome::Running {
                    pid,
                    placement: image.placement,
                });
                // First: a call is shortened in memory that may still have to come.
                if image.departure != 0 {
                    let filler = body
                        .userfault
                        .map(|u| Filler::new(u, &image.later, body.pid));
                    pager::start(&self.host, &process, image.departure, filler);
                }
                for ((outer, tid), thread) in body.threads.into_iter().zip(&image.threads) {
                    // Calls that go home are shortened when they are notified.
                    if let Err(error) = self.shortenings.resume(outer, thread.unfinished) {
                        tracing::debug!("start thread {tid} of body {pid}: {error}");
                    }
                }
            }
            Err(error) => self.host.tell_home(&ToHome::Cannot {
                pid,
                reason: error.to_string(),
            }),
        }
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
                if let Some(later) = self.recall_later.remove(&pid) {
                    self.recall(pid, later);
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
            } => {
                self.sent_by_home(pid, tid, seq, Sent::Signal(info));
                self.hear(seq);
            }
            ToHost::Waits {
                pid,
                tid,
                seq,
                signal,
            } => {
                self.sent_by_home(pid, tid, seq, Sent::Word(signal));
                self.hear(seq);
            }
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
            ToHost::CallHome { pid, later } => self.recall(pid, later),
            ToHost::Remain { pid, reason } => self.remain(pid, &reason),
            ToHost::Place { .. } | ToHost::Recall { .. } | ToHost::Shutdown => {}
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

fn is_executed_here(nr: u32) -> bool {
    row(nr).is_some_and(|row| row.route == Route::Here)
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
fn rules(trace_with: &[(u32, u32)]) -> Rules {
    let mut rules = Rules {
        allow: Vec::new(),
        trace: Vec::new(),
        trace_with: trace_with.to_vec(),
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
