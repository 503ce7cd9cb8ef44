//! Files that guests have mapped, and those of their programs: kept open as long as one of them may
//! have them mapped, so that a host can fetch them and a process that comes home finds them again,
//! also if they have no name any more.
//!
//! A host maps a copy, so the file must not change while a guest has it mapped. A read lease tells:
//! whoever wants to write the file waits in the kernel until every guest that may have it mapped has
//! come home, where it maps the file itself. A file that somebody has open for writing is mapped at
//! home from the start. Where there is no lease to have (files of other users, some file systems), a
//! guest sees the file as it was when it was mapped.
//!
//! Home is not told when a guest unmaps a file, and a host may describe what no guest has mapped, so
//! the guests' own limits (open files, vm.max_map_count) do not bound how many files are kept. They
//! are counted: beyond [`FILES_MAX`] a file that is not kept already is mapped at home. Those of
//! programs are kept in any case ([`Mapped::offer`]): each process has those of one program, within
//! what the kernel allows it of mappings, until it ends or executes another. A file is kept for
//! processes of the job only, so what is remembered with it is bounded by their number.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use image::Image;
use image::files::{Digests, FileIdentity, Mappable, device_of};
use nix::fcntl::{FcntlArg, fcntl};
use sys::lease;
use sys::limits;

use crate::job::{Job, Order, lock};

/// Most files that are kept for guests' mappings: as many as the kernel allows one process of
/// mappings by default (vm.max_map_count).
const FILES_MAX: u64 = 64 * 1024;
/// Nor more than this part of the files that we may have open: lanes need some too.
const FILES_PART: u64 = 4;
/// Longest time that a call of a guest waits for processes that have to come home before it.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How often such a call looks whether it is to be interrupted.
const TICK: Duration = Duration::from_millis(5);

/// Why a file is not kept.
const FULL: &str = "too many other files are or were mapped";

/// A file of this node.
type Inode = (u64, u64);

struct Kept {
    file: Arc<File>,
    digest: [u8; 32],
    leased: bool,
    /// Somebody wants to write it.
    breaking: bool,
    /// Processes that may have it mapped.
    by: BTreeSet<i32>,
}

impl Kept {
    fn give_back(&self) {
        if self.leased
            && let Err(error) = lease::give_back(self.file.as_fd())
        {
            tracing::debug!("give a lease back: {error}");
        }
    }
}

/// All of a job.
pub(crate) struct Mapped {
    kept: Mutex<HashMap<Inode, Kept>>,
    changed: Condvar,
    /// How many guests may add to.
    files_max: u64,
}

/// How a file is to be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// MAP_SHARED.
    pub(crate) shared: bool,
    /// PROT_WRITE.
    pub(crate) written: bool,
    /// A copy of what it holds now will do, since the process cannot go home.
    pub(crate) anyway: bool,
    /// PROT_EXEC.
    pub(crate) executed: bool,
}

/// Whether a file stays as it is.
enum Hold {
    /// Or those who have it mapped are told before.
    Leased,
    /// Nobody can tell.
    Unknown,
    /// Somebody has it open for writing.
    Written,
}

impl Mapped {
    /// None yet; guests may add up to `files_max`.
    pub(crate) fn at_most(files_max: u64) -> Mapped {
        Mapped {
            kept: Mutex::default(),
            changed: Condvar::new(),
            files_max,
        }
    }

    /// None yet; guests may add as many as our own limits allow.
    pub(crate) fn within_limits() -> Mapped {
        let limit = limits::get(0, libc::RLIMIT_NOFILE).map_or(0, |limit| limit.soft);
        Mapped::at_most(FILES_MAX.min(limit / FILES_PART))
    }

    /// Whether file `inode` is one too many.
    fn is_full(&self, kept: &HashMap<Inode, Kept>, inode: Inode) -> bool {
        kept.len() as u64 >= self.files_max && !kept.contains_key(&inode)
    }

