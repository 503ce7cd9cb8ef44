//! Files of `/proc` as text.

use std::io;
use std::path::Path;

/// The whole of a file of `/proc`. Names of programs and files that occur in it may be any bytes:
/// what is not UTF-8 becomes U+FFFD.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}
