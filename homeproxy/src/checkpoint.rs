//! Checkpoints: taken of a process wherever it runs, written to a file, read again.
//!
//! A process that runs elsewhere comes home for it, and goes back.

mod periodic;
pub(crate) mod surroundings;
mod write;

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use image::checkpoint::Checkpoint;

use crate::hosts::Host;
use crate::job::{Job, Order, lock};
use crate::tracer::moving::Destination;

pub(crate) use periodic::start;

/// Longest time that a process which is on its way is waited for.
const BUSY_MAX: Duration = Duration::from_secs(20);
/// How often it is looked meanwhile.
const BUSY_LOOK: Duration = Duration::from_millis(5);

/// What the tracer answers.
pub(crate) type Taken = Result<Box<Checkpoint>, NotTaken>;

/// Why it has taken no checkpoint.
pub(crate) enum NotTaken {
    /// The process runs there.
    Away(Arc<Host>),
    /// It is on its way.
    Busy,
    /// It cannot be saved; in words.
    Refused(String),
}

/// Takes a checkpoint of process `pid` and writes it to `file`.
///
/// # Errors
/// In words; the process goes on, and what `file` was before is as it was.
pub(crate) fn save(job: &Job, pid: i32, file: &Path) -> Result<(), String> {
    // One at a time, and the job's end waits for it.
    let _turn = lock(&job.saving);
    write::may_replace(file)?;
    let since = Instant::now();
    let mut came_from = None;
    let taken = loop {
        let (done, answer) = mpsc::channel();
        job.order(Order::Save { pid, done });
        match answer.recv() {
            Ok(Ok(taken)) => break Ok(taken),
            Ok(Err(NotTaken::Refused(why))) => break Err(why),
            Err(_) => break Err("it has ended, or executed another program".to_owned()),
            Ok(Err(_)) if since.elapsed() > BUSY_MAX => break Err("it is on its way".to_owned()),
            Ok(Err(NotTaken::Busy)) => thread::sleep(BUSY_LOOK),
            Ok(Err(NotTaken::Away(host))) => match go(job, pid, Destination::Home) {
                Ok(()) => came_from = Some(host),
                Err(why) => break Err(format!("it has to come home for that: {why}")),
            },
        }
    };
    if let Some(host) = came_from
        && let Err(why) = go(job, pid, Destination::Host(host))
    {
        tracing::info!("process {pid} goes on at home after its checkpoint: {why}");
    }
    let mut taken = taken?;
    taken.omit_zeros();
    write::replace(file, &taken)
}

/// Moves a process and waits for what comes of it.
fn go(job: &Job, pid: i32, to: Destination) -> Result<(), String> {
    let (done, outcome): (Sender<_>, _) = mpsc::channel();
    let all = false;
    job.order(Order::Move { pid, all, to, done });
    match outcome.recv() {
        Ok((_, result)) => result,
        Err(_) => Err("it has ended".to_owned()),
    }
}

/// Reads and checks the checkpoint at `path`, which must be the user's own.
///
/// # Errors
/// Why it is not restarted.
pub fn read(path: &Path) -> anyhow::Result<Checkpoint> {
    let doing = || format!("restart from {}", path.display());
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .with_context(doing)?;
    let meta = file.metadata().with_context(doing)?;
    ensure!(meta.is_file(), "{}: it is no regular file", doing());
    let own = sys::process::ids().uid;
    ensure!(
        meta.uid() == own,
        "{}: it belongs to user {}, not to user {own}; who restarts a checkpoint runs what is in it",
        doing(),
        meta.uid()
    );
    ensure!(
        meta.mode() & 0o022 == 0,
        "{}: others may write it (chmod go-w, if you know what is in it)",
        doing()
    );
    let checkpoint = Checkpoint::read(&mut file, meta.len()).with_context(doing)?;
    let kernel = surroundings::kernel().with_context(doing)?;
    ensure!(
        checkpoint.head.kernel == kernel,
        "{}: it was taken under another kernel ({}), whose code it calls; this is {kernel}",
        doing(),
        local::job::shown(&checkpoint.head.kernel)
    );
    let missing = checkpoint.missing_features(&sys::processor::features());
    ensure!(
        missing.is_empty(),
        "{}: the processor here cannot do what it may use: {}",
        doing(),
        missing.join(", ")
    );
    Ok(checkpoint)
}

/// A checkpoint that process `target` is to become.
pub(crate) struct Restarted {
    pub(crate) checkpoint: Checkpoint,
    /// Files that its image has mapped.
    pub(crate) mapped: Vec<Arc<File>>,
}

impl Restarted {
    /// Reads it and finds what it needs, before anything is started.
    pub(crate) fn prepare(path: &Path, job: &Job) -> anyhow::Result<Restarted> {
        let checkpoint = read(path)?;
        let target = job.setup.target;
        for file in &checkpoint.head.files {
            surroundings::check_there(file, target)
                .with_context(|| format!("restart from {}", path.display()))?;
        }
        let mut mapped = Vec::new();
        for wanted in &checkpoint.image.files {
            let changed = || {
                format!(
                    "restart from {}: {}, which it has mapped, has changed",
                    path.display(),
                    wanted.path
                )
            };
            let is_there = std::fs::metadata(&wanted.path).is_ok_and(|meta| meta.is_file());
            ensure!(is_there, changed());
            let file = File::open(&wanted.path).with_context(changed)?;
            let (digest, bytes) = job.digests.of(&file).with_context(changed)?;
            ensure!((digest, bytes) == (wanted.digest, wanted.bytes), changed());
            mapped.push(Arc::new(file));
        }
        Ok(Restarted { checkpoint, mapped })
    }
}

/// What an open file is called in messages.
fn shown(path: &[u8]) -> String {
    local::job::shown(&String::from_utf8_lossy(path))
}