    /// What mmap(2) of `file`, an open file of process `pid`, is to do: the errno as the kernel
    /// gives it, else whether the host can map a copy.
    pub(crate) fn describe(
        &self,
        job: &Arc<Job>,
        pid: i32,
        file: &File,
        wish: Wish,
    ) -> Result<Mappable, i32> {
        let Wish {
            shared,
            written,
            anyway,
            executed,
        } = wish;
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(libc::ENODEV);
        let home = |what: &str| Ok(Mappable::AtHome(format!("mmap of {what}")));
        let flags = fcntl(file, FcntlArg::F_GETFL).map_err(|errno| errno as i32)?;
        if flags & libc::O_PATH != 0 {
            return Err(libc::EBADF);
        }
        // EACCES: not open for reading, or shared, written, and not open for both. Mode 3 is open
        // for neither.
        let mode = flags & libc::O_ACCMODE;
        if !matches!(mode, libc::O_RDONLY | libc::O_RDWR)
            || shared && written && mode != libc::O_RDWR
        {
            return Err(libc::EACCES);
        }
        let meta = file.metadata().map_err(errno)?;
        let kind = meta.mode() & libc::S_IFMT;
        if executed && ![libc::S_IFCHR, libc::S_IFBLK, libc::S_IFSOCK].contains(&kind) {
            // EPERM: a file system from which nothing is executed.
            sys::executable::try_map(file.as_fd()).map_err(errno)?;
        }
        match kind {
            libc::S_IFREG => {}
            libc::S_IFCHR | libc::S_IFBLK => return home("a device"),
            // TCP takes it, for what it receives without a copy.
            libc::S_IFSOCK => return home("a socket"),
            _ => return Err(libc::ENODEV),
        }
        if shared && written {
            return home("a file, shared and writable");
        }
        if shared && mode == libc::O_RDWR {
            return home("a file that is open for writing, shared");
        }
        if meta.len() > image::files::FILE_BYTES_MAX {
            return home("a file over 1 GiB");
        }
        // An open file of our own: not the guest's, which would stay open with its locks, and not
        // for writing, so that it may be executed.
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let Ok(own) = File::options().read(true).custom_flags(flags).open(&link) else {
            return home("a file that cannot be opened again");
        };
        let path = std::fs::read_link(link).map_err(errno)?;
        let identity = FileIdentity {
            path: path.to_string_lossy().into_owned(),
            device: device_of(&meta),
            inode: meta.ino(),
            digest: [0; 32],
            bytes: 0,
        };
        match self.hold(job, pid, Arc::new(own), anyway) {
            Ok((digest, bytes)) => Ok(Mappable::Copied(FileIdentity {
                digest,
                bytes,
                ..identity
            })),
            Err(why) => Ok(Mappable::AtHome(format!("mmap of a file: {why}"))),
        }
    }

