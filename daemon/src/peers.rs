//! Connections between node daemons: who listens, and what it does when it is asked.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use lane::Lane;
use lane::setup::RuntimeSetup;
use local::connections::{Serving, serve_each};

use crate::identity::PublicKey;
use crate::members::{MEMBERS_MAX, Member, Members, Membership, check_name};
use crate::wire::{self, Answer, Id, Join, Joined, Question};
use crate::{Daemon, STACK_BYTES, lock, runtimes, unix_seconds};

/// Connections that are served at once. Another node has one for each of its jobs that has guests here,
/// as long as they are; a stranger is served for [`lane::HANDSHAKE_TIMEOUT`]. Jobs that run are not affected.
const PEERS: Serving = Serving {
    name: "peer",
    stack_bytes: STACK_BYTES,
    at_once: 4096,
    of_one_address: 1024,
};
/// A node that has joined need not have been heard before.
const HEARD_AFTER: Duration = Duration::from_secs(30);
/// Longest time that an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves all who connect, each on a thread of its own.
pub(crate) fn listen(daemon: &Arc<Daemon>, listener: &TcpListener) {
    let daemon = Arc::clone(daemon);
    serve_each(
        listener.incoming(),
        PEERS,
        || true,
        move |stream, _place| {
            let peer = stream.peer_addr();
            if let Err(error) = serve(&daemon, stream) {
                let peer = peer.map_or_else(|_| "?".to_owned(), |peer| peer.to_string());
                tracing::warn!("a connection from {peer} was refused: {error:#}");
            }
        },
    );
}

fn serve(daemon: &Arc<Daemon>, mut stream: TcpStream) -> anyhow::Result<()> {
    let (from, to) = (stream.peer_addr()?.ip(), stream.local_addr()?.ip());
    match wire::read_hello(&mut stream)? {
        Id::Member(key) => {
            let key = PublicKey::from_bytes(key);
            let member = lock(&daemon.members).by_key(&key).cloned();
            let member = member.context("its key is no member's")?;
            let lane = Lane::accept(stream, &daemon.secret_with(&key)?)?;
            answer(daemon, lane, &member, from)
        }
        Id::Invitation(id) => {
            let shared = daemon.shared.as_ref().filter(|shared| shared.id() == id);
            let (warrant, secret) = match shared {
                Some(shared) => (Warrant::Shared, shared.secret()),
                None => {
                    let secret = lock(&daemon.invitations).secret(&id, Instant::now());
                    let secret = secret.context("there is no such invitation (any more)")?;
                    (Warrant::Invitation(&id), secret)
                }
            };
            let (mut sender, mut receiver) = Lane::accept(stream, &secret)?.split()?;
            let join: Join = wire::recv(&mut receiver)?;
            let joined = admit(daemon, &warrant, &join, from, to).unwrap_or_else(|error| {
                tracing::warn!("node {:?} may not join: {error:#}", join.name);
                Joined::Refused(format!("{error:#}"))
            });
            wire::send(&mut sender, &joined)
        }
    }
}

/// What a node is let in with.
enum Warrant<'a> {
    /// An invitation, which is spent then.
    Invitation(&'a [u8; 32]),
    /// The secret that all nodes have.
    Shared,
}

