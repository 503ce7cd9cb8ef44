//! CPU time that the job's processes have used on other nodes, which no kernel here has counted.
//!
//! It goes with a process that moves, and is added where a guest asks for the CPU time of its
//! children: wait4(2), waitid(2), getrusage(2), times(2), and SIGCHLD's details.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use abi::wire::WireCall;
use image::Image;
use image::capture::status_field;
use image::cpu_time::{self, CpuTime, Elsewhere, TICK_NS};
use sys::{ptrace, vm};

use crate::job::lock;

/// Where `siginfo_t` has the child's pid, and its CPU time in ticks.
const INFO_PID: usize = 16;
const INFO_TICKS: usize = 32;
/// Where `struct tms` has the children's time.
const TMS_CHILDREN: usize = 16;

/// The accounts of all processes of a job, by pid.
#[derive(Default)]
pub(crate) struct Accounts {
    of: Mutex<HashMap<i32, Account>>,
}

/// One process's.
#[derive(Default)]
struct Account {
    /// Who has made it.
    parent: i32,
    /// It, and its threads.
    own: Share,
    threads: HashMap<i32, Share>,
    /// Of its children that were waited for, and theirs.
    children: CpuTime,
    /// Nobody has waited for it yet, as far as is known.
    has_ended: bool,
    /// Its parent's SIGCHLD tells what it has used.
    is_told: bool,
    /// It has asked for CPU time on a host.
    asks: bool,
    /// At home it stops where it asks for CPU time.
    is_counted: bool,
}

/// CPU time of a process or thread.
#[derive(Default, Clone, Copy)]
struct Share {
    /// What the kernel here had counted when it left.
    home: CpuTime,
    /// What it has used on nodes that it has left.
    elsewhere: CpuTime,
}

impl Share {
    fn all(&self) -> CpuTime {
        self.home.plus(self.elsewhere)
    }
}

impl Account {
    /// As a child's: with its children.
    fn as_child(&self) -> CpuTime {
        self.own.elsewhere.plus(self.children)
    }

    /// What the image of a process that was away tells.
    fn add(&mut self, image: &Image) {
        self.own.elsewhere = self.own.elsewhere.plus(image.spent);
        self.asks |= image.asks_cpu_time;
        for thread in &image.threads {
            let share = self.threads.entry(thread.tid).or_default();
            share.elsewhere = share.elsewhere.plus(thread.spent);
        }
        self.threads
            .retain(|tid, _| image.threads.iter().any(|thread| thread.tid == *tid));
    }

    /// Writes into the image all that it has used.
    fn tell(&self, image: &mut Image) {
        image.spent = self.own.all();
        for thread in &mut image.threads {
            let share = self.threads.get(&thread.tid);
            thread.spent = share.map(Share::all).unwrap_or_default();
        }
    }
}

impl Accounts {
    /// A process is born.
    pub(crate) fn born(&self, child: i32, parent: i32) {
        let mut of = lock(&self.of);
        // Its pid has been another's, who was waited for.
        pass_to_parent(&mut of, child);
        let account = Account {
            parent,
            is_counted: of.get(&parent).is_some_and(|parent| parent.is_counted),
            ..Account::default()
        };
        of.insert(child, account);
    }

    /// A process leaves home; its image tells what the kernel here has counted.
    pub(crate) fn departs(&self, image: &mut Image) {
        let mut of = lock(&self.of);
        let account = of.entry(image.pid).or_default();
        account.own.home = image.spent;
        for thread in &image.threads {
            account.threads.entry(thread.tid).or_default().home = thread.spent;
        }
        account.tell(image);
    }

    /// The same right after an execve, of which only the caller is left.
    pub(crate) fn executed(&self, image: &mut Image) {
        let mut of = lock(&self.of);
        let account = of.entry(image.pid).or_default();
        account.own.home = image.spent;
        let mut only = account.threads.remove(&image.pid).unwrap_or_default();
        only.home = image
            .threads
            .first()
            .map_or(CpuTime::default(), |t| t.spent);
        account.threads = HashMap::from([(image.pid, only)]);
        account.tell(image);
    }

