//! What leaves a node: once a step, for its guests and for its own processes.
//!
//! In this order: processes of a home that drains; guests of a node that drains; whatever must go so that memory suffices
//! (memory ushering); guests that forward too many calls; at most one process that would be done
//! sooner elsewhere.

use std::time::Duration;

use rand::Rng;

use crate::candidates::{As, Query, Rules, Staying, fits, seconds, share};
use crate::cost::Scale;
use crate::decision::{Action, Decision, Figures, Why};
use crate::load::{Known, Load, NodeId};
use crate::program::Need;
use crate::settings::Settings;
use crate::ushering::usher;

/// A process that runs on this node.
#[derive(Debug, Clone, Copy)]
pub struct Running<'a> {
    /// Names it for the caller.
    pub process: u64,
    /// Its home.
    pub home: NodeId,
    /// What it is expected to need in all; memory and calls as they are now, if that is more.
    pub need: Need,
    /// CPU time it has used, in seconds at reference speed, wherever that was.
    pub used: f64,
    /// When it came to this node, or began.
    pub since: Duration,
    /// What its home says of itself over the connection of its job, if it is a guest.
    pub home_load: Option<Known>,
    /// What its user has said.
    pub rules: &'a Rules,
    /// It is on its way already.
    pub leaving: bool,
    /// Bytes by which it grows in a second.
    pub growth: f64,
}

/// What a node knows when it looks at its processes.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// This node: runnable processes damped as [`local`](crate::load::Damped::local), the rest as it is.
    pub here: &'a Load,
    /// What runs here.
    pub processes: &'a [Running<'a>],
    /// Other nodes, with what is on its way to them counted as there.
    pub known: &'a [Known],
    /// How many nodes the cluster has, known or not.
    pub nodes: usize,
    /// Nodes to which a process is on its way from here.
    pub in_flight: &'a [NodeId],
    /// Bytes that are in use here by what is on its way to other nodes.
    pub leaving: u64,
    /// The present.
    pub now: Duration,
}

/// A process that is to move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// The process.
    pub process: u64,
    /// Where it goes, and why.
    pub decision: Decision,
    /// Whether this node cannot keep it: the target must not weigh whether that is sooner.
    pub must: bool,
}

/// Decides what leaves in this step, in order of urgency. At most one order for each target, unless memory runs
/// out here.
pub fn leave(step: &Step<'_>, settings: &Settings, random: &mut impl Rng) -> Vec<Order> {
    let mut orders = Vec::new();
    let mut taken: Vec<NodeId> = step.in_flight.to_vec();
    let movable: Vec<&Running<'_>> = step
        .processes
        .iter()
        .filter(|p| !p.leaving && !p.rules.locked)
        .collect();
    for process in &movable {
        let home_load = process.home_load.as_ref();
        if process.home != step.here.node && home_load.is_some_and(|known| known.load.closed) {
            orders.push(home(step, process, Why::HomeDrains, settings));
        }
    }
    if !orders.is_empty() {
        return orders;
    }
    if step.here.closed {
        for process in &movable {
            if process.home != step.here.node {
                orders.extend(drain(step, process, &mut taken, settings, random));
            }
        }
        return orders;
    }
    let short = usher(step, &movable, settings, random);
    if !short.is_empty() {
        return short;
    }
    for process in &movable {
        orders.extend(too_many_calls(step, process, &mut taken, settings));
    }
    if orders.is_empty() && step.here.runnable > 0.0 {
        orders.extend(balance(step, &movable, &taken, settings, random));
    }
    orders
}

/// Why this process stays in this step, or where it would go: for `mosps --why`.
pub fn explain(
    step: &Step<'_>,
    process: &Running<'_>,
    settings: &Settings,
    random: &mut impl Rng,
) -> Decision {
    consider(step, process, step.in_flight, settings, random)
}

