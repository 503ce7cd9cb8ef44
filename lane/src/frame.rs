//! Frames: a fixed header and a bounded payload.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryFromBytes};

use crate::error::LaneError;

#[cfg(target_endian = "big")]
compile_error!("headers are laid out as they are in memory, which must be little-endian");

/// First four bytes of each hello and header: `HNLA`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"HNLA");

/// Version of everything in this crate that travels. Raised with each incompatible change of a
/// record, a header, a kind's payload or a control message.
pub const VERSION: u16 = 3;

/// Largest payload of one frame in bytes: 1 MiB of data and 64 KiB for what describes it.
pub const PAYLOAD_BYTES_MAX: usize = (2 << 20) + 256 * 1024;

/// Bytes of the length field before each sealed part.
pub(crate) const LENGTH_BYTES: usize = 4;
/// Bytes of the authentication tag after each sealed part.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of [`FrameHeader`].
pub(crate) const HEADER_BYTES: usize = size_of::<FrameHeader>();

/// Where the payload starts in the buffer that [`Lane::begin`](crate::Lane::begin) returns, in
/// bytes. What lies before is reserved and overwritten by `send`.
pub const PAYLOAD_START: usize = LENGTH_BYTES + HEADER_BYTES;

/// Smallest value of a record's length field: an empty frame.
pub(crate) const SEALED_BYTES_MIN: usize = HEADER_BYTES + TAG_BYTES;
/// Largest value of a record's length field.
pub(crate) const SEALED_BYTES_MAX: usize = SEALED_BYTES_MIN + PAYLOAD_BYTES_MAX;
/// Largest record with its length field, hence the largest buffer.
pub(crate) const RECORD_BYTES_MAX: usize = LENGTH_BYTES + SEALED_BYTES_MAX;

const _: () = assert!(size_of::<FrameHeader>() == 24);
const _: () = assert!(SEALED_BYTES_MAX <= u32::MAX as usize);

/// What precedes each payload, inside the sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FrameHeader {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// Number of a [`Kind`].
    pub kind: u16,
    /// Bytes that follow the header, at most [`PAYLOAD_BYTES_MAX`].
    pub payload_bytes: u32,
    /// Epoch of the run-lease under which the sender acts; the receiver refuses older ones.
    pub lease_epoch: u32,
    /// Number that pairs an answer with its request.
    pub request: u64,
}

/// What a frame means. Numbers are part of the protocol and never reused; 0 is the proof that ends
/// the handshake and is never seen outside it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, TryFromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(u16)]
pub enum Kind {
    /// Host to home: this lane is to serve that thread.
    Bind = 1,
    /// Answer to [`Bind`](Self::Bind).
    Bound = 2,
    /// Host to home: execute a system call.
    Call = 3,
    /// Answer to [`Call`](Self::Call).
    Result = 4,
    /// Host to home: create a process or thread.
    Fork = 5,
    /// Answer to [`Fork`](Self::Fork).
    Forked = 6,
    /// Host to home: execute a program.
    Exec = 7,
    /// Answer to [`Exec`](Self::Exec).
    ExecResult = 8,
    /// Ask for an image.
    FetchImage = 9,
    /// Part of an image, answer to [`FetchImage`](Self::FetchImage).
    ImagePart = 10,
    /// Ask what a file is: size, attributes, digest.
    DescribeFile = 11,
    /// Answer to [`DescribeFile`](Self::DescribeFile).
    FileDescribed = 12,
    /// Ask for content of a file.
    FetchFile = 13,
    /// Content of a file, answer to [`FetchFile`](Self::FetchFile).
    FilePart = 14,
    /// A [control message](crate::control), either way.
    Control = 15,
    /// Answer to any request that could not be served.
    Error = 16,
    /// Front part of a request that is longer than a frame; the next frames of the lane are its
    /// other parts, the last of them of the request's own kind.
    Part = 17,
    /// Host to home: on this lane home may ask about bodies.
    Inspect = 18,
    /// Home to host: a [question](crate::inspect) about a body.
    AskBody = 19,
    /// Answer to [`AskBody`](Self::AskBody).
    BodyAnswer = 20,
    /// Host to home: about a file that is [read ahead](crate::ahead); never answered as a call is.
    Ahead = 21,
    /// Home to host, unasked: content of a file that is [read ahead](crate::ahead).
    Pushed = 22,
    /// Host to home: what comes next on this lane comes after so many
    /// [`Ahead`](Self::Ahead) frames of the whole process.
    After = 23,
    /// Host to home: part of the image of the bound process, which is to go on at home. The first
    /// has two lengths in bytes: of the image, and of its pages, which follow in that order.
    Return = 24,
    /// Answer to [`Return`](Self::Return): why the process cannot go on at home, in words; empty
    /// if it does.
    Returned = 25,
    /// Host to home: this lane is about [pages that follow](crate::pages) an image.
    Pages = 26,
    /// Pages of a process; without any: these were all.
    Parcel = 27,
    /// Host to home: the process misses [these pages](crate::pages::Wanted); answered by a
    /// [`Parcel`](Self::Parcel).
    Wanted = 28,
    /// The host has all pages; answered by the same, when home has dropped them.
    Complete = 29,
    /// Host to home: execute a system call, and behind it [guesses](crate::guesses).
    Calls = 30,
    /// Answer to [`Calls`](Self::Calls), if guesses were executed.
    Results = 31,
}

