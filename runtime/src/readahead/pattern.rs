//! Whether a thread reads a file from front to end.

use lane::ahead::End;

/// Reads in a row, each answered in full, and bytes of them together, after
/// which a file seems to be read from front to end.
const READS_MIN: u32 = 2;
const BYTES_MIN: u64 = 64 * 1024;
/// Most bytes that are waited for after streams of the same descriptor that were
/// not worth it.
const BYTES_MIN_MAX: u64 = 16 << 20;
/// Bytes after which a stream was worth it.
const WORTH_BYTES: u64 = 128 * 1024;

/// How the thread has been reading.
pub(super) struct Pattern {
    pub(super) fd: i32,
    reads: u32,
    bytes: u64,
    /// Bytes to be read before the next stream.
    bytes_min: u64,
}

impl Default for Pattern {
    fn default() -> Pattern {
        Pattern {
            fd: -1,
            reads: 0,
            bytes: 0,
            bytes_min: BYTES_MIN,
        }
    }
}

impl Pattern {
    /// A read has come back; whether the file seems to be read to its end.
    pub(super) fn is_sequential(&mut self, fd: i32, is_full: bool, bytes: u64) -> bool {
        if fd != self.fd {
            *self = Pattern::default();
            self.fd = fd;
        }
        if !is_full {
            (self.reads, self.bytes) = (0, 0);
        }
        if is_full {
            self.reads += 1;
            self.bytes += bytes;
        }
        self.reads >= READS_MIN && self.bytes >= self.bytes_min
    }

    /// A stream is over of which so much was read.
    pub(super) fn learn(&mut self, consumed: u64, end: End) {
        (self.reads, self.bytes) = (0, 0);
        self.bytes_min = match end {
            End::OfFile => BYTES_MIN,
            _ if consumed >= WORTH_BYTES => BYTES_MIN,
            _ => (self.bytes_min * 4).min(BYTES_MIN_MAX),
        };
    }
}
