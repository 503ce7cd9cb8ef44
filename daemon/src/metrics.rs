//! What a monitoring system can read of this node, in the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). All figures are one list,
//! [`FIGURES`]; most are looked up when they are read.

pub(crate) mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cluster::decision::Why;
use cluster::load::{Load, NodeId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::gossip::View;
use crate::members::{Member, Members, Membership};
use crate::{Daemon, lock};

/// What is counted from the daemon's beginning on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Datagrams to other nodes.
    pub(crate) sent: Traffic,
    /// Datagrams that have come, whoever has sent them.
    pub(crate) received: Traffic,
    /// Calls that this node's jobs have forwarded.
    pub(crate) calls: Count,
    /// Movements by our order, by reason and whether the process has moved.
    moves: Mutex<BTreeMap<(Why, bool), u64>>,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// Datagrams and their bytes.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    datagrams: Count,
    bytes: Count,
}

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Traffic {
    /// One datagram more.
    pub(crate) fn count(&self, bytes: usize) {
        self.datagrams.add(1);
        self.bytes.add(bytes as u64);
    }
}

impl Counters {
    /// A movement is over.
    pub(crate) fn moved(&self, why: Why, has_moved: bool) {
        *lock(&self.moves).entry((why, has_moved)).or_default() += 1;
    }
}

/// What is seen of the node at one moment.
struct Seen<'a> {
    counters: &'a Counters,
    own: Option<Load>,
    is_closed: bool,
    /// Jobs of other nodes that have guests here.
    guest_jobs: usize,
    /// This node's own jobs.
    jobs: usize,
    /// Their processes at home, and elsewhere.
    processes: [usize; 2],
    /// Nodes by state.
    members: BTreeMap<&'static str, u64>,
    /// Programs of which it is remembered what they needed.
    programs: usize,
}

impl Seen<'_> {
    fn of(daemon: &Daemon) -> Seen<'_> {
        let view = lock(&daemon.view).clone();
        let me = daemon.me.node_id();
        let (jobs, processes) = {
            let looked = lock(&daemon.looked);
            let proxies: BTreeSet<i32> = looked.values().map(|process| process.proxy).collect();
            let at_home = looked.values().filter(|p| p.here == me).count();
            (proxies.len(), [at_home, looked.len() - at_home])
        };
        let guest_jobs = lock(&daemon.runtimes).len();
        let programs = lock(&daemon.learned).programs();
        let members = by_state(&lock(&daemon.members), &view, me);
        Seen {
            counters: &daemon.counters,
            own: view.own,
            is_closed: daemon.is_closed(),
            guest_jobs,
            jobs,
            processes,
            members,
            programs,
        }
    }
}

/// All states, also those that no node is in.
const STATES: [&str; 5] = ["up", "draining", "silent", "left", "revoked"];

fn by_state(members: &Members, view: &View, me: NodeId) -> BTreeMap<&'static str, u64> {
    let mut states: BTreeMap<&'static str, u64> = STATES.map(|state| (state, 0)).into();
    for member in members.entries() {
        *states.entry(state(member, view, me)).or_default() += 1;
    }
    states
}

fn state(member: &Member, view: &View, me: NodeId) -> &'static str {
    let id = member.key.node_id();
    let load = match id == me {
        true => view.own,
        false => view.loads.get(&id).map(|(load, _)| *load),
    };
    match member.membership {
        Membership::Left => "left",
        Membership::Revoked => "revoked",
        Membership::Member if id != me && !view.alive.contains(&id) => "silent",
        Membership::Member if load.is_some_and(|load| load.closed) => "draining",
        Membership::Member => "up",
    }
}

