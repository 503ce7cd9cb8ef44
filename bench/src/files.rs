//! Reads, writes and mappings of regular files.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use crate::meter::{Meter, Sample};
use crate::raw_calls::{self, PAGE_BYTES};
use crate::rows::Stage;

/// Piece size of the sequential read.
pub(crate) const SEQUENTIAL_PIECE_BYTES: usize = 64 * 1024;
/// Size of the files whose pages are touched.
const MAPPED_BYTES: usize = 1024 * 1024;

/// `pread` of `BYTES` at offset 0.
pub(crate) fn read_at<const BYTES: usize>(meter: Meter, stage: &Stage) -> Result<Sample> {
    let file = File::open(stage.scratch.small())?;
    let mut buffer = vec![0; BYTES];
    meter.repeat(|| {
        let count = file.read_at(&mut buffer, 0)?;
        ensure!(count == BYTES, "pread of {BYTES} bytes returned {count}");
        Ok(())
    })
}

/// `pwrite` of `BYTES` at offset 0, of a file that has this size after the first.
pub(crate) fn write_at<const BYTES: usize>(meter: Meter, stage: &Stage) -> Result<Sample> {
    let file = File::create(stage.scratch.written())?;
    let buffer = vec![0x5a; BYTES];
    meter.repeat(|| {
        let count = file.write_at(&buffer, 0)?;
        ensure!(count == BYTES, "pwrite of {BYTES} bytes returned {count}");
        Ok(())
    })
}

/// The whole big file once, from its start, by `read` of 64 KiB; figures are per piece.
pub(crate) fn read_sequential(meter: Meter, stage: &Stage) -> Result<Sample> {
    let path = stage.scratch.big();
    let mut file = File::open(&path)?;
    let pieces = file.metadata()?.len() / SEQUENTIAL_PIECE_BYTES as u64;
    let mut buffer = vec![0; SEQUENTIAL_PIECE_BYTES];
    meter
        .exactly(pieces, || Ok(file.read_exact(&mut buffer)?))
        .with_context(|| format!("reading {}", path.display()))
}

/// First touch of every page of a private mapping, again and again of one file; per page,
/// with its share of mmap and munmap.
pub(crate) fn touch_mapping(meter: Meter, stage: &Stage) -> Result<Sample> {
    let file = File::open(stage.scratch.small())?;
    let touch = || raw_calls::touch_private_mapping(&file, MAPPED_BYTES).map(drop);
    Ok(meter.repeat(touch)?.per_part(pages()))
}

/// The same, of a file nobody has mapped before: what a host without a copy pays. Per page.
pub(crate) fn touch_new_mapping(meter: Meter, stage: &Stage) -> Result<Sample> {
    let path = stage.scratch.mapped();
    let mut content = vec![0_u8; MAPPED_BYTES];
    // Content never seen before in this or an earlier run, so no copy of it can exist anywhere.
    let mut unique = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_nanos();
    let write_new = || {
        for page in content.chunks_exact_mut(PAGE_BYTES) {
            unique += 1;
            page[..16].copy_from_slice(&unique.to_le_bytes());
        }
        // Unlink first: the old mapping's pages must not be rewritten under anybody's cache.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        fs::write(&path, &content)?;
        Ok(File::open(&path)?)
    };
    let touch = |file: &File| raw_calls::touch_private_mapping(file, MAPPED_BYTES).map(drop);
    Ok(meter.prepared(write_new, touch)?.per_part(pages()))
}

fn pages() -> u64 {
    (MAPPED_BYTES / PAGE_BYTES) as u64
}
