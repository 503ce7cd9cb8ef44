//! Looking for the nodes that are configured as peers, and becoming one cluster with them.
//!
//! Each node begins as a cluster of its own and asks its peers to let it in, which they do if both have the
//! same secret: then each has the other in its list, and lists that differ are exchanged and merged by
//! gossip. So nobody has to be first, and it does not matter who starts when: as long as any peer's address
//! is not that of a member that lives, it is asked again. Names are looked up anew each time.

mod attempts;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::config::Config;
use crate::identity::NodeKey;
use crate::members::{Member, Members, Membership};
use crate::peers::{self, Asked, NewNode};
use crate::shared_secret::SharedSecret;
use crate::state::State;
use crate::wire::{self, Id};
use crate::{Daemon, STACK_BYTES, lock, unix_seconds};
use attempts::{Attempts, Outcome};

/// Peers that are asked at once.
const AT_ONCE: usize = 8;
/// Addresses that are looked at; a name may have any number of them.
const ADDRESSES_MAX: usize = crate::members::MEMBERS_MAX;
/// Time from one round to the next while this node knows no other, and then.
const ALONE: Duration = Duration::from_secs(1);
const TOGETHER: Duration = Duration::from_secs(5);

/// Makes this node a cluster of its own, which is to become one with its peers'.
///
/// # Errors
/// It belongs to one already, or its state cannot be written.
pub fn found(config: &Config, name: &str, address: Option<std::net::IpAddr>) -> anyhow::Result<()> {
    let key = NodeKey::generate()?;
    let listen = config.listen.ip();
    let address = address
        .or(config.address)
        .or((!listen.is_unspecified()).then_some(listen));
    let mut members = Members::default();
    members.merge([Member {
        membership: Membership::Member,
        // What a peer makes of it, which sees its address, is newer.
        revision: 0,
        joined: unix_seconds(),
        name: name.to_owned(),
        key: key.public(),
        address: address.map(|address| (address, config.listen.port()).into()),
    }]);
    State::at(&config.state).create(&key, &members)
}

/// Runs until the daemon ends.
pub(crate) fn run(daemon: &Arc<Daemon>, secret: &SharedSecret) {
    let mut attempts = Attempts::default();
    let mut said = String::new();
    loop {
        let (addresses, unknown) = addresses(&daemon.config);
        let alive = alive(daemon);
        let mut is_alone = alive.is_empty();
        let due = {
            let now = daemon.began.elapsed();
            let mut random = lock(&daemon.random);
            attempts.due(&addresses, &alive, AT_ONCE, now, &mut *random)
        };
        let mut refusals = unknown;
        for (address, asked) in ask_all(daemon, secret, &due) {
            let outcome = match asked {
                Ok(Asked::Itself) => Outcome::Itself,
                Ok(Asked::Welcome(members)) => {
                    daemon.take_in(members);
                    is_alone = false;
                    Outcome::Met
                }
                Err(error) => {
                    tracing::debug!("peer {address}: {error:#}");
                    refusals = Some(format!("peer {address}: {error:#}"));
                    Outcome::Failed
                }
            };
            let is_new = attempts.done(address, outcome, is_alone, daemon.began.elapsed());
            if is_new && outcome == Outcome::Met {
                daemon.event(&format!(
                    "peer {address} has the same secret, and is of this cluster"
                ));
            }
        }
        // Once, and again when it is something else.
        if let Some(why) = refusals.filter(|why| is_alone && *why != said) {
            daemon.event(&format!(
                "no other node is known yet, peers are asked again: {why}"
            ));
            said = why;
        }
        thread::sleep(if is_alone { ALONE } else { TOGETHER });
    }
}

/// All addresses of all peers now, in order, and what is wrong with a name.
fn addresses(config: &Config) -> (Vec<SocketAddr>, Option<String>) {
    let (mut all, mut unknown) = (Vec::new(), None);
    let mut seen = HashSet::new();
    for peer in &config.peers {
        match peer.resolve(config.listen.port()) {
            Ok(found) => all.extend(found.into_iter().filter(|address| seen.insert(*address))),
            Err(error) => unknown = Some(format!("the address of {}: {error}", peer.host())),
        }
    }
    all.truncate(ADDRESSES_MAX);
    (all, unknown)
}

/// Addresses of other members that live.
fn alive(daemon: &Daemon) -> HashSet<SocketAddr> {
    let alive: HashSet<_> = lock(&daemon.view).alive.iter().copied().collect();
    let members = lock(&daemon.members);
    let living = members
        .present()
        .filter(|member| alive.contains(&member.key.node_id()));
    living.filter_map(|member| member.address).collect()
}

/// Asks all of them at the same time.
fn ask_all(
    daemon: &Daemon,
    secret: &SharedSecret,
    peers: &[SocketAddr],
) -> Vec<(SocketAddr, anyhow::Result<Asked>)> {
    thread::scope(|scope| {
        let start = |address: &SocketAddr| {
            let address = *address;
            let thread = thread::Builder::new()
                .name("seek".into())
                .stack_size(STACK_BYTES);
            let started = thread.spawn_scoped(scope, move || ask(daemon, secret, address));
            (address, started)
        };
        let started: Vec<_> = peers.iter().map(start).collect();
        let wait = |(address, started): (SocketAddr, std::io::Result<_>)| {
            let asked = started.map_err(anyhow::Error::from).and_then(
                |asked: thread::ScopedJoinHandle<'_, anyhow::Result<Asked>>| {
                    let over = asked.join();
                    over.unwrap_or_else(|_| Err(anyhow::anyhow!("it was not asked")))
                },
            );
            (address, asked)
        };
        started.into_iter().map(wait).collect()
    })
}

fn ask(daemon: &Daemon, secret: &SharedSecret, address: SocketAddr) -> anyhow::Result<Asked> {
    let own = lock(&daemon.members).by_key(&daemon.me).cloned();
    let Some(own) = own else {
        anyhow::bail!("this node has left its cluster");
    };
    let listen = daemon.config.listen.ip();
    let known = daemon.config.address;
    let lane = wire::connect(address, Id::Invitation(secret.id()), &secret.secret())?;
    peers::ask_to_join(
        lane,
        address,
        NewNode {
            name: &own.name,
            key: own.key,
            port: daemon.config.listen.port(),
            address: known.or((!listen.is_unspecified()).then_some(listen)),
        },
    )
}
