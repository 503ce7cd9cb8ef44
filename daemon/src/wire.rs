//! What node daemons say to each other over a connection.
//!
//! ```text
//!   who connects                          who listens
//!   hello: magic, version, purpose, id ─▶ looks the id up: a member's key, or an invitation
//!   handshake of a lane with the secret that belongs to it
//!   question                           ─▶
//!                                      ◀─ answer; for `Start`, more of them until it has ended
//! ```
//!
//! A stranger gets no answer at all. Messages are JSON, so that adjacent versions can leave fields
//! out and ignore new ones.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lane::setup::RuntimeSetup;
use lane::{HANDSHAKE_TIMEOUT, Kind, Lane, Secret};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::identity::PublicKey;
use crate::members::Member;

const MAGIC: [u8; 4] = *b"HNMD";
/// Version of what daemons say. Daemons talk if theirs differ by at most one.
pub(crate) const VERSION: u16 = 1;
const HELLO_BYTES: usize = 40;
/// Longest message in bytes.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// What the id of a hello is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    /// The public key of a member.
    Member([u8; 32]),
    /// The id of an invitation, or of a secret that nodes share.
    Invitation([u8; 32]),
}

impl Id {
    fn encode(self) -> [u8; HELLO_BYTES] {
        let (purpose, id) = match self {
            Id::Member(id) => (1, id),
            Id::Invitation(id) => (2, id),
        };
        let mut hello = [0; HELLO_BYTES];
        hello[..4].copy_from_slice(&MAGIC);
        hello[4..6].copy_from_slice(&VERSION.to_le_bytes());
        hello[6] = purpose;
        hello[8..].copy_from_slice(&id);
        hello
    }

    fn decode(hello: &[u8; HELLO_BYTES]) -> anyhow::Result<Id> {
        ensure!(hello[..4] == MAGIC, "it is no node daemon");
        let theirs = u16::from_le_bytes([hello[4], hello[5]]);
        ensure!(
            theirs.abs_diff(VERSION) <= 1,
            "it speaks version {theirs} of the protocol, this node speaks {VERSION}"
        );
        let mut id = [0; 32];
        id.copy_from_slice(&hello[8..]);
        match hello[6] {
            1 => Ok(Id::Member(id)),
            2 => Ok(Id::Invitation(id)),
            other => bail!("it wants something unknown ({other})"),
        }
    }
}

/// What a member asks another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Run a job's guests. The setup's address is home's port; the host fills in where it sees home.
    Start {
        /// The beginning of the runtime.
        setup: Box<RuntimeSetup>,
    },
    /// Here is all I know of members; tell me what you know.
    Exchange {
        /// All entries.
        members: Vec<Member>,
    },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// No, and why.
    Refused(String),
    /// The runtime has been started.
    Started,
    /// One line that it has logged.
    Log(String),
    /// It has ended; this is the last answer.
    Ended(String),
    /// All that is known of members.
    Members(Vec<Member>),
}

/// What a new node says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Join {
    /// Its name.
    pub(crate) name: String,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Port on which its daemon will listen.
    pub(crate) port: u16,
    /// Its address; as the member sees it if `None`.
    pub(crate) address: Option<IpAddr>,
}

/// What a member answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Joined {
    /// It is a member now. This is the list, itself included.
    Welcome(Vec<Member>),
    /// It is not, and why.
    Refused(String),
    /// It is the very node that it has asked.
    Itself,
}

/// Connects to a node daemon and proves `secret`.
pub(crate) fn connect(address: SocketAddr, id: Id, secret: &Secret) -> anyhow::Result<Lane> {
    let connected = TcpStream::connect_timeout(&address, HANDSHAKE_TIMEOUT);
    let mut stream = connected.with_context(|| format!("connect to {address}"))?;
    let sent = stream.write_all(&id.encode());
    sent.with_context(|| format!("greet {address}"))?;
    Lane::over(stream, secret)
        .with_context(|| format!("prove to {address} who we are (it does not know us, perhaps)"))
}

/// Reads the hello of who has connected.
pub(crate) fn read_hello(stream: &mut TcpStream) -> anyhow::Result<Id> {
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    let mut hello = [0; HELLO_BYTES];
    let mut filled = 0;
    while filled < HELLO_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "it said nothing in time");
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut hello[filled..]) {
            Ok(0) => bail!("it said too little"),
            Ok(read) => filled += read,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Id::decode(&hello)
}

fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), Interrupted | WouldBlock)
}

/// Sends one message.
pub(crate) fn send<T: Serialize>(sender: &mut lane::Sender, message: &T) -> anyhow::Result<()> {
    let text = serde_json::to_vec(message)?;
    ensure!(
        text.len() <= MESSAGE_BYTES_MAX,
        "a message of {} bytes is too long",
        text.len()
    );
    sender.begin().extend(text);
    Ok(sender.send(Kind::Control, 0, 0)?)
}

/// Waits for one message.
pub(crate) fn recv<T: DeserializeOwned>(receiver: &mut lane::Receiver) -> anyhow::Result<T> {
    let frame = receiver.recv()?;
    ensure!(
        frame.kind == Kind::Control && frame.payload.len() <= MESSAGE_BYTES_MAX,
        "another frame than a message"
    );
    serde_json::from_slice(frame.payload).context("a message is not understood")
}

/// Asks one question that has one answer, which must come within `limit`.
pub(crate) fn ask<Q: Serialize, A: DeserializeOwned + Send + 'static>(
    lane: Lane,
    question: &Q,
    limit: Duration,
) -> anyhow::Result<A> {
    ask_and_listen(lane, question, limit).map(|(answer, _)| answer)
}

/// The same; more answers may follow, for which there is no limit.
pub(crate) fn ask_and_listen<Q: Serialize, A: DeserializeOwned + Send + 'static>(
    lane: Lane,
    question: &Q,
    limit: Duration,
) -> anyhow::Result<(A, lane::Receiver)> {
    let closer = lane.shutdown_handle()?;
    let (mut sender, mut receiver) = lane.split()?;
    send(&mut sender, question)?;
    let (done, answered) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("answer".into())
        .stack_size(crate::STACK_BYTES)
        .spawn(move || {
            let answer = recv(&mut receiver);
            // Nobody waits any more, otherwise.
            let _ = done.send((answer, receiver));
        })?;
    match answered.recv_timeout(limit) {
        Ok((answer, receiver)) => Ok((answer?, receiver)),
        Err(_) => {
            closer.close();
            bail!("no answer within {} s", limit.as_secs())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn hellos() {
        for id in [Id::Member([7; 32]), Id::Invitation([8; 32])] {
            assert_eq!(Id::decode(&id.encode()).unwrap(), id);
        }
        let hello = Id::Member([7; 32]).encode();
        for (at, value) in [(0, b'x'), (4, 3), (5, 1), (6, 9)] {
            let mut bad = hello;
            bad[at] = value;
            assert!(Id::decode(&bad).is_err(), "byte {at}");
        }
        let mut newer = hello;
        newer[4] = VERSION as u8 + 2;
        let error = Id::decode(&newer).unwrap_err().to_string();
        assert_eq!(
            error,
            "it speaks version 3 of the protocol, this node speaks 1"
        );
    }
}
