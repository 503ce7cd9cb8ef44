//! What is simulated: nodes, programs and their arrivals, all from one seed.

use std::time::Duration;

use rand::RngExt;

use crate::load::Features;
use crate::program::{Need, Program};
use crate::random::{Random, below};

const GIB: f64 = (1u64 << 30) as f64;

/// Programs that the users of one node run again and again.
const PROGRAMS_OF_A_NODE: usize = 6;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How many nodes.
    pub nodes: usize,
    /// So long programs arrive; the simulation goes on until they are done …
    pub arrivals: Duration,
    /// … but not longer than this.
    pub until: Duration,
    /// CPU time that arrives, as a share of what all cores together can do.
    pub load: f64,
    /// How often a node tells others, and looks at its processes.
    pub step: Duration,
    /// Vectors in a gossip message.
    pub window: usize,
    /// Mean delay of a message.
    pub delay: Duration,
    /// Share of lost messages, of those that are not on a connection.
    pub loss: f64,
    /// Failures of a node in an hour, mean; it is back after half a minute.
    pub failures_per_hour: f64,
    /// The seed of everything.
    pub seed: u64,
}

impl Scenario {
    /// The defaults: a busy local network without failures.
    pub fn new(nodes: usize, seed: u64) -> Scenario {
        Scenario {
            nodes,
            arrivals: Duration::from_secs(300),
            until: Duration::from_secs(1500),
            load: 0.6,
            step: Duration::from_millis(250),
            window: 32,
            delay: Duration::from_micros(200),
            loss: 0.001,
            failures_per_hour: 0.0,
            seed,
        }
    }
}

/// A node that is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Speed of a core.
    pub speed: f64,
    /// Cores.
    pub cores: u16,
    /// Memory in bytes.
    pub memory: u64,
    /// What its processors can do.
    pub features: Features,
}

/// A run of a program.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// When it is started.
    pub at: Duration,
    /// Where.
    pub home: u32,
    /// Which program.
    pub program: Program,
    /// What it will turn out to need.
    pub need: Need,
}

/// Everything that happens from outside.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The nodes.
    pub machines: Vec<Machine>,
    /// The runs, in order of time.
    pub jobs: Vec<Job>,
    /// Earlier runs of the programs, with their homes: what is learned before the start.
    pub earlier: Vec<Job>,
    /// Failures: when, which node.
    pub failures: Vec<(Duration, u32)>,
}

/// What runs of one program have in common.
#[derive(Debug, Clone, Copy)]
struct Habit {
    program: Program,
    cpu: f64,
    memory: f64,
    calls: f64,
    features: Features,
}

impl Habit {
    fn new(number: u64, random: &mut Random) -> Habit {
        // A third are short (`sh`, `true`); the others have heavy tails.
        let cpu = if random.chance(1.0 / 3.0) {
            random.pareto(1.0, 0.005, 0.2)
        } else {
            random.pareto(1.0, 4.0, 400.0)
        };
        let calls = match below(random, 10) {
            0 => random.pareto(1.0, 3000.0, 30_000.0),
            _ => random.pareto(1.0, 5.0, 1000.0),
        };
        Habit {
            program: Program::new::<&[u8]>(&number.to_le_bytes(), &[]),
            cpu,
            memory: random.pareto(1.0, 0.01 * GIB, 2.0 * GIB),
            calls,
            features: Features(if random.chance(0.1) { 0b11 } else { 0b01 }),
        }
    }

    fn run(&self, at: f64, home: usize, random: &mut Random) -> Job {
        Job {
            at: Duration::from_secs_f64(at),
            home: home as u32,
            program: self.program,
            need: Need {
                cpu: (self.cpu * random.around_one(0.5)).clamp(0.002, 1000.0),
                memory: (self.memory * random.random_range(0.7..1.3)) as u64,
                calls: self.calls,
                features: self.features,
            },
        }
    }
}

