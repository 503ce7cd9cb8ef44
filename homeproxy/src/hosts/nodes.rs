//! The nodes of a job: those of a private cluster by number, those of the node daemon's cluster by name.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use local::daemon::Client;

use crate::job::lock;
use crate::setup::{Cluster, HOME_NODE, Setup};

/// Which nodes there are.
pub(crate) enum Nodes {
    /// So many on this machine, [`HOME_NODE`] among them.
    Private(u32),
    /// Those of a cluster; within the job each has a number too.
    Named {
        /// This node's name.
        home: String,
        /// Where this node listens for hosts.
        lanes: IpAddr,
        /// Names of the others, from number [`HOME_NODE`] + 1 on.
        others: Mutex<Vec<String>>,
    },
}

impl Nodes {
    pub(crate) fn of(setup: &Setup) -> Nodes {
        match &setup.cluster {
            None => Nodes::Private(setup.nodes),
            Some(Cluster {
                home,
                lanes,
                others,
                ..
            }) => Nodes::Named {
                home: home.clone(),
                lanes: *lanes,
                others: Mutex::new(others.clone()),
            },
        }
    }

    /// Where to listen for hosts.
    pub(super) fn lanes(&self) -> IpAddr {
        match self {
            Nodes::Private(_) => Ipv4Addr::LOCALHOST.into(),
            Nodes::Named { lanes, .. } => *lanes,
        }
    }

    /// Numbers of all but home.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        let count = match self {
            Nodes::Private(count) => count - HOME_NODE,
            Nodes::Named { others, .. } => lock(others).len() as u32,
        };
        (HOME_NODE + 1)..=(HOME_NODE + count)
    }

    /// The number of the node that a user calls so.
    ///
    /// # Errors
    /// There is none, with those there are.
    pub(crate) fn find(&self, name: &str) -> Result<u32, String> {
        let unknown = || format!("there is no node {name}; {}", self.names());
        let (home, others) = match self {
            Nodes::Private(count) => {
                let number = name.parse().ok();
                return number
                    .filter(|number| (HOME_NODE..=*count).contains(number))
                    .ok_or_else(unknown);
            }
            Nodes::Named { home, others, .. } => (home, others),
        };
        if name == home {
            return Ok(HOME_NODE);
        }
        if !lock(others).iter().any(|other| other == name) {
            // It may have joined since.
            let status = Client::connect().and_then(Client::status);
            let status = status.map_err(|error| format!("{error:#}"))?;
            if !status.nodes.iter().any(|node| node.name == name) {
                return Err(unknown());
            }
        }
        let mut others = lock(others);
        let at = others.iter().position(|other| other == name);
        let at = at.unwrap_or_else(|| {
            others.push(name.to_owned());
            others.len() - 1
        });
        Ok(HOME_NODE + 1 + at as u32)
    }

    /// What a user calls this node.
    pub(crate) fn name(&self, number: u32) -> String {
        match self {
            Nodes::Private(_) => number.to_string(),
            Nodes::Named { home, .. } if number == HOME_NODE => home.clone(),
            Nodes::Named { others, .. } => {
                let name = lock(others).get((number - HOME_NODE - 1) as usize).cloned();
                name.unwrap_or_else(|| number.to_string())
            }
        }
    }

    /// All nodes there are, in words.
    pub(crate) fn names(&self) -> String {
        let home = self.name(HOME_NODE);
        let others: String = self
            .numbers()
            .map(|number| format!(", {}", self.name(number)))
            .collect();
        format!("nodes: {home} (home){others}")
    }
}