    /// A process goes on at home; its image tells what it has used on its host.
    pub(crate) fn came_home(&self, image: &Image) {
        lock(&self.of).entry(image.pid).or_default().add(image);
    }

    /// A process goes on on another host.
    pub(crate) fn passes_on(&self, image: &mut Image) {
        let mut of = lock(&self.of);
        let account = of.entry(image.pid).or_default();
        account.add(image);
        account.tell(image);
    }

    /// A body has ended that had used this.
    pub(crate) fn used(&self, pid: i32, used: CpuTime) {
        if let Some(account) = lock(&self.of).get_mut(&pid) {
            account.own.elsewhere = account.own.elsewhere.plus(used);
        }
    }

    /// A process has ended; who waits for it finds what it has used.
    pub(crate) fn ended(&self, pid: i32) {
        let mut of = lock(&self.of);
        settle(&mut of, pid);
        if let Some(account) = of.get_mut(&pid) {
            account.has_ended = true;
            if account.as_child() == CpuTime::default() {
                of.remove(&pid);
            }
        }
    }

    /// Whether process `pid`, which comes home with this image, is to stop there where it asks for CPU
    /// time, and does not yet: a program that has never asked cannot tell.
    pub(crate) fn is_to_count(&self, image: &Image) -> bool {
        let of = lock(&self.of);
        let account = of.get(&image.pid);
        let (asks, is_counted) = account.map_or((false, false), |a| (a.asks, a.is_counted));
        !is_counted && (asks || image.asks_cpu_time)
    }

    /// Process `pid` stops at home where it asks for CPU time, from now on.
    pub(crate) fn count(&self, pid: i32) {
        lock(&self.of).entry(pid).or_default().is_counted = true;
    }

    /// Whether it does.
    pub(crate) fn counts(&self, pid: i32) -> bool {
        lock(&self.of).get(&pid).is_some_and(|a| a.is_counted)
    }

    /// Adds to what thread `tid` of process `pid`, which runs at home, was told by the call at whose
    /// end it is stopped.
    pub(crate) fn add_to_result(&self, pid: i32, tid: i32) -> std::io::Result<()> {
        let regs = ptrace::registers(tid)?;
        let waited = match (regs.orig_rax as i64, regs.rax as i64) {
            (libc::SYS_wait4, child @ 1..) => Some((child as i32, false, regs.r10)),
            (libc::SYS_waitid, 0) => {
                let mut child = [0; 4];
                vm::read(tid, regs.rdx.wrapping_add(INFO_PID as u64), &mut child)?;
                let stays = regs.r10 as i32 & libc::WNOWAIT != 0;
                Some((i32::from_ne_bytes(child), stays, regs.r8))
            }
            _ => None,
        };
        if let Some((child, stays, usage)) = waited {
            let used = self.waited_for(pid, child, stays);
            return cpu_time::add_to_usage_at(tid, usage, used);
        }
        let elsewhere = {
            let mut of = lock(&self.of);
            settle(&mut of, pid);
            of.get(&pid).map_or(Elsewhere::default(), |account| {
                let thread = account.threads.get(&tid);
                Elsewhere {
                    process: account.own.elsewhere,
                    thread: thread.map_or(CpuTime::default(), |share| share.elsewhere),
                    children: account.children,
                    counted_before: account.own.home,
                }
            })
        };
        cpu_time::add_to_result(tid, &regs, &elsewhere)
    }

