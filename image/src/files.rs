//! Files by content: the same bytes are the same file, on whatever node.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Largest file that is identified by content; larger ones are shipped as pages.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileIdentity {
    /// BLAKE3 of its bytes.
    pub digest: [u8; 32],
    /// Length in bytes.
    pub bytes: u64,
    /// Where it is at home: a hint where to look first, nothing more.
    pub path: String,
}

/// What tells that a file has not changed since its digest was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Version> {
        let m = file.metadata()?;
        Ok(Version {
            device: m.dev(),
            inode: m.ino(),
            bytes: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        })
    }
}

/// Digests of files on this node, remembered as long as the files do not change.
#[derive(Default)]
pub struct Digests(Mutex<HashMap<Version, [u8; 32]>>);

impl Digests {
    /// Digest and length of `file`, which must be regular.
    ///
    /// # Errors
    /// Reading fails, or the file changes while it is read.
    pub fn of(&self, file: &File) -> io::Result<([u8; 32], u64)> {
        let version = Version::of(file)?;
        if !file.metadata()?.is_file() || version.bytes > FILE_BYTES_MAX {
            return Err(io::Error::other("not a regular file of at most 1 GiB"));
        }
        if let Some(digest) = self.lock().get(&version) {
            return Ok((*digest, version.bytes));
        }
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 128 * 1024];
        // A descriptor of our own, so that the position of `file` stays.
        let mut reader = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        loop {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
        }
        if Version::of(file)? != version {
            return Err(io::Error::other("the file changes while it is read"));
        }
        let digest = *hasher.finalize().as_bytes();
        self.lock().insert(version, digest);
        Ok((digest, version.bytes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Version, [u8; 32]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open files of this node by content.
#[derive(Default)]
pub struct LocalFiles {
    digests: Digests,
    open: Mutex<HashMap<[u8; 32], Arc<File>>>,
}

impl LocalFiles {
    /// A local file with the content of `wanted`, if the hint leads to one or
    /// one was adopted before.
    pub fn find(&self, wanted: &FileIdentity) -> Option<Arc<File>> {
        let known = self.lock().get(&wanted.digest).cloned();
        if let Some(file) = known
            && self
                .digests
                .of(&file)
                .is_ok_and(|(digest, _)| digest == wanted.digest)
        {
            return Some(file);
        }
        // The path comes from another machine: nothing is opened that waits or
        // acts when opened, and nothing is read in vain.
        if !std::fs::metadata(&wanted.path).is_ok_and(|m| m.is_file() && m.len() == wanted.bytes) {
            return None;
        }
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&wanted.path)
            .ok()?;
        let (digest, bytes) = self.digests.of(&file).ok()?;
        (digest == wanted.digest && bytes == wanted.bytes).then(|| self.insert(digest, file))
    }

    /// Adopts `file`, which was fetched from home, if its content is `wanted`.
    pub fn adopt(&self, wanted: &FileIdentity, file: File) -> io::Result<Arc<File>> {
        let (digest, _) = self.digests.of(&file)?;
        if digest != wanted.digest {
            return Err(io::Error::other(format!(
                "{} changed on its way",
                wanted.path
            )));
        }
        Ok(self.insert(digest, file))
    }

    fn insert(&self, digest: [u8; 32], file: File) -> Arc<File> {
        let file = Arc::new(file);
        self.lock().insert(digest, Arc::clone(&file));
        file
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<File>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
