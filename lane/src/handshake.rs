//! Beginning of a connection: who is there, with which version, and do they know the secret.
//!
//! ```text
//!   client                                server
//!   hello, 32 random bytes      ───────▶
//!                               ◀───────  hello, 32 random bytes
//!   proof: first sealed record  ───────▶  opens it, or drops the connection
//!                               ◀───────  proof: first sealed record
//! ```
//!
//! A stranger learns from a server that it is one, and its version; nothing more.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::bytes::random_bytes;
use crate::error::LaneError;
use crate::frame::{MAGIC, VERSION};
use crate::receiver::Receiver;
use crate::seal::Keys;
use crate::secret::Secret;
use crate::sender::Sender;

/// Time a connection may take from its first byte until both sides have proved the secret; also
/// the time a client waits to be connected.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Kind of the proof; see [`Kind`](crate::Kind).
const KIND_PROOF: u16 = 0;

/// First part of a hello. Its layout is the same in all versions for ever.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Greeting {
    magic: u32,
    version: u16,
    /// Zero.
    reserved: u16,
}

const _: () = assert!(size_of::<Greeting>() == 8);

const GREETING: Greeting = Greeting {
    magic: MAGIC,
    version: VERSION,
    reserved: 0,
};

/// The connection and its two directions.
pub(crate) type Established = (Arc<TcpStream>, Sender, Receiver);

/// The client's side. On failure the connection is closed.
pub(crate) fn connect(
    stream: TcpStream,
    secret: &Secret,
    deadline: Instant,
) -> Result<Established, LaneError> {
    let mut link = Link::new(stream, deadline)?;
    let ours = random()?;
    link.write(GREETING.as_bytes(), &ours)?;
    link.read_greeting()?;
    let theirs = link.read_array()?;
    let keys = Keys::derive(secret, &ours, &theirs)?;
    let stream = Arc::new(link.stream);
    let mut sender = Sender::new(Arc::clone(&stream), keys.client_to_server);
    let mut receiver = Receiver::new(Arc::clone(&stream), keys.server_to_client);
    sender.send_number(KIND_PROOF, 0, 0)?;
    match recv_proof(&mut receiver, deadline) {
        Err(LaneError::Closed) => {
            return Err(LaneError::Refused(
                "the other side rejected our proof of the secret",
            ));
        }
        other => other?,
    }
    finish(&stream)?;
    Ok((stream, sender, receiver))
}

/// The server's side. On failure the connection is closed.
pub(crate) fn accept(
    stream: TcpStream,
    secret: &Secret,
    deadline: Instant,
) -> Result<Established, LaneError> {
    let mut link = Link::new(stream, deadline)?;
    match link.read_greeting() {
        Err(error @ LaneError::Version { .. }) => {
            link.tell_version();
            return Err(error);
        }
        other => other?,
    }
    let theirs = link.read_array()?;
    let ours = random()?;
    link.write(GREETING.as_bytes(), &ours)?;
    let keys = Keys::derive(secret, &theirs, &ours)?;
    let stream = Arc::new(link.stream);
    let mut sender = Sender::new(Arc::clone(&stream), keys.server_to_client);
    let mut receiver = Receiver::new(Arc::clone(&stream), keys.client_to_server);
    recv_proof(&mut receiver, deadline)?;
    sender.send_number(KIND_PROOF, 0, 0)?;
    finish(&stream)?;
    Ok((stream, sender, receiver))
}

fn recv_proof(receiver: &mut Receiver, deadline: Instant) -> Result<(), LaneError> {
    match receiver.recv_empty(deadline)?.kind {
        KIND_PROOF => Ok(()),
        _ => Err(LaneError::Refused(
            "first frame is not the proof of the secret",
        )),
    }
}

/// Takes the handshake's time limits off the connection.
fn finish(stream: &TcpStream) -> Result<(), LaneError> {
    let taken = stream
        .set_read_timeout(None)
        .and_then(|()| stream.set_write_timeout(None));
    taken.map_err(|source| LaneError::Io {
        doing: "removing the handshake's time limit",
        source,
    })
}

fn random() -> Result<[u8; 32], LaneError> {
    random_bytes().map_err(|source| LaneError::Io {
        doing: "making random bytes",
        source,
    })
}

/// A connection whose other side is unknown: every read is bounded in size and time.
struct Link {
    stream: TcpStream,
    deadline: Instant,
}

