//! The files a run leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Every name below `dir` with its kind, mode, size and a digest of its contents (or a link's
/// target), as one line each.
#[must_use]
pub fn files(dir: &Path, ignored: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(dir, "", ignored, &mut found);
    found
}

fn collect(dir: &Path, prefix: &str, ignored: &[&str], found: &mut BTreeMap<String, String>) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            found.insert(format!("{prefix}."), format!("cannot be listed: {error}"));
            return;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mode = meta.mode() & 0o7777;
        let kind = meta.file_type();
        let line = if kind.is_dir() {
            collect(&path, &format!("{name}/"), ignored, found);
            format!("directory {mode:04o}")
        } else if kind.is_symlink() {
            format!("link to {:?}", fs::read_link(&path).unwrap_or_default())
        } else if kind.is_file() && ignored.iter().any(|end| name.ends_with(end)) {
            format!("file {mode:04o}")
        } else if kind.is_file() {
            format!(
                "file {mode:04o} {} bytes, digest {:016x}",
                meta.len(),
                digest(&path)
            )
        } else if kind.is_fifo() {
            format!("fifo {mode:04o}")
        } else if kind.is_socket() {
            format!("socket {mode:04o}")
        } else {
            format!("device {mode:04o} {:x}", meta.rdev())
        };
        found.insert(name, line);
    }
}

/// Tells contents apart; a file that cannot be read has its error's.
fn digest(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    match fs::read(path) {
        Ok(bytes) => bytes.hash(&mut hasher),
        Err(error) => error.to_string().hash(&mut hasher),
    }
    hasher.finish()
}