/// A value and its labels.
type Sample = (Vec<(&'static str, String)>, f64);

/// One figure.
struct Figure {
    /// Without `homenode_`, and of a counter without `_total`.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    /// None: it is not known yet.
    values: fn(&Seen<'_>) -> Vec<Sample>,
}

/// A value without labels.
fn plain(value: impl Into<Option<f64>>) -> Vec<Sample> {
    let value: Option<f64> = value.into();
    value.map(|value| (Vec::new(), value)).into_iter().collect()
}

fn of_load(seen: &Seen<'_>, value: fn(&Load) -> f64) -> Vec<Sample> {
    plain(seen.own.as_ref().map(value))
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    values: fn(&Seen<'_>) -> Vec<Sample>,
) -> Figure {
    Figure {
        name,
        help,
        kind: MetricType::Gauge,
        values,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    values: fn(&Seen<'_>) -> Vec<Sample>,
) -> Figure {
    Figure {
        name,
        help,
        kind: MetricType::Counter,
        values,
    }
}

/// All that can be read.
const FIGURES: &[Figure] = &[
    gauge("cores", "Cores that this node offers to programs", |seen| {
        of_load(seen, |load| f64::from(load.cores))
    }),
    gauge(
        "core_speed_ratio",
        "Speed of a core; 1 is the cluster's reference",
        |seen| of_load(seen, |load| f64::from(load.speed)),
    ),
    gauge(
        "runnable_processes",
        "Processes that want a core, guests included, damped as other nodes are told",
        |seen| of_load(seen, |load| f64::from(load.runnable)),
    ),
    gauge(
        "runnable_own_processes",
        "Of those, the node's own, not damped",
        |seen| of_load(seen, |load| f64::from(load.runnable_own)),
    ),
    gauge("memory_bytes", "Memory for programs", |seen| {
        of_load(seen, |load| load.memory as f64)
    }),
    gauge(
        "memory_free_bytes",
        "Of that, free or at once reclaimable",
        |seen| of_load(seen, |load| load.memory_free as f64),
    ),
    gauge(
        "memory_pressure_ratio",
        "Share of time in which some process waits for memory",
        |seen| of_load(seen, |load| f64::from(load.memory_pressure)),
    ),
    gauge(
        "draining",
        "Whether this node takes no guests any more",
        |seen| plain(f64::from(u8::from(seen.is_closed))),
    ),
    gauge(
        "guest_jobs",
        "Jobs of other nodes that have guests here",
        |seen| plain(seen.guest_jobs as f64),
    ),
    gauge(
        "guest_jobs_max",
        "Most jobs of other nodes that may have guests here",
        |seen| of_load(seen, |load| f64::from(load.guests_max)),
    ),
    gauge("jobs", "This node's own jobs", |seen| {
        plain(seen.jobs as f64)
    }),
    gauge(
        "job_processes",
        "Processes of this node's own jobs, by where they run",
        |seen| {
            let places = ["home", "elsewhere"].into_iter().zip(seen.processes);
            let sample =
                |(place, count): (&str, usize)| (vec![("place", place.to_owned())], count as f64);
            places.map(sample).collect()
        },
    ),
    counter(
        "moves",
        "Movements of this node's processes that the cluster's policy has ordered, by reason and result",
        |seen| {
            let moves = lock(&seen.counters.moves);
            let sample = |((why, has_moved), count): (&(Why, bool), &u64)| {
                let result = if *has_moved { "moved" } else { "failed" };
                let labels = vec![("reason", label(*why)), ("result", result.to_owned())];
                (labels, *count as f64)
            };
            moves.iter().map(sample).collect()
        },
    ),
    counter(
        "forwarded_calls",
        "System calls that this node's jobs have forwarded home, as of the last look at each job",
        |seen| plain(seen.counters.calls.get() as f64),
    ),
    gauge(
        "members",
        "Nodes of the cluster, by state as this node sees it",
        |seen| {
            let states = seen.members.iter();
            let sample = |(state, count): (&&'static str, &u64)| {
                (vec![("state", (*state).to_owned())], *count as f64)
            };
            states.map(sample).collect()
        },
    ),
    counter(
        "datagrams_sent",
        "Datagrams to other nodes' daemons",
        |seen| plain(seen.counters.sent.datagrams.get() as f64),
    ),
    counter(
        "datagram_sent_bytes",
        "Bytes in datagrams to other nodes' daemons",
        |seen| plain(seen.counters.sent.bytes.get() as f64),
    ),
    counter(
        "datagrams_received",
        "Datagrams that have come, also from strangers",
        |seen| plain(seen.counters.received.datagrams.get() as f64),
    ),
    counter(
        "datagram_received_bytes",
        "Bytes in datagrams that have come, also from strangers",
        |seen| plain(seen.counters.received.bytes.get() as f64),
    ),
    gauge(
        "learned_programs",
        "Programs of which it is remembered what they needed",
        |seen| plain(seen.programs as f64),
    ),
];

/// `MemoryShort`: `memory_short`.
fn label(why: Why) -> String {
    let mut label = String::new();
    for letter in format!("{why:?}").chars() {
        if letter.is_ascii_uppercase() && !label.is_empty() {
            label.push('_');
        }
        label.push(letter.to_ascii_lowercase());
    }
    label
}

/// Writes all figures as they are now.
struct Figures(Arc<Daemon>);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        write_all(&Seen::of(&self.0), &mut encoder)
    }
}

fn write_all(seen: &Seen<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for figure in FIGURES {
        let samples = (figure.values)(seen);
        if samples.is_empty() {
            continue;
        }
        let mut metric = encoder.encode_descriptor(figure.name, figure.help, None, figure.kind)?;
        for (labels, value) in &samples {
            if labels.is_empty() {
                write(&mut metric, figure.kind, *value)?;
            } else {
                write(&mut metric.encode_family(labels)?, figure.kind, *value)?;
            }
        }
    }
    Ok(())
}

fn write(
    metric: &mut prometheus_client::encoding::MetricEncoder<'_>,
    kind: MetricType,
    value: f64,
) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at the first failure")]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::identity::PublicKey;

    /// A node that is known to have counted this.
    #[derive(Debug, Default)]
    struct Fixed(Counters);

    impl Collector for Fixed {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let seen = Seen {
                counters: &self.0,
                own: None,
                is_closed: true,
                guest_jobs: 2,
                jobs: 3,
                processes: [4, 5],
                members: STATES.map(|state| (state, 1)).into(),
                programs: 6,
            };
            write_all(&seen, &mut encoder)
        }
    }

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let fixed = Fixed::default();
        fixed.0.sent.count(100);
        fixed.0.sent.count(50);
        fixed.0.calls.add(7);
        fixed.0.moved(Why::MemoryShort, true);
        fixed.0.moved(Why::Sooner, false);
        let mut registry = Registry::with_prefix("homenode");
        registry.register_collector(Box::new(fixed));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        for line in [
            "# HELP homenode_datagrams_sent_total Datagrams to other nodes' daemons",
            "# TYPE homenode_datagrams_sent_total counter",
            "homenode_datagrams_sent_total 2.0",
            "homenode_datagram_sent_bytes_total 150.0",
            "homenode_forwarded_calls_total 7.0",
            "# TYPE homenode_moves_total counter",
            "homenode_moves_total{reason=\"memory_short\",result=\"moved\"} 1.0",
            "homenode_moves_total{reason=\"sooner\",result=\"failed\"} 1.0",
            "# TYPE homenode_draining gauge",
            "homenode_draining 1.0",
            "homenode_job_processes{place=\"home\"} 4.0",
            "homenode_job_processes{place=\"elsewhere\"} 5.0",
            "homenode_members{state=\"silent\"} 1.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}:\n{text}");
        }
        assert!(!text.contains("homenode_cores"), "not known yet:\n{text}");
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for figure in FIGURES {
            let name = figure.name;
            assert!(names.insert(name), "{name} is there twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            // The end of a counter's name and of the text are added.
            assert!(!name.ends_with("_total") && !figure.help.ends_with('.'));
        }
    }

    #[test]
    fn nodes_are_counted_by_state() {
        let member = |key: u8, membership| Member {
            membership,
            revision: 1,
            joined: 1,
            name: format!("n{key}"),
            key: PublicKey::from_bytes([key; 32]),
            address: None,
        };
        let mut members = Members::default();
        members.merge([
            member(1, Membership::Member),
            member(2, Membership::Member),
            member(3, Membership::Member),
            member(4, Membership::Left),
            member(5, Membership::Revoked),
        ]);
        let id = |key: u8| PublicKey::from_bytes([key; 32]).node_id();
        let view = View {
            alive: vec![id(2)],
            ..View::default()
        };
        let states = by_state(&members, &view, id(1));
        let expected = [
            ("up", 2),
            ("draining", 0),
            ("silent", 1),
            ("left", 1),
            ("revoked", 1),
        ];
        assert_eq!(states, expected.into());
    }
}