impl Link {
    fn new(stream: TcpStream, deadline: Instant) -> Result<Link, LaneError> {
        let set = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_nodelay(true))
            .and_then(|()| stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT)));
        set.map_err(|source| LaneError::Io {
            doing: "preparing the connection",
            source,
        })?;
        Ok(Link { stream, deadline })
    }

    fn write(&mut self, greeting: &[u8], random: &[u8; 32]) -> Result<(), LaneError> {
        let mut hello = [0; size_of::<Greeting>() + 32];
        hello[..greeting.len()].copy_from_slice(greeting);
        hello[greeting.len()..].copy_from_slice(random);
        let written = self.stream.write_all(&hello);
        written.map_err(|e| LaneError::of_stream("sending the hello", e))
    }

    /// Checks the version before anything that a version may change is read.
    fn read_greeting(&mut self) -> Result<(), LaneError> {
        let bytes: [u8; size_of::<Greeting>()] = self.read_array()?;
        let Ok(greeting) = Greeting::read_from_bytes(&bytes) else {
            return Err(LaneError::Refused("short hello"));
        };
        if greeting.magic != MAGIC {
            return Err(LaneError::Refused(
                "the other side does not speak this protocol",
            ));
        }
        if greeting.version != VERSION {
            return Err(LaneError::Version {
                ours: VERSION,
                theirs: greeting.version,
            });
        }
        if greeting.reserved != 0 {
            return Err(LaneError::Refused("hello with reserved bits set"));
        }
        Ok(())
    }

    fn read_array<const N: usize>(&mut self) -> Result<[u8; N], LaneError> {
        let mut bytes = [0; N];
        let mut filled = 0;
        while filled < N {
            match self.read(&mut bytes[filled..])? {
                0 => return Err(LaneError::Closed),
                read => filled += read,
            }
        }
        Ok(bytes)
    }

    /// One read that ends at the deadline.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, LaneError> {
        use std::io::ErrorKind::{Interrupted, WouldBlock};
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LaneError::TimedOut);
            }
            let set = self.stream.set_read_timeout(Some(left));
            set.map_err(|source| LaneError::Io {
                doing: "setting the read timeout",
                source,
            })?;
            match self.stream.read(into) {
                Ok(bytes) => return Ok(bytes),
                Err(e) if matches!(e.kind(), Interrupted | WouldBlock) => {}
                Err(e) => return Err(LaneError::of_stream("receiving the hello", e)),
            }
        }
    }

    /// Tells a client of another version which one is spoken here. Then discards what it sends
    /// (bounded): closing with unread bytes would reset the connection and lose the answer.
    fn tell_version(&mut self) {
        const DISCARDED_READS_MAX: u32 = 16;
        let told = self.stream.write_all(GREETING.as_bytes());
        if told
            .and_then(|()| self.stream.shutdown(Shutdown::Write))
            .is_err()
        {
            return;
        }
        for _ in 0..DISCARDED_READS_MAX {
            if !matches!(self.read(&mut [0; 256]), Ok(1..)) {
                return;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// What an accept that may take 200 ms makes of a client that does `act`.
    fn stranger(act: impl FnOnce(&mut TcpStream) + Send + 'static) -> LaneError {
        let (mut client, server) = pair();
        let acting = thread::spawn(move || {
            act(&mut client);
            client
        });
        let began = Instant::now();
        let deadline = began + Duration::from_millis(200);
        let error = accept(server, &Secret([1; 32]), deadline)
            .map(|_| ())
            .unwrap_err();
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "took {:?}",
            began.elapsed()
        );
        drop(acting.join().unwrap());
        error
    }

    #[test]
    fn silent_stranger_times_out() {
        assert!(matches!(stranger(|_| ()), LaneError::TimedOut));
    }

    #[test]
    fn slow_stranger_times_out_as_a_whole() {
        let error = stranger(|client| {
            for byte in GREETING.as_bytes().iter().chain(&[0; 20]) {
                let _ = client.write_all(&[*byte]);
                thread::sleep(Duration::from_millis(30));
            }
        });
        assert!(matches!(error, LaneError::TimedOut), "{error:?}");
    }

    #[test]
    fn stranger_without_proof_times_out_and_gets_only_the_hello() {
        let error = stranger(|client| {
            client.write_all(GREETING.as_bytes()).unwrap();
            client.write_all(&[0; 32]).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.len(), 40);
            assert_eq!(&answer[..8], GREETING.as_bytes());
        });
        assert!(matches!(error, LaneError::TimedOut), "{error:?}");
    }

    #[test]
    fn client_of_a_silent_server_times_out() {
        let (client, _server) = pair();
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = connect(client, &Secret([1; 32]), deadline)
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(error, LaneError::TimedOut), "{error:?}");
    }

    #[test]
    fn malformed_greetings_are_refused() {
        let http = stranger(|client| client.write_all(b"GET / HTTP/1.1\r\n").unwrap());
        assert!(matches!(http, LaneError::Refused(_)), "{http:?}");
        let reserved = Greeting {
            reserved: 1,
            ..GREETING
        };
        let error = stranger(move |client| client.write_all(reserved.as_bytes()).unwrap());
        assert!(matches!(error, LaneError::Refused(_)), "{error:?}");
        let error = stranger(|client| client.shutdown(Shutdown::Both).unwrap());
        assert!(matches!(error, LaneError::Closed), "{error:?}");
    }

    #[test]
    fn other_version_is_told_both_ways() {
        let newer = Greeting {
            version: VERSION + 1,
            ..GREETING
        };
        let error = stranger(move |client| {
            client.write_all(newer.as_bytes()).unwrap();
            client.write_all(&[0; 100]).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, GREETING.as_bytes());
            client.shutdown(Shutdown::Both).unwrap();
        });
        let text = error.to_string();
        let both = format!("{VERSION} here, {} on the other", VERSION + 1);
        assert!(text.contains(&both), "{text}");

        let (client, mut server) = pair();
        server.write_all(newer.as_bytes()).unwrap();
        let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
        let error = connect(client, &Secret([1; 32]), deadline)
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(error, LaneError::Version { ours: VERSION, theirs } if theirs == VERSION + 1),
            "{error:?}"
        );
    }

    #[test]
    fn record_before_the_proof_may_not_be_large() {
        let error = stranger(|client| {
            client.write_all(GREETING.as_bytes()).unwrap();
            client.write_all(&[0; 32]).unwrap();
            client.write_all(&41_u32.to_le_bytes()).unwrap();
        });
        assert!(
            matches!(error, LaneError::Refused("record longer than allowed")),
            "{error:?}"
        );
    }
}
