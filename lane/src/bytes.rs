//! 32 bytes that are a secret or a key: from the kernel, and as text.

use std::{fmt, io};

use ring::rand::{SecureRandom, SystemRandom};

/// 32 bytes from the kernel's random generator.
///
/// # Errors
/// It has none to give.
pub fn random_bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(io::Error::other("the kernel's random generator failed")),
    }
}

/// Reads exactly 64 hexadecimal digits of either case.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

/// Writes 64 lower-case hexadecimal digits.
///
/// # Errors
/// Those of the formatter.
pub fn write_hex(bytes: &[u8; 32], f: &mut impl fmt::Write) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