    /// What process `pid`, or this thread of it, has used on nodes that it has left, and the children that
    /// the process has waited for, in ticks: user and system, twice.
    pub(crate) fn in_ticks(&self, pid: i32, thread: Option<i32>) -> [u64; 4] {
        let of = lock(&self.of);
        let Some(account) = of.get(&pid) else {
            return [0; 4];
        };
        let own = match thread {
            Some(tid) => account.threads.get(&tid).copied().unwrap_or_default(),
            None => account.own,
        };
        let (own, children) = (own.elsewhere, account.children);
        let all = [
            own.user_ns,
            own.system_ns,
            children.user_ns,
            children.system_ns,
        ];
        all.map(|ns| ns / TICK_NS)
    }

    /// What process `pid` has used on nodes that it has left.
    pub(crate) fn elsewhere(&self, pid: i32) -> CpuTime {
        let of = lock(&self.of);
        of.get(&pid).map_or(CpuTime::default(), |a| a.own.elsewhere)
    }

    /// Adds to the details of a signal if it is a SIGCHLD, once. Returns whether that has changed them.
    pub(crate) fn add_to_details(&self, info: &mut [u8; 128]) -> bool {
        let word =
            |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        // From the kernel.
        if word(0) != libc::SIGCHLD || word(8) <= 0 {
            return false;
        }
        let mut of = lock(&self.of);
        let ended = of.get_mut(&word(INFO_PID)).filter(|a| a.has_ended);
        let Some(account) = ended.filter(|account| !account.is_told) else {
            return false;
        };
        account.is_told = true;
        let used = account.own.elsewhere;
        used.add_to_ticks(&mut info[INFO_TICKS..INFO_TICKS + 16]);
        used != CpuTime::default()
    }

    /// Adds to what a call of process `caller` has written to `data`.
    pub(crate) fn add_to(&self, caller: i32, call: &WireCall<'_>, result: i64, data: &mut [u8]) {
        let offset = |index: usize| call.offset(index);
        match i64::from(call.nr) {
            libc::SYS_wait4 if result > 0 => {
                let used = self.waited_for(caller, result as i32, false);
                add_to_usage(data, offset(3), used);
            }
            libc::SYS_waitid if result == 0 => {
                let pid = offset(2).and_then(|at| data.get(at + INFO_PID..)?.first_chunk::<4>());
                let Some(pid) = pid.map(|pid| i32::from_ne_bytes(*pid)) else {
                    return;
                };
                let stays = call.args[3] as i32 & libc::WNOWAIT != 0;
                let used = self.waited_for(caller, pid, stays);
                add_to_usage(data, offset(4), used);
            }
            libc::SYS_getrusage if result == 0 && call.args[0] as i32 == libc::RUSAGE_CHILDREN => {
                add_to_usage(data, offset(1), self.of_children(caller));
            }
            libc::SYS_times => {
                let children =
                    offset(0).and_then(|at| data.get_mut(at + TMS_CHILDREN..)?.get_mut(..16));
                if let Some(children) = children {
                    self.of_children(caller).add_to_ticks(children);
                }
            }
            _ => {}
        }
    }

    /// What `caller` learns of a child that it has waited for. Once it has ended that is the
    /// caller's, unless the child `stays` to be waited for.
    fn waited_for(&self, caller: i32, child: i32, stays: bool) -> CpuTime {
        let mut of = lock(&self.of);
        let Some(account) = of.get(&child) else {
            return CpuTime::default();
        };
        let used = account.as_child();
        if account.has_ended && !stays {
            of.remove(&child);
            let own = of.entry(caller).or_default();
            own.children = own.children.plus(used);
        }
        used
    }

    fn of_children(&self, pid: i32) -> CpuTime {
        let mut of = lock(&self.of);
        settle(&mut of, pid);
        of.get(&pid).map_or(CpuTime::default(), |a| a.children)
    }
}

fn add_to_usage(data: &mut [u8], at: Option<usize>, used: CpuTime) {
    if let Some(usage) = at.and_then(|at| data.get_mut(at..)) {
        used.add_to_rusage(usage);
    }
}

