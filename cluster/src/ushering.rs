//! Memory ushering: what leaves a node before its memory runs out.
//!
//! A node looks ahead: what is free now, and will be when those have gone that are on their way, has to
//! suffice for what processes take until it has been looked again, an order has been given and memory has
//! followed. If it does not, the smallest set of processes goes that makes room, guests before the node's own,
//! to nodes that are not in need themselves when they have them. What a node makes free, and what it must have
//! free when it gets a process, is more than that at which it begins: so nothing moves to and fro. If there is
//! no such node, since all grow too fast, it goes where memory lasts for at least twice the time: two processes that
//! grow are better off apart, one gains nothing.
//!
//! Where processes wait for memory (pressure) what is free is of no use, whatever the reason: none is counted.

use rand::Rng;

use crate::candidates::pressed;
use crate::decision::Why;
use crate::load::{Known, NodeId};
use crate::migration::{Order, Running, Step, to_best};
use crate::settings::Settings;

/// Most processes for which a place is looked for in one step: the next step looks again.
const TRIES_MAX: usize = 64;

/// What has been decided in this step.
#[derive(Debug, Default)]
struct Plan {
    orders: Vec<Order>,
    /// Bytes that go, and by how much they grow in a second.
    memory: u64,
    growth: f64,
    /// The same for each target, with how many processes.
    promised: Vec<(NodeId, Promise)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Promise {
    memory: u64,
    growth: f64,
    processes: u32,
}

/// What has to leave; nothing while memory suffices.
pub(crate) fn usher(
    step: &Step<'_>,
    movable: &[&Running<'_>],
    settings: &Settings,
    random: &mut impl Rng,
) -> Vec<Order> {
    let share = |of: f64| step.here.memory as f64 * of;
    let (low, goal) = (share(settings.memory_low), share(settings.memory_reserve));
    let mut plan = Plan::default();
    let may_go =
        |p: &&Running<'_>| p.need.memory > 0 && (p.home != step.here.node || !p.rules.home);
    let mut left: Vec<&Running<'_>> = movable.iter().copied().filter(may_go).collect();
    let all: u64 = left
        .iter()
        .map(|p| p.need.memory)
        .fold(0, u64::saturating_add);
    if !is_due(step, all, low, settings) {
        return Vec::new();
    }
    for _ in 0..TRIES_MAX {
        if missing(step, &plan, None, goal, settings) <= 0.0 {
            break;
        }
        // Guests first. The smallest that suffices; if none does, the largest.
        let order = |p: &&Running<'_>| {
            let enough = missing(step, &plan, Some(p), goal, settings) <= 0.0;
            let memory = p.need.memory;
            let by_memory = if enough { memory } else { u64::MAX - memory };
            (p.home == step.here.node, !enough, by_memory, p.process)
        };
        let Some(at) = (0..left.len()).min_by_key(|at| order(&left[*at])) else {
            break;
        };
        let process = left.swap_remove(at);
        if let Some((node, order)) = to_room(step, process, &plan, settings, random) {
            plan.add(process, node, order);
        }
    }
    // Fewer than all of them are gone sooner: it may still have time.
    match is_due(step, plan.memory, low, settings) {
        true => plan.orders,
        false => Vec::new(),
    }
}

/// Whether less than `low` bytes would be free by the time that so many have gone, if they began only now and took
/// no memory with them.
fn is_due(step: &Step<'_>, memory: u64, low: f64, settings: &Settings) -> bool {
    let goes = memory.saturating_add(step.leaving);
    let grown = f64::from(step.here.memory_growth) * settings.usher_ahead(goes);
    free(step, settings) + (step.leaving as f64) < low + grown
}

/// Bytes that are of use here.
fn free(step: &Step<'_>, settings: &Settings) -> f64 {
    match pressed(step.here, settings) {
        true => 0.0,
        false => step.here.memory_free as f64,
    }
}

/// Bytes that are missing for `floor` bytes to be free when all has moved that is planned, and `more` as well.
fn missing(
    step: &Step<'_>,
    plan: &Plan,
    more: Option<&Running<'_>>,
    floor: f64,
    settings: &Settings,
) -> f64 {
    let more = more.map_or((0, 0.0), |p| (p.need.memory, p.growth));
    let goes = plan
        .memory
        .saturating_add(more.0)
        .saturating_add(step.leaving);
    // What has left grows elsewhere, but its memory is still here until all has followed.
    let growth = f64::from(step.here.memory_growth);
    let others = (growth - plan.growth - more.1).max(0.0);
    let until_then = growth * settings.usher_ahead
        + others * (settings.usher_ahead(goes) - settings.usher_ahead);
    floor + until_then - free(step, settings) - goes as f64
}

/// A node as it would be with a process.
struct Target {
    /// Bytes that it has free then, beside its reserve; less than nothing: it has not that.
    free: f64,
    growth: f64,
    /// For how many seconds that is to last.
    ahead: f64,
}

impl Target {
    fn of(
        step: &Step<'_>,
        known: &Known,
        process: &Running<'_>,
        promise: Promise,
        settings: &Settings,
    ) -> Target {
        let node = &known.load;
        let memory = process.need.memory.saturating_add(promise.memory);
        let reserve = node.memory as f64 * settings.memory_reserve;
        let free = node.memory_free as f64 - memory as f64 - reserve;
        Target {
            free: if pressed(node, settings) { -1.0 } else { free },
            growth: f64::from(node.memory_growth) + process.growth + promise.growth,
            ahead: settings.usher_ahead(memory) + known.age(step.now).as_secs_f64(),
        }
    }

