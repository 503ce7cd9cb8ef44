//! Checkpoints of the command that are taken again and again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use image::capture::status_field;

use crate::job::Job;

/// Starts what `--checkpoint-every` asks for. Ends with the home proxy.
pub(crate) fn start(job: &Arc<Job>) {
    let Some((seconds, file)) = job.setup.checkpoint.clone() else {
        return;
    };
    let own = Arc::clone(job);
    let started = thread::Builder::new()
        .name("checkpoints".into())
        .spawn(move || repeat(&own, Duration::from_secs(seconds), &PathBuf::from(file)));
    if let Err(error) = started {
        let text = format!("no checkpoints are taken: {error}");
        job.message(job.setup.target, &text);
    }
}

/// Whether we trace process `pid`.
fn is_ours(pid: i32) -> bool {
    let status = sys::proc_text::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let tracer = status_field(&status, "TracerPid:").and_then(|tracer| tracer.parse().ok());
    tracer == Some(std::process::id())
}

fn repeat(job: &Job, interval: Duration, file: &Path) {
    let mut has_said = false;
    loop {
        thread::sleep(interval);
        let pid = job.setup.target;
        // Another process may have its pid once it has ended.
        if !is_ours(pid) {
            return;
        }
        match super::save(job, pid, file) {
            Ok(()) => has_said = false,
            Err(why) if has_said => tracing::debug!("no checkpoint of process {pid}: {why}"),
            Err(why) => {
                has_said = true;
                let text = format!(
                    "no checkpoint of process {pid} in {}: {why}; the last one is kept, and it is tried \
                     again every {} s",
                    file.display(),
                    interval.as_secs()
                );
                job.message(pid, &text);
            }
        }
    }
}
