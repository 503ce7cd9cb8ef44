//! What travels between nodes in datagrams, and its encoding: the only place that knows bincode.
//!
//! A datagram is a version, a kind and a body, sealed by who sends it. Everything decoded here
//! comes from the network: it is bounded, and checked by who takes it in.

use std::time::Duration;

use bytes::{Buf, BufMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::board::Aged;
use crate::load::{Load, VERSION};

/// Largest datagram in bytes, before it is sealed: it fits an Ethernet frame with all headers.
pub const DATAGRAM_BYTES_MAX: usize = 1400;

/// What decoding one value may allocate, in bytes.
const DECODED_BYTES_MAX: usize = 16 * DATAGRAM_BYTES_MAX;

/// Bytes before the body: version and kind.
const HEAD_BYTES: usize = 3;

/// Largest body of a membership message in bytes.
pub const MEMBERSHIP_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - HEAD_BYTES;

const KIND_MEMBERSHIP: u8 = 1;
const KIND_LOADS: u8 = 2;

/// A datagram that was taken apart.
#[derive(Debug, PartialEq)]
pub enum Datagram<'a> {
    /// For [`Membership::receive`](crate::member::Membership::receive).
    Membership(&'a [u8]),
    /// For [`Board::hear`](crate::board::Board::hear).
    Loads(Vec<Aged>),
}

/// A datagram or part of one that cannot be used. Nothing has changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The other node speaks another protocol.
    #[error("the other node speaks version {theirs} of the protocol, this one speaks {VERSION}")]
    Version {
        /// Its version.
        theirs: u16,
    },
    /// It is not what a node sends.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// What was to be encoded does not fit.
    #[error("{0} does not fit a datagram")]
    TooLarge(&'static str),
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<DECODED_BYTES_MAX>()
}

fn head(kind: u8) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(DATAGRAM_BYTES_MAX);
    datagram.extend(VERSION.to_le_bytes());
    datagram.push(kind);
    datagram
}

/// A datagram of a message of [`Membership`](crate::member::Membership).
pub fn membership(message: &[u8]) -> Result<Vec<u8>, WireError> {
    if message.len() > MEMBERSHIP_BYTES_MAX {
        return Err(WireError::TooLarge("membership message"));
    }
    let mut datagram = head(KIND_MEMBERSHIP);
    datagram.extend(message);
    Ok(datagram)
}

/// The datagrams that carry these load vectors, as few as hold them.
pub fn loads(vectors: &[Aged]) -> Result<Vec<Vec<u8>>, WireError> {
    let mut datagrams = Vec::new();
    let mut current = head(KIND_LOADS);
    for aged in vectors {
        let age_ms = u64::try_from(aged.age.as_millis()).unwrap_or(u64::MAX);
        let encoded = encode(&(aged.load, age_ms), "load vector")?;
        if current.len() + encoded.len() > DATAGRAM_BYTES_MAX {
            datagrams.push(std::mem::replace(&mut current, head(KIND_LOADS)));
        }
        current.extend(encoded);
    }
    if current.len() > HEAD_BYTES {
        datagrams.push(current);
    }
    Ok(datagrams)
}

/// Takes a datagram apart. Load vectors are well-formed afterwards, but not checked for sense.
pub fn datagram(bytes: &[u8]) -> Result<Datagram<'_>, WireError> {
    let Some((&[low, high, kind], mut body)) = bytes.split_first_chunk() else {
        return Err(WireError::Malformed("datagram: too short"));
    };
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return Err(WireError::Malformed("datagram: too long"));
    }
    let theirs = u16::from_le_bytes([low, high]);
    if theirs != VERSION {
        return Err(WireError::Version { theirs });
    }
    match kind {
        KIND_MEMBERSHIP => Ok(Datagram::Membership(body)),
        KIND_LOADS => {
            let mut vectors = Vec::new();
            while !body.is_empty() {
                let ((load, age_ms), rest): ((Load, u64), _) = decode(body, "load vector")?;
                vectors.push(Aged {
                    load,
                    age: Duration::from_millis(age_ms),
                });
                body = rest;
            }
            Ok(Datagram::Loads(vectors))
        }
        _ => Err(WireError::Malformed("datagram: unknown kind")),
    }
}

