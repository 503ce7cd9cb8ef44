//! What is shipped: everything of a process that is not a kernel object at home.

use serde::{Deserialize, Serialize};

use crate::ImageError;
use crate::cpu_time::CpuTime;
use crate::cpu_timers::CpuTimers;
use crate::files::FileIdentity;
use crate::settings::{OfMemory, OfThread};
use crate::unfinished::Unfinished;

/// Version of the image's layout; another one is refused.
pub const VERSION: u32 = 8;
/// Most bytes an encoded image may have, its pages apart.
pub const IMAGE_BYTES_MAX: usize = 16 << 20;
/// Most bytes of pages that come with an image.
pub const PAGES_BYTES_MAX: u64 = 64 << 30;
/// Most threads of one process.
const THREADS_MAX: usize = 32 * 1024;
/// Most signals that wait for one process.
const PENDING_MAX: usize = 16 * 1024;
/// Most mappings: the kernel's own default, vm.max_map_count.
const MAPPINGS_MAX: usize = 65_530;
/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;

/// A process, without its pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// Layout, [`VERSION`].
    pub version: u32,
    /// Pid, the same at home and in the guest's namespace.
    pub pid: i32,
    /// Name as in /proc/PID/comm.
    pub comm: Vec<u8>,
    /// Where the parts of the address space are.
    pub mm: MmFields,
    /// Mappings, by address, without holes' neighbours merged.
    pub mappings: Vec<Mapping>,
    /// Files the mappings name.
    pub files: Vec<FileIdentity>,
    /// Signal dispositions that are not the default.
    pub actions: Vec<SignalAction>,
    /// Limits that act where the memory and the CPU time are used.
    pub limits: Vec<MemoryLimit>,
    /// Number of the departure of a process that was running before; 0: it has just
    /// executed a program. Until all of its memory has come it is kept where it
    /// comes from.
    pub departure: u64,
    /// Number of this way to a host: no other of the job has it.
    pub placement: u64,
    /// CPU time: on the way to a host, what it has used before; on the way home, what it has used
    /// on that host.
    pub spent: CpuTime,
    /// What the program has set of its memory.
    pub settings: OfMemory,
    /// Timers of its CPU time.
    pub cpu_timers: CpuTimers,
    /// On the way home: it has asked on that host what it has used, or may have.
    pub asks_cpu_time: bool,
    /// Threads; the leader first.
    pub threads: Vec<Thread>,
    /// Signals that wait at home until the body takes them: bit n-1 for signal n.
    pub held: u64,
    /// Signals that wait, oldest first.
    pub pending: Vec<PendingSignal>,
    /// Runs of pages that differ from what a fresh mapping would show, by
    /// address, each within one mapping. Their contents follow the image, in
    /// this order.
    pub pages: Vec<PageRun>,
    /// Runs of further pages, as `pages`, of private anonymous memory, whose
    /// contents come when the process runs already: [`crate::postcopy`].
    pub later: Vec<PageRun>,
}

/// Fields of `struct prctl_mm_map`, prctl(2) PR_SET_MM_MAP.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct MmFields {
    /// First byte of program text.
    pub start_code: u64,
    /// After the last byte of program text.
    pub end_code: u64,
    /// First byte of initialised data.
    pub start_data: u64,
    /// After the last byte of initialised data.
    pub end_data: u64,
    /// Where the heap begins.
    pub start_brk: u64,
    /// Where it ends now.
    pub brk: u64,
    /// Stack pointer at the start of the program.
    pub start_stack: u64,
    /// Argument strings, first byte.
    pub arg_start: u64,
    /// Argument strings, end.
    pub arg_end: u64,
    /// Environment strings, first byte.
    pub env_start: u64,
    /// Environment strings, end.
    pub env_end: u64,
}

/// One mapping.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// End address.
    pub end: u64,
    /// `PROT_*`.
    pub prot: i32,
    /// Grows downwards, as the stack does.
    pub grows_down: bool,
    /// MAP_SHARED: anonymous memory of this process alone, or a file that is
    /// only read.
    pub shared: bool,
    /// Advice given for it, `MADV_*` of madvise(2).
    pub advice: Vec<i32>,
    /// What it shows where no page was written.
    pub backing: Backing,
}

/// What is behind a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// Private mapping of [`Image::files`]`[file]` from `offset` bytes on.
    File {
        /// Index.
        file: u32,
        /// In bytes.
        offset: u64,
    },
    /// The kernel's own page of data for the vDSO.
    Vvar,
    /// The vDSO.
    Vdso,
}

/// Disposition of one signal: `struct sigaction` as the kernel has it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SignalAction {
    /// 1 to 64.
    pub signal: i32,
    /// Handler, flags, restorer, mask.
    pub action: [u64; 4],
}

/// A signal that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSignal {
    /// Thread it is for; 0: the process.
    pub tid: i32,
    /// `siginfo_t`.
    #[serde(with = "serde_bytes")]
    pub info: [u8; 128],
}

