//! What a node keeps over restarts: its key, the list of members, and what programs have needed.

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::identity::NodeKey;
use crate::members::{Member, Members};

const KEY: &str = "key";
const MEMBERS: &str = "members.json";
const LEARNED: &str = "learned.json";
const LOCK: &str = "lock";
/// Longest file of what was learned, in bytes: more than what can be learned ever fills.
const LEARNED_BYTES_MAX: u64 = 4 << 20;

/// The directory of one node's state.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

impl State {
    /// The state in this directory, which need not exist.
    pub fn at(directory: &Path) -> State {
        State(directory.to_owned())
    }

    /// Whether this node belongs to a cluster.
    pub fn exists(&self) -> bool {
        self.0.join(KEY).exists()
    }

    /// Makes the state of a new member.
    ///
    /// # Errors
    /// There is one already, or it cannot be written: nothing has changed then but that the
    /// directory may exist.
    pub fn create(&self, key: &NodeKey, members: &Members) -> anyhow::Result<()> {
        ensure!(
            !self.exists(),
            "this node belongs to a cluster already ({}); `mosctl leave` ends that",
            self.0.display()
        );
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("make the directory {}", self.0.display()))?;
        self.save(members)?;
        self.replace(KEY, format!("{}\n", key.to_hex()).as_bytes())
    }

    /// Reads the state.
    ///
    /// # Errors
    /// There is none, with what to do; or it is damaged.
    pub fn load(&self) -> anyhow::Result<(NodeKey, Members)> {
        let path = self.0.join(KEY);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => anyhow::bail!(
                "this node belongs to no cluster ({} is missing): `mosctl init` makes one, \
                 `mosctl join` joins one",
                path.display()
            ),
            read => read.with_context(|| format!("read {}", path.display()))?,
        };
        let key = NodeKey::from_hex(&text).with_context(|| path.display().to_string())?;
        let path = self.0.join(MEMBERS);
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let entries: Vec<Member> = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let mut members = Members::default();
        members.merge(entries);
        Ok((key, members))
    }

    /// Writes the list of members.
    ///
    /// # Errors
    /// It cannot be written: the former one is still there.
    pub fn save(&self, members: &Members) -> anyhow::Result<()> {
        let entries: Vec<&Member> = members.entries().collect();
        let mut text = serde_json::to_vec_pretty(&entries)?;
        text.push(b'\n');
        self.replace(MEMBERS, &text)
    }

    /// What [`keep_learned`](Self::keep_learned) has written, if anything.
    pub(crate) fn learned(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.0.join(LEARNED);
        let reading = || format!("read {}", path.display());
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.with_context(reading)?,
        };
        let mut text = Vec::new();
        let mut file = file.take(LEARNED_BYTES_MAX + 1);
        file.read_to_end(&mut text).with_context(reading)?;
        ensure!(
            text.len() as u64 <= LEARNED_BYTES_MAX,
            "{} is longer than {LEARNED_BYTES_MAX} bytes",
            path.display()
        );
        Ok(Some(text))
    }

    /// Writes what programs have needed.
    pub(crate) fn keep_learned(&self, text: &[u8]) -> anyhow::Result<()> {
        self.replace(LEARNED, text)
    }

    /// Forgets the cluster.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> anyhow::Result<()> {
        for name in [KEY, MEMBERS, LEARNED, LOCK] {
            let path = self.0.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                _ => {}
            }
        }
        // Something else may be in it, such as the log.
        let _ = fs::remove_dir(&self.0);
        Ok(())
    }

    /// Held as long as a daemon uses this state.
    ///
    /// # Errors
    /// Another one does.
    pub fn lock(&self) -> anyhow::Result<nix::fcntl::Flock<File>> {
        let path = self.0.join(LOCK);
        let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        let locked = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock);
        locked.map_err(|(_, error)| {
            anyhow::anyhow!(
                "a daemon runs already with the state in {} ({error})",
                self.0.display()
            )
        })
    }

    /// Writes a file that is there as a whole, or as it was.
    fn replace(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.0.join(name);
        let written = || -> anyhow::Result<()> {
            // Readable by its owner only; removed if anything fails.
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.0)?.sync_all()?;
            Ok(())
        };
        written().with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::members::Membership;

    fn one(name: &str) -> (NodeKey, Members) {
        let key = NodeKey::generate().unwrap();
        let mut members = Members::default();
        members.merge([Member {
            membership: Membership::Member,
            revision: 1,
            joined: 7,
            name: name.to_owned(),
            key: key.public(),
            address: Some("10.0.0.1:7746".parse().unwrap()),
        }]);
        (key, members)
    }

    #[test]
    fn written_read_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(&directory.path().join("deep/state"));
        let error = format!("{:#}", state.load().unwrap_err());
        assert!(error.contains("`mosctl join` joins one"), "{error}");
        let (key, members) = one("a");
        state.create(&key, &members).unwrap();
        assert!(state.create(&key, &members).is_err());
        let (read, list) = state.load().unwrap();
        assert_eq!((read.public(), list), (key.public(), members));
        let mode = fs::metadata(state.0.join(KEY))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let held = state.lock().unwrap();
        assert!(state.lock().is_err());
        drop(held);
        state.remove().unwrap();
        assert!(!state.0.exists());
    }

    #[test]
    fn damage_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::at(directory.path());
        let (key, members) = one("a");
        state.create(&key, &members).unwrap();
        fs::write(directory.path().join(MEMBERS), "[{\"key\"").unwrap();
        let error = format!("{:#}", state.load().unwrap_err());
        assert!(error.contains("members.json is damaged"), "{error}");
        fs::write(directory.path().join(KEY), "zz").unwrap();
        assert!(state.load().is_err());
    }
}
