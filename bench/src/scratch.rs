//! The files the operations work on: one directory per bench run, removed at its end.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tiny;

/// Size of the small file: the largest single read.
const SMALL_BYTES: usize = 1024 * 1024;

/// Names of the files in a scratch directory; says nothing about who removes them.
#[derive(Clone, Debug)]
pub struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    /// The files in `directory`, which exists.
    pub fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Makes what the operations expect to find; the big file gets `big_bytes`.
    pub fn fill(&self, big_bytes: u64) -> Result<()> {
        self.fill_all(big_bytes)
            .with_context(|| format!("preparing files in {}", self.directory.display()))
    }

    fn fill_all(&self, big_bytes: u64) -> io::Result<()> {
        tiny::write(&self.tiny())?;
        let content: Vec<u8> = (0..SMALL_BYTES).map(|at| (at / 7) as u8).collect();
        File::create(self.small())?.write_all(&content)?;
        let mut big = File::create(self.big())?;
        for _ in 0..big_bytes / SMALL_BYTES as u64 {
            big.write_all(&content)?;
        }
        // Written back now, not in the middle of a measurement; the pages stay in the cache.
        big.sync_all()
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file of 1 MiB to read, stat, open and map.
    pub(crate) fn small(&self) -> PathBuf {
        self.directory.join("small")
    }

    /// The file to read from start to end.
    pub(crate) fn big(&self) -> PathBuf {
        self.directory.join("big")
    }

    /// A file the write operations make and overwrite.
    pub(crate) fn written(&self) -> PathBuf {
        self.directory.join("written")
    }

    /// A file made anew for each mapping.
    pub(crate) fn mapped(&self) -> PathBuf {
        self.directory.join("mapped")
    }

    /// The smallest static program.
    pub(crate) fn tiny(&self) -> PathBuf {
        self.directory.join("tiny")
    }
}
