//! Files by content: the same bytes are the same file, on whatever node.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
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
    /// Where it is at home, as maps shows it there: a hint where to look first.
    pub path: String,
    /// Device at home, major and minor.
    pub device: (u32, u32),
    /// Inode at home.
    pub inode: u64,
}

/// What becomes of a mapping of a file that a guest asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mappable {
    /// A file of the same content is mapped on the host.
    Copied(FileIdentity),
    /// It works only at home; what it is, in words.
    AtHome(String),
}

/// Device, major and minor, as maps shows it.
pub fn device_of(meta: &Metadata) -> (u32, u32) {
    (libc::major(meta.dev()), libc::minor(meta.dev()))
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
    fn of(m: &Metadata) -> Version {
        Version {
            device: m.dev(),
            inode: m.ino(),
            bytes: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
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
        let meta = file.metadata()?;
        let version = Version::of(&meta);
        if !meta.is_file() || version.bytes > FILE_BYTES_MAX {
            return Err(io::Error::other("not a regular file of at most 1 GiB"));
        }
        if let Some(digest) = lock(&self.0).get(&version) {
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
        if Version::of(&file.metadata()?) != version {
            return Err(io::Error::other("the file changes while it is read"));
        }
        let digest = *hasher.finalize().as_bytes();
        lock(&self.0).insert(version, digest);
        Ok((digest, version.bytes))
    }
}

/// Open files of this node that stand for files at home: one for each of those,
/// so that a mapping tells which one it is of.
#[derive(Default)]
pub struct LocalFiles {
    digests: Digests,
    open: Mutex<HashMap<FileIdentity, Arc<File>>>,
    /// By inode and name here.
    homes: Mutex<HashMap<(u64, String), FileIdentity>>,
}

impl LocalFiles {
    /// A local file with the content of `wanted`, if the hint leads to one, one
    /// was adopted before, or one can be copied.
    pub fn find(&self, wanted: &FileIdentity) -> Option<Arc<File>> {
        let known = lock(&self.open).get(wanted).cloned();
        if let Some(file) = known
            && self.has(&file, wanted)
        {
            return Some(file);
        }
        if let Some(file) = open_regular(wanted)
            && self.has(&file, wanted)
        {
            return self.insert(wanted, file).ok();
        }
        let same = lock(&self.open)
            .iter()
            .find(|(identity, _)| identity.digest == wanted.digest)
            .map(|(_, file)| Arc::clone(file))?;
        let mut original = File::open(format!("/proc/self/fd/{}", same.as_raw_fd())).ok()?;
        let mut copy = sys::memfd::create(c"homenode-file").ok()?;
        io::copy(&mut original, &mut copy).ok()?;
        self.adopt(wanted, copy).ok()
    }

    fn has(&self, file: &File, wanted: &FileIdentity) -> bool {
        let found = self.digests.of(file);
        found.is_ok_and(|(digest, bytes)| digest == wanted.digest && bytes == wanted.bytes)
    }

    /// Adopts `file`, which was fetched from home, if its content is `wanted`.
    pub fn adopt(&self, wanted: &FileIdentity, file: File) -> io::Result<Arc<File>> {
        if !self.has(&file, wanted) {
            return Err(io::Error::other(format!(
                "{} changed on its way",
                wanted.path
            )));
        }
        self.insert(wanted, file)
    }

    fn insert(&self, wanted: &FileIdentity, file: File) -> io::Result<Arc<File>> {
        let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let here = (file.metadata()?.ino(), name.to_string_lossy().into_owned());
        let file = Arc::new(file);
        lock(&self.homes).insert(here, wanted.clone());
        lock(&self.open).insert(wanted.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// Which file at home is meant by a mapping that shows this inode and name here.
    pub fn home_of(&self, inode: u64, name: &str) -> Option<FileIdentity> {
        // As the kernel shows a file that has lost its name since it was mapped.
        const NAMELESS: &str = " (deleted)";
        let homes = lock(&self.homes);
        let of = |name: &str| homes.get(&(inode, name.to_owned())).cloned();
        of(name).or_else(|| of(name.strip_suffix(NAMELESS)?))
    }
}

/// What is at the path, if it can be `wanted`. The path comes from another
/// machine: nothing is opened that waits or acts when opened, and nothing is
/// read in vain.
fn open_regular(wanted: &FileIdentity) -> Option<File> {
    if !fs::metadata(&wanted.path).is_ok_and(|m| m.is_file() && m.len() == wanted.bytes) {
        return None;
    }
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&wanted.path)
        .ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn files_of_the_same_content_keep_their_names() {
        let files = LocalFiles::default();
        let mut fetched = sys::memfd::create(c"homenode-file").unwrap();
        fetched.write_all(b"content").unwrap();
        let (digest, bytes) = Digests::default().of(&fetched).unwrap();
        let identity = |path: &str, inode| FileIdentity {
            digest,
            bytes,
            path: path.into(),
            device: (8, 1),
            inode,
        };
        let (a, b) = (identity("/no/a", 1), identity("/no/b", 2));
        assert!(files.find(&a).is_none());
        let local_a = files.adopt(&a, fetched).unwrap();
        let local_b = files.find(&b).unwrap();
        for (local, wanted) in [(local_a, a), (local_b, b)] {
            let inode = local.metadata().unwrap().ino();
            let name = "/memfd:homenode-file (deleted)";
            assert_eq!(files.home_of(inode, name), Some(wanted));
        }
    }
}
