//! The lane: the encrypted connection between one body thread and its deputy thread.
//!
//! A lane is one TCP connection, served by one blocking thread at each end. The runtime connects,
//! the home proxy accepts; afterwards both ends are equal. What travels is a sequence of
//! [frames](frame), each sealed into one record:
//!
//! ```text
//!   4 bytes   length of the sealed part in bytes, little-endian; authenticated, not secret
//!   n bytes   sealed: 24-byte header, then the payload (AES-256-GCM)
//!  16 bytes   authentication tag (counted in the length)
//! ```
//!
//! Keys are made for each connection from the job's [`Secret`] and from random bytes of both ends,
//! one key per direction. The nonce is the number of the record in its direction and is never
//! sent: a record that is altered, repeated, left out or moved does not open, and the connection
//! is dropped. Whoever learns the secret later can read recorded traffic: the secret lives as long
//! as its job, in memory only.
//!
//! | file | concept |
//! |---|---|
//! | `frame.rs` | header, kinds, limits |
//! | `bytes.rs` | random bytes, and keys as text |
//! | `secret.rs` | the job's secret |
//! | `handshake.rs` | hellos, proof of the secret, version check |
//! | `seal.rs` | keys and nonces of one direction |
//! | `sender.rs`, `receiver.rs` | the two directions |
//! | `lane.rs` | both directions together |
//! | `ahead.rs` | what is said about files that are read ahead |
//! | `pages.rs` | what is said about pages that follow their image |
//! | `datagram.rs` | datagrams between nodes, sealed one by one |
//! | `control.rs` | messages of the control lane and their codec |
//! | `setup.rs` | what a runtime is told at its start |
//! | `log.rs` | the form of log lines at both ends |
//! | `inspect.rs` | questions about bodies and their answers |
//!
//! This crate knows no system call, interprets no payload and starts no thread.

pub mod ahead;
pub mod bytes;
pub mod control;
pub mod datagram;
mod error;
pub mod fault;
pub mod frame;
pub mod guesses;
mod handshake;
pub mod inspect;
mod lane;
pub mod log;
pub mod pages;
mod receiver;
mod seal;
mod secret;
mod sender;
pub mod setup;

pub use error::LaneError;
pub use frame::{Frame, FrameHeader, Kind, MAGIC, PAYLOAD_BYTES_MAX, PAYLOAD_START, VERSION};
pub use handshake::HANDSHAKE_TIMEOUT;
pub use lane::{Closer, Lane};
pub use receiver::Receiver;
pub use secret::Secret;
pub use sender::Sender;