/// A parent at home waits without our hearing of it: its children are gone then. They are looked at when it
/// asks, and before it ends itself.
fn settle(of: &mut HashMap<i32, Account>, parent: i32) {
    let is_gone = |pid: &i32| !Path::new(&format!("/proc/{pid}")).exists();
    let is_ended_child = |account: &Account| account.has_ended && account.parent == parent;
    let ended = of.iter().filter(|(_, account)| is_ended_child(account));
    let gone: Vec<i32> = ended.map(|(pid, _)| *pid).filter(is_gone).collect();
    for pid in gone {
        pass_to_parent(of, pid);
    }
}

/// The account of a process that was waited for becomes its parent's.
fn pass_to_parent(of: &mut HashMap<i32, Account>, pid: i32) {
    let Some(account) = of.remove(&pid).filter(|account| account.has_ended) else {
        return;
    };
    if let Some(parent) = of.get_mut(&account.parent)
        && !ignores_children(account.parent)
    {
        parent.children = parent.children.plus(account.as_child());
    }
}

/// Whether nobody waits for a process's children: the kernel does not count them then.
fn ignores_children(pid: i32) -> bool {
    let status = sys::proc_text::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let ignored =
        status_field(&status, "SigIgn:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    ignored.unwrap_or(0) & 1 << (libc::SIGCHLD - 1) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const USED: CpuTime = CpuTime {
        user_ns: 70_000_000,
        system_ns: 20_000_000,
    };
    // Above what any kernel gives.
    const PARENT: i32 = 1 << 30;
    const CHILD: i32 = PARENT + 1;

    #[test]
    fn what_a_child_has_used_is_its_parents_when_it_was_waited_for() {
        let accounts = Accounts::default();
        accounts.born(PARENT, 1);
        accounts.born(CHILD, PARENT);
        accounts.used(CHILD, USED);
        assert_eq!(accounts.waited_for(PARENT, CHILD, false), USED);
        // It had only stopped.
        assert_eq!(accounts.of_children(PARENT), CpuTime::default());
        lock(&accounts.of).entry(CHILD).or_default().has_ended = true;
        assert_eq!(accounts.waited_for(PARENT, CHILD, true), USED);
        assert_eq!(accounts.waited_for(PARENT, CHILD, false), USED);
        assert_eq!(
            accounts.waited_for(PARENT, CHILD, false),
            CpuTime::default()
        );
        assert_eq!(accounts.of_children(PARENT), USED);
    }

    #[test]
    fn who_is_gone_was_waited_for() {
        let accounts = Accounts::default();
        accounts.born(PARENT, 1);
        accounts.born(CHILD, PARENT);
        accounts.used(CHILD, USED);
        accounts.ended(CHILD);
        assert_eq!(accounts.of_children(PARENT), USED);
        assert_eq!(accounts.elsewhere(CHILD), CpuTime::default());
    }

    #[test]
    fn nothing_is_kept_of_who_has_used_nothing() {
        let accounts = Accounts::default();
        accounts.born(CHILD, PARENT);
        accounts.ended(CHILD);
        accounts.used(CHILD, USED);
        assert!(lock(&accounts.of).is_empty());
    }

    #[test]
    fn details_of_a_child_have_its_time() {
        let accounts = Accounts::default();
        accounts.born(CHILD, PARENT);
        accounts.used(CHILD, USED);
        lock(&accounts.of).entry(CHILD).or_default().has_ended = true;
        let mut info = [0; 128];
        info[..4].copy_from_slice(&libc::SIGCHLD.to_ne_bytes());
        info[INFO_PID..INFO_PID + 4].copy_from_slice(&CHILD.to_ne_bytes());
        assert!(!accounts.add_to_details(&mut info));
        info[8] = 1;
        assert!(accounts.add_to_details(&mut info));
        assert_eq!((info[INFO_TICKS], info[INFO_TICKS + 8]), (7, 2));
        assert!(!accounts.add_to_details(&mut info));
    }
}
