//! Capture, ship, rebuild: the one mechanism behind every movement.
//!
//! [`capture`] reads a stopped process into an [`Image`]; [`deputy`] turns what
//! is left of it into a deputy; [`rebuild`] makes a body from the image under
//! the stub of another node. All of it runs on the tracer's thread.

pub mod capture;
pub mod checkpoint;
pub mod cpu_time;
pub mod cpu_timers;
pub mod cut;
pub mod deputy;
pub mod files;
pub mod held;
pub mod inject;
pub mod limits;
pub mod maps;
pub mod messages;
pub mod peak;
mod pending;
pub mod postcopy;
pub mod rebuild;
mod remake;
pub mod restart;
pub mod restore;
pub mod schema;
pub mod seen;
pub mod settings;
pub mod shortening;
pub mod socket_limit;
mod survey;
pub mod unfinished;
pub mod vectors;

use std::io::Read;

pub use schema::Image;
use sys::ptrace::Change;

/// Why a movement did not happen. The process is where it was before, unless it has ended.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A step on the process failed; usually it has ended meanwhile.
    #[error("{doing} of process {pid}: {source}")]
    Step {
        /// What was tried.
        doing: &'static str,
        /// On whom (pid on this node).
        pid: i32,
        /// Why not.
        source: std::io::Error,
    },
    /// It has something that cannot be rebuilt elsewhere.
    #[error("process {pid} stays where it is: {reason}")]
    Stays {
        /// Its pid on this node.
        pid: i32,
        /// In words for the user.
        reason: String,
    },
    /// It has ended, and its end has been waited for: nobody else will see it.
    #[error("process {pid} has ended")]
    Ended {
        /// Its pid on this node.
        pid: i32,
        /// How.
        change: Change,
    },
    /// The image is not one of ours, of another version, or damaged.
    #[error("image refused: {0}")]
    Refused(String),
}

impl ImageError {
    /// For `map_err`: names the step and the process.
    pub fn step(doing: &'static str, pid: i32) -> impl FnOnce(std::io::Error) -> ImageError {
        move |source| ImageError::Step { doing, pid, source }
    }
}

/// All of `/proc/PID/name`, in as few reads as it takes.
fn proc_file(pid: i32, name: &str) -> std::io::Result<Vec<u8>> {
    const USUAL_BYTES: usize = 8 * 1024;
    let file = std::fs::File::open(format!("/proc/{pid}/{name}"))?;
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    // Not `read_to_end` of the file itself, which asks for its size: that is 0.
    file.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
