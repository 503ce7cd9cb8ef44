//! Where a new program starts: decided at exec, by marginal opportunity cost.

use std::time::Duration;

use rand::Rng;

use crate::candidates::{As, Query, Rules, Staying, THRASHING, seconds, share};
use crate::cost::Scale;
use crate::decision::{Action, Decision, Figures, Why};
use crate::load::{Known, Load};
use crate::program::Need;
use crate::settings::Settings;

/// What a home node knows when one of its processes executes a program.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// What the program is expected to need.
    pub need: &'a Need,
    /// What its user has said.
    pub rules: &'a Rules,
    /// The home node at this moment, not damped and without this program: a shell that starts
    /// sixteen at once must see them.
    pub home: &'a Load,
    /// Processes that wanted its cores lately ([`exported`](crate::load::Damped::exported)): a home
    /// that was busy a moment ago will be again.
    pub lately: f64,
    /// Other nodes.
    pub known: &'a [Known],
    /// How many nodes the cluster has, known or not.
    pub nodes: usize,
    /// The present.
    pub now: Duration,
}

/// Decides where the program starts. If the chosen node refuses, tell the board what it said of
/// itself and decide again.
pub fn place(start: &Start<'_>, settings: &Settings, random: &mut impl Rng) -> Decision {
    let Start {
        need, rules, home, ..
    } = *start;
    let scale = Scale::of(
        start.nodes,
        start
            .known
            .iter()
            .map(|k| &k.load)
            .chain(std::iter::once(home)),
    );
    let crowded = home.memory_free < need.memory;
    let mut here = seconds(need.cpu, share(home, As::Own, settings), 0.0, 0.0);
    if crowded {
        here *= THRASHING;
    }
    let mut figures = Figures {
        load: start.lately.max(f64::from(home.runnable)) / f64::from(home.cores),
        cpu: need.cpu,
        memory: need.memory,
        memory_free: home.memory_free,
        calls: need.calls,
        here,
        cost_here: scale.marginal(
            home,
            start.lately.max(f64::from(home.runnable)),
            home.memory_used(),
            need.memory,
        ),
        ..Figures::default()
    };
    let stay = |why, figures| Decision {
        action: Action::Stay,
        why,
        figures,
    };
    if home.closed {
        return stay(Why::HomeDrains, figures);
    }
    if rules.locked {
        return stay(Why::Locked, figures);
    }
    if rules.home {
        return stay(Why::KeptHome, figures);
    }
    if !crowded && figures.load < settings.leave_above {
        return stay(Why::HomeIdle, figures);
    }
    if here < settings.costs.start + settings.start_gain_seconds {
        return stay(Why::NoGain, figures);
    }
    let query = Query {
        need,
        cpu: need.cpu,
        rules,
        home: home.node,
        in_flight: &[],
        moving: settings.costs.start,
        start: true,
        now: start.now,
        settings,
        scale,
    };
    let staying = Staying {
        seconds: here,
        cost: if crowded {
            f64::INFINITY
        } else {
            figures.cost_here
        },
    };
    let found = query.best(start.known.iter(), Some(staying), &mut figures, random);
    match found {
        Err(why) => stay(why, figures),
        Ok(best) => Decision {
            action: Action::Go(best.node),
            why: if crowded {
                Why::MemoryShort
            } else {
                Why::Sooner
            },
            figures: Figures {
                there: best.seconds,
                moving: settings.costs.start,
                cost_there: best.cost,
                ..figures
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::idle;
    use crate::load::{Features, NodeId};
    use crate::random::Random;

    const MIB: u64 = 1 << 20;
    const NOW: Duration = Duration::from_secs(100);

    fn cc1() -> Need {
        Need {
            cpu: 5.0,
            memory: 100 * MIB,
            calls: 100.0,
            features: Features(1),
        }
    }

    fn known(load: Load) -> Known {
        Known { load, taken: NOW }
    }

    fn busy(node: u64, processes: f32) -> Load {
        Load {
            runnable: processes,
            runnable_own: processes,
            ..idle(node)
        }
    }

    fn decide(need: &Need, rules: &Rules, home: &Load, others: &[Load]) -> Decision {
        let known: Vec<Known> = others.iter().copied().map(known).collect();
        let start = Start {
            need,
            rules,
            home,
            lately: f64::from(home.runnable),
            known: &known,
            nodes: 1 + others.len(),
            now: NOW,
        };
        place(&start, &Settings::default(), &mut Random::new(1))
    }

    fn outcome(need: &Need, home: &Load, others: &[Load]) -> (Action, Why) {
        let decision = decide(need, &Rules::default(), home, others);
        (decision.action, decision.why)
    }

    #[test]
    fn a_long_program_leaves_a_busy_home_and_a_short_one_stays() {
        let (home, others) = (busy(1, 3.0), [idle(2)]);
        let go = (Action::Go(NodeId(2)), Why::Sooner);
        assert_eq!(outcome(&cc1(), &home, &others), go);
        let sh = Need {
            cpu: 0.003,
            ..cc1()
        };
        assert_eq!(outcome(&sh, &home, &others), (Action::Stay, Why::NoGain));
        assert_eq!(
            outcome(&cc1(), &idle(1), &others),
            (Action::Stay, Why::HomeIdle)
        );
    }

    #[test]
    fn a_program_that_forwards_all_the_time_stays() {
        let chatty = Need {
            calls: 100_000.0,
            ..cc1()
        };
        let decided = outcome(&chatty, &busy(1, 3.0), &[idle(2)]);
        assert_eq!(decided, (Action::Stay, Why::NoGain));
    }

    #[test]
    fn nodes_where_it_cannot_run_are_barred_with_the_reason() {
        let wrong: [(Why, Load); 5] = [
            (
                Why::Features,
                Load {
                    features: Features(2),
                    ..idle(2)
                },
            ),
            (
                Why::NoMemory,
                Load {
                    memory_free: 150 * MIB,
                    ..idle(2)
                },
            ),
            (
                Why::NoGuests,
                Load {
                    closed: true,
                    ..idle(2)
                },
            ),
            (
                Why::NoGuests,
                Load {
                    guests_max: 0,
                    ..idle(2)
                },
            ),
            (
                Why::Version,
                Load {
                    version: 99,
                    ..idle(2)
                },
            ),
        ];
        for (why, node) in wrong {
            let decided = outcome(&cc1(), &busy(1, 3.0), &[node]);
            assert_eq!(decided, (Action::Stay, why));
        }
        let none = outcome(&cc1(), &busy(1, 3.0), &[]);
        assert_eq!(none, (Action::Stay, Why::NothingKnown));
    }

    #[test]
    fn the_user_decides_first() {
        let (home, others) = (busy(1, 3.0), [idle(2), idle(3)]);
        let rules = Rules {
            allowed: Some(vec![NodeId(3)]),
            ..Rules::default()
        };
        let decision = decide(&cc1(), &rules, &home, &others);
        assert_eq!(decision.action, Action::Go(NodeId(3)));
        for (rules, why) in [
            (
                Rules {
                    locked: true,
                    ..Rules::default()
                },
                Why::Locked,
            ),
            (
                Rules {
                    home: true,
                    ..Rules::default()
                },
                Why::KeptHome,
            ),
        ] {
            let decision = decide(&cc1(), &rules, &home, &others);
            assert_eq!((decision.action, decision.why), (Action::Stay, why));
        }
    }

    #[test]
    fn a_program_for_which_home_has_no_memory_goes_where_there_is() {
        let home = Load {
            memory_free: MIB,
            ..idle(1)
        };
        let decided = outcome(&cc1(), &home, &[idle(2)]);
        assert_eq!(decided, (Action::Go(NodeId(2)), Why::MemoryShort));
    }

    #[test]
    fn of_equals_all_are_chosen_and_the_faster_before_the_slower() {
        let home = busy(1, 5.0);
        let others: Vec<Known> = (2..6).map(idle).map(known).collect();
        let mut random = Random::new(5);
        let mut seen = std::collections::BTreeSet::new();
        let need = cc1();
        let rules = Rules::default();
        let start = Start {
            need: &need,
            rules: &rules,
            home: &home,
            lately: 5.0,
            known: &others,
            nodes: 5,
            now: NOW,
        };
        for _ in 0..100 {
            if let Action::Go(node) = place(&start, &Settings::default(), &mut random).action {
                seen.insert(node);
            }
        }
        assert_eq!(seen.len(), 4);
        let fast = Load {
            speed: 2.0,
            ..idle(7)
        };
        let decision = decide(&cc1(), &Rules::default(), &home, &[idle(2), fast, idle(3)]);
        assert_eq!(decision.action, Action::Go(NodeId(7)));
    }
}
