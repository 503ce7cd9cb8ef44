//! The file of a checkpoint, which is replaced as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use image::checkpoint::Checkpoint;

/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Whether a checkpoint may take the place of what is at `file`.
///
/// # Errors
/// In words: it is no regular file.
pub(super) fn may_replace(file: &Path) -> Result<(), String> {
    match fs::symlink_metadata(file) {
        Ok(meta) if !meta.is_file() => Err(format!("{} is no regular file", file.display())),
        _ => Ok(()),
    }
}

/// Writes `checkpoint` beside `file`, then puts it in its place.
///
/// # Errors
/// In words; nothing is left of it.
pub(super) fn replace(file: &Path, checkpoint: &Checkpoint) -> Result<(), String> {
    let in_words = |error: &dyn std::fmt::Display| format!("write {}: {error}", file.display());
    let new = beside(file).ok_or_else(|| format!("{} names no file", file.display()))?;
    // Of an earlier process with our pid, which was killed.
    let _ = fs::remove_file(&new);
    let written = write(&new, checkpoint).map_err(|error| in_words(&error));
    let replaced = written.and_then(|()| fs::rename(&new, file).map_err(|error| in_words(&error)));
    if replaced.is_err() {
        // Not there if it could not be made.
        let _ = fs::remove_file(&new);
        return replaced;
    }
    let directory = file.parent().map(File::open);
    match directory {
        Some(Ok(directory)) => directory.sync_all().map_err(|error| in_words(&error)),
        // It may be entered, but not be read.
        _ => Ok(()),
    }
}

fn write(new: &Path, checkpoint: &Checkpoint) -> Result<(), image::checkpoint::CheckpointError> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    checkpoint.write(&mut out)?;
    out.flush()?;
    Ok(out.get_ref().sync_all()?)
}

/// Where it is written first.
fn beside(file: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(file.file_name()?);
    name.push(format!(".{}", std::process::id()));
    Some(file.with_file_name(name))
}
