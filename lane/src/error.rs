//! What can go wrong on a lane, and what state remains.

use std::io;

/// Failure of a lane operation.
///
/// After every variant but [`TooLarge`](Self::TooLarge) and [`Misuse`](Self::Misuse) the direction
/// that failed is finished: drop the lane. A send that failed says nothing about whether the other
/// side received the frame.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The connection ended: the other side closed it or died, or [`Closer::close`](crate::Closer)
    /// was called here, or an earlier call on this lane failed. A record that was cut off by the
    /// end is discarded.
    #[error("the lane is closed")]
    Closed,
    /// The kernel refused an operation.
    #[error("lane: {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The other side does not know the secret, or sent something malformed, oversized, altered,
    /// repeated or out of order. The connection has been shut down; count and log it.
    #[error("lane refused: {0}")]
    Refused(&'static str),
    /// The other side speaks another version of this protocol. Nothing else of what it said has
    /// been looked at.
    #[error(
        "lane version differs: {ours} here, {theirs} on the other node; install the same Homenode on both"
    )]
    Version {
        /// Version spoken here.
        ours: u16,
        /// Version the other side announced.
        theirs: u16,
    },
    /// The connection or its handshake was not complete within
    /// [`HANDSHAKE_TIMEOUT`](crate::HANDSHAKE_TIMEOUT).
    #[error("lane: no complete handshake within {} s", crate::HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
    /// What was to be sent exceeds its bound. Nothing was sent; the lane is usable.
    #[error("lane: {bytes} bytes to send, at most {bytes_max} are allowed")]
    TooLarge {
        /// Size that was asked for.
        bytes: usize,
        /// Largest size allowed, [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX) or
        /// [`CONTROL_BYTES_MAX`](crate::control::CONTROL_BYTES_MAX).
        bytes_max: usize,
    },
    /// The calling code broke a rule of this crate. Nothing was sent; the lane is usable.
    #[error("lane used wrongly: {0}")]
    Misuse(&'static str),
}

impl LaneError {
    /// Sorts an I/O failure of an established connection: a connection that is gone is
    /// [`Closed`](Self::Closed), everything else [`Io`](Self::Io).
    pub(crate) fn of_stream(doing: &'static str, source: io::Error) -> LaneError {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        match source.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected => LaneError::Closed,
            _ => LaneError::Io { doing, source },
        }
    }
}
