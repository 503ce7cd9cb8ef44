//! The receiving direction of a lane.

use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::LaneError;
use crate::frame::{
    Frame, FrameHeader, HEADER_BYTES, Kind, LENGTH_BYTES, RECORD_BYTES_MAX, SEALED_BYTES_MAX,
    SEALED_BYTES_MIN, parse,
};
use crate::seal::DirectionKey;

/// Bytes of buffer a direction keeps while idle; larger ones are given back.
pub(crate) const KEPT_BYTES: usize = 8 * 1024;

/// A lane that has received nothing for so long gives its large buffers back.
const IDLE: Duration = Duration::from_secs(1);

/// The receiving half of a [`Lane`](crate::Lane). The connection ends when both halves are
/// dropped.
pub struct Receiver {
    stream: Arc<TcpStream>,
    key: DirectionKey,
    /// [`KEPT_BYTES`] to [`RECORD_BYTES_MAX`] long; `filled` of it has been read and not consumed.
    buffer: Vec<u8>,
    filled: Range<usize>,
    /// Size of the last record, at least [`KEPT_BYTES`]. No read asks for more unless it must:
    /// what follows a large record would have to be moved to make room for its own rest.
    expected_bytes: usize,
    /// The socket's read timeout is [`IDLE`].
    idle_armed: bool,
    failed: bool,
    /// Header of the last frame and where its payload lies, until more is read.
    last: Option<(FrameHeader, Range<usize>)>,
}

impl Receiver {
    pub(crate) fn new(stream: Arc<TcpStream>, key: DirectionKey) -> Receiver {
        Receiver {
            stream,
            key,
            buffer: vec![0; KEPT_BYTES],
            filled: 0..0,
            expected_bytes: KEPT_BYTES,
            idle_armed: false,
            failed: false,
            last: None,
        }
    }