/// Makes a node a member.
fn admit(
    daemon: &Daemon,
    warrant: &Warrant<'_>,
    join: &Join,
    from: IpAddr,
    to: IpAddr,
) -> anyhow::Result<Joined> {
    check_name(&join.name)?;
    if join.key == daemon.me {
        return Ok(Joined::Itself);
    }
    let address = (join.address.unwrap_or(from), join.port).into();
    let alive = lock(&daemon.view).alive.clone();
    let is_alive = |member: &Member| alive.contains(&member.key.node_id());
    let mut members = lock(&daemon.members);
    if let Warrant::Shared = warrant {
        if is_known(&members, join, address, is_alive) {
            return Ok(Joined::Welcome(members.entries().cloned().collect()));
        }
        let former = former(&members, join, &daemon.me, is_alive, unix_seconds());
        if let Some(former) = former {
            members.change(&former, |member| member.membership = Membership::Left);
            daemon.event(&format!(
                "another node {} has come with the shared secret: the former is not there any more",
                join.name
            ));
        }
    }
    let known = members.entries().find(|member| member.key == join.key);
    let revision = match known.map(|member| (member.membership, member.revision)) {
        Some((Membership::Revoked, _)) => bail!("its key was revoked"),
        Some((_, revision)) => revision + 1,
        None => 1,
    };
    let other = members.by_name(&join.name);
    ensure!(
        other.is_none_or(|other| other.key == join.key),
        "there is a node {:?} already: choose another name (mosctl join --name)",
        join.name
    );
    ensure!(
        members.entries().count() < MEMBERS_MAX,
        "the cluster has {MEMBERS_MAX} nodes, which is the most"
    );
    if let Warrant::Invitation(invitation) = warrant {
        ensure!(
            lock(&daemon.invitations).take(invitation, Instant::now()),
            "the invitation is spent, or over"
        );
    }
    members.merge([Member {
        membership: Membership::Member,
        revision,
        joined: unix_seconds(),
        name: join.name.clone(),
        key: join.key,
        address: Some(address),
    }]);
    // Where this node is seen: nobody has told it before, if it was alone.
    let own = members.by_key(&daemon.me).and_then(|me| me.address);
    if own.is_none() {
        let port = daemon.config.listen.port();
        members.change(&daemon.me, |me| me.address = Some((to, port).into()));
    }
    daemon.state.save(&members)?;
    let list = members.entries().cloned().collect();
    drop(members);
    let how = match warrant {
        Warrant::Invitation(_) => "invited here",
        Warrant::Shared => "with the shared secret",
    };
    daemon.event(&format!("node {} has joined, {how}", join.name));
    daemon.list_changed.notify_one();
    Ok(Joined::Welcome(list))
}

/// Whether `join` tells nothing new of a member: each time that it does, all nodes hear of it. One that is
/// seen to live is right about its address, whatever way it has come now.
fn is_known(
    members: &Members,
    join: &Join,
    address: SocketAddr,
    is_alive: impl Fn(&Member) -> bool,
) -> bool {
    members.by_key(&join.key).is_some_and(|known| {
        known.name == join.name && (known.address == Some(address) || is_alive(known))
    })
}

/// The member that `join`, who has the secret, takes the place of: one of the same name that is not there
/// any more. It is that node, mostly, which has lost its state.
fn former(
    members: &Members,
    join: &Join,
    me: &PublicKey,
    is_alive: impl Fn(&Member) -> bool,
    now: u64,
) -> Option<PublicKey> {
    let other = members.by_name(&join.name)?;
    // By the clock of another node, perhaps.
    let is_new = now.abs_diff(other.joined) < HEARD_AFTER.as_secs();
    let stays = other.key == join.key || other.key == *me || is_alive(other) || is_new;
    (!stays).then_some(other.key)
}

fn answer(daemon: &Arc<Daemon>, lane: Lane, member: &Member, from: IpAddr) -> anyhow::Result<()> {
    let (mut sender, mut receiver) = lane.split()?;
    match wire::recv(&mut receiver)? {
        Question::Exchange { members } => {
            daemon.take_in(members);
            let list = lock(&daemon.members).entries().cloned().collect();
            wire::send(&mut sender, &Answer::Members(list))
        }
        Question::Start { mut setup } => {
            if setup.home.ip().is_unspecified() {
                setup.home.set_ip(from);
            }
            runtimes::start(daemon, &setup, &member.name, &mut sender)
        }
    }
}

/// Exchanges the lists of members with another node.
pub(crate) fn exchange(daemon: &Daemon, member: &Member) -> anyhow::Result<()> {
    let members = lock(&daemon.members).entries().cloned().collect();
    let lane = connect(daemon, member)?;
    match wire::ask(lane, &Question::Exchange { members }, ANSWER_TIMEOUT)? {
        Answer::Members(members) => {
            daemon.take_in(members);
            Ok(())
        }
        _ => bail!("node {} gives another answer", member.name),
    }
}

/// Asks another node to run a job's guests. Returns the lane on which the rest is told.
pub(crate) fn start(
    daemon: &Daemon,
    name: &str,
    setup: RuntimeSetup,
) -> anyhow::Result<lane::Receiver> {
    let member = lock(&daemon.members).by_name(name).cloned();
    let member = member.with_context(|| {
        let members = lock(&daemon.members);
        let names: Vec<&str> = members.present().map(|m| m.name.as_str()).collect();
        format!("there is no node {name}; nodes: {}", names.join(", "))
    })?;
    ensure!(member.key != daemon.me, "node {name} is home");
    let lane = connect(daemon, &member)?;
    let setup = Box::new(setup);
    let asked = wire::ask_and_listen(lane, &Question::Start { setup }, ANSWER_TIMEOUT);
    let (answer, receiver) = asked.with_context(|| format!("ask node {name}"))?;
    match answer {
        Answer::Started => Ok(receiver),
        Answer::Refused(why) => bail!("node {name} takes no guests of this job: {why}"),
        _ => bail!("node {name} gives another answer"),
    }
}

