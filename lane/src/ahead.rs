//! What is said about files that are read ahead: streams of a file's content that home sends
//! before it is asked, while it holds a read lease on the file.
//!
//! ```text
//!   host                                         home
//!   Ahead: start stream 7, descriptor 3,
//!          limit 256 KiB                ───────▶  takes the lease
//!                                       ◀───────  Pushed: stream 7, content
//!   Ahead: stream 7, 256 KiB consumed,
//!          limit 1280 KiB               ───────▶  moves the file's position
//!                                       ◀───────  Pushed: …
//!   Ahead: stream 7, stop               ───────▶  gives the lease back
//!                                       ◀───────  Pushed: stream 7, ended
//! ```
//!
//! Home sends exactly one frame with an end for each stream, and nothing of it afterwards. If
//! somebody wants to write the file, home says so on the control lane and gives the lease back
//! when the host has answered there.

use zerocopy::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::LaneError;

/// Most content in one frame, in bytes. Small enough to stay in a core's cache from the file to
/// the socket, and from there to the guest.
pub const PUSHED_BYTES_MAX: usize = 256 * 1024;

/// Most content that may be sent and not consumed, in bytes.
pub const WINDOW_BYTES_MAX: u64 = 1 << 20;

/// Begin a stream at the descriptor's position.
const START: u32 = 1;
/// End it.
const STOP: u32 = 2;

/// Payload of a frame of kind [`Ahead`](crate::Kind::Ahead).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Number of the stream, never used again in the job.
    pub stream: u64,
    /// Descriptor of the process.
    pub fd: i32,
    /// Begin the stream here.
    pub start: bool,
    /// End it.
    pub stop: bool,
    /// Bytes that the guest has read since the last frame: the position moves by so many.
    pub consumed: u64,
    /// Home may send so many bytes since the stream's start.
    pub limit: u64,
}

/// As it travels.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct AheadBytes {
    stream: U64,
    consumed: U64,
    limit: U64,
    fd: I32,
    flags: U32,
}

impl Ahead {
    /// Appends it to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = if self.start { START } else { 0 } | if self.stop { STOP } else { 0 };
        let bytes = AheadBytes {
            stream: self.stream.into(),
            consumed: self.consumed.into(),
            limit: self.limit.into(),
            fd: self.fd.into(),
            flags: flags.into(),
        };
        out.extend_from_slice(bytes.as_bytes());
    }

    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<Ahead, LaneError> {
        let bytes = AheadBytes::ref_from_bytes(payload)
            .map_err(|_| LaneError::Refused("malformed words about a stream"))?;
        let flags = bytes.flags.get();
        if flags & !(START | STOP) != 0 {
            return Err(LaneError::Refused("unknown words about a stream"));
        }
        Ok(Ahead {
            stream: bytes.stream.get(),
            fd: bytes.fd.get(),
            start: flags & START != 0,
            stop: flags & STOP != 0,
            consumed: bytes.consumed.get(),
            limit: bytes.limit.get(),
        })
    }
}

/// Whether and why a stream ends with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    No,
    /// This is the end of the file.
    OfFile,
    /// Home does not send this file, or was told to stop.
    Refused,
    /// Home sends no more of it: somebody wants to write it.
    Recalled,
}

/// Front of the payload of a frame of kind [`Pushed`](crate::Kind::Pushed); content follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Number of the stream.
    pub stream: u64,
    /// Number of the last signal sent to the process before the content was as it is.
    pub signals: u64,
    /// Whether and why this is the last frame.
    pub end: End,
}

/// As it travels.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PushedBytes {
    stream: U64,
    signals: U64,
    end: U32,
    reserved: U32,
}

impl Pushed {
    /// Bytes before the content.
    pub const BYTES: usize = size_of::<PushedBytes>();

    /// Writes it to `into`.
    pub fn encode(&self, into: &mut [u8; Self::BYTES]) {
        let bytes = PushedBytes {
            stream: self.stream.into(),
            signals: self.signals.into(),
            end: (self.end as u32).into(),
            reserved: 0.into(),
        };
        into.copy_from_slice(bytes.as_bytes());
    }

    /// The front, and the content.
    ///
    /// # Errors
    /// [`Refused`](LaneError::Refused): drop the lane it came on.
    pub fn decode(payload: &[u8]) -> Result<(Pushed, &[u8]), LaneError> {
        let (bytes, content) = PushedBytes::ref_from_prefix(payload)
            .map_err(|_| LaneError::Refused("pushed content without a front"))?;
        let end = match bytes.end.get() {
            0 => End::No,
            1 => End::OfFile,
            2 => End::Refused,
            3 => End::Recalled,
            _ => return Err(LaneError::Refused("a stream with an unknown end")),
        };
        if content.len() > PUSHED_BYTES_MAX {
            return Err(LaneError::Refused("more pushed content than allowed"));
        }
        let pushed = Pushed {
            stream: bytes.stream.get(),
            signals: bytes.signals.get(),
            end,
        };
        Ok((pushed, content))
    }
}

const _: () = assert!(PUSHED_BYTES_MAX + Pushed::BYTES <= crate::PAYLOAD_BYTES_MAX);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn both_ways_and_back() {
        for (start, stop, end) in [
            (true, false, End::No),
            (false, true, End::OfFile),
            (true, true, End::Refused),
            (false, false, End::Recalled),
        ] {
            let ahead = Ahead {
                stream: 7,
                fd: -3,
                start,
                stop,
                consumed: u64::MAX,
                limit: 1 << 40,
            };
            let mut bytes = Vec::new();
            ahead.encode(&mut bytes);
            assert_eq!(Ahead::decode(&bytes).unwrap(), ahead);
            assert!(Ahead::decode(&bytes[1..]).is_err());
            let pushed = Pushed {
                stream: 9,
                signals: 3,
                end,
            };
            let mut bytes = [0; Pushed::BYTES];
            pushed.encode(&mut bytes);
            let payload = [bytes.as_slice(), b"content"].concat();
            let decoded = Pushed::decode(&payload).unwrap();
            assert_eq!(decoded, (pushed, b"content".as_slice()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Ahead::decode(&[]).is_err());
        assert!(Ahead::decode(&[0xff; 32]).is_err());
        assert!(Pushed::decode(&[0xff; 24]).is_err());
        assert!(Pushed::decode(&[0; 23]).is_err());
        assert!(Pushed::decode(&vec![0; 25 + PUSHED_BYTES_MAX]).is_err());
    }
}