    /// Waits for the next frame, without limit of time. Frames of one direction come complete, in
    /// order and once.
    ///
    /// # Errors
    /// After any error the connection has been shut down, both ways, and every later call is
    /// [`Closed`](LaneError::Closed).
    pub fn recv(&mut self) -> Result<Frame<'_>, LaneError> {
        self.recv_releasing(None)
    }

    /// [`recv`](Self::recv) that empties and shrinks `spare` too when the lane is idle.
    pub(crate) fn recv_releasing(
        &mut self,
        spare: Option<&mut Vec<u8>>,
    ) -> Result<Frame<'_>, LaneError> {
        let mut wait = Wait::Idle { spare };
        let (header, payload) = self.recv_header(SEALED_BYTES_MAX, &mut wait)?;
        if Kind::from_number(header.kind).is_none() {
            return Err(self.fail(LaneError::Refused("frame of unknown kind")));
        }
        self.last = Some((header, payload));
        self.last().ok_or(LaneError::Closed)
    }

    /// The frame that came last, again; `None` before the first and after an error.
    pub fn last(&self) -> Option<Frame<'_>> {
        let (header, payload) = self.last.as_ref()?;
        Some(Frame {
            kind: Kind::from_number(header.kind)?,
            lease_epoch: header.lease_epoch,
            request: header.request,
            payload: &self.buffer[payload.clone()],
        })
    }

    /// Waits until something has come in or, if `or_writable`, until more can be sent; without
    /// `may_wait` only looks. Whether something has come in: then the next
    /// [`recv`](Self::recv) takes no longer than the other side takes to send one frame.
    ///
    /// # Errors
    /// [`Io`](LaneError::Io): the kernel cannot tell.
    pub fn ready(&self, may_wait: bool, or_writable: bool) -> Result<bool, LaneError> {
        if !self.filled.is_empty() || self.failed {
            return Ok(true);
        }
        let mut events = PollFlags::POLLIN;
        events.set(PollFlags::POLLOUT, or_writable);
        let timeout = if may_wait {
            PollTimeout::NONE
        } else {
            PollTimeout::ZERO
        };
        let mut fds = [PollFd::new(self.stream.as_fd(), events)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                return Err(LaneError::Io {
                    doing: "waiting for a frame",
                    source: errno.into(),
                });
            }
        }
        // An end of the connection is for `recv` to find.
        let came = fds[0].revents().unwrap_or(PollFlags::empty()) & !PollFlags::POLLOUT;
        Ok(!came.is_empty())
    }

    /// Whether [`recv`](Self::recv) has something to begin with: a part of a frame, or the end.
    pub fn is_ready(&self) -> bool {
        let mut stream = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        !self.filled.is_empty() || poll(&mut stream, PollTimeout::ZERO) != Ok(0)
    }

    /// Waits until `deadline` for an empty frame of any kind; returns its header.
    pub(crate) fn recv_empty(&mut self, deadline: Instant) -> Result<FrameHeader, LaneError> {
        let mut wait = Wait::Until(deadline);
        self.recv_header(SEALED_BYTES_MIN, &mut wait)
            .map(|(header, _)| header)
    }

    /// An earlier receive failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    #[cfg(test)]
    pub(crate) fn buffer_capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Next header, and where its payload lies in the buffer until more is read.
    fn recv_header(
        &mut self,
        sealed_bytes_max: usize,
        wait: &mut Wait<'_>,
    ) -> Result<(FrameHeader, Range<usize>), LaneError> {
        self.last = None;
        if self.failed {
            return Err(LaneError::Closed);
        }
        self.next_record(sealed_bytes_max, wait)
            .map_err(|e| self.fail(e))
    }

    fn next_record(
        &mut self,
        sealed_bytes_max: usize,
        wait: &mut Wait<'_>,
    ) -> Result<(FrameHeader, Range<usize>), LaneError> {
        self.fill(LENGTH_BYTES, wait)?;
        let mut length = [0; LENGTH_BYTES];
        let at = self.filled.start;
        length.copy_from_slice(&self.buffer[at..at + LENGTH_BYTES]);
        let sealed_bytes = u32::from_le_bytes(length) as usize;
        if sealed_bytes < SEALED_BYTES_MIN {
            return Err(LaneError::Refused("record shorter than an empty frame"));
        }
        if sealed_bytes > sealed_bytes_max {
            return Err(LaneError::Refused("record longer than allowed"));
        }
        self.fill(LENGTH_BYTES + sealed_bytes, wait)?;
        self.expected_bytes = KEPT_BYTES.max(LENGTH_BYTES + sealed_bytes);
        let sealed = self.filled.start + LENGTH_BYTES;
        let end = sealed + sealed_bytes;
        self.filled.start = end;
        let opened = self.key.open(length, &mut self.buffer[sealed..end])?;
        let (header, payload) = parse(opened)?;
        let start = sealed + HEADER_BYTES;
        Ok((header, start..start + payload.len()))
    }

    /// Reads until at least `wanted_bytes`, at most [`RECORD_BYTES_MAX`], are there to be consumed.
    fn fill(&mut self, wanted_bytes: usize, wait: &mut Wait<'_>) -> Result<(), LaneError> {
        if self.filled.len() >= wanted_bytes {
            return Ok(());
        }
        self.make_room(wanted_bytes);
        while self.filled.len() < wanted_bytes {
            self.prepare(wait)?;
            let end = self.filled.start + wanted_bytes.max(self.expected_bytes);
            let end = end.min(self.buffer.len());
            let mut stream: &TcpStream = &self.stream;
            match stream.read(&mut self.buffer[self.filled.end..end]) {
                Ok(0) => return Err(LaneError::Closed),
                Ok(bytes) => self.filled.end += bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.timed_out(wanted_bytes, wait)?;
                }
                Err(e) => return Err(LaneError::of_stream("receiving a frame", e)),
            }
        }
        Ok(())
    }

    /// Makes the buffer large enough for `wanted_bytes` from `filled.start`.
    fn make_room(&mut self, wanted_bytes: usize) {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        if self.buffer.len() - self.filled.start >= wanted_bytes {
            return;
        }
        self.move_to_front();
        if self.buffer.len() < wanted_bytes {
            let bytes = wanted_bytes.next_power_of_two().min(RECORD_BYTES_MAX);
            self.buffer.reserve_exact(bytes - self.buffer.len());
            self.buffer.resize(bytes, 0);
        }
    }

    fn move_to_front(&mut self) {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
    }

    /// Sets the socket's read timeout before a read, if it has to change.
    fn prepare(&mut self, wait: &Wait<'_>) -> Result<(), LaneError> {
        match wait {
            Wait::Until(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(LaneError::TimedOut);
                }
                self.set_read_timeout(Some(left))
            }
            Wait::Idle { spare } => {
                let large = self.buffer.len() > KEPT_BYTES || spare.is_some();
                if large == self.idle_armed {
                    return Ok(());
                }
                self.idle_armed = large;
                self.set_read_timeout(large.then_some(IDLE))
            }
        }
    }

    fn timed_out(&mut self, wanted_bytes: usize, wait: &mut Wait<'_>) -> Result<(), LaneError> {
        match wait {
            Wait::Until(_) => return Err(LaneError::TimedOut),
            Wait::Idle { spare } => {
                if let Some(spare) = spare.take() {
                    *spare = Vec::new();
                }
                if wanted_bytes <= KEPT_BYTES && self.filled.len() < KEPT_BYTES {
                    self.move_to_front();
                    self.buffer.truncate(KEPT_BYTES);
                    self.buffer.shrink_to_fit();
                }
            }
        }
        Ok(())
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> Result<(), LaneError> {
        let set = self.stream.set_read_timeout(timeout);
        set.map_err(|source| LaneError::Io {
            doing: "setting the read timeout",
            source,
        })
    }

    /// Drops the connection on account of `error`.
    fn fail(&mut self, error: LaneError) -> LaneError {
        self.failed = true;
        // Fails only if the connection is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
        error
    }
}

/// How long a read may take, and what to do then.
enum Wait<'a> {
    /// Until the deadline, then fail.
    Until(Instant),
    /// For ever; after [`IDLE`] give back what is large, here and in `spare`.
    Idle { spare: Option<&'a mut Vec<u8>> },
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::seal::Keys;
    use crate::secret::Secret;

    /// What a receiver says to these bytes, and that it allocated nothing for them.
    fn refusal(bytes: &[u8]) -> LaneError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = listener.accept().unwrap().0;
        let keys = Keys::derive(&Secret([1; 32]), &[2; 32], &[3; 32]).unwrap();
        let mut receiver = Receiver::new(Arc::new(stream), keys.client_to_server);
        peer.write_all(bytes).unwrap();
        let error = receiver.recv().unwrap_err();
        assert_eq!(receiver.buffer.capacity(), KEPT_BYTES);
        assert!(matches!(receiver.recv(), Err(LaneError::Closed)));
        // The other side sees the end.
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert!(!matches!(peer.read(&mut [0]), Ok(1)));
        error
    }

    #[test]
    fn impossible_lengths_are_refused_before_allocation() {
        let long = LaneError::Refused("record longer than allowed").to_string();
        for length in [SEALED_BYTES_MAX + 1, 1 << 24, 1 << 31, u32::MAX as usize] {
            let length = u32::try_from(length).unwrap();
            assert_eq!(refusal(&length.to_le_bytes()).to_string(), long);
        }
        for length in 0..SEALED_BYTES_MIN {
            let length = u32::try_from(length).unwrap();
            assert!(matches!(
                refusal(&length.to_le_bytes()),
                LaneError::Refused(_)
            ));
        }
    }
}
