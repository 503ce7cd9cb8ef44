//! The sending direction of a lane.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use zerocopy::IntoBytes;

use crate::error::LaneError;
use crate::frame::{
    FrameHeader, Kind, LENGTH_BYTES, MAGIC, PAYLOAD_BYTES_MAX, PAYLOAD_START, TAG_BYTES, VERSION,
};
use crate::receiver::KEPT_BYTES;
use crate::seal::DirectionKey;

/// Initial size of the buffer in bytes; most calls fit.
const INITIAL_BYTES: usize = 2048;

/// After this many frames in a row that fit [`KEPT_BYTES`], a larger buffer is given back.
const SMALL_FRAMES_BEFORE_SHRINK: u32 = 256;

/// The sending half of a [`Lane`](crate::Lane). The connection ends when both halves are dropped.
pub struct Sender {
    stream: Arc<TcpStream>,
    key: DirectionKey,
    /// One record: [`PAYLOAD_START`] reserved bytes, payload, tag.
    buffer: Vec<u8>,
    /// `buffer` holds a payload that has not been sent.
    begun: bool,
    failed: bool,
    small_frames: u32,
}

impl Sender {
    pub(crate) fn new(stream: Arc<TcpStream>, key: DirectionKey) -> Sender {
        Sender {
            stream,
            key,
            buffer: Vec::with_capacity(INITIAL_BYTES),
            begun: false,
            failed: false,
            small_frames: 0,
        }
    }

    /// The buffer for the next payload: append to it, then [`send`](Self::send).
    ///
    /// It starts with [`PAYLOAD_START`] reserved bytes, which must stay in front; what is written
    /// to them has no effect. A payload that was begun before and not sent is discarded.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.buffer.clear();
        if self.small_frames >= SMALL_FRAMES_BEFORE_SHRINK {
            self.small_frames = 0;
            self.buffer.shrink_to(KEPT_BYTES);
        }
        self.buffer.resize(PAYLOAD_START, 0);
        self.begun = true;
        &mut self.buffer
    }

    /// Sends what was appended since [`begin`](Self::begin), or an empty payload if there was no
    /// `begin` since the last frame. Blocks while the other side does not read.
    ///
    /// # Errors
    /// [`TooLarge`](LaneError::TooLarge) and [`Misuse`](LaneError::Misuse): the payload is
    /// discarded, nothing was sent, the lane is usable. All others: the frame may or may not have
    /// been received, this direction is closed and every later send is
    /// [`Closed`](LaneError::Closed); frames that have already come in can still be received.
    pub fn send(&mut self, kind: Kind, lease_epoch: u32, request: u64) -> Result<(), LaneError> {
        self.send_number(kind.number(), lease_epoch, request)
    }

    /// [`send`](Self::send) for the handshake's own kind too.
    pub(crate) fn send_number(
        &mut self,
        kind: u16,
        lease_epoch: u32,
        request: u64,
    ) -> Result<(), LaneError> {
        if self.failed {
            return Err(LaneError::Closed);
        }
        if !self.begun {
            self.begin();
        }
        self.begun = false;
        let Some(payload_bytes) = self.buffer.len().checked_sub(PAYLOAD_START) else {
            return Err(LaneError::Misuse(
                "the reserved start of the payload buffer was removed",
            ));
        };
        let payload_bytes = match u32::try_from(payload_bytes) {
            Ok(bytes) if payload_bytes <= PAYLOAD_BYTES_MAX => bytes,
            _ => {
                self.buffer = Vec::new();
                return Err(LaneError::TooLarge {
                    bytes: payload_bytes,
                    bytes_max: PAYLOAD_BYTES_MAX,
                });
            }
        };
        let header = FrameHeader {
            magic: MAGIC,
            version: VERSION,
            kind,
            payload_bytes,
            lease_epoch,
            request,
        };
        let sent = self.seal(header).and_then(|()| self.write());
        if sent.is_err() {
            self.failed = true;
            // Fails only if the connection is gone already.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        sent
    }

    /// Turns header and payload in the buffer into a record.
    fn seal(&mut self, header: FrameHeader) -> Result<(), LaneError> {
        // At most SEALED_BYTES_MAX, asserted to fit.
        let sealed_bytes = (self.buffer.len() - LENGTH_BYTES + TAG_BYTES) as u32;
        let length = sealed_bytes.to_le_bytes();
        self.buffer[..LENGTH_BYTES].copy_from_slice(&length);
        self.buffer[LENGTH_BYTES..PAYLOAD_START].copy_from_slice(header.as_bytes());
        let tag = self.key.seal(length, &mut self.buffer[LENGTH_BYTES..])?;
        self.buffer.extend_from_slice(&tag);
        Ok(())
    }

    fn write(&mut self) -> Result<(), LaneError> {
        self.small_frames = match self.buffer.len() {
            0..=KEPT_BYTES => self.small_frames.saturating_add(1),
            _ => 0,
        };
        let mut stream: &TcpStream = &self.stream;
        stream
            .write_all(&self.buffer)
            .map_err(|e| LaneError::of_stream("sending a frame", e))
    }

    /// An earlier send failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The buffer, if it holds nothing to be sent and is larger than an idle lane should keep.
    pub(crate) fn releasable(&mut self) -> Option<&mut Vec<u8>> {
        (!self.begun && self.buffer.capacity() > KEPT_BYTES).then_some(&mut self.buffer)
    }
}
