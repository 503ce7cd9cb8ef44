//! The configuration: one TOML file, which need not exist. Every value has a default.

mod metrics;
mod peers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use local::memory::{LIMIT_WORDS, limit};
use local::place::{directory, socket};

use crate::members::check_name;
pub use peers::Peer;

/// Port of the node daemon, TCP and UDP.
pub const PORT: u16 = 7746;

/// What can be configured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of this node; the host's name if `None`. It counts when the node joins.
    pub name: Option<String>,
    /// Where to listen, TCP and UDP.
    pub listen: SocketAddr,
    /// Address under which others reach this node; as they see it if `None`.
    pub address: Option<IpAddr>,
    /// Directory of the node's key and of the list of members.
    pub state: PathBuf,
    /// Socket on which this node's tools and jobs reach the daemon.
    pub socket: PathBuf,
    /// Speed of a core, 0.01 to 100; 1 is the cluster's reference. Measured if `None`.
    pub speed: Option<f64>,
    /// Where a monitoring system reads this node's figures; nowhere if `None`.
    #[serde(deserialize_with = "metrics::address")]
    pub metrics: Option<SocketAddr>,
    /// Whether that may be an address that other machines can connect to.
    pub metrics_open: bool,
    /// Where other nodes of its cluster may be; they are asked until they answer.
    pub peers: Vec<Peer>,
    /// File with the secret that lets nodes in which have it, too.
    pub secret: Option<PathBuf>,
    /// Memory that guests and this node's own jobs may use, in bytes; what there is if `None`. What the machine has,
    /// and the daemon's cgroup, limit it as well.
    #[serde(deserialize_with = "memory")]
    pub memory: Option<u64>,
    /// What others may do here.
    pub guests: Guests,
    /// Where programs run best.
    pub balance: Balance,
}

/// What other nodes' programs may do here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guests {
    /// Most jobs of other nodes that may have guests here at once; 0: none.
    pub jobs_max: u32,
    /// CPUs that guests may use; all if `None`.
    pub cpus: Option<Vec<u16>>,
}

/// Where programs run best.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Balance {
    /// Share of its cores that this node's own programs want before any of them leaves, 0 to 100.
    pub leave_above: f64,
    /// Whether this node's processes are moved while they run, wherever they are.
    pub migrate: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: None,
            listen: (Ipv4Addr::UNSPECIFIED, PORT).into(),
            address: None,
            state: directory("XDG_STATE_HOME", ".local/state", "/var/lib"),
            socket: socket(),
            speed: None,
            metrics: None,
            metrics_open: false,
            peers: Vec::new(),
            secret: None,
            memory: None,
            guests: Guests::default(),
            balance: Balance::default(),
        }
    }
}

impl Default for Guests {
    fn default() -> Guests {
        Guests {
            jobs_max: 256,
            cpus: None,
        }
    }
}

impl Default for Balance {
    fn default() -> Balance {
        Balance {
            leave_above: 0.05,
            migrate: true,
        }
    }
}

impl Config {
    /// Reads this file; without one, the file of the user or of root where there is one.
    ///
    /// # Errors
    /// It cannot be read, or a value is not allowed: with file, line and what is allowed.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Config> {
        let usual = directory("XDG_CONFIG_HOME", ".config", "/etc").join("mosd.toml");
        let (path, must_exist) = match file {
            Some(path) => (path, true),
            None => (usual.as_path(), false),
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                Ok(Config::default())
            }
            Err(error) => {
                Err(error).with_context(|| format!("read the configuration {}", path.display()))
            }
        }
    }

    /// The configuration in this text.
    ///
    /// # Errors
    /// As [`load`](Self::load), without the file's name.
    pub fn parse(text: &str) -> anyhow::Result<Config> {
        let config: Config = toml::from_str(text)?;
        let wrong = |key: &str, error| match line_of(text, key) {
            Some(line) => anyhow::anyhow!("line {line}: {error}"),
            None => error,
        };
        if let Some(name) = &config.name {
            check_name(name).map_err(|error| wrong("name", error))?;
        }
        if !(0.0..=100.0).contains(&config.balance.leave_above) {
            let error = anyhow::anyhow!("balance.leave_above is a number from 0 to 100");
            return Err(wrong("leave_above", error));
        }
        if config
            .speed
            .is_some_and(|speed| !(0.01..=100.0).contains(&speed))
        {
            let error = anyhow::anyhow!("speed is a number from 0.01 to 100");
            return Err(wrong("speed", error));
        }
        if config
            .address
            .is_some_and(|address| address.is_unspecified())
        {
            let error = anyhow::anyhow!("address is one that other nodes can connect to");
            return Err(wrong("address", error));
        }
        if config.guests.cpus.as_ref().is_some_and(Vec::is_empty) {
            let error = anyhow::anyhow!(
                "guests.cpus is a list of CPU numbers, at least one; jobs_max = 0 allows no guests"
            );
            return Err(wrong("cpus", error));
        }
        metrics::check(&config).map_err(|error| wrong("metrics", error))?;
        peers::check(&config).map_err(|error| wrong("peers", error))?;
        Ok(config)
    }

    /// Name of this node, to join with.
    ///
    /// # Errors
    /// The host's name is no name of a node: one is to be configured.
    pub fn own_name(&self) -> anyhow::Result<String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let host = nix::unistd::gethostname().context("ask for this host's name")?;
        let host = host.to_string_lossy().into_owned();
        check_name(&host).context("this host's name; choose another with --name")?;
        Ok(host)
    }
}

