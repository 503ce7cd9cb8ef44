//! Capture, ship, rebuild: the one mechanism behind every movement.
//!
//! [`capture`] reads a stopped process into an [`Image`]; [`deputy`] turns what
//! is left of it into a deputy; [`rebuild`] makes a body from the image under
//! the stub of another node. All of it runs on the tracer's thread.

pub mod capture;
pub mod deputy;
pub mod files;
pub mod limits;
pub mod maps;
pub mod rebuild;
pub mod schema;

pub use schema::Image;

/// Why a movement did not happen. The process is where it was before.
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
