//! Who a node is: a key pair, and what two nodes that know each other's public key have in common.

use std::fmt;

use anyhow::{Context, ensure};
use cluster::load::NodeId;
use lane::Secret;
use lane::bytes::{from_hex, random_bytes, write_hex};
use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;

/// A node's public key (X25519): what members know of each other. In files hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key with these bytes; any 32 bytes are one.
    pub fn from_bytes(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name of the node in gossip: a part of the key's digest.
    pub fn node_id(&self) -> NodeId {
        let digest = blake3::derive_key("homenode node id v1", &self.0);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        NodeId(u64::from_le_bytes(first))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.to_string()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;

    fn try_from(text: String) -> Result<PublicKey, &'static str> {
        from_hex(&text)
            .map(PublicKey)
            .ok_or("a key is 64 hexadecimal digits")
    }
}

/// A node's private key. Never leaves the node.
pub struct NodeKey(StaticSecret);

impl NodeKey {
    /// A new key.
    ///
    /// # Errors
    /// The kernel has no random bytes to give.
    pub fn generate() -> anyhow::Result<NodeKey> {
        Ok(NodeKey(StaticSecret::from(random_bytes()?)))
    }

    /// The key that [`to_hex`](Self::to_hex) wrote.
    ///
    /// # Errors
    /// It is none; the text is not part of the message.
    pub fn from_hex(text: &str) -> anyhow::Result<NodeKey> {
        let bytes = from_hex(text.trim()).context("a key is 64 hexadecimal digits")?;
        Ok(NodeKey(StaticSecret::from(bytes)))
    }

    /// For the file it is kept in.
    pub fn to_hex(&self) -> String {
        PublicKey(self.0.to_bytes()).to_string()
    }

    /// What others know of it.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// What this node and that one have in common, and nobody else (X25519, RFC 7748): who has the
    /// private key of either can calculate it, also for what was recorded earlier.
    ///
    /// # Errors
    /// The other's key is one of the few with which there is nothing secret.
    pub fn shared_with(&self, other: &PublicKey) -> anyhow::Result<Secret> {
        let agreed = self
            .0
            .diffie_hellman(&x25519_dalek::PublicKey::from(other.0));
        ensure!(agreed.was_contributory(), "the key {other} is not usable");
        let own = self.public();
        let (low, high) = (own.min(*other), own.max(*other));
        let material = [&agreed.as_bytes()[..], &low.0, &high.0].concat();
        Ok(Secret::from_bytes(blake3::derive_key(
            "homenode pair of nodes v1",
            &material,
        )))
    }
}

/// Shows no byte of the private key.
impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey(of {})", self.public())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn both_ends_have_the_same_in_common_and_others_do_not() {
        let [a, b, c] = [(); 3].map(|()| NodeKey::generate().unwrap());
        let ab = a.shared_with(&b.public()).unwrap().to_hex();
        assert_eq!(ab, b.shared_with(&a.public()).unwrap().to_hex());
        assert_ne!(ab, c.shared_with(&a.public()).unwrap().to_hex());
        assert_ne!(ab, a.shared_with(&c.public()).unwrap().to_hex());
    }

    #[test]
    fn text_and_back() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_hex(&format!("{}\n", key.to_hex())).unwrap();
        assert_eq!(again.public(), key.public());
        let text = serde_json::to_string(&key.public()).unwrap();
        assert_eq!(
            serde_json::from_str::<PublicKey>(&text).unwrap(),
            key.public()
        );
        for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(NodeKey::from_hex(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{key:?}").contains(&key.to_hex()));
    }

    #[test]
    fn keys_without_a_secret_are_refused() {
        let key = NodeKey::generate().unwrap();
        assert!(key.shared_with(&PublicKey([0; 32])).is_err());
    }
}
