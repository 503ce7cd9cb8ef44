//! The tracer: the one thread at home that traces all processes of the job.
//!
//! A process at home is seized and otherwise left alone: it stops at births,
//! execs and signals, and goes on. A deputy's signals are passed on to its
//! body; what the body does with them comes back as an order.

mod arriving;
mod counting;
mod departing;
mod ending;
mod exiting;
mod hearing;
pub(crate) mod listing;
pub(crate) mod moving;
mod passing;
mod placing;
mod returning;
mod saving;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use cluster::random::Random;
use image::capture::status_field;
use image::cut;
use image::deputy::point_at_slot;
use image::shortening::Shortenings;
use image::unfinished;
use lane::control::ToHost;
use sys::ptrace::{self, Change, EVENT_STOP, options};
use sys::{pidfd, stub};

use crate::arriving::Arrival;
use crate::checkpoint::Restarted;
use crate::checkpoint::surroundings::Streams;
use crate::hosts::Host;
use crate::job::{Deputy, DeputyThread, Job, Order, lock};
use crate::needs::Needs;
use crate::setup::HOME_NODE;
use crate::waiting::Waiting;
use departing::Departing;
use ending::Ending;
use exiting::Held;
use moving::Done;
use returning::{Expected, Signals};

const HOME_OPTIONS: i32 = options::NEWBORN | options::EXEC | options::SECCOMP;
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;

/// A traced thread.
struct Tracee {
    /// Its process.
    pid: i32,
    /// If its user code is elsewhere.
    thread: Option<Arc<DeputyThread>>,
    /// Request whose call is to be interrupted at the next stop.
    interrupt: Option<u64>,
    /// What to do at the next stop instead of going on.
    ending: Option<Ending>,
    /// Its first stop has not been seen yet.
    newborn: bool,
    /// In a group-stop.
    stopped: bool,
    /// About to end, with this status. Known only where statistics are kept.
    exiting: Option<i32>,
    /// Signal that we sent ourselves and that is for the deputy, not its body.
    own_signal: Option<i32>,
    /// What to do with its signals at the next stop.
    signals: Signals,
    /// Its signal mask, while its signals are held back.
    own_mask: Option<u64>,
    /// Its tracing options are to be those of a process at home again, at its next stop.
    relax: bool,
    /// Number of the host that it was on before it moved on.
    left: Option<u64>,
    /// Of a leader: why the process has to stay at home until it executes
    /// another program.
    bound: Option<String>,
}

/// The tracer of one job.
pub(crate) struct Tracer {
    job: Arc<Job>,
    tracees: HashMap<i32, Tracee>,
    /// The process that the shell has started.
    command: i32,
    /// The command has ended elsewhere, or its host has nothing more to tell.
    command_over: bool,
    /// The command, about to end while its host is asked for its statistics.
    held: Option<Held>,
    /// Stopped at birth before their parent's event told whose they are.
    early: HashSet<i32>,
    /// Processes that are to come home.
    expected: HashMap<i32, Expected>,
    /// Processes that are to leave home.
    departing: HashMap<i32, Departing>,
    /// Processes at home whose pages are still to come, with the children that they have forked since.
    arriving: HashMap<i32, Arc<Arrival>>,
    /// Where those of them are to go that somebody wants moved meanwhile.
    depart_later: HashMap<i32, Arc<Host>>,
    /// Those who wait for a process to have moved.
    movers: HashMap<i32, Vec<Done>>,
    /// What its processes have needed.
    needs: Needs,
    /// Threads at home that are in a call that tells CPU time.
    counting: HashSet<i32>,
    /// Threads that make an interrupted call again.
    shortenings: Shortenings,
    /// How often all processes are moved, and when next.
    shuffle: Option<(Duration, Instant)>,
    /// Where to.
    random: Random,
    /// What the command goes on as, until it has executed its program.
    restart: Option<Box<Restarted>>,
    /// The files that mosexec was started with.
    streams: Streams,
    /// A program has been placed.
    has_placed: bool,
    /// Details of signals that are kept while their process moves, by process and signal.
    kept_details: HashMap<(i32, i32), [u8; 128]>,
}

type Result<T> = std::io::Result<T>;

