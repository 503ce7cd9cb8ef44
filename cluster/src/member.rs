//! Membership: who is in the cluster, by SWIM (the library `foca`), driven without I/O.
//!
//! The caller delivers datagrams, calls [`Membership::tick`] when [`Membership::due`] says so, and
//! carries out the [`Effects`]. SWIM tells changes, not the whole: who joins takes the whole from
//! one member ([`Membership::standings`], [`Membership::merge`]), over a connection.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Foca, Identity, Notification, OwnedNotification, PeriodicParams, Timer};
use serde::{Deserialize, Serialize};

use crate::load::NodeId;
use crate::random::Random;
use crate::wire::{MEMBERSHIP_BYTES_MAX, MemberCodec};

/// Most entries that [`Membership::merge`] reads of one answer.
pub const STANDINGS_MAX: usize = 1 << 20;

/// A member: its name, where it listens, and which of its lives this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub node: NodeId,
    /// Where it receives datagrams; one node has one address.
    pub address: SocketAddr,
    /// Rises with each start of the node, for instance the time in seconds: of two with the same
    /// address, the later life is the one that counts.
    pub life: u64,
}

impl Identity for Peer {
    type Addr = SocketAddr;

    /// Declared dead by mistake, a node comes back as its next life.
    fn renew(&self) -> Option<Peer> {
        Some(Peer {
            life: self.life.checked_add(1)?,
            ..*self
        })
    }

    fn addr(&self) -> SocketAddr {
        self.address
    }

    fn win_addr_conflict(&self, other: &Peer) -> bool {
        (self.life, self.node) > (other.life, other.node)
    }
}

/// How fast failures are noticed, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Each node asks one other whether it lives, so often.
    pub probe_every: Duration,
    /// So long it waits for the answer before it asks three others to try; shorter than half of
    /// `probe_every`.
    pub answer_within: Duration,
    /// So long a suspect has to say that it lives.
    pub suspect_for: Duration,
    /// While there is news, it is told to three others so often.
    pub tell_every: Duration,
    /// How often each piece of news is passed on by each node.
    pub tell_times: u8,
    /// So long the dead are remembered, so that old news does not raise them.
    pub remember_dead: Duration,
}

impl Timing {
    /// For a local network of about so many nodes.
    pub fn lan(nodes: usize) -> Timing {
        let digits = (nodes.max(10) as f64).log10();
        Timing {
            probe_every: Duration::from_secs(1),
            answer_within: Duration::from_millis(400),
            suspect_for: Duration::from_secs_f64(2.0 * digits),
            tell_every: Duration::from_millis(200),
            tell_times: (4.0 * digits).min(200.0) as u8,
            remember_dead: Duration::from_secs(24 * 3600),
        }
    }

    fn config(&self) -> foca::Config {
        let some = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        let every = |frequency, members| {
            Some(PeriodicParams {
                frequency,
                num_members: some(members),
            })
        };
        foca::Config {
            probe_period: self.probe_every,
            probe_rtt: self.answer_within,
            num_indirect_probes: some(3),
            max_transmissions: NonZeroU8::new(self.tell_times).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: self.suspect_for,
            remove_down_after: Some(self.remember_dead),
            max_packet_size: some(MEMBERSHIP_BYTES_MAX),
            notify_down_members: true,
            periodic_announce: every(Duration::from_secs(30), 1),
            periodic_announce_to_down_members: every(Duration::from_secs(60), 2),
            periodic_gossip: every(self.tell_every, 3),
        }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// This node is there now.
    Up(Peer),
    /// This node has left, or does not answer any more.
    Down(Peer),
    /// A node has begun another life: what was agreed with the earlier one is void.
    Again {
        /// Its earlier life.
        before: Peer,
        /// Its present one.
        now: Peer,
    },
    /// Others had taken this node for dead; it goes on as this peer.
    Renamed(Peer),
}

/// What the caller is to do.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages to send, each at most [`MEMBERSHIP_BYTES_MAX`] bytes.
    pub send: Vec<(SocketAddr, Vec<u8>)>,
    /// What changed, in order.
    pub news: Vec<News>,
}

/// Whether a member lives, as one node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The member.
    pub peer: Peer,
    /// How often it has refuted that it is dead, in this life.
    pub incarnation: u16,
    /// What is believed of it.
    pub state: Liveness,
}

/// What is believed of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Liveness {
    /// It lives.
    Alive,
    /// It did not answer, and may still say that it lives.
    Suspect,
    /// It is dead or has left.
    Down,
}

/// A message that cannot be used, or one of ours that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("membership: {0}")]
pub struct MemberError(foca::Error);

/// One node's part of the membership protocol.
pub struct Membership {
    foca: Foca<Peer, MemberCodec, Random, foca::NoCustomBroadcast>,
    clockwork: Clockwork,
}

/// What the library asks for, gathered while it works.
struct Clockwork {
    now: Duration,
    timers: BinaryHeap<Reverse<Alarm>>,
    alarms: u64,
    active: Vec<Peer>,
    effects: Effects,
}

