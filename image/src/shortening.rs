//! Traced threads that make the rest of an interrupted call.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use sys::ptrace::{self, Registers};

use crate::cut::was_cut;
use crate::seen::Seen;
use crate::socket_limit::{Limited, Socket};
use crate::unfinished::{
    ERESTART_RESTARTBLOCK, ERESTARTNOINTR, FOREVER, RESTARTS, Rest, Shortened, Unfinished,
    arguments, from_its_arguments, is_about_to_call, keep_endless, memory_of, now_ns,
    return_from_call, says_how_long, set_arguments, shorten, stand_before_write,
};

/// For a call that waits as long as its socket says: the socket with what is left.
fn limit_socket(tid: i32, unfinished: &Unfinished, args: &[u64; 6]) -> Option<Limited> {
    let Rest::Until(deadline_ns) = unfinished.rest else {
        return None;
    };
    if deadline_ns == FOREVER {
        return None;
    }
    if says_how_long(unfinished.nr, args) {
        return None;
    }
    let socket = Socket::of(tid, unfinished.nr, args[0])?;
    let left = Duration::from_nanos(deadline_ns.saturating_sub(now_ns()));
    Limited::to(socket, left)
}

/// Whether the call that a thread has stopped in by our interruption would not have come back yet.
fn is_ended_by_us(tid: i32, regs: &Registers) -> bool {
    let (nr, result) = (regs.orig_rax as i64, regs.rax as i64);
    // Some calls end for a mere interruption. No handler has run, else the thread would stand at it.
    let is_interrupted = nr >= 0 && result == -i64::from(libc::EINTR);
    is_interrupted || was_cut(tid, nr, &arguments(regs), result)
}

/// A call that is made as it was.
fn whole(args: [u64; 6]) -> Shortened {
    Shortened {
        args,
        memory: None,
        done: 0,
    }
}

/// Traced threads that make an interrupted call again, in shortened form.
pub struct Shortenings {
    running: HashMap<i32, Running>,
    /// Waits that were over, as threads stood still at their end: an interruption may have ended them.
    interrupted: HashMap<i32, Seen>,
    /// Whether a call is made here, or waits here for its result only: then it
    /// is shortened elsewhere, where its mask is minded too, and the thread
    /// blocks all signals until it returns.
    is_made_here: fn(u32) -> bool,
}

struct Running {
    unfinished: Unfinished,
    /// The rest of the wait is the limit of its socket.
    limited: Option<Limited>,
    /// Arguments that the program gave.
    own: [u64; 6],
    /// Signals that the program blocks, while all are blocked since the call with
    /// a mask of its own has not begun.
    mask: Option<u64>,
    /// Done before.
    done: u64,
    /// In the call, as far as its stops have told.
    inside: bool,
}

impl Shortenings {
    /// Of a node on which these calls are executed.
    pub fn new(is_made_here: fn(u32) -> bool) -> Shortenings {
        Shortenings {
            running: HashMap::new(),
            interrupted: HashMap::new(),
            is_made_here,
        }
    }

    /// Lets stopped thread `tid` run on, which is about to make the rest of
    /// this call, if there is one.
    pub fn resume(&mut self, tid: i32, unfinished: Option<Unfinished>) -> io::Result<()> {
        let Some(unfinished) = unfinished else {
            return ptrace::resume(tid, 0);
        };
        let mut regs = ptrace::registers(tid)?;
        let own = arguments(&regs);
        let is_here = (self.is_made_here)(unfinished.nr);
        let is_changed = is_here || unfinished.mask.is_some();
        if !is_changed || !is_about_to_call(&regs, unfinished.nr) {
            return ptrace::resume(tid, 0);
        }
        let limited = limit_socket(tid, &unfinished, &own).filter(|_| is_here);
        let shortened = match unfinished.rest {
            _ if limited.is_some() || !is_here => Some(whole(own)),
            Rest::Until(FOREVER) => Some(whole(own)),
            _ => shorten(&unfinished, &own, regs.rsp, now_ns(), &memory_of(tid)),
        };
        let Some(shortened) = shortened.filter(|shortened| shortened.put(tid)) else {
            if let Rest::Written(done) = unfinished.rest {
                return_from_call(&mut regs, done);
                ptrace::set_registers(tid, &regs)?;
            }
            return ptrace::resume(tid, 0);
        };
        set_arguments(&mut regs, &shortened.args);
        from_its_arguments(&mut regs);
        ptrace::set_registers(tid, &regs)?;
        let mut mask = None;
        if unfinished.mask.is_some() {
            mask = Some(ptrace::signal_mask(tid)?);
            // Whatever comes now has come in the call.
            ptrace::set_signal_mask(tid, u64::MAX)?;
        }
        let running = Running {
            unfinished,
            limited,
            own,
            mask,
            done: shortened.done,
            inside: false,
        };
        self.running.insert(tid, running);
        ptrace::resume_to_call_end(tid)
    }