    /// It is not in need then, for as long as a move takes.
    fn has_room(&self) -> bool {
        self.free >= self.growth * self.ahead
    }

    /// Its memory lasts twice as long as here.
    fn lasts_longer(&self, step: &Step<'_>, settings: &Settings) -> bool {
        let here = free(step, settings) / f64::from(step.here.memory_growth);
        self.free >= 0.0 && self.free / self.growth >= 2.0 * here
    }
}

/// An order to go where there is room, with its target; `None` if nothing known has any.
fn to_room(
    step: &Step<'_>,
    process: &Running<'_>,
    plan: &Plan,
    settings: &Settings,
    random: &mut impl Rng,
) -> Option<(NodeId, Order)> {
    let target = |known: &Known| {
        let promise = plan.promise(known.load.node);
        Target::of(step, known, process, promise, settings)
    };
    let places_where = |is_right: &dyn Fn(&Target) -> bool| -> Vec<Known> {
        let places = step.places(process);
        let right = places.filter(|known| is_right(&target(known)));
        right.map(|known| plan.as_if_done(known)).collect()
    };
    let mut places = places_where(&Target::has_room);
    // One at a time: what it is like when that is there is not known yet.
    if places.is_empty() && plan.orders.is_empty() && step.leaving == 0 {
        places = places_where(&|target: &Target| target.lasts_longer(step, settings));
    }
    to_best(
        step,
        process,
        Why::MemoryShort,
        places.iter(),
        &[],
        settings,
        random,
    )
}

impl Plan {
    fn promise(&self, node: NodeId) -> Promise {
        let found = self.promised.iter().find(|(of, _)| *of == node);
        found.map_or(Promise::default(), |(_, promise)| *promise)
    }

    /// A node as it is when all has come that is promised.
    fn as_if_done(&self, known: &Known) -> Known {
        let promise = self.promise(known.load.node);
        let mut known = *known;
        known.load.memory_free = known.load.memory_free.saturating_sub(promise.memory);
        known.load.runnable += promise.processes as f32;
        known
    }

    fn add(&mut self, process: &Running<'_>, to: NodeId, order: Order) {
        let mut promise = self.promise(to);
        self.promised.retain(|(node, _)| *node != to);
        for (memory, growth) in [
            (&mut self.memory, &mut self.growth),
            (&mut promise.memory, &mut promise.growth),
        ] {
            *memory = memory.saturating_add(process.need.memory);
            *growth += process.growth;
        }
        promise.processes += 1;
        self.promised.push((to, promise));
        self.orders.push(order);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::candidates::Rules;
    use crate::decision::Action;
    use crate::load::Load;
    use crate::load::tests::idle;
    use crate::migration::leave;
    use crate::migration::tests::{MIB, NOW, known, running};
    use crate::random::Random;

    fn orders(step: &Step<'_>) -> Vec<(u64, NodeId)> {
        let orders = leave(step, &Settings::default(), &mut Random::new(1));
        let short = orders.iter().filter(|o| o.decision.why == Why::MemoryShort);
        let gone = short.filter_map(|o| match o.decision.action {
            Action::Go(node) => Some((o.process, node)),
            Action::Stay => None,
        });
        gone.collect()
    }

    fn step<'a>(here: &'a Load, processes: &'a [Running<'a>], known: &'a [Known]) -> Step<'a> {
        Step {
            here,
            processes,
            known,
            nodes: 3,
            in_flight: &[],
            leaving: 0,
            now: NOW,
        }
    }

