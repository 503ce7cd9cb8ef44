//! Which calls may be carried out in pieces.

/// Whether a call moves a stream of bytes that may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// The call is carried out whole or not at all.
    None,
    /// Reads bytes: a call that asks for more than fits is cut, and may be
    /// continued with the rest while each piece comes back full.
    Read,
    /// Writes bytes: likewise.
    Write,
}

/// One call that may be cut. Its bytes are always argument 1.
struct Stream {
    nr: u32,
    pieces: Pieces,
    position: Option<u8>,
}

const fn stream(nr: u32, pieces: Pieces, position: Option<u8>) -> Stream {
    Stream {
        nr,
        pieces,
        position,
    }
}

const STREAMS: &[Stream] = &[
    stream(0, Pieces::Read, None),       // read
    stream(1, Pieces::Write, None),      // write
    stream(17, Pieces::Read, Some(3)),   // pread64
    stream(18, Pieces::Write, Some(3)),  // pwrite64
    stream(19, Pieces::Read, None),      // readv
    stream(20, Pieces::Write, None),     // writev
    stream(44, Pieces::Write, None),     // sendto
    stream(45, Pieces::Read, None),      // recvfrom
    stream(46, Pieces::Write, None),     // sendmsg
    stream(47, Pieces::Read, None),      // recvmsg
    stream(295, Pieces::Read, Some(3)),  // preadv
    stream(296, Pieces::Write, Some(3)), // pwritev
    stream(327, Pieces::Read, Some(3)),  // preadv2
    stream(328, Pieces::Write, Some(3)), // pwritev2
];

fn find(nr: u32) -> Option<&'static Stream> {
    STREAMS.iter().find(|stream| stream.nr == nr)
}

/// Whether the call with this number may be cut.
///
/// Only streams may be continued: a caller that continues a cut call must know
/// that the descriptor is not a socket that keeps message borders (a message
/// of more than a mebibyte exceeds the kernel's default limits many times).
pub fn pieces(nr: u32) -> Pieces {
    find(nr).map_or(Pieces::None, |stream| stream.pieces)
}

/// Index of the argument that holds the position in the file, if the call has
/// one.
pub(crate) fn position(nr: u32) -> Option<usize> {
    find(nr).and_then(|stream| stream.position).map(usize::from)
}

/// Whether the stream is a message, or may be one: calls that only sockets take.
/// The kernel cuts their byte count before it checks the range.
pub(crate) fn is_socket(nr: u32) -> bool {
    (44..=47).contains(&nr)
}