    /// Keeps `file` for process `pid`, with its digest and length; `anyway`: also
    /// one that is being written.
    ///
    /// # Errors
    /// In words, why it cannot be mapped on a host.
    fn hold(
        &self,
        job: &Arc<Job>,
        pid: i32,
        file: Arc<File>,
        anyway: bool,
    ) -> Result<([u8; 32], u64), &'static str> {
        let watcher = job.leases.watcher(job);
        let meta = file.metadata().map_err(|_| "it is gone")?;
        let inode = (meta.dev(), meta.ino());
        let mut kept = lock(&self.kept);
        if self.is_full(&kept, inode) {
            return Err(FULL);
        }
        let known = kept.get(&inode);
        let hold = match known {
            Some(known) if known.breaking => Hold::Written,
            Some(known) if known.leased => Hold::Leased,
            _ => watcher.map_or(Hold::Unknown, |watcher| take(&file, watcher)),
        };
        if let Hold::Written = hold
            && !anyway
        {
            return Err("somebody has it open for writing");
        }
        let known_file = known.filter(|known| known.leased).map(|k| &k.file);
        let file = known_file.cloned().unwrap_or(file);
        drop(kept);
        // Not under the lock: it reads the whole file.
        let (digest, bytes) = job
            .digests
            .of(&file)
            .map_err(|_| "it changes, or cannot be read")?;
        kept = lock(&self.kept);
        if self.is_full(&kept, inode) {
            // Its lease ends with its descriptor.
            return Err(FULL);
        }
        let leased = matches!(hold, Hold::Leased);
        let entry = kept.entry(inode).or_insert_with(|| Kept {
            file: Arc::clone(&file),
            digest,
            leased,
            breaking: false,
            by: BTreeSet::new(),
        });
        if entry.breaking && !anyway {
            return Err("somebody is about to write it");
        }
        if !entry.leased {
            (entry.file, entry.leased) = (file, leased);
        }
        entry.digest = digest;
        entry.by.insert(pid);
        Ok((digest, bytes))
    }

    /// Keeps the files of a program that process `pid` has just executed.
    pub(crate) fn offer(&self, pid: i32, image: &Image) {
        for identity in &image.files {
            let Ok(file) = File::open(&identity.path) else {
                continue;
            };
            let Ok(meta) = file.metadata() else { continue };
            let mut kept = lock(&self.kept);
            let entry = kept
                .entry((meta.dev(), meta.ino()))
                .or_insert_with(|| Kept {
                    file: Arc::new(file),
                    digest: identity.digest,
                    leased: false,
                    breaking: false,
                    by: BTreeSet::new(),
                });
            entry.digest = identity.digest;
            entry.by.insert(pid);
        }
    }

    /// Keeps the file `path` of a running process that is about to leave home.
    ///
    /// # Errors
    /// In words, why it cannot leave.
    pub(crate) fn hold_at(&self, job: &Arc<Job>, pid: i32, path: &str) -> io::Result<()> {
        let file = Arc::new(File::open(path)?);
        self.hold(job, pid, file, false)
            .map(drop)
            .map_err(io::Error::other)
    }

    /// A child has all mappings of its parent.
    pub(crate) fn inherit(&self, parent: i32, child: i32) {
        for kept in lock(&self.kept).values_mut() {
            if kept.by.contains(&parent) {
                kept.by.insert(child);
            }
        }
    }

    /// Process `pid` has no such mappings any more: it has ended, executed a program, or is at home.
    pub(crate) fn release_of(&self, pid: i32) {
        self.release(pid, |_| true);
    }

    /// Process `pid` cannot come home: nobody waits for it longer.
    pub(crate) fn give_up(&self, pid: i32) {
        self.release(pid, |kept| kept.breaking);
    }

    fn release(&self, pid: i32, is_meant: impl Fn(&Kept) -> bool) {
        lock(&self.kept).retain(|_, kept| {
            if is_meant(kept) {
                kept.by.remove(&pid);
            }
            let is_needed = !kept.by.is_empty();
            if !is_needed {
                kept.give_back();
            }
            is_needed
        });
        self.changed.notify_all();
    }

    /// Somebody wants to write the file behind our descriptor `fd` (`None`: it is not known which).
    pub(crate) fn broken(&self, job: &Job, fd: Option<RawFd>) {
        self.call_home(job, |kept| fd.is_none_or(|fd| kept.file.as_raw_fd() == fd));
    }

    /// Has the processes come home that may have one of those meant mapped.
    fn call_home(&self, job: &Job, is_meant: impl Fn(&Kept) -> bool) {
        let mut pids = BTreeSet::new();
        for kept in lock(&self.kept).values_mut().filter(|kept| kept.leased) {
            if is_meant(kept) {
                kept.breaking = true;
                pids.extend(&kept.by);
            }
        }
        for pid in pids {
            job.order(Order::FileChanges { pid });
        }
    }

    /// Waits until nothing is about to be written, or `interrupt` is the number of `request`.
    /// Whether there was anything to wait for.
    pub(crate) fn await_writers(&self, job: &Job, interrupt: &AtomicU64, request: u64) -> bool {
        // The signal that tells of it may still be on its way.
        self.call_home(job, |kept| {
            !kept.breaking && !lease::is_whole(kept.file.as_fd())
        });
        let waits = |kept: &mut HashMap<Inode, Kept>| kept.values().any(|kept| kept.breaking);
        let mut kept = lock(&self.kept);
        if !waits(&mut kept) {
            return false;
        }
        let mut rest = WAIT_MAX;
        while waits(&mut kept) && interrupt.load(Ordering::SeqCst) != request && !rest.is_zero() {
            let woken = self.changed.wait_timeout(kept, TICK);
            kept = woken.unwrap_or_else(PoisonError::into_inner).0;
            rest = rest.saturating_sub(TICK);
        }
        true
    }

    /// A file with this content, for the host of process `pid`, which may have it mapped.
    pub(crate) fn by_digest(&self, pid: i32, digest: &[u8; 32]) -> Option<Arc<File>> {
        let kept = lock(&self.kept);
        let is_meant = |kept: &&Kept| kept.digest == *digest && kept.by.contains(&pid);
        let found = kept.values().find(is_meant)?;
        Some(Arc::clone(&found.file))
    }

    /// The file that a mapping is of, if it is as it was.
    pub(crate) fn find(&self, wanted: &FileIdentity, digests: &Digests) -> Option<Arc<File>> {
        let kept = lock(&self.kept);
        let is_meant = |kept: &&Kept| {
            kept.digest == wanted.digest
                && kept.file.metadata().is_ok_and(|meta| {
                    meta.ino() == wanted.inode && device_of(&meta) == wanted.device
                })
        };
        let file = Arc::clone(&kept.values().find(is_meant)?.file);
        drop(kept);
        let found = digests.of(&file);
        let same = found.is_ok_and(|(digest, _)| digest == wanted.digest);
        same.then_some(file)
    }
}

fn take(file: &File, watcher: i32) -> Hold {
    match lease::take(file.as_fd(), watcher) {
        Ok(()) => Hold::Leased,
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Hold::Written,
        Err(_) => Hold::Unknown,
    }
}
