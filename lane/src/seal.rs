//! Keys of one connection and the counters that make each nonce unique.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::error::LaneError;
use crate::frame::{LENGTH_BYTES, TAG_BYTES, VERSION};
use crate::secret::Secret;

/// The key of one direction of one connection, with the number of its next record.
///
/// The nonce of a record is its number, so no nonce is used twice and a record opens only in its
/// place. One end seals with it, the other opens; never both.
pub(crate) struct DirectionKey {
    key: LessSafeKey,
    records: u64,
}

/// Keys of both directions, named from the client's point of view.
pub(crate) struct Keys {
    pub(crate) client_to_server: DirectionKey,
    pub(crate) server_to_client: DirectionKey,
}

impl Keys {
    /// Derives the keys of a connection. Both ends contribute 32 random bytes, so neither can be
    /// made to use a key twice by replaying the other.
    pub(crate) fn derive(
        secret: &Secret,
        client_random: &[u8; 32],
        server_random: &[u8; 32],
    ) -> Result<Keys, LaneError> {
        let mut salt = [0; 64];
        salt[..32].copy_from_slice(client_random);
        salt[32..].copy_from_slice(server_random);
        let extracted = Salt::new(HKDF_SHA256, &salt).extract(&secret.0);
        let direction = |label: &'static [u8]| {
            let info = [b"homenode lane".as_slice(), &VERSION.to_le_bytes(), label];
            match extracted.expand(&info, &AES_256_GCM) {
                Ok(key) => Ok(DirectionKey {
                    key: LessSafeKey::new(UnboundKey::from(key)),
                    records: 0,
                }),
                Err(_) => Err(LaneError::Refused("key derivation failed")),
            }
        };
        Ok(Keys {
            client_to_server: direction(b"client to server")?,
            server_to_client: direction(b"server to client")?,
        })
    }
}

impl DirectionKey {
    /// Encrypts `plain` in place and returns its tag. `length` is the record's length field.
    pub(crate) fn seal(
        &mut self,
        length: [u8; LENGTH_BYTES],
        plain: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], LaneError> {
        let sealed = self
            .key
            .seal_in_place_separate_tag(self.nonce(), Aad::from(length), plain);
        let Ok(tag) = sealed else {
            return Err(LaneError::Refused("record too long for the cipher"));
        };
        self.advance()?;
        let mut bytes = [0; TAG_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        Ok(bytes)
    }

    /// Decrypts `sealed` (ciphertext, then tag) in place and returns the plain part. On failure
    /// the content of `sealed` is undefined and the connection is to be dropped.
    pub(crate) fn open<'a>(
        &mut self,
        length: [u8; LENGTH_BYTES],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], LaneError> {
        let nonce = self.nonce();
        self.advance()?;
        match self.key.open_in_place(nonce, Aad::from(length), sealed) {
            Ok(plain) => Ok(plain),
            Err(_) => Err(LaneError::Refused(
                "wrong key, or record altered, repeated or moved",
            )),
        }
    }

    fn nonce(&self) -> Nonce {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&self.records.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    fn advance(&mut self) -> Result<(), LaneError> {
        match self.records.checked_add(1) {
            Some(next) => self.records = next,
            None => return Err(LaneError::Refused("this connection's nonces are used up")),
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn both_ends_derive_the_same_keys_and_directions_differ() {
        let secret = Secret([1; 32]);
        let derive = || Keys::derive(&secret, &[2; 32], &[3; 32]).unwrap();
        let (mut here, mut there) = (derive(), derive());
        let mut record = b"plain".to_vec();
        let tag = here.client_to_server.seal([0; 4], &mut record).unwrap();
        record.extend_from_slice(&tag);
        let mut reflected = record.clone();
        assert_eq!(
            there.client_to_server.open([0; 4], &mut record).unwrap(),
            b"plain"
        );
        assert!(there.server_to_client.open([0; 4], &mut reflected).is_err());
    }

    #[test]
    fn every_input_of_the_derivation_counts() {
        let seal = |secret: u8, client: u8, server: u8| {
            let keys = Keys::derive(&Secret([secret; 32]), &[client; 32], &[server; 32]);
            keys.unwrap()
                .client_to_server
                .seal([0; 4], &mut [0; 8])
                .unwrap()
        };
        let tags = [
            seal(1, 2, 3),
            seal(9, 2, 3),
            seal(1, 9, 3),
            seal(1, 2, 9),
            seal(1, 3, 2),
        ];
        for (i, tag) in tags.iter().enumerate() {
            assert!(!tags[..i].contains(tag));
        }
    }

    #[test]
    fn a_used_up_counter_refuses() {
        let mut keys = Keys::derive(&Secret([1; 32]), &[2; 32], &[3; 32]).unwrap();
        keys.client_to_server.records = u64::MAX;
        let sealed = keys.client_to_server.seal([0; 4], &mut [0; 8]);
        assert!(matches!(sealed, Err(LaneError::Refused(_))));
    }
}