impl Plan {
    /// What happens in this scenario.
    ///
    /// Speeds are 0.5 to 2, cores 1 to 4, memory 4 to 32 GiB. A tenth of the programs need a CPU
    /// feature that a fifth of the nodes lack. Users are not spread evenly: some homes get many
    /// times what others get, and programs come in bursts of up to 16.
    pub fn new(scenario: &Scenario) -> Plan {
        let mut random = Random::new(scenario.seed);
        let machines: Vec<Machine> = (0..scenario.nodes)
            .map(|_| Machine {
                speed: [0.5, 1.0, 1.0, 1.0, 2.0][below(&mut random, 5)],
                cores: [1, 1, 2, 4][below(&mut random, 4)],
                memory: ([4.0, 8.0, 16.0, 32.0][below(&mut random, 4)] * GIB) as u64,
                features: Features(if random.chance(0.2) { 0b01 } else { 0b11 }),
            })
            .collect();
        let habits: Vec<Vec<Habit>> = machines
            .iter()
            .enumerate()
            .map(|(home, machine)| {
                (0..PROGRAMS_OF_A_NODE)
                    .map(|i| {
                        loop {
                            let number = (home * PROGRAMS_OF_A_NODE + i) as u64;
                            let habit = Habit::new(number, &mut random);
                            // Users do not run at home what cannot run there.
                            if habit.features.missing_in(machine.features).0 == 0 {
                                break habit;
                            }
                        }
                    })
                    .collect()
            })
            .collect();
        let popularity: Vec<f64> = machines
            .iter()
            .map(|_| random.pareto(1.3, 1.0, 20.0))
            .collect();
        let mut earlier = Vec::new();
        let mut cpu_of_home = Vec::new();
        for (home, habits) in habits.iter().enumerate() {
            for habit in habits {
                earlier.extend((0..4).map(|_| habit.run(0.0, home, &mut random)));
            }
            let mean = habits.iter().map(|h| h.cpu).sum::<f64>() / habits.len() as f64;
            cpu_of_home.push(mean);
        }
        let burst = |random: &mut Random| random.pareto(1.0, 1.0, 17.0) as usize;
        let burst_mean = {
            let mut sample = Random::new(1);
            (0..10_000).map(|_| burst(&mut sample)).sum::<usize>() as f64 / 10_000.0
        };
        let power: f64 = machines.iter().map(|m| m.speed * f64::from(m.cores)).sum();
        // Bursts of each home in a second, so that all CPU time together is the load asked for.
        let weight: f64 = popularity
            .iter()
            .zip(&cpu_of_home)
            .map(|(p, c)| p * c)
            .sum();
        let unit = scenario.load * power / (weight * burst_mean);
        let end = scenario.arrivals.as_secs_f64();
        let mut jobs = Vec::new();
        for home in 0..scenario.nodes {
            let mean_gap = 1.0 / (unit * popularity[home]);
            let mut at = random.exponential(mean_gap);
            while at < end {
                let habit = habits[home][below(&mut random, PROGRAMS_OF_A_NODE)];
                for i in 0..burst(&mut random) {
                    let at = at + 0.01 * i as f64;
                    jobs.push(habit.run(at, home, &mut random));
                }
                at += random.exponential(mean_gap);
            }
        }
        jobs.sort_by_key(|job| (job.at, job.home));
        let mut failures = Vec::new();
        if scenario.failures_per_hour > 0.0 {
            for node in 0..scenario.nodes {
                let at = random.exponential(3600.0 / scenario.failures_per_hour);
                if at < end {
                    failures.push((Duration::from_secs_f64(at), node as u32));
                }
            }
        }
        Plan {
            machines,
            jobs,
            earlier,
            failures,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_the_one_asked_for() {
        let scenario = Scenario::new(2000, 3);
        let plan = Plan::new(&scenario);
        let power: f64 = plan
            .machines
            .iter()
            .map(|m| m.speed * f64::from(m.cores))
            .sum();
        let cpu: f64 = plan.jobs.iter().map(|j| j.need.cpu).sum();
        let load = cpu / (power * scenario.arrivals.as_secs_f64());
        assert!((0.55..0.85).contains(&load), "{load}");
        assert!(plan.jobs.is_sorted_by_key(|j| j.at));
    }
}
