//! Datagrams between daemons: who lives (SWIM), and who has how much to do. Traffic is the same
//! whatever the cluster's size.
//!
//! ```text
//!   8 bytes  the sender's name, which tells whose key to open it with
//!   sealed:  8 bytes  digest of the sender's list of members
//!            the rest is a datagram of the cluster's protocol
//! ```

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cluster::board::{Aged, Board, partner};
use cluster::load::{Damped, Features, Load, MEASURE_EVERY, NodeId, VERSION};
use cluster::member::{Effects, Membership, News, Peer, Timing};
use cluster::random::Random;
use cluster::wire::{self, Datagram};
use lane::datagram::DatagramKey;
use local::memory::{self, Counted, Memory};
use local::runtime;
use tokio::time::{Instant as Moment, sleep_until};

use crate::identity::PublicKey;
use crate::measure::Meter;
use crate::members::Member;
use crate::{Daemon, STACK_BYTES, lock, peers, placing, unix_seconds};

/// Load vectors in a message: those of so many nodes fit two datagrams.
const WINDOW: usize = 32;
/// Nodes that are told the load vectors in each step.
const TOLD: usize = 2;
/// Others are told once in so many measurements.
const MEASURED_EACH: u32 = 10;
/// Memory is measured once in so many.
const MEMORY_EACH: u32 = 2;
/// So often at most another list of members is asked for from one node.
const EXCHANGE_EVERY: Duration = Duration::from_secs(2);
/// Nodes that do not answer are greeted again so often: they may have come back.
const GREET_EVERY: Duration = Duration::from_secs(5);
/// Largest datagram as it travels.
const PACKET_BYTES_MAX: usize = 2048;

/// What this node knows of the cluster's state, for the other threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Nodes that live, as far as is known, this one not among them.
    pub(crate) alive: Vec<NodeId>,
    /// Their last load vectors, and when those were taken.
    pub(crate) loads: HashMap<NodeId, (Load, Instant)>,
    /// This node's own.
    pub(crate) own: Option<Load>,
    /// Processes that want a core here, damped for decisions about what leaves.
    pub(crate) wanting: f64,
}

/// The driver of one node's gossip.
struct Gossip {
    daemon: Arc<Daemon>,
    socket: tokio::net::UdpSocket,
    began: Instant,
    me: NodeId,
    random: Random,
    board: Board,
    /// `None` until this node knows its own address.
    membership: Option<Membership>,
    meter: Meter,
    memory_meter: memory::Meter,
    /// As it was measured last.
    memory: Memory,
    damped: Damped,
    seq: u64,
    keys: HashMap<NodeId, Keys>,
    exchanged: HashMap<NodeId, Instant>,
}

/// What is needed for datagrams to and from one member.
struct Keys {
    key: PublicKey,
    seal: DatagramKey,
    open: DatagramKey,
}

/// Runs until the daemon ends.
pub(crate) fn run(daemon: &Arc<Daemon>, socket: UdpSocket) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let worked = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        runtime.block_on(async {
            socket.set_nonblocking(true)?;
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            Gossip::new(daemon, socket)?.drive().await
        })
    });
    if let Err(error) = worked {
        daemon.event(&format!("gossip has ended: {error:#}"));
    }
}

impl Gossip {
    fn new(daemon: &Arc<Daemon>, socket: tokio::net::UdpSocket) -> anyhow::Result<Gossip> {
        let me = daemon.me.node_id();
        Ok(Gossip {
            daemon: Arc::clone(daemon),
            socket,
            began: Instant::now(),
            me,
            random: placing::random()?,
            board: Board::new(me, WINDOW, true),
            membership: None,
            meter: Meter::new(daemon.config.guests.cpus.clone(), daemon.config.speed),
            memory_meter: memory::Meter::of_machine(daemon.config.memory),
            memory: Memory::default(),
            damped: Damped::default(),
            // Vectors of a later life are newer.
            seq: unix_seconds() << 20,
            keys: HashMap::new(),
            exchanged: HashMap::new(),
        })
    }