impl PendingSignal {
    /// Its number, as its details say.
    pub fn number(&self) -> i32 {
        let [a, b, c, d, ..] = self.info;
        i32::from_ne_bytes([a, b, c, d])
    }
}

/// One resource limit, getrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryLimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// In force.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// State of one thread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thread {
    /// Thread id, the same at home and in the guest's namespace.
    pub tid: i32,
    /// `struct user_regs_struct`, in its order.
    pub registers: [u64; 27],
    /// XSAVE area.
    #[serde(with = "serde_bytes")]
    pub xstate: Vec<u8>,
    /// Blocked signals.
    pub mask: u64,
    /// `stack_t` of sigaltstack(2): address, flags, size in bytes.
    pub altstack: [u64; 3],
    /// Address, length, signature of rseq(2); address 0: none.
    pub rseq: (u64, u32, u32),
    /// Head and length of the robust list, get_robust_list(2).
    pub robust_list: (u64, u64),
    /// Word cleared and woken when the thread ends, set_tid_address(2).
    pub clear_tid: u64,
    /// CPU time, as [`Image::spent`].
    pub spent: CpuTime,
    /// What the program has set of it.
    pub settings: OfThread,
    /// The wait in which it was interrupted.
    pub unfinished: Option<Unfinished>,
}

/// Consecutive pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRun {
    /// Address of the first.
    pub start: u64,
    /// How many.
    pub count: u64,
}

impl Image {
    /// Bytes of page contents that follow the image.
    pub fn page_bytes(&self) -> u64 {
        self.pages.iter().map(|run| run.count * PAGE_BYTES).sum()
    }

    /// Bytes of page contents that come when the process runs already.
    pub fn later_bytes(&self) -> u64 {
        self.later.iter().map(|run| run.count * PAGE_BYTES).sum()
    }

    /// Whether pages of this mapping come later.
    pub fn has_later(&self, m: &Mapping) -> bool {
        has_runs(&self.later, m)
    }

    /// Whether pages of this mapping come with the image.
    pub fn has_pages(&self, m: &Mapping) -> bool {
        has_runs(&self.pages, m)
    }

    /// Wire form.
    pub fn encode(&self) -> Result<Vec<u8>, ImageError> {
        bincode::serde::encode_to_vec(self, bincode::config::standard())
            .map_err(|e| ImageError::Refused(format!("cannot be encoded: {e}")))
    }

    /// Reads and checks the wire form; the bytes come from another machine.
    pub fn decode(bytes: &[u8]) -> Result<Image, ImageError> {
        let config = bincode::config::standard().with_limit::<IMAGE_BYTES_MAX>();
        let refuse = |why: String| ImageError::Refused(why);
        let (version, _): (u32, usize) = bincode::serde::decode_from_slice(bytes, config)
            .map_err(|e| refuse(format!("no version: {e}")))?;
        if version != VERSION {
            return Err(refuse(format!(
                "version {version}, this program has {VERSION}"
            )));
        }
        let (image, used): (Image, usize) = bincode::serde::decode_from_slice(bytes, config)
            .map_err(|e| refuse(format!("damaged: {e}")))?;
        if used != bytes.len() {
            return Err(refuse(format!("{} bytes too long", bytes.len() - used)));
        }
        image.check().map_err(refuse)?;
        Ok(image)
    }

    /// Invariants that the rebuilding relies on.
    fn check(&self) -> Result<(), String> {
        const TASK_END: u64 = 0x7fff_ffff_f000;
        if self.mappings.len() > MAPPINGS_MAX {
            return Err(format!("{} mappings", self.mappings.len()));
        }
        let mut last = 0;
        for m in &self.mappings {
            if m.start < last
                || m.end <= m.start
                || m.end > TASK_END
                || (m.start | m.end) % PAGE_BYTES != 0
            {
                return Err(format!(
                    "mapping {:x}-{:x} out of order or bounds",
                    m.start, m.end
                ));
            }
            if let Backing::File { file, .. } = m.backing
                && file as usize >= self.files.len()
            {
                return Err(format!(
                    "mapping {:x} names file {file} of {}",
                    m.start,
                    self.files.len()
                ));
            }
            let known = |advice: &i32| crate::capture::ADVICE.iter().any(|(_, a)| a == advice);
            if !m.advice.iter().all(known) {
                return Err(format!("mapping {:x} with unknown advice", m.start));
            }
            last = m.end;
        }
        self.check_runs(&self.pages, |m| {
            !matches!(m.backing, Backing::Vdso | Backing::Vvar)
        })?;
        self.check_runs(&self.later, crate::postcopy::hot::can_follow)?;
        if self.page_bytes().saturating_add(self.later_bytes()) > PAGES_BYTES_MAX {
            return Err(format!("{} bytes of pages", self.page_bytes()));
        }
        if self.pid <= 1 || self.threads.first().is_none_or(|t| t.tid != self.pid) {
            return Err("no leading thread, or a pid that no guest can have".into());
        }
        if self.threads.len() > THREADS_MAX || self.pending.len() > PENDING_MAX {
            return Err("too many threads or waiting signals".into());
        }
        let mut tids: Vec<i32> = self.threads.iter().map(|thread| thread.tid).collect();
        tids.sort_unstable();
        if tids[0] <= 1 || tids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("threads that no guest can have".into());
        }
        Ok(())
    }

    /// Pages are written with our rights into a body that is not confined yet:
    /// each must lie where the image itself has put memory.
    fn check_runs(
        &self,
        runs: &[PageRun],
        may_have: impl Fn(&Mapping) -> bool,
    ) -> Result<(), String> {
        let mut mappings = self.mappings.iter().peekable();
        let mut last = 0;
        for run in runs {
            let bytes = run.count.checked_mul(PAGE_BYTES);
            let end = bytes.and_then(|bytes| run.start.checked_add(bytes));
            let wrong = || format!("page run at {:x} out of order or bounds", run.start);
            let end = end.filter(|end| *end > run.start).ok_or_else(wrong)?;
            while mappings.next_if(|m| m.end <= run.start).is_some() {}
            let fits = mappings
                .peek()
                .is_some_and(|m| m.start <= run.start && end <= m.end && may_have(m));
            if !fits || run.start < last || run.start % PAGE_BYTES != 0 {
                return Err(wrong());
            }
            last = end;
        }
        Ok(())
    }
}