/// A limit of memory as users write it.
fn memory<'de, D: Deserializer<'de>>(value: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(value)
        .map_err(|_| D::Error::custom(format!("memory is {LIMIT_WORDS}: \"2G\"")))?;
    let limit = limit(&text).map_err(|error| D::Error::custom(format!("memory: {error:#}")))?;
    Ok(Some(limit))
}

/// Number of the first line that sets `key`.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let sets = |line: &str| {
        let rest = line.trim_start().strip_prefix(key)?;
        rest.trim_start().strip_prefix('=').map(|_| ())
    };
    text.lines()
        .position(|line| sets(line).is_some())
        .map(|at| at + 1)
}

/// Refuses paths that a socket cannot have.
///
/// # Errors
/// It is too long.
pub fn check_socket(path: &Path) -> anyhow::Result<()> {
    // sun_path of unix(7), with its final zero.
    const BYTES_MAX: usize = 107;
    if path.as_os_str().len() > BYTES_MAX {
        bail!(
            "the socket's path {} is longer than the {BYTES_MAX} bytes that the kernel allows; set \
             socket in the configuration",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use super::*;

    #[test]
    fn all_values() {
        let text = "name = \"alpha\"\nlisten = \"127.0.0.1:1\"\naddress = \"10.0.0.1\"\n\
                    state = \"/s\"\nsocket = \"/s/sock\"\nspeed = 2\nmemory = \"2G\"\n\
                    metrics = \"10.0.0.1:9\"\nmetrics_open = true\n\
                    peers = [\"a\", \"10.0.0.2:8\"]\nsecret = \"/s/secret\"\n\
                    [guests]\njobs_max = 3\ncpus = [0, 2]\n\
                    [balance]\nleave_above = 1\nmigrate = false\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.own_name().unwrap(), "alpha");
        assert_eq!(config.guests.cpus, Some(vec![0, 2]));
        assert_eq!(config.balance.leave_above, 1.0);
        assert_eq!((config.balance.migrate, config.speed), (false, Some(2.0)));
        assert_eq!(config.metrics, Some("10.0.0.1:9".parse().unwrap()));
        assert_eq!(config.peers[1], Peer::parse("10.0.0.2:8").unwrap());
        assert_eq!(config.secret, Some("/s/secret".into()));
        let local = Config::parse("metrics = \"[::1]:9746\"").unwrap();
        assert_eq!(local.metrics, Some("[::1]:9746".parse().unwrap()));
        assert_eq!(config.memory, Some(2 << 30));
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn errors_name_the_line_and_what_is_allowed() {
        for (text, expected) in [
            ("\nname = \"home\"", "line 2: \"home\" is no name of a node"),
            (
                "nmae = \"x\"",
                "unknown field `nmae`, expected one of `name`",
            ),
            (
                "[balance]\nleave_above = -1",
                "line 2: balance.leave_above is a number from 0 to 100",
            ),
            ("listen = \"here\"", "line 1"),
            ("[guests]\ncpus = []", "line 2: guests.cpus is a list"),
            ("address = \"0.0.0.0\"", "line 1: address is one that"),
            ("\nspeed = 0", "line 2: speed is a number from 0.01 to 100"),
            (
                "\n\nmemory = \"2 GB\"",
                "line 3, column 10\n  |\n3 | memory = \"2 GB\"\n  |          ^^^^^^\nmemory: \"2 GB\" is not a number of bytes with K, M",
            ),
            ("memory = 5", "memory is a number of bytes with K, M"),
            ("[balance]\nmigrate = 1", "line 2"),
            ("[guests]\njobs_max = -1", "line 2"),
            ("\nmetrics = 9746", "line 2, column 11"),
            (
                "metrics = \"localhost\"",
                "metrics is an address with a port, such as \"127.0.0.1:9746\"",
            ),
            (
                "\nmetrics = \"0.0.0.0:9746\"",
                "line 2: metrics is an address of this machine alone, such as 127.0.0.1:9746; with \
                 metrics_open = true any",
            ),
            (
                "\npeers = [\"a\"]",
                "line 2: peers are spoken to with a secret that all nodes have",
            ),
            (
                "secret = \"/s\"\npeers = [\"a\", \"b c\"]",
                "line 2, column",
            ),
            (
                "peers = [\"b c\"]",
                "\"b c\" is no peer: a host name or an address",
            ),
            (
                "metrics = \"127.0.0.1:0\"",
                "line 1: metrics has a port from 1",
            ),
        ] {
            let error = format!("{:#}", Config::parse(text).unwrap_err());
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
