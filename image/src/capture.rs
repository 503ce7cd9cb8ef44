//! Capture: reads a stopped process into an [`Image`].

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use sys::ptrace::{self, Registers};
use sys::vm;

use crate::files::{Digests, FileIdentity, device_of};
use crate::maps::{self, Line};
use crate::schema::{
    Backing, Image, MmFields, PAGE_BYTES, PAGES_BYTES_MAX, PageRun, SignalAction, Thread, VERSION,
};
use crate::{ImageError, proc_file};

/// Program header of an executable that has gained privileges, getauxval(3).
const AT_SECURE: u64 = 23;
const AT_NULL: u64 = 0;

/// Captures process `pid`, which is stopped by us right after an execve: one
/// thread, no handlers, nothing registered with the kernel yet.
///
/// Changes nothing in the process.
///
/// # Errors
/// [`ImageError::Stays`] with the reason why this program cannot run elsewhere.
pub fn after_exec(pid: i32, digests: &Digests) -> Result<Image, ImageError> {
    let step = |doing| ImageError::step(doing, pid);
    let status = proc_file(pid, "status").map_err(step("read the status"))?;
    let status = String::from_utf8_lossy(&status);
    refuse_foreign(pid, &status)?;
    let regs = ptrace::registers(pid).map_err(step("read the registers"))?;
    let lines = maps::read(pid).map_err(step("read the mappings"))?;
    let thread = Thread {
        tid: pid,
        registers: to_words(&regs),
        xstate: ptrace::xstate(pid).map_err(step("read the extended registers"))?,
        mask: ptrace::signal_mask(pid).map_err(step("read the signal mask"))?,
        altstack: [0; 3],
        rseq: (0, 0, 0),
        robust_list: (0, 0),
        clear_tid: 0,
    };
    let mut image = Image {
        version: VERSION,
        pid,
        comm: comm(pid).map_err(step("read the name"))?,
        mm: mm_fields(pid).map_err(step("read the memory layout"))?,
        mappings: Vec::new(),
        files: Vec::new(),
        actions: ignored_signals(&status),
        limits: crate::limits::of(pid).map_err(step("read the limits"))?,
        threads: vec![thread],
        pages: Vec::new(),
    };
    let mut mapped = Mapped {
        digests,
        page_map: maps::page_map(pid).map_err(step("open the page map"))?,
        last: None,
    };
    for line in &lines {
        add_mapping(&mut image, line, &mut mapped)?;
    }
    let bytes = image.page_bytes();
    if bytes > PAGES_BYTES_MAX {
        return Err(ImageError::Stays {
            pid,
            reason: format!("{} MiB would have to be moved", bytes >> 20),
        });
    }
    Ok(image)
}

/// What the mappings of one process are looked up in.
struct Mapped<'a> {
    digests: &'a Digests,
    page_map: File,
    /// The file of the last mapping that had one: a program is mapped in
    /// several parts one after the other.
    last: Option<FileIdentity>,
}

/// Programs that must stay: other ABIs, gained privileges, own filters.
fn refuse_foreign(pid: i32, status: &str) -> Result<(), ImageError> {
    let stays = |reason: &str| ImageError::Stays {
        pid,
        reason: reason.to_owned(),
    };
    let auxv =
        proc_file(pid, "auxv").map_err(ImageError::step("read the auxiliary vector", pid))?;
    let mut ended = false;
    for pair in auxv.chunks_exact(16) {
        let word = |at: usize| {
            pair[at..at + 8]
                .iter()
                .rev()
                .fold(0u64, |n, b| n << 8 | u64::from(*b))
        };
        match (word(0), word(8)) {
            (AT_NULL, _) => {
                ended = true;
                break;
            }
            (AT_SECURE, 1) => {
                return Err(stays(
                    "it runs with privileges gained from its file (setuid)",
                ));
            }
            _ => {}
        }
    }
    // A 32-bit auxiliary vector has no 64-bit end mark in the right place.
    let mut magic = [0u8; 5];
    let class = File::open(format!("/proc/{pid}/exe"))
        .and_then(|mut f| std::io::Read::read_exact(&mut f, &mut magic).map(|()| magic[4]));
    if !ended || matches!(class, Ok(1)) {
        return Err(stays("it is a 32-bit program"));
    }
    if status_field(status, "Seccomp:").is_some_and(|mode| mode != "0") {
        return Err(stays("it runs under a seccomp filter of its own"));
    }
    Ok(())
}

/// Value of a line of `/proc/PID/status`.
pub fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn comm(pid: i32) -> std::io::Result<Vec<u8>> {
    let mut comm = proc_file(pid, "comm")?;
    comm.pop_if(|last| *last == b'\n');
    Ok(comm)
}

/// From `/proc/PID/stat`, fields 26 to 28 and 45 to 51. Right after an execve
/// the heap is empty, so that its end is its start.
fn mm_fields(pid: i32) -> std::io::Result<MmFields> {
    let stat = proc_file(pid, "stat")?;
    let stat = String::from_utf8_lossy(&stat);
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = rest
        .split_whitespace()
        .skip(1)
        .map(|f| f.parse().unwrap_or(0))
        .collect();
    // `fields[0]` is field 4 of proc_pid_stat(5).
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    Ok(MmFields {
        start_code: field(26),
        end_code: field(27),
        start_data: field(45),
        end_data: field(46),
        start_brk: field(47),
        brk: field(47),
        start_stack: field(28),
        arg_start: field(48),
        arg_end: field(49),
        env_start: field(50),
        env_end: field(51),
    })
}