/// Runs are in order and within one mapping each.
fn has_runs(runs: &[PageRun], m: &Mapping) -> bool {
    let first = runs.partition_point(|run| run.start < m.start);
    runs.get(first).is_some_and(|run| run.start < m.end)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn image(pages: &[(u64, u64)]) -> Image {
        let mapping = |start: u64, end: u64, backing| Mapping {
            start,
            end,
            prot: 3,
            grows_down: false,
            shared: false,
            advice: Vec::new(),
            backing,
        };
        let thread = Thread {
            tid: 7,
            registers: [0; 27],
            xstate: vec![0; 512],
            mask: 0,
            altstack: [0; 3],
            rseq: (0, 0, 0),
            robust_list: (0, 0),
            clear_tid: 0,
            spent: CpuTime::default(),
            settings: OfThread::default(),
            unfinished: None,
        };
        Image {
            version: VERSION,
            pid: 7,
            comm: b"test".to_vec(),
            mm: MmFields::default(),
            mappings: vec![
                mapping(0x10_0000, 0x10_8000, Backing::Anonymous),
                mapping(0x10_8000, 0x11_0000, Backing::Anonymous),
                mapping(0x20_0000, 0x20_2000, Backing::Vdso),
            ],
            files: Vec::new(),
            actions: Vec::new(),
            limits: Vec::new(),
            departure: 0,
            placement: 0,
            spent: CpuTime::default(),
            settings: OfMemory::default(),
            cpu_timers: CpuTimers::default(),
            asks_cpu_time: false,
            threads: vec![thread],
            held: 0,
            pending: Vec::new(),
            pages: pages
                .iter()
                .map(|&(start, count)| PageRun { start, count })
                .collect(),
            later: Vec::new(),
        }
    }

    fn decoded(pages: &[(u64, u64)]) -> Result<Image, ImageError> {
        Image::decode(&image(pages).encode().expect("an image to encode"))
    }

    #[test]
    fn pages_lie_in_the_images_own_memory() {
        assert!(decoded(&[]).is_ok());
        assert!(decoded(&[(0x10_0000, 2), (0x10_2000, 6), (0x10_8000, 8)]).is_ok());
        for hostile in [
            &[(0x1_0000, 1)][..],              // the window
            &[(0x10_0000, 9)],                 // over two mappings
            &[(0x10_0800, 1)],                 // no page
            &[(0x10_1000, 1), (0x10_0000, 1)], // backwards
            &[(0x10_0000, 2), (0x10_1000, 1)], // twice
            &[(0x10_0000, 0)],
            &[(0x20_0000, 1)], // the vDSO
            &[(0x10_0000, 1 << 52)],
            &[(u64::MAX - 4095, 2)],
        ] {
            assert!(decoded(hostile).is_err(), "{hostile:x?}");
        }
    }

    #[test]
    fn pages_follow_only_where_they_can_be_missing() {
        let later = |start, count| {
            let mut image = image(&[]);
            image.later = vec![PageRun { start, count }];
            Image::decode(&image.encode().expect("an image to encode"))
        };
        assert!(later(0x10_1000, 2).is_ok());
        assert!(later(0x20_0000, 1).is_err());
        assert!(later(0x10_7000, 2).is_err());
    }

    #[test]
    fn no_damage_makes_decoding_panic() {
        let good = image(&[(0x10_0000, 2)])
            .encode()
            .expect("an image to encode");
        for length in 0..good.len() {
            assert!(Image::decode(&good[..length]).is_err());
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xfa, 0xfb, 0xfc, 0xfd, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                // Some damage cannot be told from another image.
                let _ = Image::decode(&bad);
            }
        }
    }
}