    /// Lets a thread run on that was stopped for something else.
    pub fn go_on(&self, tid: i32) -> io::Result<()> {
        match self.running.contains_key(&tid) {
            true => ptrace::resume_to_call_end(tid),
            false => ptrace::resume(tid, 0),
        }
    }

    /// Thread `tid` has stopped by SIGTRAP. Returns whether that was for its
    /// shortened call: then it runs again.
    pub fn stopped(&mut self, tid: i32) -> io::Result<bool> {
        let info = ptrace::signal_info(tid)?;
        let code = i32::from_ne_bytes([info[8], info[9], info[10], info[11]]);
        if code != libc::SIGTRAP {
            return Ok(false);
        }
        let Some(running) = self.running.get_mut(&tid) else {
            // A step of a call that is not shortened any more; no signal has this code.
            ptrace::resume(tid, 0)?;
            return Ok(true);
        };
        if !std::mem::replace(&mut running.inside, true) {
            if (self.is_made_here)(running.unfinished.nr)
                && let Some(mask) = running.mask.take()
            {
                // From here on it is the call that blocks signals.
                ptrace::set_signal_mask(tid, mask)?;
            }
            ptrace::resume_to_call_end(tid)?;
            return Ok(true);
        }
        let mut regs = ptrace::registers(tid)?;
        if RESTARTS.contains(&(regs.rax as i64)) {
            // Interrupted: it is made once more, or a stop that is due tells.
            running.inside = false;
            if regs.rax as i64 == ERESTART_RESTARTBLOCK {
                let (rest, own) = (&running.unfinished, running.own);
                let shortened = match rest.rest {
                    _ if running.limited.is_some() => Some(whole(own)),
                    Rest::Until(FOREVER) => Some(whole(own)),
                    _ => shorten(rest, &own, regs.rsp, now_ns(), &memory_of(tid)),
                };
                if let Some(shortened) = shortened.filter(|shortened| shortened.put(tid)) {
                    set_arguments(&mut regs, &shortened.args);
                    from_its_arguments(&mut regs);
                    ptrace::set_registers(tid, &regs)?;
                }
            }
            ptrace::resume_to_call_end(tid)?;
            return Ok(true);
        }
        let wait = running.unfinished;
        self.end(tid)?;
        let seen = Seen::until_now(tid, wait);
        self.interrupted.extend(seen.map(|seen| (tid, seen)));
        ptrace::resume(tid, 0)?;
        Ok(true)
    }

    /// Gives a stopped thread its own arguments back: the call has returned, or
    /// was interrupted; then what is left of it is returned.
    pub fn end(&mut self, tid: i32) -> io::Result<Option<Unfinished>> {
        let Some(running) = self.running.remove(&tid) else {
            return Ok(None);
        };
        drop(running.limited);
        if let Some(mask) = running.mask {
            ptrace::set_signal_mask(tid, mask)?;
        }
        let mut regs = ptrace::registers(tid)?;
        set_arguments(&mut regs, &running.own);
        let is_over = running.inside && !RESTARTS.contains(&(regs.rax as i64));
        if is_over {
            regs.rax = Shortened::whole(running.done, regs.rax as i64) as u64;
        }
        ptrace::set_registers(tid, &regs)?;
        Ok((!is_over).then_some(running.unfinished))
    }

    /// A thread is about to receive a signal, which ends a write of which a part
    /// is written.
    pub fn signalled(&mut self, tid: i32) -> io::Result<()> {
        if let Some(Unfinished {
            rest: Rest::Written(done),
            ..
        }) = self.end(tid)?
        {
            let mut regs = ptrace::registers(tid)?;
            regs.rax = done;
            regs.orig_rax = u64::MAX;
            ptrace::set_registers(tid, &regs)?;
        }
        Ok(())
    }

    /// What is left of the call that a thread stopped in by our interruption,
    /// as far as registers tell. It stands before the call then.
    pub fn interrupted(&mut self, tid: i32) -> io::Result<Option<Unfinished>> {
        let mut unfinished = self.end(tid)?;
        let mut regs = ptrace::registers(tid)?;
        if let Some(write) = stand_before_write(tid, &mut regs) {
            ptrace::set_registers(tid, &regs)?;
            unfinished = Some(write);
        } else if is_ended_by_us(tid, &regs) {
            let seen = self.interrupted.remove(&tid);
            unfinished = unfinished.or(seen.and_then(|seen| seen.if_of(tid)));
            regs.rax = ERESTARTNOINTR as u64;
            ptrace::set_registers(tid, &regs)?;
        } else {
            keep_endless(tid)?;
        }
        Ok(unfinished)
    }

    /// The thread is gone.
    pub fn forget(&mut self, tid: i32) {
        self.running.remove(&tid);
        self.interrupted.remove(&tid);
    }
}
