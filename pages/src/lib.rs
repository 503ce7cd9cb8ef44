//! Both ends of post-copy: pages that follow a process which runs already.
//!
//! Where it comes from stands still and has two lanes ([`send`]): one on which all
//! pages go in order, one for those that are asked for. Where it goes both are
//! served until nothing is missing ([`take`]). The same in either direction: a process
//! that leaves home, and one that comes home.

mod send;
mod take;

use image::ImageError;
use image::schema::PageRun;
use lane::LaneError;

pub use send::{send_all, send_wanted};
pub use take::take;

/// The two halves of a lane.
pub type Halves = (lane::Sender, lane::Receiver);

/// Why pages do not come, or were not sent.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// The lane.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// They cannot be put in place.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The process that they are read from has ended, mostly.
    #[error("read the pages of process {pid}: {source}")]
    Read {
        /// The process.
        pid: i32,
        /// Why not.
        source: std::io::Error,
    },
    /// The other side asked for nonsense.
    #[error("{0}")]
    Malformed(&'static str),
    /// Something of this node's.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Pages that follow process `pid`, which stands still on this node.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The process.
    pub pid: i32,
    /// Which, by address.
    pub later: &'a [PageRun],
}
