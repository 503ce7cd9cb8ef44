//! Where other nodes of the cluster may be: names and addresses in the configuration, or the nodes of a
//! Slurm allocation.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::Config;
use crate::nodelist;

/// Longest name in bytes, as DNS has it.
const NAME_BYTES_MAX: usize = 253;
/// Where Slurm says which nodes a job has.
const SLURM_NODES: [&str; 2] = ["SLURM_JOB_NODELIST", "SLURM_NODELIST"];

/// A name or an address, perhaps with a port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Peer {
    host: String,
    /// As this node's if `None`.
    port: Option<u16>,
}

impl Peer {
    /// Reads `NAME`, `ADDRESS`, and both with `:PORT`; an IPv6 address with a port is in brackets.
    ///
    /// # Errors
    /// It is none of that.
    pub fn parse(text: &str) -> anyhow::Result<Peer> {
        let wrong = || {
            format!(
                "{text:?} is no peer: a host name or an address, perhaps with a port, such as \
                 \"alpha\", \"10.0.0.1:7746\" or \"[fd00::1]:7746\""
            )
        };
        if text.parse::<IpAddr>().is_ok() {
            let (host, port) = (text.to_owned(), None);
            return Ok(Peer { host, port });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            ensure!(address.port() != 0, wrong());
            return Ok(Peer {
                host: address.ip().to_string(),
                port: Some(address.port()),
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => {
                let port: Option<u16> = port.parse().ok().filter(|port| *port != 0);
                (host, Some(port.with_context(wrong)?))
            }
            None => (text, None),
        };
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let is_name = !host.is_empty()
            && host.len() <= NAME_BYTES_MAX
            && !host.starts_with(['-', '.'])
            && host.chars().all(allowed);
        ensure!(is_name, wrong());
        let host = host.to_owned();
        Ok(Peer { host, port })
    }

    /// All addresses that it has now; `port` if it has none of its own.
    ///
    /// # Errors
    /// Nobody knows any.
    pub(crate) fn resolve(&self, port: u16) -> io::Result<Vec<SocketAddr>> {
        let port = self.port.unwrap_or(port);
        Ok((self.host.as_str(), port).to_socket_addrs()?.collect())
    }

    /// What the user calls it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl TryFrom<String> for Peer {
    type Error = String;

    fn try_from(text: String) -> Result<Peer, String> {
        Peer::parse(&text).map_err(|error| error.to_string())
    }
}

pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    ensure!(
        config.peers.is_empty() || config.secret.is_some(),
        "peers are spoken to with a secret that all nodes have: secret = \"FILE\" (mosctl secret FILE makes one)"
    );
    Ok(())
}

impl Config {
    /// Adds the nodes of the Slurm job that this process belongs to.
    ///
    /// # Errors
    /// It belongs to none, or there is no secret.
    pub fn add_slurm_nodes(&mut self) -> anyhow::Result<()> {
        let found = SLURM_NODES.iter().find_map(|name| {
            let list = std::env::var(name).ok()?;
            Some((name, list))
        });
        let Some((name, list)) = found else {
            bail!("{} is not set: this is no job of Slurm's", SLURM_NODES[0]);
        };
        let names = nodelist::expand(&list).with_context(|| format!("the variable {name}"))?;
        let peers = names.iter().map(|name| Peer::parse(name));
        self.peers
            .extend(peers.collect::<anyhow::Result<Vec<_>>>()?);
        check(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses() {
        for (text, host, port) in [
            ("alpha", "alpha", None),
            (
                "homenode.default.svc.cluster.local:1",
                "homenode.default.svc.cluster.local",
                Some(1),
            ),
            ("10.0.0.1", "10.0.0.1", None),
            ("10.0.0.1:65535", "10.0.0.1", Some(65535)),
            ("fd00::1", "fd00::1", None),
            ("[fd00::1]:7", "fd00::1", Some(7)),
        ] {
            let host = host.to_owned();
            assert_eq!(Peer::parse(text).unwrap(), Peer { host, port });
        }
        for bad in [
            "",
            ":1",
            "a b",
            "a:0",
            "a:x",
            "a:70000",
            "10.0.0.1:0",
            "-a",
            "a:1:2",
            "[::1]",
            "/x",
        ] {
            let error = Peer::parse(bad).unwrap_err().to_string();
            assert!(error.contains("is no peer: a host name"), "{error}");
        }
        let resolved = Peer::parse("127.0.0.9").unwrap().resolve(5).unwrap();
        assert_eq!(resolved, ["127.0.0.9:5".parse().unwrap()]);
    }
}
