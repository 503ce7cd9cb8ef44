//! Datagrams between two nodes: each sealed for itself, with a random nonce that travels with it.
//!
//! ```text
//!  12 bytes   nonce
//!   n bytes   sealed (AES-256-GCM)
//!  16 bytes   authentication tag
//! ```
//!
//! A datagram may be lost, repeated or late: what it says must be right even so. Random nonces of
//! 12 bytes may be used for 2^32 datagrams of one key (NIST SP 800-38D, 8.3): at ten a second
//! from one node to one other for 13 years.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::bytes::random_bytes;
use crate::error::LaneError;
use crate::frame::{TAG_BYTES, VERSION};
use crate::secret::Secret;

/// By how many bytes a sealed datagram is longer than what it says.
pub const SEAL_BYTES: usize = NONCE_LEN + TAG_BYTES;

/// Seals what one node tells another, or opens it: one key for each direction.
pub struct DatagramKey(LessSafeKey);

impl DatagramKey {
    /// The key for what `from` tells `to`; both are any bytes that name a node, the same at
    /// both ends.
    ///
    /// # Errors
    /// [`LaneError::Refused`]: the library refuses to derive it.
    pub fn derive(secret: &Secret, from: &[u8], to: &[u8]) -> Result<DatagramKey, LaneError> {
        let salt = [VERSION.to_le_bytes().as_slice(), b"homenode datagram"].concat();
        let extracted = Salt::new(HKDF_SHA256, &salt).extract(&secret.0);
        let length = |part: &[u8]| (part.len() as u64).to_le_bytes();
        let info = [&length(from)[..], from, to];
        match extracted.expand(&info, &AES_256_GCM) {
            Ok(key) => Ok(DatagramKey(LessSafeKey::new(UnboundKey::from(key)))),
            Err(_) => Err(LaneError::Refused("key derivation failed")),
        }
    }

    /// Appends the sealed `plain` to `datagram`, whose present content is authenticated with it.
    ///
    /// # Errors
    /// No random bytes, or `plain` is too long for the cipher. `datagram` is as it was.
    pub fn seal(&self, plain: &[u8], datagram: &mut Vec<u8>) -> Result<(), LaneError> {
        let random = random_bytes().map_err(|source| LaneError::Io {
            doing: "making a nonce",
            source,
        })?;
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&random[..NONCE_LEN]);
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(datagram.as_slice()),
                &mut sealed,
            )
            .map_err(|_| LaneError::Refused("datagram too long for the cipher"))?;
        datagram.extend(nonce);
        datagram.extend(sealed);
        Ok(())
    }

    /// Opens in place what [`seal`](Self::seal) has appended to `head`, and returns what it says.
    ///
    /// # Errors
    /// [`LaneError::Refused`]: another key, or altered. The content of `sealed` is undefined then.
    pub fn open<'a>(&self, head: &[u8], sealed: &'a mut [u8]) -> Result<&'a [u8], LaneError> {
        const WRONG: LaneError = LaneError::Refused("wrong key, or datagram altered");
        let (nonce, sealed) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or(WRONG)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        match self.0.open_in_place(nonce, Aad::from(head), sealed) {
            Ok(plain) => Ok(plain),
            Err(_) => Err(WRONG),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(secret: u8, from: &[u8], to: &[u8]) -> DatagramKey {
        DatagramKey::derive(&Secret([secret; 32]), from, to).unwrap()
    }

    #[test]
    fn opens_with_its_key_and_head_only() {
        let mut datagram = b"head".to_vec();
        key(1, b"a", b"b").seal(b"news", &mut datagram).unwrap();
        assert_eq!(datagram.len(), 4 + 4 + SEAL_BYTES);
        let open = |key: DatagramKey, head: &[u8]| {
            let mut sealed = datagram[4..].to_vec();
            key.open(head, &mut sealed).map(<[u8]>::to_vec).ok()
        };
        assert_eq!(open(key(1, b"a", b"b"), b"head").unwrap(), b"news");
        assert_eq!(open(key(1, b"a", b"b"), b"heap"), None);
        assert_eq!(
            open(key(1, b"b", b"a"), b"head"),
            None,
            "the other direction"
        );
        assert_eq!(open(key(1, b"ab", b""), b"head"), None);
        assert_eq!(open(key(2, b"a", b"b"), b"head"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = bytes;
            prop_assert!(key(1, b"a", b"b").open(b"", &mut bytes).is_err());
        }

        #[test]
        fn an_altered_one_is_refused(at in 0..(8 + SEAL_BYTES), flip in 1..=255_u8) {
            let mut datagram = Vec::new();
            key(1, b"a", b"b").seal(b"12345678", &mut datagram).unwrap();
            datagram[at] ^= flip;
            prop_assert!(key(1, b"a", b"b").open(b"", &mut datagram).is_err());
        }
    }
}
