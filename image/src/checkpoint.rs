//! A checkpoint: the file from which a process goes on later.
//!
//! ```text
//! magic, 8 bytes | version, u32 | machine, u32 | head_bytes, u64 | page_bytes, u64
//! head: [`Head`], head_bytes | contents of the image's pages, page_bytes
//! BLAKE3 of all before, 32 bytes
//! ```
//! Numbers are little-endian. Who restarts a checkpoint runs what is in it: the digest
//! tells damage, not whose it is.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::ImageError;
use crate::postcopy::parcel::is_zeros;
use crate::schema::{
    Backing, IMAGE_BYTES_MAX, Image, MemoryLimit, PAGE_BYTES, PAGES_BYTES_MAX, PageRun,
};

/// First bytes of every checkpoint.
pub const MAGIC: [u8; 8] = *b"\x89HmNode\n";
/// Layout of the file; another one is refused.
pub const VERSION: u32 = 1;
/// `EM_X86_64` of elf(5).
const MACHINE: u32 = 62;
/// Bytes before the head.
pub const PREFIX_BYTES: usize = 32;
const DIGEST_BYTES: usize = 32;
/// Most descriptors of a process that is saved.
pub const DESCRIPTORS_MAX: usize = 4096;
/// Highest number of a descriptor.
pub const DESCRIPTOR_MAX: i32 = 1 << 20;
/// Longest path in bytes, as of the kernel.
const PATH_BYTES_MAX: usize = 4096;
/// Most threads of a process that is saved: as many as one window serves.
pub const THREADS_MAX: usize = crate::deputy::GEOMETRY.slots;
/// Names of what processors can do.
const FEATURES_MAX: usize = 1024;

/// All of a process but its pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    /// Path of its program, which is executed first.
    pub program: String,
    /// What the processor could do where it ran, by the names of `/proc/cpuinfo`.
    pub features: Vec<String>,
    /// Release and version of the kernel, whose code (the vDSO) it calls by address.
    pub kernel: String,
    /// CLOCK_MONOTONIC when it was taken, in nanoseconds.
    pub taken_ns: u64,
    /// Working directory.
    pub directory: Vec<u8>,
    /// File mode creation mask.
    pub umask: u32,
    /// Of personality(2).
    pub personality: u32,
    /// Whether it can gain no privileges any more, prctl(2).
    pub no_new_privileges: bool,
    /// All its resource limits.
    pub limits: Vec<MemoryLimit>,
    /// ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF: interval and what is left, each in
    /// seconds and microseconds.
    pub timers: [[u64; 4]; 3],
    /// Names of its threads, in the image's order.
    pub names: Vec<Vec<u8>>,
    /// What is open, each once, however many descriptors there are for it.
    pub files: Vec<OpenFile>,
    /// Its descriptors, by number.
    pub descriptors: Vec<Descriptor>,
    /// [`Image::encode`].
    #[serde(with = "serde_bytes")]
    pub image: Vec<u8>,
}

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// Closed by an execve.
    pub close_on_exec: bool,
    /// Index in [`Head::files`].
    pub file: u32,
}

/// Something open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenFile {
    /// What mosexec itself was started with as descriptor 0, 1 or 2.
    Inherited(u32),
    /// The controlling terminal, opened with these flags.
    Terminal {
        /// `O_*`.
        flags: u32,
    },
    /// A regular file or directory.
    File {
        /// Where.
        path: Vec<u8>,
        /// `O_*`.
        flags: u32,
        /// Position.
        position: u64,
        /// A directory.
        is_directory: bool,
    },
    /// A device without state, as /dev/null.
    Device {
        /// Which.
        path: Vec<u8>,
        /// `O_*`.
        flags: u32,
    },
}

/// Devices that are the same whenever they are opened.
pub const DEVICES: [&[u8]; 5] = [
    b"/dev/null",
    b"/dev/zero",
    b"/dev/full",
    b"/dev/random",
    b"/dev/urandom",
];

/// A saved process.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// What is not its image.
    pub head: Head,
    /// Its image.
    pub image: Image,
    /// Contents of the image's pages.
    pub pages: Vec<u8>,
}