    /// With so much memory, and so much of it free; in MiB.
    fn node(node: u64, all: u64, free: u64) -> Load {
        Load {
            memory: all * MIB,
            memory_free: free * MIB,
            ..idle(node)
        }
    }

    fn process(number: u64, home: u64, mib: u64, rules: &Rules) -> Running<'_> {
        let mut process = running(number, home, rules);
        process.need.memory = mib * MIB;
        process
    }

    #[test]
    fn guests_leave_first_and_as_few_as_suffice() {
        let rules = Rules::default();
        let full = node(1, 1000, 10);
        let guest = process(10, 9, 40, &rules);
        let own = process(11, 1, 300, &rules);
        let room = [known(node(2, 1000, 900)), known(node(3, 1000, 900))];
        let both = [own, guest];
        let gone: Vec<u64> = orders(&step(&full, &both, &room))
            .iter()
            .map(|o| o.0)
            .collect();
        assert_eq!(gone, [10, 11]);
        let suffices = [own, process(10, 9, 80, &rules), process(12, 9, 500, &rules)];
        let gone: Vec<u64> = orders(&step(&full, &suffices, &room))
            .iter()
            .map(|o| o.0)
            .collect();
        assert_eq!(gone, [10], "the smallest that suffices");
        let nowhere = [known(node(2, 1000, 100))];
        assert!(orders(&step(&full, &[own], &nowhere)).is_empty());
        let plenty = node(1, 1000, 100);
        assert!(orders(&step(&plenty, &both, &room)).is_empty());
    }

    #[test]
    fn what_leaves_already_counts_as_free() {
        let rules = Rules::default();
        let full = node(1, 1000, 10);
        let both = [process(10, 1, 100, &rules), process(11, 1, 200, &rules)];
        let room = [known(node(2, 1000, 900))];
        let mut now = step(&full, &both, &room);
        assert_eq!(orders(&now), [(10, NodeId(2))]);
        now.leaving = 100 * MIB;
        assert!(orders(&now).is_empty());
    }

    #[test]
    fn a_node_that_fills_is_left_before_it_is_full() {
        let rules = Rules::default();
        let mut filling = node(1, 1000, 300);
        let mut both = [process(10, 1, 300, &rules), process(11, 1, 400, &rules)];
        let room = [known(node(2, 4000, 4000))];
        assert!(orders(&step(&filling, &both, &room)).is_empty());
        filling.memory_growth = (140 * MIB) as f32;
        both[0].growth = (140 * MIB) as f64;
        assert_eq!(orders(&step(&filling, &both, &room)).len(), 1);
        // It would fill that node, too, and no later.
        let as_small = [known(node(2, 1000, 500))];
        assert!(orders(&step(&filling, &both[..1], &as_small)).is_empty());
        // Two that grow are better off apart.
        both[1].growth = (140 * MIB) as f64;
        filling.memory_growth = (280 * MIB) as f32;
        filling.memory_free = 250 * MIB;
        let apart = [known(node(2, 1000, 700))];
        assert_eq!(orders(&step(&filling, &both, &apart)), [(10, NodeId(2))]);
    }

    #[test]
    fn pressure_alone_is_a_reason_and_such_a_node_gets_nothing() {
        let rules = Rules::default();
        let mut pressed = node(1, 1000, 700);
        pressed.memory_pressure = 0.3;
        let own = [
            process(10, 1, 50, &rules),
            process(11, 1, 90, &rules),
            process(12, 1, 400, &rules),
        ];
        let room = [known(node(2, 1000, 900))];
        assert_eq!(orders(&step(&pressed, &own, &room)), [(11, NodeId(2))]);
        let as_well = [known(Load {
            node: NodeId(2),
            ..pressed
        })];
        assert!(orders(&step(&pressed, &own, &as_well)).is_empty());
    }

