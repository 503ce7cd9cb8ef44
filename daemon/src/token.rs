//! Invitations: one-time tokens that let a node join.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use lane::Secret;
use lane::bytes::random_bytes;

/// Most invitations that are open at once.
const OPEN_MAX: usize = 1024;
/// Bytes of a token.
const BYTES: usize = 16;

/// What a new node proves that it was invited with. 128 random bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; BYTES]);

impl Token {
    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> anyhow::Result<Token> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let value = u128::from_str_radix(&digits, 16)
            .ok()
            .filter(|_| digits.len() == 2 * BYTES && !digits.starts_with('+'));
        match value {
            Some(value) => Ok(Token(value.to_be_bytes())),
            None => anyhow::bail!(
                "{text:?} is no invitation: `mosctl invite` on a member prints one, 32 \
                 hexadecimal digits in groups"
            ),
        }
    }

    /// What both ends of the connection that joins prove; nobody can guess it.
    pub(crate) fn secret(&self) -> Secret {
        Secret::from_bytes(blake3::derive_key("homenode invitation secret v1", &self.0))
    }

    /// Tells the member which invitation it is, without telling others the secret.
    pub(crate) fn id(&self) -> [u8; 32] {
        blake3::derive_key("homenode invitation id v1", &self.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pair) in self.0.chunks(2).enumerate() {
            let separator = if at > 0 { "-" } else { "" };
            write!(f, "{separator}{:02x}{:02x}", pair[0], pair[1])?;
        }
        Ok(())
    }
}

/// Shows no digit of it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The invitations that a member has open. In memory: a restart of the daemon ends them.
#[derive(Debug, Default)]
pub(crate) struct Invitations(HashMap<[u8; 32], (Token, Instant)>);

impl Invitations {
    /// A new one, for so long.
    pub(crate) fn invite(&mut self, valid: Duration, now: Instant) -> anyhow::Result<Token> {
        self.0.retain(|_, (_, until)| *until > now);
        ensure!(
            self.0.len() < OPEN_MAX,
            "{OPEN_MAX} invitations are open: wait until they are used or over"
        );
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(&random_bytes()?[..BYTES]);
        let token = Token(bytes);
        self.0.insert(token.id(), (token.clone(), now + valid));
        Ok(token)
    }

    /// The secret of an open invitation.
    pub(crate) fn secret(&self, id: &[u8; 32], now: Instant) -> Option<Secret> {
        let (token, until) = self.0.get(id)?;
        (*until > now).then(|| token.secret())
    }

    /// Uses one up; `false` if another was faster or its time is over.
    pub(crate) fn take(&mut self, id: &[u8; 32], now: Instant) -> bool {
        self.0.remove(id).is_some_and(|(_, until)| until > now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn once_and_in_time() {
        let mut invitations = Invitations::default();
        let now = Instant::now();
        let minute = Duration::from_secs(60);
        let token = invitations.invite(minute, now).unwrap();
        let again = Token::parse(&format!(" {token}\n")).unwrap();
        assert!(again == token && again.id() == token.id());
        assert!(invitations.secret(&token.id(), now).is_some());
        assert!(invitations.take(&token.id(), now));
        assert!(!invitations.take(&token.id(), now), "spent");
        assert!(invitations.secret(&token.id(), now).is_none());
        let token = invitations.invite(minute, now).unwrap();
        assert!(invitations.secret(&token.id(), now + minute).is_none());
        assert!(!invitations.take(&token.id(), now + minute), "over");
    }

    #[test]
    fn no_tokens() {
        let digits = "0".repeat(31);
        for bad in [
            "",
            "x",
            &digits,
            &format!("{digits}g"),
            &format!("+{digits}"),
        ] {
            let parsed = Token::parse(bad);
            assert!(parsed.is_err(), "{bad}");
        }
    }
}
