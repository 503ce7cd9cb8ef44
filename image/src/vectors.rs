//! Reads and writes of many pieces; of writev(2) and sendmsg(2), of which a part is written, what is left
//! of their vectors.

use crate::unfinished::WRITE_BYTES_MAX;

/// Reads the program's memory; whether all of it could be read.
pub type Read<'a> = &'a dyn Fn(u64, &mut [u8]) -> bool;

/// Most pieces of one call (UIO_MAXIOV).
const PIECES_MAX: u64 = 1024;
/// Bytes of a `struct iovec`.
const PIECE_BYTES: usize = 16;
/// Bytes of a `struct msghdr`.
const HEADER_BYTES: usize = 56;
/// Where in a `struct msghdr` stand the address and number of the pieces, and
/// the length of the control data.
const HEADER_PIECES: usize = 16;
const HEADER_COUNT: usize = 24;
const HEADER_CONTROL: usize = 40;

/// What a call reads or writes.
pub(crate) struct Vectors {
    /// The `struct msghdr`, if the call has one.
    header: Option<[u8; HEADER_BYTES]>,
    /// Address and length of each piece.
    pieces: Vec<[u64; 2]>,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

impl Vectors {
    /// Whether the call writes many pieces, and may write fewer bytes when it is interrupted.
    pub(crate) fn are_written(nr: u32) -> bool {
        matches!(i64::from(nr), libc::SYS_writev | libc::SYS_sendmsg)
    }

    /// Those of such a call.
    pub(crate) fn of_write(nr: u32, args: &[u64; 6], read: Read) -> Option<Vectors> {
        Vectors::are_written(nr).then(|| Vectors::of(nr, args, read))?
    }

    /// Those of a call; none if its memory cannot be read.
    pub(crate) fn of(nr: u32, args: &[u64; 6], read: Read) -> Option<Vectors> {
        let (header, at, count) = match i64::from(nr) {
            libc::SYS_writev | libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
                (None, args[1], args[2])
            }
            libc::SYS_sendmsg => {
                let mut header = [0; HEADER_BYTES];
                read(args[1], &mut header).then_some(())?;
                let (at, count) = (word(&header, HEADER_PIECES), word(&header, HEADER_COUNT));
                (Some(header), at, count)
            }
            _ => return None,
        };
        if count > PIECES_MAX {
            return None;
        }
        let mut bytes = vec![0; count as usize * PIECE_BYTES];
        read(at, &mut bytes).then_some(())?;
        let pieces = bytes.chunks_exact(PIECE_BYTES);
        let pieces = pieces
            .map(|piece| [word(piece, 0), word(piece, 8)])
            .collect();
        Some(Vectors { header, pieces })
    }

    /// Bytes that the kernel reads or writes at most.
    pub(crate) fn bytes(&self) -> u64 {
        let lengths = self.pieces.iter().map(|[_, length]| *length);
        lengths.fold(0, u64::saturating_add).min(WRITE_BYTES_MAX)
    }

    /// Leaves out the first `done` bytes, and control data, which went with them.
    pub(crate) fn skip(&mut self, done: u64) {
        let (mut skipped, mut room) = (done, self.bytes().saturating_sub(done));
        for [at, length] in &mut self.pieces {
            let here = skipped.min(*length);
            skipped -= here;
            *at = at.wrapping_add(here);
            *length = (*length - here).min(room);
            room -= *length;
        }
        self.pieces.retain(|[_, length]| *length > 0);
        if let Some(header) = &mut self.header {
            header[HEADER_CONTROL..HEADER_CONTROL + 8].fill(0);
        }
    }

    /// The arguments of a call that is given these vectors, and the bytes to put
    /// into its memory before, which end at most at `below`.
    pub(crate) fn give(mut self, args: &mut [u64; 6], below: u64) -> Option<(u64, Vec<u8>)> {
        let header_bytes = self.header.map_or(0, |header| header.len());
        let bytes = header_bytes + self.pieces.len() * PIECE_BYTES;
        let start = below.checked_sub(bytes as u64)? & !15;
        let pieces_at = start + header_bytes as u64;
        let count = self.pieces.len() as u64;
        args[1] = start;
        match &mut self.header {
            Some(header) => {
                header[HEADER_PIECES..HEADER_COUNT].copy_from_slice(&pieces_at.to_ne_bytes());
                header[HEADER_COUNT..HEADER_COUNT + 8].copy_from_slice(&count.to_ne_bytes());
            }
            None => args[2] = count,
        }
        let mut given = self.header.map_or(Vec::new(), |header| header.to_vec());
        for piece in self.pieces {
            given.extend(piece.map(u64::to_ne_bytes).as_flattened());
        }
        Some((start, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_left_out() {
        let pieces = [[0x1000u64, 10], [0x2000, 20], [0x3000, 30]];
        let read = |at: u64, into: &mut [u8]| {
            let bytes = pieces.map(|piece| piece.map(u64::to_ne_bytes)).concat();
            into.copy_from_slice(bytes.as_flattened());
            at == 0x500
        };
        let nr = libc::SYS_writev as u32;
        let mut args = [1, 0x500, 3, 0, 0, 0];
        let mut vectors = Vectors::of(nr, &args, &read).expect("readable vectors");
        assert_eq!(vectors.bytes(), 60);
        vectors.skip(15);
        let (at, bytes) = vectors.give(&mut args, 0x8008).expect("room");
        assert_eq!((at, args[1], args[2]), (0x7fe0, 0x7fe0, 2));
        let rest = [[0x2005u64, 15], [0x3000, 30]].map(|piece| piece.map(u64::to_ne_bytes));
        assert_eq!(bytes, rest.concat().as_flattened());
        assert!(Vectors::of(nr, &[1, 0x600, 3, 0, 0, 0], &read).is_none());
        assert!(Vectors::of(nr, &[1, 0x500, 1025, 0, 0, 0], &read).is_none());
    }
}
