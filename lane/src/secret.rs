//! The secret of one job.

use std::{fmt, io};

use crate::bytes::{from_hex, random_bytes, write_hex};
use crate::error::LaneError;

/// 32 random bytes that every lane of one job is proved and encrypted with; or every connection
/// between two nodes.
///
/// That of a job is given to the runtime as hexadecimal digits over an inherited pipe: never in an argument, an
/// environment variable, a file or a log.
#[derive(Clone)]
pub struct Secret(pub(crate) [u8; 32]);

impl Secret {
    /// A new secret from the kernel's random generator.
    ///
    /// # Errors
    /// The kernel has no random bytes to give.
    pub fn random() -> io::Result<Secret> {
        Ok(Secret(random_bytes()?))
    }

    /// These bytes as a secret, for instance what two nodes have agreed on. Nobody else may be able
    /// to guess them.
    pub fn from_bytes(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote: exactly 64 hexadecimal digits of either case.
    ///
    /// # Errors
    /// [`LaneError::Refused`] for anything else; the text is not part of the message.
    pub fn from_hex(text: &str) -> Result<Secret, LaneError> {
        match from_hex(text) {
            Some(bytes) => Ok(Secret(bytes)),
            None => Err(LaneError::Refused("a secret is 64 hexadecimal digits")),
        }
    }

    /// 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(2 * self.0.len());
        // A string takes everything.
        let _ = write_hex(&self.0, &mut text);
        text
    }
}

/// Shows no byte of the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn hex_and_back() {
        let secret = Secret::random().unwrap();
        let hex = secret.to_hex();
        assert_eq!(Secret::from_hex(&hex).unwrap().0, secret.0);
        assert_eq!(Secret::from_hex(&hex.to_uppercase()).unwrap().0, secret.0);
        assert_eq!(Secret([0xa5; 32]).to_hex(), "a5".repeat(32));
        assert_ne!(Secret::random().unwrap().0, secret.0);
    }

    #[test]
    fn malformed_hex_is_refused_and_debug_tells_nothing() {
        let good = "a5".repeat(32);
        for bad in [
            "",
            &good[1..],
            &format!("{good}\n"),
            &good.replace('5', "g"),
            &"é".repeat(32),
        ] {
            assert!(
                matches!(Secret::from_hex(bad), Err(LaneError::Refused(_))),
                "{bad:?}"
            );
        }
        assert_eq!(
            format!("{:?}", Secret::from_hex(&good).unwrap()),
            "Secret(..)"
        );
    }
}