/// A checkpoint that is refused, in words.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is none, or not one that can go on here.
    #[error("{0}")]
    Refused(String),
    /// Its image is refused.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Checkpoint {
    /// Writes the file's content.
    ///
    /// # Errors
    /// Of `out`.
    pub fn write(&self, out: &mut impl Write) -> Result<(), CheckpointError> {
        let head = Head {
            image: self.image.encode()?,
            ..self.head.clone()
        };
        let head = bincode::serde::encode_to_vec(&head, bincode::config::standard())
            .map_err(|error| CheckpointError::Refused(format!("cannot be encoded: {error}")))?;
        let mut prefix = [0; PREFIX_BYTES];
        prefix[..8].copy_from_slice(&MAGIC);
        prefix[8..12].copy_from_slice(&VERSION.to_le_bytes());
        prefix[12..16].copy_from_slice(&MACHINE.to_le_bytes());
        prefix[16..24].copy_from_slice(&(head.len() as u64).to_le_bytes());
        prefix[24..32].copy_from_slice(&(self.pages.len() as u64).to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        for part in [&prefix[..], &head, &self.pages] {
            hasher.update(part);
            out.write_all(part)?;
        }
        Ok(out.write_all(hasher.finalize().as_bytes())?)
    }

    /// Reads and checks the content of a file of `file_bytes`.
    ///
    /// # Errors
    /// It is not one that this program has written, in words.
    pub fn read(file: &mut impl Read, file_bytes: u64) -> Result<Checkpoint, CheckpointError> {
        let refuse = |why: String| CheckpointError::Refused(why);
        let mut prefix = [0; PREFIX_BYTES];
        if file_bytes < (PREFIX_BYTES + DIGEST_BYTES) as u64 {
            return Err(refuse("it is no checkpoint: too short".into()));
        }
        file.read_exact(&mut prefix)?;
        let (head_bytes, page_bytes) = lengths(&prefix).map_err(refuse)?;
        let frame = (PREFIX_BYTES + DIGEST_BYTES) as u64;
        // Both are bounded: no overflow.
        let wanted = frame + head_bytes + page_bytes;
        if wanted != file_bytes {
            return Err(refuse(format!(
                "it is damaged: {file_bytes} bytes, it says it has {wanted}"
            )));
        }
        let mut head = vec![0; head_bytes as usize];
        file.read_exact(&mut head)?;
        let mut pages = Vec::new();
        file.take(page_bytes).read_to_end(&mut pages)?;
        let mut digest = [0; DIGEST_BYTES];
        file.read_exact(&mut digest)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prefix).update(&head).update(&pages);
        if *hasher.finalize().as_bytes() != digest {
            return Err(refuse(
                "it is damaged: its content has another digest".into(),
            ));
        }
        let config = bincode::config::standard().with_limit::<{ 2 * IMAGE_BYTES_MAX }>();
        let (mut head, used): (Head, usize) = bincode::serde::decode_from_slice(&head, config)
            .map_err(|error| refuse(format!("it is damaged: {error}")))?;
        if used as u64 != head_bytes {
            return Err(refuse("it is damaged: its head is too long".into()));
        }
        let image = Image::decode(&std::mem::take(&mut head.image))?;
        let checkpoint = Checkpoint { head, image, pages };
        checkpoint.check().map_err(refuse)?;
        Ok(checkpoint)
    }

    /// What a restart relies on.
    fn check(&self) -> Result<(), String> {
        let Checkpoint { head, image, pages } = self;
        if image.page_bytes() != pages.len() as u64 || !image.later.is_empty() {
            return Err("it is damaged: its pages are not those of its image".into());
        }
        if image.threads.len() > THREADS_MAX || head.names.len() != image.threads.len() {
            return Err(format!("it has {} threads", image.threads.len()));
        }
        let is_path = |path: &[u8]| {
            path.first() == Some(&b'/') && path.len() < PATH_BYTES_MAX && !path.contains(&0)
        };
        if !is_path(head.program.as_bytes()) || !is_path(&head.directory) {
            return Err("its program or directory has no path".into());
        }
        if head.files.len() > DESCRIPTORS_MAX || head.descriptors.len() > DESCRIPTORS_MAX {
            return Err(format!("it has {} descriptors", head.descriptors.len()));
        }
        let is_usable = |file: &OpenFile| match file {
            OpenFile::Inherited(stream) => *stream <= 2,
            OpenFile::Terminal { .. } => true,
            OpenFile::File { path, position, .. } => is_path(path) && *position <= i64::MAX as u64,
            OpenFile::Device { path, .. } => DEVICES.contains(&path.as_slice()),
        };
        if !head.files.iter().all(is_usable) {
            return Err("it has files that cannot be opened".into());
        }
        let mut last = -1;
        for descriptor in &head.descriptors {
            let number = descriptor.number;
            if number <= last
                || number > DESCRIPTOR_MAX
                || descriptor.file as usize >= head.files.len()
            {
                return Err(format!("its descriptor {number} is out of order or bounds"));
            }
            last = number;
        }
        if head.features.len() > FEATURES_MAX || head.limits.len() > 64 {
            return Err("it has too many features or limits".into());
        }
        let is_micros = |timer: &[u64; 4]| timer[1] < 1_000_000 && timer[3] < 1_000_000;
        if !head.timers.iter().all(is_micros) {
            return Err("it has timers that cannot be set".into());
        }
        Ok(())
    }

    /// What the processor here cannot do that the one could where it was taken.
    pub fn missing_features(&self, here: &[String]) -> Vec<String> {
        let missing = self
            .head
            .features
            .iter()
            .filter(|name| !here.contains(name));
        missing.cloned().collect()
    }

    /// Leaves out pages that show zeros where fresh memory does as well.
    pub fn omit_zeros(&mut self) {
        let page_bytes = PAGE_BYTES as usize;
        let (mut next, mut kept) = (0, 0);
        let mut runs: Vec<PageRun> = Vec::new();
        let mappings = &self.image.mappings;
        for run in &self.image.pages {
            let at = mappings.partition_point(|m| m.end <= run.start);
            let is_memory = mappings
                .get(at)
                .is_some_and(|m| m.backing == Backing::Anonymous);
            let mut is_open = false;
            for index in 0..run.count {
                let page = next..next + page_bytes;
                next = page.end;
                if is_memory && is_zeros(&self.pages[page.clone()]) {
                    is_open = false;
                    continue;
                }
                match runs.last_mut() {
                    Some(last) if is_open => last.count += 1,
                    _ => runs.push(PageRun {
                        start: run.start + index * PAGE_BYTES,
                        count: 1,
                    }),
                }
                is_open = true;
                // In place: there may be as much of it as there is memory.
                self.pages.copy_within(page, kept);
                kept += page_bytes;
            }
        }
        self.pages.truncate(kept);
        self.image.pages = runs;
    }
}

