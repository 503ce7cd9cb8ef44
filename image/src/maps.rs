//! The list of mappings, `/proc/PID/maps` and `/proc/PID/smaps`: proc_pid_maps(5).

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use crate::files::FileIdentity;
use crate::schema::{PAGE_BYTES, PageRun};

/// One line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// First address.
    pub start: u64,
    /// End address.
    pub end: u64,
    /// `PROT_*`.
    pub prot: i32,
    /// Whether it is shared.
    pub shared: bool,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device, major and minor.
    pub device: (u32, u32),
    /// Inode; 0: not a file.
    pub inode: u64,
    /// Path or pseudo-path, as shown.
    pub name: String,
    /// The two letters of each of `VmFlags` in smaps; empty if only maps was read.
    pub flags: Vec<[u8; 2]>,
}

impl Line {
    /// Whether smaps shows this flag.
    pub fn has(&self, flag: &[u8; 2]) -> bool {
        self.flags.contains(flag)
    }
}

/// Parses one line; `None` if it is none.
pub fn parse_line(line: &str) -> Option<Line> {
    let mut parts = line.splitn(6, ' ');
    let (start, end) = parts.next()?.split_once('-')?;
    let perms = parts.next()?.as_bytes();
    let offset = parts.next()?;
    let (major, minor) = parts.next()?.split_once(':')?;
    let inode = parts.next()?;
    let name = parts.next().unwrap_or("").trim_start();
    let bit = |at: usize, letter: u8, value: i32| {
        if perms.get(at) == Some(&letter) {
            value
        } else {
            0
        }
    };
    Some(Line {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        prot: bit(0, b'r', libc::PROT_READ)
            | bit(1, b'w', libc::PROT_WRITE)
            | bit(2, b'x', libc::PROT_EXEC),
        shared: perms.get(3) == Some(&b's'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        device: (
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        inode: inode.parse().ok()?,
        name: name.to_owned(),
        flags: Vec::new(),
    })
}

/// `text`, which is maps or smaps of a body, with the files that `home_of` finds
/// for an inode and a name here shown as they are at home.
pub fn at_home(text: &[u8], home_of: impl Fn(u64, &str) -> Option<FileIdentity>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let shown = str::from_utf8(line).ok().map(str::trim_end);
        let parsed = shown.and_then(parse_line).filter(|line| line.inode != 0);
        match parsed.and_then(|line| Some((home_of(line.inode, &line.name)?, line))) {
            Some((home, parsed)) => write_line(&mut out, &parsed, &home),
            None if line.starts_with(b"VmFlags:") => write_flags(&mut out, line),
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// Without the flag of memory whose pages may be missing: they come from us.
fn write_flags(out: &mut Vec<u8>, line: &[u8]) {
    for word in line.split_inclusive(|byte| *byte == b' ') {
        if word != b"um " {
            out.extend_from_slice(word);
        }
    }
}

/// As the kernel writes a line: the name starts at column 73.
fn write_line(out: &mut Vec<u8>, line: &Line, file: &FileIdentity) {
    let bit = |bit, letter| if line.prot & bit != 0 { letter } else { '-' };
    let mut shown = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        line.start,
        line.end,
        bit(libc::PROT_READ, 'r'),
        bit(libc::PROT_WRITE, 'w'),
        bit(libc::PROT_EXEC, 'x'),
        if line.shared { 's' } else { 'p' },
        line.offset,
        file.device.0,
        file.device.1,
        file.inode,
    );
    while shown.len() < 73 {
        shown.push(' ');
    }
    out.extend_from_slice(shown.as_bytes());
    out.extend_from_slice(file.path.as_bytes());
    out.push(b'\n');
}

/// All mappings of `pid`, by address.
pub fn read(pid: i32) -> io::Result<Vec<Line>> {
    let text = crate::proc_file(pid, "maps")?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter_map(parse_line)
        .collect())
}

/// Whether process `pid` has the shared memory of `line` mapped, too.
pub fn shares(pid: i32, line: &Line) -> bool {
    let same =
        |other: &Line| other.shared && (other.inode, other.device) == (line.inode, line.device);
    // Unreadable: it has just ended.
    read(pid).is_ok_and(|lines| lines.iter().any(same))
}

/// All mappings of `pid`, by address, with their flags.
pub fn read_with_flags(pid: i32) -> io::Result<Vec<Line>> {
    let text = crate::proc_file(pid, "smaps")?;
    let mut lines: Vec<Line> = Vec::new();
    for text in String::from_utf8_lossy(&text).lines() {
        if let Some(flags) = text.strip_prefix("VmFlags:") {
            let of = lines.last_mut().map(|line| &mut line.flags);
            let words = flags.split_whitespace();
            let letters = words.filter_map(|word| <[u8; 2]>::try_from(word.as_bytes()).ok());
            if let Some(of) = of {
                of.extend(letters);
            }
        } else if let Some(line) = parse_line(text) {
            lines.push(line);
        }
    }
    Ok(lines)
}

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE_OR_SHARED: u64 = 1 << 61;
/// Access to it is fatal, MADV_GUARD_INSTALL (Linux 6.15 shows it).
const GUARD: u64 = 1 << 58;

/// Opens the page map of `pid`, for [`written_pages`].
pub fn page_map(pid: i32) -> io::Result<fs::File> {
    fs::File::open(format!("/proc/{pid}/pagemap"))
}

/// Runs of pages in `start..end` that were written: present or swapped, and
/// not those of a file. `/proc/PID/pagemap`, proc_pid_pagemap(5).
///
/// # Errors
/// It cannot be read; `Unsupported` if there are guard pages among them.
pub fn written_pages(page_map: &fs::File, start: u64, end: u64) -> io::Result<Vec<PageRun>> {
    pages_that(page_map, start, end, |entry| {
        entry & (PRESENT | SWAPPED) != 0 && entry & FILE_OR_SHARED == 0
    })
}

/// As [`written_pages`], for memory that is shared: what is present of it.
pub fn present_pages(page_map: &fs::File, start: u64, end: u64) -> io::Result<Vec<PageRun>> {
    pages_that(page_map, start, end, |entry| {
        entry & (PRESENT | SWAPPED) != 0
    })
}

fn pages_that(
    page_map: &fs::File,
    start: u64,
    end: u64,
    wanted: impl Fn(u64) -> bool,
) -> io::Result<Vec<PageRun>> {
    let mut runs: Vec<PageRun> = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    let mut page = start / PAGE_BYTES;
    let last = end / PAGE_BYTES;
    while page < last {
        let bytes = ((last - page) as usize * 8).min(buffer.len());
        let got = page_map.read_at(&mut buffer[..bytes], page * 8)?;
        if got < 8 {
            break;
        }
        for entry in buffer[..got].chunks_exact(8) {
            let mut word = [0; 8];
            word.copy_from_slice(entry);
            let entry = u64::from_ne_bytes(word);
            if entry & GUARD != 0 {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it has guard pages in its memory",
                ));
            }
            if wanted(entry) {
                let address = page * PAGE_BYTES;
                match runs.last_mut() {
                    Some(run) if run.start + run.count * PAGE_BYTES == address => run.count += 1,
                    _ => runs.push(PageRun {
                        start: address,
                        count: 1,
                    }),
                }
            }
            page += 1;
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_line_with_spaces_in_its_path() {
        let line = parse_line("7f00-8f00 r-xp 00001000 fe:01 77   /a b (deleted)").expect("a line");
        assert_eq!((line.start, line.end, line.prot), (0x7f00, 0x8f00, 5));
        assert_eq!(
            (line.device, line.inode, line.offset),
            ((0xfe, 1), 77, 0x1000)
        );
        assert_eq!(line.name, "/a b (deleted)");
    }

    #[test]
    fn files_are_shown_as_they_are_at_home() {
        let own = fs::read("/proc/self/maps").expect("maps");
        let lines: Vec<Line> = String::from_utf8_lossy(&own)
            .lines()
            .filter_map(parse_line)
            .collect();
        let identity = |inode, name: &str, device| FileIdentity {
            digest: [0; 32],
            bytes: 0,
            path: name.to_owned(),
            device,
            inode,
        };
        let same = at_home(&own, |inode, name| {
            let line = lines.iter().find(|l| l.inode == inode && l.name == name)?;
            Some(identity(inode, name, line.device))
        });
        assert_eq!(
            String::from_utf8_lossy(&same),
            String::from_utf8_lossy(&own)
        );

        let flags = at_home(b"VmFlags: rd wr um ac \n", |_, _| None);
        assert_eq!(flags, b"VmFlags: rd wr ac \n");
        let here = "7f00-8f00 r-xp 00001000 00:01 77     /memfd:homenode-file (deleted)\n\
                    Rss:        4 kB\n8f00-9f00 rw-p 00000000 00:00 0 \n";
        let there = at_home(here.as_bytes(), |inode, name| {
            let found = inode == 77 && name.starts_with("/memfd:");
            found.then(|| identity(5, "/lib/a b.so", (8, 17)))
        });
        let wanted = "00007f00-00008f00 r-xp 00001000 08:11 5                                  \
                      /lib/a b.so\nRss:        4 kB\n8f00-9f00 rw-p 00000000 00:00 0 \n";
        let there = String::from_utf8_lossy(&there).into_owned();
        assert_eq!(
            there.split_whitespace().collect::<Vec<_>>(),
            wanted.split_whitespace().collect::<Vec<_>>()
        );
    }

    #[test]
    fn own_stack_has_written_pages() {
        let me = std::process::id() as i32;
        let stack = read(me)
            .expect("maps")
            .into_iter()
            .find(|l| l.name == "[stack]")
            .expect("a stack");
        assert!(
            !written_pages(&page_map(me).expect("pagemap"), stack.start, stack.end)
                .expect("pagemap")
                .is_empty()
        );
    }
}