fn connect(daemon: &Daemon, member: &Member) -> anyhow::Result<Lane> {
    let name = &member.name;
    let address = member
        .address
        .with_context(|| format!("node {name} has no address"))?;
    let id = Id::Member(*daemon.me.as_bytes());
    wire::connect(address, id, &daemon.secret_with(&member.key)?)
        .with_context(|| format!("node {name} is not reachable"))
}

/// Joins a cluster: tells a member at `address` who this node is. Returns the list of members.
///
/// # Errors
/// It cannot be reached, or refuses, with what to do.
pub fn join(
    token: &crate::token::Token,
    address: SocketAddr,
    node: NewNode<'_>,
) -> anyhow::Result<Vec<Member>> {
    let lane = wire::connect(address, Id::Invitation(token.id()), &token.secret())
        .context("an invitation is good for one node and for a limited time")?;
    match ask_to_join(lane, address, node)? {
        Asked::Welcome(members) => Ok(members),
        Asked::Itself => bail!("{address} is this node itself"),
    }
}

/// What a node answers that was asked to let this one in.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is a member now. This is the list.
    Welcome(Vec<Member>),
    /// It is this very node.
    Itself,
}

/// Asks the node at `address` to let this one in, over a lane that proves with what.
pub(crate) fn ask_to_join(
    lane: Lane,
    address: SocketAddr,
    node: NewNode<'_>,
) -> anyhow::Result<Asked> {
    let join = Join {
        name: node.name.to_owned(),
        key: node.key,
        port: node.port,
        address: node.address,
    };
    let mut members = match wire::ask(lane, &join, ANSWER_TIMEOUT)? {
        Joined::Welcome(members) => members,
        Joined::Refused(why) => bail!("{address} refuses: {why}"),
        Joined::Itself => return Ok(Asked::Itself),
    };
    // A member that listens on all interfaces may not know its own address yet.
    for member in &mut members {
        if member.address.is_none_or(|own| own.ip().is_unspecified()) {
            member.address = Some(address);
        }
    }
    Ok(Asked::Welcome(members))
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its key.
    pub key: PublicKey,
    /// Port of its daemon.
    pub port: u16,
    /// Its address, if others do not see it as it is.
    pub address: Option<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_asks_again_changes_nothing_but_its_address() {
        let key = PublicKey::from_bytes([1; 32]);
        let [here, there]: [SocketAddr; 2] = [1, 2].map(|n| ([10, 0, 0, n], 7746).into());
        let mut members = Members::default();
        members.merge([Member {
            membership: Membership::Member,
            revision: 1,
            joined: 1000,
            name: "a".to_owned(),
            key,
            address: Some(here),
        }]);
        let asks = |name: &str, key: PublicKey, address: SocketAddr, lives: bool| {
            let join = Join {
                name: name.to_owned(),
                key,
                port: 7746,
                address: None,
            };
            is_known(&members, &join, address, |_| lives)
        };
        assert!(asks("a", key, here, false) && asks("a", key, there, true));
        assert!(!asks("a", key, there, false), "it has moved");
        assert!(!asks("b", key, here, true), "it has another name");
        let other = PublicKey::from_bytes([2; 32]);
        assert!(!asks("a", other, here, true), "it is another node");
    }

    #[test]
    fn who_has_the_secret_takes_the_place_of_one_that_is_gone() {
        let key = |number: u8| PublicKey::from_bytes([number; 32]);
        let member = |number: u8, name: &str, membership| Member {
            membership,
            revision: 1,
            joined: 1000,
            name: name.to_owned(),
            key: key(number),
            address: None,
        };
        let mut members = Members::default();
        members.merge([
            member(1, "me", Membership::Member),
            member(2, "gone", Membership::Member),
            member(3, "there", Membership::Member),
            member(4, "left", Membership::Left),
        ]);
        let found = |name: &str, number: u8, now: u64| {
            let join = Join {
                name: name.to_owned(),
                key: key(number),
                port: 1,
                address: None,
            };
            let is_alive = |member: &Member| member.key == key(3);
            former(&members, &join, &key(1), is_alive, now)
        };
        assert_eq!(found("gone", 9, 2000), Some(key(2)));
        assert_eq!(found("gone", 9, 1010), None, "it has only just joined");
        assert_eq!(found("gone", 2, 2000), None, "it is the same");
        for name in ["me", "there", "left", "new"] {
            assert_eq!(found(name, 9, 2000), None, "{name}");
        }
    }
}
