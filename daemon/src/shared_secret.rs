//! The secret that all nodes of a cluster are given in a file: who proves it is let in without an
//! invitation, any number of times.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};
use lane::Secret;
use lane::bytes::random_bytes;

/// Fewest and most bytes of a secret. What is told of it to whoever listens can be tried out: it must not be
/// possible to guess.
const BYTES_MIN: usize = 32;
const BYTES_MAX: usize = 4096;

/// What members of a cluster have in common before they know each other.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(Vec<u8>);

impl SharedSecret {
    /// Reads the file. Nobody else may be able to.
    ///
    /// # Errors
    /// It cannot be read, others can read it, or it is too short; with what to do.
    pub fn read(path: &Path) -> anyhow::Result<SharedSecret> {
        SharedSecret::of(path).with_context(|| format!("the secret {}", path.display()))
    }

    fn of(path: &Path) -> anyhow::Result<SharedSecret> {
        // A pipe that nobody writes to would be waited for.
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file = options
            .open(path)
            .context("cannot be read; mosctl secret FILE makes one")?;
        let found = file.metadata()?;
        ensure!(found.is_file(), "is no file");
        let own = nix::unistd::geteuid().as_raw();
        ensure!(
            found.uid() == own || found.uid() == 0,
            "belongs to user {}; it must belong to user {own} or to root",
            found.uid()
        );
        ensure!(
            found.mode() & 0o077 == 0,
            "can be read or written by others (mode {:03o}); chmod 600 or 400 is right",
            found.mode() & 0o777
        );
        SharedSecret::parse(file)
    }

    fn parse(file: impl Read) -> anyhow::Result<SharedSecret> {
        let mut bytes = Vec::new();
        file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        // An editor ends it with a new line.
        let bytes = bytes.trim_ascii().to_vec();
        ensure!(
            (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()),
            "has {} bytes; {BYTES_MIN} to {BYTES_MAX} that nobody can guess are right (mosctl secret FILE \
             makes such a file)",
            bytes.len()
        );
        Ok(SharedSecret(bytes))
    }

    /// Makes a file with a new secret.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn make(path: &Path) -> anyhow::Result<()> {
        let made = || -> anyhow::Result<()> {
            let mut options = OpenOptions::new();
            let options = options.write(true).create_new(true).mode(0o600);
            let mut file: File = options.open(path)?;
            let bytes = random_bytes()?;
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(file, "{digits}")?;
            file.sync_all()?;
            Ok(())
        };
        made().with_context(|| format!("make the secret {}", path.display()))
    }

    /// What both ends of the connection that joins prove.
    pub(crate) fn secret(&self) -> Secret {
        Secret::from_bytes(blake3::derive_key("homenode shared secret v1", &self.0))
    }

    /// Tells the other node which secret it is, without telling others the secret.
    pub(crate) fn id(&self) -> [u8; 32] {
        blake3::derive_key("homenode shared secret id v1", &self.0)
    }
}

/// Shows no byte of it.
impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_and_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        SharedSecret::make(&path).unwrap();
        let one = SharedSecret::read(&path).unwrap();
        assert_eq!(one.0.len(), 64);
        assert!(SharedSecret::make(&path).is_err(), "there is one");
        assert!(one == SharedSecret::read(&path).unwrap());
        let text = fs::read_to_string(&path).unwrap();
        assert!(!format!("{one:?}").contains(text.trim()));
        assert_ne!(&one.id(), one.secret().to_hex().as_bytes());
    }

    #[test]
    fn files_that_are_none_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let said = |path: &Path| format!("{:#}", SharedSecret::read(path).unwrap_err());
        assert!(
            said(&path).contains("mosctl secret FILE makes one"),
            "{}",
            said(&path)
        );
        fs::write(&path, format!("{}\n", "x".repeat(32))).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let said = said(&path);
            assert!(
                said.contains(&format!("(mode {mode:03o}); chmod 600")),
                "{said}"
            );
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        SharedSecret::read(&path).unwrap();
        for (content, bytes) in [("", 0), ("short\n", 5), (&"y".repeat(5000), 4097)] {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            fs::write(&path, content).unwrap();
            let said = said(&path);
            assert!(
                said.contains(&format!("has {bytes} bytes; 32 to 4096")),
                "{said}"
            );
        }
        assert!(said(directory.path()).contains("is no file"));
    }
}