    #[test]
    fn several_go_to_one_node_while_its_room_lasts() {
        let rules = Rules::default();
        let full = node(1, 1000, 0);
        let many: Vec<Running<'_>> = (0..6).map(|n| process(n, 1, 30, &rules)).collect();
        let two = [known(node(2, 1000, 150)), known(node(3, 1000, 115))];
        let gone = orders(&step(&full, &many, &two));
        let to = |node| gone.iter().filter(|o| o.1 == NodeId(node)).count();
        assert_eq!((to(2), to(3)), (2, 1), "{gone:?}");
    }

    #[test]
    fn what_is_kept_at_home_or_locked_stays() {
        let home = Rules {
            home: true,
            ..Rules::default()
        };
        let locked = Rules {
            locked: true,
            ..Rules::default()
        };
        let full = node(1, 1000, 0);
        let kept = [process(10, 1, 300, &home), process(11, 1, 300, &locked)];
        assert!(orders(&step(&full, &kept, &[known(node(2, 1000, 900))])).is_empty());
    }

    /// What a random node may be like: MiB in all and free, MiB a second by which it grows.
    fn any_node() -> impl Strategy<Value = (u64, u64, u64, u8)> {
        (100u64..4000, 0u64..4000, 0u64..100, 0u8..8)
    }

    fn of(number: u64, (all, free, growth, pressure): (u64, u64, u64, u8)) -> Load {
        Load {
            memory_growth: (growth * MIB) as f32,
            memory_pressure: if pressure == 0 { 0.5 } else { 0.0 },
            ..node(number, all, free.min(all))
        }
    }

    proptest! {
        /// Whatever the cluster is like: none that was asked is asked twice; a target has its reserve when all has come
        /// that it gets; and either it is in no need then and does not send away at once what it has got, or its
        /// memory lasts longer than that of the node which they leave.
        #[test]
        fn no_target_gets_into_need(
            full in any_node(),
            others in proptest::collection::vec(any_node(), 1..6),
            sizes in proptest::collection::vec((1u64..1000, 0u64..50, any::<bool>()), 1..12),
            leaving in 0u64..500,
        ) {
            let rules = Rules::default();
            let settings = Settings::default();
            let full = of(1, full);
            let others: Vec<Known> =
                others.iter().zip(2..).map(|(o, number)| known(of(number, *o))).collect();
            let processes: Vec<Running<'_>> = sizes.iter().zip(10..).map(|((mib, growth, own), number)| {
                let mut p = process(number, if *own { 1 } else { 99 }, *mib, &rules);
                p.growth = (growth * MIB) as f64;
                p.home_load = (!own).then(|| known(of(99, (100, 0, 0, 1))));
                p
            }).collect();
            let mut now = step(&full, &processes, &others);
            now.leaving = leaving * MIB;
            let gone = orders(&now);
            let mut asked: Vec<u64> = gone.iter().map(|o| o.0).collect();
            asked.sort_unstable();
            asked.dedup();
            prop_assert_eq!(asked.len(), gone.len());
            for known in &others {
                let come: Vec<&Running<'_>> = processes.iter()
                    .filter(|p| gone.contains(&(p.process, known.load.node)))
                    .collect();
                if come.is_empty() {
                    continue;
                }
                prop_assert!(!pressed(&known.load, &settings));
                let memory: u64 = come.iter().map(|p| p.need.memory).sum();
                let mut then = known.load;
                let reserve = then.memory as f64 * settings.memory_reserve;
                prop_assert!(then.memory_free as f64 >= memory as f64 + reserve);
                then.memory_free -= memory;
                then.memory_growth += come.iter().map(|p| p.growth).sum::<f64>() as f32;
                let there: Vec<Running<'_>> = come.iter().map(|p| **p).collect();
                let back = [self::known(Load { memory_free: full.memory, ..full })];
                let lasts = |load: &Load| load.memory_free as f64 / f64::from(load.memory_growth);
                let is_relief = pressed(&full, &settings) || lasts(&then) >= 2.0 * lasts(&full);
                let goes_back = !orders(&step(&then, &there, &back)).is_empty();
                prop_assert!(is_relief || !goes_back, "it would go back");
            }
        }
    }
}