impl Step<'_> {
    fn scale(&self) -> Scale {
        let known = self.known.iter().map(|k| &k.load);
        Scale::of(self.nodes, known.chain(std::iter::once(self.here)))
    }

    /// The share of a core that this process gets here.
    fn share(&self, process: &Running<'_>, settings: &Settings) -> f64 {
        let whose = if process.home == self.here.node {
            As::OwnHere
        } else {
            As::GuestHere
        };
        share(self.here, whose, settings)
    }

    /// Where it could go: nodes known from gossip, and its home, which is known better.
    pub(crate) fn places<'p>(
        &'p self,
        process: &'p Running<'p>,
    ) -> impl Iterator<Item = &'p Known> {
        let home = process.home_load.as_ref();
        let others = self
            .known
            .iter()
            .filter(move |k| home.is_none() || k.load.node != process.home);
        others.chain(home)
    }

    fn calls(&self, process: &Running<'_>) -> f64 {
        if process.home == self.here.node {
            0.0
        } else {
            process.need.calls
        }
    }

    pub(crate) fn query<'q>(
        &'q self,
        process: &'q Running<'q>,
        in_flight: &'q [NodeId],
        settings: &'q Settings,
    ) -> Query<'q> {
        Query {
            need: &process.need,
            cpu: process.need.remaining(process.used),
            rules: process.rules,
            home: process.home,
            in_flight,
            moving: settings.costs.moving(process.need.memory),
            start: false,
            now: self.now,
            settings,
            scale: self.scale(),
        }
    }

    pub(crate) fn figures(&self, process: &Running<'_>, settings: &Settings) -> Figures {
        let cpu = process.need.remaining(process.used);
        let share = self.share(process, settings);
        let others = (f64::from(self.here.runnable) - 1.0).max(0.0);
        let used = self.here.memory_used().saturating_sub(process.need.memory);
        Figures {
            load: f64::from(self.here.runnable) / f64::from(self.here.cores),
            cpu,
            memory: process.need.memory,
            memory_free: self.here.memory_free,
            calls: process.need.calls,
            here: seconds(cpu, share, self.calls(process), settings.costs.call),
            cost_here: self
                .scale()
                .marginal(self.here, others, used, process.need.memory),
            ..Figures::default()
        }
    }
}

/// Whether this process would be done sooner elsewhere.
fn consider(
    step: &Step<'_>,
    process: &Running<'_>,
    in_flight: &[NodeId],
    settings: &Settings,
    random: &mut impl Rng,
) -> Decision {
    let mut figures = step.figures(process, settings);
    let stay = |why, figures| Decision {
        action: Action::Stay,
        why,
        figures,
    };
    let own = process.home == step.here.node;
    if process.rules.locked {
        return stay(Why::Locked, figures);
    }
    if own && process.rules.home {
        return stay(Why::KeptHome, figures);
    }
    if step.now < process.since + settings.residency {
        return stay(Why::JustCame, figures);
    }
    if own && figures.load < settings.leave_above {
        return stay(Why::HomeIdle, figures);
    }
    let staying = Staying {
        seconds: figures.here,
        cost: figures.cost_here,
    };
    let query = step.query(process, in_flight, settings);
    let places = step.places(process);
    let found = query.best(places, Some(staying), &mut figures, random);
    match found {
        Err(why) => stay(why, figures),
        Ok(best) => Decision {
            action: Action::Go(best.node),
            why: Why::Sooner,
            figures: Figures {
                there: best.seconds,
                moving: query.moving,
                cost_there: best.cost,
                ..figures
            },
        },
    }
}