/// Ignored signals are all that execve leaves of the dispositions.
fn ignored_signals(status: &str) -> Vec<SignalAction> {
    const SIG_IGN: u64 = 1;
    let set = status_field(status, "SigIgn:")
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .unwrap_or(0);
    (1..=64)
        .filter(|signal| set >> (signal - 1) & 1 == 1)
        .map(|signal| SignalAction {
            signal,
            action: [SIG_IGN, 0, 0, 0],
        })
        .collect()
}

fn add_mapping(image: &mut Image, line: &Line, mapped: &mut Mapped) -> Result<(), ImageError> {
    let pid = image.pid;
    let stays = |reason: String| ImageError::Stays { pid, reason };
    let backing = match line.name.as_str() {
        "[vsyscall]" => return Ok(()),
        "[vdso]" => Backing::Vdso,
        name if name.starts_with("[vvar") => Backing::Vvar,
        _ if line.shared => return Err(stays(format!("it has shared memory ({})", line.name))),
        _ if line.inode == 0 => Backing::Anonymous,
        _ => match identify(line, mapped) {
            Ok(identity) => Backing::File {
                file: file_index(image, identity),
                offset: line.offset,
            },
            // Not to be had by content (deleted, replaced, unreadable, too
            // large): its pages are shipped instead.
            Err(_) => Backing::Anonymous,
        },
    };
    let from_file = line.inode != 0;
    if !matches!(backing, Backing::Vdso | Backing::Vvar) {
        let runs = if from_file && backing == Backing::Anonymous {
            vec![PageRun {
                start: line.start,
                count: (line.end - line.start) / PAGE_BYTES,
            }]
        } else {
            maps::written_pages(&mapped.page_map, line.start, line.end)
                .map_err(ImageError::step("read the page map", pid))?
        };
        image.pages.extend(runs);
    }
    image.mappings.push(crate::schema::Mapping {
        start: line.start,
        end: line.end,
        prot: line.prot,
        grows_down: line.name == "[stack]",
        backing,
    });
    Ok(())
}

fn identify(line: &Line, mapped: &mut Mapped) -> std::io::Result<FileIdentity> {
    if let Some(last) = &mapped.last
        && (&last.path, last.device, last.inode) == (&line.name, line.device, line.inode)
    {
        return Ok(last.clone());
    }
    let file = File::open(&line.name)?;
    let meta = file.metadata()?;
    if meta.ino() != line.inode || device_of(&meta) != line.device {
        return Err(std::io::Error::other("another file has this name now"));
    }
    let (digest, bytes) = mapped.digests.of(&file)?;
    let identity = FileIdentity {
        digest,
        bytes,
        path: line.name.clone(),
        device: line.device,
        inode: line.inode,
    };
    mapped.last = Some(identity.clone());
    Ok(identity)
}

fn file_index(image: &mut Image, identity: FileIdentity) -> u32 {
    let known = image.files.iter().position(|f| *f == identity);
    known.unwrap_or_else(|| {
        image.files.push(identity);
        image.files.len() - 1
    }) as u32
}

/// Contents of the pages of `image`, read from the process it was captured
/// from, appended to `into`. Pages that cannot be read (past the end of their
/// file, unreadable mappings) are zeros.
pub fn pages(image: &Image, into: &mut Vec<u8>) -> Result<(), ImageError> {
    for run in &image.pages {
        let from = into.len();
        let length = (run.count * PAGE_BYTES) as usize;
        into.resize(from + length, 0);
        let mut done = 0;
        while done < length {
            match vm::read(image.pid, run.start + done as u64, &mut into[from + done..]) {
                Ok(0) | Err(_) if !vm_alive(image.pid) => {
                    return Err(ImageError::Stays {
                        pid: image.pid,
                        reason: "it has ended".into(),
                    });
                }
                Ok(0) | Err(_) => done += PAGE_BYTES as usize,
                Ok(n) => done += n,
            }
        }
    }
    Ok(())
}

fn vm_alive(pid: i32) -> bool {
    ptrace::registers(pid).is_ok()
}

/// Registers as words in the kernel's order.
pub fn to_words(r: &Registers) -> [u64; 27] {
    [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx,
        r.rsi, r.rdi, r.orig_rax, r.rip, r.cs, r.eflags, r.rsp, r.ss, r.fs_base, r.gs_base, r.ds,
        r.es, r.fs, r.gs,
    ]
}

/// The reverse of [`to_words`].
pub fn from_words(w: &[u64; 27]) -> Registers {
    Registers {
        r15: w[0],
        r14: w[1],
        r13: w[2],
        r12: w[3],
        rbp: w[4],
        rbx: w[5],
        r11: w[6],
        r10: w[7],
        r9: w[8],
        r8: w[9],
        rax: w[10],
        rcx: w[11],
        rdx: w[12],
        rsi: w[13],
        rdi: w[14],
        orig_rax: w[15],
        rip: w[16],
        cs: w[17],
        eflags: w[18],
        rsp: w[19],
        ss: w[20],
        fs_base: w[21],
        gs_base: w[22],
        ds: w[23],
        es: w[24],
        fs: w[25],
        gs: w[26],
    }
}
