//! The list of members: names, keys and addresses. Each node has all of it, and any two lists can
//! be merged in any order with the same result.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::ensure;
use cluster::load::NodeId;
use serde::{Deserialize, Serialize};

use crate::identity::PublicKey;

/// Most entries of a list, those of nodes that have left included: the whole list, at most 320 bytes
/// for each as JSON, fits a message between daemons.
pub const MEMBERS_MAX: usize = 6000;
/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether a node belongs to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Membership {
    /// It does.
    Member,
    /// It has left, and may come back with a new invitation.
    Left,
    /// Its key is not believed any more, for ever.
    Revoked,
}

/// What every node knows of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Whether it belongs to the cluster.
    pub membership: Membership,
    /// Rises with each change of this entry.
    pub revision: u64,
    /// When it joined, in seconds since 1970 by the clock of who invited it.
    pub joined: u64,
    /// Its name; see [`check_name`].
    pub name: String,
    /// Its key.
    pub key: PublicKey,
    /// Where its daemon listens, TCP and UDP; `None` while it is the only node, and nobody has told
    /// it where it is seen.
    pub address: Option<SocketAddr>,
}

impl Member {
    /// Whether this entry is to replace `older`, of the same key.
    fn replaces(&self, older: &Member) -> bool {
        let rank = |member: &Member| (member.membership == Membership::Revoked, member.revision);
        // Of two changes at different nodes with the same number, all choose the same.
        (rank(self), self) > (rank(older), older)
    }
}

/// All nodes that are or were members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    entries: BTreeMap<PublicKey, Member>,
    digest: u64,
}

impl Members {
    /// Takes in what another node or a file says; true if anything is new. Entries that no node
    /// makes are passed over.
    pub fn merge(&mut self, entries: impl IntoIterator<Item = Member>) -> bool {
        let mut changed = false;
        for entry in entries.into_iter().take(MEMBERS_MAX) {
            changed |= self.take_in(entry);
        }
        if changed {
            self.digest = self.calculate_digest();
        }
        changed
    }

    fn take_in(&mut self, entry: Member) -> bool {
        if check_name(&entry.name).is_err() {
            return false;
        }
        match self.entries.get(&entry.key) {
            Some(known) if !entry.replaces(known) => false,
            None if self.entries.len() >= MEMBERS_MAX => false,
            _ => {
                self.entries.insert(entry.key, entry);
                true
            }
        }
    }

    /// Changes the entry of this key; `false` if there is none.
    pub fn change(&mut self, key: &PublicKey, change: impl FnOnce(&mut Member)) -> bool {
        let Some(member) = self.entries.get_mut(key) else {
            return false;
        };
        change(member);
        member.revision += 1;
        self.digest = self.calculate_digest();
        true
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = &Member> {
        self.entries.values()
    }

    /// Those that belong to the cluster, by key.
    pub fn present(&self) -> impl Iterator<Item = &Member> {
        let is_member = |member: &&Member| member.membership == Membership::Member;
        self.entries.values().filter(is_member)
    }

    /// The member with this key.
    pub fn by_key(&self, key: &PublicKey) -> Option<&Member> {
        self.present().find(|member| member.key == *key)
    }

    /// The member with this name in gossip.
    pub fn by_id(&self, id: NodeId) -> Option<&Member> {
        self.present().find(|member| member.key.node_id() == id)
    }

    /// The member with this name. Of two that joined at different nodes at the same moment with the
    /// same name, the earlier.
    pub fn by_name(&self, name: &str) -> Option<&Member> {
        let named = self.present().filter(|member| member.name == name);
        named.min_by_key(|member| (member.joined, member.key))
    }

    /// Short for the whole list: equal lists have equal digests.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    fn calculate_digest(&self) -> u64 {
        let entries: Vec<&Member> = self.entries.values().collect();
        let text = serde_json::to_vec(&entries).unwrap_or_default();
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(&text).as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

/// Whether a node may have this name: letters, digits, `.`, `-` and `_`, no number alone, none of
/// the words that commands use for places.
///
/// # Errors
/// What is wrong, in words for the user.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    ensure!(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(allowed),
        "{name:?} is no name of a node: 1 to {NAME_BYTES_MAX} letters, digits, '.', '-' or '_'"
    );
    ensure!(
        !name.starts_with('-') && !name.chars().all(|c| c.is_ascii_digit()),
        "{name:?} is no name of a node: it begins with '-' or is a number"
    );
    ensure!(
        !matches!(name, "home" | "best"),
        "{name:?} is no name of a node: commands use the word"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(key: u8, revision: u64, membership: Membership, name: &str) -> Member {
        Member {
            membership,
            revision,
            joined: u64::from(key),
            name: name.to_owned(),
            key: PublicKey::from_bytes([key; 32]),
            address: None,
        }
    }

    fn any_member() -> impl Strategy<Value = Member> {
        let membership = prop_oneof![
            Just(Membership::Member),
            Just(Membership::Left),
            Just(Membership::Revoked)
        ];
        (0..4_u8, 0..3_u64, membership, "[ab]")
            .prop_map(|(key, revision, membership, name)| member(key, revision, membership, &name))
    }

    proptest! {
        #[test]
        fn the_order_of_merging_does_not_matter(
            entries in proptest::collection::vec(any_member(), 0..20), turn in 0..20_usize
        ) {
            let mut one = Members::default();
            one.merge(entries.clone());
            let mut other = Members::default();
            let turn = turn % entries.len().max(1);
            other.merge(entries[turn..].iter().rev().cloned());
            other.merge(entries[..turn].to_vec());
            prop_assert_eq!(one.digest(), other.digest());
            prop_assert_eq!(&one, &other);
            prop_assert!(!one.merge(entries));
        }
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        let mut members = Members::default();
        members.merge([member(1, 1, Membership::Revoked, "a")]);
        assert!(!members.merge([member(1, 9, Membership::Member, "a")]));
        assert!(members.by_name("a").is_none());
        assert!(members.by_key(&PublicKey::from_bytes([1; 32])).is_none());
    }

    #[test]
    fn the_earlier_of_two_has_the_name() {
        let mut members = Members::default();
        members.merge([2, 1].map(|key| member(key, 1, Membership::Member, "twin")));
        let found = members.by_name("twin").map(|member| member.joined);
        assert_eq!(found, Some(1));
    }

    #[test]
    fn names() {
        for good in ["a", "node-1", "db.example.org", "x_y"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "home", "best", "12", "-a", "a b", "ä", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