    async fn drive(mut self) -> anyhow::Result<()> {
        let mut measuring = tokio::time::interval(MEASURE_EVERY);
        measuring.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut greeting = tokio::time::interval(GREET_EVERY);
        let mut packet = [0; PACKET_BYTES_MAX];
        let mut measured = 0_u32;
        let daemon = Arc::clone(&self.daemon);
        loop {
            let due = self.membership.as_ref().and_then(Membership::due);
            let due = due.map_or_else(
                || Moment::now() + GREET_EVERY,
                |due| Moment::from_std(self.began + due),
            );
            tokio::select! {
                received = self.socket.recv_from(&mut packet) => match received {
                    Ok((bytes, from)) => {
                        self.daemon.counters.received.count(bytes);
                        self.receive(&mut packet[..bytes], from).await;
                    }
                    // An earlier datagram has not been taken by anybody, mostly.
                    Err(error) => tracing::debug!("receive a datagram: {error}"),
                },
                () = sleep_until(due) => self.tick().await,
                _ = measuring.tick() => {
                    if measured.is_multiple_of(MEMORY_EACH) {
                        self.measure_memory();
                    }
                    let own = self.measure();
                    measured = measured.wrapping_add(1);
                    if measured.is_multiple_of(MEASURED_EACH) {
                        self.step(own).await;
                    }
                }
                _ = greeting.tick() => self.greet().await,
                () = daemon.list_changed.notified() => self.greet().await,
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Greets members that are not known to live; from now on with this list of them.
    async fn greet(&mut self) {
        let (own, others): (Vec<Member>, Vec<Member>) = {
            let members = lock(&self.daemon.members);
            let present = members.present().cloned();
            present.partition(|member| member.key == self.daemon.me)
        };
        self.keys.retain(|id, keys| {
            others
                .iter()
                .any(|m| m.key == keys.key && m.key.node_id() == *id)
        });
        for member in &others {
            self.add_keys(member);
        }
        let Some(address) = own.first().and_then(|me| me.address) else {
            return;
        };
        let moved = |membership: &Membership| membership.me().address != address;
        if self.membership.as_ref().is_none_or(moved) {
            let me = Peer {
                node: self.me,
                address,
                life: unix_seconds(),
            };
            let timing = Timing::lan(others.len() + 1);
            self.membership = Some(Membership::new(me, timing, self.me.0 ^ me.life));
        }
        let now = self.now();
        for address in others.iter().filter_map(|member| member.address) {
            let Some(membership) = &mut self.membership else {
                return;
            };
            if membership
                .members()
                .iter()
                .any(|peer| peer.address == address)
            {
                continue;
            }
            match membership.join(address, now) {
                Ok(effects) => self.carry_out(effects).await,
                Err(error) => tracing::debug!("greet {address}: {error}"),
            }
        }
    }

    fn add_keys(&mut self, member: &Member) {
        let id = member.key.node_id();
        if self.keys.contains_key(&id) {
            return;
        }
        let (me, other) = (*self.daemon.me.as_bytes(), *member.key.as_bytes());
        let made = self.daemon.secret_with(&member.key).and_then(|secret| {
            Ok(Keys {
                key: member.key,
                seal: DatagramKey::derive(&secret, &me, &other)?,
                open: DatagramKey::derive(&secret, &other, &me)?,
            })
        });
        match made {
            Ok(keys) => {
                self.keys.insert(id, keys);
            }
            Err(error) => tracing::warn!("node {}: {error:#}", member.name),
        }
    }

    async fn tick(&mut self) {
        let now = self.now();
        let Some(membership) = &mut self.membership else {
            return;
        };
        match membership.tick(now) {
            Ok(effects) => self.carry_out(effects).await,
            Err(error) => tracing::debug!("{error}"),
        }
    }

    async fn receive(&mut self, packet: &mut [u8], from: SocketAddr) {
        let Some((head, sealed)) = packet.split_first_chunk_mut::<8>() else {
            return;
        };
        let sender = NodeId(u64::from_le_bytes(*head));
        // Strangers are not worth a line in the log: anybody can send datagrams.
        let Some(keys) = self.keys.get(&sender) else {
            return;
        };
        let plain = match keys.open.open(head, sealed) {
            Ok(plain) => plain,
            Err(error) => return tracing::debug!("datagram from {from}: {error}"),
        };
        let Some((digest, inner)) = plain.split_first_chunk::<8>() else {
            return;
        };
        let key = keys.key;
        if u64::from_le_bytes(*digest) != lock(&self.daemon.members).digest() {
            self.exchange(sender, key);
        }
        let now = self.now();
        match wire::datagram(inner) {
            Ok(Datagram::Membership(message)) => {
                let Some(membership) = &mut self.membership else {
                    return;
                };
                match membership.receive(message, now) {
                    Ok(effects) => self.carry_out(effects).await,
                    Err(error) => tracing::debug!("from {from}: {error}"),
                }
            }
            Ok(Datagram::Loads(vectors)) => {
                self.board.hear(&vectors, now);
            }
            Err(error) => tracing::debug!("from {from}: {error}"),
        }
    }

    /// Another node has another list: what each knows is told to the other, beside everything else.
    fn exchange(&mut self, id: NodeId, key: PublicKey) {
        let now = Instant::now();
        let lately = self.exchanged.get(&id);
        if lately.is_some_and(|at| now.duration_since(*at) < EXCHANGE_EVERY) {
            return;
        }
        self.exchanged.insert(id, now);
        let Some(member) = lock(&self.daemon.members).by_key(&key).cloned() else {
            return;
        };
        let daemon = Arc::clone(&self.daemon);
        let started = thread::Builder::new()
            .name("exchange".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                if let Err(error) = peers::exchange(&daemon, &member) {
                    tracing::debug!("exchange lists with {}: {error:#}", member.name);
                }
            });
        if let Err(error) = started {
            tracing::warn!("no thread for an exchange of lists: {error}");
        }
    }

    async fn carry_out(&mut self, effects: Effects) {
        for (to, message) in effects.send {
            let key = {
                let members = lock(&self.daemon.members);
                let at = members.present().find(|member| member.address == Some(to));
                at.map(|member| member.key)
            };
            if let Some(key) = key
                && let Ok(datagram) = wire::membership(&message)
            {
                self.send(key.node_id(), to, &datagram).await;
            }
        }
        for news in effects.news {
            match news {
                News::Up(peer) => self.tell(peer.node, "is there"),
                News::Down(peer) => {
                    self.board.forget(peer.node);
                    self.tell(peer.node, "is not there any more");
                }
                News::Again { now, .. } => self.tell(now.node, "has started again"),
                News::Renamed(_) => {}
            }
        }
        self.show();
    }

    fn tell(&self, node: NodeId, what: &str) {
        let name = {
            let members = lock(&self.daemon.members);
            members.by_id(node).map(|member| member.name.clone())
        };
        if let Some(name) = name {
            self.daemon.event(&format!("node {name} {what}"));
        }
    }

    /// Once in each [`MEASURE_EVERY`]. Returns this node's load vector.
    fn measure(&mut self) -> Load {
        let runtimes: Vec<u32> = {
            let runtimes = lock(&self.daemon.runtimes);
            runtimes.iter().map(|running| running.pid).collect()
        };
        let wanting = self.meter.sample(&runtimes);
        self.damped.measure(wanting.all);
        let own = self.vector(wanting.all - wanting.guests);
        let mut view = lock(&self.daemon.view);
        (view.own, view.wanting) = (Some(own), self.damped.local());
        own
    }

    /// Memory of this node, with that of guests and of its own jobs' processes.
    fn measure_memory(&mut self) {
        let mut counted = Vec::new();
        for running in lock(&self.daemon.runtimes).iter() {
            let moving = runtime::is_filling(running.pid);
            let guests = runtime::guests(running.pid).into_iter();
            counted.extend(guests.map(|pid| Counted { pid, moving }));
        }
        // What is here of one that runs elsewhere is not needed any more soon.
        let own = lock(&self.daemon.looked);
        counted.extend(own.iter().map(|(pid, looked)| Counted {
            pid: pid.cast_unsigned(),
            moving: looked.leaving || looked.here != self.me,
        }));
        drop(own);
        self.memory = self.memory_meter.measure(&counted);
    }

    /// Once a second: tells some others what is known.
    async fn step(&mut self, own: Load) {
        let mut vectors: Vec<Aged> = Vec::new();
        self.board.tell(own, self.now(), &mut vectors);
        if let Ok(datagrams) = wire::loads(&vectors) {
            for (to, address) in self.told() {
                for datagram in &datagrams {
                    self.send(to, address, datagram).await;
                }
            }
        }
        self.show();
    }

    /// Some members, chosen at random.
    fn told(&mut self) -> Vec<(NodeId, SocketAddr)> {
        let peers = self.membership.as_ref().map(Membership::members);
        let peers = peers.unwrap_or_default().to_vec();
        let ids: Vec<NodeId> = peers.iter().map(|peer| peer.node).collect();
        let mut chosen: Vec<(NodeId, SocketAddr)> = Vec::new();
        for _ in 0..TOLD {
            let Some(id) = partner(&ids, self.me, &mut self.random) else {
                break;
            };
            let peer = peers.iter().find(|peer| peer.node == id);
            chosen.extend(peer.map(|peer| (peer.node, peer.address)));
        }
        chosen.dedup();
        chosen
    }

    fn vector(&mut self, own: f64) -> Load {
        self.seq += 1;
        let memory = self.memory;
        let guests = lock(&self.daemon.runtimes).len() as u32;
        Load {
            node: self.me,
            seq: self.seq,
            speed: self.meter.speed as f32,
            cores: self.meter.cores,
            runnable: self.damped.exported() as f32,
            runnable_own: own.max(0.0) as f32,
            memory: memory.total.max(1),
            memory_free: memory.free,
            memory_growth: memory.growth as f32,
            memory_pressure: memory.pressure as f32,
            guests,
            guests_max: self.daemon.config.guests.jobs_max,
            features: Features::default(),
            version: VERSION,
            closed: self.daemon.is_closed(),
        }
    }

    /// Shows the other threads what is known now.
    fn show(&self) {
        let now = Instant::now();
        let alive = self.membership.as_ref().map(Membership::members);
        let alive = alive.unwrap_or_default().iter().map(|peer| peer.node);
        let mut view = lock(&self.daemon.view);
        view.alive = alive.collect();
        let known = self.board.all();
        view.loads = known
            .map(|known| {
                let taken = now.checked_sub(known.age(self.now())).unwrap_or(now);
                (known.load.node, (known.load, taken))
            })
            .collect();
    }

    async fn send(&self, to: NodeId, address: SocketAddr, datagram: &[u8]) {
        let Some(keys) = self.keys.get(&to) else {
            return;
        };
        let digest = lock(&self.daemon.members).digest();
        let plain = [&digest.to_le_bytes()[..], datagram].concat();
        let mut packet = self.me.0.to_le_bytes().to_vec();
        let sealed = keys.seal.seal(&plain, &mut packet);
        if let Err(error) = sealed {
            return tracing::warn!("datagram to {address}: {error}");
        }
        // Lost, as any datagram may be.
        match self.socket.send_to(&packet, address).await {
            Ok(bytes) => self.daemon.counters.sent.count(bytes),
            Err(error) => tracing::debug!("datagram to {address}: {error}"),
        }
    }
}