/// Lengths of head and pages.
fn lengths(prefix: &[u8; PREFIX_BYTES]) -> Result<(u64, u64), String> {
    let word = |at: usize| {
        let bytes = prefix[at..at + 4].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u32::from(*byte))
    };
    let long = |at: usize| u64::from(word(at + 4)) << 32 | u64::from(word(at));
    if prefix[..8] != MAGIC {
        return Err("it is no checkpoint: it begins in another way".into());
    }
    if word(8) != VERSION {
        return Err(format!(
            "it is of version {}, this program has {VERSION}",
            word(8)
        ));
    }
    if word(12) != MACHINE {
        return Err(format!(
            "it is of machine {}, this is x86-64 ({MACHINE})",
            word(12)
        ));
    }
    let (head, pages) = (long(16), long(24));
    if head > 2 * IMAGE_BYTES_MAX as u64 || pages > PAGES_BYTES_MAX {
        return Err(format!(
            "it is damaged: {head} bytes of head, {pages} of pages"
        ));
    }
    Ok((head, pages))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::tests::image;

    fn checkpoint(pages: Vec<u8>, files: Vec<OpenFile>) -> Checkpoint {
        let count = pages.len() as u64 / PAGE_BYTES;
        let descriptors = (0..files.len()).map(|at| Descriptor {
            number: at as i32 * 2,
            close_on_exec: at % 2 == 1,
            file: at as u32,
        });
        let head = Head {
            program: "/bin/true".into(),
            features: vec!["avx2".into()],
            kernel: "6".into(),
            taken_ns: 7,
            directory: b"/tmp".to_vec(),
            umask: 0o22,
            personality: 0,
            no_new_privileges: false,
            limits: Vec::new(),
            timers: [[0; 4]; 3],
            names: vec![b"test".to_vec()],
            descriptors: descriptors.collect(),
            files,
            image: Vec::new(),
        };
        let runs = if count == 0 {
            vec![]
        } else {
            vec![(0x10_0000, count)]
        };
        let image = image(&runs);
        Checkpoint { head, image, pages }
    }

    fn written(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        checkpoint.write(&mut bytes).expect("a checkpoint to write");
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::read(&mut &bytes[..], bytes.len() as u64)
    }

    /// As one who may write the file can make it: with the right digest.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let body = bytes.len() - DIGEST_BYTES;
        let digest = blake3::hash(&bytes[..body]);
        bytes[body..].copy_from_slice(digest.as_bytes());
        bytes
    }

    fn files() -> impl Strategy<Value = Vec<OpenFile>> {
        let path = proptest::collection::vec(1u8.., 0..40).prop_map(|mut path| {
            path.insert(0, b'/');
            path
        });
        let file = (path, any::<u32>(), 0..1u64 << 63, any::<bool>());
        let file = file.prop_map(|(path, flags, position, is_directory)| OpenFile::File {
            path,
            flags,
            position,
            is_directory,
        });
        let flags = any::<u32>().prop_map(|flags| OpenFile::Terminal { flags });
        let stream = (0..3u32).prop_map(OpenFile::Inherited);
        proptest::collection::vec(prop_oneof![file, flags, stream], 0..20)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(files in files(), fill in any::<u8>(), count in 0..4usize) {
            let pages = vec![fill; count * PAGE_BYTES as usize];
            let saved = checkpoint(pages, files);
            let found = read(&written(&saved)).expect("what was written");
            prop_assert_eq!(found.head.files, saved.head.files);
            prop_assert_eq!(found.head.descriptors, saved.head.descriptors);
            prop_assert_eq!(found.pages, saved.pages);
        }

        #[test]
        fn no_sealed_damage_makes_reading_panic(files in files(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
            let mut bytes = written(&checkpoint(vec![1; PAGE_BYTES as usize], files));
            let at = at.index(bytes.len() - DIGEST_BYTES);
            bytes[at] = value;
            // Some cannot be told from another checkpoint.
            let _ = read(&sealed(bytes));
        }

        #[test]
        fn any_damage_is_seen(at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = written(&checkpoint(vec![1; PAGE_BYTES as usize], Vec::new()));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(&bytes).is_err());
        }
    }

    #[test]
    fn every_cut_is_seen() {
        let bytes = written(&checkpoint(Vec::new(), Vec::new()));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn only_zeros_of_memory_are_left_out() {
        let page = PAGE_BYTES as usize;
        let mut pages = vec![0; 5 * page];
        pages[page] = 1;
        pages[2 * page] = 2;
        pages[4 * page] = 4;
        let mut saved = checkpoint(pages, Vec::new());
        saved.omit_zeros();
        let runs = [(0x10_1000, 2), (0x10_4000, 1)].map(|(start, count)| PageRun { start, count });
        assert_eq!(saved.image.pages, runs);
        let firsts: Vec<u8> = saved.pages.chunks(page).map(|page| page[0]).collect();
        assert_eq!(firsts, [1, 2, 4]);
        saved.image.mappings[0].backing = Backing::File { file: 0, offset: 0 };
        saved.pages.fill(0);
        saved.omit_zeros();
        assert_eq!(saved.image.pages, runs);
    }
}