impl Tracer {
    /// Seizes the process that will become the command, or go on as `restart`.
    pub(crate) fn attach(job: &Arc<Job>, restart: Option<Restarted>) -> anyhow::Result<Tracer> {
        let setup = &job.setup;
        let options = home_options(job);
        ptrace::seize(setup.target, options).with_context(|| {
            format!(
                "trace process {} (where kernel.yama.ptrace_scope is 2 or 3, only root may; \
                 a debugger or strace on mosexec is in the way)",
                setup.target
            )
        })?;
        let mut tracer = Tracer {
            job: Arc::clone(job),
            tracees: HashMap::new(),
            command: setup.target,
            command_over: false,
            held: None,
            early: HashSet::new(),
            expected: HashMap::new(),
            departing: HashMap::new(),
            arriving: HashMap::new(),
            depart_later: HashMap::new(),
            movers: HashMap::new(),
            needs: Needs::new(setup.cluster.is_some()),
            counting: HashSet::new(),
            shortenings: Shortenings::new(|_| true),
            shuffle: setup.shuffle_ms.map(|ms| {
                let interval = Duration::from_millis(ms);
                (interval, Instant::now() + interval)
            }),
            random: Random::new(setup.seed),
            restart: restart.map(Box::new),
            streams: Streams::of(setup.target),
            has_placed: false,
            kept_details: HashMap::new(),
        };
        if setup.shuffle_ms.is_some() {
            tracing::info!("shuffled with --seed {}", setup.seed);
        }
        tracer.adopt(setup.target, setup.target, None);
        job.journal.born(setup.target, None, HOME_NODE);
        Ok(tracer)
    }

    fn adopt(&mut self, tid: i32, pid: i32, thread: Option<Arc<DeputyThread>>) {
        let tracee = Tracee {
            pid,
            thread,
            interrupt: None,
            ending: None,
            newborn: false,
            stopped: false,
            exiting: None,
            own_signal: None,
            signals: Signals::Leave,
            own_mask: None,
            relax: false,
            left: None,
            bound: None,
        };
        self.tracees.insert(tid, tracee);
    }

