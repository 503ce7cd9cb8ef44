//! Whole clusters, simulated from hundreds of seeds: what must hold whatever happens.

use std::time::Duration;

use cluster::load::Features;
use cluster::program::{Need, Program};
use cluster::settings::Settings;
use cluster::sim::policy::Policy;
use cluster::sim::report::Outcome;
use cluster::sim::scenario::{Job, Machine, Plan, Scenario};
use cluster::sim::world::run;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A small cluster with much trouble: slow and lossy network, nodes that fail.
fn troubled(seed: u64) -> Scenario {
    Scenario {
        arrivals: Duration::from_secs(40),
        until: Duration::from_secs(50_000),
        delay: Duration::from_millis(5),
        loss: 0.05,
        failures_per_hour: 40.0,
        ..Scenario::new(4 + seed as usize % 9, seed)
    }
}

fn ours(scenario: &Scenario, plan: &Plan) -> Outcome {
    run(scenario, plan, Policy::Ours, Settings::default())
}

#[test]
fn a_process_runs_at_most_once_and_every_one_comes_to_an_end() {
    let (mut lost, mut taken_back, mut moved) = (0, 0, 0);
    for seed in 0..300 {
        let scenario = troubled(seed);
        let plan = Plan::new(&scenario);
        for policy in [Policy::Ours, Policy::Mosix, Policy::Omniscient] {
            let o = run(&scenario, &plan, policy, Settings::default());
            assert_eq!(o.doubled, 0, "SEED={seed} {policy:?}");
            let jobs = plan.jobs.len() as u64;
            let all = o.done + o.lost + o.never_started + o.unfinished;
            assert_eq!(all, jobs, "SEED={seed} {policy:?}");
            assert_eq!(o.unfinished, 0, "SEED={seed} {policy:?}");
            lost += o.lost;
            taken_back += o.taken_back;
            moved += o.moved;
        }
    }
    // The trouble did happen.
    assert!(
        lost > 100 && taken_back > 20 && moved > 10_000,
        "{lost} {taken_back} {moved}"
    );
}

#[test]
fn without_failures_none_is_lost() {
    for seed in 0..100 {
        let scenario = Scenario {
            failures_per_hour: 0.0,
            ..troubled(seed)
        };
        let plan = Plan::new(&scenario);
        let o = ours(&scenario, &plan);
        assert_eq!(o.done, plan.jobs.len() as u64, "SEED={seed}");
    }
}

#[test]
fn a_seed_gives_the_same_run() {
    let outcome = |seed| {
        let scenario = troubled(seed);
        let o = ours(&scenario, &Plan::new(&scenario));
        (o.mean, o.moved, o.offers)
    };
    assert_eq!(outcome(7), outcome(7));
    assert_ne!(outcome(7), outcome(8));
}

/// Equal nodes, and equal programs that all start on node 0 at once.
fn crowd(nodes: usize, cores: u16, programs: usize, cpu: f64, memory: u64) -> Plan {
    let features = Features(1);
    Plan {
        machines: vec![
            Machine {
                speed: 1.0,
                cores,
                memory: 8 * GIB,
                features,
            };
            nodes
        ],
        jobs: (0..programs)
            .map(|i| Job {
                at: Duration::from_secs(3) + Duration::from_millis(i as u64),
                home: 0,
                program: Program::new(b"crowd", &["x"]),
                need: Need {
                    cpu,
                    memory,
                    calls: 50.0,
                    features,
                },
            })
            .collect(),
        earlier: Vec::new(),
        failures: Vec::new(),
    }
}

#[test]
fn loads_settle_and_nothing_moves_to_and_fro() {
    for seed in 0..100 {
        let nodes = 3 + seed as usize % 6;
        // The simulation ends after a minute, long before a program does.
        let scenario = Scenario {
            until: Duration::from_secs(60),
            ..Scenario::new(nodes, seed)
        };
        // From less than a core each to three for each core.
        let programs = nodes * (1 + seed as usize % 6) / 2 + 1;
        let o = ours(&scenario, &crowd(nodes, 1, programs, 1000.0, 50 * MIB));
        assert_eq!(o.unfinished, programs as u64, "SEED={seed}");
        assert!(o.last_move < 20.0, "SEED={seed}: {}", o.last_move);
        assert!(o.moves_most <= 4, "SEED={seed}: {}", o.moves_most);
    }
}

#[test]
fn equal_programs_started_at_home_are_spread_over_the_cluster() {
    for seed in 0..50 {
        let scenario = Scenario {
            ..Scenario::new(4, seed)
        };
        let o = ours(&scenario, &crowd(4, 2, 8, 20.0, 50 * MIB));
        // Each has a core; what is more than 1 is what starting, moving and forwarding cost.
        assert!(o.quantile(1.0) < 1.2, "SEED={seed}: {:?}", o.slowdowns);
    }
}

#[test]
fn no_node_stays_over_its_memory_while_the_cluster_has_room() {
    for seed in 0..100 {
        let scenario = Scenario {
            ..Scenario::new(4, seed)
        };
        // 12 GiB at one home of 8 GiB, by programs whose memory nobody knows beforehand.
        let o = ours(&scenario, &crowd(4, 4, 8, 40.0, 1536 * MIB));
        assert_eq!(o.over_memory_at_end, 0, "SEED={seed}");
        assert!(
            o.longest_over_memory < 10.0,
            "SEED={seed}: {}",
            o.longest_over_memory
        );
        assert_eq!(o.done, 8, "SEED={seed}");
    }
}

#[test]
fn memory_that_grows_is_ushered_away_before_it_runs_out() {
    for seed in 0..100 {
        let scenario = Scenario {
            ..Scenario::new(3 + seed as usize % 3, seed)
        };
        // One and a half times what their home has, in 20 to 50 seconds. There are cores for all.
        let cpu = 200.0 + (seed % 4) as f64 * 100.0;
        let programs = 6 + seed as usize % 7;
        let memory = 12 * GIB / programs as u64;
        let mut plan = crowd(scenario.nodes, 16, programs, cpu, memory);
        for job in &mut plan.jobs {
            // Nothing is known of other nodes yet: they begin at home.
            job.at = Duration::ZERO;
        }
        let o = ours(&scenario, &plan);
        assert_eq!(o.seconds_over_memory, 0.0, "SEED={seed}");
        // No more than must, and none twice.
        assert!(
            o.moved <= programs as u64 / 2 + 1,
            "SEED={seed}: {}",
            o.moved
        );
        assert_eq!(o.moves_most, 0, "SEED={seed}");
        assert_eq!(o.done, programs as u64, "SEED={seed}");
    }
}

#[test]
fn every_policy_is_where_it_belongs() {
    let scenario = Scenario {
        arrivals: Duration::from_secs(120),
        ..Scenario::new(100, 5)
    };
    let plan = Plan::new(&scenario);
    let mean = |policy| run(&scenario, &plan, policy, Settings::default()).mean;
    let ours = mean(Policy::Ours);
    assert!(ours <= 0.87 * mean(Policy::Mosix));
    assert!(ours < mean(Policy::RoundRobin));
    assert!(ours < mean(Policy::Stay));
    let best = mean(Policy::Omniscient);
    assert!(best < ours && ours < 1.35 * best, "{ours} {best}");
}
