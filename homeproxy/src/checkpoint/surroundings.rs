//! What a process has at home besides its image: descriptors, directory, mask, limits.
//! What cannot be had again is named, and the process is not saved.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use anyhow::{bail, ensure};
use image::capture::status_field;
use image::checkpoint::{DESCRIPTOR_MAX, DESCRIPTORS_MAX, DEVICES, Descriptor, Head, OpenFile};
use image::schema::MemoryLimit;

use super::shown;

/// Number of the controlling terminal's own device, /dev/tty.
const TTY: u64 = libc::makedev(5, 0);

/// Which files the standard streams are that mosexec was started with: device and inode.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Streams([Option<(u64, u64)>; 3]);

impl Streams {
    /// Those of process `pid`.
    pub(crate) fn of(pid: i32) -> Streams {
        let of = |number| fs::metadata(format!("/proc/{pid}/fd/{number}")).ok();
        Streams([0, 1, 2].map(|number| of(number).map(|meta| (meta.dev(), meta.ino()))))
    }

    /// Which one a descriptor is of. A file may be opened by its name as well, so there only the
    /// stream's own number counts.
    fn find(&self, number: i32, meta: &Metadata) -> Option<u32> {
        let is_same = |stream: &usize| self.0[*stream] == Some((meta.dev(), meta.ino()));
        let own = usize::try_from(number).ok().filter(|number| *number <= 2);
        let any = (0..3).find(|stream| is_same(stream) && !meta.is_file());
        own.filter(is_same).or(any).map(|stream| stream as u32)
    }
}

/// What there is of process `pid` at home, its image and timers apart.
///
/// # Errors
/// In words, what it has that a restart could not give it.
pub(crate) fn of(pid: i32, streams: &Streams) -> anyhow::Result<Head> {
    let text = |name: &str| sys::proc_text::read(format!("/proc/{pid}/{name}"));
    let status = text("status")?;
    refuse_ties(pid)?;
    let (files, descriptors) = descriptors(pid, streams)?;
    let directory = fs::read_link(format!("/proc/{pid}/cwd"))?;
    let program = fs::read_link(format!("/proc/{pid}/exe"))?;
    let is_same = |path: &std::path::Path, link: &str| {
        let there = fs::metadata(format!("/proc/{pid}/{link}"));
        matches!((fs::metadata(path), there), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    };
    for (path, link, what) in [
        (&directory, "cwd", "working directory"),
        (&program, "exe", "program"),
    ] {
        ensure!(
            is_same(path, link),
            "its {what} is gone: {}",
            shown(path.as_os_str().as_bytes())
        );
    }
    let Some(program) = program.to_str().map(str::to_owned) else {
        bail!("the path of its program is not UTF-8");
    };
    let octal = |name| {
        let field = status_field(&status, name);
        field.and_then(|octal| u32::from_str_radix(octal, 8).ok())
    };
    let personality = u32::from_str_radix(text("personality")?.trim(), 16)?;
    let limits = (0..sys::limits::KINDS).map(|resource| {
        let limit = sys::limits::get(pid, resource)?;
        let (soft, hard) = (limit.soft, limit.hard);
        Ok(MemoryLimit {
            resource,
            soft,
            hard,
        })
    });
    Ok(Head {
        program,
        features: sys::processor::features(),
        kernel: kernel()?,
        taken_ns: image::unfinished::now_ns(),
        directory: directory.into_os_string().as_bytes().to_vec(),
        umask: octal("Umask:").unwrap_or(0o022),
        personality,
        no_new_privileges: status_field(&status, "NoNewPrivs:") == Some("1"),
        limits: limits.collect::<std::io::Result<_>>()?,
        timers: Default::default(),
        names: Vec::new(),
        files,
        descriptors,
        image: Vec::new(),
    })
}

/// Release and version of the kernel.
pub(super) fn kernel() -> std::io::Result<String> {
    let text = |name| sys::proc_text::read(format!("/proc/sys/kernel/{name}"));
    Ok(format!(
        "{} {}",
        text("osrelease")?.trim(),
        text("version")?.trim()
    ))
}

/// What ties it to other processes, or to the kernel.
fn refuse_ties(pid: i32) -> anyhow::Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = sys::proc_text::read(task?.path().join("children"))?;
        if let Some(child) = children.split_whitespace().next() {
            bail!("it has a child, process {child}");
        }
    }
    let timers = sys::proc_text::read(format!("/proc/{pid}/timers"))?;
    let timer = timers.lines().find_map(|line| line.strip_prefix("ID: "));
    if let Some(timer) = timer {
        bail!("it has a timer of timer_create, number {timer}");
    }
    let root = fs::read_link(format!("/proc/{pid}/root"))?;
    ensure!(
        root.as_os_str() == "/",
        "its root directory is {}",
        root.display()
    );
    Ok(())
}