impl Kind {
    /// The kind with this number, if there is one.
    pub fn from_number(number: u16) -> Option<Kind> {
        Kind::try_read_from_bytes(number.as_bytes()).ok()
    }

    /// The kind's number in a header.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A received frame, valid until the lane is used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the frame means.
    pub kind: Kind,
    /// Epoch of the run-lease under which the sender acts.
    pub lease_epoch: u32,
    /// Number that pairs an answer with its request.
    pub request: u64,
    /// At most [`PAYLOAD_BYTES_MAX`] bytes: authentic, yet to be validated like all input.
    pub payload: &'a [u8],
}

/// Shows the payload's size, not its bytes: they are the user's.
impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("lease_epoch", &self.lease_epoch)
            .field("request", &self.request)
            .field("payload_bytes", &self.payload.len())
            .finish()
    }
}

/// Takes the opened part of a record apart and validates the header, apart from its kind.
pub(crate) fn parse(opened: &[u8]) -> Result<(FrameHeader, &[u8]), LaneError> {
    let Ok((header, payload)) = FrameHeader::read_from_prefix(opened) else {
        return Err(LaneError::Refused("frame shorter than its header"));
    };
    if header.magic != MAGIC {
        return Err(LaneError::Refused("frame without the magic number"));
    }
    if header.version != VERSION {
        return Err(LaneError::Version {
            ours: VERSION,
            theirs: header.version,
        });
    }
    if header.payload_bytes as usize != payload.len() {
        return Err(LaneError::Refused("payload size differs from the header"));
    }
    Ok((header, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_numbers_of_the_protocol() {
        let known: Vec<u16> = (0..=u16::MAX)
            .filter(|n| Kind::from_number(*n).is_some())
            .collect();
        assert_eq!(known, (1..=31).collect::<Vec<u16>>());
        assert!(
            known
                .iter()
                .all(|n| Kind::from_number(*n).map(Kind::number) == Some(*n))
        );
    }

    #[test]
    fn header_is_validated_field_by_field() {
        let good = FrameHeader {
            magic: MAGIC,
            version: VERSION,
            kind: 3,
            payload_bytes: 2,
            lease_epoch: 7,
            request: 9,
        };
        let bytes = |header: FrameHeader| [header.as_bytes(), b"ab"].concat();
        assert!(matches!(parse(&bytes(good)), Ok((h, b"ab")) if h == good));
        assert!(matches!(
            parse(&bytes(good)[..23]),
            Err(LaneError::Refused(_))
        ));
        let magic = FrameHeader { magic: 1, ..good };
        assert!(matches!(parse(&bytes(magic)), Err(LaneError::Refused(_))));
        let version = FrameHeader {
            version: VERSION + 1,
            ..good
        };
        assert!(matches!(
            parse(&bytes(version)),
            Err(LaneError::Version { ours: VERSION, theirs }) if theirs == VERSION + 1
        ));
        for payload_bytes in [0, 1, 3, u32::MAX] {
            let size = FrameHeader {
                payload_bytes,
                ..good
            };
            assert!(matches!(parse(&bytes(size)), Err(LaneError::Refused(_))));
        }
    }
}
