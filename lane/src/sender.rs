//! The sending direction of a lane.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, send};
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
    /// From here on `buffer` holds a record that is not completely sent.
    unsent_from: Option<usize>,
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
            unsent_from: None,
            failed: false,
            small_frames: 0,
        }
    }

    /// The buffer for the next payload: append to it, then [`send`](Self::send).
    ///
    /// It starts with [`PAYLOAD_START`] reserved bytes, which must stay in front; what is written
    /// to them has no effect. A payload that was begun before and not sent is discarded.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.finish();
        self.buffer.clear();
        if self.small_frames >= SMALL_FRAMES_BEFORE_SHRINK {
            self.small_frames = 0;
            self.buffer.shrink_to(KEPT_BYTES);
        }
        self.buffer.resize(PAYLOAD_START, 0);
        self.begun = true;
        &mut self.buffer
    }

    /// As [`begin`](Self::begin), with a payload of `bytes` bytes already there that the caller
    /// overwrites or cuts off: what they are is unspecified. Spares filling a large buffer twice.
    pub fn begin_sized(&mut self, bytes: usize) -> &mut Vec<u8> {
        self.finish();
        self.buffer.reserve(PAYLOAD_START + bytes + TAG_BYTES);
        self.buffer.resize(PAYLOAD_START + bytes, 0);
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
        let sealed = self.seal_begun(kind, lease_epoch, request);
        self.settle(sealed, Sender::write)
    }

    /// As [`send`](Self::send) without waiting for the other side to read. `false`: a rest is left,
    /// which [`send_rest`](Self::send_rest) sends, or the next `begin` or `send`.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_some(
        &mut self,
        kind: Kind,
        lease_epoch: u32,
        request: u64,
    ) -> Result<bool, LaneError> {
        let sealed = self.seal_begun(kind.number(), lease_epoch, request);
        let sealed = sealed.map(|()| self.unsent_from = Some(0));
        self.settle(sealed, Sender::write_some)
    }

    /// Sends more of what [`send_some`](Self::send_some) has left, without waiting. `true`: nothing
    /// is left.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_rest(&mut self) -> Result<bool, LaneError> {
        self.settle(Ok(()), Sender::write_some)
    }

    /// Whether [`send_some`](Self::send_some) has left something.
    pub fn has_rest(&self) -> bool {
        self.unsent_from.is_some()
    }

    /// Sends what is left of an earlier record; if that fails, the next send says so.
    fn finish(&mut self) {
        if let Some(from) = self.unsent_from.take() {
            let mut stream: &TcpStream = &self.stream;
            if stream.write_all(&self.buffer[from..]).is_err() {
                self.failed = true;
                // Fails only if the connection is gone already.
                let _ = self.stream.shutdown(Shutdown::Write);
            }
        }
    }

    /// Goes on with `write` if the record is `sealed`. Only errors that leave the lane usable are
    /// no end of this direction.
    fn settle<T>(
        &mut self,
        sealed: Result<(), LaneError>,
        write: impl FnOnce(&mut Sender) -> Result<T, LaneError>,
    ) -> Result<T, LaneError> {
        if self.failed {
            return Err(LaneError::Closed);
        }
        let sent = sealed.and_then(|()| write(self));
        match &sent {
            Ok(_) | Err(LaneError::TooLarge { .. } | LaneError::Misuse(_)) => {}
            Err(_) => {
                self.failed = true;
                // Fails only if the connection is gone already.
                let _ = self.stream.shutdown(Shutdown::Write);
            }
        }
        sent
    }

    /// Turns what was begun into a record.
    fn seal_begun(&mut self, kind: u16, lease_epoch: u32, request: u64) -> Result<(), LaneError> {
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
        self.seal(header)
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
        self.count();
        let mut stream: &TcpStream = &self.stream;
        stream
            .write_all(&self.buffer)
            .map_err(|e| LaneError::of_stream("sending a frame", e))
    }

    fn count(&mut self) {
        self.small_frames = match self.buffer.len() {
            0..=KEPT_BYTES => self.small_frames.saturating_add(1),
            _ => 0,
        };
    }

    /// As much of the rest as the socket takes now; whether that is all.
    fn write_some(&mut self) -> Result<bool, LaneError> {
        let Some(mut from) = self.unsent_from else {
            return Ok(true);
        };
        while from < self.buffer.len() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(self.stream.as_raw_fd(), &self.buffer[from..], flags) {
                Ok(bytes) => from += bytes,
                Err(nix::errno::Errno::EINTR) => {}
                Err(nix::errno::Errno::EAGAIN) => {
                    self.unsent_from = Some(from);
                    return Ok(false);
                }
                Err(errno) => {
                    self.unsent_from = None;
                    let error = io::Error::from(errno);
                    return Err(LaneError::of_stream("sending a frame", error));
                }
            }
        }
        self.unsent_from = None;
        self.count();
        Ok(true)
    }

    /// An earlier send failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The buffer, if it holds nothing to be sent and is larger than an idle lane should keep.
    pub(crate) fn releasable(&mut self) -> Option<&mut Vec<u8>> {
        (!self.begun && self.unsent_from.is_none() && self.buffer.capacity() > KEPT_BYTES)
            .then_some(&mut self.buffer)
    }
}