fn descriptors(pid: i32, streams: &Streams) -> anyhow::Result<(Vec<OpenFile>, Vec<Descriptor>)> {
    let mut numbers: Vec<i32> = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        numbers.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    numbers.sort_unstable();
    ensure!(
        numbers.len() <= DESCRIPTORS_MAX,
        "it has {} descriptors",
        numbers.len()
    );
    let (mut files, mut found): (Vec<OpenFile>, Vec<Descriptor>) = (Vec::new(), Vec::new());
    for number in numbers {
        ensure!(
            number <= DESCRIPTOR_MAX,
            "its descriptor {number} has too high a number"
        );
        let (file, flags) = open_file(pid, number, streams)?;
        let same = found.iter().find(|other| {
            files.get(other.file as usize) == Some(&file)
                && sys::process::have_same_open_file(pid, number, other.number).unwrap_or(false)
        });
        let index = match same {
            Some(other) => other.file,
            None => {
                files.push(file);
                files.len() as u32 - 1
            }
        };
        found.push(Descriptor {
            number,
            close_on_exec: flags & libc::O_CLOEXEC as u32 != 0,
            file: index,
        });
    }
    Ok((files, found))
}

/// What descriptor `number` is of, and its flags.
fn open_file(pid: i32, number: i32, streams: &Streams) -> anyhow::Result<(OpenFile, u32)> {
    let link = format!("/proc/{pid}/fd/{number}");
    let target = fs::read_link(&link)?;
    let path = target.as_os_str().as_bytes().to_vec();
    let name = || format!("descriptor {number} ({})", shown(&path));
    let meta = fs::metadata(&link)?;
    let info = sys::proc_text::read(format!("/proc/{pid}/fdinfo/{number}"))?;
    let field = |name| status_field(&info, name);
    let flags = field("flags:").and_then(|octal| u32::from_str_radix(octal, 8).ok());
    let (Some(flags), Some(position)) = (flags, field("pos:").and_then(|pos| pos.parse().ok()))
    else {
        bail!("{}: /proc does not tell its flags and position", name());
    };
    ensure!(field("lock:").is_none(), "{} holds a lock", name());
    ensure!(
        flags & libc::O_ASYNC as u32 == 0,
        "{} sends signals (O_ASYNC)",
        name()
    );
    if let Some(stream) = streams.find(number, &meta) {
        return Ok((OpenFile::Inherited(stream), flags));
    }
    let kind = meta.file_type();
    if kind.is_char_device() {
        if meta.rdev() == TTY || is_controlling(pid, meta.rdev()) {
            return Ok((OpenFile::Terminal { flags }, flags));
        }
        ensure!(DEVICES.contains(&path.as_slice()), "{} is a device", name());
        return Ok((OpenFile::Device { path, flags }, flags));
    }
    let what = match () {
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_block_device() => Some("a block device"),
        () if !path.starts_with(b"/") => Some("no file"),
        () if !kind.is_file() && !kind.is_dir() => Some("no file"),
        () => None,
    };
    if let Some(what) = what {
        bail!("{} is {what}, which cannot be opened again", name());
    }
    let there = fs::metadata(&target);
    let is_there = there.is_ok_and(|there| (there.dev(), there.ino()) == (meta.dev(), meta.ino()));
    ensure!(
        is_there,
        "{} is deleted, or another file has its name",
        name()
    );
    // A file system of the kernel's own answers for who asks, as /proc/self does.
    ensure!(
        !path.starts_with(b"/proc/"),
        "{} is a file of /proc",
        name()
    );
    let is_directory = kind.is_dir();
    let file = OpenFile::File {
        path,
        flags,
        position,
        is_directory,
    };
    Ok((file, flags))
}

/// Whether the device is the controlling terminal of process `pid`.
fn is_controlling(pid: i32, device: u64) -> bool {
    terminal(pid).is_some_and(|terminal| terminal == device)
}

/// Controlling terminal of process `pid`, as proc_pid_stat(5) has it.
fn terminal(pid: i32) -> Option<u64> {
    let stat = sys::proc_text::read(format!("/proc/{pid}/stat")).ok()?;
    let field: u32 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(4)?
        .parse()
        .ok()?;
    let (major, minor) = (field >> 8 & 0xfff, field & 0xff | field >> 12 & 0xf_ff00);
    (field != 0).then(|| libc::makedev(major, minor))
}

/// Whether what was open can be opened for process `target`.
///
/// # Errors
/// What is missing.
pub(crate) fn check_there(file: &OpenFile, target: i32) -> anyhow::Result<()> {
    match file {
        OpenFile::Inherited(stream) => {
            let link = fs::symlink_metadata(format!("/proc/{target}/fd/{stream}"));
            ensure!(
                link.is_ok(),
                "it needs descriptor {stream}, which mosexec does not have"
            );
        }
        OpenFile::Terminal { .. } => {
            ensure!(
                terminal(target).is_some(),
                "it needs a terminal, which mosexec does not have"
            );
        }
        OpenFile::Device { path, .. } | OpenFile::File { path, .. } => {
            let name = shown(path);
            let meta = match fs::metadata(std::ffi::OsStr::from_bytes(path)) {
                Ok(meta) => meta,
                Err(error) => bail!("{name}, which was open: {error}"),
            };
            let is_same = match file {
                OpenFile::File { is_directory, .. } if *is_directory => meta.is_dir(),
                OpenFile::File { .. } => meta.is_file(),
                _ => meta.file_type().is_char_device(),
            };
            ensure!(is_same, "{name}, which was open, is of another kind now");
        }
    }
    Ok(())
}