/// Earliest first; of the same moment, first set first.
struct Alarm {
    due: Duration,
    number: u64,
    timer: Timer<Peer>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Alarm) -> bool {
        self.number == other.number
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Alarm) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Alarm) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

impl foca::Runtime<Peer> for &mut Clockwork {
    fn notify(&mut self, notification: Notification<'_, Peer>) {
        match notification.to_owned() {
            OwnedNotification::MemberUp(peer) => {
                if let Err(at) = self.active.binary_search(&peer) {
                    self.active.insert(at, peer);
                }
                self.effects.news.push(News::Up(peer));
            }
            OwnedNotification::MemberDown(peer) => {
                self.active.retain(|p| *p != peer);
                self.effects.news.push(News::Down(peer));
            }
            OwnedNotification::Rename(before, now) => {
                if let Ok(at) = self.active.binary_search(&before) {
                    self.active.remove(at);
                    if let Err(at) = self.active.binary_search(&now) {
                        self.active.insert(at, now);
                    }
                    self.effects.news.push(News::Again { before, now });
                }
            }
            OwnedNotification::Rejoin(me) => self.effects.news.push(News::Renamed(me)),
            OwnedNotification::Active | OwnedNotification::Idle | OwnedNotification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Peer, data: &[u8]) {
        self.effects.send.push((to.address, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Peer>, after: Duration) {
        self.alarms += 1;
        self.timers.push(Reverse(Alarm {
            due: self.now + after,
            number: self.alarms,
            timer,
        }));
    }
}

impl Membership {
    /// This node alone. `seed` must differ between nodes.
    pub fn new(me: Peer, timing: Timing, seed: u64) -> Membership {
        Membership {
            foca: Foca::new(me, timing.config(), Random::new(seed), MemberCodec),
            clockwork: Clockwork {
                now: Duration::ZERO,
                timers: BinaryHeap::new(),
                alarms: 0,
                active: Vec::new(),
                effects: Effects::default(),
            },
        }
    }

    /// This node as others know it now.
    pub fn me(&self) -> Peer {
        *self.foca.identity()
    }

    /// The other members that are not known to be dead, sorted.
    pub fn members(&self) -> &[Peer] {
        &self.clockwork.active
    }

    /// When [`tick`](Membership::tick) has something to do.
    pub fn due(&self) -> Option<Duration> {
        self.clockwork.timers.peek().map(|Reverse(a)| a.due)
    }

    /// Asks the node at this address to let this one in. Ask again until there are members: the
    /// message may be lost.
    pub fn join(&mut self, at: SocketAddr, now: Duration) -> Result<Effects, MemberError> {
        let contact = Peer {
            node: NodeId(0),
            address: at,
            life: 0,
        };
        self.work(now, |foca, clockwork| foca.announce(contact, clockwork))
    }

    /// Takes in a message of another node. A malformed one changes nothing.
    pub fn receive(&mut self, message: &[u8], now: Duration) -> Result<Effects, MemberError> {
        self.work(now, |foca, clockwork| foca.handle_data(message, clockwork))
    }

    /// Does what is due. After an error the rest is done in the next call.
    pub fn tick(&mut self, now: Duration) -> Result<Effects, MemberError> {
        self.clockwork.now = self.clockwork.now.max(now);
        while let Some(Reverse(alarm)) = self.clockwork.timers.peek() {
            if alarm.due > now {
                break;
            }
            let Some(Reverse(alarm)) = self.clockwork.timers.pop() else {
                break;
            };
            self.foca
                .handle_timer(alarm.timer, &mut self.clockwork)
                .map_err(MemberError)?;
        }
        Ok(std::mem::take(&mut self.clockwork.effects))
    }

    /// Tells others that this node goes. It takes no part afterwards.
    pub fn leave(&mut self, now: Duration) -> Result<Effects, MemberError> {
        self.work(now, |foca, clockwork| foca.leave_cluster(clockwork))
    }

    /// All that this node knows of members, itself included: for one that joins, and now and then
    /// for another, since news that was lost on the way is not told again.
    pub fn standings(&self) -> Vec<Standing> {
        let me = std::iter::once(Standing {
            peer: self.me(),
            incarnation: 0,
            state: Liveness::Alive,
        });
        let others = self.foca.iter_membership_state().map(|member| Standing {
            peer: *member.id(),
            incarnation: member.incarnation(),
            state: match member.state() {
                foca::State::Alive => Liveness::Alive,
                foca::State::Suspect => Liveness::Suspect,
                foca::State::Down => Liveness::Down,
            },
        });
        me.chain(others).collect()
    }

    /// Takes in what another node knows, at most [`STANDINGS_MAX`] entries. What was new is told on
    /// if `tell` is set; the whole of a cluster, when joining, is no news to it.
    pub fn merge(
        &mut self,
        standings: &[Standing],
        tell: bool,
        now: Duration,
    ) -> Result<Effects, MemberError> {
        let updates = standings.iter().take(STANDINGS_MAX).map(|s| {
            let state = match s.state {
                Liveness::Alive => foca::State::Alive,
                Liveness::Suspect => foca::State::Suspect,
                Liveness::Down => foca::State::Down,
            };
            foca::Member::new(s.peer, s.incarnation, state)
        });
        self.work(now, |foca, clockwork| {
            foca.apply_many(updates, tell, clockwork)
        })
    }

    fn work(
        &mut self,
        now: Duration,
        step: impl FnOnce(
            &mut Foca<Peer, MemberCodec, Random, foca::NoCustomBroadcast>,
            &mut Clockwork,
        ) -> Result<(), foca::Error>,
    ) -> Result<Effects, MemberError> {
        self.clockwork.now = self.clockwork.now.max(now);
        step(&mut self.foca, &mut self.clockwork).map_err(MemberError)?;
        Ok(std::mem::take(&mut self.clockwork.effects))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn peer(node: u64, life: u64) -> Peer {
        Peer {
            node: NodeId(node),
            address: SocketAddr::from(([127, 0, 0, 1], 1000 + node as u16)),
            life,
        }
    }

    fn alone(node: u64, life: u64) -> Membership {
        Membership::new(peer(node, life), Timing::lan(3), node * 100 + life)
    }

    /// Delivers everything at once; returns all news, with who heard it.
    fn settle(
        nodes: &mut [Membership],
        from: usize,
        effects: Effects,
        now: Duration,
    ) -> Vec<(usize, News)> {
        let mut heard: Vec<(usize, News)> = effects.news.iter().map(|n| (from, *n)).collect();
        let mut mail = effects.send;
        while let Some((to, message)) = mail.pop() {
            let Some(at) = nodes.iter().position(|n| n.me().address == to) else {
                continue;
            };
            let effects = nodes[at].receive(&message, now).expect("well-formed");
            heard.extend(effects.news.iter().map(|n| (at, *n)));
            mail.extend(effects.send);
        }
        heard
    }

    fn pair() -> [Membership; 2] {
        let mut nodes = [alone(1, 1), alone(2, 1)];
        let effects = nodes[1]
            .join(peer(1, 0).address, SECOND)
            .expect("announced");
        settle(&mut nodes, 1, effects, SECOND);
        nodes
    }

    #[test]
    fn a_node_joins_by_an_address_alone() {
        let nodes = pair();
        assert_eq!(nodes[0].members(), [peer(2, 1)]);
        assert_eq!(nodes[1].members(), [peer(1, 1)]);
        assert!(nodes[0].due().is_some());
    }

    #[test]
    fn a_node_that_leaves_is_down_at_once() {
        let mut nodes = pair();
        let effects = nodes[1].leave(2 * SECOND).expect("told");
        let heard = settle(&mut nodes, 1, effects, 2 * SECOND);
        assert!(heard.contains(&(0, News::Down(peer(2, 1)))), "{heard:?}");
        assert!(nodes[0].members().is_empty());
    }

    #[test]
    fn a_node_that_starts_again_is_another_life_of_the_same() {
        let mut nodes = pair();
        nodes[1] = alone(2, 7);
        let effects = nodes[1]
            .join(peer(1, 0).address, 3 * SECOND)
            .expect("announced");
        let heard = settle(&mut nodes, 1, effects, 3 * SECOND);
        let again = News::Again {
            before: peer(2, 1),
            now: peer(2, 7),
        };
        assert!(heard.contains(&(0, again)), "{heard:?}");
        assert_eq!(nodes[0].members(), [peer(2, 7)]);
    }

    #[test]
    fn who_was_taken_for_dead_by_mistake_comes_back_as_its_next_life() {
        let mut nodes = pair();
        let dead = Standing {
            peer: peer(2, 1),
            incarnation: 0,
            state: Liveness::Down,
        };
        let effects = nodes[1].merge(&[dead], true, 4 * SECOND).expect("merged");
        assert!(
            effects.news.contains(&News::Renamed(peer(2, 2))),
            "{effects:?}"
        );
        assert_eq!(nodes[1].me(), peer(2, 2));
    }

    #[test]
    fn the_whole_is_taken_from_one_member() {
        let nodes = pair();
        let mut third = alone(3, 1);
        let effects = third
            .merge(&nodes[0].standings(), false, 5 * SECOND)
            .expect("merged");
        assert_eq!(third.members(), [peer(1, 1), peer(2, 1)]);
        assert_eq!(effects.news.len(), 2);
    }

    #[test]
    fn messages_that_no_member_sends_are_refused_and_change_nothing() {
        let mut nodes = pair();
        for message in [&b""[..], b"x", &[0xff; 1000], &[0; 1397]] {
            let _ = nodes[0].receive(message, 6 * SECOND);
        }
        assert!(nodes[0].receive(&[0xff; 1000], 6 * SECOND).is_err());
        assert_eq!(nodes[0].members(), [peer(2, 1)]);
    }
}