fn encode<T: Serialize>(value: &T, what: &'static str) -> Result<Vec<u8>, WireError> {
    bincode::serde::encode_to_vec(value, config()).map_err(|_| WireError::TooLarge(what))
}

fn decode<'a, T: DeserializeOwned>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(T, &'a [u8]), WireError> {
    match bincode::serde::decode_from_slice(bytes, config()) {
        Ok((value, used)) => Ok((value, bytes.get(used..).unwrap_or_default())),
        Err(_) => Err(WireError::Malformed(what)),
    }
}

/// How the membership library's values are encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberCodec;

impl MemberCodec {
    /// Puts all of the value or nothing.
    fn put<T: Serialize>(value: &T, mut into: impl BufMut) -> Result<(), WireError> {
        let encoded = encode(value, "membership entry")?;
        if into.remaining_mut() < encoded.len() {
            return Err(WireError::TooLarge("membership entry"));
        }
        into.put_slice(&encoded);
        Ok(())
    }

    fn take<T: DeserializeOwned>(mut from: impl Buf) -> Result<T, WireError> {
        let bytes = from.chunk();
        let (value, rest) = decode(bytes, "membership message")?;
        let used = bytes.len() - rest.len();
        from.advance(used);
        Ok(value)
    }
}

impl<T: Serialize + for<'de> Deserialize<'de>> foca::Codec<T> for MemberCodec {
    type Error = WireError;

    fn encode_header(
        &mut self,
        header: &foca::Header<T>,
        into: impl BufMut,
    ) -> Result<(), WireError> {
        MemberCodec::put(header, into)
    }

    fn decode_header(&mut self, from: impl Buf) -> Result<foca::Header<T>, WireError> {
        MemberCodec::take(from)
    }

    fn encode_member(
        &mut self,
        member: &foca::Member<T>,
        into: impl BufMut,
    ) -> Result<(), WireError> {
        MemberCodec::put(member, into)
    }

    fn decode_member(&mut self, from: impl Buf) -> Result<foca::Member<T>, WireError> {
        MemberCodec::take(from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::{NodeId, tests::idle};

    fn aged(node: u64, age_ms: u64) -> Aged {
        Aged {
            load: idle(node),
            age: Duration::from_millis(age_ms),
        }
    }

    #[test]
    fn a_full_window_comes_back_from_its_datagrams() {
        let window: Vec<Aged> = (0..256).map(|n| aged(u64::MAX - n, n * 1000)).collect();
        let datagrams = loads(&window).expect("vectors fit");
        assert!(datagrams.iter().all(|d| d.len() <= DATAGRAM_BYTES_MAX));
        let mut back = Vec::new();
        for bytes in &datagrams {
            match datagram(bytes) {
                Ok(Datagram::Loads(part)) => back.extend(part),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(back, window);
        assert_eq!(loads(&[]), Ok(vec![]));
    }

    #[test]
    fn another_version_is_refused_with_both() {
        let mut bytes = membership(b"x").expect("fits");
        assert_eq!(datagram(&bytes), Ok(Datagram::Membership(b"x")));
        bytes[0] = 9;
        let refused = datagram(&bytes).expect_err("another version");
        assert_eq!(
            refused.to_string(),
            format!("the other node speaks version 9 of the protocol, this one speaks {VERSION}")
        );
        assert!(membership(&[0; DATAGRAM_BYTES_MAX]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..4) {
            let mut framed = head(kind);
            framed.extend(&bytes);
            let _ = datagram(&bytes);
            if let Ok(Datagram::Loads(vectors)) = datagram(&framed) {
                prop_assert!(vectors.len() <= bytes.len());
                let mut board = crate::board::Board::new(NodeId(0), 8, true);
                board.hear(&vectors, Duration::from_secs(1));
                prop_assert!(board.all().all(|k| k.load.check().is_ok()));
            }
        }
    }
}