    /// Traces until no process of the job is left.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        loop {
            loop {
                match ptrace::wait(-1, true) {
                    Ok(Some((tid, change))) => self.handle(tid, change),
                    Ok(None) => break,
                    Err(_) => break,
                }
            }
            for order in self.job.take_orders() {
                self.obey(order);
            }
            if self.tracees.is_empty() {
                for host in self.job.hosts.all_ready() {
                    host.tell(&ToHost::Shutdown);
                }
                self.needs.finish();
                return Ok(());
            }
            let patience_ms = self.patience_ms();
            self.job.bell.wait(patience_ms);
            self.keep_time();
        }
    }

    /// Does what is due.
    fn keep_time(&mut self) {
        self.give_up_departures();
        let now = Instant::now();
        let Some((interval, next)) = self.shuffle else {
            return;
        };
        let is_due = next <= now;
        // Counted from the last move's end: else, where moves take long, a process
        // would do nothing but move.
        if is_due || self.is_moving() {
            self.shuffle = Some((interval, now + interval));
        }
        if is_due && !self.is_moving() {
            self.shuffle();
        }
    }

    /// Milliseconds to wait for news; -1: any time.
    fn patience_ms(&mut self) -> i32 {
        let shuffle = self.shuffle.map(|(_, next)| next);
        let due = [self.held_until(), self.departures_until(), shuffle];
        let Some(next) = due.into_iter().flatten().min() else {
            return -1;
        };
        let left = next.saturating_duration_since(Instant::now());
        left.as_millis() as i32 + 1
    }

    fn handle(&mut self, tid: i32, change: Change) {
        tracing::trace!("{tid}: {change:?}");
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
            self.remind(tid);
        }
        let result = match change {
            Change::Exited(code) => {
                self.ended(tid, code << 8);
                Ok(())
            }
            Change::Killed { signal, core } => {
                self.ended(tid, signal | if core { 0x80 } else { 0 });
                Ok(())
            }
            Change::Signal(signal) => self.signal(tid, signal),
            Change::Event {
                event: EVENT_STOP,
                signal,
            } => self.stop(tid, signal),
            Change::Event {
                event: libc::PTRACE_EVENT_EXEC,
                ..
            } => self.executed(tid),
            Change::Event {
                event: libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE,
                ..
            } => self.born(tid),
            Change::Event {
                event: libc::PTRACE_EVENT_EXIT,
                ..
            } => self.exiting(tid),
            Change::Event {
                event: libc::PTRACE_EVENT_SECCOMP,
                ..
            } => self.stopped_by_filter(tid),
            Change::Event { .. } => ptrace::resume(tid, 0),
        };
        if let Err(error) = result {
            // ESRCH: killed while stopped; its end is reported next.
            tracing::debug!("thread {tid} at {change:?}: {error}");
        }
    }

    /// A thread, or the process whose leader it is, has ended.
    fn ended(&mut self, tid: i32, status: i32) {
        self.early.remove(&tid);
        self.shortenings.forget(tid);
        self.counting.remove(&tid);
        let Some(tracee) = self.tracees.remove(&tid) else {
            return;
        };
        if tracee.pid == tid {
            self.kept_details.retain(|(pid, _), _| *pid != tid);
            self.job.mapped.release_of(tid);
            self.job.accounts.ended(tid);
            self.needs.forget(tid);
            let is_last = self.tracees.is_empty();
            self.job.journal.ended(tid, status, is_last);
            self.expected.remove(&tid);
            self.departing.remove(&tid);
            self.misses_nothing(tid);
            self.moved(tid, &Err("it has ended".to_owned()));
        } else {
            self.is_held(tracee.pid, tid);
            self.leave_if_still(tracee.pid);
        }
        if tid == self.command {
            // Has been written when it was about to end, unless it was killed then.
            self.held = None;
            self.finish_journal(status);
        }
        if let Some(thread) = tracee.thread {
            lock(&self.job.threads).remove(&tid);
            thread.abandon();
            if tracee.pid == tid {
                self.job.leases.release_of(tid);
                thread.deputy.host.tell(&ToHost::Kill { pid: tid });
            }
        }
    }

    /// Fork, vfork or clone: the parent is stopped, the child stops or has stopped.
    fn born(&mut self, parent: i32) -> Result<()> {
        let child = ptrace::event_message(parent)? as i32;
        let thread = self.tracees.get(&parent).and_then(|t| t.thread.clone());
        match thread {
            Some(thread) if lock(&thread.newborn).is_none() => {
                // Only a host that sends nonsense forks like this. Its child
                // would run our stub without a slot.
                tracing::warn!("deputy {parent} forked without being asked to");
                ptrace::kill(child, libc::SIGKILL)?;
                return ptrace::resume(parent, 0);
            }
            Some(thread) => self.born_deputy(child, &thread)?,
            None => {
                let pid = process_of(child);
                self.adopt(child, pid, None);
                if pid == child {
                    let of = self.tracees.get(&parent).map_or(parent, |t| t.pid);
                    let bound = self.tracees.get(&of).and_then(|t| t.bound.clone());
                    if let Some(tracee) = self.tracees.get_mut(&child) {
                        tracee.bound = bound;
                    }
                    self.born_arriving(child, of);
                    self.journal_birth(child, parent, HOME_NODE);
                }
            }
        }
        if self.early.remove(&child) {
            self.start_newborn(child)?;
        } else if let Some(tracee) = self.tracees.get_mut(&child) {
            tracee.newborn = true;
        }
        ptrace::resume(parent, 0)
    }

    fn born_deputy(&mut self, child: i32, parent: &Arc<DeputyThread>) -> Result<()> {
        let Some((place, slot)) = lock(&parent.newborn).take() else {
            return Err(std::io::Error::other(
                "a deputy forked without being asked to",
            ));
        };
        let is_thread = parent.newborn_is_thread.load(Ordering::SeqCst);
        let deputy = if is_thread {
            Arc::clone(&parent.deputy)
        } else {
            Arc::new(Deputy {
                pid: child,
                host: Arc::clone(&parent.deputy.host),
                pidfd: pidfd::open(child)?,
                placement: 0,
                places: Mutex::new(lock(&parent.deputy.places).clone()),
                signals: 0.into(),
                parent: 0.into(),
                image: Mutex::new(None),
                proc_files: parent.deputy.proc_files.inherit(),
                has_begun: false.into(),
                is_withheld: false.into(),
                is_leaving: false.into(),
                heeded: Default::default(),
                kept: Default::default(),
                waiting: Waiting::new(parent.deputy.waiting.set()),
                calls: 0.into(),
            })
        };
        let (pid, node) = (deputy.pid, deputy.host.node);
        let thread = Arc::new(DeputyThread::new(child, deputy, place, slot));
        lock(&self.job.threads).insert(child, Arc::clone(&thread));
        self.adopt(child, pid, Some(thread));
        if !is_thread {
            self.job.mapped.inherit(parent.deputy.pid, child);
            self.journal_birth(child, parent.deputy.pid, node);
        }
        Ok(())
    }

    fn journal_birth(&self, child: i32, parent: i32, node: u32) {
        let parent = self.tracees.get(&parent).map_or(parent, |t| t.pid);
        self.job.accounts.born(child, parent);
        self.job.journal.born(child, Some(parent), node);
    }

    /// First stop of a child whose parent's event has been seen.
    fn start_newborn(&mut self, child: i32) -> Result<()> {
        if let Some(thread) = self.tracees.get(&child).and_then(|t| t.thread.clone()) {
            let mut regs = ptrace::registers(child)?;
            // Its lane may have posted the first call already.
            point_at_slot(&mut regs, thread.place.address, thread.slot_address);
            ptrace::set_registers(child, &regs)?;
            self.newborn_signals(child, thread.deputy.pid)?;
        }
        ptrace::resume(child, 0)
    }

    /// PTRACE_EVENT_STOP: birth, group-stop, its end, or our own interruption.
    fn stop(&mut self, tid: i32, signal: i32) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            self.early.insert(tid);
            return Ok(());
        };
        if signal != libc::SIGTRAP {
            let first = !std::mem::replace(&mut tracee.stopped, true);
            if let Some(thread) = &tracee.thread {
                thread.is_stopped.store(true, Ordering::SeqCst);
                let pid = tracee.pid;
                if first && pid == tid {
                    thread.deputy.host.tell(&ToHost::Freeze { pid });
                }
            } else {
                unfinished::keep_endless(tid)?;
            }
            return ptrace::listen(tid);
        }
        let was_stopped = std::mem::replace(&mut tracee.stopped, false);
        if let Some(thread) = &tracee.thread {
            thread.is_stopped.store(false, Ordering::SeqCst);
            let pid = tracee.pid;
            if was_stopped && pid == tid {
                thread.deputy.host.tell(&ToHost::Thaw { pid });
            }
        }
        self.go_on(tid)
    }

    /// Resumes a stopped thread after what was asked for its next stop.
    fn go_on(&mut self, tid: i32) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return ptrace::resume(tid, 0);
        };
        if std::mem::take(&mut tracee.newborn) {
            // Its lane may have had an order for it before; the stop for that
            // and the one of its birth can be one and the same.
            let is_ordered = tracee.interrupt.is_some() || tracee.ending.is_some();
            self.start_newborn(tid)?;
            return if is_ordered {
                ptrace::interrupt(tid)
            } else {
                Ok(())
            };
        }
        self.mind_signals(tid)?;
        self.relax(tid)?;
        let unfinished = self.shortenings.end(tid)?;
        if self.hold_still(tid, unfinished)? {
            return Ok(());
        }
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return ptrace::resume(tid, 0);
        };
        let (interrupt, ending) = (tracee.interrupt.take(), tracee.ending.take());
        let Some(thread) = tracee.thread.clone() else {
            return self.shortenings.resume(tid, unfinished);
        };
        if let Some(ending) = ending {
            return self.end_at_stop(tid, &thread, ending);
        }
        match interrupt {
            Some(request) if thread.is_executing(request) => {
                Self::interrupt_call(tid, &thread)?;
            }
            // Stopped for something that the guest does not see.
            _ => {
                let mut regs = ptrace::registers(tid)?;
                let offset = regs.rip.wrapping_sub(thread.place.address);
                if offset == stub::calling_offset() && was_cut(tid, &regs) {
                    regs.rip -= 2;
                    regs.rax = regs.orig_rax;
                    regs.orig_rax = u64::MAX;
                    ptrace::set_registers(tid, &regs)?;
                }
            }
        }
        ptrace::resume(tid, 0)
    }

    /// Ends the call under way in a deputy's stopped thread without effect, if
    /// that can be done: a restart code of the kernel is its result.
    fn interrupt_call(tid: i32, thread: &DeputyThread) -> Result<()> {
        let mut regs = ptrace::registers(tid)?;
        let request = thread.place.window.request(thread.slot_index);
        let offset = regs.rip.wrapping_sub(thread.place.address);
        if offset == stub::calling_offset() {
            let result = regs.rax as i64;
            if (ERESTART_RESTARTBLOCK..=ERESTARTSYS).contains(&result) {
                // There is no restart block on the other node.
                if result == ERESTART_RESTARTBLOCK {
                    regs.rax = ERESTARTNOHAND as u64;
                }
                regs.orig_rax = u64::MAX;
                return ptrace::set_registers(tid, &regs);
            }
            if was_cut(tid, &regs) {
                regs.rax = ERESTARTNOINTR as u64;
                regs.orig_rax = u64::MAX;
                return ptrace::set_registers(tid, &regs);
            }
        } else if stub::has_executed_nothing(offset, [regs.r12, regs.rbx, regs.r13], request) {
            // It never will: the signal has come before the call, which the kernel there always
            // does again.
            regs.rip = thread.place.address;
            regs.r13 = u64::from(request);
            regs.orig_rax = u64::MAX;
            ptrace::set_registers(tid, &regs)?;
            thread.finish(ERESTARTNOINTR);
        }
        // Else its call is over, and the answer on its way.
        Ok(())
    }

    /// A signal that was kept while its process moved is sent again by us: it gets the details that it
    /// came with.
    fn give_kept_details(&mut self, tid: i32, signal: i32) -> Result<()> {
        let Some(tracee) = self
            .tracees
            .get(&tid)
            .filter(|_| !self.kept_details.is_empty())
        else {
            return Ok(());
        };
        let info = ptrace::signal_info(tid)?;
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&info[at..at + 4]);
            i32::from_ne_bytes(bytes)
        };
        // si_code and si_pid of kill(2).
        let is_ours = (number(8), number(16)) == (0, std::process::id() as i32);
        match self.kept_details.remove(&(tracee.pid, signal)) {
            Some(kept) if is_ours => ptrace::set_signal_info(tid, &kept),
            _ => Ok(()),
        }
    }

    /// A process at home is about to hear of the end of a child, which may have been elsewhere.
    fn child_details(&self, tid: i32) -> Result<()> {
        let mut info = ptrace::signal_info(tid)?;
        match self.job.accounts.add_to_details(&mut info) {
            true => ptrace::set_signal_info(tid, &info),
            false => Ok(()),
        }
    }

    /// About to receive a signal.
    fn signal(&mut self, tid: i32, signal: i32) -> Result<()> {
        if self.counting.remove(&tid) && signal == libc::SIGTRAP {
            return self.has_asked(tid);
        }
        if signal == libc::SIGTRAP && self.shortenings.stopped(tid)? {
            return Ok(());
        }
        self.shortenings.signalled(tid)?;
        self.give_kept_details(tid, signal)?;
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return ptrace::resume(tid, signal);
        };
        let Some(thread) = &tracee.thread else {
            if signal == libc::SIGCHLD {
                self.child_details(tid)?;
            }
            return ptrace::resume(tid, signal);
        };
        if let Some(expected) = self.expected.get_mut(&tracee.pid) {
            if signal == libc::SIGSTOP || expected.recalled() {
                expected.keep(signal);
                let info = ptrace::signal_info(tid)?;
                self.kept_details.insert((tracee.pid, signal), info);
                return ptrace::resume(tid, 0);
            }
            expected.continued_by(signal);
        }
        let mut info = ptrace::signal_info(tid)?;
        self.job.accounts.add_to_details(&mut info);
        let own = tracee.own_signal.take_if(|own| *own == signal).is_some();
        if own || signal == libc::SIGSTOP || is_own_fault(signal, &info) {
            return ptrace::resume(tid, signal);
        }
        if thread.deputy.waiting.has(signal) {
            // This thread does not block it yet. Blocked, it waits again.
            let mask = ptrace::signal_mask(tid)? | thread.deputy.waiting.set();
            ptrace::set_signal_mask(tid, mask)?;
            return ptrace::resume(tid, signal);
        }
        // A process-directed signal goes to the leader if that is alive.
        const SI_TKILL: i32 = -6;
        let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
        let target = if code == SI_TKILL || tid != tracee.pid {
            tid
        } else {
            0
        };
        let pid = tracee.pid;
        self.job.tell_signal(&thread.deputy, |seq| ToHost::Signal {
            pid,
            tid: target,
            seq,
            info,
        });
        ptrace::resume(tid, 0)
    }

    fn obey(&mut self, order: Order) {
        tracing::trace!("{order:?}");
        let result = match order {
            Order::End { pid, .. } if !self.is_deputy(pid) => {
                tracing::debug!("an order about process {pid}, which has no body");
                Ok(())
            }
            Order::Said { host, message } => self.heard(&host, message),
            Order::Interrupt { tid, request } => self.interrupt(tid, request),
            Order::End { pid, wait_status } => self.end(pid, wait_status),
            Order::EndThread { tid } => self.end_thread(tid),
            Order::FileChanges { pid } if self.is_deputy(pid) => {
                let reason = "somebody writes a file that it has mapped";
                self.expect_home(pid, reason.to_owned(), false)
            }
            Order::FileChanges { pid } => {
                self.job.mapped.give_up(pid);
                Ok(())
            }
            Order::Move { pid, all, to, done } => {
                self.move_asked(pid, all, &to, &done);
                Ok(())
            }
            Order::Save { pid, done } => {
                self.save(pid, done);
                Ok(())
            }
            Order::List { done } => {
                // Fails if the tool is gone.
                let _ = done.send(self.seen());
                Ok(())
            }
            Order::HoldSignals { pid } => {
                self.hold_signals(pid);
                Ok(())
            }
            Order::Return(returned) => self.left_host(*returned),
            Order::Arrived { arrival, result } => {
                self.arrived(&arrival, &result);
                Ok(())
            }
            Order::HostLost { host, reason } => {
                self.host_lost(&host, &reason);
                Ok(())
            }
        };
        if let Err(error) = result {
            tracing::debug!("order not carried out, its process is gone: {error}");
        }
    }

    /// Whether `pid` is a deputy of ours: what a host says is input.
    fn is_deputy(&self, pid: i32) -> bool {
        self.tracees
            .get(&pid)
            .is_some_and(|t| t.pid == pid && t.thread.is_some())
    }

    fn interrupt(&mut self, tid: i32, request: u64) -> Result<()> {
        let Some(tracee) = self.tracees.get_mut(&tid) else {
            return Ok(());
        };
        let Some(thread) = &tracee.thread else {
            return Ok(());
        };
        // If it has not arrived yet, its lane will ask again.
        thread.interrupt.store(request, Ordering::SeqCst);
        if !thread.is_executing(request) {
            return Ok(());
        }
        tracee.interrupt = Some(request);
        ptrace::interrupt(tid)
    }

    /// Puts a stop signal into the deputy, for its default action.
    fn stop_by(&mut self, pid: i32, signal: i32) -> Result<()> {
        if ![libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].contains(&signal) {
            return Err(std::io::Error::from_raw_os_error(libc::EINVAL));
        }
        let Some(tracee) = self.tracees.get_mut(&pid) else {
            return Ok(());
        };
        // At home every signal is the process's own.
        tracee.own_signal = tracee.thread.is_some().then_some(signal);
        ptrace::tgkill(pid, pid, signal)
    }

    /// Writes to the standard error of `pid`.
    fn message(&self, pid: i32, text: &str) {
        self.job.message(pid, text);
    }
}

/// Whether a deputy's thread was stopped in a call that is to be made again from its start.
fn was_cut(tid: i32, regs: &ptrace::Registers) -> bool {
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    cut::was_cut(tid, regs.orig_rax as i64, &args, regs.rax as i64)
}

/// Tracing options of a process that runs at home.
fn home_options(job: &Job) -> i32 {
    if job.journal.keeps_statistics() || job.setup.best {
        HOME_OPTIONS | options::EXIT
    } else {
        HOME_OPTIONS
    }
}

/// Process that thread `tid` belongs to.
fn process_of(tid: i32) -> i32 {
    let status = sys::proc_text::read(format!("/proc/{tid}/status")).unwrap_or_default();
    status_field(&status, "Tgid:")
        .and_then(|pid| pid.parse().ok())
        .unwrap_or(tid)
}

/// Whether the deputy itself has caused this signal: a fault in the stub.
fn is_own_fault(signal: i32, info: &ptrace::SignalInfo) -> bool {
    let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
    matches!(
        signal,
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP
    ) && code > 0
}
