//! Both directions of a connection, for the one thread that serves it.

use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::error::LaneError;
use crate::frame::{Frame, Kind};
use crate::handshake::{self, Established, HANDSHAKE_TIMEOUT};
use crate::receiver::Receiver;
use crate::secret::Secret;
use crate::sender::Sender;

/// An established lane: encrypted, and both sides have proved that they know the secret.
///
/// Dropping it closes the connection. While idle it holds about 12 KiB; buffers that large frames
/// made larger, up to 1.1 MiB each way, are given back after a second without traffic.
pub struct Lane {
    stream: Arc<TcpStream>,
    sender: Sender,
    receiver: Receiver,
}

impl Lane {
    /// The client's side: connects and proves that it knows the secret. Takes at most twice
    /// [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// Any but [`TooLarge`](LaneError::TooLarge) and [`Misuse`](LaneError::Misuse);
    /// [`Refused`](LaneError::Refused) if either side's secret is not the other's. The connection
    /// is closed.
    pub fn connect(addr: SocketAddr, secret: &Secret) -> Result<Lane, LaneError> {
        let stream =
            TcpStream::connect_timeout(&addr, HANDSHAKE_TIMEOUT).map_err(|source| match source
                .kind()
            {
                std::io::ErrorKind::TimedOut => LaneError::TimedOut,
                _ => LaneError::Io {
                    doing: "connecting",
                    source,
                },
            })?;
        Lane::over(stream, secret)
    }

    /// The client's side, on a stream that is connected already: proves that it knows the secret.
    /// Takes at most [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn over(stream: TcpStream, secret: &Secret) -> Result<Lane, LaneError> {
        handshake::connect(stream, secret, Instant::now() + HANDSHAKE_TIMEOUT).map(Lane::of)
    }

    /// The server's side, on an accepted stream: lets the client prove that it knows the secret.
    /// Takes at most [`HANDSHAKE_TIMEOUT`], whatever the client does.
    ///
    /// # Errors
    /// As [`connect`](Self::connect). The connection is closed; nothing was allocated on the
    /// client's word.
    pub fn accept(stream: TcpStream, secret: &Secret) -> Result<Lane, LaneError> {
        handshake::accept(stream, secret, Instant::now() + HANDSHAKE_TIMEOUT).map(Lane::of)
    }

    fn of((stream, sender, receiver): Established) -> Lane {
        Lane {
            stream,
            sender,
            receiver,
        }
    }

    /// The buffer for the next payload: see [`Sender::begin`].
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.sender.begin()
    }

    /// Seals what was appended since [`begin`](Self::begin) and sends it with one write: see
    /// [`Sender::send`], also for errors.
    pub fn send(&mut self, kind: Kind, lease_epoch: u32, request: u64) -> Result<(), LaneError> {
        self.sender.send(kind, lease_epoch, request)
    }

    /// Waits for the next frame: see [`Receiver::recv`], also for errors.
    pub fn recv(&mut self) -> Result<Frame<'_>, LaneError> {
        self.receiver.recv_releasing(self.sender.releasable())
    }

    /// Separates the directions, for a connection on which one thread sends and another receives.
    ///
    /// # Errors
    /// [`Closed`](LaneError::Closed) if an earlier call on this lane failed.
    pub fn split(self) -> Result<(Sender, Receiver), LaneError> {
        self.check()?;
        Ok((self.sender, self.receiver))
    }

    /// A handle with which another thread can end this lane, also after [`split`](Self::split). It
    /// does not keep the connection open.
    ///
    /// # Errors
    /// [`Closed`](LaneError::Closed) if an earlier call on this lane failed.
    pub fn shutdown_handle(&self) -> Result<Closer, LaneError> {
        self.check()?;
        Ok(Closer(Arc::downgrade(&self.stream)))
    }

    fn check(&self) -> Result<(), LaneError> {
        if self.sender.has_failed() || self.receiver.has_failed() {
            return Err(LaneError::Closed);
        }
        Ok(())
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.stream).finish()
    }
}

/// Ends a lane from another thread.
#[derive(Debug, Clone)]
pub struct Closer(Weak<TcpStream>);

impl Closer {
    /// Ends the lane: a blocked send or receive returns [`LaneError::Closed`], so do later ones
    /// once frames that have already come in are consumed. The other side sees the end too.
    /// Without effect on a lane that has ended.
    pub fn close(&self) {
        if let Some(stream) = self.0.upgrade() {
            // Fails only if the connection is gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::receiver::KEPT_BYTES;

    #[test]
    fn idle_lane_gives_large_buffers_back() {
        let secret = Secret::random().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = thread::spawn({
            let secret = secret.clone();
            move || {
                let mut lane = Lane::accept(listener.accept().unwrap().0, &secret).unwrap();
                lane.recv().unwrap();
                lane.begin().resize(1 << 20, 1);
                lane.send(Kind::Result, 0, 1).unwrap();
                thread::sleep(Duration::from_millis(1500));
                lane.send(Kind::Result, 0, 2).unwrap();
                lane.recv().unwrap();
            }
        });
        let mut lane = Lane::connect(addr, &secret).unwrap();
        assert!(lane.receiver.buffer_capacity() <= KEPT_BYTES);
        lane.begin().resize(1 << 20, 2);
        lane.send(Kind::Call, 0, 1).unwrap();
        lane.recv().unwrap();
        assert!(lane.receiver.buffer_capacity() > 1 << 20);
        assert!(lane.sender.releasable().is_some());
        assert_eq!(lane.recv().unwrap().request, 2);
        assert!(lane.receiver.buffer_capacity() <= KEPT_BYTES);
        assert!(lane.sender.releasable().is_none());
        assert_eq!(lane.stream.read_timeout().unwrap(), None);
        lane.send(Kind::Call, 0, 3).unwrap();
        server.join().unwrap();
    }
}