/// The one process that gains most.
fn balance(
    step: &Step<'_>,
    movable: &[&Running<'_>],
    in_flight: &[NodeId],
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<Order> {
    let mut best: Option<Order> = None;
    for process in movable {
        let decision = consider(step, process, in_flight, settings, random);
        let gain = |d: &Decision| d.figures.here / d.figures.there;
        if decision.action != Action::Stay
            && best.is_none_or(|b| gain(&b.decision) < gain(&decision))
        {
            best = Some(Order {
                process: process.process,
                decision,
                must: false,
            });
        }
    }
    best
}

/// An order to go to the best of these places, whatever staying would mean; `None` if it can go to none.
pub(crate) fn to_best<'k>(
    step: &Step<'_>,
    process: &Running<'_>,
    why: Why,
    places: impl Iterator<Item = &'k Known>,
    in_flight: &[NodeId],
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<(NodeId, Order)> {
    let mut figures = step.figures(process, settings);
    let query = step.query(process, in_flight, settings);
    let best = query.best(places, None, &mut figures, random).ok()?;
    let figures = Figures {
        there: best.seconds,
        moving: query.moving,
        cost_there: best.cost,
        ..figures
    };
    let order = Order {
        process: process.process,
        decision: Decision {
            action: Action::Go(best.node),
            why,
            figures,
        },
        must: true,
    };
    Some((best.node, order))
}

/// A guest of a node that drains goes where there is room, else home.
fn drain(
    step: &Step<'_>,
    guest: &Running<'_>,
    taken: &mut Vec<NodeId>,
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<Order> {
    let (why, places) = (Why::Draining, step.places(guest));
    let Some((node, order)) = to_best(step, guest, why, places, taken, settings, random) else {
        return Some(home(step, guest, why, settings));
    };
    taken.push(node);
    Some(order)
}

/// A guest that spends too much of its time on forwarding goes home, unless it is done sooner here
/// even so.
fn too_many_calls(
    step: &Step<'_>,
    process: &Running<'_>,
    taken: &mut Vec<NodeId>,
    settings: &Settings,
) -> Option<Order> {
    let home_load = process.home_load.as_ref()?;
    if process.home == step.here.node
        || taken.contains(&process.home)
        || step.now < process.since + settings.residency
        || !fits(&home_load.load, process.need.memory, settings)
    {
        return None;
    }
    let running = 1.0 / step.share(process, settings);
    let forwarding = process.need.calls * settings.costs.call;
    if forwarding <= settings.forwarding * (running + forwarding) {
        return None;
    }
    let order = home(step, process, Why::Forwarding, settings);
    let there = step
        .query(process, taken, settings)
        .candidate(&home_load.load, None)
        .ok()?;
    if there.seconds > order.decision.figures.here {
        return None;
    }
    taken.push(process.home);
    Some(order)
}

fn home(step: &Step<'_>, guest: &Running<'_>, why: Why, settings: &Settings) -> Order {
    Order {
        process: guest.process,
        decision: Decision {
            action: Action::Go(guest.home),
            why,
            figures: Figures {
                moving: settings.costs.moving(guest.need.memory),
                ..step.figures(guest, settings)
            },
        },
        must: true,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::load::Features;
    use crate::load::tests::idle;
    use crate::random::Random;

    pub(crate) const MIB: u64 = 1 << 20;
    pub(crate) const NOW: Duration = Duration::from_secs(100);
    const ME: NodeId = NodeId(1);

    pub(crate) fn running(process: u64, home: u64, rules: &Rules) -> Running<'_> {
        Running {
            process,
            home: NodeId(home),
            need: Need {
                cpu: 60.0,
                memory: 100 * MIB,
                calls: 10.0,
                features: Features(1),
            },
            used: 1.0,
            since: Duration::ZERO,
            home_load: (home != ME.0).then(|| known(idle(home))),
            rules,
            leaving: false,
            growth: 0.0,
        }
    }

    pub(crate) fn known(load: Load) -> Known {
        Known { load, taken: NOW }
    }

    fn here(runnable: f32, own: f32) -> Load {
        Load {
            runnable,
            runnable_own: own,
            ..idle(ME.0)
        }
    }

    fn decide(
        here: &Load,
        processes: &[Running<'_>],
        known: &[Known],
        in_flight: &[NodeId],
    ) -> Vec<(u64, Action, Why)> {
        let step = Step {
            here,
            processes,
            known,
            nodes: 3,
            in_flight,
            leaving: 0,
            now: NOW,
        };
        leave(&step, &Settings::default(), &mut Random::new(1))
            .iter()
            .map(|o| (o.process, o.decision.action, o.decision.why))
            .collect()
    }

    #[test]
    fn one_of_two_goes_to_the_idle_node_and_a_lone_one_stays() {
        let rules = Rules::default();
        let two = [running(10, 1, &rules), running(11, 1, &rules)];
        let idle2 = [known(idle(2))];
        let orders = decide(&here(2.0, 2.0), &two, &idle2, &[]);
        assert_eq!(orders.len(), 1, "one in a step");
        assert_eq!(
            (orders[0].1, orders[0].2),
            (Action::Go(NodeId(2)), Why::Sooner)
        );
        assert!(decide(&here(1.0, 1.0), &two[..1], &idle2, &[]).is_empty());
        assert!(
            decide(&here(2.0, 2.0), &two, &idle2, &[NodeId(2)]).is_empty(),
            "one in flight to that node"
        );
    }

    #[test]
    fn what_is_locked_just_came_or_is_nearly_done_stays() {
        let locked = Rules {
            locked: true,
            ..Rules::default()
        };
        let rules = Rules::default();
        let just_came = Running {
            since: NOW,
            ..running(11, 1, &rules)
        };
        let mut nearly_done = running(12, 1, &rules);
        nearly_done.need.cpu = 0.05;
        nearly_done.used = 0.03;
        let three = [running(10, 1, &locked), just_came, nearly_done];
        assert!(decide(&here(3.0, 3.0), &three, &[known(idle(2))], &[]).is_empty());
        let step = Step {
            here: &here(3.0, 3.0),
            processes: &three,
            known: &[known(idle(2))],
            nodes: 2,
            in_flight: &[],
            leaving: 0,
            now: NOW,
        };
        let why = |p| explain(&step, p, &Settings::default(), &mut Random::new(1)).why;
        assert_eq!(
            three.iter().map(why).collect::<Vec<_>>(),
            [Why::Locked, Why::JustCame, Why::NoGain]
        );
    }

    #[test]
    fn a_guest_that_forwards_too_much_goes_home_unless_home_is_worse() {
        let rules = Rules::default();
        let mut chatty = running(10, 9, &rules);
        chatty.need.calls = 50_000.0;
        let orders = decide(&here(1.0, 0.0), &[chatty], &[], &[]);
        assert_eq!(orders, [(10, Action::Go(NodeId(9)), Why::Forwarding)]);
        chatty.home_load = Some(known(Load {
            runnable: 20.0,
            runnable_own: 20.0,
            ..idle(9)
        }));
        assert!(decide(&here(1.0, 0.0), &[chatty], &[], &[]).is_empty());
    }

    #[test]
    fn processes_of_a_home_that_drains_are_called_home() {
        let (rules, locked) = (
            Rules::default(),
            Rules {
                locked: true,
                ..Rules::default()
            },
        );
        let mut of_closed = running(10, 9, &rules);
        of_closed.home_load = Some(known(Load {
            closed: true,
            ..idle(9)
        }));
        let mut kept = running(11, 9, &locked);
        kept.home_load = of_closed.home_load;
        let processes = [of_closed, kept, running(12, 8, &rules)];
        let orders = decide(&here(1.0, 0.0), &processes, &[], &[]);
        let went: Vec<_> = orders.iter().map(|o| (o.0, o.2)).collect();
        assert_eq!(went, [(10, Why::HomeDrains)]);
    }

    #[test]
    fn a_node_that_drains_sends_all_guests_away_and_keeps_its_own() {
        let rules = Rules::default();
        let mut closed = here(3.0, 1.0);
        closed.closed = true;
        let three = [
            running(10, 9, &rules),
            running(11, 8, &rules),
            running(12, 1, &rules),
        ];
        let orders = decide(&closed, &three, &[], &[]);
        let went: Vec<u64> = orders.iter().map(|o| o.0).collect();
        assert_eq!(went, [10, 11]);
        assert!(orders.iter().all(|o| o.2 == Why::Draining));
    }
}
